"""Equations and stated computations in an answer, computed again exactly.

Only what can be read without doubt is judged: both sides of an equals sign (or "15 % of 80 is 12") must be numbers
and operators, and one of them must compute something. A stated result is right when the exact one rounds to it.
"""

import re
from collections.abc import Iterator, Sequence

from detectors.base import Span
from detectors.rules.agreement import MEASURES, agree
from detectors.rules.expressions import Reading, read
from detectors.rules.mathtext import Kind, Token, tokens
from detectors.rules.rule import Rule, RuleFinding, Search

SLUG = "limited_logical_reasoning"
LABEL = "wrong_equation"
MAX_TOKENS = 80  # of one side
MAX_STATEMENTS = 4_000  # read in one text: a hundred pages of sums
_BESIDE = 1_000  # code points on either side of a sign that are read with it at most
# An equals sign with what may be a number behind it, or words that state a computation.
_HINT = re.compile(
    r"(?:[=≈≃≅]|\\approx|\bequals?)(?![=>]|\s?\$?<)\s{0,4}(?=[\d$€£¥(\[{\\√~.−*_+-]|to\s|about|approx|rough|around|near)"
    r"|\d\s?(?:%|percent)\s{1,2}of\s|(?:plus|minus|times|by)\s{1,2}[$(]?\d"
)
# The commonest form, whole numbers with nothing around them: right ones need no further reading.
_SIMPLE = re.compile(
    r"(?<![^\s<])(?<![^\w\s:;] )(?<![\dxX] )(\d{1,9})\s?([-+*/x×])\s?(\d{1,9})\s?=\s?(?=(\d{1,9})(?![\d.,]))"
)
_SEPARATOR = re.compile(r"[.,;:!?] |\n(?![ \t]{0,16}&?[=≈])")
_STATES = (Kind.EQUALS, Kind.NEARLY, Kind.IS)
_INSIDE = (Kind.NUMBER, Kind.OPERATOR, Kind.PERCENT, Kind.CURRENCY, Kind.FRACTION, Kind.ROOT)
_ENDS_OPERAND = (Kind.NUMBER, Kind.CLOSE, Kind.PERCENT, Kind.CURRENCY)
_ROUGHLY = frozenset({"about", "approximately", "roughly", "around", "nearly", "almost", "circa", "~"})
# Words that change the number behind them, so that what follows is no operand by itself.
_FUNCTIONS = frozenset(
    {"half", "twice", "double", "triple", "log", "ln", "sin", "cos", "tan", "sqrt", "root", "mod", "base", "minus",
     "plus", "times", "by", "x", "of"}
)  # fmt: skip
_REMAINDERS = frozenset({"r", "remainder", "rem", "with"})
_COMPARISONS = frozenset({"times", "more", "less", "fewer"})
_ORDINALS = frozenset({"st", "nd", "rd", "th"})
_CLOCK = frozenset({"am", "pm", "noon", "midnight"})


def may_state_results(text: str) -> bool:
    """Whether there may be a computation with its result. If not, nothing was checked."""
    return _HINT.search(text) is not None


def search(text: str) -> Search:
    """Each equation whose sides differ: from the first to the last number of it."""
    end = -1
    left = MAX_STATEMENTS
    for region in _regions(text):
        run = tokens(text, *region)
        signs = [index for index, token in enumerate(run) if token.kind in _STATES][:left]
        for span in _wrong(run, signs, len(text)):
            if span.start >= end:
                yield RuleFinding(span.start, span.end, LABEL, 1.0)
                end = span.end
        left -= len(signs)
        if not left:
            return
        yield None


RULE = Rule(SLUG, ("response",), (1.0,), frozenset({LABEL}), search)


def _regions(text: str) -> Iterator[tuple[int, int]]:
    """Clauses that may state a result; a line that begins with an equals sign goes on from the line before."""
    right = {match.end() for match in _SIMPLE.finditer(text) if _is_right(match)}
    start = end = 0
    for match in _HINT.finditer(text):
        if match.start() < end or match.end() in right:
            continue
        for separator in _SEPARATOR.finditer(text, end, match.end()):
            start = separator.end()
        following = _SEPARATOR.search(text, match.end())
        end = min(following.end() if following else len(text), match.end() + _BESIDE)
        yield max(start, match.start() - _BESIDE), end
        start = end


