"""The sockets of seeds 1 to 5: messages in, frames out, cancels, and coming back."""

import asyncio
import json

import pytest
from channels.testing import WebsocketCommunicator

from chat import attendance, database
from chat.models import ChatSession, Message, Run
from project.asgi import application
from tests import driving, invariants

pytestmark = pytest.mark.django_db(transaction=True)

#: Slow enough for each token to be told by itself.
THREE = "[[tokens=3 delay_ms=80]]"
LONG = "[[tokens=2000 delay_ms=5]]"


class Socket:
    """A client's end of a socket."""

    def __init__(self, path="/ws?session_id=user123"):
        self._wire = WebsocketCommunicator(application, path)

    async def __aenter__(self):
        assert await self._wire.connect(timeout=5) == (True, None)
        return self

    async def __aexit__(self, *_):
        await self._wire.disconnect(timeout=5)

    async def say(self, **said):
        await self._wire.send_to(text_data=json.dumps(said))

    async def say_text(self, text):
        await self._wire.send_to(text_data=text)

    async def text(self, timeout_s=5):
        return await self._wire.receive_from(timeout=timeout_s)

    async def frame(self):
        return json.loads(await self.text())

    async def until(self, *kinds):
        """Collect frames up to and with one of these types."""
        frames = [await self.frame()]
        while frames[-1]["type"] not in kinds:
            frames.append(await self.frame())
        return frames

    async def has_nothing(self):
        return await self._wire.receive_nothing(timeout=0.3)


def kinds_of(frames):
    return [frame["type"] for frame in frames]


@pytest.mark.parametrize("path", ["/ws?session_id=user123", "/chat/ws?session_id=user123"])
async def test_F13_a_message_is_answered_with_all_frames_and_so_is_the_next(ringing, path):
    async with Socket(path) as socket:
        connected = await socket.frame()
        assert connected == {
            "type": "connected", "session_id": "user123",
            "message": "WebSocket connection established",
        }  # fmt: skip
        for said in ({"message": THREE}, {"type": "message", "message": THREE}):
            await socket.say(**said)
            kinds = kinds_of(await socket.until("done"))
            assert kinds == ["llm_start", "token", "token", "token", "llm_end", "done"]


async def test_F14_a_cancel_is_told_once_and_keeps_the_partial_answer(ringing):
    async with Socket() as socket:
        await socket.say(message=LONG)
        await socket.until("token")
        for _ in range(3):
            await socket.say(type="cancel")
        frames = await socket.until("cancelled")
        assert frames[-1] == {"type": "cancelled", "message": "Stream cancelled by user"}
        assert await socket.has_nothing()
    run = await Run.objects.aget()
    assert run.status == "cancelled"
    kept = await Message.objects.aget(role="assistant")
    assert kept.parts[0]["text"].startswith("w0 ")
    session = await ChatSession.objects.aget()
    await database.read(invariants.check_session, session)


async def test_F15_a_cancel_right_behind_its_message_counts(ringing):
    async with Socket() as socket:
        await socket.say(message=LONG)
        await socket.say(type="cancel")
        kinds = kinds_of(await socket.until("cancelled", "done"))
    assert kinds[-1] == "cancelled"


async def test_F16_what_cannot_be_done_is_said_and_the_socket_stays(ringing):
    async with Socket() as socket:
        await socket.frame()
        await socket.say(type="cancel")
        assert await socket.has_nothing()
        for text, error in [
            ('{"message": ""}', "Empty message"),
            ("{}", "Empty message"),
            ("{", "Not valid JSON"),
            ("[]", "A message is a JSON object"),
            ('{"message": 1}', "The message is not a text"),
            ('{"type": "evil", "message": "x"}', "Unknown type"),
        ]:
            await socket.say_text(text)
            told = await socket.frame()
            assert told["type"] == "error"
            assert told["error"].startswith(error)
        await socket.say(message=THREE)
        await socket.until("done")


async def test_F17_a_new_message_stops_the_one_before(ringing):
    async with Socket() as socket:
        await socket.say(message=LONG)
        await socket.until("token")
        await socket.say(message=THREE)
        kinds = kinds_of(await socket.until("done"))
    assert kinds.count("cancelled") == 1
    assert kinds.index("cancelled") < kinds.index("llm_start")


async def test_F19_who_comes_back_is_told_the_rest_of_what_he_asked(ringing):
    async with Socket() as socket:
        await socket.say(message="[[tokens=40 delay_ms=20]]")
        await socket.until("token")
    async with Socket() as socket:
        frames = await socket.until("done")
    assert kinds_of(frames)[0] == "connected"
    assert frames[-1]["result"].startswith("w0 ")
    assert frames[-1]["result"].endswith("w39 ")
    counts = [frame["token_count"] for frame in frames if frame["type"] == "token"]
    assert counts == list(range(counts[0], counts[0] + len(counts)))
    assert await Run.objects.acount() == 1


