import json
import logging

import pytest

from project.logs import JsonFormatter, TextFormatter


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
