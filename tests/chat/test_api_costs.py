"""REST: what a session or a run would have cost on other models."""

from datetime import UTC, datetime

import pytest

from chat import database
from chat.models import Run
from costs import ledger
from costs.models import PriceOverride
from costs.usage import Usage
from tests import driving, invariants
from tests.costs import calls

pytestmark = pytest.mark.django_db(transaction=True)


def charged(session, *usages, price=calls.PRICE):
    """A run of the session that was charged for these calls."""
    run = Run.objects.get(pk=driving.send(session, "Hi").run_id)
    payer = ledger.Payer(
        run_id=run.pk, attempt=1, session_key=session.ledger_key, owner_key=session.owner_key
    )
    for usage in usages:
        calls.made(payer, usage, price=price)
    return run


async def compared(client, path, *models):
    answer = await client.get(f"/api/{path}/costs/comparison", {"models": models})
    assert answer.status_code == 200, answer.content
    return answer.json()


async def test_F34_a_session_is_priced_on_the_models_that_are_known(async_client, mine, redis):
    usages = [Usage(input=1000, cache_read=500, output=100)] * 2
    run = await database.write(charged, mine, *usages)
    asked = ["openai:gpt-4o-mini", "anthropic:claude-sonnet-4-5", "openai:nobody-knows"]
    told = await compared(async_client, "sessions/mine", *asked)
    assert told == {
        # 2 x (1500 x 1 + 100 x 4) / 1e6
        "cost": "0.0038",
        "currency": "USD",
        "estimated": False,
        "unpriced_calls": 0,
        "models": [
            # 2 x (1000 x 0.15 + 500 x 0.075 + 100 x 0.60) / 1e6
            {"model": "openai:gpt-4o-mini", "cost": "0.000495", "difference": "-0.003305"},
            {"model": "scripted:demo", "cost": "0.0038", "difference": "0"},
            # 2 x (1000 x 3 + 500 x 0.30 + 100 x 15) / 1e6
            {"model": "anthropic:claude-sonnet-4-5", "cost": "0.0093", "difference": "0.0055"},
            {"model": "openai:nobody-knows", "cost": None, "difference": None},
        ],
    }
    assert await compared(async_client, f"runs/{run.pk}", *asked) == told


async def test_F34_each_call_is_priced_at_its_time_and_by_its_own_prompt(async_client, mine, redis):
    await database.write(charged, mine, Usage(input=150_000), Usage(input=150_000))
    gemini = "google:gemini-2.5-pro"
    told = await compared(async_client, "sessions/mine", gemini)
    assert [row["cost"] for row in told["models"] if row["model"] == gemini] == ["0.375"]
    for days, price in ((1, "2"), (30, "9")):
        await PriceOverride.objects.acreate(
            provider="google",
            model_pattern="gemini-*",
            valid_from=datetime(2026, 11, days, tzinfo=UTC),
            rates={"input": price, "output": "1"},
        )
    told = await compared(async_client, "sessions/mine", gemini)
    assert [row["cost"] for row in told["models"] if row["model"] == gemini] == ["0.6"]


async def test_F34_what_is_not_known_is_null_and_never_zero(async_client, mine, redis):
    await database.write(charged, mine, Usage(input=1, input_audio=10), price=None)
    told = await compared(async_client, "sessions/mine", "openai:gpt-3.5-turbo")
    assert (told["cost"], told["unpriced_calls"]) == (None, 1)
    by_model = {row["model"]: (row["cost"], row["difference"]) for row in told["models"]}
    assert by_model["openai:gpt-3.5-turbo"] == (None, None)


async def test_F34_bad_names_are_refused_and_what_is_others_is_not_there(async_client, mine, redis):
    path = "/api/sessions/{}/costs/comparison"
    for models in (["no colon"], ["openai:x"] * 21):
        assert (await async_client.get(path.format("mine"), {"models": models})).status_code == 422
    assert (await async_client.get(path.format("nobody-s"))).status_code == 404
    nobody_s = "/api/runs/00000000-0000-0000-0000-000000000000/costs/comparison"
    assert (await async_client.get(nobody_s)).status_code == 404


async def test_a_price_of_our_own_is_shown_and_charged(async_client, mine, ringing):
    await PriceOverride.objects.acreate(
        provider="scripted",
        model_pattern="*",
        valid_from=datetime(2026, 11, 1, tzinfo=UTC),
        rates={"input": "0", "output": "2.5"},
    )
    listed = (await async_client.get("/api/models")).json()["items"][0]
    assert listed["price"] == {"input": "0", "output": "2.5", "currency": "USD"}
    started = await database.write(driving.send, mine, "[[tokens=4 delay_ms=0]]")
    await database.read(driving.wait_for_status, started.run_id, "finished")
    run = (await async_client.get(f"/api/runs/{started.run_id}")).json()
    assert run["cost"] == "0.00001"
    await database.read(invariants.check_session, mine)