async def test_F11_nobody_who_went_away_pays_for_the_rest(ringing, monkeypatch):
    monkeypatch.setattr(attendance, "GRACE_S", 0.2)
    async with Socket() as socket:
        await socket.say(message=LONG)
        await socket.until("token")
    run = await Run.objects.aget()
    run = await database.read(driving.wait_for_status, run.pk, "cancelled")
    assert run.cancel_reason == "disconnected"


async def test_F65_commands_are_answered_in_lines(ringing):
    async with Socket("/ws") as socket:
        assert "message" in await socket.frame()
        await socket.say(command="What is 25 * 4?", timestamp="2026-01-01T00:00:00Z")
        frames = await socket.until("agent")
        assert frames[0] == {"message": "Processing: What is 25 * 4?", "type": "system"}
        assert frames[-1]["message"].startswith("Task completed: ")
        assert "100" in frames[-1]["message"]


async def test_F65_a_command_is_stopped_by_a_command(ringing):
    async with Socket("/ws") as socket:
        await socket.frame()
        await socket.say(command=LONG)
        await socket.until("system")
        await socket.say(command="__STOP__")
        assert (await socket.frame())["message"] == "Stop requested"
        assert (await socket.frame())["message"] == "Task stopped by user"
        await socket.say(command="")
        assert (await socket.frame()) == {"message": "Empty message", "type": "error"}


async def test_F67_tokens_come_on_the_socket_to_those_who_want_them(ringing):
    async with Socket("/ws") as socket:
        await socket.say(command=THREE, stream=True)
        frames = await socket.until("agent")
    tokens = [frame["message"] for frame in frames if frame["type"] == "token"]
    assert "".join(tokens) == "w0 w1 w2 "


async def test_F55_a_prompt_is_answered_with_flat_events(ringing):
    async with Socket("/stream") as socket:
        await socket.say(prompt=THREE, session_id="my-session")
        frames = await socket.until("agent_end")
        assert kinds_of(frames)[0] == "agent_start"
        assert frames[0]["session_id"] == "my-session"
        tokens = [frame["token"] for frame in frames if frame["type"] == "llm_token"]
        assert "".join(tokens) == frames[-1]["output"] == "w0 w1 w2 "
        await socket.say(prompt="")
        assert (await socket.frame())["error"] == "Empty message"


async def test_F45_an_actor_is_not_told_what_another_one_said(ringing):
    async with Socket("/stream") as socket:
        await socket.say(prompt="My name is Alice", session_id="my-session")
        await socket.until("agent_end")
        outputs = []
        for who in ({}, {"actor_id": "user-123"}):
            await socket.say(prompt="What's my name?", session_id="my-session", **who)
            outputs.append((await socket.until("agent_end"))[-1]["output"])
    assert ["Alice" in output for output in outputs] == [True, False]


@pytest.mark.parametrize("path", ["/ws/chunks", "/ws?format=text"])
@pytest.mark.parametrize("is_json", [True, False])
async def test_F85_text_comes_as_it_is_and_then_DONE(ringing, path, is_json):
    async with Socket(path) as socket:
        await socket.say_text(json.dumps({"message": THREE}) if is_json else THREE)
        texts = [await socket.text()]
        while texts[-1] != "[DONE]":
            texts.append(await socket.text())
    assert "".join(texts[:-1]) == "w0 w1 w2 "


async def test_F83_an_answer_that_breaks_off_says_so(ringing):
    async with Socket("/ws/chunks") as socket:
        await socket.say_text("[[tokens=5 delay_ms=0 fail=unavailable fail_after=2]]")
        texts = [await socket.text()]
        while texts[-1] != "[DONE]":
            texts.append(await socket.text())
    assert "".join(texts[:-1]) == "w0 w1 \n[Error: Stream interrupted]"


async def test_F68_sockets_of_many_sessions_hear_only_their_own(ringing):
    async def converse(number):
        async with Socket(f"/ws?session_id=s{number}") as socket:
            await socket.say(message=f'[[text="mine {number}" delay_ms=10]]')
            return (await socket.until("done"))[-1]["result"]

    results = await asyncio.gather(*(converse(number) for number in range(10)))
    assert results == [f"mine {number}" for number in range(10)]


@pytest.mark.parametrize("path", ["/ws", "/chat/ws", "/stream", "/ws/chunks"])
async def test_with_required_login_no_socket_is_open(ringing, settings, path):
    settings.AUTH = "required"
    wire = WebsocketCommunicator(application, path)
    assert (await wire.connect(timeout=5))[0]
    assert (await wire.receive_output(5))["code"] == 4401
