"""OpenAI's API and Anthropic's Messages, as far as we read and write them: pure functions from bytes to bytes.

One table has a row for every operation (`surfaces`): what is read of it, and how its answers, errors and blocks are
written. The modules of each dialect do that (`chat`, `responses`, `messages`, each with its `_replies`). With the table
`reading` finds every text, and gathers what stands where no row reads it (`strays`). All of them share texts and their
paths (`passages`), JSON bodies in which places are changed (`bodies`) and streams (`sse`). `envelope` reads the few
fields by which a request is routed.
"""

from gateway.openai_api.bodies.document import (
    KEY,
    WHOLE,
    Path,
    has_too_many_values,
    map_entries,
    parse,
    rewrite,
    set_fields,
)
from gateway.openai_api.bodies.logprobs import without_alternatives
from gateway.openai_api.chat import says_nothing, without_choices, without_logprobs
from gateway.openai_api.chat_replies import error_body
from gateway.openai_api.envelope import (
    BodyError,
    Envelope,
    Moderated,
    choices_wanted,
    end_user_named,
    read_envelope,
    read_moderation,
)
from gateway.openai_api.other import is_list, kept_back, lines_kept_back, lines_of_json
from gateway.openai_api.passages import (
    BESIDE,
    CHANNELS,
    REASONS,
    Channel,
    Direction,
    EventRead,
    EventText,
    Passage,
    Reading,
    Reason,
    Unread,
    edits,
    part_of,
    place_of,
    says_little,
    told_apart,
)
from gateway.openai_api.reading import (
    gatherer_of_answer,
    read_event,
    read_request,
    read_response,
    read_stream,
    rewrite_answer,
)
from gateway.openai_api.sse import DONE_DATA
from gateway.openai_api.strays import STRAYS, Scan, headers_with_text, target_says_something
from gateway.openai_api.surface import Answers, Ending, Operation, Surface
from gateway.openai_api.surfaces import (
    SURFACES,
    answers_of,
    completes_upload,
    error_event,
    error_reply,
    operation_of,
    with_system,
)

__all__ = [
    "BESIDE",
    "CHANNELS",
    "DONE_DATA",
    "KEY",
    "REASONS",
    "STRAYS",
    "SURFACES",
    "WHOLE",
    "Answers",
    "BodyError",
    "Channel",
    "Direction",
    "Ending",
    "Envelope",
    "EventRead",
    "EventText",
    "Moderated",
    "Operation",
    "Passage",
    "Path",
    "Reading",
    "Reason",
    "Scan",
    "Surface",
    "Unread",
    "answers_of",
    "choices_wanted",
    "completes_upload",
    "edits",
    "end_user_named",
    "error_body",
    "error_event",
    "error_reply",
    "gatherer_of_answer",
    "has_too_many_values",
    "headers_with_text",
    "is_list",
    "kept_back",
    "lines_kept_back",
    "lines_of_json",
    "map_entries",
    "operation_of",
    "parse",
    "part_of",
    "place_of",
    "read_envelope",
    "read_event",
    "read_moderation",
    "read_request",
    "read_response",
    "read_stream",
    "rewrite",
    "rewrite_answer",
    "says_little",
    "says_nothing",
    "set_fields",
    "target_says_something",
    "told_apart",
    "with_system",
    "without_alternatives",
    "without_choices",
    "without_logprobs",
]
