"""What the official client sees of an enforced policy: of blocks and of cuts, in whole answers and in streams.

The detectors are the real ones; a secret is what they are surest of.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response

from tests.support.servers import scripted_upstream as script
from tests.support.servers.clients import openai_client
from tests.support.servers.gateway_process import SAID_BEFORE, SECRET, DemoUpstream, GatewayProcess
from tests.support.servers.scripted_upstream import End, ScriptedUpstream

POLICY = """
version: 1
mode: enforce
rules:
  - id: block-secrets-in
    when: {subcategory: privacy_violation, detector: secrets, on: prompt}
    then: block
  - id: cut-secrets-out
    when: {subcategory: privacy_violation, detector: secrets, on: response, route: [cutting, scripted]}
    then: redact
  - id: block-secrets-out
    when: {subcategory: privacy_violation, detector: secrets, on: response, route: blocking}
    then: block
"""
PING = b": ping\n\n"
CUTTING, BLOCKING = "demo-small", "demo-large"
LEAK = f"?say=The+key+is+{SECRET}+so+keep+it"


@pytest.fixture(scope="module")
def enforcing(
    upstream: DemoUpstream, scripted: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    policy = tmp_path_factory.mktemp("policy") / "secrets.yaml"
    policy.write_text(POLICY)
    upstreams = {"demo": {"url": upstream.url}, "scripted": {"url": scripted.url}}
    routes = {
        "cutting": {"models": ["demo-small*"], "upstreams": ["demo"]},
        "blocking": {"models": ["demo-large*"], "upstreams": ["demo"]},
        "scripted": {"models": ["scripted-*"], "upstreams": ["scripted"]},
    }
    settings = {
        "ASSAY_POLICY": str(policy),
        "ASSAY_UPSTREAMS": json.dumps(upstreams),
        "ASSAY_ROUTES": json.dumps(routes),
        "ASSAY_GUARD_TIMEOUT_SECONDS": "60",
        "ASSAY_PING_SECONDS": "0.2",
    }
    with GatewayProcess(settings) as running:
        yield running


@pytest.fixture(scope="module")
def client(enforcing: GatewayProcess) -> Iterator[OpenAI]:
    with openai_client(enforcing) as through_gateway:
        yield through_gateway


def chat(client: OpenAI, model: str, text: str = "hello", **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **more)


# --- prompts


@pytest.mark.parametrize("stream", [False, True])
def test_a_blocked_prompt_is_a_bad_request(client: OpenAI, upstream: DemoUpstream, stream: bool) -> None:
    before = upstream.received()["started"]
    with pytest.raises(openai.BadRequestError) as raised:
        chat(client, CUTTING, f"My key is {SECRET}, keep it.", stream=stream)
    assert (raised.value.status_code, raised.value.code, raised.value.param) == (400, "content_filter", "messages")
    assert raised.value.response.headers["x-assay-decision"] == "block"
    assert "block-secrets-in" in raised.value.message
    assert SECRET not in raised.value.message
    assert upstream.received()["started"] == before


@pytest.mark.parametrize("surface", ["completions", "responses", "embeddings"])
def test_a_blocked_prompt_on_the_other_surfaces(client: OpenAI, surface: str) -> None:
    text, ask = f"My key is {SECRET}, keep it.", getattr(client, surface).create
    field = "prompt" if surface == "completions" else "input"
    with pytest.raises(openai.BadRequestError) as raised:
        ask(model=CUTTING, **{field: text})
    assert (raised.value.code, raised.value.param) == ("content_filter", field)


# --- answers


def test_a_secret_is_cut_out_of_an_answer(client: OpenAI) -> None:
    answer = chat(client, CUTTING + LEAK)
    assert_cut(answer.choices[0].message.content)
    assert answer.choices[0].finish_reason == "stop"


def test_a_secret_is_cut_out_of_a_stream(client: OpenAI) -> None:
    """Also when it comes in many deltas."""
    with chat(client, f"{CUTTING}{LEAK}&deltas=20", stream=True) as stream:
        chunks = list(stream)
    assert_cut("".join(chunk.choices[0].delta.content or "" for chunk in chunks))
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_secret_is_cut_out_of_a_response(client: OpenAI) -> None:
    assert_cut(client.responses.create(model=CUTTING + LEAK, input="hello").output_text)


def test_a_secret_is_cut_out_of_a_streamed_response(client: OpenAI) -> None:
    with client.responses.create(model=f"{CUTTING}{LEAK}&deltas=20", input="hello", stream=True) as stream:
        events = [event.model_dump() for event in stream]
    assert SECRET not in json.dumps(events)
    assert_cut("".join(event["delta"] for event in events if event["type"] == "response.output_text.delta"))
    assert_cut(events[-1]["response"]["output"][0]["content"][0]["text"])


def assert_cut(text: str) -> None:
    assert SECRET not in text
    assert text.startswith("The key is ")
    assert text.endswith(" so keep it")


def test_a_blocked_answer_is_a_bad_request(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        chat(client, BLOCKING + LEAK)
    assert raised.value.code == "content_filter"
    assert SECRET not in raised.value.response.text


def test_a_blocked_stream_ends_as_filtered(client: OpenAI) -> None:
    with chat(client, BLOCKING + LEAK, stream=True, n=2) as stream:
        chunks = list(stream)
    assert {chunk.choices[0].index: chunk.choices[0].finish_reason for chunk in chunks} == {
        0: "content_filter",
        1: "content_filter",
    }
    assert {chunk.model for chunk in chunks} == {BLOCKING}
    assert not any(chunk.choices[0].delta.content for chunk in chunks)


def test_a_blocked_streamed_completion_ends_as_filtered(client: OpenAI) -> None:
    with client.completions.create(model=BLOCKING + LEAK, prompt="hello", stream=True) as stream:
        chunks = list(stream)
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    assert "".join(chunk.choices[0].text for chunk in chunks) == ""


def test_a_blocked_streamed_response_ends_as_incomplete(client: OpenAI) -> None:
    with client.responses.create(model=BLOCKING + LEAK, input="hello", stream=True) as stream:
        events = [event.model_dump() for event in stream]
    assert [event["type"] for event in events] == ["response.created", "response.incomplete"]
    assert events[-1]["response"]["incomplete_details"] == {"reason": "content_filter"}
    assert SECRET not in json.dumps(events)


@pytest.mark.parametrize("model", [CUTTING, BLOCKING])
def test_what_nobody_minds_arrives_as_it_was_sent(
    client: OpenAI, enforcing: GatewayProcess, upstream: DemoUpstream, model: str
) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    for stream in (False, True):
        asked = body | {"stream": stream}
        through = enforcing.http.post(f"{enforcing.base_url}/chat/completions", json=asked, headers=enforcing.headers())
        came = upstream.http.post(f"{upstream.url}/chat/completions", json=asked).content
        assert through.content.replace(PING, b"") == came  # a busy machine keeps a stream waiting
        assert through.headers["x-assay-decision"] == "allow"
        assert float(through.headers["x-assay-guard-ms"]) > 0


# --- while a stream is held


def test_the_client_is_kept_waiting_with_comments(client: OpenAI) -> None:
    """The official client reads over them."""
    with chat(client, f"{CUTTING}{LEAK}&deltas=10&gap_ms=60", stream=True) as stream:
        assert_cut("".join(chunk.choices[0].delta.content or "" for chunk in stream))
    with chat(client, f"{BLOCKING}{LEAK}&deltas=10&gap_ms=60", stream=True) as stream:
        assert [chunk.choices[0].finish_reason for chunk in stream] == ["content_filter"]


def test_a_client_that_leaves_while_its_answer_is_held_cancels_it(
    client: OpenAI, enforcing: GatewayProcess, scripted: ScriptedUpstream
) -> None:
    gone = enforcing.metric("assay_requests_total", outcome="client_gone")
    played = scripted.plays(script.stream_head(), script.chunk(b'data: {"choices": []}\n\n'), End.WAIT)
    stream = chat(client, played.model, stream=True)  # the head is here: a comment was sent
    stream.close()
    played.cancelled_after(time.monotonic())
    enforcing.wait_until(
        "the departure is counted",
        lambda: enforcing.metric("assay_requests_total", outcome="client_gone") == gone + 1,
    )


def test_an_upstream_that_breaks_off_while_its_answer_is_held(client: OpenAI, scripted: ScriptedUpstream) -> None:
    """Nothing of it leaves, because it could not be judged as a whole."""
    part = script.chunk(b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n')
    played = scripted.plays(script.stream_head(), part, End.CLOSE)
    with pytest.raises(openai.APIError) as raised, chat(client, played.model, stream=True) as stream:
        next(stream)
    assert raised.value.code == "upstream_truncated"


# --- streams through a window


@pytest.fixture(scope="module")
def slid(windowed: GatewayProcess) -> Iterator[OpenAI]:
    with openai_client(windowed) as through_gateway:
        yield through_gateway


def test_a_stream_that_is_blocked_on_its_way_ends_as_filtered(slid: OpenAI, leak: str) -> None:
    with chat(slid, leak, stream=True, stream_options={"include_usage": True}) as stream:
        chunks = list(stream)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert SAID_BEFORE.startswith(said)  # how much had left depends on how busy the machine is
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "content_filter"
    assert chunks[-1].usage is not None


def test_a_completion_that_is_blocked_on_its_way_ends_as_filtered(slid: OpenAI, leak: str) -> None:
    with slid.completions.create(model=leak, prompt="hello", stream=True) as stream:
        chunks = list(stream)
    assert SAID_BEFORE.startswith("".join(chunk.choices[0].text for chunk in chunks))
    assert chunks[-1].choices[0].finish_reason == "content_filter"


def test_a_response_that_is_blocked_on_its_way_ends_as_incomplete(slid: OpenAI, leak: str) -> None:
    """The client's own helper gathers the events: it refuses what does not fit together."""
    with slid.responses.stream(model=leak, input="hello") as stream:
        events = [event.model_dump() for event in stream]
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["incomplete_details"] == {"reason": "content_filter"}
    said = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert SAID_BEFORE.startswith(said)  # how much had left depends on how busy the machine is
    assert "AKIA" not in json.dumps(events, default=str)


