"""Triggers that refuse to change or delete what is written once, whoever asks the database.

On SQLite a migration that alters one of these tables makes it anew, without its triggers: it has
to end with `create`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

#: The tables that are written once, with their unique columns.
TABLES = {
    "costs_ledgerentry": ("id", "idempotency_key", "reverses_id"),
    "costs_pricesnapshot": ("id", "digest"),
    "costs_priceoverride": ("id",),
    "costs_costreset": ("id",),
    "costs_exchangerate": ("id",),
}
_FUNCTION = "costs_written_once"


def create(connection: Any) -> None:
    """Put the triggers in place, in the caller's transaction, on the tables that are there yet."""
    drop(connection)
    there = {name: unique for name, unique in TABLES.items() if name in _tables(connection)}
    statements = _sqlite(there) if connection.vendor == "sqlite" else _postgresql(there)
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def drop(connection: Any) -> None:
    """Take the triggers away: for a migration that has to change the tables."""
    with connection.cursor() as cursor:
        for table in TABLES.keys() & _tables(connection):
            for name in _names(connection, table):
                suffix = f" ON {table}" if connection.vendor == "postgresql" else ""
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}{suffix}")
        if connection.vendor == "postgresql":
            cursor.execute(f"DROP FUNCTION IF EXISTS {_FUNCTION}()")


def missing(connection: Any) -> list[str]:
    """The triggers that are not in place, or switched off."""
    query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    if connection.vendor == "postgresql":
        query = "SELECT tgname FROM pg_trigger WHERE tgenabled <> 'D'"
    with connection.cursor() as cursor:
        cursor.execute(query)
        there = {name for (name,) in cursor.fetchall()}
    return [n for table in TABLES for n in _names(connection, table) if n not in there]


def _tables(connection: Any) -> set[str]:
    return set(connection.introspection.table_names())


def _names(connection: Any, table: str) -> list[str]:
    events = ("update", "delete", "replace" if connection.vendor == "sqlite" else "truncate")
    return [f"{table}_no_{event}" for event in events]


def _sqlite(tables: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for table, unique in tables.items():
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is written once'); END"
        for event in ("update", "delete"):
            yield f"CREATE TRIGGER {table}_no_{event} BEFORE {event} ON {table} {refuse}"
        # INSERT OR REPLACE deletes without asking the trigger for deletions.
        taken = " OR ".join(f"{column} = NEW.{column}" for column in unique)
        found = f"EXISTS (SELECT 1 FROM {table} WHERE {taken})"  # noqa: S608  # nosec B608
        yield f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {found} {refuse}"


def _postgresql(tables: Iterable[str]) -> Iterator[str]:
    yield (
        f"CREATE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION '% is written once', TG_TABLE_NAME"
        " USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    for table in tables:
        for event, level in (("update", "ROW"), ("delete", "ROW"), ("truncate", "STATEMENT")):
            yield (
                f"CREATE TRIGGER {table}_no_{event} BEFORE {event} ON {table}"
                f" FOR EACH {level} EXECUTE FUNCTION {_FUNCTION}()"
            )
