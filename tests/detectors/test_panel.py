"""The panel: one judging for all, whatever the detectors do."""

from collections.abc import Sequence

from detectors import manifest
from detectors.base import Judgement, State, Steps, Text, Verdict, finish
from detectors.opinions import Opinion, strongest
from detectors.panel import Panel, Question, coverage, thresholds
from tests.support.fakes import DETECTOR, LIMITS, Words


class Slow:
    """Reads a text in as many steps as it has letters."""

    id = "slow@1"
    slugs = frozenset({"violence"})

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        return finish(self.steps(texts))

    def steps(self, texts: Sequence[Text]) -> Steps[list[Judgement]]:
        judged = [Judgement(State.STOPPED)] * len(texts)
        for position, text in enumerate(texts):
            for number, letter in enumerate(text.text, 1):
                if letter == "!":
                    raise ArithmeticError
                verdict = Verdict(self.id, "violence", number / 10)
                state = State.SCANNED if number == len(text.text) else State.STOPPED
                judged[position] = Judgement(state, (verdict,))
                if (yield):
                    return judged
        return judged


def questions(*texts: str) -> list[Question]:
    return [Question(Text(text, "prompt")) for text in texts]


def test_thresholds_are_those_of_the_operating_tables() -> None:
    known = manifest.load(weights=False)
    found = thresholds(known.values(), 0.01)
    info = known["secrets"]
    (slug, role), table = next(iter(info.operating.items()))
    assert found[info.id, slug, role] == manifest.threshold(table, 0.01)
    assert thresholds(known.values(), 1e-12) == {}


def test_every_detector_is_asked_and_answers_come_in_order() -> None:
    answers = Panel([Words(), Slow()], LIMITS).ask(questions("ab", "grenade", " "))
    assert [answer.states for answer in answers] == [
        {DETECTOR: "scanned", "slow@1": "scanned"},
        {DETECTOR: "scanned", "slow@1": "scanned"},
        {DETECTOR: "skipped", "slow@1": "scanned"},
    ]
    assert strongest(answers[1].opinions)["violence"] == Opinion(DETECTOR, "violence", 1.0, True, [(0, 7, "word")])
    assert coverage(answers)[DETECTOR, "scanned"] == 2


def test_a_detector_that_is_not_asked_has_no_state() -> None:
    (answer,) = Panel([Words(), Slow()]).ask([Question(Text("ab", "prompt"), frozenset({"prompt_attacks"}))])
    assert answer.states == {DETECTOR: "scanned"}
    assert [opinion.slug for opinion in answer.opinions] == ["prompt_attacks"]


def test_one_that_breaks_costs_its_own_opinions_only() -> None:
    crashed, fine = Panel([Words(), Slow()]).ask(questions("crash", "fine"))
    assert (crashed.failed, crashed.states[DETECTOR]) == ({DETECTOR: "ArithmeticError"}, "errored")
    assert {opinion.detector for opinion in crashed.opinions} == {"slow@1"}
    assert fine.failed == {}
    (torn,) = Panel([Words(), Slow()]).ask(questions("ab!c"))
    assert torn.failed == {"slow@1": "ArithmeticError"}
    assert {opinion.detector for opinion in torn.opinions} == {DETECTOR}


def test_stopped_in_the_middle_it_tells_what_it_has() -> None:
    steps = Panel([Slow(), Words()]).steps(questions("abcd", "grenade"))
    next(steps)
    pieces = 1
    try:
        while True:
            steps.send(pieces >= 6)  # 2 for what is hidden, 2 of the quick detector, then the slow one
            pieces += 1
    except StopIteration as done:
        first, second = done.value
    assert pieces < 12
    assert first.states == {DETECTOR: "scanned", "slow@1": "stopped"}
    assert [opinion.detector for opinion in first.opinions].count("slow@1") == 1
    assert second.states == {DETECTOR: "scanned", "slow@1": "stopped"}
    assert not [opinion for opinion in second.opinions if opinion.detector == "slow@1"]


def test_what_was_stopped_is_not_known_the_next_time() -> None:
    known: list[dict[str, Judgement]] = [{}]
    steps = Panel([Slow()]).steps(questions("abcd"), known)
    next(steps)
    try:
        while True:
            steps.send(True)
    except StopIteration:
        pass
    assert known == [{}]
    (answer,) = finish(Panel([Slow()]).steps(questions("abcd"), known))
    assert (answer.states, answer.remembered) == ({"slow@1": "scanned"}, [])
    (again,) = finish(Panel([Slow()]).steps(questions("abcd"), known))
    assert (again.opinions, again.remembered) == (answer.opinions, ["slow@1"])


def test_the_strongest_opinion_is_flagged_when_any_is() -> None:
    weak, strong = Opinion("a@1", "hate", 0.4, True, []), Opinion("b@1", "hate", 0.6, False, [(0, 1, "x")])
    expected = {"hate": Opinion("b@1", "hate", 0.6, True, [(0, 1, "x")])}
    assert strongest([weak, strong]) == strongest([strong, weak]) == expected
    assert strongest([]) == {}
