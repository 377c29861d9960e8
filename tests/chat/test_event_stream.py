"""Streams for clients that take gzip: each event can be read when it has come."""

import json
import zlib

import pytest

from tests.chat.dialects.asking import Request, events_in
from tests.chat.test_sse import Stream, finished, start

pytestmark = pytest.mark.django_db(transaction=True)


class Unzipping(Stream):
    """A client that decodes chunk by chunk, as browsers do."""

    def __init__(self, *args, **headers):
        super().__init__(*args, **headers)
        self._decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)

    async def chunk(self, timeout_s=5):
        sent = await self._wire.receive_output(timeout=timeout_s)
        self.bytes += sent["body"]
        text = self._decoder.decompress(sent["body"]).decode()
        self._unread += text
        return text


async def test_F69_a_compressed_stream_tells_each_event_as_it_comes(mine, ringing):
    async with Unzipping("?after=0&compress=1", accept_encoding="gzip, deflate, br") as stream:
        assert stream.headers["Content-Encoding"] == "gzip"
        assert stream.headers["Vary"].startswith("Accept")
        assert (await stream.chunk()).startswith(":" + " " * 2048)
        await start(mine, "[[tokens=20 delay_ms=10]]")
        told = await stream.log()
    assert "".join(e["delta"] for e in told if e["type"] == "text.delta").split()[-1] == "w19"
    plain = sum(len(json.dumps(event)) for event in told)
    assert len(stream.bytes) < plain / 2


async def test_F69_the_older_endpoints_end_a_compressed_stream_properly(ringing):
    body = {"prompt": "[[tokens=3 delay_ms=30]]", "stream_tokens": True}
    sent = {"accept-encoding": "gzip"}
    decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    async with Request("/stream", body=body, headers=sent) as request:
        request.decode = decoder.decompress
        told = events_in(await request.read())
    assert (told[-1]["event"], decoder.eof, decoder.unused_data) == ("agent_end", True, b"")
    assert all(chunk.endswith("\n\n") for chunk in request.chunks if chunk)


@pytest.mark.parametrize("asked", ["identity", "gzip;q=0", "gzip; q=0.000, *", "br", "xgzip", None])
async def test_F69_who_does_not_take_gzip_is_not_given_it(mine, ringing, asked):
    headers = {"accept_encoding": asked} if asked else {}
    await finished(mine)
    async with Stream("?after=0&compress=1", **headers) as stream:
        assert "Content-Encoding" not in stream.headers
        assert (await stream.log())[-1]["type"] == "run.finished"


@pytest.mark.parametrize("asked", ["gzip", "br, GZIP;q=0.5", "deflate,gzip ; q=1.0"])
async def test_F69_gzip_is_found_among_others(mine, redis, asked):
    async with Stream("?compress=1", accept_encoding=asked) as stream:
        assert stream.headers["Content-Encoding"] == "gzip"
