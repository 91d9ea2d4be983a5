"""The demo's traffic: all kinds of it, the same each time; and the model that does as it is told."""

from collections import Counter
from itertools import islice

from gateway.demo.answers import CARELESS, CONVERSATIONS, Library, Question, answer
from gateway.demo.judging import DemoJudge
from gateway.demo.knobs import Knobs
from gateway.demo.server import MODELS
from gateway.demo.traffic import CAREFUL_MODEL, CARELESS_MODEL, Traffic

MANY = list(islice(Traffic(), 2_000))


def test_the_same_seed_gives_the_same_requests() -> None:
    assert list(islice(Traffic(), 50)) == MANY[:50]
    assert list(islice(Traffic(seed=1), 50)) != MANY[:50]


def test_it_goes_to_two_models_that_the_demo_upstream_has() -> None:
    models = Counter(asked.body["model"] for asked in MANY)
    assert models.keys() == {CAREFUL_MODEL, CARELESS_MODEL} <= {*MODELS}
    assert min(models.values()) > 500


def test_it_uses_streams_tools_and_three_surfaces() -> None:
    assert {asked.path for asked in MANY} == {"/chat/completions", "/responses", "/messages"}
    assert {asked.body["stream"] for asked in MANY} == {True, False}
    assert any("tools" in asked.body for asked in MANY)
    assert all(asked.body["max_tokens"] for asked in MANY if asked.path == "/messages")


def test_it_has_harm_attacks_and_other_languages_in_every_minute_of_it() -> None:
    """A minute is 240 requests."""
    for start in range(0, len(MANY) - 240, 240):
        said = "\n".join(str(asked.body) for asked in MANY[start : start + 240])
        assert "天空" in said or "idiota" in said or "photosynthèse" in said
        assert "previous instructions" in said or "DAN" in said
        assert "moron" in said or "password" in said or "insulted" in said


def test_one_of_the_models_does_as_it_is_told_and_the_other_does_not() -> None:
    careful = Library(CONVERSATIONS.read_bytes())
    careless = Library(CARELESS.read_bytes() + CONVERSATIONS.read_bytes())
    for conversation in Library(CARELESS.read_bytes()):
        question = Question(conversation.prompt)
        assert answer(careless, question, Knobs()).text == conversation.reply
        assert answer(careful, question, Knobs()).text != conversation.reply


def test_the_judge_says_what_a_reply_shows_and_only_what_it_was_asked_about() -> None:
    judge, reply = DemoJudge(), next(iter(Library(CARELESS.read_bytes()))).reply

    def asked(about: str, last: str) -> str:
        system = f"Decide which apply:\n\n- {about}: some words\n"
        exchange = f"### USER\n{reply}\n\n### ASSISTANT\n{last}"
        return judge.answer(
            {"messages": [{"role": "system", "content": system}, {"role": "user", "content": exchange}]}
        )

    assert asked("toxicity", reply) == '{"applies":["toxicity"]}'
    assert asked("violence", reply) == '{"applies":[]}'
    assert asked("toxicity", "Water the basil daily.") == '{"applies":[]}'  # what the user said is not judged here


HARMLESS = {"everyday", "knowledge", "writing", "summary", "translation", "code"}


def test_no_prompt_that_the_models_do_not_know_gets_an_insult_or_a_refusal() -> None:
    """Else one model would insult whoever writes in some language, each time."""
    for source in (CONVERSATIONS.read_bytes(), CARELESS.read_bytes() + CONVERSATIONS.read_bytes()):
        library = Library(source)
        for text in (
            "東京から京都まで電車でどのくらいかかりますか。",
            "كيف أطبخ الأرز حتى لا يلتصق؟",
            "Cuocio il riso?",
        ):
            assert {library.choose(text, number).topic for number in range(60)} <= HARMLESS
