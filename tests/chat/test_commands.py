import json

import pytest

from chat import commands
from chat.commands import CancelRun, InvalidCommand, SendMessage


def test_a_message_is_read():
    assert commands.parse('{"type": "send_message", "text": "Hi"}') == SendMessage(text="Hi")


def test_a_cancel_may_name_a_run_or_none():
    assert commands.parse('{"type": "cancel_run"}') == CancelRun()
    assert commands.parse('{"type": "cancel_run", "run_id": "x"}') == CancelRun(run_id="x")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{nope", "invalid_json"),
        ("", "invalid_json"),
        ("null", "invalid_command"),
        ("1", "invalid_command"),
        ('"x"', "invalid_command"),
        ("[]", "invalid_command"),
        ("true", "invalid_command"),
        ("{}", "unknown_type"),
        ('{"type": "frobnicate"}', "unknown_type"),
        ('{"type": "websocket.disconnect"}', "unknown_type"),
        ('{"type": "__class__"}', "unknown_type"),
        ('{"type": 7}', "unknown_type"),
        ('{"type": "send_message"}', "invalid_command"),
        ('{"type": "send_message", "text": ""}', "invalid_command"),
        ('{"type": "send_message", "text": "  \\n "}', "invalid_command"),
        ('{"type": "send_message", "text": "\\u200b\\u2060"}', "invalid_command"),
        ('{"type": "send_message", "text": "\\u0000"}', "invalid_command"),
        ('{"type": "send_message", "text": 123}', "invalid_command"),
        ('{"type": "send_message", "text": null}', "invalid_command"),
        ('{"type": "send_message", "text": {"a": 1}}', "invalid_command"),
        ('{"type": "send_message", "text": "x", "cost": 0}', "invalid_command"),
        ('{"type": "send_message", "text": "x", "if_running": "maybe"}', "invalid_command"),
        ('{"type": "send_message", "text": "x", "model": "no colon"}', "invalid_command"),
        ('{"type": "send_message", "text": "x", "idempotency_key": "a b"}', "invalid_command"),
        ('{"type": "send_message", "text": "\\ud800"}', "invalid_json"),
    ],
)
def test_nonsense_is_refused_with_a_code(text, code):
    with pytest.raises(InvalidCommand) as refused:
        commands.parse(text)
    assert refused.value.code == code


def test_an_unknown_type_is_named_but_not_echoed_at_length():
    with pytest.raises(InvalidCommand, match=r"'x{20,62}") as refused:
        commands.parse(json.dumps({"type": "x" * 10_000 + "\x1b[31m"}))
    assert len(str(refused.value)) < 200


def test_a_nul_is_dropped_from_a_message():
    assert commands.parse('{"type": "send_message", "text": "a\\u0000b"}').text == "ab"


def test_a_message_may_be_as_long_as_stated_and_no_longer():
    longest = "é" * (commands.MAX_TEXT_BYTES // 2)
    assert commands.parse(json.dumps({"type": "send_message", "text": longest})).text == longest
    with pytest.raises(InvalidCommand, match="longer than 32 KiB"):
        commands.parse(json.dumps({"type": "send_message", "text": longest + "a"}))


def test_a_frame_of_a_megabyte_is_refused_before_it_is_read():
    with pytest.raises(InvalidCommand) as refused:
        commands.parse('{"type": "send_message", "text": "' + "x" * 1_000_000 + '"}')
    assert refused.value.code == "too_large"
