"""Reads the texts of an exchange from its bodies once more, for sinks that need the words and not only the findings."""

from gateway.encodings import EncodingError, decode
from gateway.openai_api import Operation, has_too_many_values, read_request, read_response, read_stream

_PER_BYTE = 16  # an answer is unpacked to at most so many times its bytes


def texts_in(
    operation: str, prompt: bytes, answer: bytes, *, encoding: str, stream: bool
) -> dict[tuple[str, tuple[str | int, ...]], str]:
    """The texts by direction and path; none of a body that has too many values or cannot be unpacked."""
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
