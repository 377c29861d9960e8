"""The time, for models, which do not know it."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from langchain_core.tools import ToolException, tool


@tool
def clock(time_zone: str = "UTC") -> str:
    """Tell the current date and time in a time zone, for example "UTC" or "Europe/Berlin"."""
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ToolException(f"There is no time zone {time_zone[:60]!r}.") from error
    return f"{datetime.now(zone):%A, %Y-%m-%d %H:%M:%S %Z}"