def _is_right(match: re.Match[str]) -> bool:
    left, sign, right, stated = int(match[1]), match[2], int(match[3]), int(match[4])
    if sign == "/":
        return right != 0 and stated * right == left
    return stated == (left + right if sign == "+" else left - right if sign == "-" else left * right)


def _wrong(run: Sequence[Token], signs: Sequence[int], text_length: int) -> Iterator[Span]:
    for index in signs:
        left = _left_of(run, index)
        if left is None:
            continue
        nearly, start = _stated_from(run, index)
        right = read(run, start)
        if right is None or not _ends_cleanly(run, right.after) or not _is_statement(run[index], left[1], right):
            continue
        if left[1].value == right.value:
            continue
        is_last = run[right.after].kind is Kind.END and run[right.after - 1].end == text_length
        if is_last and run[right.after - 1].kind is Kind.NUMBER and _is_cut_short(left[1], right):
            continue
        sides = _readings(run, left[0], start, (left[1], right))
        if not any(agree(*reading, nearly, _follows(run, right.after)) for reading in sides):
            yield Span(run[left[0]].start, run[right.after - 1].end, LABEL)


def _left_of(run: Sequence[Token], equals: int) -> tuple[int, Reading] | None:
    """The expression that ends at the sign: where it starts and what it says; None where anything is in doubt."""
    if equals and run[equals - 1].kind is Kind.WORD and run[equals - 1].end == run[equals].start:
        return None  # `height=3`
    start = _start_of(run, equals)
    if start is None:
        return None
    reading = read(run, start)
    if reading is None or reading.after != equals:
        return None
    before = run[start - 1] if start else None
    is_bare = not reading.operators and before is not None and before.kind in (Kind.WORD, Kind.IS)
    is_unspaced = run[start].end == run[min(start + 1, equals)].start
    return None if is_bare or (is_unspaced and _is_range(reading)) else (start, reading)


def _start_of(run: Sequence[Token], equals: int) -> int | None:
    """Walk back to the first token that can belong to the expression before the sign."""
    index, depth = equals, 0
    while index > max(0, equals - MAX_TOKENS):
        token = run[index - 1]
        if token.kind is Kind.CLOSE:
            depth += 1
        elif token.kind is Kind.OPEN:
            depth -= 1
            if depth < 0:
                break
        elif token.kind is Kind.WORD:
            first = _first_word(run, index - 1)
            if (
                run[index].kind not in (Kind.OPERATOR, *_STATES)
                or not first
                or run[first - 1].kind not in _ENDS_OPERAND
            ):
                break  # prose before the expression
            index = first + 1
        elif token.kind not in _INSIDE or _is_beside(token, run[index]):
            break
        index -= 1
    else:
        if index > 0:
            return None  # longer than we read
    return index if depth <= 0 and _starts_cleanly(run, index, equals) else None


def _first_word(run: Sequence[Token], index: int) -> int:
    """The first of at most four words in a row that end at `index`."""
    first = index
    while first > 0 and index - first < 3 and run[first - 1].kind is Kind.WORD:
        first -= 1
    return first


def _is_beside(token: Token, following: Token) -> bool:
    """Whether there are two numbers side by side: that is not an expression."""
    return token.kind in (Kind.NUMBER, Kind.PERCENT) and following.kind in (Kind.NUMBER, Kind.CURRENCY)


def _starts_cleanly(run: Sequence[Token], start: int, equals: int) -> bool:
    """Whether nothing before the expression belongs to it."""
    if start >= equals:
        return False
    before = run[start - 1] if start else None
    first = run[start]
    if first.kind is Kind.OPERATOR and (first.text != "-" or (before is not None and before.kind in _NO_SIGN_AFTER)):
        return False
    if before is None or before.kind in (Kind.BREAK, Kind.OPEN, *_STATES):
        return before is None or before.text not in ("'", '"', "_", "@", "#", "\\", ":") or before.end < first.start
    return before.kind is Kind.WORD and before.text not in _FUNCTIONS


