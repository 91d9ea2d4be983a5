"""What a claim says otherwise than its source in one detail, by words and numbers."""

import random

import pytest

from detectors.comparing.details import Details, details
from detectors.comparing.nearness import Passages
from detectors.comparing.pairings import sourced
from detectors.comparing.quantities import ROUNDED_FROM, is_among, is_bounded, quantities
from detectors.comparing.sentences import Sentence

SOURCE = "The mill has twenty-one wheels and cost 3.5 million crowns in 1931. It was never sold. Its owner is rich."
NOTHING = Details(0, 0, 0, 0, 0, 0)


def of(claim: str, source: str = SOURCE) -> Details:
    return details(claim, source, source, sorted({each.value for each in quantities(source)}))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("Twenty-one of 3.5 million people", [21, 3_500_000]),
        ("1,200 men, two hundred horses", [1_200, 200]),
        ("in the third year, a dozen", [3, 12]),
        ("twenty, one", [20, 1]),
        ("someone often saw tender stones", []),
    ],
)
def test_numbers_are_read_in_digits_and_in_words(text: str, values: list[float]) -> None:
    assert [each.value for each in quantities(text)] == values


@pytest.mark.parametrize("said", ["more than", "at most", "before the", "about"])
def test_a_number_that_only_bounds_is_told_apart(said: str) -> None:
    text = f"{said} 50 of 60 ships"
    assert [is_bounded(text, each) for each in quantities(text)] == [True, False]
    assert of(f"It has {said} 50 wheels, and none was sold.").numbers == 0


def test_a_large_number_may_be_rounded_and_a_year_may_not() -> None:
    assert is_among(3_500_000.0, [3_480_000.0])
    assert not is_among(1931.0, [1932.0])
    assert not is_among(2.0, [])


def test_membership_is_what_comparing_with_every_number_gives() -> None:
    rng = random.Random(4)
    for _ in range(300):
        others = sorted(float(rng.randrange(1, 6_000)) for _ in range(rng.randrange(12)))
        value = float(rng.randrange(1, 6_000))
        near = 0.03 * value if value >= ROUNDED_FROM else 0
        assert is_among(value, others) == any(abs(value - other) <= near for other in others)


@pytest.mark.parametrize(
    ("claim", "found"),
    [
        ("The mill has 21 wheels and was not sold.", NOTHING),
        ("The mill has 22 wheels and was not sold.", NOTHING._replace(numbers=1, exchanged=1)),
        ("In 1941 it got 40 wheels, 9 doors, and no roof.", NOTHING._replace(numbers=2, exchanged=1)),
        ("The mill was sold.", NOTHING._replace(spared=1, affirmed=1)),
        ("The mill has wheels.", NOTHING._replace(spared=1)),
    ],
)
def test_what_differs_is_told(claim: str, found: Details) -> None:
    assert of(claim) == found


def test_denials_and_opposites_are_told() -> None:
    assert of("The gate isn't wide.", "The gate is wide.") == NOTHING._replace(denied=1)
    assert of("The gate is wide.", "The gate isn't wide.") == NOTHING._replace(spared=1, affirmed=1)
    assert of("Prices rose.", "Prices fell.").opposed == 1
    assert of("Prices rose and fell.", "Prices fell and rose.").opposed == 0


def test_a_number_anywhere_in_a_long_source_is_known() -> None:
    passages = Passages(["The town of Orm has 12 gates."])
    passages.add([f"House {number} is grey." for number in range(500, 520)])
    told = sourced(passages, Sentence("Orm has 12 gates and 519 stones.", 0, 31)).details
    assert told.numbers == 0
    assert sourced(passages, Sentence("Orm has 13 gates.", 0, 17)).details == Details(1, 1, 0, 0, 0, 0)


@pytest.mark.parametrize("text", ["", "9" * 5_000, "1,,,", "٣ ships", "not " * 900, "twenty " * 900, "-.5."])
def test_odd_texts_are_borne(text: str) -> None:
    assert len(of(text)) == len(of("Ten men.", text)) == len(NOTHING)
