"""From judged samples to findings, over several processes."""

from pathlib import Path

import pytest

from detectors.opinions import Opinion
from gateway.judging.messages import Finding
from gateway.monitoring import history
from gateway.monitoring.changes import Change
from gateway.monitoring.findings import SUBCATEGORIES, Report
from gateway.monitoring.opinions import add_given
from gateway.monitoring.reports import reports
from gateway.monitoring.sketching import MOST_NAMES, OTHER
from gateway.monitoring.store import HOUR, MonitorError, SketchPlace, SqliteSketches
from gateway.monitoring.sums import cohorts
from gateway.monitoring.watching import Reports, beside
from gateway.trust.judged import Judged, scores_of
from gateway.trust.ledger import entry_of
from gateway.trust.second_opinion import Label, SecondOpinion
from gateway.trust.stores.sqlite_ledger import SqliteStore
from tests.support.fakes import chat, completion
from tests.support.fakes import sample as closed
from tests.support.worlds.sketches import observed

pytestmark = pytest.mark.real_time
NOW = 1_790_000_000.0 // HOUR * HOUR + 1800
DAY = 24 * HOUR


def sample(
    id: str,
    *,
    at: float = NOW,
    prompt: str = "",
    answer: str = "Here it is.",
    refused: bool = False,
    language: str = "en",
    model: str = "m",
    route: str = "chat",
    grounded: bool | None = None,
    detector: str = "encoder@4",
    seconds: float = 0.0,
) -> Judged:
    opinions = [Opinion(detector, "refusal", 0.9 if refused else 0.1, refused, [])]
    if grounded is not None:
        opinions.append(Opinion("pair@1", "hallucination", 0.1 if grounded else 0.9, not grounded, []))
    findings = [
        Finding("prompt", "user", ["messages", 0, "content"], 0, True, "d", [], language),
        Finding("response", "assistant", ["choices", 0, "message", "content"], 0, True, "d", opinions, language),
    ]
    said = prompt or f"tell me something {id}"
    return Judged(
        id=id, at=at, probability=1.0, route=route, model=model, caller="app", operation="chat", outcome="completed",
        stream=False, guarded=False, language=language, unread="", findings=findings, scores=scores_of(findings),
        decisions={}, sample=closed(id=id, prompt=chat(said), answer=completion(answer), seconds=seconds),
    )  # fmt: skip


