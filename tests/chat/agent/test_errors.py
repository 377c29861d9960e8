import httpx
import openai
import pytest

from chat.agent.errors import AgentError, classify

REQUEST = httpx.Request("POST", "http://provider")


def status_error(status, headers=None):
    response = httpx.Response(status, request=REQUEST, headers=headers)
    return openai.APIStatusError("the key sk-secret is wrong", response=response, body=None)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (status_error(429), "rate_limited"),
        (status_error(401), "refused"),
        (status_error(403), "refused"),
        (status_error(400), "invalid_request"),
        (status_error(500), "unavailable"),
        (status_error(529), "unavailable"),
        (openai.APIConnectionError(request=REQUEST), "unavailable"),
        (openai.APITimeoutError(REQUEST), "timeout"),
        (TimeoutError(), "timeout"),
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


def test_the_cause_is_found_behind_a_wrapper():
    wrapper = ValueError("wrapped")
    wrapper.__cause__ = status_error(429)
    assert classify(wrapper, has_output=False).code == "rate_limited"


def test_a_bug_of_ours_is_not_the_provider_s():
    assert classify(KeyError("x"), has_output=False) is None
