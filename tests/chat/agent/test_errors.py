import aiohttp
import anthropic
import httpx
import openai
import pytest
from google.genai.errors import ClientError, ServerError

from chat.agent.errors import AgentError, classify

REQUEST = httpx.Request("POST", "http://provider")


def status_error(status, headers=None, code=None):
    response = httpx.Response(status, request=REQUEST, headers=headers)
    body = {"type": "invalid_request_error", "code": code}
    return openai.APIStatusError("the key sk-secret is wrong", response=response, body=body)


def told_in_stream(name):
    """An error of Anthropic's in a stream that began with a 200."""
    response = httpx.Response(200, request=httpx.Request("POST", "http://provider"))
    body = {"type": "error", "error": {"type": name, "message": "the key sk-secret is wrong"}}
    return anthropic.APIStatusError("sk-secret", response=response, body=body)


def google(kind, status, name, reason=None, delay=None):
    details = [{"@type": "ErrorInfo", "reason": reason}] if reason else []
    details += [{"@type": "RetryInfo", "retryDelay": delay}] if delay else []
    error = {"code": status, "status": name, "message": "sk-secret", "details": details}
    return kind(status, {"error": error})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (status_error(429), "rate_limited"),
        (status_error(401), "authentication"),
        (status_error(403), "authentication"),
        (status_error(400), "invalid_request"),
        (status_error(500), "unavailable"),
        (status_error(529), "unavailable"),
        (openai.APIConnectionError(request=REQUEST), "unavailable"),
        (openai.APITimeoutError(REQUEST), "timeout"),
        (TimeoutError(), "timeout"),
        (told_in_stream("overloaded_error"), "unavailable"),
        (told_in_stream("rate_limit_error"), "rate_limited"),
        (told_in_stream("unheard_of"), "protocol"),
        (status_error(400, code="context_length_exceeded"), "context_too_long"),
        (status_error(400, code="content_filter"), "refused"),
        (status_error(413), "context_too_long"),
        (google(ClientError, 400, "INVALID_ARGUMENT", "API_KEY_INVALID"), "authentication"),
        (google(ClientError, 400, "INVALID_ARGUMENT", "FIELD_INVALID"), "invalid_request"),
        (google(ClientError, 429, "RESOURCE_EXHAUSTED"), "rate_limited"),
        (google(ServerError, 503, "UNAVAILABLE"), "unavailable"),
        (google(ServerError, 504, "DEADLINE_EXCEEDED"), "timeout"),
        (aiohttp.ClientPayloadError("cut"), "interrupted"),
        (aiohttp.ServerDisconnectedError(), "interrupted"),
        (httpx.RemoteProtocolError("cut"), "interrupted"),
        (httpx.ReadError("reset"), "interrupted"),
        (AgentError("truncated"), "truncated"),
    ],
)
def test_a_foreign_error_gets_a_code_of_ours(error, code):
    failure = classify(error, has_output=False)
    assert failure.code == code
    assert "sk-secret" not in str(failure)


def test_a_connection_that_breaks_after_output_was_an_interruption():
    error = openai.APIConnectionError(request=REQUEST)
    assert classify(error, has_output=True).code == "interrupted"


def test_what_the_provider_asks_to_wait_is_obeyed_within_reason():
    asked = classify(status_error(429, {"retry-after": "7"}), has_output=False)
    assert asked.retry_after_s == 7
    greedy = classify(status_error(429, {"retry-after": "99999"}), has_output=False)
    assert greedy.retry_after_s == 60
    odd = classify(status_error(429, {"retry-after": "Wed, 21 Oct"}), has_output=False)
    assert odd.retry_after_s is None
    in_body = google(ClientError, 429, "RESOURCE_EXHAUSTED", delay="17s")
    assert classify(in_body, has_output=False).retry_after_s == 17


def test_the_cause_is_found_behind_a_wrapper():
    wrapper = ValueError("wrapped")
    wrapper.__cause__ = status_error(429, {"retry-after": "7"})
    failure = classify(wrapper, has_output=False)
    assert (failure.code, failure.retry_after_s) == ("rate_limited", 7)


def test_what_has_begun_is_not_asked_again():
    failure = classify(status_error(429), has_output=True)
    assert failure.is_retryable
    failure.has_output = True
    assert not failure.is_retryable


def test_a_bug_of_ours_is_not_the_provider_s():
    assert classify(KeyError("x"), has_output=False) is None
