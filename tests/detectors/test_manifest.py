"""Shipped files are pinned, and a damaged one is named."""

from pathlib import Path

import pytest

from detectors.manifest import ModelError, load, load_one, threshold
from detectors.registry import FACTORIES, FINGERPRINT
from detectors.taxonomy import AUXILIARIES, SLUGS
from detectors.trained.onnx import Model
from detectors.training import shipping
from tests.support.judges.shipped import linked_models, own, shipped


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return linked_models(tmp_path)


def test_lists_every_registered_detector() -> None:
    assert load().keys() == FACTORIES.keys() | {FINGERPRINT}


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_operating_tables_are_ordered_and_bounded(name: str) -> None:
    info = shipped()[name]
    assert info.id == f"{name}@{info.version}"
    assert info.slugs <= SLUGS | AUXILIARIES.keys()
    assert {slug for slug, _ in info.operating} == info.slugs
    for key, table in info.operating.items():
        rates = [rate for rate, _ in table]
        scores = [score for _, score in table]
        assert rates == sorted(set(rates)), key
        assert scores == sorted(scores, reverse=True), key
        assert all(0 < score <= 1 for score in scores), key
        assert rates[0] * info.benign_rows[key] >= 2, key


def test_what_is_shipped_has_the_versions_that_training_writes() -> None:
    known = {**shipped(), "ngram": load_one("ngram")}
    assert {name: info.version for name, info in known.items()} == {name: shipping.VERSIONS[name] for name in known}


def test_rates_stay_within_the_default_false_alarms() -> None:
    rates = [pair for info in shipped().values() for pair in info.rates.values()]
    assert rates
    assert all(0 <= found <= 1 and 0 <= alarms <= 0.01 for found, alarms in rates)


def test_weights_are_trained_on_shippable_licences_only() -> None:
    licences = [item.licence for info in shipped().values() for item in info.data]
    assert licences
    assert not [text for text in licences if text.startswith("CC-BY-NC")]


def test_figures_say_what_they_were_measured_on() -> None:
    for info in shipped().values():
        assert info.measured
        known = info.slugs | info.off.keys()
        assert all(item.rows > 0 and item.set and item.date and item.slug in known for item in info.measured)


def test_a_head_that_is_off_says_why_and_gives_no_verdict() -> None:
    for info in shipped().values():
        assert all(info.off.values())
        assert not info.slugs & info.off.keys()
        assert not {slug for slug, _ in (*info.operating, *info.calibration)} & info.off.keys()


def test_threshold_takes_the_largest_rate_that_is_allowed() -> None:
    table = ((0.001, 0.9), (0.01, 0.5), (0.05, 0.2))
    assert threshold(table) == 0.5
    assert threshold(table, 0.02) == 0.5
    assert threshold(table, 0.0005) is None


@pytest.mark.parametrize("file", ["ngram.onnx", "ngram.json", "pii.json"])
def test_a_changed_file_is_named(copy: Path, file: str) -> None:
    with own(copy / file).open("r+b") as damaged:
        damaged.seek(100)
        damaged.write(b"damage")
    with pytest.raises(ModelError, match=rf"{file}: sha256 is .*make train"):
        load(copy)


@pytest.mark.parametrize("file", ["ngram.onnx", "secrets.json", "models.toml"])
def test_a_missing_file_is_named(copy: Path, file: str) -> None:
    (copy / file).unlink()
    with pytest.raises(ModelError, match=f"{file}: cannot be read"):
        load(copy)


def test_an_index_that_lacks_a_field_says_which(copy: Path) -> None:
    index = own(copy / "models.toml")
    index.write_text(index.read_text("utf-8").replace('version = "1"', "", 1), "utf-8")
    with pytest.raises(ModelError, match="lacks 'version'"):
        load(copy)


def test_an_index_that_is_not_toml_says_so(copy: Path) -> None:
    own(copy / "models.toml").write_text("[ngram", "utf-8")
    with pytest.raises(ModelError, match="not valid TOML"):
        load(copy)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ngram.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match="cannot load"):
        Model(path)