_NO_SIGN_AFTER = (Kind.WORD, Kind.CLOSE, Kind.NUMBER, Kind.UNKNOWN, Kind.PERCENT)


def _stated_from(run: Sequence[Token], index: int) -> tuple[bool, int]:
    """Whether the result is said to be approximate, and the index of its first token."""
    nearly, start = run[index].kind is Kind.NEARLY, index + 1
    if run[start].text == "to":
        start += 1  # is equal to
    while run[start].text in _ROUGHLY or run[start].kind is Kind.NEARLY:
        nearly, start = True, start + 1
    return nearly, start


def _ends_cleanly(run: Sequence[Token], after: int) -> bool:
    """Whether the right side was read to its end: only prose or punctuation follows."""
    token, last, following = run[after], run[after - 1], run[after + 1] if after + 1 < len(run) else run[after]
    if token.kind in (Kind.END, Kind.BREAK, Kind.CLOSE, *_STATES):
        return True
    if token.kind is Kind.OPERATOR:
        # A dash before a word is punctuation, a star before nothing closes emphasis; `7 - x` is arithmetic.
        is_dash = token.text == "-" and following.kind is Kind.WORD and len(following.text) > 1
        return is_dash or (token.text in "-*" and following.kind in (Kind.END, Kind.BREAK, Kind.OPERATOR))
    if token.kind is Kind.WORD:
        return len(token.text) > 1 or token.text in ("a", "i", "r")
    if token.kind is Kind.OPEN:
        return last.end < token.start
    return last.kind is Kind.WORD and token.kind is not Kind.UNKNOWN


def _follows(run: Sequence[Token], after: int) -> str:
    return next((token.text for token in run[max(after - 1, 0) : after + 1] if token.text in _REMAINDERS), "")


def _is_statement(token: Token, left: Reading, right: Reading) -> bool:
    """Whether something is computed, and the text can have only one meaning."""
    if token.kind is Kind.IS and (
        right.operators or right.units & _COMPARISONS or not {"of", "*", "+", "^", "root"} & set(left.operators)
    ):
        return False  # a verb states a result only of what can be nothing but a computation
    if not (left.operators or right.operators) or _is_range(right) or right.units & _ORDINALS:
        return False
    return not any(_is_doubtful(side) for side in (left, right))


def _is_doubtful(side: Reading) -> bool:
    """`a / b / c` with units or fractions in it, and sums of hours and minutes."""
    adds = not {"+", "-"}.isdisjoint(side.operators)
    return (
        side.operators.count("/") > 1
        or (adds and len({MEASURES.get(unit, "") for unit in side.units} - {""}) > 1)
        or not _CLOCK.isdisjoint(side.units)
    )


def _is_cut_short(left: Reading, right: Reading) -> bool:
    """At the end of a text that breaks off (a stream, a length limit) the last number may lack digits."""
    if right.operators:
        return True
    exact = left.value
    written = str(exact.numerator if exact.denominator == 1 else float(exact))
    return written.startswith(str(right.value.numerator if right.value.denominator == 1 else float(right.value)))


def _is_range(reading: Reading) -> bool:
    """`20-24`: two numbers and a dash that need not be a minus."""
    values = [literal.value for literal in reading.literals]
    return reading.operators == ("-",) and len(values) == 2 and 0 <= values[0] < values[1]


def _readings(
    run: Sequence[Token], left: int, right: int, sides: tuple[Reading, Reading]
) -> Iterator[tuple[Reading, Reading]]:
    """The plain reading, then the others that a writer may have meant."""
    yield sides
    continental = read(run, left, comma="."), read(run, right, comma=".")
    if continental[0] is not None and continental[1] is not None:
        yield continental[0], continental[1]
    if run[left].kind is Kind.OPERATOR and run[left].end < run[left + 1].start:
        unsigned = read(run, left + 1)  # a bullet, not a sign
        if unsigned is not None:
            yield unsigned, sides[1]
