"""The texts of a body or of a stream, and what in them is no text that could be read: vocabulary and search.

What a body may hold is written as schemas: nested dicts of the keys to follow, ending in the channel of the
text found there. Lists are gone through wherever they stand. A new field is a new row. What a schema does not know is
never passed over in silence: where it carries text it is told as unread.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from gateway.openai_api import logprobs, texts
from gateway.openai_api.document import KEY, WHOLE, Path
from gateway.openai_api.strays import Stray
from gateway.openai_api.texts import Cut

Direction = Literal["prompt", "response"]
Channel = Literal["system", "user", "tool", "retrieved", "assistant", "arguments", "reasoning"]
Reason = Literal[
    "image", "audio", "file", "tokens", "field", "part", "event", "operation", "not_json", "ambiguous", "encoding",
    "language", "too_long",
]  # fmt: skip
CHANNELS: tuple[Channel, ...] = get_args(Channel)
REASONS: tuple[Reason, ...] = get_args(Reason)


BESIDE = -1  # in place of the number of an answer


class Unread(NamedTuple):
    """A part of an exchange that no detector is shown, and why.

    `field`, `part`, `event`, `operation`: one that is not known here and carries text. `ambiguous`: readers differ in
    what it says. `language`: it is in none that the detectors read.
    """

    channel: Channel
    reason: Reason


class Source(NamedTuple):
    """A string of the body that a passage was read from; what it says stands from `start` to `end` of the passage."""

    path: Path
    text: str
    start: int
    end: int
    is_file: bool = False


class Passage(msgspec.Struct, frozen=True, gc=False):
    """One text of an exchange, never empty.

    `path` are the keys that lead to it in the JSON body (in a stream: in the reply that the stream amounts to).
    `choice` is the number of the answer it belongs to, 0 in prompts, BESIDE for what stands beside all of them. `fresh`
    is True for what this request adds: all that comes after the last answer of the model, or everything when there is
    none yet; responses are always fresh. `sources` are the strings it was read from, where it is not one string as it
    stands.
    """

    direction: Direction
    channel: Channel
    text: str
    path: Path
    choice: int = 0
    fresh: bool = True
    sources: tuple[Source, ...] = ()


class Piece(NamedTuple):
    """A text as found: channel, path and text; `file` is the string that it was read from, when it was a file's.

    `grows`: it may be a piece of a text or all of it; `is_name`: it is one, where short ones say nothing; `listed`: it
    is one of many in a list of texts.
    """

    channel: Channel
    path: Path
    text: str
    file: str = ""
    grows: bool = False
    is_name: bool = False
    listed: bool = False


class Found(NamedTuple):
    """The texts of a value, and what in it could not be read."""

    pieces: list[Piece]
    unread: list[Unread]

    def add(self, more: "Found") -> None:
        """What was found elsewhere."""
        self.pieces.extend(more.pieces)
        self.unread.extend(more.unread)


class Reading(NamedTuple):
    """The passages of one side of an exchange, and what in it could not be read."""

    passages: list[Passage]
    unread: list[Unread]


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
    """Keys that hold nothing that anyone says."""
    return rows(names, QUIET)


def aside(names: str) -> Schema:
    """Keys whose texts are read elsewhere, or are not for a model."""
    return rows(names, ASIDE)


_FILE = Schema(file_data=File(), filename=SAID, file_id=FILE_ELSEWHERE, file_url=FILE_ELSEWHERE)
# The keys of a content part, or of a tool's output.
_PART = (
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
_ROLES: dict[Any, Channel] = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
PDF = b"%PDF-"  # begins a file whose letters may all be plain, and whose text is not
_LONG = 16  # characters of a name that may say something
_TOKENS = 8  # whole numbers in a list that may be the tokens of a text
_WORDS = 4  # strings in a list that may be words of a text
_DEFINITIONS = frozenset({"tools", "functions", "response_format", "text", "search_results", "citations"})
# How a picture, a sound, a PDF, an archive or a film begins in base64, and any file as a URL.
_FILE_BEGINS = re.compile(r"data:\w+/|iVBORw0KGgo|/9j/|R0lGOD|UklGR|JVBERi0|UEsDB|SUQz|T2dnUw|AAAA[A-Za-z0-9+/]GZ0eXA")
_VISIBLE_RUN = re.compile(r"[!-~]*")
_LETTER = re.compile(r"[^\W\d_]")
_DIGIT = re.compile(r"\d")
_NAMES_ONE = re.compile(r"(?:\w*_)?(?:ids?|signatures?|fingerprint)|object|sha256|digest|etag")
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9_]{0,23}[-_.][A-Za-z0-9_-]{4,128}|[0-9a-f-]{32,128}")
_SIGNATURE = re.compile(r"[A-Za-z0-9+/_-]{64,}={0,2}")
_OF_TOKENS = re.compile(r"(?:\w+_)?(?:tokens?|token_ids?|input_ids|output_ids)")
_OF_SETTINGS = re.compile(r"stop|bad|allowed|banned|suppress|eos|bos|pad")  # tokens that say nothing in their order
_MOMENT = re.compile(r"[\dTZ:.,+-]+")  # a date, a time, a number


def carries_text(value: Any, *, or_files: bool = False) -> bool:
    """Whether a string below says something: more than one run of visible ASCII characters, such as a name or a key.

    With `or_files` one that is plainly a file in base64 counts too.
    """
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            if (or_files and _FILE_BEGINS.match(value)) or (
                not _VISIBLE_RUN.fullmatch(value.strip()) and _LETTER.search(value)
            ):
                return True
        elif isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            todo += value.values()
    return False


def find(value: Any, node: Node, path: Path, channel: Channel) -> Found:
    """The texts in `value`, in its own order, as far as `node` leads; paths begin with `path`.

    Goes without recursion, since a caller chooses how deep his body is.
    """
    found = Found([], [])
    todo: list[tuple[Any, Node, Path, Channel]] = [(value, node, path, channel)]
    while todo:
        value, node, path, channel = todo.pop()
        if isinstance(node, Leaf):
            channel = node.channel or channel
        if isinstance(node, Spelling):
            _note_spelled(found, value, path, channel)
        elif value is None or isinstance(node, Quiet | Blind):
            _note_untold(found, value, node, channel)
        elif isinstance(value, str):
            _note_text(found, value, node, path, channel)
        elif isinstance(value, list):
            if isinstance(node, Leaf) and not node.deep and value and all(type(entry) is int for entry in value):
                found.unread.append(Unread(channel, "tokens"))
            if _is_text_in_a_list(value, node):
                found.pieces.extend(
                    Piece(channel, (*path, i), value[i], listed=True) for i in range(len(value)) if value[i]
                )
                continue
            todo.extend((value[i], node, (*path, i), channel) for i in range(len(value) - 1, -1, -1))
        elif isinstance(value, dict):
            todo += _below(found, value, node, path, channel)
    return found


def _is_text_in_a_list(value: list[Any], node: Node) -> bool:
    """Whether strings may be a text word by word: those of a tool's arguments and of what is not known."""
    follows = isinstance(node, Leaf) and node.deep and (node.unknown or not node.long) and not node.grows
    return follows and len(value) >= _WORDS and all(isinstance(entry, str) for entry in value)


