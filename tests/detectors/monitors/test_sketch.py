"""What observations add up to."""

import msgspec
import pytest

from detectors.monitors.sketch import Observation, Observer, Sketch, shingles

GROUNDED = ("response", "hallucination"), (0.2, False, "pair@1")


def seen(id: str, prompt: str = "tell me about paris", answer: str = "I am 90% sure: it is big.") -> Observation:
    scores = {("response", "refusal"): (0.9, id.endswith("9"), "encoder@4"), GROUNDED[0]: GROUNDED[1]}
    return Observation(id, 2.0, "r", "m", "app", "en", prompt, answer, scores)


def observed(ids: range) -> Sketch:
    sketch, observer = Sketch(), Observer()
    for number in ids:
        observer.observe(sketch, seen(str(number), prompt=f"please tell me {number}"))
    return sketch


def test_sketches_of_two_processes_are_as_good_as_one() -> None:
    both, parts = observed(range(40)), observed(range(20))
    parts.add(observed(range(20, 40)))
    assert parts.texts == both.texts
    ours, theirs = parts.counted_once(), both.counted_once()
    for one, other in ((ours.means, theirs.means), (parts.bins, both.bins), (ours.calibration, theirs.calibration)):
        assert one.keys() == other.keys()
        assert all(row == pytest.approx(other[key]) for key, row in one.items())
    assert parts.total.n == both.total.n == 40
    assert parts.grams.keys() == both.grams.keys()


def test_a_sketch_is_written_and_read() -> None:
    sketch = observed(range(15))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(sketch), type=Sketch) == sketch


def test_no_text_is_kept() -> None:
    written = msgspec.msgpack.encode(observed(range(9)))
    for word in (b"paris", b"tell", b"sure"):
        assert word not in written


def test_a_confidence_counts_where_something_says_what_was_right() -> None:
    sketch = observed(range(10))
    ((key, row),) = sketch.counted_once().calibration.items()
    assert key == ("r", "m", "groundedness", "18")
    assert row[:3] == [10.0, 20.0, 40.0]
    unsure, observer = Sketch(), Observer()
    observer.observe(unsure, seen("1", answer="It is big."))
    assert unsure.counted_once().calibration == {}


@pytest.mark.parametrize(
    ("answer", "flagged", "counted"),
    [
        ("I am 90% sure: 2 + 2 = 4.", False, 1.0),
        ("I am 90% sure: 2 + 2 = 5.", True, 0.0),
        ("I am 90% sure: it is Paris.", False, None),  # no sum, so nothing was checked
    ],
)
def test_an_exact_check_says_what_was_right_only_of_answers_that_compute(
    answer: str, flagged: bool, counted: float | None
) -> None:
    sketch, scores = Sketch(), {("response", "limited_logical_reasoning"): (float(flagged), flagged, "arithmetic@1")}
    Observer().observe(sketch, Observation("1", 1.0, "r", "m", "", "", "question", answer, scores))
    assert [row[4] for row in sketch.counted_once().calibration.values()] == ([] if counted is None else [counted])


def test_flagged_prompts_are_no_evidence_of_triggers() -> None:
    sketch, observer = Sketch(), Observer()
    flagged = {("prompt", "violence"): (0.9, True, "encoder@4")}
    observer.observe(sketch, Observation("1", 1.0, "r", "m", "", "", "some words here", "no", flagged))
    assert sketch.grams == {}
    assert sketch.total.n == 0


def test_a_prompt_that_comes_again_is_no_further_evidence_of_triggers() -> None:
    """A health check, a cached question or a demo asks the same over and over, and gets the same answer."""
    sketch, observer = Sketch(), Observer()
    refused = {("response", "refusal"): (0.9, True, "ngram@1")}
    for number in range(50):
        said = "Is  anybody there?" if number % 2 else "is anybody there"
        observer.observe(sketch, Observation(f"{number}", 1.0, "r", "m", "", "", said, "no", refused))
    observer.observe(sketch, Observation("x", 1.0, "r", "m", "", "", "is anybody really there", "no", refused))
    assert sketch.total.n == 2
    assert max(gram.n for gram in sketch.grams.values()) == 2
    assert sum(row[0] for key, row in sketch.means.items() if key[1] == "refusal" and key[0] == "all") == 51


def test_runs_of_words_are_known_again() -> None:
    text = " ".join(f"w{number}" for number in range(200))
    assert shingles(text)
    assert shingles(" ".join(text.split()[50:150])) <= shingles(text)
    assert shingles("few words only") == set()


def test_an_empty_exchange_adds_and_breaks_nothing() -> None:
    sketch, observer = Sketch(), Observer()
    observer.observe(sketch, Observation("1", 1.0, "r", "", "", "", "", "", {}))
    assert sketch.total.n == 1
    assert sketch.grams == {}