# --- moderation, answered by the gateway itself


CRUEL = "I will kill you, you worthless idiot"
SAYS_SO = f"{CUTTING}?say={CRUEL}".replace(" ", "+")
OMNI: Any = {"model": "omni-moderation-latest"}
WITHHOLDING: Any = {**OMNI, "policy": {"output": {"mode": "block"}}}
REFUSING: Any = {**OMNI, "policy": {"input": {"mode": "block"}}}


@pytest.mark.parametrize("stream", [False, True])
def test_a_moderated_completion_tells_of_both_sides(client: OpenAI, stream: bool) -> None:
    answer = chat(client, CUTTING, CRUEL, moderation=OMNI, stream=stream)
    (told,) = [part.moderation for part in (answer if stream else [answer]) if part.moderation]
    assert told.input.results[0].flagged
    assert told.input.results[0].categories["harassment"]
    assert not told.output.results[0].flagged


@pytest.mark.parametrize("stream", [False, True])
def test_a_moderated_completion_is_withheld_where_that_is_asked_for(client: OpenAI, stream: bool) -> None:
    answer = chat(client, SAYS_SO, moderation=WITHHOLDING, stream=stream)
    parts = [*answer] if stream else [answer]
    (told,) = [part.moderation for part in parts if part.moderation]
    assert told.output.results[0].flagged
    ends = [choice.finish_reason for part in parts for choice in part.choices if choice.finish_reason]
    assert ends == ["content_filter"]
    assert "worthless" not in json.dumps([part.model_dump() for part in parts])


