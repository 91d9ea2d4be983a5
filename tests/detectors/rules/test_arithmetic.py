"""Arithmetic in answers: what is right, what is wrong, and what is none of our business."""

import tracemalloc
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.base import Span
from detectors.rules.arithmetic import LABEL, RULE
from detectors.rules.expressions import parse_literal, read
from detectors.rules.mathtext import Kind, tokens
from tests.support.running.steps import grows_with_the_length
from tests.support.running.together import together

# Right, or nothing that can be read without doubt.
PASSES = (
    "3 + 4 = 7",
    "15% of 80 is 12",
    "15% of the 80 apples = 12 apples",
    "2 * 3 = 6 + 4 = 10",
    "10 / 3 = 3.33",
    "2/3 = 0.67",
    "22 / 7 ≈ 3.14",
    "1,234 + 1 = 1,235",
    "1.234,5 + 1 = 1.235,5",
    "1.234 + 1 = 1.235",
    "$5 * 3 = $15",
    "$2.50 x 2 = $<<2.5*2=5.00>>5.00",
    "(10/100) * $2000 = $200",
    "8 pounds * 1.5 = 8 * 1.5 = 12 pounds",
    "20 (initial) + 60 (first month) + 40 (second month) + 200 (third month) = 320",
    "50 books * 10% = 50 * 0.10 = 5 books",
    "2024-05-06 = 3",
    "x = 5 - 3",
    "a = b = c",
    "x - 3 = 5 + 9",
    "2x + 3 = 7",
    "5m + 3 = 18",
    "if 3 + 4 == 8",
    "for i=0; i<10-3",
    "72-70-71-69=282",
    "pages 3-5 = 9",
    "1.2.3 = 4 + 5",
    "version 2 - 3 is 4 times faster",
    "\\frac{3}{4} + \\frac{1}{4} = 1",
    "3 \\times 4 = 12",
    "3² + 4² = 25",
    "17 % 5 = 2",
    "17 mod 5 = 2",
    "√16 + 1 = 5",
    "100 + 10% = 110",
    "7 ÷ 2 = 3 remainder 1",
    "2 hours * 60 = 120 minutes",
    "3 * 25 cents = $0.75",
    "(3)(4) = 12",
    "2^10 = 1024",
    "2**10 = 1024",
    "-3 + 4 = 1",
    "- 3 + 4 = 7",
    "f(2) + 3 = 9",
    "10:30 + 2 = 12:30",
    "101 + 11 = 1000",
    "1 1/2 + 2 = 9",
    "5.5 million + 2 million = 7.5 million",
    "half of 10 + 2 = 7",
    "**3 + 4 = 7**",
    "3 + 4 = **7**",
    "60 cookies / 30 days = 2 cookies/day",
    "4 pieces of gum x 30 days = 120 pieces of gum in total",
    "3 feet = 1 yard",
    "32 grams = $19.95",
    "3 + 4 = x",
    "3 + 4 = 7x",
    "36 * 37/2 = 666",
    "0.1 + 0.2 = 0.30000000000000004",
    "4 minutes * 4 = <<4*4=16>>16 minutes",
    "the sum is 5 plus 3, which is 8",
    "7 times 8 equals 56",
    "1/2 of 10 = 5",
    "5 factorial = 5! = 120",
    "1 + 2 + ... + 10 = 55",
    "1/3 = 0.333...",
    "25/100 = 25%",
    "4 + 5\n= 9",
    "lim x→0 (3+4 = 7)",
    "width=100*2 height=3",
    "a[3]=5+1",
    "https://x.y/?a=3+4=8",
    "1e3 + 1 = 1001",
    "3 + 4 = 7, 5 + 5 = 10, and 6 + 6 = 12.",
    "3+4 = 7 and 7 + 2 = 9",
    "2 $50 combos = $100",
    "5 < 3 + 4 = 7",
    "3 x 4 = 12",
    "the rate is 5 per hour * 3 hours = 15",
    "1200 x 3000 = 3,600,000",
    "6 ÷ 2(1+2) = 9",
    "6 ÷ 2(1+2) = 1",
)
WRONG = (
    "3 + 4 = 8",
    "15% of 80 is 13",
    "2 * 3 = 7 + 4 = 11",
    "10 / 3 = 3.34",
    "22 / 7 ≈ 3.5",
    "1,234 + 1 = 1,236",
    "$5 * 3 = $16",
    "10*9 = $<<10*9=91.00>>91.00",
    "3 \\times 4 = 13",
    "\\frac{3}{4} + \\frac{1}{4} = 2",
    "3² + 4² = 26",
    "2^10 = 1000",
    "12 apples + 5 apples = 18 apples",
    "7 times 8 is 54",
    "So in total, 24 + 48 + 15 = 88 baby outfits.",
    "4 + 5 = 10 - so she wins",
    "(3 + 4) * 2 = 15",
    "17 mod 5 = 3",
    "x = 3 + 4 = 8",
    "the total is 100 - 30 = 60.",
    "3 + 4 = **8**",
    "\\(3 + 4 = 8\\)",
    "\\[ 12 \\div 4 = 4 \\]",
    "5.5 million + 2 million = 8.5 million",
    "4 + 5\n= 10",
    "2/3 = 0.6, so",
    "$1.5 + $2 + $2 + $3.75 = $9 in all",
    "1200 x 50 = 6000 seats",
)


