"""OpenAI's dialect, as far as we read and write it: pure functions from bytes to bytes.

What is asked (`operations`), the little a request must tell to be routed (`envelope`), every text in a body
(`passages`) or a stream (`streams`), texts put back changed (`document`), what we say ourselves (`replies`), how a
stream ends that was blocked (`endings`), what a policy says in place of the model (`messages`),
`/v1/moderations` (`moderations`), and moderated completions (`moderated`).
"""

from gateway.openai_api.document import Path, rewrite, set_fields
from gateway.openai_api.endings import Ending, ending_of
from gateway.openai_api.envelope import BodyError, Envelope, choices_wanted, read_envelope
from gateway.openai_api.messages import ANSWERED, message_body, message_stream, with_messages, with_system
from gateway.openai_api.moderated import (
    EVERY_CHOICE,
    MODERATED,
    Judged,
    Moderated,
    StreamEnd,
    moderation_of,
    read_moderation,
    sentence,
    usage_of_response,
    with_moderation,
    withheld_body,
)
from gateway.openai_api.moderations import Scored, moderation_body, number_of, read_inputs
from gateway.openai_api.operations import Operation, operation_of
from gateway.openai_api.passages import Channel, Direction, Passage, read_request, read_response
from gateway.openai_api.replies import error_body, error_event, filtered_body
from gateway.openai_api.streams import (
    DONE,
    EventRead,
    Said,
    read_event,
    read_stream,
    says_nothing,
    without_choices,
    without_logprobs,
)

__all__ = [
    "ANSWERED",
    "DONE",
    "EVERY_CHOICE",
    "MODERATED",
    "BodyError",
    "Channel",
    "Direction",
    "Ending",
    "Envelope",
    "EventRead",
    "Judged",
    "Moderated",
    "Operation",
    "Passage",
    "Path",
    "Said",
    "Scored",
    "StreamEnd",
    "choices_wanted",
    "ending_of",
    "error_body",
    "error_event",
    "filtered_body",
    "message_body",
    "message_stream",
    "moderation_body",
    "moderation_of",
    "number_of",
    "operation_of",
    "read_envelope",
    "read_event",
    "read_inputs",
    "read_moderation",
    "read_request",
    "read_response",
    "read_stream",
    "rewrite",
    "says_nothing",
    "sentence",
    "set_fields",
    "usage_of_response",
    "with_messages",
    "with_moderation",
    "with_system",
    "withheld_body",
    "without_choices",
    "without_logprobs",
]
