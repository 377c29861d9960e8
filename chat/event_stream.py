"""Server-sent events as an HTTP response, compressed for clients that take gzip."""

import re
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

from django.http import HttpRequest, StreamingHttpResponse
from django.utils.cache import patch_vary_headers

#: A window of 2 KiB holds several events, which differ little; zlib's own choice costs 256 KiB for
#: each stream, and saves no more.
WINDOW_BITS, MEMORY_LEVEL = 11, 3
WITH_GZIP_HEADER = 16
_GZIP = re.compile(
    r"(?:^|,)\s*gzip\s*(?:;\s*q\s*=\s*(?:1(?:\.0*)?|0\.\d*[1-9]\d*)\s*)?(?=,|$)", re.I
)


def respond(
    request: HttpRequest,
    events: AsyncIterator[str],
    headers: Mapping[str, str] | None = None,
    *,
    may_compress: bool = True,
) -> StreamingHttpResponse:
    """Answer with a stream, each item of which is the text of one event."""
    takes_gzip = _GZIP.search(request.headers.get("Accept-Encoding", "")) is not None
    is_compressed = may_compress and takes_gzip
    response = StreamingHttpResponse(
        _gzipped(events) if is_compressed else events,
        content_type="text/event-stream; charset=utf-8",
        headers=headers,
    )
    if is_compressed:
        response["Content-Encoding"] = "gzip"
    patch_vary_headers(response, ["Accept-Encoding"])
    return response


async def _gzipped(events: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """Compress to one gzip member, in which each event can be read as soon as it has come.

    Django's own middleware makes a member of each chunk, of which many clients read only the first.
    """
    compressor = zlib.compressobj(wbits=WINDOW_BITS + WITH_GZIP_HEADER, memLevel=MEMORY_LEVEL)
    async with aclosing(events):  # type: ignore[type-var]
        async for event in events:
            yield compressor.compress(event.encode()) + compressor.flush(zlib.Z_SYNC_FLUSH)
    yield compressor.flush()
