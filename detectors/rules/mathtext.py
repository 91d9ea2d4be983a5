"""The signs and words of arithmetic in a text: what each means, and where it stands."""

import re
from enum import Enum, auto
from typing import NamedTuple


class Kind(Enum):
    NUMBER = auto()
    OPERATOR = auto()  # its text is one of + - * / ^ mod of
    OPEN = auto()
    CLOSE = auto()
    PERCENT = auto()
    CURRENCY = auto()
    FRACTION = auto()  # LaTeX: two groups follow
    ROOT = auto()
    EQUALS = auto()
    NEARLY = auto()
    IS = auto()  # a verb that may state a result
    WORD = auto()
    BREAK = auto()  # a clean boundary
    END = auto()  # behind the last token: twice, so that a reader may look one ahead
    UNKNOWN = auto()  # something that no expression beside it can be read across


class Token(NamedTuple):
    """A part of the text; `text` is normalised for operators and words."""

    kind: Kind
    start: int
    end: int
    text: str


_WORD_OPERATORS = {"x": "*", "plus": "+", "minus": "-", "times": "*", "mod": "mod", "modulo": "mod"}
_SIGNS = {
    "+": "+", "-": "-", "−": "-", "–": "-", "*": "*", "×": "*", "·": "*", "⋅": "*", "∙": "*", "∗": "*", "✕": "*",
    "✖": "*", "/": "/", "÷": "/", "∕": "/", "^": "^", "**": "^", r"\times": "*", r"\cdot": "*",
    r"\ast": "*", r"\div": "/",
}  # fmt: skip
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
# Letters that may follow a number without a space and make a unit of it; any other letter makes it a name.
ATTACHED_UNITS = frozenset(
    {"km", "cm", "mm", "kg", "mg", "lb", "lbs", "oz", "hr", "hrs", "min", "mins", "sec", "ms", "ml", "ft", "mph",
     "kb", "mb", "gb", "tb", "kw", "kwh", "hz", "usd", "eur", "gbp", "cents", "°c", "°f", "°", "th", "st", "nd", "rd"}
)  # fmt: skip
# The commonest first: the groups are tried in this order.
_TOKENS = re.compile(
    r"""
      (?P<skip>[ \t\r\f\v\u00a0\u2002\u2003\u202f\u2009]+|\n[ \t]{0,16}(?=&?[=≈])|\\[,;:! ]|\\left|\\right|&(?=[=≈]))
    | (?P<word>[^\W\d⁰¹²³⁴⁵⁶⁷⁸⁹½¼¾⅓⅔⅕⅛][\w'’]*)
    | (?P<plain>\d{1,9}(?=[\s)<>*+=]))
    | (?P<equals>=(?![=>~]))
    | (?P<simple>[-+*/](?=[\s\d$(]))
    | (?P<unknown>\d+(?::\d+)+|\d+(?:\.\d+){2,}|\d{4}-\d{1,2}-\d{1,2}|\d{1,2}/\d{1,2}/\d{4}|0[xX][0-9a-fA-F]+)
    | (?P<number>(?:\d+(?:[.,\u00a0\u202f\u2009]\d+)*|(?<![\w.])\.\d+)(?:[eE][+-]?\d{1,3}(?!\w))?
        [½¼¾⅓⅔⅕⅛]?|[½¼¾⅓⅔⅕⅛])(?P<dots>\.{3}|…)?
        (?P<attached>(?![xX]\s?[\d$(])[^\W\d⁰¹²³⁴⁵⁶⁷⁸⁹½¼¾⅓⅔⅕⅛]\w*|°\w?)?
    | (?P<power>⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)
    | (?P<aside>(?<=\s)\([^\W\d][^()\d=≈]{0,80}\))
    | (?P<open>[(\[{]) | (?P<close>[)\]}])
    | (?P<percent>\\?%)
    | (?P<currency>\\?[$€£¥₹₩¢])
    | (?P<text>\\(?:text|mathrm|mbox|textbf)\s?\{[^{}\\]{0,80}\})
    | (?P<fraction>\\[dt]?frac)
    | (?P<root>\\sqrt|√)
    | (?P<nearly>\\approx|\\simeq|[≈≃≅])
    | (?P<boxed>\\boxed|\\displaystyle)
    | (?P<other>[=!<>:~]=+|=[>~]|:?//\S*|->|<-|\+\+|--+|\+-|\.{3}|…|\\pm|±|\\[()\[\]])
    | (?P<operator>\\times|\\cdot|\\ast|\\div|\*\*|[-+−–*×·⋅∙∗✕✖/÷∕^])
    | (?P<break>.|\n)
    """,
    re.VERBOSE,
)


def tokens(text: str, start: int, end: int) -> list[Token]:
    """The tokens of text[start:end], in order, spaces left out, two of kind END behind them. Linear in the stretch."""
    out: list[Token] = []
    add = out.append
    for match in _TOKENS.finditer(text, start, end):
        group = match.lastgroup or "break"
        if group == "skip":
            continue
        first, last = match.span()
        if group in _KINDS:
            add(Token(_KINDS[group], first, last, match.group()))
        elif group == "word":
            out += _word(match.group(), text, first, last, out)
        else:
            out += _composed(group, match)
    return [*out, Token(Kind.END, end, end, ""), Token(Kind.END, end, end, "")]


