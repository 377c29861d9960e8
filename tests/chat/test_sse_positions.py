"""SSE: a position that is nonsense is answered at once, never with a hang or a failure."""

import json
from urllib.parse import quote

import pytest
from django.utils import timezone

from chat import hub, runs
from chat.commands import SendMessage
from chat.models import ChatSession, Run
from tests.chat.test_sse import Stream, start

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def mine(transactional_db, redis):
    return ChatSession.objects.create(
        owner_key="open", session_id="mine", epoch="0123abcd", model="scripted:demo"
    )


async def is_refused(query="", **headers):
    async with Stream(query, **headers) as stream:
        body = json.loads(await stream.chunk(timeout_s=1))
        assert set(body) == {"detail", "code"}
        return stream.status == 400 and body["code"] == "invalid_position"


async def is_fresh(query="", **headers):
    """Whether the answer is a stream that begins now."""
    async with Stream(query, **headers) as stream:
        assert stream.status == 200
        await stream.events("stream-open", timeout_s=1)
        return await stream.has_nothing()


OURS = "mine.0123abcd"
NO_NUMBERS = ["abc", "1.5", "１", " 1", "1 ", "-5", "+5", "1_0", "", "9" * 23, "0x1", "1e3"]


@pytest.mark.parametrize("number", [n for n in NO_NUMBERS if n.isascii()])
async def test_S_1_S_2_an_id_of_ours_without_a_number_is_refused(number):
    assert await is_refused(last_event_id=f"{OURS}:{number}")


@pytest.mark.parametrize("number", NO_NUMBERS)
async def test_S_1_S_2_a_query_of_ours_without_a_number_is_refused(number):
    assert await is_refused(f"?lastEventId={quote(f'{OURS}:{number}')}")


@pytest.mark.parametrize("after", ["abc", "-1", "1.5", "", "%EF%BC%91", "9" * 23, "%00", "%2B1"])
async def test_a_position_in_the_query_that_is_no_number_is_refused(after):
    assert await is_refused(f"?after={after}")


@pytest.mark.parametrize("place", ["a:b:c", "nocolon", "x" * 7000, ":" * 100, "error", ","])
async def test_S_3_S_8_an_id_of_another_shape_is_refused(place):
    assert await is_refused(last_event_id=place)


@pytest.mark.parametrize(
    "place", ["x:abc", "x:1.5", "x:-5", "x:" + "9" * 23, "mine.ffffffff:1", "mine:1", "other.1:2"]
)
async def test_S_1_S_5_an_id_of_another_log_begins_anew(mine, place):
    await start(mine, "Hi")
    await Run.objects.aupdate(status="finished", ended_at=timezone.now())
    async with Stream(last_event_id=place) as stream:
        reset = (await stream.events("stream-reset", timeout_s=1))[-1]
        told = json.loads(reset["data"])
        assert told["reason"] == ("epoch" if place.startswith("mine.") else "unknown")
        assert [m["parts"][0]["text"] for m in told["messages"]] == ["Hi"]
        assert (told["after"], told["epoch"]) == (3, "0123abcd")
        assert await stream.has_nothing()


async def test_S_5_an_id_of_another_session_tells_nothing_of_that_session():
    other = await ChatSession.objects.acreate(owner_key="user:1", session_id="other", epoch="x")
    await runs.start(other, SendMessage(text="Secret"), model="scripted:demo")
    async with Stream(last_event_id="other.x:0") as stream:
        reset = (await stream.events("stream-reset", timeout_s=1))[-1]
        assert json.loads(reset["data"])["messages"] == []
        assert await stream.has_nothing()


async def test_an_id_among_those_of_other_channels_counts(mine):
    await runs.start(mine, SendMessage(text="Hi"), model="scripted:demo")
    async with Stream(last_event_id=f"other.1:7,{OURS}:1") as stream:
        assert (await stream.log("message.completed"))[0]["seq"] == 2


