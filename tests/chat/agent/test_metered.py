import asyncio
import threading
import uuid
from contextlib import asynccontextmanager

import pytest
from langchain_core.messages import HumanMessage
from pydantic import SecretStr

from chat.agent.errors import AgentError
from chat.agent.providers import gemini_client, scripted
from chat.agent.providers.scripted_model import MeteredScriptedChatModel
from chat.metering import Meter
from costs import budgets
from costs.budget_models import Budget, BudgetHold, BudgetWindow
from costs.ledger import Payer
from costs.tariffs import Tariff
from costs.usage import Usage
from tests.fakes.provider import FakeProvider

#: A call asks the budgets first.
pytestmark = pytest.mark.django_db(transaction=True)


class Told(list):
    """What a meter tells and would store, as a buffer takes it."""

    def add(self, event, write=None):
        self.append(event)

    def also(self, write):
        pass

    async def flush(self):
        pass


def metered(told, **limits):
    return measured(MeteredScriptedChatModel(**limits), told)


def measured(model, told):
    payer = Payer(run_id=uuid.uuid4(), attempt=1, session_key="s", owner_key="o")
    tariff = Tariff(provider="scripted", listed=scripted.PROVIDER.price)
    model.measure_with(
        Meter(buffer=told, payer=payer, provider="scripted", model="demo", tariff=tariff)
    )
    return model


@asynccontextmanager
async def gemini(settings, told):
    """A fake provider, and Gemini's client that asks it up to three times."""
    async with FakeProvider() as fake:
        settings.ENV = settings.ENV.model_copy(
            update={
                "gemini_base_url": fake.root_url,
                "gemini_api_key": SecretStr("k"),
                "llm_max_retries": 2,
            }
        )
        model = measured(gemini_client.build("gemini-2.5-flash"), told)
        yield fake, model
        await model.aclose()


async def test_who_does_not_stream_is_charged_too():
    told = Told()
    model = metered(told)
    answer = await model.ainvoke([HumanMessage("[[tokens=5 delay_ms=0]]")])
    assert answer.text == "w0 w1 w2 w3 w4 "
    model._meter.tell_ended()
    (ended,) = [event for event in told if event.type == "model_call.finished"]
    assert (ended.status, ended.completion_tokens, ended.is_estimated) == ("complete", 5, False)


async def test_each_try_is_a_call_and_the_pauses_grow_and_differ(monkeypatch):
    pauses = []

    async def note(pause_s):
        if pause_s > 0.1:
            pauses.append(pause_s)

    monkeypatch.setattr("chat.agent.metered.asyncio.sleep", note)
    told = Told()
    model = metered(told, retries=3)
    with pytest.raises(AgentError, match="cannot be reached"):
        await model.ainvoke([HumanMessage("[[fail=unavailable delay_ms=0]]")])
    assert len([event for event in told if event.type == "model_call.started"]) == 4
    assert [0.5 * 2**n >= pause >= 0.25 * 2**n for n, pause in enumerate(pauses)] == [True] * 3
    assert len({pause / 2**n for n, pause in enumerate(pauses)}) == 3


async def test_what_was_set_aside_for_a_request_that_is_cancelled_before_it_is_sent_is_given_back(
    monkeypatch,
):
    await Budget.objects.acreate(scope="user", period="day", limit_pico=10**12)
    hold, was_held, may_go_on = budgets.hold, threading.Event(), threading.Event()

    def hold_and_wait(**asked):
        granted = hold(**asked)
        was_held.set()
        may_go_on.wait(5)
        return granted

    monkeypatch.setattr(budgets, "hold", hold_and_wait)
    model = metered(Told())
    asking = asyncio.create_task(model.ainvoke([HumanMessage("Hi")]))
    await asyncio.to_thread(was_held.wait, 5)
    assert await BudgetHold.objects.acount() == 1
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    may_go_on.set()
    await model._meter.settle()
    window = await BudgetWindow.objects.aget()
    assert (window.held_pico, window.spent_pico) == (0, 0)


async def test_each_request_of_gemini_s_client_is_a_call(settings, monkeypatch):
    monkeypatch.setattr("chat.agent.metered.FIRST_PAUSE_S", 0.0)
    told = Told()
    async with gemini(settings, told) as (fake, model):
        with pytest.raises(AgentError, match="cannot be reached"):
            await model.ainvoke([HumanMessage("[[fake fault=500]]")])
    assert len(fake.requests) == 3
    assert [event.type for event in told].count("model_call.started") == 3


async def test_what_is_kept_first_is_what_the_provider_says_with_its_first_piece(
    settings, monkeypatch
):
    kept = []
    monkeypatch.setattr("costs.ledger.keep_usage", lambda **stored: kept.append(stored["usage"]))
    monkeypatch.setattr(Told, "also", lambda _, write: write([]))
    async with gemini(settings, Told()) as (_, model):
        await model.ainvoke([HumanMessage("Hi there [[fake text=abc cut=1 cached=2]]")])
    assert kept == [Usage(input=4, cache_read=2, output=1)]


async def test_a_request_that_nobody_would_pay_for_is_not_sent():
    with pytest.raises(RuntimeError, match="measure_with"):
        await MeteredScriptedChatModel().ainvoke([HumanMessage("Hi")])
