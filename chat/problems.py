"""Errors of the API are JSON, also those that Django or the router answers."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import async_only_middleware

KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")


@async_only_middleware
def json_problems(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponse]],
) -> Callable[[HttpRequest], Awaitable[HttpResponse]]:
    """Middleware that turns an error page below /api/ into `{"detail", "code"}`."""

    async def respond(request: HttpRequest) -> HttpResponse:
        response = await get_response(request)
        is_json = response.get("Content-Type", "").startswith("application/json")
        if response.status_code < 400 or is_json or not request.path.startswith("/api/"):
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
