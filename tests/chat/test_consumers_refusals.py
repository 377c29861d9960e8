"""WebSocket: nonsense is refused and the socket stays; who may not come in hears why."""

import json

import pytest
from channels.testing import WebsocketCommunicator

from chat import sockets
from chat.models import ChatSession, EventRecord, Message
from project.asgi import application

pytestmark = pytest.mark.django_db(transaction=True)

HOST = (b"host", b"testserver")


@pytest.fixture(autouse=True)
def mine(transactional_db, redis):
    return ChatSession.objects.create(owner_key="open", session_id="mine", model="scripted:demo")


def wire_to(path="/ws/sessions/mine", headers=(), **scope):
    wire = WebsocketCommunicator(application, path, headers=[HOST, *headers])
    wire.scope.update(scope)
    return wire


async def refusal(text=None, data=None):
    """What a socket answers to a frame, and to a good command after it."""
    wire = wire_to()
    assert (await wire.connect(timeout=5))[0]
    frame = {"text": text} if data is None else {"bytes": data}
    await wire.send_input({"type": "websocket.receive", **frame})
    refused = json.loads(await wire.receive_from(timeout=2))
    assert not await Message.objects.aexists()
    await wire.send_json_to({"type": "send_message", "text": "Hi"})
    assert json.loads(await wire.receive_from(timeout=5))["type"] == "run.queued"
    await wire.disconnect(timeout=5)
    assert set(refused) == {"type", "code", "detail"}
    assert refused["type"] == "refused"
    assert len(refused["detail"]) < 300
    return refused["code"]


async def test_a_client_that_goes_on_sending_nonsense_is_cut_off():
    wire = wire_to()
    await wire.connect(timeout=5)
    for _ in range(10):
        await wire.send_input({"type": "websocket.receive", "text": "{nope"})
        assert json.loads(await wire.receive_from(timeout=2))["code"] == "invalid_json"
    await wire.send_input({"type": "websocket.receive", "text": "{nope"})
    assert (await wire.receive_output(timeout=2))["code"] == sockets.TOO_MANY == 4429


async def closing(path="/ws/sessions/mine", headers=(), **scope):
    """The code with which a socket is closed after it was accepted."""
    wire = wire_to(path, headers, **scope)
    assert (await wire.connect(timeout=5))[0]
    closed = await wire.receive_output(timeout=5)
    assert closed["type"] == "websocket.close"
    await wire.disconnect(timeout=5)
    return closed["code"]


async def test_WS_1_broken_json_is_refused():
    assert await refusal("{nope") == "invalid_json"


async def test_WS_2_an_empty_frame_is_refused():
    assert await refusal("") == "invalid_json"


@pytest.mark.parametrize("data", [b'{"type": "send_message", "text": "x"}', b"\xff\xfe", b""])
async def test_WS_3_WS_4_a_binary_frame_is_refused(data):
    assert await refusal(data=data) == "binary_frame"


@pytest.mark.parametrize("text", ["null", "1", '"x"', "[]", "true"])
async def test_WS_5_what_is_no_object_is_refused(text):
    assert await refusal(text) == "invalid_command"


@pytest.mark.parametrize("text", [{"a": 1}, 123, None, ["a"], True])
async def test_WS_6_a_text_that_is_none_is_refused(text):
    assert await refusal(json.dumps({"type": "send_message", "text": text})) == "invalid_command"


@pytest.mark.parametrize("text", ["", "   ", "\u200b\u2060\ufeff", "\0", "\n\t"], ids=ascii)
async def test_WS_7_an_empty_message_is_refused(text):
    assert await refusal(json.dumps({"type": "send_message", "text": text})) == "invalid_command"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_WS_8_a_number_that_is_none_is_refused(number):
    assert await refusal(f'{{"type": "send_message", "text": {number}}}') == "invalid_json"


async def test_WS_9_the_same_key_twice_is_refused():
    text = '{"type": "cancel_run", "type": "send_message", "text": "x"}'
    assert await refusal(text) == "invalid_json"


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 20_000, '{"type": ' + "[" * 50 + "]" * 50 + "}"], ids=range(3)
)
async def test_WS_10_deep_nesting_is_refused(text):
    assert await refusal(text) == "invalid_json"


async def test_WS_11_a_number_of_5000_digits_is_refused():
    assert await refusal('{"type": ' + "9" * 5000 + "}") == "invalid_json"


