"""What is wrong with the prices, told by `manage.py check --database default` and `migrate`."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import connections

from costs import repricing
from costs.models import LedgerEntry, ModelCall

TABLES = {LedgerEntry._meta.db_table, ModelCall._meta.db_table}


@register(Tags.database)
def check_prices(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Calls whose price is not known are in no sum: somebody has to say what they cost."""
    if "default" not in (databases or ()):
        return []
    connection = connections["default"]
    if not set(connection.introspection.table_names()) >= TABLES:
        return []
    return [
        Warning(
            f"Calls without a price, which are in no sum: {model} ({calls}).",
            hint="Add a price override in the admin, valid from before them, then run"
            " `manage.py reprice`.",
            id="costs.W001",
        )
        for model, calls in repricing.unpriced_models()
    ]
