import json
import logging

import pytest
from django.test import RequestFactory

from project.logs import JsonFormatter, NoHealthChecks, TextFormatter


def record(message, *arguments):
    return logging.LogRecord("chat", logging.INFO, "file", 1, message, arguments, None)


@pytest.mark.parametrize("evil", ["a\nb", "a\x1b[31mb", "a\x00b", "a\u202eb", "a\rb"])
def test_M_2_content_cannot_forge_a_line_or_a_colour(evil):
    line = TextFormatter().format(record("said %s", evil))
    assert line.isprintable()


def test_M_2_a_json_line_is_json_whatever_it_says():
    line = JsonFormatter().format(record('quote " and \n newline'))
    assert json.loads(line)["message"] == 'quote " and \n newline'
    assert "\n" not in line


def test_a_health_check_that_is_answered_with_an_error_is_no_news():
    for path, is_told in (("/health/ready", False), ("/api/sessions", True)):
        refused = record("Service Unavailable")
        refused.request = RequestFactory().get(path)
        assert NoHealthChecks().filter(refused) is is_told
    assert NoHealthChecks().filter(record("said by no request"))


def test_fields_stand_behind_the_message_and_cannot_forge_a_line():
    made = record("stream ended")
    made.fields = {"run_id": "a\nb", "cost_usd": None}
    assert TextFormatter().format(made).endswith("stream ended run_id=a\\nb cost_usd=None")
    line = JsonFormatter().format(made)
    assert (json.loads(line)["run_id"], json.loads(line)["cost_usd"]) == ("a\nb", None)
