"""Anthropic's official client through the gateway: answers, streams, cuts, and blocks that end as a refusal."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.support.servers import scripted_upstream as script
from tests.support.servers.clients import anthropic_client
from tests.support.servers.gateway_process import SECRET, GatewayProcess
from tests.support.servers.scripted_upstream import ScriptedUpstream
from tests.support.wire import messages_api

POLICY = """
version: 1
mode: enforce
rules:
  - id: block-secrets-in
    when: {subcategory: privacy_violation, detector: secrets, on: prompt}
    then: block
  - id: cut-secrets-out
    when: {subcategory: privacy_violation, detector: secrets, on: response, route: cutting}
    then: redact
  - id: block-secrets-out
    when: {subcategory: privacy_violation, detector: secrets, on: response, route: blocking}
    then: block
"""
LEAK = f"The key is {SECRET} so keep it"
PIECES = [LEAK[at : at + 7] for at in range(0, len(LEAK), 7)]


@pytest.fixture(scope="module")
def running(scripted: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    policy = tmp_path_factory.mktemp("policy") / "secrets.yaml"
    policy.write_text(POLICY)
    routes = {
        "plain": {"models": ["scripted-*"], "upstreams": ["scripted"]},
        "cutting": {"models": ["cutting-*"], "upstreams": ["scripted"]},
        "blocking": {"models": ["blocking-*"], "upstreams": ["scripted"], "streams": "window"},
    }
    settings = {
        "ASSAY_POLICY": str(policy),
        "ASSAY_UPSTREAMS": json.dumps({"scripted": {"url": scripted.url}}),
        "ASSAY_ROUTES": json.dumps(routes),
        "ASSAY_GUARD_TIMEOUT_SECONDS": "60",
    }
    with GatewayProcess(settings) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def client(running: GatewayProcess) -> Iterator[Anthropic]:
    with anthropic_client(running) as through_gateway:
        yield through_gateway


def ask(client: Anthropic, model: str, text: str = "hello", **more: Any) -> Any:
    return client.messages.create(
        model=model, max_tokens=99, system="Be brief.", messages=[{"role": "user", "content": text}], **more
    )


def plays(scripted: ScriptedUpstream, name: str, channel: Any = "assistant", *, stream: bool) -> str:
    if stream:
        events = messages_api.stream((piece, channel) for piece in PIECES)
        return scripted.plays(
            script.stream_head(), *map(script.chunk, events), script.chunk(b""), name=f"{name}-{channel}-stream"
        ).model
    return scripted.plays(
        script.answer(messages_api.whole({channel: LEAK})), name=f"{name}-{channel}-whole"
    ).model  # fmt: skip


def test_an_answer_passes_with_the_headers_of_the_client(client: Anthropic, scripted: ScriptedUpstream) -> None:
    played = scripted.plays(script.answer(messages_api.whole({"assistant": "Good day."})))
    answer = ask(client, played.model, extra_headers={"anthropic-beta": "files-api-2025-04-14"})
    assert (answer.content[0].text, answer.stop_reason, answer.usage.output_tokens) == ("Good day.", "end_turn", 5)
    sent = played.requests[0].lower()
    assert b"anthropic-version: " in sent
    assert b"anthropic-beta: files-api" in sent


def test_a_stream_passes(client: Anthropic, scripted: ScriptedUpstream) -> None:
    events = messages_api.stream([("hm", "reasoning"), ("Good ", "assistant"), ("day.", "assistant")])
    played = scripted.plays(script.stream_head(), *map(script.chunk, events), script.chunk(b""))
    with client.messages.stream(
        model=played.model, max_tokens=99, messages=[{"role": "user", "content": "hi"}]
    ) as stream:
        assert "".join(stream.text_stream) == "Good day."
        assert stream.get_final_message().stop_reason == "end_turn"


@pytest.mark.parametrize("stream", [False, True])
def test_a_blocked_prompt_is_a_refusal(client: Anthropic, stream: bool) -> None:
    message = final(ask(client, "scripted-none", f"My key is {SECRET}.", stream=stream), stream=stream)
    assert (message["stop_reason"], message["content"]) == ("refusal", [])
    assert "block-secrets-in" in message["stop_details"]["explanation"]
    assert SECRET not in json.dumps(message)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("channel", ["assistant", "reasoning", "arguments"])
def test_a_secret_is_cut_out(client: Anthropic, scripted: ScriptedUpstream, channel: str, stream: bool) -> None:
    model = plays(scripted, "cutting", channel, stream=stream)
    message = final(ask(client, model, stream=stream), stream=stream)
    assert SECRET not in json.dumps(message)
    assert "REDACTED" in json.dumps(message)
    assert message["stop_reason"] == "end_turn"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("channel", ["assistant", "reasoning", "arguments"])
def test_a_blocked_answer_is_a_refusal(
    client: Anthropic, scripted: ScriptedUpstream, channel: str, stream: bool
) -> None:
    model = plays(scripted, "blocking", channel, stream=stream)
    message = final(ask(client, model, stream=stream), stream=stream)
    assert SECRET not in json.dumps(message)
    assert message["stop_reason"] == "refusal"


def test_errors_are_those_that_the_client_knows(client: Anthropic, running: GatewayProcess) -> None:
    with pytest.raises(anthropic.NotFoundError) as raised:
        ask(client, "nobody")
    assert raised.value.type == "not_found_error"
    with (
        Anthropic(base_url=running.url, api_key="wrong", max_retries=0) as stranger,
        pytest.raises(anthropic.AuthenticationError),
    ):
        ask(stranger, "scripted-none")


def final(answer: Any, *, stream: bool) -> dict[str, Any]:
    """The whole message, put together from a stream as the client's own helper does."""
    if not stream:
        whole: dict[str, Any] = answer.model_dump()
        return whole
    message: dict[str, Any] = {}
    for event in answer:
        if event.type == "message_start":
            message = event.message.model_dump()
        elif event.type == "content_block_start":
            message["content"].append({"pieces": ""})
        elif event.type == "content_block_delta":
            delta = event.delta.model_dump()
            message["content"][event.index]["pieces"] += "".join(v for k, v in delta.items() if k != "type" and v)
        elif event.type == "message_delta":
            message |= event.delta.model_dump()
    return message
