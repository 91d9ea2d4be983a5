"""Gathers the strays of one body, or of the events of one stream, and tells when they make a text."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from gateway.openai_api.bodies.logprobs import unknown_in
from gateway.openai_api.strays import forms
from gateway.openai_api.strays.vocabulary import FIELDS, VALUES

Path = tuple[str | int, ...]
STRAYS = -3  # begins the path of a text that was gathered
DEFINED = -4  # follows STRAYS if the application defined what is gathered
Kind = Literal["word", "name", "secret"]
Where = Literal["", "named", "defined", "repeated"]
_LONGEST_WORD = 24
_MOST_SEEN, _LONGEST_SEEN = 20_000, 256  # most strings that are remembered, and their most characters
_DEFINES = frozenset(
    (
        "tools",
        "functions",
        "response_format",
        "json_schema",
        "parameters",
        "input_schema",
        "output_format",
        "output_config",
        "mcp_servers",
    )
)
# Fields below which callers choose names freely: many short names alone are not a text.
_NAMES = frozenset(("arguments", "input", "function_call", "variables", "logit_bias"))
_NAMES_ASKED = frozenset(
    (
        "name",
        "tool_name",
        "server_name",
        "server_label",
        "namespace",
        "metadata",
        "user",
        "safety_identifier",
        "stop",
        "stop_sequences",
        "tool_choice",
    )
)
# What an answer repeats of its request.
_REPEATS = frozenset(
    (
        "instructions",
        "tools",
        "text",
        "prompt",
        "metadata",
        "user",
        "safety_identifier",
        "tool_choice",
        "reasoning",
        "response_format",
        "prompt_cache_key",
        "input_user",
    )
)
_WITHOUT_SPACES = frozenset(("name", "tool_name", "server_name", "server_label", "namespace"))
_KINDS = ("type", "object")
_ANSWERS = ((), ("response",))


class Stray(NamedTuple):
    """A string that no row reads, and where it stands; with `is_key` the path leads to the key itself. `is_defined`: it
    counts as the application's, because it stands in a definition, or because an answer repeats it of a request that is
    not known here."""

    path: Path
    text: str
    kind: Kind
    is_key: bool
    is_defined: bool


class _Tally:
    """How much was gathered, and whether it reads like a text."""

    __slots__ = ("_function_words", "_names", "_secrets", "_words")

    def __init__(self) -> None:
        self._words = self._secrets = 0
        self._names: set[str] = set()
        self._function_words: set[str] = set()

    def add(self, stray: Stray) -> None:
        if stray.kind == "secret":
            self._secrets += 1
        elif stray.kind == "word":
            self._words += len(stray.text.split())
        words = forms.words_in(stray.text) if len(self._names) < _MOST_SEEN else ()
        self._names.update(words)
        is_name = len(words) > 1 and not forms.has_space(stray.text)
        self._function_words.update(word for word in words if forms.is_function_word(word, in_name=is_name))

    def is_text(self) -> bool:
        if self._words >= forms.LEAST_WORDS or self._secrets > 0:
            return True
        return forms.are_a_sentence(self._names, self._function_words)


class Said(Protocol):
    """A text of an event, as a row reads it."""

    @property
    def text(self) -> str: ...

    @property
    def path(self) -> Path: ...

    @property
    def whole(self) -> bool: ...

    @property
    def is_name(self) -> bool: ...


def _is_short_name(text: str) -> bool:
    """Whether a row may read this and then pass over it."""
    return len(text) <= _LONGEST_WORD and not forms.has_space(text)


def claimed_by(texts: Iterable[str]) -> set[int]:
    """The identities of the strings that rows read."""
    return set(map(id, texts))


class Gatherer:
    """Gathers the strays of one body, or of all events of one stream. `asked` gives the strings of the request: what an
    answer repeats of them says nothing new.

    The words of a text differ, so a string that comes again at the same key is taken once, unless it may be a secret.
    At most 20,000 strings are remembered.
    """

    def __init__(self, asked: Callable[[], Collection[str]] | None = None) -> None:
        self._asked = asked
        self._said: Collection[str] | None = None
        self._seen: set[tuple[str, str]] = set()
        self._words: set[str] = set()
        self._paths: set[Path] = set()
        self._tallies = {False: _Tally(), True: _Tally()}

    def is_text(self, *, defined: bool = False) -> bool:
        """Whether what was gathered so far is a text."""
        return self._tallies[defined].is_text()

    def take(self, value: Any, claimed: Collection[int], alone: Collection[int]) -> list[Stray]:
        """The strays of a body, in its order: strings that no row has `claimed`, and single words among those that are
        read `alone`, because a text may come word by word in many messages."""
        return self._taken(value, claimed, alone)

    def take_event(self, value: Any, said: Sequence[Said]) -> list[Stray]:
        """The strays of the next event of a stream, in which rows read what is `said`. The beginnings of texts are
        taken too, because each text may be only a word."""
        claimed = {id(text.text) for text in said if not (text.is_name and _is_short_name(text.text))}
        also = {id(text.text) for text in said if text.whole or self._begins(text.path)}
        return self._taken(value, claimed, also) if also or self._may_have_strays(value, claimed) else []

    def _may_have_strays(self, value: Any, claimed: Collection[int]) -> bool:
        """Whether an event says anything new that no row reads; most do not."""
        seen = self._seen
        todo = [("", value)]
        while todo:
            above, value = todo.pop()
            if type(value) is list:
                todo += [(above, below) for below in value]
                continue
            if type(value) is str:
                if value and id(value) not in claimed and (above, value) not in seen:
                    return True
                continue
            for key, below in value.items() if type(value) is dict else ():
                if key not in FIELDS and ("", key) not in seen:
                    return True
                if type(below) is str:
                    if below and id(below) not in claimed and (key, below) not in seen:
                        return True
                elif below is not None and type(below) is not int:
                    todo.append((key, below))
        return False

    def _begins(self, path: Path) -> bool:
        if path in self._paths or len(self._paths) > _MOST_SEEN:
            return False
        self._paths.add(path)
        return True

    def _taken(self, value: Any, claimed: Collection[int], also: Collection[int]) -> list[Stray]:
        found: list[Stray] = []
        for place in _strings(value, claimed, also, self._seen, self._asked is not None):
            kind = _kind(place)
            if kind is None or (kind != "secret" and not self._is_new(place.text)):
                continue
            is_defined = place.where == "defined"
            if place.where == "repeated":
                if place.text in self._said_before():
                    continue
                is_defined = not self._said_before()
            at = (*place.path, place.text) if place.is_key else place.path
            found.append(Stray(at, place.text, kind, place.is_key, is_defined))
            self._tallies[is_defined].add(found[-1])
        return found

    def _is_new(self, text: str) -> bool:
        if len(text) > _LONGEST_SEEN:
            return True
        known = len(self._words)
        self._words.add(text.lower())
        if len(self._words) > _MOST_SEEN:
            self._words.clear()
            return True
        return len(self._words) > known

    def _said_before(self) -> Collection[str]:
        if self._said is None:
            self._said = frozenset(self._asked() if self._asked else ())
        return self._said


class _Place(NamedTuple):
    """A string, the key it stands under, and what kind of place that is. `is_read`: a row reads it as well."""

    path: Path
    key: str
    text: str
    where: Where
    is_key: bool
    is_read: bool


def _kind(place: _Place) -> Kind | None:
    """What a string is; None if its form shows that it is only a name or an identifier."""
    text = place.text
    if place.is_read:
        return "name" if forms.is_plain(text) else None
    if forms.may_be_secret(text) or forms.encodes_text(text) or forms.is_joined_sentence(text):
        return "secret"
    if place.key == "obfuscation" and text.isascii() and text.isalnum():
        return "name" if forms.is_like_a_word(text) else None
    if forms.is_opaque(place.key, text):
        return None
    if place.key in _KINDS:
        text = text.rpartition(".")[2]  # response.output_text.delta
    if forms.has_space(text) and (place.is_key or place.key in _WITHOUT_SPACES):
        return "word"  # names there have no spaces
    says = forms.is_plain(text) or forms.has_space(text) or forms.hides_word(place.key, text)
    return "word" if says and place.where not in ("named", "defined") else "name"


def _strings(
    value: Any, claimed: Collection[int], also: Collection[int], seen: set[tuple[str, str]], is_answer: bool
) -> Iterator[_Place]:
    """Every string of a value that may be a stray, in its order. What was seen before is passed over, and so are the
    tokens of log-probabilities and their alternatives.

    There is no recursion, because callers choose how deep a body is.
    """
    if len(seen) > _MOST_SEEN:
        seen.clear()
    frames: list[tuple[Iterator[tuple[Any, Any]], Path, str, Where]] = [(_items(value), (), "", "")]
    while frames:
        items, path, above, where = frames[-1]
        for key, below in items:
            named = above if type(key) is int else key
            if named is key and key not in FIELDS and id(key) not in claimed and ("", key) not in seen:
                seen.add(("", key))
                yield _Place(path, "", key, _where_keys(where, path), True, False)
            if type(below) is str:
                is_read = id(below) in claimed
                if key == "model" and not path and not is_answer and not forms.has_space(below):
                    passes = True  # by it the request is routed
                elif is_read:
                    passes = len(below) > _LONGEST_WORD or id(below) not in also
                else:
                    passes = _is_known(named, below, seen)
                if not passes:
                    at = (*path, key)
                    yield _Place(at, named, below, _where(where, named, path, is_answer), False, is_read)
            elif type(below) in (dict, list) and below:
                tokens = _is_read_as_tokens(key, path)
                items = iter(_beside_tokens(below).items()) if tokens else _items(below)
                frames.append((items, (*path, key), named, _where(where, named, path, is_answer)))
                break
        else:
            frames.pop()


def _is_known(key: str, text: str, seen: set[tuple[str, str]]) -> bool:
    """Whether this is one of the API's values of this field, or was seen there before."""
    if not text or (key, text) in seen:
        return True
    if len(text) <= _LONGEST_SEEN and not forms.may_be_secret(text):
        seen.add((key, text))
    return text in VALUES.get(key, ())


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    return iter(value.items()) if type(value) is dict else iter(enumerate(value if type(value) is list else ()))


def _where(above: Where, key: str, path: Path, is_answer: bool) -> Where:
    if above in ("defined", "repeated"):
        return above
    above = _where_keys(above, path)
    if is_answer:
        if key in _REPEATS and path in _ANSWERS:
            return "repeated"
    elif key in _DEFINES:
        return "defined"
    elif key in _NAMES_ASKED:
        return "named"
    return "named" if key in _NAMES and (path or key != "input") else above


def _where_keys(where: Where, path: Path) -> Where:
    """What kind of place the keys below are: in metadata and arguments callers choose their names freely."""
    among_names = not _NAMES.isdisjoint(path[1:] if path[:1] == ("input",) else path) or "metadata" in path
    return "" if where == "named" and not among_names else where


def _beside_tokens(value: Any) -> dict[str | int, Any]:
    """What log-probabilities hold beside tokens and numbers, in nested dicts by key."""
    found: dict[str | int, Any] = {}
    for path, below in unknown_in(value):
        node = found
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1] if path else 0] = below
    return found


def _is_read_as_tokens(key: str | int, path: Path) -> bool:
    return key == "logprobs" and (path[:1] == ("choices",) or "content" in path or path in ((), ("part",)))
