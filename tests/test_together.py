"""Cases that run in one test are all run, and each that fails is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.running.together import together

RUN: list[Any] = []


@together("even", [2, 4, 5, 6, 7], ids=["two", "four", "five", "six", "seven"])
def two_fail(even: int) -> None:
    RUN.append(even)
    assert even % 2 == 0


@together(("a", "b"), [(1, 1), (1, 2)])
async def one_fails(a: int, b: int) -> None:
    RUN.append((a, b))
    assert a == b


def test_every_case_runs_and_those_that_fail_are_named() -> None:
    RUN.clear()
    with pytest.raises(ExceptionGroup, match="2 of 5 cases fail") as caught:
        two_fail()
    assert RUN == [2, 4, 5, 6, 7]
    assert [failure.__notes__ for failure in caught.value.exceptions] == [["In the case five"], ["In the case seven"]]


async def test_one_that_fails_is_raised_as_it_is() -> None:
    RUN.clear()
    with pytest.raises(AssertionError) as caught:
        await one_fails()
    assert RUN == [(1, 1), (1, 2)]
    assert caught.value.__notes__ == ["In the case (1, 2)"]


def test_tables_may_stand_over_each_other() -> None:
    seen = []

    @together("upper", ["A", "B"])
    @together("lower", ["a", "b"])
    def both(lower: str, upper: str) -> None:
        seen.append(lower + upper)

    call: Callable[..., Any] = both
    call()
    assert seen == ["aA", "bA", "aB", "bB"]


@pytest.mark.parametrize("sign", [1, -1])
@together("letter", ["a", "b"])
def test_pytests_own_tables_may_stand_beside(letter: str, sign: int, tmp_path: Path) -> None:
    assert abs(sign) == len(letter)
    assert tmp_path.is_dir()


def test_without_a_case_nothing_is_tested() -> None:
    with pytest.raises(AssertionError, match="nothing is tested"):
        together("name", [])


def test_a_case_has_as_many_values_as_names() -> None:
    with pytest.raises(ValueError, match="zip"):
        together(("a", "b"), [(1,)])


def test_no_case_skips_those_that_follow() -> None:
    @together("name", ["a", "b"])
    def skips(name: str) -> None:
        pytest.skip(f"no {name} here")

    call: Callable[..., Any] = skips
    with pytest.raises(AssertionError, match="'a' would skip all that follow it: no a here"):
        call()
