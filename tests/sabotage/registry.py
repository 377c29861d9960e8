"""All mutations."""

from tests.sabotage import log_and_runs, money_and_access, reading

PROMISES = tuple(f"G{number}" for number in range(1, 16))
MUTATIONS = (*log_and_runs.MUTATIONS, *reading.MUTATIONS, *money_and_access.MUTATIONS)
