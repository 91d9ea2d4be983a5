"""The demo upstream's Messages API, through the gateway, as Anthropic's client sees it."""

from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic

from tests.support.servers.clients import anthropic_client
from tests.support.servers.gateway_process import DemoUpstream, GatewayProcess

WEATHER = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


@pytest.fixture(scope="module")
def client() -> Iterator[Anthropic]:
    with (
        DemoUpstream() as upstream,
        GatewayProcess({"ASSAY_UPSTREAM_URL": upstream.url}) as gateway,
        anthropic_client(gateway) as sdk,
    ):
        yield sdk


def ask(client: Anthropic, **more: Any) -> Any:
    said: Any = {"messages": [{"role": "user", "content": "Say hello"}]} | more
    return client.messages.create(model="demo-small", max_tokens=200, **said)


def test_it_answers_whole_and_streamed_alike(client: Anthropic) -> None:
    whole = ask(client)
    assert whole.stop_reason == "end_turn"
    assert whole.usage.output_tokens > 0
    with client.messages.stream(
        model="demo-small", max_tokens=200, messages=[{"role": "user", "content": "Say hello"}]
    ) as stream:
        assert "".join(stream.text_stream) == whole.content[0].text
        assert stream.get_final_message().stop_reason == "end_turn"


def test_it_calls_a_tool_and_takes_its_result(client: Anthropic) -> None:
    asked = {"role": "user", "content": "What is the weather in Lyon?"}
    called = ask(client, messages=[asked], tools=[WEATHER], tool_choice={"type": "any"})
    (use,) = called.content
    assert (called.stop_reason, use.type, use.name) == ("tool_use", "tool_use", "weather")
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "rain"}
    turns = [asked, {"role": "assistant", "content": [use.model_dump()]}, {"role": "user", "content": [result]}]
    assert "rain" in ask(client, messages=turns, tools=[WEATHER]).content[0].text
