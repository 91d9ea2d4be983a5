"""Whether two sides of an equation agree: exactly, as precisely as they are written, or as a writer may have meant."""

from dataclasses import replace
from fractions import Fraction

from detectors.rules.expressions import Reading
from detectors.rules.mathtext import ATTACHED_UNITS

NEARLY = Fraction(5, 100)  # relative error that "about" forgives
FLOAT = Fraction(1, 10**12)  # relative error of a result printed from a binary floating-point number
ROOT = Fraction(1, 10**20)  # relative error of our own square roots
# Unit words that may be added to others of their kind only after conversion.
MEASURES = {
    written: name
    for name in ("second", "minute", "hour", "day", "week", "month", "year", "inch", "yard", "mile", "meter", "metre",
                 "ounce", "pound", "gram", "cent", "dollar", "quarter", "dime", "nickel", "gallon", "quart", "pint",
                 "cup", "liter", "litre", "dozen", "kg", "cm", "km", "mm", "ml")
    for written in (name, name + "s", name + "es")
} | {"$": "dollar", "feet": "foot", "foot": "foot", "ft": "foot", "hr": "hour", "hrs": "hour", "min": "minute",
     "mins": "minute", "lb": "pound", "lbs": "pound", "oz": "ounce", "pennies": "cent"}  # fmt: skip
_UNITS = (
    MEASURES.keys()
    | ATTACHED_UNITS
    | {"thousand", "thousands", "hundreds", "millions", "megabytes", "gigabytes", "kilobytes"}
)
# Between a unit and another one: lengths, times, weights, dozens; powers of ten besides.
_CONVERSIONS = frozenset({2, 3, 4, 7, 8, 12, 14, 16, 24, 30, 36, 52, 60, 365, 1440, 1760, 2000, 3600, 5280, 86400})


def agree(left: Reading, right: Reading, nearly: bool, follows: str) -> bool:
    """Whether some way to read the two sides makes them equal. `nearly`: about equal will do.

    `follows` is the word for a remainder that stands behind them, or empty.
    """
    return (
        _values_agree(left, right, left.value, right.value, nearly)
        or _runs_on(left, right, nearly)
        or _is_converted(left, right)
        or _is_percentage_change(left, right, nearly)
        or _is_percentage(left, right, nearly)
        or _leaves_thousands_out(left, right, nearly)
        or _is_score_list(left, right)
        or _is_binary(left, right)
        or (bool(follows) and left.value // 1 == right.value)
    )


def _values_agree(left: Reading, right: Reading, exact: Fraction, stated: Fraction, nearly: bool) -> bool:
    """Whether the sides are equal, or equal at the precision of the side that is a result."""
    if exact == stated:
        return True
    difference = abs(exact - stated)
    forgiven = NEARLY if nearly else ROOT if "root" in left.operators + right.operators else Fraction(0)
    if difference <= forgiven * max(abs(exact), abs(stated)):
        return True
    result, steps = (right, left) if not right.operators else (left, right)
    if not result.operators and len(result.literals) == 1:
        is_sum = set(steps.operators) <= {"+", "-"} and not steps.is_percent
        if is_sum and not nearly and result.literals[0].unit >= 1:
            return False  # whole numbers are what a division is rounded to, not a sum
        return _rounds_to(result, exact, stated, nearly)
    # Both sides compute: a step may round the numbers it goes on with, each by as much as its last place.
    rounded = [literal for side in (left, right) for literal in side.literals if literal.unit < 1 and literal.value]
    error = sum((literal.unit / abs(Fraction(literal.value)) for literal in rounded), Fraction(0))
    return difference <= error * max(abs(exact), abs(stated))


def _rounds_to(result: Reading, exact: Fraction, stated: Fraction, nearly: bool) -> bool:
    """Whether a side is the exact value, rounded or cut off at the last written place, or in sixteen digits."""
    literal = result.literals[0]
    unit = literal.unit
    if nearly and unit >= 1 and literal.value != 0:
        while literal.value % (unit * 10) == 0:
            unit *= 10
    unit /= 100 if result.is_percent else 1
    difference = abs(exact - stated)
    is_cut = literal.cut or (unit <= Fraction(1, 100) and abs(stated) < abs(exact))
    return difference <= (unit if is_cut else unit / 2) or (unit < FLOAT and difference <= FLOAT * abs(exact))


def _runs_on(left: Reading, right: Reading, nearly: bool) -> bool:
    """`2 * 3 = 6 + 4 = 10`: the sign says "and then"; the first number behind it is the result so far."""
    if not right.operators or not right.literals:
        return False
    count = len(left.literals)
    if left.literals == right.literals[:count] and left.operators == right.operators[: count - 1]:
        return True  # `2/3 = 2/3 * 12 = 8`
    first = right.literals[0]
    return abs(left.value - first.value) <= (NEARLY * abs(left.value) if nearly else first.unit / 2)


def _is_converted(left: Reading, right: Reading) -> bool:
    """The result in another unit than the operands, or as a percentage."""
    if not left.value or not right.value:
        return False
    if left.is_percent or right.is_percent:
        return False
    ratio = max(left.value / right.value, right.value / left.value)
    if (right.units - left.units).isdisjoint(_UNITS) or ratio.denominator != 1:
        return False
    return ratio.numerator in _CONVERSIONS or _is_power_of_ten(ratio.numerator)


def _is_power_of_ten(value: int) -> bool:
    while value % 10 == 0:
        value //= 10
    return value == 1


def _is_percentage(left: Reading, right: Reading, nearly: bool) -> bool:
    """`0.2 * 100 = 20%`: the sign names the unit."""
    if left.is_percent == right.is_percent or right.operators:
        return False
    plain = replace(right, is_percent=False)
    return _values_agree(left, plain, left.value, right.value * (100 if right.is_percent else Fraction(1, 100)), nearly)


def _leaves_thousands_out(left: Reading, right: Reading, nearly: bool) -> bool:
    """`1,100 / 0.15 = 7,333 million`: the word stands behind the result only."""
    if right.operators or right.literals[0].factor == 1:
        return False
    stated = right.literals[0]
    plain = replace(stated, value=Fraction(stated.value) / stated.factor, unit=stated.unit / stated.factor)
    return _values_agree(left, replace(right, literals=(plain,)), left.value, right.value / stated.factor, nearly)


def _is_percentage_change(left: Reading, right: Reading, nearly: bool) -> bool:
    """`80 + 10%` as a pocket calculator reads it: ten per cent of what stands before."""
    if not left.is_percent or left.operators not in (("+",), ("-",)) or len(left.literals) != 2:
        return False
    base, rate = left.literals
    change = Fraction(base.value) * Fraction(rate.value) / 100
    return _values_agree(
        left, right, base.value + (change if left.operators == ("+",) else -change), right.value, nearly
    )


def _is_score_list(left: Reading, right: Reading) -> bool:
    """`72-70-71-69 = 282`: rounds of a match, added."""
    return (
        len(left.literals) > 2
        and set(left.operators) == {"-"}
        and sum(literal.value for literal in left.literals) == right.value
    )


def _is_binary(left: Reading, right: Reading) -> bool:
    """`101 + 1 = 110`, in base two."""
    values = [literal.value for literal in (*left.literals, *right.literals)]
    if left.operators not in (("+",), ("*",)) or len(values) != 3 or any(set(str(v)) - {"0", "1"} for v in values):
        return False
    first, second, result = (int(str(value), 2) for value in values)
    return result == (first + second if left.operators == ("+",) else first * second)
