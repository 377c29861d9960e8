"""The ledger stays in USD; reports are told in other currencies at a rate that is kept."""

import io
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from costs import exchange, report_query, reports, spreadsheets
from costs.exchange import ExchangeRate
from costs.models import LedgerEntry
from costs.usage import Usage
from tests.costs import calls

pytestmark = [pytest.mark.django_db, pytest.mark.database]
DAY = calls.START.date()


def rate(per_usd, *, day=DAY, currency="EUR"):
    ExchangeRate.objects.create(day=day, currency=currency, per_usd=Decimal(per_usd))


def asked(currency, *, last=DAY, groups="day"):
    return report_query.parse(first=str(DAY), last=str(last), group_by=groups, currency=currency)


@pytest.fixture
def spent():
    """A million and one tokens for a USD and a millionth, a third of it cached."""
    calls.made(calls.payer(), Usage(input=666_667, cache_read=333_334))


def test_amounts_are_converted_and_the_ledger_is_not(spent):
    rate("0.92")
    report = reports.read(asked("EUR", groups="token_class"))
    assert [line.amount for line in report.lines] == ["0.61333364", "0.30666728"]
    assert report.total.amount == "0.92000092"
    assert (report.rate.day, report.rate.per_usd) == (DAY, Decimal("0.92"))
    assert sum(LedgerEntry.objects.values_list("amount_pico", flat=True)) == 1_000_001 * 10**6
    assert reports.read(asked("USD")).rate is None


def test_the_rate_is_the_newest_of_the_last_day_and_a_later_row_corrects_it(spent):
    for per_usd, days in (("0.5", -1), ("0.7", 2), ("0.6", 0), ("0.8", 2)):
        rate(per_usd, day=DAY + timedelta(days=days))
    wanted = {0: "0.6", 1: "0.6", 2: "0.8", 9: "0.8"}
    told = {n: reports.read(asked("EUR", last=DAY + timedelta(days=n))).rate for n in wanted}
    assert {n: found.per_usd for n, found in told.items()} == {
        n: Decimal(per_usd) for n, per_usd in wanted.items()
    }


def test_a_half_is_rounded_to_even_and_large_sums_stay_exact():
    half = ExchangeRate(per_usd=Decimal("0.5"))
    assert [half.convert(pico) for pico in (1, 3, 5, -1, -3)] == [0, 2, 2, 0, -2]
    yen = ExchangeRate(per_usd=Decimal("151.123456789"))
    assert yen.convert(9 * 10**24) == 1_360_111_111_101 * 10**15


def test_a_csv_names_its_currency(spent):
    rate("0.92")
    file = io.StringIO()
    spreadsheets.write(asked("EUR"), file)
    assert file.getvalue().splitlines()[1].startswith(f"{DAY},0.92000092,EUR,")


@pytest.mark.parametrize("currency", ["EUR", "eur", "", "E\0R", "'; DROP", "X" * 9000])
def test_A_7_without_a_rate_there_is_no_report_and_it_is_said_which_there_are(spent, currency):
    rate("0.92", day=DAY + timedelta(days=1))
    rate("150", currency="JPY")
    with pytest.raises(report_query.InvalidReport, match="there is USD, JPY"):
        reports.read(asked(currency))
    assert exchange.currencies(on=date.max) == ["USD", "EUR", "JPY"]


@pytest.mark.parametrize(
    "row",
    [
        {"currency": "USD", "per_usd": "1"},
        {"currency": "eur", "per_usd": "1"},
        {"currency": "EUR\n", "per_usd": "1"},
        {"currency": "EUR", "per_usd": "0"},
        {"currency": "EUR", "per_usd": "-1"},
        {"currency": "EUR", "per_usd": "NaN"},
        {"currency": "EUR", "per_usd": "1e9"},
    ],
)
def test_A_7_what_is_no_rate_is_refused(row):
    with pytest.raises(ValidationError):
        ExchangeRate(day=DAY, **row).full_clean()


def test_a_rate_is_added_in_the_admin_and_offered_in_the_report(admin_client, spent):
    url = reverse("admin:costs_exchangerate_add")
    added = admin_client.post(url, {"day": str(DAY), "currency": "EUR", "per_usd": "0.92"})
    assert added.status_code == 302, added.context["errors"]
    row = ExchangeRate.objects.get()
    assert (row.created_by, str(row)) == ("admin", f"0.92 EUR per USD from {DAY}")
    change = reverse("admin:costs_exchangerate_change", args=[row.pk])
    assert admin_client.post(change, {"per_usd": "1"}).status_code == 403
    days = {"from": str(DAY), "to": str(DAY)}
    report = reverse("admin:costs_dailycost_changelist")
    page = admin_client.get(report, {**days, "currency": "EUR"}).content.decode()
    assert "<strong>0.92000092</strong>" in page
    assert "All amounts at 0.92 EUR per USD from" in page
    assert "currency=EUR&amp;format=csv" in page
    as_page = {"headers": {"Accept": "text/html"}}
    refused = admin_client.get(report, {**days, "currency": "CHF"}, **as_page)
    assert (refused.status_code, "there is USD, EUR" in refused.content.decode()) == (400, True)
