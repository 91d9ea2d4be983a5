"""The review: who gets which item, which labels are kept, and how far two reviewers agree."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import structs

from gateway.commands.review import Session
from gateway.judging.messages import Finding
from gateway.opinions.labelling import Filters, LabelError, Review, agreement, kappa
from gateway.opinions.reviews import Reviews
from gateway.trust.drawing import DrawBudget
from gateway.trust.judged import scores_of
from gateway.trust.ledger import Ledger
from gateway.trust.second_opinion import Label, SecondOpinion
from gateway.trust.stores.sqlite_ledger import SqliteStore
from tests.support.worlds.ledgers import NOON, judged, opinion

pytestmark = pytest.mark.real_time
VIOLENT, CALM = [Label("prompt", "violence", 1.0)], [Label("prompt", "violence", 0.0)]


class Desk:
    """A ledger with samples that wait for people, and the review of them."""

    def __init__(self, folder: Path, reviewers: int = 1, shows_texts: bool = True) -> None:
        self.now = NOON
        self.ledger = Ledger(SqliteStore(folder / "ledger.db", days=30, most_bytes=2**24), clock=lambda: self.now)
        self.kept: dict[str, dict[str, str]] = {}
        self.sink = Reviews(
            self.ledger,
            DrawBudget(1e9, clock=lambda: self.now),
            reviewers=reviewers,
            shows_texts=shows_texts,
            keep=lambda sample, _at, texts: self.kept.update({sample: texts}),
        )
        self.review = Review(self.ledger, lambda: self.now)

    def sample(self, id: str, **more: object) -> None:
        one = judged(id, **more)  # type: ignore[arg-type]
        self.ledger.take(one)
        self.sink.take(one)

    async def labels(self) -> list[tuple[str, str, float]]:
        return sorted(
            (given.sample, given.name, label.value)
            for given, _ in await self.ledger.opinions("24h")
            for label in given.labels
        )


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    await desk.ledger.flush()


async def test_an_item_says_why_it_was_drawn_and_how_likely_that_was(desk: Desk) -> None:
    desk.sample("s1", flagged=True)
    (item,) = await desk.review.next("ann")
    shown = item.shown()
    assert shown["why"] == "a detector flagged violence in the prompt; drawn with probability 1"
    assert shown["texts"] == {"prompt": "what somebody said"}
    assert desk.kept == {"s1": {"prompt": "what somebody said"}}


async def test_two_reviewers_do_not_get_the_same_item(desk: Desk) -> None:
    for number in range(4):
        desk.sample(f"s{number}")
    ann = await desk.review.next("ann", most=2)
    bob = await desk.review.next("bob", most=9)
    assert len(ann) == len(bob) == 2
    assert not {item.waiting.sample for item in ann} & {item.waiting.sample for item in bob}


async def test_the_same_reviewers_second_label_replaces_the_first(desk: Desk) -> None:
    desk.sample("s1")
    await desk.review.label("s1", "ann", VIOLENT)
    await desk.review.label("s1", "ann", CALM)
    assert await desk.labels() == [("s1", "ann", 0.0)]
    assert await desk.review.waiting() == 0


@pytest.mark.parametrize(
    ("sample", "by", "labels", "said"),
    [
        ("gone", "ann", VIOLENT, "it has expired"),
        ("s1", "ann", [], "there is no label"),
        ("s1", "", VIOLENT, "a reviewer's name"),
        ("s1", "a\nb", VIOLENT, "a reviewer's name"),
        ("s1", "ann", [Label("response", "violence", 1.0)], "was not judged for 'violence' in the response"),
    ],
)
async def test_a_label_that_cannot_be_kept_is_refused_with_the_reason(
    desk: Desk, sample: str, by: str, labels: list[Label], said: str
) -> None:
    desk.sample("s1")
    with pytest.raises(LabelError) as raised:
        await desk.review.label(sample, by, labels)
    assert said in str(raised.value)
    assert await desk.labels() == []


async def test_whether_an_answer_was_wrong_may_be_said_though_nothing_judges_it(desk: Desk) -> None:
    answered = judged("s2")
    calm = Finding("response", "assistant", ["a"], 0, True, "digest", [opinion("toxicity", 0.1)], "en")
    answered = structs.replace(
        answered, findings=[*answered.findings, calm], scores=scores_of([*answered.findings, calm])
    )
    desk.ledger.take(answered)
    desk.sink.take(answered)
    await desk.review.label("s2", "ann", [Label("response", "misinformation", 1.0)])
    assert await desk.labels() == [("s2", "ann", 1.0)]
    desk.sample("s1")  # without an answer
    with pytest.raises(LabelError):
        await desk.review.label("s1", "ann", [Label("response", "misinformation", 1.0)])


async def test_filters_choose_among_what_waits(desk: Desk) -> None:
    desk.sample("s1", flagged=True, model="a")
    desk.sample("s2", model="b", at=NOON - 100)

    async def found(filters: Filters) -> set[str]:
        return {item.waiting.sample for item in await desk.review.next("ann", filters, most=9)}

    assert await found(Filters(flagged=True)) == {"s1"}
    assert await found(Filters(flagged=False, subcategory="violence")) == {"s2"}
    assert await found(Filters(model="b")) == {"s2"}
    assert await found(Filters(since=NOON)) == {"s1"}
    assert await found(Filters(until=NOON)) == {"s2"}
    assert await found(Filters(subcategory="hate")) == set()
    assert await found(Filters(route="default")) == {"s1", "s2"}


async def test_a_session_keeps_each_label_at_once_and_can_go_on_later(desk: Desk) -> None:
    for number in range(3):
        desk.sample(f"s{number}", flagged=number == 0)
    lines: list[str] = []
    keys = iter("xynq")
    session = Session(desk.review, "ann", ("violence",), Filters(), lambda: next(keys), lines.append)
    assert await session.run(desk.ledger) == 0
    assert len(await desk.labels()) == 2
    later = iter("iq")
    session = Session(desk.review, "ann", ("violence",), Filters(), lambda: next(later), lines.append)
    await session.run(desk.ledger)
    assert len(await desk.labels()) == 2
    assert "There is nothing more for you now. 1 samples still wait: you skipped them" in "\n".join(lines)
    assert any(line.startswith("Samples labelled: 2.") for line in lines)
    assert any(line.startswith("x is not one of the keys: y yes") for line in lines)


async def test_nobody_is_asked_about_a_text_that_was_not_kept(tmp_path: Path) -> None:
    desk = Desk(tmp_path, shows_texts=False)
    desk.sample("s1")
    lines: list[str] = []
    session = Session(desk.review, "ann", (), Filters(), lambda: "y", lines.append)
    assert await session.run(desk.ledger) == 0
    assert await desk.labels() == []
    assert any(line.startswith("1 samples have no kept texts") for line in lines)


async def test_control_characters_of_a_text_do_not_reach_the_terminal(desk: Desk) -> None:
    desk.sample("s1")
    (item,) = await desk.review.next("ann")
    item.waiting.texts[:] = [("prompt", "a\x1b[2Jb\u202ec")]
    lines: list[str] = []
    session = Session(desk.review, "ann", (), Filters(), lambda: "q", lines.append)
    session._show(item)  # noqa: SLF001 - what is shown, without a queue
    assert "\x1b" not in "".join(lines)
    assert "\u202e" not in "".join(lines)


def said(name: str, **labels: float) -> list[SecondOpinion]:
    return [
        SecondOpinion(sample, NOON, "person", name, 1.0, [Label("prompt", "violence", value)])
        for sample, value in labels.items()
    ]


def test_agreement_is_cohens_kappa() -> None:
    """The textbook's table: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no, kappa 0.4."""
    both = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    assert kappa(both) == 0.4
    assert kappa([(True, True)] * 5) is None
    (row,) = agreement([*said("ann", a=1, b=0, c=1), *said("bob", a=1, b=1, d=0)])
    assert (row["reviewers"], row["labels"], row["equal_share"]) == (["ann", "bob"], 2, 0.5)
