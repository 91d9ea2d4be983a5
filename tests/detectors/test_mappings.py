"""The maps to other lists speak of our sub-categories, whole and without slips."""

import pytest

from detectors.mappings import MAPS, SEPARATOR, codes, unmapped
from detectors.taxonomy import SLUGS, SUBCATEGORIES
from gateway.judging.dialects.guards import LLAMA_GUARD

EVERY_MAP = pytest.mark.parametrize("name", MAPS)


@EVERY_MAP
def test_every_entry_leads_to_sub_categories_or_says_why_not(name: str) -> None:
    for entry in MAPS[name].entries:
        assert set(entry.slugs) <= SLUGS
        assert len(set(entry.slugs)) == len(entry.slugs)
        assert entry.slugs or entry.note


@EVERY_MAP
def test_codes_are_there_once(name: str) -> None:
    codes = [entry.code for entry in MAPS[name].entries]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize(
    ("name", "count"), [("owasp", 20), ("nist", 12), ("mlcommons", 12), ("llamaguard", 14), ("openai", 13)]
)
def test_a_map_is_whole(name: str, count: int) -> None:
    assert len(MAPS[name].entries) == count


def test_what_the_judge_dialect_maps_is_in_the_map() -> None:
    """Llama Guard's answers count for no sub-category that the map leaves out."""
    mapped = {slug for entry in MAPS["llamaguard"].entries for slug in entry.slugs}
    assert (LLAMA_GUARD.response & SLUGS) <= mapped


def test_the_codes_of_a_sub_category_lead_back_to_it() -> None:
    for row in SUBCATEGORIES:
        for name, joined in codes(row.slug).items():
            found = joined.split(SEPARATOR) if joined else []
            assert found == [entry.code for entry in MAPS[name].entries if row.slug in entry.slugs]
    assert codes("violence")["llamaguard"] == "S1,S9"
    assert set(codes("cultural_insensitivity").values()) == {""}


def test_together_the_lists_leave_little_out_and_say_what() -> None:
    order = [row.slug for row in SUBCATEGORIES]
    left_out = set.intersection(*(set(unmapped(name, order)) for name in MAPS))
    assert left_out == {"limited_logical_reasoning", "limited_causal_reasoning", "cultural_insensitivity"}
