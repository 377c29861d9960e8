"""The page in the admin that shows what was spent, on what, and what of it was wasted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from chat import charts, cost_reports, principals, sessions
from chat.views import CONTENT_SECURITY_POLICY
from costs import exchange, latency, money, report_query, reports
from costs.admin_base import ReadOnlyAdmin
from costs.daily import DailyCost
from costs.report_query import Query
from costs.reports import Line, Report

LINES = 200
#: What a chart may be drawn in, the largest first: its name, and how many 1e-12 it is.
UNITS = (
    ("{}", money.PICO),
    ("0.001 {}", money.PICO // 10**3),
    ("0.000001 {}", money.PICO // 10**6),
)
CHOICES = {
    groups: groups.replace(",", ", ").replace("_", " ")
    for groups in (*report_query.GROUPS, "day,model", "day,user", "user,model", "model,token_class")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What a group is called, and where more of it is."""

    text: str
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table."""

    cells: Sequence[Cell]
    line: Line
    share: str


@admin.register(DailyCost)
class CostReportAdmin(ReadOnlyAdmin):
    """Stands in the admin's index as the report that the daily sums are for."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("costs.view_cost_report"))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name="costs_dailycost_changelist")]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Cost report",
            "opts": self.opts,
            "choices": CHOICES,
            "presets": _presets(timezone.now().date()),
            "given": request.GET,
        }
        status = 200
        try:
            context |= _shown(_asked(request.GET), request)
        except report_query.InvalidReport as error:
            context["error"] = str(error)
            context["currencies"] = exchange.currencies(on=timezone.now().date())
            status = 400
        response = render(request, "admin/cost_report.html", context, status=status)
        response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response


def _asked(given: Mapping[str, str]) -> Query:
    return report_query.parse(
        first=given.get("from"),
        last=given.get("to"),
        group_by=given.get("group_by"),
        owner_key=cost_reports.owner_key_of(given.get("user")),
        currency=given.get("currency") or exchange.USD,
        limit=LINES,
    )


def _presets(today: date) -> dict[str, str]:
    this_month = today.replace(day=1)
    last_month = this_month - timedelta(days=1)
    spans = {
        "this month": (this_month, today),
        "last month": (last_month.replace(day=1), last_month),
        "7 days": (today - timedelta(days=6), today),
        "30 days": (today - timedelta(days=29), today),
        "a year": (today - timedelta(days=364), today),
    }
    return {name: urlencode({"from": first, "to": last}) for name, (first, last) in spans.items()}


def _shown(asked: Query, request: HttpRequest) -> dict[str, Any]:
    by_day = reports.read(replace(asked, groups=("day",), limit=report_query.MAX_DAYS))
    is_by_day = asked.groups == ("day",) and by_day.groups <= LINES
    report = by_day if is_by_day else reports.read(asked, total=by_day.total)
    # A title is how somebody's conversation begins.
    has_titles = request.user.has_perm("chat.view_chatsession")
    link: dict[str, object] = {
        "from": asked.first,
        "to": asked.last,
        "group_by": ",".join(asked.groups),
    }
    if asked.owner_key:
        link["user"] = asked.owner_key
    if report.rate:
        link["currency"] = asked.currency
    return {
        "asked": asked,
        "group_by": ",".join(asked.groups),
        "currencies": exchange.currencies(on=asked.last),
        "report": report,
        "names": [
            name.replace("_", " ") for name in cost_reports.named(dict.fromkeys(asked.groups, ""))
        ],
        "rows": _rows(report, has_titles=has_titles),
        "chart": _chart(by_day),
        "latency": latency.read(asked),
        "csv": f"{reverse('api:list_costs')}?{urlencode({**link, 'format': 'csv'})}",
    }


def _rows(report: Report, *, has_titles: bool) -> list[Row]:
    named = [cost_reports.named(line.keys) for line in report.lines]
    users = {keys["user"] for keys in named if "user" in keys}
    sessions_shown = {line.keys.get("session", "") for line in report.lines} if has_titles else ()
    called = principals.names_of(users) | sessions.titles_of(sessions_shown)
    return [
        Row(
            cells=[
                _cell(name, key, called.get(line.keys.get(name, key), key), report.query)
                for name, key in keys.items()
            ],
            line=line,
            share=line.share(line.amount_pico or 0, report.total.amount_pico),
        )
        for keys, line in zip(named, report.lines, strict=True)
    ]


def _cell(name: str, key: str, called: str, asked: Query) -> Cell:
    match name:
        case "user":
            days = {"from": asked.first, "to": asked.last, "user": key, "group_by": "session"}
            return Cell(text=called, url=f"?{urlencode(days)}")
        case "session":
            changelist = reverse("admin:chat_chatsession_changelist")
            return Cell(text=called, url=f"{changelist}?{urlencode({'q': key})}")
        case "run":
            return Cell(text=key, url=reverse("admin:chat_run_change", args=[key]))
        case _:
            return Cell(text=key or "–")


def _chart(by_day: Report) -> dict[str, Any] | None:
    """The cost of each day, what was wasted on top; None when nothing has a cost."""
    days = {line.keys["day"]: line for line in by_day.lines}
    highest = max((line.amount_pico or 0 for line in days.values()), default=0)
    if not highest:
        return None
    unit, pico = next((u for u in UNITS if highest >= 4 * u[1]), UNITS[-1])
    asked = by_day.query
    labels = [str(asked.first + timedelta(days=n)) for n in range((asked.end - asked.first).days)]
    lines = [days.get(label) for label in labels]
    series = {
        "useful": [
            _drawn((line.amount_pico or 0) - line.wasted_pico, pico) if line else 0
            for line in lines
        ],
        "wasted": [_drawn(line.wasted_pico, pico) if line else 0 for line in lines],
    }
    title = f"Cost by day, in {unit.format(asked.currency)}"
    svg: SafeString = charts.bars(title, labels=[label[5:] for label in labels], series=series)
    return {"title": title, "svg": svg, "series": list(series)}


def _drawn(amount_pico: int, unit_pico: int) -> float:
    """An amount as high as its bar, with three digits behind the point."""
    return round(amount_pico / unit_pico, 3)