async def test_WS_12_a_nul_is_dropped_before_the_database():
    wire = wire_to()
    await wire.connect(timeout=5)
    await wire.send_json_to({"type": "send_message", "text": "a\0b"})
    frames = [json.loads(await wire.receive_from(timeout=5)) for _ in range(3)]
    await wire.disconnect(timeout=5)
    assert frames[-1]["parts"] == [{"type": "text", "text": "ab"}]


@pytest.mark.parametrize("text", ['"\\ud800"', '"a\\udc00"', '"\ud800"'], ids=range(3))
async def test_WS_13_half_of_a_surrogate_pair_is_refused(text):
    assert await refusal(f'{{"type": "send_message", "text": {text}}}') == "invalid_json"


@pytest.mark.parametrize(
    ("size", "code"), [(32 * 1024 + 1, "invalid_command"), (1024 * 1024, "too_large")]
)
async def test_WS_14_a_message_that_is_too_long_is_refused(size, code):
    assert await refusal(json.dumps({"type": "send_message", "text": "x" * size})) == code


@pytest.mark.parametrize("kind", ["frobnicate", "", None, 7, {"a": 1}, "<script>", "x" * 10_000])
async def test_WS_16_an_unknown_type_is_refused(kind):
    assert await refusal(json.dumps({"type": kind})) == "unknown_type"


@pytest.mark.parametrize(
    "kind",
    [
        *("websocket.disconnect", "websocket.close", "websocket.receive", "chat.message"),
        *("__class__", "_private", "_follow", "__call__", "events", "close"),
    ],
)
async def test_WS_17_a_type_never_names_something_inside(kind):
    assert await refusal(json.dumps({"type": kind, "text": "x"})) == "unknown_type"


@pytest.mark.parametrize(
    "more", [{"cost": 0}, {"model": "x"}, {"if_running": "maybe"}, {"idempotency_key": "a b"}]
)
async def test_a_message_with_wrong_fields_is_refused(more):
    command = {"type": "send_message", "text": "x", **more}
    assert await refusal(json.dumps(command)) == "invalid_command"


async def test_a_model_that_cannot_be_used_is_refused():
    command = {"type": "send_message", "text": "x", "model": "openai:gpt-4o-mini"}
    assert await refusal(json.dumps(command)) == "unknown_model"


@pytest.mark.parametrize(
    "session_id",
    [
        *("nobodys", "Mine", "..", "%2e%2e", "a%00b", "';%20DROP%20TABLE--", "%3Cscript%3E"),
        *(
            "x" * 10_000,
            "%F0%9F%98%80",
            "a%20b",
            "constructor",
            "*",
            "g1!x",
            "mine%0A",
            "%EF%BC%91",
        ),
    ],
    ids=lambda text: text[:20],
)
async def test_WS_21_an_id_of_no_session_is_closed_as_unknown(session_id):
    assert await closing(f"/ws/sessions/{session_id}") == sockets.UNKNOWN_SESSION == 4404
    assert await ChatSession.objects.acount() == 1


@pytest.mark.parametrize(
    "path",
    [
        "/ws/nosuch",
        "/ws/sessions/",
        "/ws/sessions",
        "/",
        "/ws/sessions/../../etc",
        "/ws/sessions/a/b",
    ],
)
async def test_WS_26_an_unknown_path_is_refused_without_a_failure(path):
    wire = wire_to(path)
    assert (await wire.connect(timeout=5))[0] is False
    await wire.wait(timeout=5)


@pytest.mark.parametrize(
    "after",
    [
        *("-1", "1.5", "%227%22", "1e30", str(2**63), "9" * 5000, "", "%EF%BC%91", "+1", "1_0"),
        *(" 1", "1%20", "0x1", "null", "%00", "1%0A", "%ff"),
    ],
    ids=lambda text: text[:20],
)
async def test_WS_30_a_position_that_is_none_is_refused(after):
    assert await closing(f"/ws/sessions/mine?after={after}") == sockets.INVALID_REQUEST == 4400


async def test_WS_30_a_position_in_bytes_that_are_no_text_is_refused():
    assert await closing(query_string=b"after=1\xff") == 4400


async def test_WS_18_what_is_sent_to_a_socket_that_is_being_closed_is_not_stored():
    wire = wire_to("/ws/sessions/nobodys")
    await wire.connect(timeout=5)
    await wire.send_json_to({"type": "send_message", "text": "x"})
    assert (await wire.receive_output(timeout=5))["type"] == "websocket.close"
    assert await wire.receive_nothing(timeout=0.2)
    await wire.disconnect(timeout=5)
    assert not await EventRecord.objects.aexists()
