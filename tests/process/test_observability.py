"""What operators see of the running product: its log as JSON, its metrics over all processes."""

import json
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.process.client import Client
from tests.process.conftest import KEY
from tests.process.product import Product, wait_for

pytestmark = pytest.mark.process

SAID = "my plan for tomorrow"


def values_of(client: Client, name: str) -> list[float]:
    families = text_string_to_metric_families(client.http.get("/metrics").text)
    return [s.value for f in families for s in f.samples if s.name == f"chatledger_{name}"]


def test_F31_F33_F54_streams_are_logged_and_counted_over_all_processes(
    make_product: Callable[..., Product], provider_settings: dict[str, str]
) -> None:
    settings = {"LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG", "WEB_PROCESSES": "2"}
    product = make_product(**provider_settings, **settings).start()
    client = Client(product)
    with client.socket(client.new_session()) as socket:
        socket.ask(f"{SAID} [[fake tokens=5]]")
        run_id = socket.read_to_end()["run_id"]
        # Each process tells every 5 s; either web process knows of all.
        wait_for(lambda: sum(values_of(client, "open_connections")) == 1, timeout_s=20)
        wait_for(lambda: sum(values_of(client, "events_stored_total")) > 0, timeout_s=20)
    assert sorted(values_of(client, "processes")) == [1, 2]
    assert values_of(client, "recent_runs") == [1]
    client.close()

    lines = [json.loads(line) for line in product.output.splitlines()]
    assert {line["process"] for line in lines} >= {"up", "worker-1"}
    of_run = [line for line in lines if line.get("run_id") == run_id]
    assert [line["message"] for line in of_run if line["level"] == "INFO"] == [
        "stream started",
        "stream has its first chunk",
        "stream ended",
    ]
    assert "run.finished" in {line.get("type") for line in of_run}
    assert [json.loads(line) for line in product.log.splitlines()]
    for secret in (SAID, KEY):
        assert secret not in product.output
