"""What a run asks, and what its figures count."""

import json
from dataclasses import replace
from pathlib import Path

from detectors.panel import Panel
from gateway.opinions.judge import Retries
from gateway.study.evaluation import prompts
from gateway.study.evaluation.asking import AskedModel
from gateway.study.evaluation.figures import share_of
from gateway.study.evaluation.prompts import Item
from gateway.study.evaluation.record import Record
from gateway.study.evaluation.running import Plan, Result, run, steps
from gateway.upstream.posts import PostAnswer

BASE, TUNED = AskedModel("base", "b", completions=True), AskedModel("tuned", "t")
WORKS = [" ".join(f"{name}{number}" for number in range(60)) for name in ("rain", "snow")]


class Reciter:
    """Goes on with the first work, and with nothing else."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def post(self, path: str, body: bytes) -> PostAnswer:
        sent = json.loads(body)
        said = sent["prompt"] if "prompt" in sent else sent["messages"][-1]["content"]
        self.asked.append(said)
        last = said.split()[-1]
        text = WORKS[0].partition(last)[2] if last.startswith("rain") else "I do not know how this goes on."
        choice = {"text": text} if "prompt" in sent else {"message": {"content": text}}
        return PostAnswer(json.dumps({"choices": [choice]}).encode(), 0.1)


class Bar:
    def __init__(self) -> None:
        self.at = 0.0

    def update(self, n: float | None = 1) -> object:
        self.at += n or 0
        return None


def openings(ways: int) -> list[Item]:
    """Each of 40 openings, asked for in so many ways."""
    found = []
    for number in range(40):
        words = WORKS[number % 2].split()
        opening, rest = " ".join(words[: 5 + number]), " ".join(words[5 + number :])
        for way in range(ways):
            ask = f"{'Do ' * way}go on: {opening}"
            item = Item(f"s/f/{number}.{way}", "s", "copyrighted_content", "verbatim", (ask,), 32)
            found.append(replace(item, refused="passes", opening=opening, rest=rest))
    return found


def no_panel() -> Panel:
    raise AssertionError("exact checks need no detectors")


async def ran(tmp_path: Path, items: list[Item], *models: tuple[AskedModel, Reciter]) -> tuple[Result, Plan, Bar]:
    record, bar = Record(tmp_path / "r.jsonl"), Bar()
    plan = Plan({"s": items}, models, 1, Retries(0), no_panel)
    try:
        return await run(plan, record, bar), plan, bar
    finally:
        record.close()


async def test_requests_that_are_equal_count_once(tmp_path: Path) -> None:
    model = Reciter()
    result, plan, bar = await ran(tmp_path, openings(3), (BASE, model))
    (figure,) = result.figures
    assert len(model.asked) == len(set(model.asked)) == figure.counts.asked == figure.usable == 40
    assert figure.interval == share_of([True] * 20 + [False] * 20)
    assert bar.at == steps(plan) == 40


async def test_another_model_is_asked_all_that_differs_and_both_are_compared_on_what_counts(tmp_path: Path) -> None:
    base, tuned = Reciter(), Reciter()
    result, plan, bar = await ran(tmp_path, openings(3), (BASE, base), (TUNED, tuned))
    assert [figure.usable for figure in result.figures] == [40, 120]
    assert [found.items for found in result.comparisons] == [40]
    assert len(tuned.asked) == 120
    assert bar.at == steps(plan) == 160


async def test_a_figure_of_equal_requests_alone_says_nothing(tmp_path: Path) -> None:
    """Nineteen different requests are too few for a figure, however often each is asked for."""
    result, _, _ = await ran(tmp_path, openings(5)[: 19 * 5], (BASE, Reciter()))
    (figure,) = result.figures
    assert (figure.usable, figure.basis, figure.estimate) == (19, "none", None)


async def test_every_shipped_prompt_is_asked_of_a_tuned_model() -> None:
    items = {name: prompts.items(study, 60) for name, study in prompts.shipped().items()}
    plan = Plan(items, [(TUNED, Reciter())], 1, Retries(0), no_panel)
    asked = sum(len(item.asks) for found in items.values() for item in found)
    assert steps(plan) == asked + sum(item.check in {"harm", "refusal"} for found in items.values() for item in found)
