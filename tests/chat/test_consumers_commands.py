"""WebSocket: messages and cancels are carried out in their order, once, or refused."""

import asyncio

import pytest
from django.db import OperationalError

from chat import database, runs, sessions
from chat.models import ChatSession, Message, Run
from tests import driving, invariants
from tests.chat.test_consumers import LONG, SHORT, TERMINAL, Socket, joined

pytestmark = pytest.mark.django_db(transaction=True)


async def test_WS_27_a_cancel_with_nothing_running_does_nothing(mine, ringing):
    async with Socket() as socket:
        await socket.send("cancel_run")
        assert await socket.has_nothing()
        await socket.say(SHORT)
        assert (await socket.until(*TERMINAL))[-1]["type"] == "run.finished"


@pytest.mark.parametrize("is_named", [True, False])
async def test_WS_27_a_cancel_stops_the_run_once_however_often_it_is_sent(mine, ringing, is_named):
    async with Socket() as socket:
        await socket.say(LONG)
        run_id = (await socket.until("text.delta"))[-1]["run_id"]
        for _ in range(3):
            await socket.send("cancel_run", **({"run_id": run_id} if is_named else {}))
        frames = await socket.until(*TERMINAL)
        assert (frames[-1]["type"], frames[-1]["reason"]) == ("run.cancelled", "requested")
        await socket.send("cancel_run", run_id=run_id)
        assert await socket.has_nothing()
    await database.read(invariants.check_session, mine)


async def test_WS_27_a_cancel_right_behind_its_message_stops_it(mine, ringing):
    async with Socket() as socket:
        for _ in range(5):
            await socket.say("[[tokens=200 delay_ms=2]]")
            await socket.send("cancel_run")
            frames = await socket.until(*TERMINAL)
            assert frames[-1]["type"] == "run.cancelled"
    await database.read(invariants.check_session, mine)


@pytest.mark.parametrize("run_id", ["00000000-0000-4000-8000-000000000000", "x", "a\0b", ""])
async def test_WS_27_a_cancel_of_an_unknown_run_is_refused(mine, redis, run_id):
    async with Socket() as socket:
        await socket.send("cancel_run", run_id=run_id)
        frame = await socket.frame(timeout_s=1)
        assert (frame["type"], frame["code"]) == ("refused", "unknown_run")


async def test_WS_27_a_cancel_of_a_run_of_another_session_is_refused(mine, ringing):
    other = await ChatSession.objects.acreate(owner_key="open", session_id="other")
    started = await runs.start(
        other, runs.SendMessage(text="[[tokens=30 delay_ms=1]]"), model="scripted:demo"
    )
    async with Socket() as socket:
        await socket.send("cancel_run", run_id=str(started.run_id))
        assert (await socket.frame())["code"] == "unknown_run"
    await database.read(driving.wait_for_status, started.run_id, "finished")


@pytest.mark.parametrize("spelled", [str.upper, lambda text: text.replace("-", "")], ids=[1, 2])
async def test_WS_27_a_cancel_may_spell_the_run_s_id_in_another_way(mine, ringing, spelled):
    async with Socket() as socket:
        await socket.say("[[tokens=400 delay_ms=4]]")
        run_id = (await socket.until("text.delta"))[-1]["run_id"]
        await socket.send("cancel_run", run_id=spelled(run_id))
        assert (await socket.until("refused", *TERMINAL))[-1]["type"] != "run.finished"


async def test_WS_28_a_message_during_a_run_is_refused(mine, ringing):
    async with Socket() as socket:
        await socket.say(LONG)
        await socket.until("text.delta")
        await socket.say("Hi")
        refused = (await socket.until("refused"))[-1]
        assert refused == {
            "type": "refused",
            "code": "run_active",
            "detail": "A run is active in this session already.",
        }
        await socket.send("cancel_run")
        await socket.until(*TERMINAL)
    assert await Run.objects.acount() == 1


