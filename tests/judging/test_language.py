"""The language of a text, told from little."""

import pytest

from gateway.judging.language import LANGUAGES, language_of
from tests.support.running.together import together

TEXTS = {
    "en": "How can I get the stain out of my shirt before the meeting?",
    "de": "Wie bekomme ich den Fleck aus dem Hemd und was kann man tun?",
    "fr": "Comment est-ce que je peux enlever une tache de ma chemise avec du sel ?",
    "es": "¿Cómo puedo quitar una mancha de la camisa con lo que hay en mi casa?",
    "it": "Come posso togliere una macchia dalla camicia con il sale che ho in casa?",
    "pt": "Como posso tirar uma mancha da camisa com o sal que não usei em casa?",
    "nl": "Hoe kan ik een vlek uit mijn hemd krijgen met het zout dat ik in huis heb?",
    "pl": "Jak mam to zrobić, czy to się da i co jest do tego potrzebne?",
    "ru": "Как мне это сделать и что для этого нужно?",
    "uk": "Як мені це зробити і що для цього треба?",
    "ja": "シャツの染みを取る方法を教えてください。",
    "zh": "怎样去掉衬衫上的污渍？",
    "ko": "셔츠의 얼룩을 어떻게 제거하나요?",
    "ar": "كيف أزيل البقعة من القميص؟",
    "hi": "कमीज से दाग कैसे निकालें?",
    "el": "Πώς βγάζω τον λεκέ;",
}


@together("code", TEXTS)
def test_a_sentence_is_enough(code: str) -> None:
    assert language_of(TEXTS[code]) == code
    assert code in LANGUAGES


@pytest.mark.parametrize("text", ["", "ok", "12 + 30", "def f(x): return x", "😀😀", "Berlin Paris Roma"])
def test_where_it_cannot_tell_it_says_nothing(text: str) -> None:
    assert language_of(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "How do I kill a python process",
        "Do I need a visa as a student?",
        "I think I do, by and large, a lot",
        "Can I do a reset to factory settings?",
        "I do a bit of it, i.e. a to z",
        "Write a polite email moving Thursday's meeting to next week.",
        "Travel cut by 4 percent, office move put off to autumn, payroll vendors due by May",
        "As far as he knows, no",
    ],
)
def test_words_that_english_shares_with_another_language_do_not_make_that_language_of_it(text: str) -> None:
    """`a`, `i`, `do`, `to`, `by`, `s` are Czech or Polish too, `as`, `no` and `me` Portuguese."""
    assert language_of(text) in ("en", "")
