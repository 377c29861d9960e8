"""The endpoint of cost reports, as JSON and as CSV."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from ninja import Query

from chat import cost_reports, database, principals
from chat.rest import CallerRequest, Problems, Refusal, api
from chat.schemas import CostReport
from costs import report_query
from costs.exchange import USD

PIECE_BYTES = 64 * 1024
#: One export at a time: a long one keeps nobody else from the database.
_exports = ThreadPoolExecutor(1, thread_name_prefix="export")
Limit = Annotated[int, Query(report_query.DEFAULT_LINES, ge=1, le=report_query.MAX_LINES)]


@api.exception_handler(report_query.InvalidReport)
def _invalid_report(request: HttpRequest, error: report_query.InvalidReport) -> HttpResponse:
    problem = {"detail": str(error), "code": "invalid_report"}
    return api.create_response(request, problem, status=422)


@api.get(
    "/api/costs",
    response={200: CostReport, **Problems},
    by_alias=True,
    exclude_unset=True,
)
async def list_costs(
    request: CallerRequest,
    group_by: str = "day",
    first: Annotated[str | None, Query(None, alias="from")] = None,
    last: Annotated[str | None, Query(None, alias="to")] = None,
    user: str | None = None,
    currency: str = USD,
    limit: Limit = report_query.DEFAULT_LINES,
    format: Literal["json", "csv"] | None = None,
) -> Any:
    """Say what was spent, from one UTC day to another; without days it is this month.

    `group_by` is one of day, model, provider, user, session, run, tool, status and token_class,
    or several with commas. A tool's calls are those that answer its results. Amounts are in
    USD, or in another `currency` at its rate of the last day. Callers see what they have spent
    themselves; who may see the cost report, everybody's, or that of one `user`: a name, or user:5.
    With `format=csv`, or `Accept: text/csv`, all lines as CSV.
    """
    owner_key = await database.read(_whose, request, user)
    is_csv = format == "csv" or (not format and _prefers_csv(request))
    asked = report_query.parse(
        first=first,
        last=last,
        group_by=group_by,
        owner_key=owner_key,
        currency=currency,
        limit=None if is_csv else limit,
    )
    if is_csv:
        return await _csv(asked)
    return await database.read(cost_reports.as_json, asked)


def _whose(request: CallerRequest, user: str | None) -> str | None:
    """Whose costs a caller is told; None is everybody's. Raises InvalidReport or Refusal."""
    if principals.sees_all_costs(request.login):
        return cost_reports.owner_key_of(user)
    if user and principals.owner_key_of(user) != request.auth.owner_key:
        raise Refusal(403, "forbidden", "You may see what you have spent yourself")
    return request.auth.owner_key


def _prefers_csv(request: HttpRequest) -> bool:
    return request.get_preferred_type(["application/json", "text/csv"]) == "text/csv"


async def _csv(asked: report_query.Query) -> StreamingHttpResponse:
    loop = asyncio.get_running_loop()
    file = await loop.run_in_executor(_exports, cost_reports.as_csv, asked)
    response = StreamingHttpResponse(_pieces(file), content_type="text/csv; charset=utf-8")
    name = f"costs-{asked.first}-{asked.last}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


async def _pieces(file: IO[str]) -> AsyncIterator[str]:
    with file:
        while piece := file.read(PIECE_BYTES):
            yield piece
