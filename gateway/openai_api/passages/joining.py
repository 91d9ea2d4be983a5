"""Makes passages of the pieces that were found: what belongs together becomes one text, and cuts in it are mapped back
to the pieces."""

from base64 import b64encode
from collections.abc import Iterable, Sequence

from gateway.openai_api.bodies import texts
from gateway.openai_api.bodies.document import KEY, WHOLE, Path
from gateway.openai_api.bodies.texts import Cut
from gateway.openai_api.passages import forms
from gateway.openai_api.passages.terms import Channel, Direction, Passage, PassageSource, Piece
from gateway.openai_api.strays import Stray

_SPELLED, _DEEPEST_SPELLED = frozenset({"content", "refusal", "tokens", "bytes"}), 2  # see `bodies.logprobs`
_LISTS_OF_PARTS = (("content",), ("system",))
_DEFINITIONS = frozenset({"tools", "functions", "response_format", "text", "search_results", "citations"})


def passages_of(pieces: Iterable[Piece], direction: Direction, choice: int = 0, *, fresh: bool = True) -> list[Passage]:
    """One passage for each text, without escapes; the text parts of one message are one text."""
    groups: list[list[Piece]] = []
    said: dict[tuple[Path, Channel], list[Piece]] = {}  # by the text to which parts belong, whatever is between them
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
    """The pieces without those in which tokens only spell the text beside them. Other spellings come before the texts,
    because the latest texts are kept when there is too much."""
    spelled = [piece for piece in pieces if WHOLE in piece.path]
    if not spelled:
        return pieces
    others = [piece for piece in pieces if WHOLE not in piece.path]
    said = _said_below({_beside(piece.path) for piece in spelled}, others)
    apart = [
        piece
        for piece in spelled
        if not _is_of_tokens(piece.path) or not any(piece.text.strip() in text for text in said[_beside(piece.path)])
    ]
    return [*apart, *others]


def _beside(path: Path) -> Path:
    """The place whose text these log-probabilities belong to."""
    return path[: path.index(WHOLE) - 1]


def _is_of_tokens(path: Path) -> bool:
    """Whether tokens spell it. Only those are compared with the text: a client may put any number of other values among
    them, and each would be searched for in all that was said."""
    below = path[path.index(WHOLE) + 1 :]
    return len(below) <= _DEEPEST_SPELLED and _SPELLED.issuperset(below)


def _said_below(places: set[Path], pieces: Iterable[Piece]) -> dict[Path, list[str]]:
    """The texts at each of these places. Each text is looked at once, however many places there are."""
    found: dict[Path, list[str]] = {place: [] for place in places}
    lengths = sorted({len(place) for place in places})
    for piece in pieces:
        for length in lengths:
            if length > len(piece.path):
                break
            below = found.get(piece.path[:length])
            if below is not None:
                below.append(piece.text)
    return found


def part_of(path: Path) -> Path:
    """The path of the text to which this belongs: the parts of one content list are one text."""
    if path[-3:-2] in _LISTS_OF_PARTS and isinstance(path[-2], int) and path[-1] == "text":
        return (*path[:-2], "text")
    end = len(path)
    while end and isinstance(path[end - 1], int):
        end -= 1
    is_string = end < len(path) and path[end - 1 : end] in _LISTS_OF_PARTS  # a part that is only a string
    return (*path[:end], "text") if is_string else path


def _continues(before: Piece, piece: Piece) -> bool:
    """Whether two pieces are one text: words of one list, or the definition of one tool."""
    if before.channel != piece.channel:
        return False
    if before.listed and piece.listed:
        return before.path[:-1] == piece.path[:-1]
    return before.path[:2] == piece.path[:2] and before.path[:1] != () and before.path[0] in _DEFINITIONS


def place_of(stray: Stray) -> Path:
    """The path at which a stray is changed."""
    return (*stray.path, KEY) if stray.is_key else stray.path


def passage_of_strays(
    strays: Sequence[Stray], direction: Direction, channel: Channel, path: Path, choice: int
) -> Passage:
    """Strays from all over a body as one text with this `path`; its sources say where each stands."""
    start = 0
    sources: list[PassageSource] = []
    for stray in strays:
        sources.append(PassageSource(place_of(stray), stray.text, start, start + len(stray.text)))
        start += len(stray.text) + 1
    text = " ".join(stray.text for stray in strays)
    return Passage(direction, channel, text, path, choice, sources=tuple(sources))


def _passage(group: Sequence[Piece], direction: Direction, choice: int, fresh: bool) -> Passage:
    first = group[0]
    in_words = first.listed or any(isinstance(key, int) for key in first.path[-1:])
    apart = "\n" if first.path and first.path[0] in _DEFINITIONS else " " if in_words else ""
    sources: list[PassageSource] = []
    meant: list[str] = []
    start = 0
    plain = len(group) == 1 and not first.file
    for piece in group:
        written = None if piece.file else texts.read(piece.text)
        plain = plain and written is None
        meant.append(piece.text if written is None else written.text)
        end = start + len(meant[-1])
        sources.append(PassageSource(piece.path, piece.file or piece.text, start, end, bool(piece.file)))
        start = end + len(apart)
    return Passage(
        direction, first.channel, apart.join(meant), first.path, choice, fresh, () if plain else tuple(sources)
    )


def edits(passage: Passage, cuts: Sequence[Cut]) -> dict[Path, str]:
    """The strings of the body without these parts of the passage, by their paths; JSON in them stays JSON."""
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
    return head + comma + b64encode(texts.cut_out(forms.file_text(data) or "", cuts).encode()).decode()
