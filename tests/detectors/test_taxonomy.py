"""The taxonomy is complete, and light enough for the gateway process."""

import subprocess
import sys

import pytest

from detectors.behind import taxonomy_rows
from detectors.monitors.power import POWER
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


def test_a_row_that_no_detector_judges_says_what_it_needs() -> None:
    for row in taxonomy_rows(weights=False):
        assert row["monitor"] == POWER.get(row["slug"], "")
        assert row["needs"] or row["detectors"]
