"""What a body may hold, written as schemas: nested dicts of the keys to follow, ending in the channel of the text found
there. Lists are gone through wherever they stand. A new field is a new row.
"""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.openai_api.passages.terms import Channel, Reason


class Schema(dict[str, "Node"]):
    """The keys to follow in an object. Where `others` is set, the values of all other keys are read by it as well."""

    others: "Leaf | None" = None

    def __or__(self, other: Mapping[str, "Node"]) -> "Schema":  # type: ignore[override]
        made = Schema({**self, **other})
        made.others = self.others
        return made

    def with_others(self, node: "Leaf | None") -> "Schema":
        """The same keys, and this for all others, here and in what they lead to."""
        made = Schema(
            {key: below.with_others(node) if isinstance(below, Schema) else below for key, below in self.items()}
        )
        made.others = node
        return made


class Leaf(NamedTuple):
    """A text, a content part, or a list of them.

    `channel` None: that of whoever speaks; `deep`: any string below counts, as in the arguments of a tool; `long`: but
    for names and other short ones; `unknown`: nothing is known of the form, so what is plainly an identifier is none;
    `grows`: in the events of a stream it may come word by word, or whole in every event; `prose`: one run of characters
    is none, however long, as the names of models are.
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
    """Names, numbers and settings: nothing that anyone says. What says something all the same is told as unread, unless
    it stands `aside`: it is read elsewhere, or no model ever sees it."""

    aside: bool = False


class File(NamedTuple):
    """A file in base64, maybe as a data URL: read if it is text."""


class Spelling(NamedTuple):
    """Token log-probabilities, which spell texts."""


Node = Schema | Leaf | Blind | Quiet | File | Spelling
SAID = Leaf()
THOUGHT = Leaf("reasoning")
ASKED = Leaf("user")
ARGUMENTS = Leaf("arguments", deep=True)
RESULT = Leaf("tool")
RETRIEVED = Leaf("retrieved")
CITED = Leaf("retrieved", deep=True, long=True)  # where things were found: titles, addresses, quotes
DEFINED = Leaf("system", deep=True, long=True)  # by the application: tools, forms of answers
TOLD = Leaf(deep=True, prose=True)  # names and numbers of a server; what says more is judged
NAME, TOOL_NAME = Leaf(long=True), Leaf("arguments", long=True)
EVERYTHING = Leaf(deep=True, long=True, unknown=True)  # where nothing is known of the form
IN_PIECES = Leaf(deep=True, unknown=True, grows=True)  # the same in the events of a stream
NAME_IN_PIECES, TOOL_NAME_IN_PIECES = NAME._replace(grows=True), TOOL_NAME._replace(grows=True)
QUIET, ASIDE = Quiet(), Quiet(aside=True)
LOGPROBS = Spelling()
IMAGE, AUDIO, FILE_ELSEWHERE, TOKENS = Blind("image"), Blind("audio"), Blind("file"), Blind("tokens")


def rows(names: str, node: Node) -> Schema:
    """A row for each of these names, which are parted by spaces."""
    return Schema(dict.fromkeys(names.split(), node))


def quiet(names: str) -> Schema:
    """Keys whose values are nobody's words."""
    return rows(names, QUIET)


def aside(names: str) -> Schema:
    """Keys whose texts are read elsewhere, or are not for a model."""
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
