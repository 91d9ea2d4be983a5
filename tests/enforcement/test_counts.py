"""What a policy remembers of callers and end users, by a clock that the test sets."""

from typing import NamedTuple

import pytest

from gateway.enforcement.counts import Counts, Throttles
from gateway.enforcement.subjects import Remembered, Subject
from policies.engine import Throttle

ANN, BOB = Subject("ann"), Subject("bob")
USER, OTHER = Subject("ann", b"user"), Subject("ann", b"other")


class Times(NamedTuple):
    times: tuple[float, ...]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_was_longer_ago_than_the_window_no_longer_counts(clock: Clock) -> None:
    counts = Counts(clock)
    for _ in range(3):
        counts.add(ANN, ["r"])
        clock.now += 10
    assert counts.earlier(ANN, {"r": 30.5}) == {"r": 3}
    assert counts.earlier(ANN, {"r": 30}) == {"r": 2}  # the first is as old as the window
    assert counts.earlier(ANN, {"r": 10}) == {}
    counts.add(ANN, ["r"])
    assert counts.earlier(ANN, {"r": 10}) == {"r": 1}


def test_callers_rules_and_end_users_are_counted_apart(clock: Clock) -> None:
    counts = Counts(clock)
    counts.add(USER, ["caller", "person"], by_end_user={"person"})
    counts.add(OTHER, ["caller"], by_end_user={"person"})
    windows = {"caller": 60.0, "person": 60.0}
    assert counts.earlier(USER, windows, {"person"}) == {"caller": 2, "person": 1}
    assert counts.earlier(OTHER, windows, {"person"}) == {"caller": 2}
    assert counts.earlier(BOB, windows, {"person"}) == {}


def test_of_end_users_only_so_many_moments_are_remembered(clock: Clock) -> None:
    counts = Counts(clock, most=2)
    for user in (b"1", b"2", b"3"):
        counts.add(Subject("ann", user), ["r"], by_end_user={"r"})
    found = [counts.earlier(Subject("ann", user), {"r": 60}, {"r"}) for user in (b"1", b"2", b"3")]
    assert found == [{}, {"r": 1}, {"r": 1}]


# --- throttles


def sent(throttles: Throttles, clock: Clock, subject: Subject, at: list[float]) -> list[int]:
    """The seconds that each request is told to wait, 0 where it may go on; times are seconds from now."""
    begun = clock.now
    waits = []
    for seconds in at:
        clock.now = begun + seconds
        refusal = throttles.refusal(subject)
        waits.append(refusal[1] if refusal else 0)
    return waits


def test_so_many_requests_in_any_minute(clock: Clock) -> None:
    throttles = Throttles(clock)
    throttles.start(ANN, Throttle("slow", 2, 600))
    assert sent(throttles, clock, ANN, [0, 10, 20, 59.5, 60, 61, 70]) == [0, 0, 40, 1, 0, 9, 0]


def test_a_refused_request_does_not_make_the_wait_longer(clock: Clock) -> None:
    throttles = Throttles(clock)
    throttles.start(ANN, Throttle("slow", 1, 600))
    assert sent(throttles, clock, ANN, [0, 10, 20, 30, 60]) == [0, 50, 40, 30, 0]


def test_a_limit_of_zero_waits_for_its_end(clock: Clock) -> None:
    throttles = Throttles(clock)
    throttles.start(ANN, Throttle("stop", 0, 90))
    assert sent(throttles, clock, ANN, [0, 89.9, 90, 91]) == [90, 1, 0, 0]


def test_nobody_waits_longer_than_the_limit_lasts(clock: Clock) -> None:
    throttles = Throttles(clock)
    throttles.start(ANN, Throttle("slow", 1, 30))
    assert sent(throttles, clock, ANN, [0, 10, 30]) == [0, 20, 0]


def test_a_caller_that_nobody_slowed_down_is_not_refused(clock: Clock) -> None:
    throttles = Throttles(clock)
    throttles.start(ANN, Throttle("stop", 0, 60))
    assert (throttles.is_used, Throttles(clock).is_used) == (True, False)
    assert throttles.refusal(BOB) is None
    assert throttles.refusal(ANN) == ("stop", 60)


@pytest.mark.parametrize("milder_first", [True, False])
def test_of_two_limits_the_stricter_holds_and_the_longer_time(clock: Clock, milder_first: bool) -> None:
    milder, stricter = Throttle("milder", 5, 500), Throttle("stricter", 0, 100)
    throttles = Throttles(clock)
    for throttle in (milder, stricter) if milder_first else (stricter, milder):
        throttles.start(ANN, throttle)
    clock.now += 400
    assert throttles.refusal(ANN) == ("stricter", 100)


def test_a_rule_that_is_as_strict_does_not_take_the_limit_over(clock: Clock) -> None:
    throttles = Throttles(clock)
    throttles.start(ANN, Throttle("first", 0, 60))
    throttles.start(ANN, Throttle("second", 0, 60))
    assert throttles.refusal(ANN) == ("first", 60)


def test_a_limit_that_is_over_leaves_nothing_to_the_next_one(clock: Clock) -> None:
    throttles = Throttles(clock)
    throttles.start(ANN, Throttle("stop", 0, 60))
    clock.now += 60
    throttles.start(ANN, Throttle("slow", 1, 60))
    assert sent(throttles, clock, ANN, [0, 1]) == [0, 59]


def test_an_end_user_is_slowed_down_alone_where_the_rule_says_so(clock: Clock) -> None:
    throttles = Throttles(clock)
    throttles.start(USER, Throttle("stop", 0, 60, "end_user"))
    known = [throttles.has_end_users]
    assert [throttles.refusal(each) for each in (USER, OTHER, ANN)] == [("stop", 60), None, None]
    clock.now += 60
    assert throttles.refusal(USER) is None
    assert [*known, throttles.has_end_users] == [True, False]  # it is forgotten when its time is over


def test_a_caller_is_slowed_down_by_what_an_end_user_did_where_the_rule_says_so(clock: Clock) -> None:
    throttles = Throttles(clock)
    throttles.start(USER, Throttle("stop", 0, 60))
    assert throttles.refusal(ANN) == ("stop", 60)
    assert throttles.refusal(USER) is None  # who asks for the caller's limit names the caller


@pytest.mark.parametrize("subject", [ANN, USER])
def test_what_is_dropped_is_not_remembered(subject: Subject) -> None:
    """Else every caller that was ever slowed down would stay in memory."""
    remembered: Remembered[Times] = Remembered(10)
    remembered.put(subject, Times((1.0, 2.0)))
    remembered.drop(subject)
    assert (remembered.get(subject), remembered.moments) == (None, 0)
    remembered.drop(subject)  # nothing is there any more
