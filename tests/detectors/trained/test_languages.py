"""Who reads a text, or a passage of it: English where nobody can tell, nobody where no one was measured."""

import pytest

from detectors.trained.languages import EN, MANY_LANGUAGES, NOBODY, groups, part_for
from detectors.training import benign
from detectors.training.multilingual.rows import everyday
from tests.support.running.together import together

FEWEST_TOLD = 0.85  # of a language's everyday texts
MOST_WRONG = 0.02  # of texts in English, of which some quote other languages
_IN_MANY_LANGUAGES = ("other_scripts", "greetings", "acknowledgements", "farewells")


@together(
    "text",
    [
        "",
        "ok",
        "12 + 30 = 42",
        "How do I say *good morning* in German?",
        "The café serves jalapeños and crème brûlée.",
        "import os\nprint(os.listdir('.'))",
        "for i in range(10):\n    data = dict(zip(os.environ, path))\n    del data['a']\n    shutil.copy(src, dst)",
        "la la la\nla la la\nla la la",
        "😀😀😀",
        "MacBook Pro",
        "I am no expert, so do as he says.",
        "Beyoncé and Kraków are names",
        "thx m8 ur a legend lol brb gonna grab food",
        "pls hlep my cmputer wont strat anymroe",
        "Juan de la Cruz",
        "nicole.daggs@example.com",
        "Dumb ass hoe",
        "cheap running shoes men discount free shipping",
        "x" * 100_000,
        "\ud800",
    ],
)
def test_english_and_what_cannot_be_told(text: str) -> None:
    assert groups(text) == {EN}
    assert part_for(EN, text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Hallo, wie geht's?",
        "Hallo, wie geht’s dir heute?",
        "¿Qué tal?",
        "où est-il",
        "Привет",
        "你好吗",
        "مرحبا بك",
        "Ich möchte, dass du für meine Freundin ein Gedicht schreibst about the moon",
    ],
)
def test_other_languages(text: str) -> None:
    assert groups(text) == {MANY_LANGUAGES}
    assert (part_for(MANY_LANGUAGES, text), part_for(EN, text)) == (None, "")


@pytest.mark.parametrize(
    "text",
    [
        "Miten minä voin leipoa leivän, kun ei ole uunia?",
        "Hogyan lehet kenyeret sütni otthon, ha nincs sütő?",
        "Cum pot să fac pâine acasă fără cuptor?",
        "Ninawezaje kuoka mkate nyumbani bila mtu yeyote kujua kuhusu jambo hili?",
        "Ngicela ungitshele ukuthi ngingasenza kanjani isinkwa ekhaya ngaphandle kukahhavini namuhla.",
        "Mujhe batao ki ghar mein roti kaise banate hain, mere paas oven nahi hai.",
        "Πώς μπορώ να ψήσω ψωμί στο σπίτι;",
        "איך אני אופה לחם בבית?",
        "ரொட்டியை வீட்டில் எப்படி சுடுவது?",
    ],
)
def test_languages_that_nobody_reads(text: str) -> None:
    assert groups(text) == {NOBODY}
    assert part_for(EN, text) == part_for(MANY_LANGUAGES, text) == ""


def test_each_passage_is_for_those_who_read_it() -> None:
    english = "Please translate this for me, it is from a friend of mine who lives abroad. I do not understand it."
    german = "Wie kann ich ein Brot backen, ohne dass es jemand merkt, und wo bekomme ich das Mehl dafür her?"
    finnish = "Miten minä voin leipoa leivän, kun ei ole uunia, ja missä minä voin ostaa jauhot, kun kauppa on kiinni?"
    chinese = "今天天气很好，我们去公园散步，然后在湖边吃午饭。"
    text = f"{english}\n{german}\n{finnish}\n{chinese}"
    assert groups(text) == {EN, MANY_LANGUAGES, NOBODY}
    assert part_for(EN, text) == english
    assert part_for(MANY_LANGUAGES, text) == f"{german} {chinese}"


def test_a_quoted_word_goes_with_the_text_around_it() -> None:
    assert groups("My colleague from Berlin always says hallo to me when we meet, which is nice of her.") == {EN}
    assert groups("Meine Kollegin sagt immer good morning zu mir, wenn wir uns sehen, was ich sehr nett finde.") == {
        MANY_LANGUAGES
    }


@together("language", everyday("held-out"))
def test_everyday_texts_of_a_language_are_told(language: str) -> None:
    texts = everyday("held-out")[language]
    told = [groups(text) for text in texts]
    assert sum(MANY_LANGUAGES in there for there in told) >= FEWEST_TOLD * len(texts)
    assert not any(NOBODY in there for there in told)


@pytest.mark.slow
def test_hardly_any_english_text_is_taken_for_another_language() -> None:
    texts = [item.text for item in benign.texts("held-out") if item.kind not in _IN_MANY_LANGUAGES]
    assert sum(groups(text) != {EN} for text in texts) <= MOST_WRONG * len(texts)
