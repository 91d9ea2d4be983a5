"""What the 29 sub-categories say of themselves in Prometheus."""

from prometheus_client.parser import text_string_to_metric_families

from detectors.mappings import MAPS, codes
from detectors.taxonomy import SUBCATEGORIES
from gateway.pages.taxonomy import publish_detectors
from gateway.telemetry import metrics


def test_each_sub_category_has_its_codes_in_other_lists_as_labels() -> None:
    publish_detectors()
    page, _ = metrics.render("")
    (family,) = (
        each for each in text_string_to_metric_families(page.decode()) if each.name == "assay_subcategory_info"
    )
    found = {sample.labels["subcategory"]: sample.labels for sample in family.samples if sample.value == 1}
    assert set(found) == {row.slug for row in SUBCATEGORIES}
    for row in SUBCATEGORIES:
        labels = found[row.slug]
        assert labels["category"] == row.category
        assert {name: labels[name] for name in MAPS} == codes(row.slug)
    assert found["toxicity"]["llamaguard"] == "S10"
