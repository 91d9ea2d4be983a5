"""Errors of the gateway's own in OpenAI's words."""

import msgspec

from gateway.openai_api import sse

_encode = msgspec.json.encode


def error_body(message: str, type: str, param: str | None = None, code: str | None = None) -> bytes:
    """An error reply; all four keys are always there."""
    return _encode({"error": {"message": message, "type": type, "param": param, "code": code}})


def error_of_status(message: str, type: str, param: str | None, code: str | None, status: int) -> bytes:
    """The same for a table of such functions: this API does not tell the status in the body."""
    return error_body(message, type, param, code)


def error_event(message: str, type: str, param: str | None, code: str | None, sequence_number: int) -> bytes:
    """An error as the final event of a stream whose status line is gone; its events are not numbered."""
    return sse.encode(error_body(message, type, param, code))
