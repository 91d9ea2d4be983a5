"""What a body may hold, written as schemas: nested dicts of the keys to follow, which end in the channel of the text
found there. Lists may stand anywhere. A new field is a new row.
"""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.openai_api.passages.terms import Channel, Reason


class Schema(dict[str, "Node"]):
    """The keys to follow in an object. If `others` is set, the values of all other keys are read by it."""

    others: "Leaf | None" = None

    def __or__(self, other: Mapping[str, "Node"]) -> "Schema":  # type: ignore[override]
        made = Schema({**self, **other})
        made.others = self.others
        return made

    def with_others(self, node: "Leaf | None") -> "Schema":
        """The same keys, with `node` for all other keys, here and below."""
        made = Schema(
            {key: below.with_others(node) if isinstance(below, Schema) else below for key, below in self.items()}
        )
        made.others = node
        return made


class Leaf(NamedTuple):
    """A text, a content part, or a list of them.

    `channel` None: the speaker's. `deep`: every string below counts, as in the arguments of a tool. `long`: names and
    other short strings do not count. `unknown`: nothing is known of the form, so clear identifiers do not count.
    `grows`: in the events of a stream it may come word by word, or whole in every event. `prose`: a single run of
    characters does not count, however long, as in names of models.
    """

    channel: Channel | None = None
    deep: bool = False
    long: bool = False
    unknown: bool = False
    grows: bool = False
    prose: bool = False


class Blind(NamedTuple):
    """Something that cannot be read as text."""

    reason: Reason


class Quiet(NamedTuple):
    """Names, numbers and settings, which nobody says. If they say something after all, that is reported as unread,
    unless it is `aside`: read elsewhere, or never seen by a model."""

    aside: bool = False


class File(NamedTuple):
    """A file in base64, perhaps as a data URL; it is read if it is text."""


class Spelling(NamedTuple):
    """Token log-probabilities, which spell texts."""


Node = Schema | Leaf | Blind | Quiet | File | Spelling
SAID = Leaf()
THOUGHT = Leaf("reasoning")
ASKED = Leaf("user")
ARGUMENTS = Leaf("arguments", deep=True)
RESULT = Leaf("tool")
RETRIEVED = Leaf("retrieved")
CITED = Leaf("retrieved", deep=True, long=True)  # sources: titles, addresses, quotes
DEFINED = Leaf("system", deep=True, long=True)  # what the application defines: tools, forms of answers
TOLD = Leaf(deep=True, prose=True)  # a server's names and numbers; what says more is judged
NAME, TOOL_NAME = Leaf(long=True), Leaf("arguments", long=True)
EVERYTHING = Leaf(deep=True, long=True, unknown=True)  # values of unknown form
IN_PIECES = Leaf(deep=True, unknown=True, grows=True)  # the same in the events of a stream
NAME_IN_PIECES, TOOL_NAME_IN_PIECES = NAME._replace(grows=True), TOOL_NAME._replace(grows=True)
QUIET, ASIDE = Quiet(), Quiet(aside=True)
LOGPROBS = Spelling()
IMAGE, AUDIO, FILE_ELSEWHERE, TOKENS = Blind("image"), Blind("audio"), Blind("file"), Blind("tokens")


def rows(names: str, node: Node) -> Schema:
    """A row for each of these names, which are separated by spaces."""
    return Schema(dict.fromkeys(names.split(), node))


def quiet(names: str) -> Schema:
    """Keys whose values are nobody's words."""
    return rows(names, QUIET)


def aside(names: str) -> Schema:
    """Keys whose texts are read elsewhere, or are not meant for a model."""
    return rows(names, ASIDE)


_FILE = Schema(file_data=File(), filename=SAID, file_id=FILE_ELSEWHERE, file_url=FILE_ELSEWHERE)
# The keys of a content part, or of a tool's output.
PART = (
    rows("text refusal content summary transcript logs stdout stderr title", SAID)
    | {"thinking": THOUGHT, "reasoning": THOUGHT, "annotations": CITED, "citations": CITED}
    | rows("image_url image video_url video image_file", IMAGE)
    | rows("input_audio audio audio_url", AUDIO)
    | _FILE
    | {"file": _FILE}
    | quiet(
        "type id index detail cache_control signature data encrypted_content format status outcome role name "
        "prompt_cache_breakpoint phase"
    )
    | {"logprobs": LOGPROBS}
)
