"""WebSocket: what a socket is told, from where, and how its commands are carried out."""

import asyncio
import json

import pytest
from channels.testing import WebsocketCommunicator

from chat import database
from chat.models import Run
from project.asgi import application
from tests import driving, invariants

pytestmark = pytest.mark.django_db(transaction=True)

SHORT = "[[tokens=3 delay_ms=0]]"
LONG = "[[tokens=2000 delay_ms=5]]"
TERMINAL = ("run.finished", "run.failed", "run.cancelled")


class Socket:
    """A client's end of a socket that was accepted."""

    def __init__(self, query=""):
        path = f"/ws/sessions/mine{query}"
        self._wire = WebsocketCommunicator(application, path)

    async def __aenter__(self):
        assert await self._wire.connect(timeout=5) == (True, None)
        return self

    async def __aexit__(self, *_):
        await self._wire.disconnect(timeout=5)

    async def send(self, kind, **fields):
        await self._wire.send_json_to({"type": kind, **fields})

    async def say(self, text, **fields):
        await self.send("send_message", text=text, **fields)

    async def frame(self, timeout_s=5):
        return json.loads(await self._wire.receive_from(timeout=timeout_s))

    async def until(self, *kinds, times=1, timeout_s=10):
        """Collect frames up to and with the last one of these types."""
        frames = []
        async with asyncio.timeout(timeout_s):
            while times:
                frames.append(await self.frame(timeout_s))
                times -= frames[-1]["type"] in kinds
        return frames

    async def close_code(self, timeout_s=5):
        return (await self._wire.receive_output(timeout_s))["code"]

    async def has_nothing(self):
        return await self._wire.receive_nothing(timeout=0.2)


def text_in(frames):
    return "".join(frame["delta"] for frame in frames if frame["type"] == "text.delta")


def seqs_of(frames):
    return [frame["seq"] for frame in frames]


def as_told(envelopes):
    """What the log says, in the shape of frames, with neighbouring deltas joined."""
    told = []
    for e in envelopes:
        body = json.loads(e.body)
        if told and e.type == "text.delta" == told[-1][0]:
            told[-1] = (e.type, told[-1][1] + body["delta"])
        else:
            told.append((e.type, body.get("delta")))
    return told


def joined(frames):
    told = []
    for frame in frames:
        if told and frame["type"] == "text.delta" == told[-1][0]:
            told[-1] = (frame["type"], told[-1][1] + frame["delta"])
        else:
            told.append((frame["type"], frame.get("delta")))
    return told


async def test_a_message_is_answered_with_its_events_in_order(mine, ringing):
    async with Socket() as socket:
        await socket.say(SHORT)
        frames = await socket.until(*TERMINAL)
    kinds = [frame["type"] for frame in frames]
    assert [k for i, k in enumerate(kinds) if k != "text.delta" or kinds[i - 1] != k] == [
        "run.queued",
        "message.started",
        "message.completed",
        "run.started",
        "message.started",
        "model_call.started",
        "cost.updated",
        "text.started",
        "text.delta",
        "text.ended",
        "cost.updated",
        "model_call.finished",
        "step.completed",
        "message.completed",
        "run.finished",
    ]
    assert text_in(frames) == "w0 w1 w2 "
    assert joined(frames) == as_told(await database.read(driving.log_of, mine))


async def test_a_frame_is_one_flat_object(mine, ringing):
    async with Socket() as socket:
        await socket.say(SHORT)
        frames = await socket.until(*TERMINAL)
    run = await Run.objects.aget()
    for frame in frames:
        assert (frame["session_id"], frame["run_id"]) == ("mine", str(run.pk))
        assert frame["at"].endswith("Z")
        assert frame["attempt"] in (0, 1)
    delta = next(frame for frame in frames if frame["type"] == "text.delta")
    assert isinstance(delta["delta"], str)
    assert isinstance(delta["seq"], int)


async def test_two_sockets_are_told_the_same(mine, ringing):
    async with Socket("?after=0") as one, Socket("?after=0") as other:
        await one.say("[[tokens=50 delay_ms=2]]")
        told = [await socket.until(*TERMINAL) for socket in (one, other)]
    assert joined(told[0]) == joined(told[1])


async def test_a_socket_without_a_position_is_told_only_what_happens_from_now_on(mine, ringing):
    async with Socket() as socket:
        await socket.say(SHORT)
        last = (await socket.until(*TERMINAL))[-1]["seq"]
    async with Socket() as socket:
        assert await socket.has_nothing()
        await socket.say(SHORT)
        assert (await socket.frame())["seq"] == last + 1


