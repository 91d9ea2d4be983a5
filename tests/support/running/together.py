"""Many small cases of one rule in one test: as a test of its own each would cost more than what it checks."""

import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest


def together(
    names: str | Sequence[str], cases: Collection[Any], ids: Collection[object] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Like `pytest.mark.parametrize`, but one test runs all cases. It runs every one, and names each that fails.

    For tests that take no fixture which a case could change.
    """
    wanted = [names] if isinstance(names, str) else list(names)
    table = [dict(zip(wanted, [case] if isinstance(names, str) else case, strict=True)) for case in cases]
    called = [repr(case) for case in cases] if ids is None else [str(name) for name in ids]
    assert table, "without a case nothing is tested"
    named = list(zip(called, table, strict=True))

    def wrapped(test: Callable[..., Any]) -> Callable[..., Any]:
        def each(**others: Any) -> None:
            failures: list[Exception] = []
            for name, case in named:
                with _noted(name, failures):
                    test(**others, **case)
            _tell(failures, len(named))

        async def each_in_turn(**others: Any) -> None:
            failures: list[Exception] = []
            for name, case in named:
                with _noted(name, failures):
                    await test(**others, **case)
            _tell(failures, len(named))

        one: Any = functools.wraps(test)(each_in_turn if inspect.iscoroutinefunction(test) else each)
        signature = inspect.signature(test)
        left = [parameter for name, parameter in signature.parameters.items() if name not in wanted]
        one.__signature__ = signature.replace(parameters=left)
        return one  # type: ignore[no-any-return]

    return wrapped


@contextmanager
def _noted(name: str, failures: list[Exception]) -> Iterator[None]:
    try:
        yield
    except pytest.skip.Exception as skipped:
        raise AssertionError(f"the case {name} would skip all that follow it: {skipped}") from None
    except Exception as failure:  # noqa: BLE001 - raised again when all cases have run
        failure.add_note(f"In the case {name}")
        failures.append(failure)


def _tell(failures: list[Exception], of: int) -> None:
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {of} cases fail", failures)