def _note_untold(found: Found, value: Any, node: Node, channel: Channel) -> None:
    """What is not followed: told where something is in it."""
    if isinstance(node, Blind) and value not in (None, "", [], {}):
        found.unread.append(Unread(channel, node.reason))
    elif isinstance(node, Quiet) and not node.aside and carries_text(value):
        found.unread.append(Unread(channel, "field"))


def _note_spelled(found: Found, value: Any, path: Path, channel: Channel) -> None:
    """What token log-probabilities spell, and what stands among them."""
    told = logprobs.spelled(value)
    at = (*path, WHOLE)
    found.pieces.extend(Piece(channel, (*at, *below), text) for below, text in told.texts.items())
    for below, more in told.rest:
        found.add(find(more, EVERYTHING, (*at, *below), channel))
        if carries_text(more, or_files=True):
            found.unread.append(Unread(channel, "field"))


def in_place_of_a_list(value: Any, path: Path, channel: Channel) -> Found:
    """What stands where an API has a list: its texts, and that nobody knows what they are."""
    found = find(value, EVERYTHING, path, channel)
    return Found(found.pieces, [*found.unread, Unread(channel, "field")] if value else [])


def _note_text(found: Found, value: str, node: Node, path: Path, channel: Channel) -> None:
    if not value:
        return
    if isinstance(node, Leaf):
        if (node.unknown and _names_something(path, value)) or (node.prose and not carries_text(value)):
            return
        _note_file(found, value, node, channel)
        if not node.long or node.grows or not says_little(value):
            found.pieces.append(Piece(channel, path, value, grows=node.grows, is_name=node.long))
    elif isinstance(node, File):
        text = _file_text(value)
        if text is None:
            found.unread.append(Unread(channel, "file"))
        elif text:
            found.pieces.append(Piece(channel, path, text, value))
    else:
        if isinstance(node, Schema) and node.others is not None:
            _note_text(found, value, node.others, path, channel)
        if carries_text(value):
            found.unread.append(Unread(channel, "field"))