async def test_WS_28_an_interrupt_ends_the_old_run_before_the_new_one_starts(mine, ringing):
    async with Socket() as socket:
        await socket.say(LONG)
        await socket.until("text.delta")
        await socket.say(SHORT, if_running="interrupt")
        frames = await socket.until(*TERMINAL, times=2)
    turns = [f["type"] for f in frames if f["type"].startswith("run.")]
    assert turns == ["run.queued", "run.cancelled", "run.started", "run.finished"]


async def test_messages_that_are_sent_at_once_are_answered_in_their_order(mine, ringing):
    wanted = [f"[[text=a{n} delay_ms=0]]" for n in range(10)]
    async with Socket() as socket:
        for text in wanted:
            await socket.say(text, if_running="enqueue")
        frames = await socket.until(*TERMINAL, times=10)
    assert not [frame for frame in frames if frame["type"] == "refused"]
    questions = Message.objects.filter(role="user").order_by("seq")
    assert [question.parts[0]["text"] async for question in questions] == wanted


async def test_WS_29_a_key_sent_twice_is_one_run_also_on_two_sockets_at_once(mine, ringing):
    async with Socket("?after=0") as one, Socket("?after=0") as other:
        for _ in range(3):
            for socket in (one, other):
                await socket.say(SHORT, idempotency_key="k1")
        told = [await socket.until(*TERMINAL) for socket in (one, other)]
    assert joined(told[0]) == joined(told[1])
    assert await Run.objects.acount() == 1
    started = next(frame for frame in told[0] if frame["type"] == "message.started")
    assert started["idempotency_key"] == "k1"


async def test_more_commands_than_can_be_stored_at_once_are_refused(mine, redis):
    async with Socket() as socket:
        for number in range(100):
            await socket.say("Hi", if_running="enqueue", idempotency_key=f"k{number}")
        frames = [await socket.frame()]
        while not await socket.has_nothing():
            frames.append(await socket.frame())
    codes = {frame["code"] for frame in frames if frame["type"] == "refused"}
    assert codes <= {"too_many_commands", "too_many_queued"}
    assert "too_many_commands" in codes
    assert 1 <= await Run.objects.acount() <= runs.MAX_QUEUED


async def test_a_message_to_a_session_that_was_deleted_meanwhile_is_refused(mine, monkeypatch):
    async def never(*_):
        await asyncio.Event().wait()

    # Else the hub would look into the log again, find that out, and close the socket.
    monkeypatch.setattr("chat.hub.COMPARE_EVERY_S", 100)
    monkeypatch.setattr("chat.broadcast.join", never)
    async with Socket("?caught_up=1") as socket:
        assert (await socket.frame())["type"] == "caught_up"
        await database.write(sessions.delete, mine)
        await socket.say("Hi")
        assert (await socket.frame())["code"] == "unknown_session"


async def test_a_database_that_is_away_is_said_and_the_socket_stays(mine, ringing, monkeypatch):
    def fail(*_, **__):
        raise OperationalError("gone: host=secret")

    async with Socket() as socket:
        with monkeypatch.context() as patch:
            patch.setattr(runs, "_start", fail)
            await socket.say(SHORT)
            refused = await socket.frame()
        assert (refused["code"], "secret" in refused["detail"]) == ("storage", False)
        await socket.say(SHORT)
        assert (await socket.until(*TERMINAL))[-1]["type"] == "run.finished"


async def test_a_bug_is_said_without_details_and_the_socket_stays(mine, ringing, monkeypatch):
    def fail(*_):
        raise RuntimeError("secret")

    async with Socket() as socket:
        with monkeypatch.context() as patch:
            patch.setattr(runs, "_start", fail)
            await socket.say(SHORT)
            refused = await socket.frame()
        assert (refused["code"], "secret" in refused["detail"]) == ("internal", False)
        await socket.say(SHORT)
        assert (await socket.until(*TERMINAL))[-1]["type"] == "run.finished"
