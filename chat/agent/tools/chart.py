"""Bar charts as pictures: what a tool looks like that gives more than text."""

import io
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

from langchain_core.tools import ToolException, tool
from PIL import Image, ImageDraw, ImageFont

from chat.agent.artifacts import Artifact

WIDTH, HEIGHT, MARGIN = 960, 480, 24
#: Where bars may be: below the title, above the labels, and room for a number at both ends.
TOP, BOTTOM = 90, HEIGHT - 70
MAX_BARS = 40
PAPER, INK, AXIS = "#ffffff", "#111827", "#6b7280"
COLOURS = ("#2563eb", "#ea580c", "#059669", "#7c3aed")
MAX_CHARACTERS = 200
#: Longer labels are cut where there are many.
LABEL_WIDTH = 120


@tool(response_format="content_and_artifact")
def chart(title: str, values: dict[str, float]) -> tuple[str, Artifact]:
    """Draw a bar chart, which the user is shown. `values` holds a number for each label."""
    if not 1 <= len(values) <= MAX_BARS or not all(map(math.isfinite, values.values())):
        raise ToolException(f"A chart shows 1 to {MAX_BARS} numbers.")
    said = ", ".join(f"{label}: {number:g}" for label, number in values.items())
    picture = Artifact(
        name="chart.png",
        title=f"{title} ({said})",
        content_type="image/png",
        content=_drawn(title, values),
    )
    return f"a bar chart of {said}, which the user is shown", picture


def _drawn(title: str, values: Mapping[str, float]) -> bytes:
    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(image)
    shown = _fitting(title, _font(24), WIDTH - 2 * MARGIN)
    draw.text((WIDTH / 2, MARGIN), shown, INK, _font(24), anchor="ma")
    _draw_bars(draw, values)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _draw_bars(draw: ImageDraw.ImageDraw, values: Mapping[str, float]) -> None:
    top, bottom = max(0.0, *values.values()), min(0.0, *values.values())
    per_unit = (BOTTOM - TOP) / ((top - bottom) or 1.0)
    zero = TOP + top * per_unit
    room, font = (WIDTH - 2 * MARGIN) / len(values), _font(16)
    numbers = [f"{number:g}" for number in values.values()]
    has_numbers = max(map(font.getlength, numbers)) <= room
    for place, number in enumerate(values.values()):
        left, end = MARGIN + place * room, zero - number * per_unit
        bar = (left + room / 10, min(zero, end), left + room * 9 / 10, max(zero, end))
        draw.rectangle(bar, COLOURS[place % len(COLOURS)])
        if has_numbers:
            beyond, anchor = (end - 6, "mb") if number >= 0 else (end + 6, "mt")
            draw.text((left + room / 2, beyond), numbers[place], INK, font, anchor=anchor)
    draw.line((MARGIN, zero, WIDTH - MARGIN, zero), AXIS, width=2)
    _draw_labels(draw, list(values), room)


def _draw_labels(draw: ImageDraw.ImageDraw, labels: Sequence[str], room: float) -> None:
    """Name the bars, or where they are narrow every second one, every third ..."""
    font = _font(16)
    widest = max(font.getlength(_fitting(label, font, LABEL_WIDTH)) for label in labels)
    every = math.ceil((widest + 8) / room)
    for place in range(0, len(labels), every):
        shown = _fitting(labels[place], font, room * every - 8)
        draw.text((MARGIN + (place + 0.5) * room, HEIGHT - MARGIN), shown, INK, font, anchor="mb")


def _fitting(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """The text in one line, as far as there is room for it."""
    line = " ".join(text[:MAX_CHARACTERS].split())
    if font.getlength(line) <= room:
        return line
    while line and font.getlength(f"{line}…") > room:
        line = line[:-1]
    return f"{line}…" if line else ""


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType.")
    return font
