"""What the log says of a stream, as text and as JSON."""

import json
import logging

import pytest

from chat.models import Message
from costs import ledger
from project.logs import JsonFormatter, TextFormatter
from tests import driving

pytestmark = pytest.mark.django_db(transaction=True)


def lines_of(caplog, formatter):
    mine = [record for record in caplog.records if record.name == "chat.stream_log"]
    return [formatter.format(record) for record in mine]


def test_F31_F54_F81_a_stream_logs_its_start_its_first_chunk_and_its_end(worker, session, caplog):
    started = driving.send(session, "[[tokens=12 delay_ms=1]] my secret plan")
    worker.execute(started.run_id)
    lines = [json.loads(line) for line in lines_of(caplog, JsonFormatter())]
    assert [line["message"] for line in lines] == [
        "stream started",
        "stream has its first chunk",
        "stream ended",
    ]
    ids = {"session_id": session.session_id, "run_id": str(started.run_id), "attempt": 1}
    assert all(ids.items() <= line.items() for line in lines)
    assert lines[0]["model"] == "scripted:demo"
    end, total = lines[-1], ledger.total_of_run(started.run_id)
    text = Message.objects.get(role="assistant").parts[0]["text"]
    assert (end["status"], end["total_chunks"], end["total_chars"]) == ("finished", 12, len(text))
    assert lines[1]["first_chunk_latency_s"] == end["first_chunk_latency_s"] <= end["duration_s"]
    assert (end["prompt_tokens"], end["completion_tokens"]) == (total.prompt_tokens, 12)
    assert end["cost_usd"] == total.amount
    as_text = "\n".join(lines_of(caplog, TextFormatter()))
    assert "stream ended session_id=" in as_text
    assert "total_chunks=12" in as_text
    for said in ("secret", text.strip(), session.owner_key):
        assert said not in as_text


def test_F31_at_debug_each_event_is_logged_by_type_and_size(worker, session, caplog):
    caplog.set_level(logging.DEBUG, "chat.stream_log")
    worker.execute(driving.send(session, "[[tokens=3 delay_ms=0 fail=refused]]").run_id)
    driving.wait_for(
        lambda: any("run.failed" in line for line in lines_of(caplog, TextFormatter()))
    )
    lines = [json.loads(line) for line in lines_of(caplog, JsonFormatter())]
    told = {line["seq"]: (line["type"], line["size_chars"]) for line in lines if "seq" in line}
    assert told == {e.seq: (e.type, len(e.body)) for e in driving.log_of(session)}
    assert [line["status"] for line in lines if line["message"] == "stream ended"] == ["failed"]