def respond(client: OpenAI, model: str, text: str, moderation: Any, *, stream: bool) -> Response:
    """The response; of a stream, what the client's own helper gathers."""
    if not stream:
        return client.responses.create(model=model, input=text, moderation=moderation)
    with client.responses.stream(model=model, input=text, moderation=moderation) as events:
        return [event.response for event in events if hasattr(event, "response")][-1]


@pytest.mark.parametrize("stream", [False, True])
def test_a_moderated_response_tells_of_both_sides(client: OpenAI, stream: bool) -> None:
    answer = respond(client, CUTTING, CRUEL, OMNI, stream=stream)
    assert answer.status == "completed"
    assert answer.moderation is not None
    assert answer.moderation.input.type == "moderation_result"
    assert answer.moderation.input.flagged
    assert answer.moderation.output.type == "moderation_result"
    assert not answer.moderation.output.flagged


@pytest.mark.parametrize("stream", [False, True])
def test_a_moderated_response_is_withheld_where_that_is_asked_for(client: OpenAI, stream: bool) -> None:
    answer = respond(client, SAYS_SO, "hello", WITHHOLDING, stream=stream)
    assert (answer.status, answer.output_text) == ("incomplete", "")
    assert answer.moderation is not None
    assert answer.moderation.output.type == "moderation_result"
    assert answer.moderation.output.flagged


@pytest.mark.parametrize("surface", ["chat", "responses"])
def test_a_prompt_that_may_be_blocked_for_its_moderation_is_a_bad_request(client: OpenAI, surface: str) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        if surface == "chat":
            chat(client, CUTTING, CRUEL, moderation=REFUSING)
        else:
            respond(client, CUTTING, CRUEL, REFUSING, stream=False)
    assert (raised.value.code, raised.value.param) == ("content_filter", "messages" if surface == "chat" else "input")


def test_the_client_gets_moderations_of_the_gateways_own(client: OpenAI, upstream: DemoUpstream) -> None:
    before = upstream.received()["started"]
    reply = client.moderations.create(
        model="omni-moderation-latest", input=["How do I bake bread?", "I will kill you, you worthless idiot"]
    )
    assert upstream.received()["started"] == before
    kind, cruel = reply.results
    assert (kind.flagged, cruel.flagged) == (False, True)
    assert cruel.categories.harassment
    assert cruel.category_scores.harassment > kind.category_scores.harassment
    assert reply.model.startswith("assay:encoder@")


def test_moderating_an_image_is_a_bad_request(client: OpenAI) -> None:
    image: Any = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}
    with pytest.raises(openai.BadRequestError, match="text only"):
        client.moderations.create(model="omni-moderation-latest", input=[image])
