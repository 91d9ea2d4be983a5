"""What is deployed beside the gateway holds together: compose, Prometheus, Grafana, and the metric catalogue."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from detectors.taxonomy import SUBCATEGORIES
from gateway.config.explain import unknown_environment
from gateway.errors import REASONS, Source
from gateway.exchange import Outcome
from gateway.telemetry import metrics
from grafana.__main__ import BOARDS, files
from tests.support.queries import dashboards
from tests.support.queries.promql import Named, names
from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.running.together import together

ROOT = dashboards.ROOT
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
PROVISIONING = ROOT / "grafana" / "provisioning"
PROMTOOL = shutil.which("promtool")

# Made by Prometheus itself: their labels.
BUILT_IN = {"up": frozenset({"job", "instance"}), "ALERTS": frozenset({"alertname", "alertstate"})}
TARGET_LABELS = frozenset({"job", "instance"})

# What a matcher may ask a closed label for: a misspelt value is a panel that is empty for ever.
VALUES: dict[str, set[str]] = {
    "outcome": {outcome.value for outcome in Outcome},
    "source": {source.value for source in Source},
    "reason": {*REASONS, "truncated", "unreadable"},  # and why a text passed a guard unjudged
    "fate": {"judged", "dropped", "expired", "failed"},
    "direction": {"prompt", "response", "input", "output"},
    "basis": {"labels", "judge", "probe", "card", "flags"},
    "action": {"allow", "flag", "redact", "block"},
    "effect": {"enforced", "monitored", "leaked", "canary"},
    "state": {"scanned", "skipped", "truncated", "unreadable", "errored", "absent", "timed_out", "idle", "busy"},
    "result": {"written", "dropped", "adopted", "refused", "clean", "flagged", "failed", "answered"},
    "flagged": {"0", "1"},
    "subcategory": {subcategory.slug for subcategory in SUBCATEGORIES},
    "job": {"assay"},
    "alertstate": {"pending", "firing"},
}

Json = dict[str, Any]


@cache
def _yaml(path: Path) -> Json:
    document: Json = yaml.safe_load(path.read_text())
    return document


def _rules() -> list[Json]:
    return [rule for group in _yaml(PROMETHEUS / "rules.yaml")["groups"] for rule in group["rules"]]


def _catalogue_labels() -> dict[str, frozenset[str]]:
    """Every series name with its labels: histograms by their three suffixes."""
    found: dict[str, frozenset[str]] = {}
    for name, metric in metrics.catalogue().items():
        labels = frozenset(metric._labelnames) | TARGET_LABELS
        if metric._type == "histogram":
            found[name + "_bucket"] = labels | {"le"}
            found[name + "_sum"] = found[name + "_count"] = labels
        else:
            found[name] = labels
    return found


@cache
def _labels() -> dict[str, frozenset[str]]:
    """The catalogue, what Prometheus makes itself, and the recording rules in their order."""
    known = _catalogue_labels() | BUILT_IN
    for rule in _rules():
        if "record" in rule:
            named = names(rule["expr"])
            inherited = [known[selector.metric] for selector in named.selectors if selector.metric in known]
            known[rule["record"]] = named.grouping or frozenset().union(*inherited)
    return known


def _wrong(named: Named, known: dict[str, frozenset[str]]) -> Iterable[str]:
    """Sentences about what an expression names and nothing exports."""
    everywhere: set[str] = set()
    for selector in named.selectors:
        labels = known.get(selector.metric)
        if labels is None:
            yield f"{selector.metric} is in neither the catalogue nor the recording rules"
            continue
        everywhere |= labels
        for label, _, value in selector.matchers:
            if label not in labels:
                yield f"{selector.metric} has no label {label}"
            for choice in value.split("|"):
                if label in VALUES and not choice.startswith("$") and choice not in VALUES[label]:
                    yield f"{selector.metric}: {label} is never {choice!r}"
    for label in sorted(named.grouping - everywhere):
        yield f"no metric of the expression has the label {label}"


EXPRESSIONS = [
    *((rule.get("record") or rule["alert"], rule["expr"]) for rule in _rules()),
    *(
        (f"{path.stem}: {question.panel} {question.ref}", question.expr)
        for path in dashboards.DASHBOARDS
        for question in dashboards.questions(dashboards.load(path))
    ),
    *(
        (f"{path.stem}: annotation {entry['name']}", entry["expr"])
        for path in dashboards.DASHBOARDS
        for entry in dashboards.load(path)["annotations"]["list"]
    ),
]


@together(("where", "expr"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_an_expression_names_only_what_is_exported(where: str, expr: str) -> None:
    named = names(expr)
    assert named.selectors, "an expression without a metric measures nothing"
    assert list(_wrong(named, _labels())) == []


@pytest.mark.parametrize(
    ("expr", "complaint"),
    [
        ("rate(assay_request_total[5m])", "assay_request_total is in neither"),
        ('sum(assay_requests_total{origin="x"})', "assay_requests_total has no label origin"),
        ('assay_samples_total{fate=~"judged|droped"}', "fate is never 'droped'"),
        ("sum by (upstream) (assay_requests_total)", "no metric of the expression has the label upstream"),
        ("assay_added_latency_seconds", "assay_added_latency_seconds is in neither"),
        ("assay:trust_flaged:ratio_30m > 1", "assay:trust_flaged:ratio_30m is in neither"),
    ],
)
def test_a_misspelt_expression_is_found(expr: str, complaint: str) -> None:
    assert any(complaint in sentence for sentence in _wrong(names(expr), _labels()))


def test_every_metric_is_on_the_dashboard_or_behind_a_rule_that_is() -> None:
    seen = {selector.metric for _, expr in EXPRESSIONS for selector in names(expr).selectors}
    missing = [
        name
        for name, metric in metrics.catalogue().items()
        if not seen & ({name} | ({name + "_bucket"} if metric._type == "histogram" else set()))
    ]
    assert missing == []


# --- dashboards


@pytest.fixture(params=dashboards.DASHBOARDS, ids=lambda path: path.stem)
def dashboard(request: pytest.FixtureRequest) -> Json:
    return dashboards.load(request.param)


def test_the_dashboard_files_are_what_their_tables_make() -> None:
    assert {path: path.read_text() for path in dashboards.DASHBOARDS} == files(), "run `python -m grafana`"


def test_the_dashboards_keep_their_uids_and_lead_to_each_other() -> None:
    """Bookmarks and alerts name them."""
    assert [board.uid for board in BOARDS] == [
        "assay-trust",
        "assay-subcategory",
        "assay-models",
        "assay-policy",
        "assay",
    ]
    for path in dashboards.DASHBOARDS:
        document = dashboards.load(path)
        (link,) = document["links"]
        assert link["tags"] == document["tags"]
        assert link["keepTime"]
        assert link["includeVars"]


def test_a_dashboard_has_what_grafana_needs_of_it(dashboard: Json) -> None:
    assert dashboard["schemaVersion"] == 39
    assert dashboard["uid"]
    assert "id" not in dashboard, "an id is given by the Grafana that imports it"
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert variables["DS_PROMETHEUS"]["type"] == "datasource"
    used = set(re.findall(r"\$\{?([A-Za-z_]+)", str(dashboard))) - {"__rate_interval", "__range", "__all"}
    assert used <= set(variables)


def test_every_panel_and_query_uses_the_data_source_variable(dashboard: Json) -> None:
    chosen = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
    for panel in dashboards.panels(dashboard):
        if panel["type"] != "row":
            assert panel["datasource"] == chosen, panel["title"]
            assert all(target["datasource"] == chosen for target in panel["targets"]), panel["title"]


def test_every_panel_says_which_question_it_answers(dashboard: Json) -> None:
    for panel in dashboards.panels(dashboard):
        if panel["type"] != "row":
            assert "?" in panel["description"], panel["title"]
            assert panel["targets"], panel["title"]
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_panels_have_their_own_ids_and_places(dashboard: Json) -> None:
    every = list(dashboards.panels(dashboard))
    assert len({panel["id"] for panel in every}) == len(every)
    for panel in every:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["w"] > 0
        assert place["h"] > 0
        assert place["x"] + place["w"] <= 24, panel["title"]
    for one, other in combinations(every, 2):
        assert not _overlap(one["gridPos"], other["gridPos"]), f"{one['title']} lies over {other['title']}"


def _overlap(one: Json, other: Json) -> bool:
    return bool(
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_a_band_is_drawn_between_lines_that_exist(dashboard: Json) -> None:
    for panel in dashboards.panels(dashboard):
        legends = {target["legendFormat"] for target in panel.get("targets", ())}
        for override in panel.get("fieldConfig", {}).get("overrides", ()):
            for entry in override["properties"]:
                if entry["id"] == "custom.fillBelowTo":
                    assert {override["matcher"]["options"], entry["value"]} <= legends, panel["title"]


# --- alerts


def test_an_alert_says_how_urgent_it_is_and_what_to_do() -> None:
    alerts = [rule for rule in _rules() if "alert" in rule]
    assert alerts
    for alert in alerts:
        assert alert["labels"]["severity"] in ("critical", "warning"), alert["alert"]
        assert set(alert["annotations"]) == {"summary", "description"}, alert["alert"]


def test_an_alert_sends_people_to_panels_that_exist() -> None:
    titles = {panel["title"] for path in dashboards.DASHBOARDS for panel in dashboards.panels(dashboards.load(path))}
    named = {
        title
        for rule in _rules()
        if "alert" in rule
        for title in re.findall(r'"([A-Z][^"]*)"', rule["annotations"]["description"])
    }
    assert named
    assert named <= titles


def test_every_alert_has_a_case_where_it_fires_and_one_where_it_is_silent() -> None:
    fires: set[str] = set()
    silent: set[str] = set()
    for test in _yaml(PROMETHEUS / "rules.test.yaml")["tests"]:
        for case in test.get("alert_rule_test", ()):
            (fires if case["exp_alerts"] else silent).add(case["alertname"])
    assert fires == silent == {rule["alert"] for rule in _rules() if "alert" in rule}


@pytest.mark.server
@pytest.mark.parametrize(
    "command",
    ["check config prometheus.yml", "check rules rules.yaml", "test rules rules.test.yaml"],
)
def test_promtool_agrees(command: str) -> None:
    if PROMTOOL is None:
        pytest.skip("the program promtool is not installed")
    done = subprocess.run(
        [PROMTOOL, *command.split()],
        cwd=PROMETHEUS,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- compose, image, provisioning


def test_compose_has_the_services_checked_and_limited() -> None:
    services = _yaml(DEPLOY / "compose.yaml")["services"]
    assert set(services) == {"gateway", "worker", "redis", "prometheus", "grafana"}
    for name, service in services.items():
        limits = service["deploy"]["resources"]["limits"]
        assert limits["cpus"], name
        assert limits["memory"], name
        # The gateway's health check is in its image.
        assert "healthcheck" in service or name == "gateway", name
        if "image" in service:
            assert re.search(r":v?\d+\.\d+", service["image"]), f"{name}: name a version"
    assert "HEALTHCHECK" in (DEPLOY / "Dockerfile").read_text()


def test_compose_sets_only_settings_that_exist() -> None:
    services = _yaml(DEPLOY / "compose.yaml")["services"]
    for name in ("gateway", "worker"):
        assert unknown_environment(services[name]["environment"]) == []


def test_compose_holds_no_secret_and_asks_for_those_it_needs() -> None:
    for service in _yaml(DEPLOY / "compose.yaml")["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"KEY|PASSWORD|SECRET|TOKEN", name):
                assert re.fullmatch(r"\$\{\w+:(-|\?.{10,})\}", value), f"{name} must come from outside"
    gateway = _yaml(DEPLOY / "compose.yaml")["services"]["gateway"]["environment"]
    assert gateway["ASSAY_KEYS"].startswith("${ASSAY_KEYS:?")


def test_compose_mounts_what_is_there() -> None:
    document = _yaml(DEPLOY / "compose.yaml")
    for name, service in document["services"].items():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            here = (DEPLOY / source).exists() if source.startswith(".") else source in document["volumes"]
            assert here, f"{name}: {source}"


def test_only_the_gateway_can_be_published_beyond_this_machine() -> None:
    for name, service in _yaml(DEPLOY / "compose.yaml")["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:" if name != "gateway" else "${ASSAY_PUBLISH:-127.0.0.1:8080}")


def test_the_parts_find_each_other() -> None:
    services = _yaml(DEPLOY / "compose.yaml")["services"]
    scrape = _yaml(PROMETHEUS / "prometheus.yml")
    source = _yaml(PROVISIONING / "datasources" / "prometheus.yaml")["datasources"][0]
    provider = _yaml(PROVISIONING / "dashboards" / "assay.yaml")["providers"][0]
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in scrape["scrape_configs"]}
    assert jobs["assay"] == ["gateway:8080"]
    assert "gateway" in services
    (found,) = (job["dns_sd_configs"] for job in scrape["scrape_configs"] if job["job_name"] == "assay")
    assert [(entry["names"], entry["port"]) for entry in found] == [(["worker"], 9108)]
    assert services["worker"]["environment"]["ASSAY_REDIS_URL"] == services["gateway"]["environment"]["ASSAY_REDIS_URL"]
    assert "worker" in services["worker"]["command"]
    assert ":9108/" in str(services["worker"]["healthcheck"])
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in services
    assert source["jsonData"]["timeInterval"] == scrape["global"]["scrape_interval"]
    mounts = dict(mount.split(":")[:2] for mount in services["grafana"]["volumes"])
    assert mounts["../grafana/dashboards"] == provider["options"]["path"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).parent == Path(provider["options"]["path"])
    assert (ROOT / "grafana" / "dashboards" / Path(home).name).exists()


def test_the_image_copies_what_the_package_is_made_of() -> None:
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert {"gateway", "detectors", "policies", "pyproject.toml"} <= sources
    assert all(f"!{source}\n" in allowed for source in sources)
    assert "USER assay" in (DEPLOY / "Dockerfile").read_text()