@pytest.mark.parametrize("after", [0, 1, 5, 14])
async def test_a_socket_is_told_what_is_missing_after_its_position(mine, ringing, after):
    async with Socket() as socket:
        await socket.say(SHORT)
        await socket.until(*TERMINAL)
    log = await database.read(driving.log_of, mine)
    async with Socket(f"?after={after}") as socket:
        frames = await socket.until(*TERMINAL)
        assert await socket.has_nothing()
    assert joined(frames) == as_told([e for e in log if e.seq > after])


async def test_a_socket_that_is_up_to_date_is_told_nothing_old(mine, ringing):
    async with Socket() as socket:
        await socket.say(SHORT)
        last = (await socket.until(*TERMINAL))[-1]["seq"]
    async with Socket(f"?after={last}") as socket:
        assert await socket.has_nothing()


async def test_a_socket_that_comes_back_in_mid_run_is_told_exactly_the_rest(mine, ringing):
    async with Socket() as socket:
        await socket.say("[[tokens=150 delay_ms=3]]")
        frames = await socket.until("text.delta", times=3)
    while frames[-1]["type"] not in TERMINAL:
        async with Socket(f"?after={frames[-1]['seq']}") as socket:
            frames += await socket.until("text.delta", *TERMINAL)
    assert text_in(frames) == "".join(f"w{i} " for i in range(150))
    assert seqs_of(frames) == sorted(set(seqs_of(frames)))
    assert joined(frames) == as_told(await database.read(driving.log_of, mine))


@pytest.mark.parametrize("after", [10**6, 10**17])
async def test_a_position_ahead_of_the_log_is_told_so_and_live_events_come(mine, ringing, after):
    async with Socket(f"?after={after}") as socket:
        reset = await socket.frame()
        assert (reset["type"], reset["reason"], reset["after"]) == ("stream.reset", "ahead", 0)
        assert reset["epoch"] == mine.epoch
        await socket.say(SHORT)
        assert (await socket.frame())["seq"] == 1


async def test_G4_a_reset_tells_the_messages_and_then_the_active_run_from_its_beginning(
    mine, ringing
):
    async with Socket() as socket:
        await socket.say(SHORT)
        await socket.until(*TERMINAL)
        await socket.say("[[tokens=100 delay_ms=20]]")
        await socket.until("text.delta")
        async with Socket("?after=99999") as lost:
            reset = await lost.frame()
            frames = await lost.until(*TERMINAL)
        await socket.until(*TERMINAL)
    assert [m["role"] for m in reset["messages"]] == ["user", "assistant"]
    assert all(message["seq"] <= reset["after"] for message in reset["messages"])
    assert frames[0]["seq"] == reset["after"] + 1
    assert frames[0]["type"] == "run.queued"
    assert text_in(frames) == "".join(f"w{i} " for i in range(100))


async def test_G5_a_socket_tells_when_it_has_caught_up(mine, ringing):
    async with Socket("?after=0&caught_up=1") as socket:
        assert await socket.frame() == {"type": "caught_up", "epoch": mine.epoch, "seq": 0}
        await socket.say(SHORT)
        last = (await socket.until(*TERMINAL))[-1]["seq"]
    async with Socket(f"?after={mine.epoch}:{last - 2}&caught_up=1") as socket:
        told = [(await socket.frame()) for _ in range(3)]
    assert [frame["seq"] for frame in told] == [last - 1, last, last]
    assert told[-1]["type"] == "caught_up"


async def test_G6_a_position_of_a_former_log_is_told_so(mine, ringing):
    async with Socket("?after=ffffffff:0") as socket:
        assert (await socket.frame())["reason"] == "epoch"


async def test_the_socket_of_a_deleted_session_is_closed(mine, monkeypatch):
    monkeypatch.setattr("chat.hub.COMPARE_EVERY_S", 0.05)
    async with Socket() as socket:
        await database.write(mine.delete)
        assert await socket.close_code() == 4404


async def test_WS_30_the_last_of_several_positions_counts(mine, ringing):
    async with Socket() as socket:
        await socket.say(SHORT)
        await socket.until(*TERMINAL)
    async with Socket("?after=0&after=2") as socket:
        assert (await socket.frame())["seq"] == 3


async def test_a_socket_that_leaves_does_not_stop_the_run(mine, ringing):
    async with Socket() as socket:
        await socket.say("[[tokens=60 delay_ms=3]]")
        await socket.until("text.delta")
    run = await Run.objects.aget()
    await database.read(driving.wait_for_status, run.pk, "finished")
    await database.read(invariants.check_session, mine)


async def test_a_socket_works_without_redis(mine, ringing, redis):
    redis.kill()
    async with Socket() as socket:
        await socket.say(SHORT)
        frames = await socket.until(*TERMINAL, timeout_s=8)
    assert text_in(frames) == "w0 w1 w2 "
    assert joined(frames) == as_told(await database.read(driving.log_of, mine))
