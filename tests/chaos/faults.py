"""The fault matrix: every row that is provoked here, and where the others are."""

from tests.chaos import (
    client_faults,
    database_faults,
    machine_faults,
    provider_faults,
    redis_faults,
    total_faults,
    web_faults,
    worker_faults,
)
from tests.chaos.rows import Profile, Row

ROWS: tuple[Row, ...] = (
    *worker_faults.ROWS,
    *web_faults.ROWS,
    *redis_faults.ROWS,
    *database_faults.ROWS,
    *provider_faults.ROWS,
    *client_faults.ROWS,
    *machine_faults.ROWS,
    *total_faults.ROWS,
)
#: Rows that need no load, and are provoked by other tests.
ELSEWHERE = (
    ("R5f", "Redis evicts the queue", "tests/chat/test_recovery.py"),
    ("P5", "a backup restored that is older than the clients", "tests/chat/test_compaction.py"),
    ("U1", "429, 401, 400, 500, 503", "tests/process/test_faults.py"),
    ("U3", "no answer before the first byte", "tests/process/test_faults.py"),
    ("U4", "silence and comments in mid-stream", "tests/process/test_faults.py"),
    ("U5", "a reset and a cut chunk in mid-stream", "tests/process/test_faults.py"),
    ("U6", "a clean end without the end marker", "tests/process/test_faults.py"),
    ("U7", "malformed chunks and errors in mid-stream", "tests/process/test_faults.py"),
    ("U8", "usage missing or zero", "tests/process/test_costs.py"),
    ("U9", "the output limit reached", "tests/process/test_faults.py"),
    ("C1f", "clients that read slowly or not at all", "tests/process/test_back_pressure.py"),
    ("C2f", "clients that vanish without a word", "tests/process/test_back_pressure.py"),
    ("C3f", "floods of frames and bodies", "tests/process/test_floods.py"),
)


def rows_of(profile: Profile, *, with_long: bool) -> list[Row]:
    """The rows that one deployment is put through."""
    return [row for row in ROWS if row.profile == profile and (with_long or not row.is_long)]