def _note_file(found: Found, value: str, node: Leaf, channel: Channel) -> None:
    """A file in a definition, such as the archive of a skill."""
    if node == DEFINED and _FILE_BEGINS.match(value):
        found.unread.append(Unread(channel, "file"))


def says_little(name: str) -> bool:
    """Whether a name is short and no more than a name."""
    return len(name) <= _LONG and not carries_text(name)


def _names_something(path: Path, text: str) -> bool:
    """Whether this is plainly an identifier, a signature or a moment: a head may take one for anything."""
    key = next((key for key in reversed(path) if isinstance(key, str)), "")
    if _NAMES_ONE.fullmatch(key) and (_IDENTIFIER.fullmatch(text) or _SIGNATURE.fullmatch(text)):
        return True
    return bool(_MOMENT.fullmatch(text))


def _below(
    found: Found, value: dict[str, Any], node: Node, path: Path, channel: Channel
) -> Iterator[tuple[Any, Node, Path, Channel]]:
    """The fields of an object to follow, last first; unknown ones are noted."""
    if isinstance(node, Leaf) and node.deep:
        found.pieces.extend(Piece(channel, (*path, key, KEY), key) for key in value if _says_something(key))
        yield from ((value[key], node, (*path, key), channel) for key in reversed(value))
        return
    schema = node if isinstance(node, Schema) else _PART
    for key in reversed(value):
        branch = schema.get(key, schema.others)
        if key not in schema:
            _note_unknown(found, schema, key, value[key], channel)
        if branch is not None:
            yield value[key], branch, (*path, key), channel


def _note_unknown(found: Found, schema: Schema, key: str, value: Any, channel: Channel) -> None:
    if key.casefold() in schema:
        found.unread.append(Unread(channel, "ambiguous"))
    elif schema is _PART:
        if isinstance(value, str | list | dict) and value:
            found.unread.append(Unread(channel, "part"))
    elif carries_text(value, or_files=True):
        found.unread.append(Unread(channel, "field"))
    elif isinstance(value, list | dict) and _holds_tokens(key, value):
        found.unread.append(Unread(channel, "tokens"))


def _holds_tokens(key: str, value: list[Any] | dict[str, Any]) -> bool:
    """Whether a list of whole numbers in it may be the tokens of a text: by the name of its field, or as it is long."""
    todo: list[tuple[str, Any]] = [(key, value)]
    while todo:
        key, value = todo.pop()
        if isinstance(value, dict):
            todo += value.items()
        elif isinstance(value, list) and value:
            if all(type(entry) is int for entry in value):
                if not _OF_SETTINGS.match(key) and (len(value) >= _TOKENS or _OF_TOKENS.fullmatch(key)):
                    return True
            else:
                todo += [(key, entry) for entry in value]
    return False


