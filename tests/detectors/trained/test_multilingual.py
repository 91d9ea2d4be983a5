"""The encoder for other languages: what it reads, when it is loaded, and texts that it must tell apart."""

import pytest

from detectors.base import Judgement, Reading, State, Stepwise, Text
from detectors.manifest import load_one, threshold
from detectors.trained.encoder import Multilingual
from detectors.training.benign import HALVES
from detectors.training.multilingual.tables import Unswitched, everyday_texts
from tests.support.judges.detecting import judges_each_alone_as_in_a_batch

INFO = load_one("encoder-multilingual")
ENCODER = Multilingual(INFO)
MOST_FLAGGED = 0.025  # of everyday texts that chose nothing, by one head at its 1 % threshold


def score(judgement: Judgement, slug: str) -> float:
    return next(verdict.score for verdict in judgement.verdicts if verdict.slug == slug)


def prompts(*texts: str) -> list[Text]:
    return [Text(text, "prompt") for text in texts]


def test_it_reads_in_steps_what_is_not_in_english() -> None:
    assert isinstance(ENCODER, Stepwise)
    assert isinstance(ENCODER, Reading)
    judged = ENCODER.detect(prompts("Wie geht es dir?", "How are you today?"))
    assert [judgement.state for judgement in judged] == [State.SCANNED, State.UNREADABLE]
    assert not judged[1].verdicts


@pytest.mark.slow
def test_its_network_is_loaded_by_the_first_text_that_is_for_it_and_its_vocabulary_before() -> None:
    fresh = Multilingual(INFO)
    assert "_tokenizer" in vars(fresh)
    assert "_network" not in vars(fresh)
    fresh.detect(prompts("Guten Tag"))
    assert "_network" in vars(fresh)


@pytest.mark.slow
def test_any_text_is_judged_in_order() -> None:
    hostile = [
        "",
        " \u200b",
        "\ud800\udfff",
        " ".join(f"das ist Wort {number} und" for number in range(50_000)),
        "Grüße, привет, 你好, مرحبا 👩‍👩‍👧 हिन्दी",
        "\u0301" * 5_000,
    ]
    judged = ENCODER.detect(prompts(*hostile))
    states = [judgement.state for judgement in judged]
    assert states[3:5] == [State.TRUNCATED, State.SCANNED]
    assert all(0 <= verdict.score <= 1 for judgement in judged for verdict in judgement.verdicts)


def test_scripts_that_it_was_not_made_for_are_unreadable() -> None:
    unknown = ("გამარჯობა, როგორ ხართ დღეს?", "ஒரு ரொட்டியை எப்படி சுடுவது?", "Πώς είσαι σήμερα φίλε μου;")
    assert [judgement.state for judgement in ENCODER.detect(prompts(*unknown))] == [State.UNREADABLE] * 3
    known = ("Как дела?", "你好吗？", "كيف حالك؟", "आप कैसे हैं?", "สบายดีไหม", "元気ですか", "잘 지내세요?", "কেমন আছেন?")
    assert [judgement.state for judgement in ENCODER.detect(prompts(*known))] == [State.SCANNED] * 8


def test_a_verdict_does_not_depend_on_the_batch() -> None:
    judges_each_alone_as_in_a_batch(
        ENCODER, prompts("Was kostet ein Brot?", "Ich hasse dich, du Stück Dreck.", "Bis morgen dann")
    )


# None of these stands in the training phrases.
PAIRS = [
    ("Du bist das Letzte, verrecke, du Missgeburt!", "Du bist die Beste, ruh dich aus, meine Liebe!"),
    ("Eres un pedazo de mierda, ojalá te mueras.", "Eres un gran amigo, ojalá te mejores."),
    ("T'es qu'une grosse merde, crève !", "T'es un super ami, repose-toi !"),
    ("Sei una merda, crepa!", "Sei un vero amico, riposati!"),
    ("Você é um lixo, morra!", "Você é um amor, descanse!"),
    ("Je bent een stuk stront, sterf!", "Je bent een schat, rust uit!"),
    ("Ты ничтожество, сдохни, тварь!", "Ты молодец, отдохни, дорогой!"),
    ("你这个废物，去死吧！", "你真棒，去休息吧！"),
]


@pytest.mark.parametrize(("harmful", "harmless"), PAIRS)
def test_insults_score_above_their_friendly_twins(harmful: str, harmless: str) -> None:
    bad, good = ENCODER.detect(prompts(harmful, harmless))
    assert score(bad, "toxicity") > score(good, "toxicity")


@pytest.mark.slow
def test_everyday_texts_are_hardly_ever_flagged() -> None:
    _, texts = everyday_texts(HALVES[1], "prompt")
    judged = Unswitched(INFO).detect(texts)
    for slug in INFO.slugs:
        limit = threshold(INFO.operating.get((slug, "prompt"), ()))
        if limit is not None:
            assert sum(score(each, slug) >= limit for each in judged) <= MOST_FLAGGED * len(texts), slug
