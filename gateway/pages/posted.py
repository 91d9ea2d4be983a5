"""What is posted to the operator's pages: only by the operator, and never more than so many bytes."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class PostedError(Exception):
    """A post that is refused; the message says why and what to do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def posted(request: Request, most_bytes: int, *, may_post: bool) -> bytes:
    """The body of a request. What is posted changes rates, thresholds and alarms: `may_post` says whether whoever sends
    it was asked for the operator's key, or can only be on this machine. Raises PostedError."""
    if not may_post:
        raise PostedError(
            403, "this needs the operator's key; set `operator_key` (ASSAY_OPERATOR_KEY) in the gateway and send it"
        )
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > most_bytes:
            raise PostedError(400, f"the body is larger than {most_bytes} bytes")
    return body


def refused(status: int, message: str) -> Response:
    """A refusal as JSON."""
    return JSONResponse({"error": {"message": message}}, status)