def _says_something(key: str) -> bool:
    """Whether a key is more than the name of a field: a sentence, or long and with digits, as secrets are."""
    return carries_text(key) or (len(key) > _LONG and _DIGIT.search(key) is not None)


def _file_text(data: str) -> str | None:
    """The text of a file in base64; None when it is none."""
    head, marked, encoded = data.partition(";base64,") if data.startswith("data:") else ("", "base64", data)
    if not marked or "," in head:
        return None
    try:
        content = b64decode(encoded, validate=True)
        text = content.decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return None if "\0" in text or content.startswith(PDF) else text


def channel_of(item: Any, speaker: Channel) -> Channel:
    role = item.get("role") if isinstance(item, dict) else None
    return _ROLES.get(role, speaker) if isinstance(role, str) else speaker


class Turn(NamedTuple):
    """What one message or item of a request says, and whether the model made it."""

    found: Found
    by_model: bool


def first_new(turns: Sequence[Turn]) -> int:
    """The number of the first turn that a request adds: all after the last answer of the model.

    Messages of the model at the very end (a prefilled answer) count as what the request adds, so that they cannot make
    the rest look old.
    """
    end = len(turns)
    while end and turns[end - 1].by_model:
        end -= 1
    while end and not turns[end - 1].by_model:
        end -= 1
    return end


def choice_number(entry: Any, position: int) -> int:
    """The `index` an entry of a list gives itself, else its position."""
    index = entry.get("index") if isinstance(entry, dict) else None
    return index if type(index) is int and index >= 0 else position


# --- passages from what was found


def passages_of(pieces: Iterable[Piece], direction: Direction, choice: int = 0, *, fresh: bool = True) -> list[Passage]:
    """One passage for each text, decoded; the text parts of one message are one text."""
    groups: list[list[Piece]] = []
    said: dict[tuple[Path, Channel], list[Piece]] = {}  # by the text that its parts are, whatever stands between them
    for piece in _spelled_first(list(pieces)):
        whole = part_of(piece.path)
        if whole != piece.path and piece.path[0] not in _DEFINITIONS:
            group = said.setdefault((whole, piece.channel), [])
        else:
            group = groups[-1] if groups and _continues(groups[-1][-1], piece) else []
        if not group:
            groups.append(group)
        group.append(piece)
    return [_passage(group, direction, choice, fresh) for group in groups]


def _spelled_first(pieces: list[Piece]) -> list[Piece]:
    """Without what tokens spell of the text that stands beside them; other spellings come before the texts, so that
    these are judged where there is too much."""
    spelled = [piece for piece in pieces if WHOLE in piece.path]
    if not spelled:
        return pieces
    others = [piece for piece in pieces if WHOLE not in piece.path]
    apart = []
    for piece in spelled:
        beside = piece.path[: piece.path.index(WHOLE) - 1]
        said = (other.text for other in others if other.path[: len(beside)] == beside)
        if not any(piece.text.strip() in text for text in said):
            apart.append(piece)
    return [*apart, *others]


def part_of(path: Path) -> Path:
    """The text that a text is a part of: those in one content list are what one message says."""
    in_list = path[-3:-2] in (("content",), ("system",)) and isinstance(path[-2], int) and path[-1] == "text"
    return (*path[:-2], "text") if in_list else path


def _continues(before: Piece, piece: Piece) -> bool:
    """Whether two texts are one: words of one list, or what defines one tool."""
    if before.channel != piece.channel:
        return False
    if before.listed and piece.listed:
        return before.path[:-1] == piece.path[:-1]
    return before.path[:2] == piece.path[:2] and before.path[:1] != () and before.path[0] in _DEFINITIONS


