"""The gateway's logging: lines with time, level and request id, as text or JSON. Never with prompts or answers."""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]

# The id of the request that is being worked on, in its task and in the tasks that this one starts.
REQUEST: ContextVar[str] = ContextVar("request", default="")


def configure(format: Format, level: Level, *, one_of_many: bool = False) -> None:
    """Send all logging of this process to standard error, from `level` on. With `one_of_many` a line of text names the
    process, because several write to the same place; JSON always names it."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if format == "json" else TextLines(one_of_many=one_of_many))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def _time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextLines(logging.Formatter):
    """`TIME LEVEL [PID] [REQUEST] MESSAGE`, followed by the traceback if there is one."""

    def __init__(self, *, one_of_many: bool = False) -> None:
        super().__init__()
        self._one_of_many = one_of_many

    def format(self, record: logging.LogRecord) -> str:
        request = REQUEST.get()
        where = (f" pid={record.process}" if self._one_of_many else "") + (f" {request}" if request else "")
        line = f"{_time_of(record)} {record.levelname}{where} {_one_line(record.getMessage())}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonLines(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `pid`, `message`, and `request_id` and `exception` if there is
    one."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if request := REQUEST.get():
            fields["request_id"] = request
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def _one_line(message: str) -> str:
    """The message with line breaks escaped, so that quoted text cannot look like another line of the log."""
    return message.replace("\r", "\\r").replace("\n", "\\n")
