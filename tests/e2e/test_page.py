"""The page in a real browser: what it shows, by keyboard, narrow, dark, for screen readers, behind the key."""

import asyncio
import json
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from gateway.demo.traffic import Traffic
from gateway.trust.ledger import entry_of
from gateway.trust.stores.opening import FILE
from gateway.trust.stores.sqlite_ledger import SqliteStore
from tests.support.planted.history import CHANGED_HOURS, before
from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.servers.gateway_process import GatewayProcess
from tests.support.worlds.ledgers import MIB, judged

CHROMIUM = shutil.which("chromium")
AXE = Path(__file__).parent / "node" / "node_modules" / "axe-core" / "axe.min.js"
OPERATOR = "sk-operator-0123456789"
SECTIONS = (
    "",
    "subcategory/toxicity",
    "subcategory/hallucination",
    "subcategory/inconsistency",
    "subcategory/interventional_effect",
    "subcategory/cultural_insensitivity",
    "alarms",
    "changes",
    "compare",
    "review",
    "policy",
    "flags",
    "coverage",
    "connect",
)
MOST_MS = 1000 * PATIENCE_SECONDS

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a real browser: chromium is not installed"),
]


async def violence_rises(folder: Path) -> None:
    """A ledger of four days in which a tenth as much violence was flagged as on the last of them."""
    store = SqliteStore(folder / FILE, days=30, most_bytes=64 * MIB)
    first = time.time() - 4 * 86_400  # noqa: TID251 - the gateway's clock is this one
    hours = [(hour, n) for hour in range(95) for n in range(10)]
    entries = [
        entry_of(judged(f"old {hour} {n}", at=first + 3600 * hour, flagged=n < 5 if hour >= 72 else n + hour % 2 == 0))
        for hour, n in hours
    ]
    await store.add(entries)
    await store.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One that has judged the demo's traffic."""
    folder = tmp_path_factory.mktemp("page")
    settings = {
        "ASSAY_OPERATOR_KEY": OPERATOR,
        "ASSAY_POLICY": "default",
        "ASSAY_SAMPLE_RATE": "1",
        "ASSAY_AUDIT_PATH": str(folder / "audit.jsonl"),
        "ASSAY_AUDIT_TEXT": "true",
        "ASSAY_REVIEW_TEXT": "true",
        "ASSAY_REVIEWS_PER_HOUR": "3600",
        "ASSAY_STATE_DIR": str(folder),
        "ASSAY_MONITOR_SECONDS": "5",
        "ASSAY_PROBES": json.dumps({"routes": ["default"], "only": ["again"], "calls_per_hour": 36_000}),
    }
    now = time.time()  # noqa: TID251 - the gateway's clock is this one
    with ThreadPoolExecutor(1) as aside:  # the browser has the loop of this thread
        aside.submit(lambda: asyncio.run(violence_rises(folder))).result()
        aside.submit(lambda: asyncio.run(before(folder, now))).result()
    with GatewayProcess(env=settings, wait="live") as found:
        for _, asked in zip(range(60), Traffic(), strict=False):
            found.http.post(
                found.base_url + asked.path, json=dict(asked.body), headers=found.headers(), timeout=PATIENCE_SECONDS
            )
        operator = {"authorization": f"Bearer {OPERATOR}"}
        change = {"kind": "deployment", "what": "new index", "at": now - 3600 * CHANGED_HOURS}
        found.http.post(found.url + "/trust/v1/changes", json=change, headers=operator).raise_for_status()
        found.wait_until(
            "a monitor has an alarm",
            lambda: bool(found.http.get(found.url + "/trust/v1/alarms", headers=operator).json()["monitors"]),
        )
        found.wait_until(
            "samples are judged and probed",
            lambda: any(
                row["probes"] for row in found.http.get(found.url + "/trust/v1/rates", headers=operator).json()["rates"]
            ),
        )
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # As root, as in a container, Chromium has no sandbox.
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=MOST_MS)
        yield found
        found.close()


class Visitor:
    """A context of its own with the page open; `faults` are what the browser complained of."""

    def __init__(self, browser: Browser, gateway: GatewayProcess, **options: Any) -> None:
        self.context: BrowserContext = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(MOST_MS)
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._hear)
        self._base = gateway.url
        self.page.goto(gateway.url + "/", timeout=MOST_MS)

    def _hear(self, message: Any) -> None:
        if message.type == "error" and "401" not in message.text:  # asked without the key, as everybody is at first
            self.faults.append(message.text)

    def enter(self) -> "Visitor":
        self.page.get_by_label("Operator key").fill(OPERATOR)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("#rows")
        return self

    def look_at(self, section: str) -> None:
        self.page.evaluate("hash => { location.hash = hash }", f"#/{section}")
        self.page.wait_for_function("hash => document.querySelector('main').dataset.shown === hash", arg=f"#/{section}")


