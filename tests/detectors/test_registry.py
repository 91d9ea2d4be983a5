"""Which detectors are built for which slugs."""

import pytest

from detectors.base import Detector, Text
from detectors.registry import FACTORIES, FINGERPRINT, build
from tests.support.judges.shipped import shipped


@pytest.mark.slow
def test_builds_by_default_all_that_need_nothing_of_the_operator_s() -> None:
    expected = [info.id for name, info in shipped().items() if name != FINGERPRINT]
    assert [detector.id for detector in build()] == expected


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ({"toxicity"}, ["encoder", "encoder-multilingual"]),
        ({"privacy_violation"}, ["encoder", "secrets", "pii"]),
        ({"interventional_effect"}, []),
        (set(), []),
    ],
)
def test_builds_what_can_speak_of_a_slug(only: set[str], names: list[str]) -> None:
    assert [detector.id.partition("@")[0] for detector in build(only)] == names


@pytest.fixture(scope="module")
def built() -> dict[str, Detector]:
    return {detector.id.partition("@")[0]: detector for detector in build()}


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_every_detector_keeps_order_and_speaks_of_its_slugs_only(built: dict[str, Detector], name: str) -> None:
    detector = built[name]
    texts = [Text("hello", "prompt"), Text("", "response"), Text("ring me: +44 20 7946 0301", "response")]
    judged = detector.detect(texts)
    assert len(judged) == 3
    assert judged[1].verdicts == ()
    for judgement in judged:
        slugs = [verdict.slug for verdict in judgement.verdicts]
        assert len(slugs) == len(set(slugs))
        assert detector.slugs.issuperset(slugs)
        assert {verdict.detector for verdict in judgement.verdicts} <= {detector.id}
