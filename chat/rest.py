"""The REST API's frame: its one NinjaAPI, how bodies are read, who calls, how errors look."""

from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.parser import Parser
from ninja.utils import check_csrf

from chat import (
    api_keys,
    artifacts,
    database,
    origins,
    principals,
    rate_limit,
    reading,
    runs,
    sessions,
    strict_json,
)
from chat.agent.errors import AgentError
from chat.principals import Login, Principal
from chat.schemas import (
    Problem,
)

DETAIL_CHARACTERS = 300
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
#: The status of each refusal of a run.
_STATUS = {
    runs.RunActive: 409,
    runs.TooManyQueued: 429,
    runs.TooManyActive: 429,
    runs.KeyReused: 422,
    runs.UnknownRun: 404,
    runs.NotRetryable: 409,
}
Problems = {400: Problem, 401: Problem, 403: Problem, 404: Problem, 409: Problem, 422: Problem}


class StrictParser(Parser):
    """Reads request bodies with the same strictness as WebSocket frames."""

    def parse_body(self, request: HttpRequest) -> Any:
        try:
            return strict_json.loads(request.body)
        except strict_json.InvalidJson as error:
            raise Refusal(400, "invalid_json", f"Not valid JSON: {error}") from error


class Refusal(HttpError):
    """An answer that is an error; `code` is for programs, the message for people."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(status, detail)
        self.code = code


class CallerRequest(HttpRequest):
    """A request with its principal, as `ApiKeyOrCookie` leaves it."""

    auth: Principal
    login: Login


class ApiKeyOrCookie:
    """Finds the caller, by a key or else by a cookie."""

    #: How OpenAPI is told of it; Ninja looks for this name.
    openapi_security_schema: ClassVar = {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, also as X-API-Key. A browser's login is enough, too.",
    }

    async def __call__(self, request: HttpRequest) -> Principal | None:
        key = api_keys.given_in(request.headers)
        if key is not None and settings.AUTH == "required":
            login = await database.read(api_keys.login, key)
        else:
            login = await _login_of_cookie(request)
        if login is None:
            return None
        await rate_limit.take(login.principal, address=request.META.get("REMOTE_ADDR", ""))
        request.login = login  # type: ignore[attr-defined]
        return login.principal


async def _login_of_cookie(request: HttpRequest) -> Login | None:
    """Find the caller. A page of another origin may change nothing with a user's cookie."""
    changes = request.method not in SAFE_METHODS
    if changes and not _has_allowed_origin(request):
        raise Refusal(403, "foreign_origin", "Requests from other sites are refused")
    # Known from here on, also to code that would look it up in the database again.
    request.user = await request.auser()
    principal = principals.of_user(request.user)
    is_known = principal is not None and principal != principals.EVERYBODY
    if changes and is_known and check_csrf(request):
        raise Refusal(403, "csrf", "The CSRF token is missing or wrong")
    return Login(principal, request.session.session_key) if principal else None


def refuse_foreign_page(request: HttpRequest) -> None:
    """Refuse a GET that costs something when another site's page, or a prefetch, causes it."""
    is_ours = request.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")
    is_named = "Origin" in request.headers and _has_allowed_origin(request)
    if "Sec-Purpose" in request.headers or not (is_ours or is_named):
        raise Refusal(403, "foreign_origin", "Requests from other sites are refused")


def _has_allowed_origin(request: HttpRequest) -> bool:
    headers = {name.lower().encode(): value.encode() for name, value in request.headers.items()}
    return origins.is_allowed(headers, scheme=request.scheme or "http")


api = NinjaAPI(
    title="Chatledger",
    version="1",
    description="Streaming LLM agents with conversations that survive anything, and their costs.",
    urls_namespace="api",
    docs_url="/docs",
    openapi_url="/openapi.json",
    parser=StrictParser(),
    auth=ApiKeyOrCookie(),
)


@api.exception_handler(Refusal)
def _refused(request: HttpRequest, error: Refusal) -> HttpResponse:
    return _problem(request, error.status_code, error.code, error.message)


@api.exception_handler(HttpError)
def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    # What the parser refuses arrives wrapped.
    if isinstance(error.__cause__, Refusal):
        return _refused(request, error.__cause__)
    code = "not_authenticated" if error.status_code == 401 else "refused"
    return _problem(request, error.status_code, code, str(error))


@api.exception_handler(RequestDataTooBig)
def _too_large(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    return _problem(request, 413, "too_large", "A body may have 1 MiB at most")


@api.exception_handler(RawPostDataException)
def _no_json(request: HttpRequest, error: RawPostDataException) -> HttpResponse:
    return _problem(request, 415, "not_json", "Send application/json")


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    first = error.errors[0]
    field = ".".join(str(step) for step in first["loc"][1:] if step != "body")
    message = first["msg"].removeprefix("Value error, ")
    return _problem(request, 422, "invalid", f"{field}: {message}" if field else message)


@api.exception_handler(sessions.UnknownSession)
def _unknown_session(request: HttpRequest, error: sessions.UnknownSession) -> HttpResponse:
    return _problem(request, 404, "unknown_session", str(error))


@api.exception_handler(runs.Refused)
def _run_refused(request: HttpRequest, error: runs.Refused) -> HttpResponse:
    return _problem(request, _STATUS.get(type(error), 409), error.code, str(error))


@api.exception_handler(AgentError)
def _no_such_model(request: HttpRequest, error: AgentError) -> HttpResponse:
    return _problem(request, 422, error.code, str(error))


@api.exception_handler(sessions.InvalidSessionId)
def _invalid_session_id(request: HttpRequest, error: sessions.InvalidSessionId) -> HttpResponse:
    return _problem(request, 422, "invalid_session_id", str(error))


@api.exception_handler(artifacts.UnknownArtifact)
def _unknown_artifact(request: HttpRequest, error: artifacts.UnknownArtifact) -> HttpResponse:
    return _problem(request, 404, "unknown_artifact", str(error))


@api.exception_handler(reading.TooManyConnections)
def _too_many(request: HttpRequest, error: reading.TooManyConnections) -> HttpResponse:
    return _problem(request, 429, "too_many_connections", str(error))


@api.exception_handler(rate_limit.TooOften)
def _too_often(request: HttpRequest, error: rate_limit.TooOften) -> HttpResponse:
    response = _problem(request, 429, "rate_limited", "Rate limit exceeded")
    response["Retry-After"] = str(error.retry_after_s)
    return response


@api.exception_handler(sessions.SessionBusy)
def _busy(request: HttpRequest, error: sessions.SessionBusy) -> HttpResponse:
    return _problem(request, 409, "run_active", "Cancel the session's run first")


for _unavailable in database.Unavailable:

    @api.exception_handler(_unavailable)
    def _storage(request: HttpRequest, error: Exception) -> HttpResponse:
        response = _problem(request, 503, "storage", "The database cannot be reached")
        response["Retry-After"] = "2"
        return response


def _problem(request: HttpRequest, status: int, code: str, detail: str) -> HttpResponse:
    problem = {"detail": detail[:DETAIL_CHARACTERS], "code": code}
    return api.create_response(request, problem, status=status)
