"""OpenAI's dialect, as far as we read and write it: pure functions from bytes to bytes.

What is asked (`operations`), the little a request must tell to be routed (`envelope`), every text in a body
(`passages`) or a stream (`streams`), texts put back changed (`document`), what we say ourselves (`replies`), how a
stream ends that was blocked (`endings`), what a policy says in place of the model (`messages`), and
`/v1/moderations` (`moderations`).
"""

from gateway.openai_api.document import Path, rewrite
from gateway.openai_api.endings import Ending, ending_of
from gateway.openai_api.envelope import BodyError, Envelope, choices_wanted, read_envelope
from gateway.openai_api.messages import ANSWERED, message_body, message_stream, with_messages, with_system
from gateway.openai_api.moderations import Scored, moderation_body, number_of, read_inputs
from gateway.openai_api.operations import Operation, operation_of
from gateway.openai_api.passages import Channel, Direction, Passage, read_request, read_response
from gateway.openai_api.replies import error_body, error_event, filtered_body
from gateway.openai_api.streams import DONE, EventRead, Said, read_event, read_stream, says_nothing, without_choices

__all__ = [
    "ANSWERED",
    "DONE",
    "BodyError",
    "Channel",
    "Direction",
    "Ending",
    "Envelope",
    "EventRead",
    "Operation",
    "Passage",
    "Path",
    "Said",
    "Scored",
    "choices_wanted",
    "ending_of",
    "error_body",
    "error_event",
    "filtered_body",
    "message_body",
    "message_stream",
    "moderation_body",
    "number_of",
    "operation_of",
    "read_envelope",
    "read_event",
    "read_inputs",
    "read_request",
    "read_response",
    "read_stream",
    "rewrite",
    "says_nothing",
    "with_messages",
    "with_system",
    "without_choices",
]
