"""Reports say what the ledger says, to the pico-dollar, whatever of it is summed already."""

import random
import uuid
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F

from costs import audit, pricing, report_query, reports, rollups
from costs.daily import DailyRunCost, SummedDay
from costs.ledger import Payer
from tests.costs import storm

pytestmark = [pytest.mark.django_db, pytest.mark.database]
DAYS = 5
WHOLE_CALLS = [name for name in report_query.GROUPS if name != "token_class"]


@pytest.fixture
def first():
    """The storm's first day; its last one is today."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=DAYS - 1)


def assert_equal(first):
    begin, last = first.date() + timedelta(days=1), first.date() + timedelta(days=DAYS - 1)
    told = [(keys, sums) for keys, sums in storm.told() if str(begin) <= keys["day"] <= str(last)]
    for owner_key in (None, "user:1"):
        of_owner = [call for call in told if owner_key in (None, call[0]["user"])]
        for groups in ("day,model", "user") if owner_key else (*WHOLE_CALLS, "session,status"):
            wanted = defaultdict(list)
            for keys, sums in of_owner:
                wanted[tuple(keys[name] for name in groups.split(","))].append(sums)
            asked = report_query.parse(
                first=str(begin), last=str(last), group_by=groups, owner_key=owner_key
            )
            report = reports.read(asked)
            assert {tuple(line.keys.values()): sums_of(line) for line in report.lines} == {
                key: storm.added(sums) for key, sums in wanted.items()
            }
            assert sums_of(report.total) == storm.added(sums for _, sums in of_owner)
            assert report.groups == len(wanted)
        assert list(reports.lines(asked)) == list(report.lines)


def assert_equal_by_class(first):
    begin, last = str(first.date()), str(first.date() + timedelta(days=DAYS - 1))
    told = storm.told_by_class()
    for owner_key in (None, "user:1"):
        of_owner = [one for one in told if owner_key in (None, one[0]["user"])]
        for groups in ("token_class", "token_class,day,model", "user,token_class"):
            wanted = defaultdict(list)
            for keys, sums in of_owner:
                wanted[tuple(keys[name] for name in groups.split(","))].append(sums)
            asked = report_query.parse(first=begin, last=last, group_by=groups, owner_key=owner_key)
            report = reports.read(asked)
            assert {tuple(line.keys.values()): sums_of(line) for line in report.lines} == {
                key: storm.added(sums) for key, sums in wanted.items()
            }
            by_day = report_query.parse(first=begin, last=last, owner_key=owner_key)
            assert report.total == reports.read(by_day).total
            assert sum(line.amount_pico or 0 for line in report.lines) == report.total.amount_pico


def sums_of(line):
    tokens = (line.prompt_tokens, line.cached_tokens, line.completion_tokens)
    money = (line.amount_pico, line.estimated_pico, line.wasted_pico)
    return (line.calls, line.unpriced_calls, *tokens, *money)


def build_all():
    for _ in range(DAYS):
        rollups.build()
    return SummedDay.objects.filter(built_at__isnull=False).count()


def test_M8_a_report_is_the_sum_of_the_ledger_whatever_is_summed_already(first, monkeypatch):
    storm.brew(1, calls=45, first=first, days=DAYS)
    built = build_all()
    # An hour after midnight yesterday is over too.
    assert built in (DAYS - 1, DAYS - 2)
    assert_equal(first)
    # Calls that are told late, truths about old estimates, and attempts that supersede old calls.
    storm.brew(2, calls=20, first=first, days=DAYS)
    storm.correct(1, calls=10)
    assert rollups.unreliable_days(first.date(), first.date() + timedelta(days=DAYS)) != []
    assert_equal(first)
    assert_equal_by_class(first)
    monkeypatch.setattr(rollups, "SETTLED_AFTER", timedelta(minutes=-1))
    assert build_all() == built
    assert rollups.unreliable_days(first.date(), first.date() + timedelta(days=built)) == []
    assert_equal(first)
    assert_equal_by_class(first)


def test_days_whose_entries_have_settled_are_not_looked_at_again(first, monkeypatch):
    storm.brew(3, calls=20, first=first, days=DAYS - 2)
    built = build_all()
    end = first.date() + timedelta(days=DAYS - 2)
    assert rollups.unreliable_days(first.date(), end) != []
    assert not rollups.build()
    monkeypatch.setattr(rollups, "SETTLED_AFTER", timedelta(minutes=-1))
    build_all()
    assert rollups.unreliable_days(first.date(), end) == []
    assert not rollups.build()
    before = list(DailyRunCost.objects.order_by("run_id", "day", "pk").values_list("amount_micro"))
    rollups.forget()
    assert build_all() == built
    after = list(DailyRunCost.objects.order_by("run_id", "day", "pk").values_list("amount_micro"))
    assert after == before


def test_M8_the_audit_names_a_day_whose_sums_are_not_those_of_its_entries(first, monkeypatch):
    monkeypatch.setattr(rollups, "SETTLED_AFTER", timedelta(minutes=-1))
    storm.brew(4, calls=9, first=first, days=1)
    build_all()
    assert list(rollups.disagreeing_days()) == []
    changed = DailyRunCost.objects.filter(amount_rest__isnull=False)[:1].values("pk")
    DailyRunCost.objects.filter(pk__in=changed).update(amount_rest=F("amount_rest") + 1)
    assert f"M8 day {first.date()}" in " ".join(map(str, audit.violations()))


def test_sums_beyond_what_the_database_can_add_up_are_exact(first):
    """SQLite refuses to add integers beyond 9.2 million dollars in pico-dollars."""
    payer = Payer(run_id=uuid.uuid4(), attempt=1, session_key="u/s", owner_key="u")
    price = pricing.flat_price(source="test", provider="p", model="m", input="0", output="8999999")
    for number, day in enumerate((0, 0, 0, 4)):
        storm.make(
            random.Random(number), payer, at=first + timedelta(days=day), price=price, output=10**6
        )
    for _ in range(2):
        report = reports.read(report_query.parse(first=str(first.date()), group_by="user"))
        assert report.total.amount == report.lines[0].amount == "35999996"
        build_all()


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2026-02-30", None),
        ("2026-2-3", None),
        ("20260203", None),
        ("\u0661\u0662\u0663\u0664-01-01", None),
        ("9999-12-31", None),
        (None, "9999-12-31"),
        (None, "0001-01-01"),
        ("2026-03-02", "2026-03-01"),
        ("2020-01-01", "2026-01-01"),
        ("../etc", None),
        ("x" * 10**5, None),
    ],
)
def test_A_7_a_range_that_is_none_is_refused_with_a_reason(first, last):
    with pytest.raises(report_query.InvalidReport) as refused:
        report_query.parse(first=first, last=last)
    assert 10 < len(str(refused.value)) < 120