def place_of(stray: Stray) -> Path:
    """Where it is to be changed."""
    return (*stray.path, KEY) if stray.is_key else stray.path


def passage_of_strays(
    strays: Sequence[Stray], direction: Direction, channel: Channel, path: Path, choice: int
) -> Passage:
    """What was gathered from all over a body as one text; `path` is its own, its sources are where they stand."""
    start = 0
    sources: list[Source] = []
    for stray in strays:
        sources.append(Source(place_of(stray), stray.text, start, start + len(stray.text)))
        start += len(stray.text) + 1
    text = " ".join(stray.text for stray in strays)
    return Passage(direction, channel, text, path, choice, sources=tuple(sources))


def _passage(group: Sequence[Piece], direction: Direction, choice: int, fresh: bool) -> Passage:
    first = group[0]
    apart = "\n" if first.path and first.path[0] in _DEFINITIONS else " " if first.listed else ""
    sources: list[Source] = []
    meant: list[str] = []
    start = 0
    plain = len(group) == 1 and not first.file
    for piece in group:
        written = None if piece.file else texts.read(piece.text)
        plain = plain and written is None
        meant.append(piece.text if written is None else written.text)
        end = start + len(meant[-1])
        sources.append(Source(piece.path, piece.file or piece.text, start, end, bool(piece.file)))
        start = end + len(apart)
    return Passage(
        direction, first.channel, apart.join(meant), first.path, choice, fresh, () if plain else tuple(sources)
    )


def edits(passage: Passage, cuts: Sequence[Cut]) -> dict[Path, str]:
    """The strings of the body with these parts of the passage cut out, by their paths; JSON in them stays JSON."""
    if not passage.sources:
        return {passage.path: _without(passage.text, cuts)}
    found: dict[Path, str] = {}
    for source in passage.sources:
        own = [
            (max(cut[0], source.start) - source.start, min(cut[1], source.end) - source.start, cut[2])
            for cut in cuts
            if cut[0] < source.end and cut[1] > source.start
        ]
        if own:
            found[source.path] = _file_without(source.text, own) if source.is_file else _without(source.text, own)
    return found


def _without(text: str, cuts: Sequence[Cut]) -> str:
    written = texts.read(text)
    over = list(cuts) if written is None else written.put_back(cuts)
    if texts.is_json(text) and texts.is_valid(text):
        over = texts.within_json(text, over)
    return texts.cut_out(text, over)


def _file_without(data: str, cuts: Sequence[Cut]) -> str:
    head, comma, _ = data.rpartition(",")
    return head + comma + b64encode(texts.cut_out(_file_text(data) or "", cuts).encode()).decode()


# --- streams


class EventText(NamedTuple):
    """A text in one event: where in the event, which text of the reply, and whether it is all of that text.

    `grows`: which of the two cannot be told from the event alone: servers send words one by one, all of a name in every
    event, or all that was said so far. `is_name`: it says nothing where it is short.
    """

    channel: Channel
    at: Path
    path: Path
    text: str
    whole: bool
    choice: int
    grows: bool = False
    is_name: bool = False


def told_apart(said: Iterable[EventText], before: dict[Path, str]) -> list[EventText]:
    """The texts of the next event of a stream. One that `grows` is all of a text where it says the same as `before`, or
    goes on from a longer one; `before` is brought up to date."""
    out = []
    for text in said:
        if text.grows:
            last = before.get(text.path)
            more = last is not None and len(last) > _LONG and text.text.startswith(last)
            text = text._replace(whole=more or last == text.text)
            before[text.path] = text.text
        out.append(text)
    return out


class EventRead(NamedTuple):
    """An event as a JSON object, its texts, the choices it speaks of, and the paths below which no more text comes.

    `with_logprobs` are those of the choices of which it tells token log-probabilities. `unread` is what in it could not
    be read.
    """

    value: dict[str, Any]
    said: list[EventText]
    choices: list[int]
    ends: list[Path]
    with_logprobs: list[int]
    unread: list[Unread]
