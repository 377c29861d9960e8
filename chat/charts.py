"""Charts as SVG without styles or scripts: the style sheet of the page colours them.

Each bar and dot has a title with its value; a page shows the same numbers as a table too.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pygal
from django.utils.safestring import SafeString, mark_safe
from pygal.style import Style

# What pygal 3.1 adds for its maps has no find_spec(): with it Python 3.11 warns of each module that
# is looked for and not there.
sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, pygal.PluginImportFixer)]

Values = Sequence[float | None]
WIDTH, HEIGHT = 720, 240
#: Leaves room for the larger letters of small screens.
STYLE = Style(label_font_size=15, major_label_font_size=15)


def bars(title: str, *, labels: Sequence[str], series: Mapping[str, Sequence[float]]) -> SafeString:
    """Draw amounts that add up, one colour for each series."""
    highest = math.ceil(max(map(sum, zip(*series.values(), strict=True)), default=0))
    step = max(-(-highest // 4), 1)
    ticks = list(range(0, highest + step, step))
    return _draw(pygal.StackedBar(**_config(labels), y_labels=ticks), title, series)


def lines(title: str, *, labels: Sequence[str], series: Mapping[str, Values]) -> SafeString:
    """Draw a line for each series, with gaps where a value is None."""
    chart = pygal.Line(**_config(labels), include_x_axis=True, allow_interruptions=True)
    return _draw(chart, title, series)


def _config(labels: Sequence[str]) -> dict[str, Any]:
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "margin": 8,
        "explicit_size": False,
        "disable_xml_declaration": True,
        "no_prefix": True,
        "show_legend": False,
        "style": STYLE,
        "css": [],
        "js": [],
        "formatter": lambda value: f"{value:g}",
        "x_labels": labels,
        # Where there are many, every third is enough, or a dozen.
        "x_labels_major_every": max(-(-len(labels) // 12), 3) if len(labels) > 12 else 1,
        "truncate_label": -1,
        "show_minor_x_labels": False,
    }


def _draw(chart: Any, title: str, series: Mapping[str, Values]) -> SafeString:
    for name, values in series.items():
        chart.add(name, values)
    chart.add_xml_filter(lambda root: _simplified(root, title))
    drawn: str = chart.render(is_unicode=True)
    # pygal escapes all texts.
    return mark_safe(drawn)  # noqa: S308  # nosec B308 B703


def _simplified(root: Any, title: str) -> Any:
    """Take out what a strict Content-Security-Policy forbids, and say what the picture is."""
    root.attrib.pop("id", None)
    root.attrib |= {"role": "img", "aria-label": title}
    for parent in list(root.iter()):
        for child in list(parent):
            if _is_superfluous(child):
                parent.remove(child)
        _turn_into_title(parent)
    return root


def _is_superfluous(element: Any) -> bool:
    """Comments, styles, scripts and their tooltips, and titles that repeat what can be read."""
    if not isinstance(element.tag, str) or element.tag in ("defs", "title"):
        return True
    return "tooltip-overlay" in element.get("class", "")


def _turn_into_title(parent: Any) -> None:
    """Let the browser show a value that pygal describes for a script of its own."""
    described = {desc.get("class"): desc for desc in parent.findall("desc")}
    for desc in described.values():
        parent.remove(desc)
    if "value" in described:
        title = parent.makeelement("title", {})
        title.text = ": ".join(described[name].text for name in ("x_label", "value"))
        parent.append(title)
