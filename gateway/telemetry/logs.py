"""How the gateway logs: a line each with time, level and request id, as text or JSON. Never what people said."""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]

# The request that is being worked on, in its task and those that it starts.
REQUEST: ContextVar[str] = ContextVar("request", default="")


def configure(format: Format, level: Level, *, one_of_many: bool = False) -> None:
    """Send all logging of this process to standard error, from `level` on. `one_of_many` processes that write to the
    same place names itself in lines of text; JSON always does."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if format == "json" else TextLines(one_of_many=one_of_many))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def _time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextLines(logging.Formatter):
    """`TIME LEVEL [PID] [REQUEST] MESSAGE`, and a traceback below where there is one."""

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
    """One JSON object a line: `time`, `level`, `logger`, `pid`, `message`; `request_id` and `exception` where there is
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
    """Line ends written out: what a message quotes must not look like a line of its own."""
    return message.replace("\r", "\\r").replace("\n", "\\n")
