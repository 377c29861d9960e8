"""What tools make that is no text: kept, told of, given to its owner, gone with its session."""

import io

import pytest
from django.test import AsyncClient
from langchain_core.tools import ToolException, tool
from PIL import Image

from chat import database, sessions
from chat.agent.artifacts import MAX_BYTES, Artifact
from chat.agent.tools import TOOLS
from chat.models import Artifact as StoredArtifact
from chat.models import ChatSession, Message
from tests import invariants
from tests.chat.test_consumers import Socket
from tests.chat.test_sse import Stream, finished

pytestmark = pytest.mark.django_db(transaction=True)

CHART = "Draw a chart of apples: 3, pears: 5 and plums: 8"
ODD = "[[tool=odd args={} delay_ms=0]]"


def opened(content):
    picture = Image.open(io.BytesIO(content))
    picture.load()
    assert picture.format == "PNG"
    return picture


def colours_of(picture):
    return {"#" + bytes(colour).hex() for _, colour in picture.getcolors(2**20)}


async def result_in(stream):
    log = await stream.log()
    (told,) = [event for event in log if event["type"] in ("tool.result", "tool.failed")]
    return told


@pytest.fixture
def make(ringing, mine, monkeypatch):
    """Let a tool make something; gives what is told of its call."""

    async def ask(**artifact):
        def odd():
            return "Made.", Artifact(**artifact)

        made = tool("odd", description="Odd.", response_format="content_and_artifact")(odd)
        monkeypatch.setitem(TOOLS, "odd", made)
        await finished(mine, ODD)
        async with Stream("?after=0") as stream:
            return await result_in(stream)

    return ask


async def test_F69_a_picture_is_told_of_kept_and_given(mine, ringing):
    await finished(mine, CHART)
    async with Stream("?after=0") as stream:
        told = await result_in(stream)
    (ref,) = told["artifacts"]
    assert "apples: 3, pears: 5, plums: 8" in ref["title"]
    answer = await AsyncClient().get(ref["url"])
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
    assert len(answer.content) == ref["size"]
    picture = opened(answer.content)
    assert picture.size == (960, 480)
    assert {"#2563eb", "#ea580c", "#059669"} <= colours_of(picture)
    assert answer["Content-Disposition"] == 'inline; filename="chart.png"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer["Cache-Control"].startswith("private")
    message = await Message.objects.aget(role="assistant")
    (kept,) = [part for part in message.parts if part["type"] == "tool_result"]
    assert kept["artifacts"] == [ref]
    await database.read(invariants.check_session, mine)
    await database.write(sessions.delete, await ChatSession.objects.aget(pk=mine.pk))
    assert not await StoredArtifact.objects.aexists()
    assert (await AsyncClient().get(ref["url"])).status_code == 404


@pytest.mark.parametrize("query", ["?after=0&binary=1", "?after=0&binary=1&batch_ms=100"])
async def test_F69_a_socket_that_asks_for_it_is_sent_the_file_as_a_binary_frame(
    mine, ringing, query
):
    await finished(mine, CHART)
    stored = await StoredArtifact.objects.aget()
    async with Socket(query) as socket:
        announced = (await socket.until("artifact"))[-1]
        content = await socket._wire.receive_from(timeout=5)
    assert (announced["artifact_id"], announced["size"]) == (str(stored.pk), len(content))
    assert content == bytes(stored.content)


async def test_who_asks_for_no_files_is_sent_none(mine, ringing):
    await finished(mine, CHART)
    async with Socket("?after=0") as socket:
        frames = await socket.until("run.finished")
        assert await socket.has_nothing()
    assert "artifact" not in {frame["type"] for frame in frames}


@pytest.mark.parametrize("content_type", ["image/svg+xml", "text/html", "application/pdf"])
async def test_F69_what_could_run_in_a_browser_is_saved(make, content_type):
    told = await make(name="é 1.svg", title="A", content_type=content_type, content=b"<script>")
    answer = await AsyncClient().get(told["artifacts"][0]["url"])
    assert answer["Content-Disposition"] == "attachment; filename*=utf-8''%C3%A9%201.svg"
    assert answer["Content-Type"] == content_type


@pytest.mark.parametrize(
    "wrong",
    [
        {"content": bytes(MAX_BYTES + 1)},
        {"content_type": "text/html\r\nX: y"},
        {"name": "../passwd"},
        {"name": 'a"b'},
        {"name": ""},
    ],
)
async def test_F69_what_cannot_be_kept_is_an_error_that_the_model_reads(make, wrong):
    fields = {"name": "a.png", "title": "A", "content_type": "image/png", "content": b"x"}
    told = await make(**{**fields, **wrong})
    assert told["type"] == "tool.failed"
    assert told["error"]
    assert not await StoredArtifact.objects.aexists()


async def test_a_title_that_no_database_stores_is_cleaned(make):
    told = await make(name="a.bin", title="a\0\ud800" * 900, content_type="a/b", content=b"")
    (ref,) = told["artifacts"]
    assert len(ref["title"]) == 500
    assert (ref["size"], ref["title"][:2]) == (0, "a\ufffd")


async def test_another_session_s_artifact_is_unknown(mine, ringing):
    await finished(mine, CHART)
    stored = await StoredArtifact.objects.aget()
    await ChatSession.objects.acreate(owner_key="open", session_id="other")
    await ChatSession.objects.acreate(owner_key="user:charlie", session_id="foreign")
    for session_id, artifact_id in [
        ("other", stored.pk),
        ("foreign", stored.pk),
        ("mine", "nonsense"),
        ("mine", "00000000-0000-4000-8000-000000000000"),
    ]:
        answer = await AsyncClient().get(f"/api/sessions/{session_id}/artifacts/{artifact_id}")
        assert answer.status_code == 404


def drawn(values):
    args = {"title": "T", "values": values}
    return TOOLS["chart"].invoke({"name": "chart", "args": args, "id": "1", "type": "tool_call"})


@pytest.mark.parametrize(
    "values", [{}, {str(n): n for n in range(41)}, {"a": float("inf")}], ids=["0", "41", "inf"]
)
def test_a_chart_of_nothing_or_too_much_is_refused(values):
    with pytest.raises(ToolException, match="1 to 40 numbers"):
        drawn(values)


@pytest.mark.parametrize("values", [[0], [-3, 2], [1e300, 1e-300], range(40)], ids=str)
def test_a_chart_is_drawn_of_any_numbers(values):
    message = drawn({str(place): number for place, number in enumerate(values)})
    assert opened(message.artifact.content).size == (960, 480)


def test_a_chart_says_what_its_bars_are():
    drawings = [drawn({"apples": 3}), drawn({"pears": 3}), drawn({"apples": 3.5})]
    assert len({message.artifact.content for message in drawings}) == 3


@pytest.mark.parametrize(
    "label", ["", "two\nlines", "w" * 10_000, "\ud800", "\0", "梨 🍐"], ids=ascii
)
def test_any_label_is_drawn(label):
    assert opened(drawn({label: 1, "b": 2}).artifact.content).size == (960, 480)
