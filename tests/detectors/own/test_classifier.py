"""Text classifiers of the operator's: judged like the shipped ones, and each fault of one is named."""

from pathlib import Path

import pytest

from detectors.base import State, Text
from detectors.manifest import ModelError
from detectors.own.building import build, built
from detectors.own.classifier import TextClassifier
from detectors.own.specs import Classifier, OwnDetectors, versioned
from tests.support.judges.text_models import write_classifier, write_tokenizer

WORDS = {"grenade": (12.0, 0.0, 0.0), "idiot": (0.0, 12.0, 0.0), "bread": (0.0, 0.0, 12.0)}
BIAS = (-6.0, -6.0, -6.0)
OUTPUTS = (("violent", "violence"), ("rude", "toxicity"), ("cooking", ""))


def spec(folder: Path, **changes: object) -> Classifier:
    model, tokenizer = write_classifier(folder, WORDS, BIAS)
    about = {
        "name": "mine", "roles": ("prompt", "response"), "flag_score": 0.5, "model": str(model),
        "tokenizer": str(tokenizer), "outputs": OUTPUTS, "overlap_tokens": 4, **changes,
    }  # fmt: skip
    made = versioned(Classifier(**about))  # type: ignore[arg-type]
    assert isinstance(made, Classifier)
    return made


def scores(detector: TextClassifier, text: str) -> dict[str, float]:
    (judged,) = detector.detect([Text(text, "prompt")])
    return {verdict.slug: round(verdict.score, 2) for verdict in judged.verdicts}


def test_outputs_are_mapped_to_sub_categories(tmp_path: Path) -> None:
    detector = TextClassifier(spec(tmp_path))
    assert detector.slugs == {"violence", "toxicity"}
    assert scores(detector, "Throw the GRENADE, please.") == {"violence": 1.0, "toxicity": 0.0}
    assert scores(detector, "You idiot!") == {"violence": 0.0, "toxicity": 1.0}
    assert scores(detector, "How do I bake bread?") == {"violence": 0.0, "toxicity": 0.0}


def test_softmax_shares_one_whole_and_several_labels_of_a_sub_category_count_as_the_highest(tmp_path: Path) -> None:
    outputs = (("violent", "unsafe"), ("rude", "unsafe"), ("cooking", ""))
    detector = TextClassifier(spec(tmp_path, activation="softmax", outputs=outputs))
    assert scores(detector, "You idiot!") == {"unsafe": 1.0}
    assert scores(detector, "bread") == {"unsafe": 0.0}
    assert scores(detector, "idiot, grenade") == {"unsafe": 0.5}


def test_a_long_text_is_read_in_windows_and_what_is_beyond_them_is_told(tmp_path: Path) -> None:
    detector = TextClassifier(spec(tmp_path, max_tokens=16, most_windows=4))
    for before, state, found in ((0, State.SCANNED, 1.0), (30, State.SCANNED, 1.0), (500, State.TRUNCATED, 0.0)):
        (judged,) = detector.detect([Text("so " * before + "grenade" + " so" * 4, "prompt")])
        assert judged.state is state
        assert {verdict.slug: round(verdict.score, 2) for verdict in judged.verdicts}["violence"] == found


def test_work_stops_between_windows(tmp_path: Path) -> None:
    detector = TextClassifier(spec(tmp_path, max_tokens=16))
    steps = detector.steps([Text("so " * 50, "prompt"), Text("grenade", "prompt")])
    next(steps)
    with pytest.raises(StopIteration) as done:
        steps.send(True)
    assert [judged.state for judged in done.value.value] == [State.STOPPED, State.STOPPED]


@pytest.mark.parametrize("text", ["", "  \n", "\ud800", "\0", "x" * 300_000, "😀" * 10, "[CLS] [SEP] [PAD]"])
def test_any_text_is_legal(tmp_path: Path, text: str) -> None:
    (judged,) = TextClassifier(spec(tmp_path)).detect([Text(text, "response")])
    assert (judged.state is State.SKIPPED) == (not text.strip())


def test_a_side_that_is_not_asked_for_is_skipped(tmp_path: Path) -> None:
    (judged,) = TextClassifier(spec(tmp_path, roles=("response",))).detect([Text("grenade", "prompt")])
    assert judged.state is State.SKIPPED


def test_a_model_that_insists_on_a_length_gets_it(tmp_path: Path) -> None:
    described = spec(tmp_path)
    write_classifier(tmp_path, WORDS, BIAS, tokens=64)
    detector = TextClassifier(described)
    assert scores(detector, "a grenade")["violence"] == 1.0
    assert scores(detector, "so " * 200 + "grenade")["violence"] == 1.0


def fault(described: Classifier) -> str:
    absent: dict[str, str] = {}
    assert list(built(OwnDetectors((described,)), absent)) == []
    return absent["mine"]


def test_a_truncated_model_is_named(tmp_path: Path) -> None:
    described = spec(tmp_path)
    path = Path(described.model)
    path.write_bytes(path.read_bytes()[:100])
    assert "model.onnx" in fault(described)
    assert "onnxruntime cannot load it" in fault(versioned_again(described))


def versioned_again(described: Classifier) -> Classifier:
    again = versioned(described)
    assert isinstance(again, Classifier)
    return again


def test_a_model_that_takes_something_else_is_named(tmp_path: Path) -> None:
    described = spec(tmp_path)
    write_classifier(tmp_path, WORDS, BIAS, input="pixels")
    assert "it wants an input 'pixels'" in fault(versioned_again(described))


def test_a_model_of_another_number_of_outputs_is_named(tmp_path: Path) -> None:
    assert "has 3 outputs, `labels` names 2" in fault(spec(tmp_path, outputs=OUTPUTS[:2]))


def test_a_tokenizer_that_does_not_fit_is_named(tmp_path: Path) -> None:
    described = spec(tmp_path)
    write_tokenizer(Path(described.tokenizer), [*WORDS, *(f"word{number}" for number in range(100))])
    assert "does not fit it: the model does not know token 106" in fault(versioned_again(described))
    Path(described.tokenizer).write_text('{"version": "1.0"}')
    assert "is no tokenizer.json" in fault(versioned_again(described))


def test_windows_that_cannot_be_are_named(tmp_path: Path) -> None:
    assert "have no room for `overlap_tokens`" in fault(spec(tmp_path, max_tokens=16, overlap_tokens=12))
    described = spec(tmp_path, max_tokens=64)
    write_classifier(tmp_path, WORDS, BIAS, tokens=32)
    assert "reads 32 tokens, `max_tokens` asks for 64" in fault(versioned_again(described))


def test_a_softmax_of_one_is_named(tmp_path: Path) -> None:
    described = spec(tmp_path, outputs=OUTPUTS[:1], activation="softmax")
    write_classifier(tmp_path, {"grenade": (12.0,)}, (-6.0,))
    assert "`activation` must be sigmoid" in fault(versioned_again(described))


def test_the_version_changes_with_the_files_and_the_settings_that_scores_depend_on(tmp_path: Path) -> None:
    first = spec(tmp_path)
    assert spec(tmp_path).version == first.version
    assert spec(tmp_path, flag_score=0.9).version == first.version
    assert spec(tmp_path, activation="softmax").version != first.version
    write_classifier(tmp_path, {**WORDS, "bomb": (12.0, 0.0, 0.0)}, BIAS)
    assert versioned(first).version != first.version
    with pytest.raises(ModelError, match="has changed since the start"):
        build(first)
