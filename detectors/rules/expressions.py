"""Arithmetic read exactly: a run of tokens to a value.

Every doubt is a None: a name, two numbers side by side, a division by zero, a number beyond the bounds.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import isqrt

from detectors.rules.mathtext import Kind, Token

Value = int | Fraction

MAX_DIGITS = 40  # of one literal
MAX_BITS = 2_048  # of a numerator or denominator
MAX_EXPONENT = 128
MAX_DEPTH = 32  # of brackets, powers and signs within one another
MAX_SCALE = 300  # decimal places of a literal, either way
_ROOT_SCALE = 10**30


@dataclass(frozen=True, slots=True)
class Literal:
    """A number as written: its value, the unit of its last digit, whether it breaks off (`1.41…`), and the factor that
    a word behind it stands for (`million`), which both include.
    """

    value: Value
    unit: Fraction
    cut: bool = False
    factor: int = 1


@dataclass(frozen=True, slots=True)
class Reading:
    """What a run of tokens says. `literals` in their order; `units`: words and signs beside the numbers."""

    value: Fraction
    literals: tuple[Literal, ...]
    operators: tuple[str, ...]
    units: frozenset[str]
    is_percent: bool
    after: int  # the index of the first token that was not read


_MULTIPLIERS = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_FRACTION_SIGNS = {"½": Fraction(1, 2), "¼": Fraction(1, 4), "¾": Fraction(3, 4), "⅓": Fraction(1, 3),
                   "⅔": Fraction(2, 3), "⅕": Fraction(1, 5), "⅛": Fraction(1, 8)}  # fmt: skip
_DETERMINERS = frozenset({"the", "a", "an", "his", "her", "their", "its", "those", "these", "all", "total"})
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "mod": 2, "of": 2, "^": 3}


def read(run: Sequence[Token], index: int = 0, *, comma: str = ",") -> Reading | None:
    """The longest expression that starts at `index`, or None where it is in doubt, unbounded or divides by zero.

    `comma` is the sign between thousands; the other of `,` and `.` is then the decimal point.
    """
    parser = _Parser(run, index, comma)
    value = parser.expression(0)
    if value is None:
        return None
    return Reading(
        Fraction(value),
        tuple(parser.literals),
        tuple(parser.operators),
        frozenset(parser.units),
        parser.is_percent,
        parser.index,
    )


class _Parser:
    """Precedence climbing (Richards 1979) over one run of tokens, values exact."""

    def __init__(self, run: Sequence[Token], index: int, comma: str) -> None:
        self.run = run
        self.index = index
        self.literals: list[Literal] = []
        self.operators: list[str] = []
        self.units: set[str] = set()
        self.is_percent = False
        self._comma = comma
        self._depth = 0

    def expression(self, floor: int) -> Value | None:
        self._depth += 1
        left = self._operand() if self._depth <= MAX_DEPTH else None
        while left is not None:
            operator = self._operator_here()
            if operator is None or _PRECEDENCE[operator] < floor:
                break
            implicit = self.run[self.index].kind is Kind.OPEN
            if implicit and self.operators[-1:] == ["/"]:
                return None  # 6 / 2(1 + 2) is read either way
            self.index += not implicit
            if operator == "of" and self.run[self.index].text in _DETERMINERS:
                self.index += 1
            self.operators.append(operator)
            # A power binds to the right, everything else to the left.
            right = self.expression(_PRECEDENCE[operator] + (operator != "^"))
            left = None if right is None else _apply(operator, left, right)
        self._depth -= 1
        return left

    def _operator_here(self) -> str | None:
        """The operator at hand, if an operand follows it; a bracket right behind an operand multiplies."""
        token = self.run[self.index]
        if token.kind is Kind.OPERATOR:
            following = self.run[self.index + 1]
            if following.kind in _STARTS_OPERAND or following.text == "-":
                return token.text
            return token.text if token.text == "of" and following.text in _DETERMINERS else None
        if token.kind is Kind.OPEN and self.run[self.index - 1].end == token.start:
            return "*"
        if token.kind is Kind.PERCENT and self.run[self.index + 1].kind is Kind.NUMBER:
            return "mod"
        return None

    def _operand(self) -> Value | None:
        token = self.run[self.index]
        if token.kind is Kind.OPERATOR and token.text == "-":
            self.index += 1
            value = self.expression(_PRECEDENCE["^"])
            return None if value is None else -value
        value = self._atom(token)
        if value is None:
            return None
        following = self.run[self.index]
        if following.kind is Kind.PERCENT and self.run[self.index + 1].kind not in (Kind.NUMBER, Kind.OPEN):
            self.index += 1  # else `17 % 5`, a remainder
            self.is_percent = True
            value = Fraction(value) / 100
        if following.kind is Kind.WORD and token.kind is Kind.OPEN and following.start == self.run[self.index - 1].end:
            return None  # (8 / 5)x
        if following.kind is not Kind.OPERATOR or following.text == "/":
            self._take_units()
        return value

    def _atom(self, token: Token) -> Value | None:
        self.index += 1
        following = self.run[self.index]
        if token.kind is Kind.NUMBER:
            return self._literal(token, following)
        if token.kind is Kind.OPEN:
            return self._group(token)
        if token.kind is Kind.CURRENCY:
            self.units.add("$")
            return self._atom(following) if following.kind is Kind.NUMBER else None
        if token.kind is Kind.FRACTION:
            self.operators.append("frac")
            above, below = self._braced(), self._braced()
            return None if above is None or below is None else _apply("/", above, below)
        if token.kind is Kind.ROOT:
            self.operators.append("root")
            inner = self._atom(following) if following.kind in (Kind.NUMBER, Kind.OPEN) else None
            return None if inner is None else _root(inner)
        return None

    def _braced(self) -> Value | None:
        token = self.run[self.index]
        return self._atom(token) if token.kind is Kind.OPEN else None

    def _group(self, opened: Token) -> Value | None:
        value = self.expression(0)
        closed = self.run[self.index]
        if value is None or closed.kind is not Kind.CLOSE or opened.text + closed.text not in ("()", "[]", "{}"):
            return None
        self.index += 1
        return value

    def _literal(self, token: Token, following: Token) -> Value | None:
        literal = parse_literal(token.text, self._comma)
        if literal is None:
            return None
        if following.text in _MULTIPLIERS:
            factor = _MULTIPLIERS[following.text]
            literal = Literal(literal.value * factor, literal.unit * factor, literal.cut, factor)
            self.index += 1
        self.literals.append(literal)
        return literal.value

    def _take_units(self) -> None:
        """Up to three unit words behind a number, `/hour` among them."""
        for _ in range(3):
            token, following = self.run[self.index], self.run[self.index + 1]
            if token.kind is Kind.WORD and len(token.text) > 1:
                self.units.add(token.text)
                if following.text == "^" and self.run[self.index + 2].kind is Kind.NUMBER:
                    self.index += 2  # km^2
            elif token.kind is Kind.CURRENCY and following.kind is not Kind.NUMBER:
                self.units.add("$")
            elif token.text != "/" or following.kind is not Kind.WORD:
                return
            self.index += 1


_STARTS_OPERAND = (Kind.NUMBER, Kind.OPEN, Kind.CURRENCY, Kind.FRACTION, Kind.ROOT)


def parse_literal(written: str, comma: str = ",") -> Literal | None:
    """The value of digits with separators and perhaps an exponent; None when it is too long or oddly grouped.

    Leading zeros make an identifier of a number, and so does a group that is no group of thousands.
    """
    return None if len(written) > MAX_DIGITS else _parsed(written, comma)


@lru_cache(4096)  # of short ones, which bounds what it keeps
def _parsed(written: str, comma: str) -> Literal | None:
    if written.isdecimal() and written.isascii() and (written[0] != "0" or len(written) == 1):
        return Literal(int(written), _ONE)
    cut = written.endswith("…")
    body, extra = written.rstrip("…"), Fraction(0)
    if body[-1] in _FRACTION_SIGNS:
        extra, body = _FRACTION_SIGNS[body[-1]], body[:-1] or "0"
    mantissa, _, exponent = body.lower().partition("e")
    point = "." if comma == "," else ","
    whole, _, decimals = mantissa.partition(point)
    groups = re.split(rf"[{comma}\u00a0\u202f\u2009]", whole)
    if not _is_grouped(groups) or not (decimals.isdecimal() or not decimals) or len(exponent) > 3:
        return None  # a list, or a number beyond reckoning
    digits = "".join(groups)
    if not digits.isascii() or not (digits + decimals).isdecimal() or (len(digits) > 1 and digits[0] == "0"):
        return None
    scale = int(exponent or 0) - len(decimals)
    if abs(scale) > MAX_SCALE:
        return None
    unit = Fraction(10) ** scale
    exact = int(digits + decimals) * unit + extra
    return Literal(exact.numerator if exact.denominator == 1 else exact, unit, cut)


_ONE = Fraction(1)


def _is_grouped(groups: Sequence[str]) -> bool:
    """One group, or groups of three (two or three in the Indian manner) after the first."""
    if len(groups) == 1:
        return True
    inner = groups[1:-1]
    return 1 <= len(groups[0]) <= 3 and len(groups[-1]) == 3 and all(len(group) in (2, 3) for group in inner)


def _apply(operator: str, left: Value, right: Value) -> Value | None:
    if operator == "^":
        return _power(left, right)
    if operator in ("/", "mod") and right == 0:
        return None
    if operator == "of" and isinstance(left, int):
        return None  # `3 of 5` says no product
    result: Value
    if operator == "+":
        result = left + right
    elif operator == "-":
        result = left - right
    elif operator == "/":
        result = _reduced(Fraction(left) / Fraction(right))
    elif operator == "mod":
        result = left % right
    else:
        result = left * right
    return result if _is_bounded(result) else None


def _power(base: Value, exponent: Value) -> Value | None:
    if not isinstance(exponent, int) or abs(exponent) > MAX_EXPONENT or (base == 0 and exponent < 0):
        return None
    bits = max(abs(base.numerator).bit_length(), base.denominator.bit_length())
    if bits * abs(exponent) > MAX_BITS:
        return None
    return _reduced(Fraction(base) ** exponent)


def _root(value: Value) -> Value | None:
    """The square root: exact for squares, else to thirty decimals."""
    if value < 0 or not _is_bounded(value):
        return None
    scaled = value.numerator * _ROOT_SCALE**2 // value.denominator
    return _reduced(Fraction(isqrt(scaled), _ROOT_SCALE))


def _reduced(value: Fraction) -> Value:
    return value.numerator if value.denominator == 1 else value


def _is_bounded(value: Value) -> bool:
    return max(abs(value.numerator).bit_length(), value.denominator.bit_length()) <= MAX_BITS