_KINDS = {
    "plain": Kind.NUMBER, "number": Kind.NUMBER, "simple": Kind.OPERATOR, "equals": Kind.EQUALS, "open": Kind.OPEN,
    "close": Kind.CLOSE, "percent": Kind.PERCENT, "currency": Kind.CURRENCY, "break": Kind.BREAK,
    "unknown": Kind.UNKNOWN, "fraction": Kind.FRACTION, "root": Kind.ROOT, "nearly": Kind.NEARLY,
}  # fmt: skip
_DOUBTFUL = ("±", r"\pm", "...", "…", "+-")


def _composed(group: str, match: re.Match[str]) -> list[Token]:
    """The tokens of any other text: none, one or two."""
    first, last = match.span()
    raw = match.group()
    if group in ("dots", "attached"):
        return _number(match)
    if group == "power":
        exponent = Token(Kind.NUMBER, first, last, raw.lstrip("⁻").translate(_SUPERSCRIPTS))
        sign = [Token(Kind.OPERATOR, first, first, "-")] if raw[0] == "⁻" else []
        return [Token(Kind.OPERATOR, first, first, "^"), *sign, exponent]
    if group == "operator":
        return _operator(raw, match)
    if group in ("text", "aside"):
        return [Token(Kind.WORD, first, last, raw.rpartition("{")[2].strip("{}() ").lower() or "text")]
    if group == "other":
        is_doubtful = raw in _DOUBTFUL or "//" in raw
        return [Token(Kind.UNKNOWN if is_doubtful else Kind.BREAK, first, last, raw)]
    return []  # a box around a result


def _number(match: re.Match[str]) -> list[Token]:
    """A number, and the unit written onto it as a word; a number with any other letters on it is a name."""
    start, end = match.span("number")
    written, attached = match["number"], match["attached"]
    if attached and attached.lower() not in ATTACHED_UNITS:
        return [Token(Kind.UNKNOWN, start, match.end(), match.group())]
    number = Token(Kind.NUMBER, start, end, written + ("…" if match["dots"] else ""))
    return [number, Token(Kind.WORD, *match.span("attached"), attached.lower())] if attached else [number]


def _operator(raw: str, match: re.Match[str]) -> list[Token]:
    text, (start, end) = match.string, match.span()
    if raw == "**":
        previous, following = text[start - 1 : start], text[end : end + 1]
        is_power = (previous.isalnum() or previous == ")") and (following.isalnum() or following in ("(", "-"))
        return [Token(Kind.OPERATOR, start, end, "^")] if is_power else []  # else bold type
    return [Token(Kind.OPERATOR, start, end, _SIGNS[raw])]


_BEFORE_X = (Kind.NUMBER, Kind.CLOSE, Kind.PERCENT, Kind.CURRENCY, Kind.WORD)
_SPECIAL_WORDS = {
    "equals": (Kind.EQUALS, "="), "is": (Kind.IS, "is"), "gives": (Kind.IS, "is"), "makes": (Kind.IS, "is"),
    "yields": (Kind.IS, "is"), "of": (Kind.OPERATOR, "of"), "percent": (Kind.PERCENT, "%"),
    "multiplied": (Kind.OPERATOR, "*"), "divided": (Kind.OPERATOR, "/"),
}  # fmt: skip
_POWERS = {"squared": "2", "cubed": "3"}
_CURRENCY_PREFIXES = ("US", "A", "C", "AU", "CA", "HK", "NZ", "S")


def _word(raw: str, text: str, start: int, end: int, before: list[Token]) -> list[Token]:
    """A word by its function in arithmetic; with a bracket on it, a digit in it or in Greek it is a name."""
    lowered = raw.lower()
    following = text[end : end + 1]
    if (following and following in "([_") or "Α" <= raw[0] <= "ω" or not raw.isalpha():
        return [Token(Kind.UNKNOWN, start, end, lowered)]
    if lowered in _SPECIAL_WORDS:
        return [Token(_SPECIAL_WORDS[lowered][0], start, end, _SPECIAL_WORDS[lowered][1])]
    if lowered in _WORD_OPERATORS and _OPERAND_NEXT.match(text, end):
        is_operator = lowered != "x" or bool(before and before[-1].kind in _BEFORE_X)
        return [Token(Kind.OPERATOR if is_operator else Kind.WORD, start, end, _WORD_OPERATORS[lowered])]
    if lowered in _POWERS:
        return [Token(Kind.OPERATOR, start, start, "^"), Token(Kind.NUMBER, start, end, _POWERS[lowered])]
    if lowered == "equal" and before and before[-1].kind is Kind.IS:
        del before[-1]
        return [Token(Kind.EQUALS, start, end, "=")]
    is_part = (lowered == "by" and before and before[-1].kind is Kind.OPERATOR) or (
        following == "$" and raw in _CURRENCY_PREFIXES
    )
    return [] if is_part else [Token(Kind.WORD, start, end, lowered)]


_OPERAND_NEXT = re.compile(r"\s{0,2}[$(\d]")
