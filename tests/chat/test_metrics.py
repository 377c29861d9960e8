"""What Prometheus is told, and who is told."""

import pytest
from django.contrib.auth import get_user_model
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from chat import counters, vitals
from costs import ledger
from tests import driving

pytestmark = pytest.mark.django_db(transaction=True)
TOKEN = "a-token-of-the-operator"


def scrape(client, **headers):
    """Each value by its name and the values of its labels, in the order of their names."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.content.decode())
    return {
        (sample.name.removeprefix("chatledger_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def locked(settings):
    settings.AUTH = "required"
    settings.ENV = settings.ENV.model_copy(update={"metrics_token": SecretStr(TOKEN)})
    return settings


def test_F33_runs_tokens_and_costs_are_told_as_the_database_has_them(worker, session, client):
    finished = driving.send(session, "[[tokens=30 delay_ms=1]]")
    worker.execute(finished.run_id)
    worker.execute(driving.send(session, "[[fail=refused delay_ms=0]]").run_id)
    worker.shut_down()
    driving.send(session, "waits")
    told = scrape(client)
    assert (told["active_runs", "queued"], told["active_runs", "running"]) == (1, 0)
    assert 0 <= told["oldest_queued_run_age_seconds",] < 60
    assert (told["recent_runs", "", "finished"], told["recent_runs", "refused", "failed"]) == (1, 1)
    assert told["recent_model_calls", "demo", "scripted", "complete"] == 1
    assert told["recent_model_calls", "demo", "scripted", "failed"] == 1
    assert (
        0
        <= told["recent_first_chunk_seconds", "0.5"]
        <= told["recent_run_duration_seconds", "0.99"]
    )
    assert told["recent_tokens_per_second", "0.5"] > 0
    total = ledger.total_of_run(finished.run_id)
    assert told["tokens_total", "completion", "demo", "scripted"] == 30
    assert told["cost_usd_total", "demo", "scripted"] == pytest.approx(float(total.amount))
    assert told["unpriced_calls_total", "demo", "scripted"] == 0
    assert (told["part_up", "database"], told["part_up", "redis"]) == (1, 1)


def test_F33_what_processes_count_is_told_by_process(redis, client):
    before = counters.snapshot()
    with counters.during("websockets"):
        counters.add("slow_clients_dropped", 2)
        vitals.report("web")
    told = scrape(client)
    (process,) = [key[1] for key in told if key[0] == "events_told_total"]
    assert (told["processes", "web"], told["processes", "worker"]) == (1, 0)
    assert told["open_connections", process, "websocket"] == before.get("websockets", 0) + 1
    dropped = before.get("slow_clients_dropped", 0) + 2
    assert told["slow_clients_dropped_total", process] == dropped


def test_F33_without_redis_the_rest_is_told(redis, client):
    redis.kill()
    told = scrape(client)
    assert (told["part_up", "database"], told["part_up", "redis"]) == (1, 0)
    assert ("active_runs", "queued") in told


def test_F33_in_production_a_token_or_a_login_of_the_staff_is_needed(redis, client, locked):
    assert scrape(client, authorization=f"Bearer {TOKEN}")
    for headers in ({}, {"authorization": "Bearer wrong"}, {"x-forwarded-for": "127.0.0.1"}):
        answer = client.get("/metrics", headers=headers)
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
    users = get_user_model().objects
    client.force_login(users.create_user("alice", password=None))
    assert client.get("/metrics").status_code == 401
    client.force_login(users.create_superuser("admin", password=None))
    assert scrape(client)


def test_F33_without_a_token_there_is_nothing_for_strangers(redis, client, locked):
    locked.ENV = locked.ENV.model_copy(update={"metrics_token": SecretStr("")})
    answer = client.get("/metrics", headers={"authorization": "Bearer "})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
