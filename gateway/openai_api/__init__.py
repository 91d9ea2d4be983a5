"""OpenAI's dialect, as far as we read and write it: pure functions from bytes to bytes.

What is asked (`operations`), the little a request must tell to be routed (`envelope`), every text in a body
(`passages`) or a stream (`streams`), texts put back changed (`document`), what we say ourselves (`replies`), and
`/v1/moderations` (`moderations`).
"""

from gateway.openai_api.document import Path, rewrite
from gateway.openai_api.envelope import BodyError, Envelope, read_envelope
from gateway.openai_api.moderations import Scored, moderation_body, number_of, read_inputs
from gateway.openai_api.operations import Operation, operation_of
from gateway.openai_api.passages import Channel, Direction, Passage, read_request, read_response
from gateway.openai_api.replies import blocked_ending, error_body, error_event
from gateway.openai_api.streams import read_stream, rewrite_stream

__all__ = [
    "BodyError",
    "Channel",
    "Direction",
    "Envelope",
    "Operation",
    "Passage",
    "Path",
    "Scored",
    "blocked_ending",
    "error_body",
    "error_event",
    "moderation_body",
    "number_of",
    "operation_of",
    "read_envelope",
    "read_inputs",
    "read_request",
    "read_response",
    "read_stream",
    "rewrite",
    "rewrite_stream",
]
