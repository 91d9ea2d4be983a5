"""Lines of the log: time, level, process where there are many, request, message."""

import json
import logging
import os

import pytest

from gateway.telemetry.logs import REQUEST, JsonLines, TextLines

RECORD = logging.LogRecord("assay", logging.WARNING, __file__, 1, "two\nlines", None, None)


def test_one_of_many_processes_names_itself() -> None:
    line = TextLines(one_of_many=True).format(RECORD)
    assert line.partition(" ")[2] == f"WARNING pid={os.getpid()} two\\nlines"


@pytest.mark.parametrize("many", [False, True])
def test_a_request_is_named_where_there_is_one(many: bool) -> None:
    token = REQUEST.set("req_1")
    try:
        assert TextLines(one_of_many=many).format(RECORD).endswith(" req_1 two\\nlines")
        assert json.loads(JsonLines().format(RECORD))["request_id"] == "req_1"
    finally:
        REQUEST.reset(token)


def test_a_line_alone_says_no_more_than_it_must() -> None:
    assert TextLines().format(RECORD).partition(" ")[2] == "WARNING two\\nlines"
    assert json.loads(JsonLines().format(RECORD))["pid"] == os.getpid()