@together("text", PASSES)
def test_lets_pass(text: str) -> None:
    assert RULE.find(text) == {}


@together("text", WRONG)
def test_finds(text: str) -> None:
    found = RULE.find(text)
    assert found
    assert set(found.values()) == {1.0}


def test_a_finding_is_the_whole_equation() -> None:
    text = "First, 3 * 4 = 12. Then 12 + 5 = 18 apples, and 18 - 8 = 10."
    (span,) = RULE.find(text)
    assert text[span.start : span.end] == "12 + 5 = 18 apples"
    assert span.label == LABEL


def test_a_result_at_the_end_of_a_text_may_be_cut_off() -> None:
    assert RULE.find("so 12 * 12 = 14") == {}
    assert RULE.find("so 12 * 12 = 14.") != {}


numbers = st.integers(min_value=0, max_value=10**6)
signs = st.sampled_from("+-*")


def exact(left: int, sign: str, right: int) -> int:
    return left + right if sign == "+" else left - right if sign == "-" else left * right


@given(numbers, signs, numbers)
def test_right_results_pass(left: int, sign: str, right: int) -> None:
    assert RULE.find(f"So {left} {sign} {right} = {exact(left, sign, right):,} in all.") == {}


@given(numbers, st.sampled_from("+*"), numbers, st.integers(min_value=2, max_value=1000))
def test_wrong_results_are_found(left: int, sign: str, right: int, error: int) -> None:
    stated = exact(left, sign, right) + error
    if set(f"{left}{right}{stated}") <= {"0", "1"}:
        return  # may be meant in base two
    assert RULE.find(f"So {left} {sign} {right} = {stated} in all.") != {}


@given(numbers, st.integers(min_value=1, max_value=999), st.integers(min_value=0, max_value=4))
def test_a_quotient_may_be_rounded(above: int, below: int, places: int) -> None:
    stated = f"{float(round(Fraction(above, below), places)):.{places}f}"
    assert RULE.find(f"That is {above} / {below} = {stated} each.") == {}


ALPHABET = st.sampled_from(
    [*"0123456789+-*/^=()[]{}.,%$ \n<>~×÷√½²≈x", "\\frac", " of ", " is ", "about ", "million", "\0", "\ud800"]
)


@given(st.one_of(st.text(max_size=80), st.lists(ALPHABET, max_size=40).map("".join)))
def test_any_text_gets_spans_inside_it(text: str) -> None:
    end = 0
    for span in RULE.find(text):
        assert isinstance(span, Span)
        assert end <= span.start < span.end <= len(text)
        end = span.end


@given(st.lists(ALPHABET, max_size=40).map("".join))
def test_any_tokens_can_be_read(text: str) -> None:
    run = tokens(text, 0, len(text))
    assert [token.kind for token in run[-2:]] == [Kind.END, Kind.END]
    for start in range(len(run) - 1):
        reading = read(run, start)
        assert reading is None or start < reading.after < len(run)


HOSTILE = (
    *(
        "1",
        "1+",
        "=",
        "1=",
        "1 ",
        "1,1",
        "(",
        ")",
        "{",
        "\\frac{1}{",
        "9^9^9 = ",
        "1 x ",
        " of ",
        "5% of ",
        "\n=",
        "1+1=",
        "√",
    ),
    *(
        "1 + 1 = 3 ",
        "(1+",
        "1e999 = ",
        "9" * 50 + "=1 ",
        "1 apples ",
        "1=(",
        "= about ",
        "**",
        "1:1",
        "½",
        "²",
        "3(",
        "\0",
        "a",
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    assert grows_with_the_length(RULE.find, unit, 32_000)


@pytest.mark.slow
def test_a_megabyte_of_one_character() -> None:
    for character in "1=(a":
        RULE.find(character * 1_000_000)


def test_numbers_beyond_reckoning_are_not_kept() -> None:
    """They do not come again, and thousands of them would fill the memory."""
    tracemalloc.start()
    try:
        for number in range(30):
            assert parse_literal(f"{number}" + "1" * 20_000) is None
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 200_000
