"""Cards and charts from the shipped figures, and replies judged while they grow."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from detectors.base import Judgement, State, Text, Verdict
from detectors.manifest import DetectorInfo, load_one
from detectors.training import cards, prefixes
from detectors.training.data import BENIGN, HARMS, Row
from detectors.training.plots import Chart
from tests.support.judges.shipped import shipped

SVG = "{http://www.w3.org/2000/svg}"
HARMLESS = {"unsafe": 0, **dict.fromkeys(HARMS, 0)}


def test_every_shipped_detector_has_a_card_with_its_figures(tmp_path: Path) -> None:
    infos = {**shipped(), "ngram": load_one("ngram")}
    infos["ngram"] = replace(infos["ngram"], off={"some_head": "AUROC 0.5"})
    cards.write(tmp_path, infos, {})
    for name, info in infos.items():
        text = (tmp_path / f"{name}.md").read_text("utf-8")
        assert text.startswith(f"# {info.id}\n")
        assert all(f"`{slug}`" in text for slug in info.slugs)
    assert "`some_head`: AUROC 0.5" in (tmp_path / "ngram.md").read_text("utf-8")


def test_a_card_shows_the_charts_that_were_drawn(tmp_path: Path) -> None:
    curve = [(0.0, 0.0), (0.5, 0.8), (1.0, 1.0)]
    cards.write(tmp_path, {"ngram": load_one("ngram")}, {"ngram": {cards.ROC: {"a & b": curve}}})
    assert "ngram-roc.svg" in (tmp_path / "ngram.md").read_text("utf-8")
    drawn = ElementTree.parse(tmp_path / "ngram-roc.svg").getroot()
    assert "a & b" in [text.text for text in drawn.iter(f"{SVG}text")]


def test_a_chart_puts_points_where_they_belong(tmp_path: Path) -> None:
    chart = Chart("c", "x", "y", {0.01: "1 %", 0.1: "10 %", 1.0: "100 %"}, is_log=True)
    chart.write(tmp_path / "c.svg", {"s": [(0.001, 0.0), (0.1, 0.5), (1.0, 1.0)]})
    (line,) = ElementTree.parse(tmp_path / "c.svg").getroot().iter(f"{SVG}polyline")
    (x0, y0), (x1, y1), (x2, y2) = (tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split())
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)  # what is left of the first tick stands on it
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.2)
    assert y2 < y0


class Counting:
    """Flags a reply from its tenth "bad" on, and harmless ones a little at first."""

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        return [Judgement(State.SCANNED, (Verdict("d@1", "unsafe", self._score(text.text)),)) for text in texts]

    @staticmethod
    def _score(text: str) -> float:
        return text.count("bad") / 10 if "bad" in text else 0.3 / len(text.split())


@pytest.fixture
def info() -> DetectorInfo:
    return load_one("ngram")


@pytest.mark.slow
def test_recall_grows_with_the_words_seen(info: DetectorInfo) -> None:
    rows = [Row(f"fine {number} " * 200, None, ("response",), HARMLESS, BENIGN, True) for number in range(300)]
    rows += [Row("bad word " * (5 + number), None, ("response",), {"unsafe": 1}, "s", True) for number in range(40)]
    told = prefixes.streams(Counting().detect, info, rows, random.Random(1), "2026-01-01")
    table = told.tables["unsafe"]["response"]
    # The worst moment of a harmless reply is its first, long before its end.
    assert all(score > 0.3 / prefixes.WORDS[0] for _, score in table)
    recall = {item.metric: item.value for item in told.measured if item.slug == "unsafe"}
    seen = [recall[f"response: {prefixes.AFTER.format(words)}"] for words in prefixes.WORDS]
    assert seen == sorted(seen)
    assert seen[0] > 0
    assert recall[f"response: {prefixes.AT_END}"] == 1
    assert all(item.rows == 40 for item in told.measured if "recall" in item.metric)