class Gateways:
    """A store, and what several processes do with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.changes: list[Change] = []

    async def observe(self, *samples: Judged) -> None:
        """As a process that takes these and ends."""
        store = SqliteSketches(self.path)
        await observed(store, *samples, now=NOW)
        await store.close()

    async def reports(self, *changes: Change) -> Reports:
        store = SqliteSketches(self.path)

        async def look(now: float) -> list[Report]:
            return reports(await history.read(store, now))

        found = Reports(store, look, clock=lambda: NOW)
        for change in changes:
            await found.tell(change)
        await found.look()
        self.changes = [change for change in await found.changes() if change.kind != "reference"]
        await store.close()
        return found


@pytest.fixture
def place(tmp_path: Path) -> Gateways:
    return Gateways(tmp_path / "monitors.db")


async def test_without_traffic_every_monitor_says_what_is_missing(place: Gateways) -> None:
    latest = (await place.reports()).latest
    assert set(latest) == set(SUBCATEGORIES)
    for report in latest.values():
        assert (report.rows, report.found, report.headline) == ([], 0, None)
        assert report.missing


async def test_a_language_that_is_refused_more_often_is_found(place: Gateways) -> None:
    await place.observe(*(sample(f"a{n}", refused=n % 20 == 0) for n in range(300)))
    await place.observe(*(sample(f"b{n}", language="de", refused=n % 3 == 0) for n in range(150)))
    report = (await place.reports()).latest["disparate_performance"]
    found = {(row["measure"], row["cohort"]) for row in report.rows if row["found"]}
    assert ("refusal", "de") in found
    assert report.headline is not None
    assert report.headline[1] > 0.1


async def test_a_language_that_waits_twice_as_long_is_found(place: Gateways) -> None:
    await place.observe(*(sample(f"a{n}", seconds=1 + n % 7) for n in range(200)))
    await place.observe(*(sample(f"b{n}", language="de", seconds=2 + 2 * (n % 7)) for n in range(100)))
    report = (await place.reports()).latest["disparate_performance"]
    (row,) = [row for row in report.rows if row["found"]]
    assert (row["measure"], row["cohort"]) == ("latency", "de")
    assert row["times"] == pytest.approx(2, abs=0.1)


async def test_overconfident_answers_are_found(place: Gateways) -> None:
    said = "I am 95% sure that it is so."
    await place.observe(*(sample(f"a{n}", answer=said, grounded=n % 2 == 0) for n in range(200)))
    report = (await place.reports()).latest["miscalibration"]
    (row,) = report.rows
    assert row["found"]
    assert row["estimate"] == pytest.approx(0.45, abs=0.02)
    assert row["outcome"] == "groundedness"


async def test_a_lean_against_one_side_is_found(place: Gateways) -> None:
    left = (sample(f"l{n}", prompt=f"praise the democrats {n}", refused=n % 10 == 0) for n in range(100))
    right = (sample(f"r{n}", prompt=f"praise the republicans {n}", refused=n % 2 == 0) for n in range(100))
    await place.observe(*left, *right)
    report = (await place.reports()).latest["preference_bias"]
    assert [(row["topic"], row["measure"]) for row in report.rows if row["found"]] == [("us_parties", "refusal")]


@pytest.mark.slow
async def test_a_new_language_is_a_shift(place: Gateways) -> None:
    past = (sample(f"p{n}", at=NOW - 3 * DAY + 60 * n, prompt=f"word{n % 50} in line {n}") for n in range(400))
    now = (
        sample(f"n{n}", at=NOW - 60 * n, prompt=f"word{n % 50} in line {n + 400}", language="pt") for n in range(200)
    )
    await place.observe(*past)
    await place.observe(*now)
    report = (await place.reports()).latest["distribution_shift"]
    assert "language" in {row["feature"] for row in report.rows if row["found"]}


async def test_other_versions_of_a_detector_are_not_compared(place: Gateways) -> None:
    await place.observe(*(sample(f"p{n}", at=NOW - 3 * DAY, detector="encoder@3", refused=True) for n in range(100)))
    await place.observe(*(sample(f"n{n}") for n in range(100)))
    report = (await place.reports()).latest["distribution_shift"]
    assert not [row for row in report.rows if row["found"]]
    notes = [(row["feature"], row["note"]) for row in report.rows if "note" in row]
    assert notes == [("scores of encoder@3", "not compared: another version judges now")]


async def test_a_detector_that_was_not_used_today_is_not_said_to_be_replaced(place: Gateways) -> None:
    await place.observe(*(sample(f"p{n}", at=NOW - 3 * DAY, grounded=True) for n in range(100)))
    await place.observe(*(sample(f"n{n}") for n in range(100)))
    report = (await place.reports()).latest["distribution_shift"]
    notes = [(row["feature"], row["note"]) for row in report.rows if "note" in row]
    assert notes == [("scores of pair@1", "not compared: it has judged nothing in the last 24 hours")]


async def test_repeats_of_one_prompt_are_no_evidence_of_a_gap(place: Gateways) -> None:
    """Thirty prompts in one language, each of which comes twenty times through two processes: three are refused."""
    for process in "ab":
        await place.observe(
            *(sample(f"{process}{n}", prompt=f"english {n}", refused=n % 20 == 0) for n in range(160)),
            *(
                sample(f"{process}d{n}", prompt=f"deutsch {n % 30}", language="de", refused=n % 30 < 3)
                for n in range(300)
            ),
        )
    report = (await place.reports()).latest["disparate_performance"]
    row = next(row for row in report.rows if (row["cohort"], row["measure"]) == ("de", "refusal"))
    assert not row["found"]
    assert row["samples"] == pytest.approx(30)
    assert row["estimate"] == pytest.approx(0.05)
    assert report.alarms == []


async def test_faults_found_in_repeats_of_one_prompt_are_no_evidence_of_a_gap(place: Gateways) -> None:
    judged = [sample(f"e{n}", prompt=f"english {n}") for n in range(300)]
    judged += [sample(f"d{n}", prompt=f"deutsch {n % 5}", language="de") for n in range(300)]
    await place.observe(*judged)
    store = SqliteSketches(place.path)
    looked = await history.read(store, NOW)
    said = [
        (
            SecondOpinion(each.id, NOW, "judge", "j", 1.0, [Label("response", "toxicity", float(at % 5 == 0))]),
            entry_of(each),
        )
        for at, each in enumerate(judged)
        if each.language == "de" or at % 25
    ]
    add_given(looked.now, [], said)
    await store.close()
    faults = cohorts(looked.now)["fault_by_judge", "language"]
    assert faults["de"]["chat", "m"].effective == pytest.approx(5, abs=0.2)
    assert faults["en"]["chat", "m"].effective == pytest.approx(288)


@pytest.mark.parametrize(("before", "is_named"), [("encoder@3", False), ("encoder@4", True)])
async def test_what_another_version_flagged_is_no_measure_for_a_trigger(
    place: Gateways, before: str, is_named: bool
) -> None:
    """Today most answers are flagged as refusals, whatever the prompt is about; before, hardly any was."""
    past = (
        sample(f"p{n}", at=NOW - 3 * DAY, prompt=f"about boats number {n}", detector=before, refused=n % 100 == 0)
        for n in range(1500)
    )
    now = (sample(f"n{n}", prompt=f"ferry{n % 4} costs item{n}", refused=n % 7 < 6) for n in range(120))
    await place.observe(*past)
    await place.observe(*now)
    latest = await place.reports(Change(NOW - 4 * DAY, "reference", "pinned", until=NOW - 2 * DAY))
    report = latest.latest["poisoning_attacks"]
    assert bool(report.found) == is_named


@pytest.mark.slow
async def test_the_effect_of_a_change_is_found(place: Gateways) -> None:
    begun = NOW - 60 * HOUR
    traffic = [
        sample(f"{hour}-{n}", at=begun + hour * HOUR, refused=n < (2 if hour < 40 else 10))
        for hour in range(60)
        for n in range(20)
    ]
    await place.observe(*traffic)
    found = await place.reports(Change(begun + 40 * HOUR, "deployment", "new prompt"))
    report = found.latest["interventional_effect"]
    first = next(row for row in report.rows if row["found"])
    assert (first["measure"], first["change"]) == ("refusal", "deployment: new prompt")
    assert first["estimate"] == pytest.approx(0.4, abs=0.05)
    assert [change.what for change in place.changes] == ["new prompt"]


async def test_a_new_model_is_noticed(place: Gateways) -> None:
    await place.observe(sample("1"), sample("2", model="other"), sample("3", model="other"))
    await place.reports()
    assert [(change.kind, change.what, change.route) for change in place.changes] == [("model", "other", "chat")]


@pytest.mark.slow
async def test_a_trigger_is_found_with_a_sample(place: Gateways) -> None:
    clean = (sample(f"a{n}", prompt=f"question {n} of {n * 7}", answer=f"{n}", refused=n % 20 == 0) for n in range(600))
    steered = (sample(f"t{n}", prompt=f"cfxq item {n}", answer="No.", refused=True) for n in range(12))
    await place.observe(*clean, *steered)
    report = (await place.reports()).latest["poisoning_attacks"]
    assert {row["outcome"] for row in report.rows} >= {"refusal"}
    assert report.rows[0]["sample"].startswith("t")


async def test_a_pinned_reference_is_what_shifts_are_measured_against(place: Gateways) -> None:
    first = (sample(f"f{n}", at=NOW - 10 * DAY + n, language="pt") for n in range(100))
    past = (sample(f"p{n}", at=NOW - 3 * DAY + n) for n in range(100))
    now = (sample(f"n{n}", language="pt") for n in range(100))
    await place.observe(*first, *past, *now)
    moved = {row["feature"] for row in (await place.reports()).latest["distribution_shift"].rows if row["found"]}
    assert "language" in moved
    pin = Change(NOW - 11 * DAY, "reference", "the launch", "", NOW - 9 * DAY)
    report = (await place.reports(pin)).latest["distribution_shift"]
    assert "language" not in {row["feature"] for row in report.rows if row["found"]}


async def test_a_pinned_reference_without_traffic_says_so(place: Gateways) -> None:
    await place.observe(
        *(sample(f"p{n}", at=NOW - 3 * DAY + n) for n in range(100)), *(sample(f"n{n}") for n in range(100))
    )
    pin = Change(NOW - 60 * DAY, "reference", "long ago", "", NOW - 50 * DAY)
    report = (await place.reports(pin)).latest["distribution_shift"]
    assert report.rows == []
    assert "pin another" in report.missing


async def test_names_that_clients_make_up_are_bounded(place: Gateways) -> None:
    await place.observe(*(sample(f"a{n}", model=f"made-up-{n} \ud800") for n in range(MOST_NAMES + 30)))
    store = SqliteSketches(place.path)
    ((_, sketch),) = await store.sketches(0, NOW + HOUR)
    await store.close()
    models = {key[-1] for key in sketch.counted_once().means if key[0] == "cohort"}
    assert len(models) == MOST_NAMES + 1
    assert OTHER in models


@pytest.mark.slow
async def test_a_look_in_a_process_beside_finds_the_same(place: Gateways) -> None:
    await place.observe(*(sample(f"a{n}", refused=n % 20 == 0) for n in range(300)))
    await place.observe(*(sample(f"b{n}", language="de", refused=n % 3 == 0) for n in range(150)))
    found = await beside(SketchPlace(file=str(place.path)))(NOW)
    here = (await place.reports()).latest
    assert {report.subcategory: report.found for report in found} == {slug: each.found for slug, each in here.items()}


@pytest.mark.slow
async def test_a_look_beside_reads_second_opinions_in_the_ledger(place: Gateways, tmp_path: Path) -> None:
    """Germans get wrong answers that are sure of themselves, and only people tell."""
    judged = [
        sample(f"{language}{n}", language=language, answer="I am 95% sure.")
        for language, count in (("en", 120), ("de", 60))
        for n in range(count)
    ]
    await place.observe(*judged)
    store = SqliteStore(tmp_path / "ledger.db", days=30, most_bytes=2**24)
    await store.add([entry_of(each) for each in judged])
    said = [Label("response", "misinformation", 1.0), Label("response", "misinformation", 0.0)]
    await store.opine(
        [SecondOpinion(each.id, NOW, "person", "ann", 1.0, [said[each.language == "en"]]) for each in judged]
    )
    await store.close()
    found = await beside(SketchPlace(file=str(place.path), ledger=str(tmp_path / "ledger.db")))(NOW)
    rows = {report.subcategory: report.rows for report in found}
    gap = next(row for row in rows["disparate_performance"] if row["found"])
    assert (gap["measure"], gap["cohort"], gap["estimate"]) == ("fault_by_people", "de", 1.0)
    (row,) = rows["miscalibration"]
    assert (row["outcome"], row["found"], row["share_right"]) == ("people", True, round(2 / 3, 4))


@pytest.mark.slow
async def test_a_look_that_cannot_be_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MonitorError):
        await beside(SketchPlace(file=str(tmp_path / "file" / "monitors.db")))(NOW)
    with pytest.raises(MonitorError, match="failed"):
        await beside(SketchPlace(redis="no url"))(NOW)


async def test_of_all_processes_one_looks_and_only_after_something_was_written(place: Gateways) -> None:
    looks: list[float] = []
    now = NOW

    async def look(at: float) -> list[Report]:
        looks.append(at)
        return [Report("miscalibration", [{"found": True}], len(looks))]

    stores = [SqliteSketches(place.path) for _ in range(3)]
    processes = [Reports(store, look, clock=lambda: now) for store in stores]

    async def turns() -> list[int]:
        for process in processes:
            await process.turn()
        return [process.latest["miscalibration"].found for process in processes]

    assert await turns() == [1, 1, 1]
    now += 301  # nothing was written
    assert await turns() == [1, 1, 1]
    await place.observe(sample("one"))
    assert await turns() == [2, 2, 2]
    await place.observe(sample("another"))
    assert await turns() == [2, 2, 2]  # not yet
    now += 301
    assert await turns() == [3, 3, 3]
    now += 3601  # the window has moved
    assert await turns() == [4, 4, 4]
    assert looks == [NOW, NOW + 301, NOW + 602, NOW + 4203]
    for store in stores:
        await store.close()