async def test_S_7_the_last_id_of_a_finished_run_starts_no_second_run(mine):
    await start(mine)
    await Run.objects.aupdate(status="finished", ended_at=timezone.now())
    assert await is_fresh(last_event_id=f"{OURS}:3")
    assert await Run.objects.acount() == 1


@pytest.mark.parametrize("meta", ["garbage", "a.b.c", "%00", "eyJhbGciOiJub25lIn0.e30."])
async def test_S_16_a_signed_token_that_is_none_is_not_looked_at(meta):
    assert await is_fresh(f"?es-meta={meta}")


@pytest.mark.parametrize("query", ["?recover=true", "?link=next", "?recover=true&link=next"])
async def test_what_only_a_proxy_of_django_eventstream_asks_is_not_looked_at(query):
    assert await is_fresh(query)


async def test_S_17_a_channel_in_the_query_is_not_looked_at():
    await ChatSession.objects.acreate(owner_key="user:1", session_id="other", epoch="x")
    assert await is_fresh("?channel=other.x")


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html", ""])
async def test_S_10_a_stream_is_a_stream_whatever_is_accepted(accept):
    assert await is_fresh(accept=accept)


async def test_S_12_a_head_is_refused():
    async with Stream(method="HEAD") as stream:
        assert stream.status == 405
    assert not await Run.objects.aexists()


async def test_S_19_a_stream_is_neither_cut_nor_compressed():
    async with Stream(range="bytes=0-10", accept_encoding="gzip, br") as stream:
        assert stream.status == 200
        assert "Content-Encoding" not in stream.headers
        assert len(await stream.chunk(timeout_s=1)) > 2048


@pytest.mark.parametrize("after", [4, 10**6, 10**17])
async def test_a_position_ahead_of_the_log_is_told_so_and_live_events_come(mine, after):
    await start(mine)
    async with Stream(f"?after={after}") as stream:
        reset = (await stream.events("stream-reset"))[-1]
        assert json.loads(reset["data"])["reason"] == "ahead"
        # The run that is active is told from its beginning.
        assert reset["id"] == f"{OURS}:0"
        await start(mine, if_running="enqueue")
        told = await stream.log("message.completed") + await stream.log("message.completed")
        assert [event["seq"] for event in told] == [1, 2, 3, 4, 5, 6]


async def test_a_position_below_the_kept_log_is_told_so(mine):
    await start(mine)
    await Run.objects.aupdate(status="finished", ended_at=timezone.now())
    await ChatSession.objects.aupdate(floor_seq=2)
    async with Stream("?after=1") as stream:
        await start(mine)
        told = await stream.log("message.completed")
    assert (told[0]["reason"], told[0]["after"], told[1]["seq"]) == ("expired", 3, 4)


@pytest.mark.parametrize("query", ["?after=ffffffff:1", "?after=ffffffff:0"])
async def test_G6_a_position_of_a_former_log_is_told_so(mine, query):
    await start(mine)
    async with Stream(query) as stream:
        reset = (await stream.events("stream-reset", timeout_s=1))[-1]
    assert json.loads(reset["data"])["reason"] == "epoch"


async def test_G6_a_position_with_the_epoch_of_this_log_is_one(mine):
    await start(mine)
    async with Stream("?after=0123abcd:2") as stream:
        assert (await stream.log("message.completed"))[0]["seq"] == 3


async def test_G5_a_stream_tells_when_it_has_caught_up(mine):
    await start(mine)
    async with Stream("?after=1&caught_up=1") as stream:
        told = await stream.events("caught-up")
    # It has no id of its own: the last one stays.
    assert [event["id"] for event in told[-3:]] == [f"{OURS}:2", f"{OURS}:3", f"{OURS}:3"]
    assert json.loads(told[-1]["data"]) == {"type": "caught_up", "epoch": "0123abcd", "seq": 3}


async def test_a_stream_ends_when_its_session_is_deleted(mine, monkeypatch):
    monkeypatch.setattr(hub, "COMPARE_EVERY_S", 0.05)
    async with Stream() as stream:
        await ChatSession.objects.all().adelete()
        assert await stream.ends(timeout_s=5)
