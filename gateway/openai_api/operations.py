"""Which of OpenAI's operations a request asks for."""

import posixpath
from enum import StrEnum


class Operation(StrEnum):
    """The operations whose bodies we read; everything else is OTHER and passes as it is."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    MODELS = "models"
    MODERATIONS = "moderations"
    OTHER = "other"


_BY_PATH = {
    ("POST", "/v1/chat/completions"): Operation.CHAT,
    ("POST", "/v1/completions"): Operation.COMPLETIONS,
    ("POST", "/v1/responses"): Operation.RESPONSES,
    ("POST", "/v1/embeddings"): Operation.EMBEDDINGS,
    ("POST", "/v1/moderations"): Operation.MODERATIONS,
    ("GET", "/v1/models"): Operation.MODELS,
}
_ONE_MODEL = "/v1/models/"


def operation_of(method: str, path: str) -> Operation:
    """The operation behind an upper-case method and a percent-decoded path without its query.

    Spellings that many servers take for the same path (a trailing or doubled slash, dot segments, another
    case) count as that path, so that no spelling slips past the readers.
    """
    return _BY_PATH.get((method, path)) or _of_unusual(method, path)


def _of_unusual(method: str, path: str) -> Operation:
    plain = "/" + posixpath.normpath(path.lower()).lstrip("/")
    if method == "GET" and plain.startswith(_ONE_MODEL):
        return Operation.MODELS
    return _BY_PATH.get((method, plain), Operation.OTHER)
