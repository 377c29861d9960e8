"""The text is the provider's, byte for byte, however it is cut on its way."""

import json

import pytest

from tests.fakes.provider import FakeProvider
from tests.process.client import Client, check_order, text_of

pytestmark = pytest.mark.process

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
FLAG = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
TEXTS = {
    "plain": "An answer of one line.",
    "emoji": f"wave \U0001f44b\U0001f3fd family {FAMILY} flag {FLAG} heart \u2764\ufe0f end",
    "combining": "e\u0301 a\u0308\u0323 \u1112\u1161\u11ab n\u0303 \u0e01\u0e33 \u05e9\u05c1",
    "spaces": "  two\n\n\n\tthree \u00a0\u2003\u200b\u2028\u2029 end\r\n",
    "direction": "\u202eabc\u202c \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u2067x\u2069",
    "markup": "<b>&amp;</b> \\n \"quoted\" 'single' \\u0041 data: x\n\nevent: y\n\n[DONE]",
    "controls": "bell \u0007 escape \u001b delete \u007f next \u0085 end",
}
CUTS = {
    "characters": "cut=1",
    "bytes": "cut=bytes:1",
    "odd-bytes": "cut=bytes:7",
    "surrogates": "cut=2 surrogates=1",
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_is_the_provider_s(
    client: Client, provider: FakeProvider, text: str, cut: str
) -> None:
    session_id = client.new_session()
    with client.socket(session_id) as socket:
        socket.ask(f"[[fake text={json.dumps(text)} {cut}]]")
        assert socket.read_to_end()["type"] == "run.finished"
    check_order(socket.frames)
    assert text_of(socket.frames) == provider.requests[-1].text_sent == text
    assert client.answer_of(client.run(socket.frames[-1]["run_id"])) == text


def test_nul_is_replaced_visibly_and_the_rest_kept(client: Client, provider: FakeProvider) -> None:
    run = client.ask('[[fake text="a\\u0000b\\u0000\\u0000c" cut=1]]')
    assert run["status"] == "finished"
    assert provider.requests[-1].text_sent == "a\0b\0\0c"
    assert client.answer_of(run) == text_of(client.events_of(run)) == "a\ufffdb\ufffd\ufffdc"


def test_half_a_character_does_not_break_the_answer(client: Client) -> None:
    run = client.ask('[[fake text="before \\ud83d after" cut=1]]')
    assert run["status"] == "finished"
    answer = client.answer_of(run)
    assert answer.startswith("before ")
    assert answer.endswith(" after")
    assert text_of(client.events_of(run)) == answer


def test_a_user_s_text_arrives_at_the_provider_unchanged(
    client: Client, provider: FakeProvider
) -> None:
    said = f"{TEXTS['emoji']} {TEXTS['combining']} {TEXTS['direction']} [[fake tokens=1]]"
    client.ask(said)
    assert provider.requests[-1].request["messages"][-1]["content"] == said


def test_history_is_sent_to_the_model(client: Client) -> None:
    session_id = client.new_session()
    first = client.ask("one [[fake tokens=3]]", session_id=session_id)
    said = client.answer_of(first)
    echoed = json.loads(client.answer_of(client.ask("two [[fake echo=1]]", session_id=session_id)))
    roles = [(item["role"], item["content"]) for item in echoed if item["role"] != "system"]
    assert roles == [
        ("user", "one [[fake tokens=3]]"),
        ("assistant", said),
        ("user", "two [[fake echo=1]]"),
    ]
