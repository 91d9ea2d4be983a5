"""The taxonomy is complete, and light enough for the gateway process."""

import subprocess
import sys
from dataclasses import replace

import pytest

from detectors import manifest
from detectors.behind import taxonomy_rows
from detectors.monitors.power import OF_SCORES, POWER
from detectors.probed import PROBES
from detectors.taxonomy import AUXILIARIES, SLUGS, SUBCATEGORIES, Category


def test_has_29_subcategories_in_seven_categories() -> None:
    assert len(SUBCATEGORIES) == len(SLUGS) == 29
    assert [row.category for row in SUBCATEGORIES] == sorted(
        (row.category for row in SUBCATEGORIES), key=list(Category).index
    )
    assert {row.category for row in SUBCATEGORIES} == set(Category)


def test_each_is_defined_and_can_be_judged() -> None:
    assert all(row.definition and row.kinds for row in SUBCATEGORIES)
    assert SLUGS.isdisjoint(AUXILIARIES)


@pytest.mark.slow
def test_taxonomy_manifest_and_base_load_no_numpy() -> None:
    code = (
        "import sys, detectors.base, detectors.taxonomy, detectors.manifest; "
        "detectors.manifest.load(); "
        "sys.exit(bool({'numpy', 'onnxruntime'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_probes_and_monitors_feed_lists_them_among_its_kinds() -> None:
    kinds = {row.slug: row.kinds for row in SUBCATEGORIES}
    assert {slug for slug, known in kinds.items() if "probe" in known} == PROBES.keys()
    assert {slug for slug, known in kinds.items() if "monitor" in known} == POWER.keys()


def test_a_monitor_of_scores_is_named_only_where_something_gives_scores() -> None:
    shipped = {row["slug"]: row for row in taxonomy_rows(weights=False)}
    for slug in POWER:
        row = shipped[slug]
        assert bool(row["monitor"]) == (slug not in OF_SCORES or bool(row["detectors"]))
        assert row["monitor"] or "monitor" not in row["needs"]
        assert row["needs"] or row["detectors"]


@pytest.mark.parametrize("slug", sorted(OF_SCORES))
def test_a_monitor_of_scores_is_named_where_an_own_detector_gives_them(slug: str) -> None:
    own = replace(
        manifest.load(weights=False)["encoder"], name="ours", slugs=frozenset({slug}), operating={}, measured=()
    )
    row = next(row for row in taxonomy_rows(weights=False, own=[own]) if row["slug"] == slug)
    assert row["monitor"] == POWER[slug]
    assert row["needs"] == ""
