"""Values after a name: assignments, headers, options, markup, sentences, tables.

At each name a few bounded expressions say how a value may follow it; the value then has to look like one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from detectors.rules.secrets.candidate import A_PIECE, Candidate
from detectors.rules.secrets.fitting import Place, fits
from detectors.rules.secrets.names import FOREIGN, HEADS, Family, Head, is_otherwise

BEFORE = 40  # characters in front of a name that are looked at
LONGEST = 256  # characters of a value that are judged; one that goes on is cut to its end
_QUOTE = r"(?P<q>\\{0,7}[\"'`]|&quot;|[“‘«「])"
_VALUE = (
    rf"(?:[bBrRfFuU@]{{0,2}}{_QUOTE}(?P<quoted>(?:(?!(?P=q)|[”’»」])[^\n]){{4,400}})(?:(?P=q)|[”’»」])"
    r"|[\"'`“‘«「]?(?P<bare>[^\s\"'`<>“”«»\u0250-\U0010ffff]{4,256}+))"
)
_SUFFIX = r"(?P<suffix>[A-Za-z0-9_-]{0,24}+)(?:\.value)?"
_CLOSE = r"(?:\\{0,7}[\"'`]|&quot;|[*_\])}]){0,6}"
_NOTE = (
    r"(?:\s?[(（][^()（）\n]{0,40}[)）])?(?: (?:value|string|here|below|again|#?\d{1,2}))?"
    r"(?: (?:for|of|to|on|in|from|at|used|pour|para|für|zum|zur|от|для|per|di|do|da|del|de|van|voor|för|til|に"
    r"|的)\b[^\n:=|：]{1,48}?)?"
)
_SIGN = r"(?:\s{0,3}(?:=>|->|→|⇒|:=|={1,3}|\?=|:{1,2}|：|＝|\|)|\s[-–—](?=\s))"
_TYPED = r"\s?:\s?(?:&'static )?[A-Za-z&\[\]<>.|? ]{2,24}\s?="
_SAYS = (
    r"\s(?:is|was|are|equals|ist|lautet|est|es|é|è|jest|är|er|on|to|je|adalah|là|будет)(?:\s(?:now|set to|currently"
    r"|still|jetzt|"
    r"ahora|the following|as follows))?\s?:?(?=\s)|['’]s(?=\s)|(?:は|는|은|是|为|為)"
)
_OPEN = r"\s{0,12}(?:```\w{0,12}\n\s{0,12}|> |\{\s?(?=[\"']))?(?:(?:>-?|\|-?)\s{0,3}\n\s{1,12})?(?:\*\*|__)?\s?"


@dataclass(frozen=True, slots=True)
class Tail:
    """How a value may follow a name. `before`: what must come before the name, in lower case."""

    expression: re.Pattern[str]
    before: re.Pattern[str] | None = None
    place: Place = Place.TELLING


def _tail(expression: str, before: str | None = None, place: Place = Place.TELLING, behind: str = "") -> Tail:
    return Tail(re.compile(_SUFFIX + expression + _VALUE + behind), re.compile(before) if before else None, place)


_IN_A_TAG = r"<[^<>]{0,32}$"
TAILS = (
    _tail(rf"{_CLOSE}{_NOTE}{_CLOSE}(?:{_TYPED}|{_SIGN}|{_SAYS})(?:[*_]{{1,3}}|[\])]){{0,2}}{_OPEN}"),
    _tail(r"[\"']?\s{0,3}/?>\s{0,8}", _IN_A_TAG, behind=r"(?=\s{0,8}<)"),
    _tail(r"[\"'](?:\s{1,3}[a-z]{2,12}=[\"'][^\"'\n]{0,24}[\"'])?\s{1,3}(?:value|content)\s?=\s?", _IN_A_TAG),
    _tail(r"</key>\s{0,12}<\w{1,10}>", r"<key>[\w .-]*$"),
    _tail(r"[\"']?,?\s{0,24}[\"']?(?:value|default)[\"']?\s?[:=]\s?"),
    _tail(r"[\"']\s?\{[^{}]{0,160}?default\s{0,12}=\s?"),
    _tail(r"\(\s?(?=[\"'`])"),
    _tail(r"[\"'],\s{0,3}(?=[\"'])", place=Place.DOUBTFUL),
    _tail(r"[\"']?\s{1,3}", r"(?:(?:^|\s)--?[\w-]*|(?:^|\n)\s{0,4}(?:env|arg|setx)\s{1,3}\w*)$"),
    _tail(r"[\])*]{1,3}\s", place=Place.DOUBTFUL),
    _tail(r"\s?[(（]\s?", place=Place.DOUBTFUL),
    _tail(r"\s", r"\b(?:with|use|using|the|mit|dem|con|avec|com|und|and)\s(?:\w{1,12}\s)?$", place=Place.DOUBTFUL),
    _tail(rf"{_CLOSE}{_SIGN}\s{{0,3}}[\w.@-]{{2,40}}\s?[/:](?![/:])\s?", place=Place.LOOSE),
    _tail(r"[\"'`*_]{0,3}(?: [Vv]alue)?\s{1,8}", place=Place.LOOSE),
)
# The other way round: a value, then what it is.
_SAID_FIRST = re.compile(
    r"(?<![\w/+=.-])(?P<bare>[A-Za-z0-9+/=_.~!#%&*?^-]{8,128})[\"'`*]{0,3}\s(?:is|was)\s(?:the|my|your|our"
    r"|an?)\s(?:[\w-]{1,16}\s){0,2}$"
)
SAID_BEFORE = 180  # characters in front of a name in which such a value stands


def named(text: str, lowered: str) -> Iterator[Candidate | None]:
    """Every value after a name that looks like a secret of the name's kind; None for a pause."""
    for head in (*HEADS, *(() if text.isascii() else FOREIGN)):
        if head.root in lowered:
            done = 0
            for number, name in enumerate(head.expression.finditer(lowered), 1):
                if not number % A_PIECE:
                    yield None
                if name.start() < done:
                    continue
                for found in _behind(text, lowered, head, name):
                    yield found
                    done = found.end


