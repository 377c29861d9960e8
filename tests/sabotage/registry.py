"""All mutations, in the order of the promises that they break."""

import re

from tests.sabotage import log_and_runs, money_and_access, reading
from tests.sabotage.mutation import Mutation

PROMISES = tuple(f"G{number}" for number in range(1, 16))


def _place(mutation: Mutation) -> int:
    """The number of a promise; rows of bad input come last."""
    found = re.match(r"G(\d+)", mutation.promise)
    return int(found[1]) if found else len(PROMISES) + 1


MUTATIONS = sorted(
    (*log_and_runs.MUTATIONS, *reading.MUTATIONS, *money_and_access.MUTATIONS), key=_place
)
