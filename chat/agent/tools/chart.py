"""Bar charts as pictures: what a tool looks like that gives more than text."""

import math
import struct
import zlib

from langchain_core.tools import ToolException, tool

from chat.agent.artifacts import Artifact

WIDTH, HEIGHT, MARGIN = 640, 320, 20
MAX_BARS = 40
PAPER, AXIS = b"\xff\xff\xff", b"\x6b\x72\x80"
COLOURS = (b"\x25\x63\xeb", b"\xea\x58\x0c", b"\x05\x96\x69", b"\x7c\x3a\xed")


@tool(response_format="content_and_artifact")
def chart(title: str, values: dict[str, float]) -> tuple[str, Artifact]:
    """Draw a bar chart, which the user is shown. `values` holds a number for each label."""
    numbers = list(values.values())
    if not 1 <= len(numbers) <= MAX_BARS or not all(map(math.isfinite, numbers)):
        raise ToolException(f"A chart shows 1 to {MAX_BARS} numbers.")
    said = ", ".join(f"{label}: {number:g}" for label, number in values.items())
    picture = Artifact(
        name="chart.png",
        title=f"{title} ({said})",
        content_type="image/png",
        content=_png(_rows(numbers)),
    )
    return f"a bar chart of {said}, which the user is shown", picture


def _rows(numbers: list[float]) -> list[bytes]:
    """Give the lines of the picture, three bytes for each point."""
    top, bottom = max(0.0, *numbers), min(0.0, *numbers)
    per_unit = (HEIGHT - 2 * MARGIN) / ((top - bottom) or 1.0)
    zero = MARGIN + round(top * per_unit)
    step = (WIDTH - 2 * MARGIN) // len(numbers)
    bar, gap = step - step // 5, step // 5
    rows = []
    for y in range(HEIGHT):
        row = AXIS if y == zero else PAPER
        line = row * (MARGIN + gap // 2)
        for position, number in enumerate(numbers):
            end = zero - round(number * per_unit)
            is_inside = min(zero, end) <= y < max(zero, end)
            line += (COLOURS[position % len(COLOURS)] if is_inside else row) * bar + row * gap
        rows.append((line + row * WIDTH)[: 3 * WIDTH])
    return rows


def _png(rows: list[bytes]) -> bytes:
    """Write a picture of eight bits for each colour: https://www.w3.org/TR/png-3/."""
    header = struct.pack(">IIBBBBB", len(rows[0]) // 3, len(rows), 8, 2, 0, 0, 0)
    points = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = ((b"IHDR", header), (b"IDAT", points), (b"IEND", b""))
    written = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)
