"""The texts of an exchange, read from its bodies once more: for those who need what was said beside what was found."""

from gateway.encodings import EncodingError, decode
from gateway.openai_api import Operation, has_too_many_values, read_request, read_response, read_stream

_PER_BYTE = 16  # an unpacked answer is at most so many times as long as it came


def texts_in(
    operation: str, prompt: bytes, answer: bytes, *, encoding: str, stream: bool
) -> dict[tuple[str, tuple[str | int, ...]], str]:
    """By direction and path; none of a body of too many values, which nobody judged, or that cannot be unpacked."""
    of = Operation(operation)
    try:
        body, _ = decode(answer, encoding, len(answer) * _PER_BYTE)
    except EncodingError:
        body = b""
    both = [] if has_too_many_values(prompt) else read_request(of, prompt).passages
    if not has_too_many_values(body):
        read = read_stream if stream else read_response
        both += read(of, body, prompt).passages
    return {(passage.direction, tuple(passage.path)): passage.text for passage in both}
