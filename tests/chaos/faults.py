"""The fault matrix: every row that is provoked, in the order in which it is reported."""

from tests.chaos import (
    client_faults,
    database_faults,
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
    *total_faults.ROWS,
)


def rows_of(profile: Profile, *, with_long: bool) -> list[Row]:
    """The rows that one deployment is put through."""
    return [row for row in ROWS if row.profile == profile and (with_long or not row.is_long)]