@pytest.fixture
def visitor(browser: Browser, gateway: GatewayProcess, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    found = Visitor(browser, gateway, **getattr(request, "param", {}))
    yield found
    found.context.close()


def test_it_asks_for_the_key_and_keeps_it_in_memory_only(visitor: Visitor) -> None:
    expect(visitor.page.get_by_label("Operator key")).to_be_focused()
    assert visitor.page.get_by_role("alert").inner_text() == "", "nothing was wrong yet"
    visitor.page.get_by_label("Operator key").fill("wrong-key-0123456789")
    visitor.page.keyboard.press("Enter")
    expect(visitor.page.get_by_role("alert")).to_contain_text("not the operator's key", timeout=MOST_MS)
    visitor.enter()
    assert visitor.context.cookies() == []
    assert visitor.page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
    assert OPERATOR not in visitor.page.content()
    visitor.page.reload(timeout=MOST_MS)
    expect(visitor.page.get_by_label("Operator key")).to_be_visible(timeout=MOST_MS)


def test_it_shows_all_29_worst_first_and_never_a_zero_for_what_was_not_measured(visitor: Visitor) -> None:
    page = visitor.enter().page
    assert page.locator("#rows tbody").count() == 7
    assert page.locator("#rows th[scope=row]").count() == 29
    for name in ("Unawareness of emotions", "Cultural insensitivity"):
        assert "not measured yet: needs" in page.locator("tr", has_text=name).inner_text()
    first = page.locator("#rows tbody").first
    assert "not measured yet" not in first.locator("tr").nth(1).inner_text()
    assert not visitor.faults


def test_an_alarm_says_what_since_when_from_what_to_what_and_shows_the_samples(visitor: Visitor) -> None:
    visitor.enter().look_at("alarms")
    alarm = visitor.page.get_by_role("region", name="Violence in prompts")
    text = alarm.first.inner_text()
    assert "More is flagged than before. This is not a rate of harm" in text
    assert "in all traffic" in text
    before, after = (alarm.first.locator("strong").nth(n).inner_text() for n in (0, 1))
    assert 0 < float(before.rstrip(" %")) < 10 < 35 < float(after.rstrip(" %")) < 60
    assert alarm.first.locator("li code").first.inner_text().startswith("old ")
    alarm.first.get_by_role("link", name="Violence").click()
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Violence", timeout=MOST_MS)
    assert not visitor.faults


def test_a_row_shows_what_its_monitor_found_and_on_what_that_rests(visitor: Visitor) -> None:
    page = visitor.enter().page
    row = page.locator("tr", has_text="Interventional effect")
    expect(row).to_contain_text("Monitor: Answer length since deployment: new index: +", timeout=MOST_MS)
    visitor.look_at("subcategory/interventional_effect")
    found = page.get_by_role("region", name="What the monitor of interventional effect found").inner_text()
    assert re.search(
        r"Answer length since deployment: new index\s+\+[\d.]+ points \+[\d.]+ to \+[\d.]+\s+found\s+\d+ hours", found
    )
    visitor.look_at("subcategory/cultural_insensitivity")
    assert "Nothing can be said yet: needs prompts that name one culture" in page.locator("main").inner_text()
    assert not visitor.faults


def test_a_row_shows_what_probes_found(visitor: Visitor) -> None:
    visitor.enter().look_at("subcategory/inconsistency")
    probes = visitor.page.get_by_role("region", name="What probes of inconsistency measured").inner_text()
    assert re.search(r"again\s+how often any of the answers .* differs from the first\s+0 %", probes)
    visitor.look_at("subcategory/sycophancy")
    text = visitor.page.locator("main").inner_text()
    assert "Nothing yet: measured by probes when turned on: opinion_removed, opinion_reversed." in text
    assert not visitor.faults


def test_changes_are_shown_with_what_moved_after_them(visitor: Visitor) -> None:
    visitor.enter().look_at("changes")
    change = visitor.page.get_by_role("region", name="deployment: new index on all routes")
    text = change.inner_text()
    assert "Answer length since deployment: new index" in text
    assert "found" in text
    how = visitor.page.locator("main").inner_text()
    assert "/trust/v1/changes -H 'authorization: Bearer OPERATOR_KEY' -d" in how
    assert not visitor.faults


def test_what_monitors_find_and_lasts_is_among_the_alarms(visitor: Visitor) -> None:
    visitor.enter().look_at("alarms")
    lasting = visitor.page.get_by_role("region", name="Findings of monitors that last")
    assert "Answer length since deployment: new index" in lasting.inner_text()
    lasting.get_by_role("link", name="Interventional effect").click()
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Interventional effect", timeout=MOST_MS)
    assert not visitor.faults


def test_a_threshold_says_on_whose_texts_its_cost_was_measured(visitor: Visitor) -> None:
    visitor.enter().look_at("policy")
    heads = visitor.page.locator("main thead").first.inner_text()
    assert "Measured on" in heads
    assert "its card" in visitor.page.locator("main tbody").first.inner_text()


def test_it_says_where_an_app_is_pointed(visitor: Visitor, gateway: GatewayProcess) -> None:
    visitor.enter().look_at("connect")
    assert visitor.page.locator("#base").inner_text() == gateway.base_url
    assert f'base_url="{gateway.base_url}"' in visitor.page.locator("main").inner_text()


def test_every_section_is_reached_by_keyboard_alone(visitor: Visitor) -> None:
    page = visitor.enter().page
    links = page.locator("#sections a")
    reached = []
    page.locator("[data-skip]").focus()
    for _ in range(links.count() + 3):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent"))
    assert [text for text in links.all_inner_texts() if text not in reached] == []
    page.locator("#row-toxicity").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Toxicity", timeout=MOST_MS)
    expect(page.locator("main")).to_be_focused(timeout=MOST_MS)
    assert not visitor.faults


def test_a_sample_is_labelled_by_keyboard_alone(visitor: Visitor, gateway: GatewayProcess) -> None:
    visitor.enter().look_at("review")
    page = visitor.page
    expect(page.locator(".row").first).to_be_focused(timeout=MOST_MS)
    assert "drawn with probability" in page.locator("#item").inner_text()
    sent: list[Any] = []
    page.on("request", lambda asked: sent.append(asked.post_data_json) if asked.url.endswith("labels") else None)
    page.keyboard.press("x")
    page.keyboard.press("y")
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("kept", timeout=MOST_MS)
    (labels,) = sent
    assert [each["value"] for each in labels["labels"]].count(True) == 1
    operator = {"authorization": f"Bearer {OPERATOR}"}
    rates = gateway.http.get(gateway.url + "/trust/v1/rates?window=1h", headers=operator).json()["rates"]
    assert any(row["labels"]["person"] for row in rates)
    before = page.locator("#item").inner_text()
    page.keyboard.press("s")
    expect(page.locator("#item")).not_to_have_text(before, timeout=MOST_MS)
    assert not visitor.faults


def test_the_policy_says_what_its_thresholds_cost(visitor: Visitor) -> None:
    visitor.enter().look_at("policy")
    expect(visitor.page.locator("main table").first).to_contain_text("≤", timeout=MOST_MS)
    for table in visitor.page.locator("main tbody").all():
        rows = table.locator("tr").all_inner_texts()
        assert len({*rows}) == len(rows)


def test_coverage_says_so_where_workers_judge_the_samples(visitor: Visitor) -> None:
    def with_workers(route: Any) -> None:
        reply = route.fetch()
        route.fulfill(response=reply, json={**reply.json(), "workers_judge": True, "samples": [], "texts": []})

    visitor.page.route("**/trust/v1/status", with_workers)
    visitor.enter().look_at("coverage")
    text = visitor.page.locator("main").inner_text()
    assert "by assay worker" in text
    assert "(0 % of the samples)" not in text
    assert "There were no samples yet by the gateway itself" in text
    assert not visitor.faults


def test_the_first_page_warns_of_a_judge_that_says_yes_to_harmless_texts(visitor: Visitor) -> None:
    said = {"model": "guard", "warnings": ["of hate in a prompt the judge says yes to 9 of 10 harmless texts"]}
    page = visitor.page
    page.route("**/trust/v1/judge", lambda route: route.fulfill(json={"judge": said}))
    visitor.enter()
    warning = page.get_by_role("alert").filter(has_text="The judge model guard")
    warning.wait_for()
    assert "9 of 10 harmless texts" in warning.inner_text()


@pytest.mark.parametrize("visitor", [{"viewport": {"width": 340, "height": 700}}], indirect=True)
def test_nothing_is_cut_off_on_a_narrow_screen(visitor: Visitor) -> None:
    visitor.enter()
    for section in SECTIONS:
        visitor.look_at(section)
        wide = visitor.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{section or 'the first section'} is {wide} pixels too wide"


@pytest.mark.parametrize("visitor", [{"viewport": {"width": 400, "height": 800}}], indirect=True)
def test_the_rows_are_read_on_a_phone_without_scrolling_sideways(visitor: Visitor) -> None:
    visitor.enter()
    hidden = visitor.page.evaluate(
        "(e => e.scrollWidth - e.clientWidth)(document.querySelector('#rows').parentElement)"
    )
    assert hidden <= 0, f"{hidden} pixels of each row are out of sight"


@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core (not installed): `npm ci` in tests/e2e/node")
@pytest.mark.parametrize(
    "visitor",
    [
        {"bypass_csp": True},
        {"bypass_csp": True, "color_scheme": "dark"},
        {"bypass_csp": True, "viewport": {"width": 340, "height": 700}},
    ],
    indirect=True,
    ids=["light", "dark", "narrow"],
)
def test_axe_finds_nothing(visitor: Visitor) -> None:
    visitor.page.add_script_tag(path=AXE)
    found = [("the key form", *_violations(visitor.page))]
    visitor.enter()
    for section in SECTIONS:
        visitor.look_at(section)
        found.append((section, *_violations(visitor.page)))
    assert [entry for entry in found if len(entry) > 1] == []


def _violations(page: Page) -> Iterator[str]:
    result = page.evaluate("axe.run()")
    for violation in result["violations"]:
        yield json.dumps([violation["id"], [node["html"][:160] for node in violation["nodes"][:3]]])
