"""`manage.py costs` and `manage.py build_rollups`."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from costs import money
from costs.daily import SummedDay
from costs.models import LedgerEntry
from tests import driving
from tests.costs import storm

pytestmark = pytest.mark.django_db


def told(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_M8_each_format_says_the_ledger_s_sum_before_and_after_days_are_summed():
    now = datetime.now(UTC)
    storm.brew(1, calls=20, first=now - timedelta(days=5), days=5)
    days = ("--from", str((now - timedelta(days=5)).date()), "--to", str(now.date()))
    amounts = LedgerEntry.objects.values_list("amount_pico", flat=True)
    total = money.plain(sum(a for a in amounts if a))
    for _ in range(2):
        table = told("costs", *days, "--group-by", "user,model").splitlines()
        assert table[0].startswith("user    model")
        assert table[-1].split()[:2] == ["total", total]
        assert json.loads(told("costs", *days, "--format=json"))["total"]["cost"] == total
        rows = csv.DictReader(
            io.StringIO(told("costs", *days, "--format=csv", "--group-by=session"))
        )
        assert sum(money.pico(Decimal(row["cost"] or 0)) for row in rows) == money.pico(
            Decimal(total)
        )
        assert "days summed" in told("build_rollups", "--again")


def test_a_short_table_says_what_is_left_out_and_nonsense_is_refused():
    now = datetime.now(UTC)
    storm.brew(1, calls=20, first=now - timedelta(hours=1), days=0.01)
    table = told("costs", "--group-by=run", "--limit=2", "--from", str(now.date() - timedelta(1)))
    assert "… and" in table
    assert len(table.splitlines()) == 5
    with pytest.raises(CommandError, match="2026-02-30"):
        told("costs", "--from", "2026-02-30")


@pytest.fixture
def old_calls(transactional_db):
    storm.brew(1, calls=9, first=datetime.now(UTC) - timedelta(days=4), days=1)


def test_a_worker_sums_the_days_that_are_over(old_calls, worker):
    driving.wait_for(SummedDay.objects.filter(built_at__isnull=False).exists)
