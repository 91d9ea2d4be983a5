"""What was said before an answer reaches the detectors that compare, and only them."""

import json
from collections.abc import Sequence

import pytest

from detectors.base import UNREAD, Judgement, State, Text, Turn
from detectors.comparing.detector import PairDetector
from detectors.panel import Panel
from gateway.exchange import Asked, Stretch
from gateway.judging.messages import Findings, JudgingRequest, judging_request
from gateway.judging.reading import TURN_CHARACTERS
from gateway.judging.request_panel import RequestPanel
from gateway.judging.stretches import request_of, said_before
from gateway.openai_api import Operation
from tests.support.fakes import completion
from tests.support.judges.pair_judge import WordJudge, info

COMPARED = ("hallucination",)  # what the panel of a process says that it judges so
SOURCE = "The bridge was opened in 1932. It carries eight lanes of road."
WRONG = "It carries nine lanes of road."


class Listening:
    """Keeps what it is shown."""

    id = "listening@1"
    slugs = frozenset({"hallucination"})
    compares = frozenset({"tool"})

    def __init__(self) -> None:
        self.shown: list[Text] = []

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        self.shown += texts
        return [Judgement(State.SCANNED) for _ in texts]


def body(*messages: tuple[str, str]) -> bytes:
    return json.dumps({"messages": [{"role": role, "content": content} for role, content in messages]}).encode()


ASKED = body(
    ("system", "Be brief."),
    ("user", "Hello"),
    ("assistant", "Hello!"),
    ("tool", SOURCE),
    ("user", "How many lanes?"),
)
TURNS = (
    Turn("system", "Be brief."),
    Turn("user", "Hello"),
    Turn("assistant", "Hello!"),
    Turn("tool", SOURCE),
    Turn("user", "How many lanes?"),
)


def shown(asked: JudgingRequest) -> Text:
    detector = Listening()
    RequestPanel(Panel([detector]), b"key").judge([asked])
    return detector.shown[-1]


def found_by_pair(asked: JudgingRequest) -> Findings:
    (found,) = RequestPanel(Panel([PairDetector(info(), WordJudge())]), b"key").judge([asked])
    return found


@pytest.mark.parametrize("slugs", [None, {"hallucination", "toxicity"}])
def test_an_answer_comes_with_all_that_was_said_before_it(slugs: set[str] | None) -> None:
    text = shown(judging_request("chat", prompt=ASKED, answer=completion("Nine."), answer_slugs=slugs))
    assert text == Text("Nine.", "response", "How many lanes?", TURNS)


def test_who_is_not_asked_to_compare_is_shown_nothing_more() -> None:
    class Both(Listening):
        slugs = frozenset({"toxicity"})

    detector, other = Both(), Listening()
    asked = judging_request("chat", prompt=ASKED, answer=completion("Nine."), answer_slugs={"violence"})
    RequestPanel(Panel([detector, other]), b"key").judge([asked])
    assert detector.shown == other.shown == []
    prompts = judging_request("chat", prompt=ASKED, prompt_slugs=None)
    RequestPanel(Panel([other]), b"key").judge([prompts])
    assert {text.turns for text in other.shown} == {()}


def test_arguments_of_a_call_are_no_answer_to_compare() -> None:
    call = {"function": {"name": "look", "arguments": json.dumps({"query": "how many lanes of road are there"})}}
    answer = json.dumps({"choices": [{"message": {"role": "assistant", "tool_calls": [call]}}]}).encode()
    assert shown(judging_request("chat", prompt=ASKED, answer=answer, answer_slugs=None)).turns == ()


def test_the_same_answer_beside_another_source_is_judged_again() -> None:
    detector = Listening()
    on = RequestPanel(Panel([detector]), b"key")
    other = ASKED.replace(b"eight", b"nine")
    for prompt in (ASKED, other, ASKED):
        on.judge([judging_request("chat", prompt=prompt, answer=completion(WRONG), answer_slugs=None)])
    assert [text.turns[3].text for text in detector.shown] == [SOURCE, SOURCE.replace("eight", "nine")]


def test_of_very_much_the_latest_is_shown() -> None:
    prompt = body(*[("tool", f"{number} " + "x" * 1_000) for number in range(500)], ("user", "Go on."))
    text = shown(judging_request("chat", prompt=prompt, answer=completion("Nine."), answer_slugs=None))
    assert text.turns[-1] == Turn("user", "Go on.")
    assert text.turns[-2].text.startswith("499 ")
    assert sum(len(turn.text) for turn in text.turns) <= TURN_CHARACTERS
    assert text.turns[0] == Turn(UNREAD, "")


async def test_beside_a_part_of_its_sources_no_answer_is_called_unsupported() -> None:
    said = ("tool", SOURCE + "Nothing of interest happened in the town on that day. " * 5_000), ("user", "How many?")
    whole = judging_request("chat", prompt=body(*said), answer=completion(WRONG), answer_slugs=None)
    asked = Asked("POST", "/v1/chat/completions", operation=Operation.CHAT, body=body(*said))
    before = await said_before(asked, None, COMPARED)
    for request in (whole, request_of("ann", before, [Stretch(0, "assistant", WRONG)], None)):
        opinions = [opinion for finding in found_by_pair(request).findings for opinion in finding.opinions]
        assert [opinion for opinion in opinions if opinion.slug == "hallucination"] == []


@pytest.mark.parametrize("slugs", [None, ("hallucination",)])
async def test_a_stretch_of_a_stream_comes_with_it_as_well(slugs: tuple[str, ...] | None) -> None:
    asked = Asked("POST", "/v1/chat/completions", operation=Operation.CHAT, body=ASKED)
    stretches = [Stretch(0, "assistant", WRONG)]
    request = request_of("ann", await said_before(asked, slugs, COMPARED), stretches, slugs)
    assert shown(request) == Text(WRONG, "response", "How many lanes?", TURNS)
    (finding,) = found_by_pair(request).findings
    (said,) = [opinion for opinion in finding.opinions if opinion.slug == "hallucination"]
    assert said.spans == [(0, len(WRONG), "unsupported")]
    assert said.score > 0.9


@pytest.mark.parametrize(("slugs", "compared"), [(("toxicity",), COMPARED), (None, ()), (COMPARED, ())])
async def test_a_stretch_that_nobody_compares_comes_with_the_last_words_only(
    slugs: Sequence[str] | None, compared: Sequence[str]
) -> None:
    asked = Asked("POST", "/v1/chat/completions", operation=Operation.CHAT, body=ASKED)
    assert (await said_before(asked, slugs, compared)).body == b'{"input":"How many lanes?"}'


def test_documents_beside_the_messages_are_a_source() -> None:
    prompt = json.dumps(
        {"messages": [{"role": "user", "content": "How many lanes?"}], "documents": [{"title": "b", "text": SOURCE}]}
    ).encode()
    found = found_by_pair(judging_request("chat", prompt=prompt, answer=completion(WRONG), answer_slugs=None))
    assert "hallucination" in {opinion.slug for opinion in found.findings[-1].opinions}


def test_a_source_in_another_script_is_told_as_unread() -> None:
    prompt = body(("tool", "這座橋於一九三二年開放,有八條車道和兩條鐵路線。"), ("user", "How many lanes?"))
    found = found_by_pair(judging_request("chat", prompt=prompt, answer=completion(WRONG), answer_slugs=None))
    assert found.unread == [("response", "assistant", "language")]
    assert found.coverage == [("pair@1", "unreadable", 1)]