def _behind(text: str, lowered: str, head: Head, name: re.Match[str]) -> Iterator[Candidate]:
    before = lowered[max(name.start() - BEFORE, 0) : name.start()]
    if (head.before and not head.before.search(before)) or (head.not_before and head.not_before.search(before)):
        return
    if not _begins_a_word(text, name.start(), head.family):
        return
    for tail in TAILS:
        if tail.before and not tail.before.search(before):
            continue
        match = tail.expression.match(text, name.end())
        if match is None:
            continue
        if is_otherwise(match["suffix"]):
            return
        span = _span(text, match, name)
        if span and fits(text[slice(*span)], head, match["quoted"] is not None, tail.place):
            yield _candidate(text, *span, head.family)
            return
    if " is " in before or " was " in before:
        yield from _said_first(text, head, name)


def _said_first(text: str, head: Head, name: re.Match[str]) -> Iterator[Candidate]:
    match = _SAID_FIRST.search(text[max(name.start() - SAID_BEFORE, 0) : name.start()])
    if match is not None and fits(match["bare"], head, False, Place.LOOSE):
        start = max(name.start() - SAID_BEFORE, 0) + match.start("bare")
        yield _candidate(text, start, start + len(match["bare"]), head.family)


_TO_THE_END = re.compile(r"[^\s\"'`<>|,;)\]}&]*+")


def _candidate(text: str, start: int, end: int, family: Family) -> Candidate:
    """The whole value, also if it is longer than the part that was judged."""
    value = text[start:end]
    rest = _TO_THE_END.match(text, end) if end - start == LONGEST else None
    return Candidate(start, rest.end() if rest else end, family.value, _CONFIDENCE[family], value)


_CONFIDENCE = {Family.KEY: 0.7, Family.PASSWORD: 0.6}


def _begins_a_word(text: str, at: int, family: Family) -> bool:
    """A name begins here, or a part of one does (`db_password`, `clientSecret`); passwords may be glued on."""
    if at == 0 or not text[at - 1].isalpha() or not text[at].isascii():
        return True
    return text[at].isupper() or family is Family.PASSWORD or text[at - 1].isupper() or _is_glued(text, at)


_GLUED = re.compile(
    r"(?:api|auth|access|client|app|user|my|bearer|refresh|session|id|jwt|bot|webhook|o)$", re.IGNORECASE
)


def _is_glued(text: str, at: int) -> bool:
    return _GLUED.search(text, max(at - 10, 0), at) is not None


def _span(text: str, match: re.Match[str], name: re.Match[str]) -> tuple[int, int] | None:
    """The place of the value; None if the text after it shows that it is not a secret."""
    if match["quoted"] is not None:
        return match.span("quoted")
    start, limit = match.span("bare")
    is_line = _is_shell_line(text, name, match)
    value, before = text[start:limit], text[max(name.start() - BEFORE, 0) : name.start()]
    end = start + (len(value.rstrip(".,")) if is_line else _bare_end(value, before))
    if end - start < 4 or (not is_line and text[end : end + 1] in ("(", "[")):
        return None
    crossed = "\n" in text[match.start() : start]
    is_next_line = crossed and (text[end : end + 1] in (":", "=") or _ANOTHER_NAME.match(text, start, end))
    return None if is_next_line else (start, end)


_ANOTHER_NAME = re.compile(r"[A-Za-z_]\w*=(?!=?$)")


_SHELL = re.compile(r"(?:^|\n|export |set |-e |env |- )[A-Z0-9_]*$")
_SHELL_SIGN = re.compile(r"[A-Z0-9_]*=")


def _is_shell_line(text: str, name: re.Match[str], match: re.Match[str]) -> bool:
    """Whether it is NAME=value: such a value goes on to the next white space."""
    return bool(
        _SHELL.search(text, max(name.start() - BEFORE, 0), name.start())
        and _SHELL_SIGN.fullmatch(text, match.start(), match.start("bare"))
    )


_ENDS = re.compile(r"[,;](?=$|[A-Za-z_ ]+[=:]|\W)|[)\]}]|\\[nrt\"]|&(?=[\w.-]+=)|\||\*\*|(?<=[A-Za-z0-9])[(\[]")


def _bare_end(value: str, before: str) -> int:
    """How much of a run without white space is the value: without the end of a sentence, a list or a query."""
    end = _ENDS.search(value)
    kept = value[: end.start()] if end else value
    if end is None:
        kept = kept.rstrip(".,:;")
    if "?" in before or "&" in before[-24:]:
        kept = re.split(r"[&#]", kept, maxsplit=1)[0]
    return len(kept)


def in_a_cell(name: str, cell: str) -> Candidate | None:
    """The value of a table's cell, judged like a value after the name of its column."""
    line = f"{name} = {cell.strip()}"
    offset = len(cell) - len(cell.lstrip()) - len(line) + len(cell.strip())
    for found in filter(None, named(line, line.lower())):
        if found.start + offset >= 0:
            return found._replace(start=found.start + offset, end=found.end + offset)
    return None
