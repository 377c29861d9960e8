"""Rows that are written once cannot be changed or deleted, in code or in the database."""

import pytest
from django.db import DatabaseError, connection, transaction

from costs import guards, ledger
from costs.models import (
    CostReset,
    ExchangeRate,
    LedgerEntry,
    PriceOverride,
    PriceSnapshot,
    WrittenOnce,
)
from costs.usage import Usage
from tests.costs import calls

pytestmark = [pytest.mark.django_db, pytest.mark.database]
MODELS = (LedgerEntry, PriceSnapshot, PriceOverride, CostReset, ExchangeRate)


@pytest.fixture(autouse=True)
def written():
    """One row in each table."""
    calls.made(calls.payer(), Usage(input=1))
    ledger.reset("u")
    PriceOverride.objects.create(provider="p", model_pattern="m", valid_from=calls.START)
    ExchangeRate.objects.create(day=calls.START, currency="EUR", per_usd="0.92")


def refused(statement, *parameters):
    with (
        pytest.raises(DatabaseError, match="written once"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement, parameters)


@pytest.mark.parametrize("model", MODELS)
def test_G10_the_database_refuses_to_change_or_delete(model):
    table = model._meta.db_table
    refused(f"UPDATE {table} SET id = id")
    refused(f"DELETE FROM {table}")
    if connection.vendor == "postgresql":
        # Or TRUNCATE would be refused for the foreign keys that are still to be checked.
        connection.check_constraints()
        refused(f"TRUNCATE {table} CASCADE")
        refused(f"INSERT INTO {table} SELECT * FROM {table} ON CONFLICT (id) DO UPDATE SET id = 0")
    else:
        refused(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")
    assert model.objects.count() == 1


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.save(),
        lambda row: row.delete(),
        lambda row: type(row).objects.update(id=5),
        lambda row: type(row).objects.all().delete(),
        lambda row: type(row).objects.bulk_update([row], ["id"]),
        lambda row: type(row).objects.update_or_create(pk=row.pk, defaults={"id": row.pk}),
        lambda row: type(row).objects.bulk_create([row], ignore_conflicts=True),
        lambda row: type(row)._base_manager.filter(pk=row.pk).delete(),
    ],
)
def test_G10_our_own_code_is_refused_too(model, change):
    with pytest.raises(WrittenOnce):
        change(model.objects.get())


def test_triggers_that_are_gone_are_missed_and_can_be_put_back():
    assert guards.missing(connection) == []
    with transaction.atomic():
        guards.drop(connection)
        assert len(guards.missing(connection)) == 3 * len(guards.TABLES)
        guards.create(connection)
    assert guards.missing(connection) == []
