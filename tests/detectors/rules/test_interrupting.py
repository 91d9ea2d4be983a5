"""The search of a rule can be interrupted inside one text: its pieces of work are bounded, counted in calls."""

import sys

import pytest

from detectors.base import Judgement, State, Steps, Text, TextByText
from detectors.catalogue import RULES
from detectors.panel import Panel, Question
from detectors.rules.rule import RuleDetector
from tests.support.judges.shipped import shipped
from tests.support.running.steps import Calls

LENGTH = 16_000  # characters: several pieces
MOST_CALLS = 40_000  # of one piece: some milliseconds
# Written so that a rule has something to do at almost every character.
HOSTILE = [
    ("secrets", "password "),
    ("secrets", "api_key = q7Rk2Lm9Xw4Tz8Bv3Ny6Pd1Hs5Jc0FgA is my password. "),
    ("secrets", "://a:b"),
    ("secrets", "|token|key|\n|---|---|\n|a|b|\n"),
    ("secrets", "sk-a1Bq7Rk2Lm9Xw4Tz8Bv3Ny6Pd1Hs5 "),
    ("arithmetic", "1+1=3 "),
    ("arithmetic", "1+1="),
    ("pii", "4 "),
    ("pii", "a@b.cd "),
    ("payloads", "' or 1=1 -- curl -u a:bcdef "),
]


def detector(name: str) -> RuleDetector:
    return RuleDetector(shipped()[name], RULES[name])


def pieces_of(work: Steps[Judgement], stop_after: int = sys.maxsize) -> tuple[Judgement, list[int]]:
    """The result, and the calls that each piece of work made."""
    calls = Calls()
    pieces: list[int] = []
    stop: bool | None = None
    while True:
        before = calls.number
        try:
            with calls:
                work.send(stop)
        except StopIteration as done:
            result: Judgement = done.value
            return result, [*pieces, calls.number - before]
        pieces.append(calls.number - before)
        stop = len(pieces) >= stop_after


@pytest.mark.slow
@pytest.mark.parametrize(("name", "unit"), HOSTILE)
def test_every_piece_of_work_is_bounded(name: str, unit: str) -> None:
    judged, calls = pieces_of(detector(name).judging(Text((unit * LENGTH)[:LENGTH], "response")))
    assert len(calls) > 1
    assert max(calls) < MOST_CALLS
    assert judged.state is State.SCANNED


@pytest.mark.slow
def test_stopped_early_it_says_so_and_tells_what_was_found() -> None:
    text = "mail maria.lopez@gmail.com " + "4 " * 10_000
    whole, calls = pieces_of(detector("pii").judging(Text(text, "prompt")))
    assert len(calls) > 5
    part, short = pieces_of(detector("pii").judging(Text(text, "prompt")), stop_after=3)
    assert (whole.state, part.state) == (State.SCANNED, State.STOPPED)
    assert len(short) <= 4
    assert [span.label for span in part.verdicts[0].spans] == ["email"]


def test_a_short_text_is_one_piece() -> None:
    work = detector("secrets").judging(Text("password " * 50, "prompt"))
    with pytest.raises(StopIteration):
        next(work)


def test_the_panel_passes_the_pieces_on() -> None:
    panel = Panel([detector("pii")])
    assert isinstance(panel.detectors[0], TextByText)
    steps = panel.steps([Question(Text("4 " * 10_000, "prompt"))])
    pieces = 0
    while pieces < 3:
        assert next(steps) is None
        pieces += 1
    try:
        while True:
            steps.send(True)
    except StopIteration as done:
        (answer,) = done.value
    assert answer.states == {panel.detectors[0].id: "stopped"}
