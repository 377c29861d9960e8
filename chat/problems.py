"""Errors are JSON for programs, also those that Django or the router answers."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import async_only_middleware

KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")


@async_only_middleware
def json_problems(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponse]],
) -> Callable[[HttpRequest], Awaitable[HttpResponse]]:
    """Middleware that turns an error page into `{"detail", "code"}`, except for people."""

    async def respond(request: HttpRequest) -> HttpResponse:
        response = await get_response(request)
        is_json = response.get("Content-Type", "").startswith("application/json")
        if response.status_code < 400 or is_json or _is_for_people(request):
            return response
        status = HTTPStatus(response.status_code)
        problem = JsonResponse(
            {"detail": status.phrase, "code": status.name.lower()}, status=status.value
        )
        for name in KEPT_HEADERS:
            if name in response:
                problem[name] = response[name]
        return problem

    return respond


def _is_for_people(request: HttpRequest) -> bool:
    is_page = not request.path.startswith("/api/")
    return is_page and "text/html" in request.headers.get("Accept", "")
