"""The official OpenAI client for Python: only base URL and key differ from using the upstream directly.

Each scenario is run twice, through the gateway and straight at the upstream, and must bring the same objects.
The upstream answers equal requests with equal bytes.
"""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.responses import FunctionToolParam
from pydantic import BaseModel

from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.servers.clients import openai_client
from tests.support.servers.gateway_process import DemoUpstream, GatewayProcess

MODEL = "demo-small"
HELLO: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "You are brief."},
    {"role": "user", "content": "How do I boil an egg — “à la coque”? 🥚"},
]
WEATHER: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the weather in Oslo?"}]
_PLACE: dict[str, object] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: ChatCompletionToolParam = {"type": "function", "function": {"name": "get_weather", "parameters": _PLACE}}
RESPONSES_TOOL: FunctionToolParam = {"type": "function", "name": "get_weather", "parameters": _PLACE, "strict": True}
PIXEL = "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 300).decode()


class Recipe(BaseModel):
    title: str
    minutes: int


# --- scenarios: what a program does with the client, and what it sees of the answer


def chat(client: OpenAI) -> Any:
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, temperature=0.2, seed=7, user="someone")
    assert answer.choices[0].message.content
    return answer.model_dump()


def chat_streamed(client: OpenAI) -> Any:
    with client.chat.completions.create(model=MODEL, messages=HELLO, stream=True) as stream:
        chunks = [chunk.model_dump() for chunk in stream]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    return chunks


def chat_streamed_with_usage(client: OpenAI) -> Any:
    options: Any = {"include_usage": True}
    with client.chat.completions.create(model=MODEL, messages=HELLO, stream=True, stream_options=options) as stream:
        chunks = [chunk.model_dump() for chunk in stream]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] > 0
    return chunks


def tool_call(client: OpenAI) -> Any:
    answer = client.chat.completions.create(model=MODEL, messages=WEATHER, tools=[TOOL], tool_choice="required")
    assert answer.choices[0].finish_reason == "tool_calls"
    return answer.model_dump()


def tool_call_streamed(client: OpenAI) -> Any:
    """By the helper that puts the fragments together."""
    with client.chat.completions.stream(model=MODEL, messages=WEATHER, tools=[TOOL]) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls
    assert calls[0].function.name == "get_weather"
    assert "tool_calls.function.arguments.delta" in events
    return events, final.model_dump()


def tool_result(client: OpenAI) -> Any:
    call = client.chat.completions.create(model=MODEL, messages=WEATHER, tools=[TOOL]).choices[0].message
    assert call.tool_calls
    said: Any = call.model_dump(exclude_none=True)
    result: ChatCompletionMessageParam = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "7 °C"}
    answer = client.chat.completions.create(model=MODEL, messages=[*WEATHER, said, result], tools=[TOOL])
    assert "7 °C" in (answer.choices[0].message.content or "")
    return answer.model_dump()


def several_choices(client: OpenAI) -> Any:
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    return answer.model_dump()


def several_choices_streamed(client: OpenAI) -> Any:
    with client.chat.completions.create(model=MODEL, messages=HELLO, n=2, stream=True) as stream:
        chunks = [chunk.model_dump() for chunk in stream]
    assert {chunk["choices"][0]["index"] for chunk in chunks} == {0, 1}
    return chunks


def logprobs(client: OpenAI) -> Any:
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, logprobs=True, top_logprobs=1)
    assert answer.choices[0].logprobs
    assert answer.choices[0].logprobs.content
    return answer.model_dump()


def json_mode(client: OpenAI) -> Any:
    wanted: Any = {"type": "json_object"}
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, response_format=wanted)
    assert (answer.choices[0].message.content or "").startswith("{")
    return answer.model_dump()


def json_schema(client: OpenAI) -> Any:
    answer = client.chat.completions.parse(model=MODEL, messages=HELLO, response_format=Recipe)
    assert isinstance(answer.choices[0].message.parsed, Recipe)
    return answer.id, answer.choices[0].message.parsed, answer.usage


def image(client: OpenAI) -> Any:
    parts: ChatCompletionMessageParam = {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is in this picture?"},
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
        ],
    }
    return client.chat.completions.create(model=MODEL, messages=[parts]).model_dump()


def unknown_fields(client: OpenAI) -> Any:
    extra = {"brand_new_parameter": {"deep": [1, None, 2**80]}}
    return client.chat.completions.create(model=MODEL, messages=HELLO, extra_body=extra).model_dump()


def completion(client: OpenAI) -> Any:
    answer = client.completions.create(model=MODEL, prompt=["Once upon a time", "In the beginning"], max_tokens=5)
    assert answer.choices[0].finish_reason == "length"
    return answer.model_dump()


def completion_streamed(client: OpenAI) -> Any:
    with client.completions.create(model=MODEL, prompt="Once upon a time", stream=True) as stream:
        chunks = [chunk.model_dump() for chunk in stream]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks)
    return chunks


def embeddings(client: OpenAI) -> Any:
    """The client asks for base64 by itself and unpacks it."""
    answer = client.embeddings.create(model=MODEL, input=["a cat", "a dog"], dimensions=64)
    assert [len(entry.embedding) for entry in answer.data] == [64, 64]
    return answer.model_dump()


def embeddings_as_floats(client: OpenAI) -> Any:
    answer = client.embeddings.create(model=MODEL, input="a cat", encoding_format="float")
    assert isinstance(answer.data[0].embedding[0], float)
    return answer.model_dump()


def embeddings_as_base64(client: OpenAI) -> Any:
    answer = client.embeddings.create(model=MODEL, input="a cat", encoding_format="base64")
    packed: object = answer.data[0].embedding
    assert isinstance(packed, str)
    return packed


def response(client: OpenAI) -> Any:
    answer = client.responses.create(model=MODEL, input="Tell me of the sea", instructions="Be brief.")
    assert answer.output_text
    return answer.model_dump()


def response_streamed(client: OpenAI) -> Any:
    with client.responses.create(model=MODEL, input="Tell me of the sea", stream=True) as stream:
        events = [event.model_dump() for event in stream]
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] == "response.completed"
    return events


def response_tool_call_streamed(client: OpenAI) -> Any:
    asked = "What is the weather in Oslo?"
    with client.responses.create(model=MODEL, input=asked, tools=[RESPONSES_TOOL], stream=True) as stream:
        events = [event.model_dump() for event in stream]
    assert "response.function_call_arguments.done" in {event["type"] for event in events}
    return events


def response_parsed(client: OpenAI) -> Any:
    answer = client.responses.parse(model=MODEL, input="How do I boil an egg?", text_format=Recipe)
    assert isinstance(answer.output_parsed, Recipe)
    return answer.id, answer.output_parsed, answer.usage


def models(client: OpenAI) -> Any:
    return [model.model_dump() for model in client.models.list()]


def one_model(client: OpenAI) -> Any:
    return client.models.retrieve(MODEL).model_dump()


def download(client: OpenAI) -> Any:
    content = client.files.content("file-3000000").read()
    assert len(content) == 3_000_000
    return hashlib.sha256(content).hexdigest()


SCENARIOS: tuple[Callable[[OpenAI], Any], ...] = (
    chat,
    chat_streamed,
    chat_streamed_with_usage,
    tool_call,
    tool_call_streamed,
    tool_result,
    several_choices,
    several_choices_streamed,
    logprobs,
    json_mode,
    json_schema,
    image,
    unknown_fields,
    completion,
    completion_streamed,
    embeddings,
    embeddings_as_floats,
    embeddings_as_base64,
    response,
    response_streamed,
    response_tool_call_streamed,
    response_parsed,
    models,
    one_model,
    download,
)


@pytest.fixture(scope="module")
def client(gateway: GatewayProcess) -> Iterator[OpenAI]:
    with openai_client(gateway) as through_gateway:
        yield through_gateway


@pytest.fixture(scope="module")
def direct(upstream: DemoUpstream) -> Iterator[OpenAI]:
    with OpenAI(base_url=upstream.url, api_key="any", max_retries=0) as straight:
        yield straight


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_client_sees_what_it_would_see_without_a_gateway(
    scenario: Callable[[OpenAI], Any], client: OpenAI, direct: OpenAI
) -> None:
    assert scenario(client) == scenario(direct)


def test_a_request_id_and_a_decision_come_with_every_answer(client: OpenAI) -> None:
    answer = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    assert answer.headers["x-assay-decision"] == "allow"
    assert answer.headers["x-assay-policy"]
    assert float(answer.headers["x-assay-guard-ms"]) >= 0
    completion = answer.parse()
    assert completion._request_id == answer.headers["x-request-id"]
    assert (completion._request_id or "").startswith("req_")


def test_a_stream_is_passed_on_while_it_runs(client: OpenAI) -> None:
    """The upstream would need a minute to the end: what is here earlier was not held."""
    model = f"{MODEL}?deltas=600&gap_ms=100"
    with client.chat.completions.create(model=model, messages=HELLO, stream=True, timeout=PATIENCE_SECONDS) as stream:
        assert [next(stream).choices[0].delta.role, bool(next(stream).choices[0].delta.content)] == ["assistant", True]


# --- uploads


def test_an_upload_streams_through(client: OpenAI, gateway: GatewayProcess, tmp_path: Path) -> None:
    size = 30_000_000
    path = tmp_path / "training.jsonl"
    path.write_bytes(b'{"prompt": "a", "completion": "b"}\n' * (size // 35 + 1))
    client.models.list()
    gateway.reset_peak_memory()
    before = gateway.peak_memory_bytes()
    with path.open("rb") as file:
        uploaded = client.files.create(file=file, purpose="fine-tune")
    grown = gateway.peak_memory_bytes() - before
    assert uploaded.filename == "training.jsonl"
    assert uploaded.purpose == "fine-tune"
    assert size < uploaded.bytes < size + 1000
    assert grown < size / 4, f"the gateway grew by {grown} bytes while {size} passed through"


def test_a_download_streams_through(client: OpenAI, gateway: GatewayProcess, tmp_path: Path) -> None:
    size = 30_000_000
    client.models.list()
    gateway.reset_peak_memory()
    before = gateway.peak_memory_bytes()
    with client.files.with_streaming_response.content(f"file-{size}") as answer:
        assert sum(len(piece) for piece in answer.iter_bytes()) == size
    assert gateway.peak_memory_bytes() - before < size / 4


# --- the asynchronous client


async def _async_chat(client: AsyncOpenAI) -> Any:
    return (await client.chat.completions.create(model=MODEL, messages=HELLO)).model_dump()


async def _async_chat_streamed(client: AsyncOpenAI) -> Any:
    async with await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True) as stream:
        return [chunk.model_dump() async for chunk in stream]


async def _async_tool_call_streamed(client: AsyncOpenAI) -> Any:
    async with client.chat.completions.stream(model=MODEL, messages=WEATHER, tools=[TOOL]) as stream:
        return (await stream.get_final_completion()).model_dump()


async def _async_response_streamed(client: AsyncOpenAI) -> Any:
    async with await client.responses.create(model=MODEL, input="Tell me of the sea", stream=True) as stream:
        return [event.model_dump() async for event in stream]


async def _async_embeddings(client: AsyncOpenAI) -> Any:
    return (await client.embeddings.create(model=MODEL, input="a cat")).model_dump()


async def _async_models(client: AsyncOpenAI) -> Any:
    return [model.model_dump() async for model in client.models.list()]


ASYNC_SCENARIOS: tuple[Callable[[AsyncOpenAI], Awaitable[Any]], ...] = (
    _async_chat,
    _async_chat_streamed,
    _async_tool_call_streamed,
    _async_response_streamed,
    _async_embeddings,
    _async_models,
)


@pytest.fixture
async def async_client(gateway: GatewayProcess) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0) as through_gateway:
        yield through_gateway


@pytest.mark.parametrize("scenario", ASYNC_SCENARIOS, ids=lambda scenario: scenario.__name__.lstrip("_"))
async def test_the_async_client_sees_the_same(
    scenario: Callable[[AsyncOpenAI], Awaitable[Any]], async_client: AsyncOpenAI, upstream: DemoUpstream
) -> None:
    async with AsyncOpenAI(base_url=upstream.url, api_key="any", max_retries=0) as direct:
        assert await scenario(async_client) == await scenario(direct)


async def test_many_requests_at_once_get_their_own_answers(async_client: AsyncOpenAI) -> None:
    async def say(number: int) -> str | None:
        model = f"{MODEL}?say=answer-{number}&ttft_ms={number % 7 * 10}"
        answer = await async_client.chat.completions.create(model=model, messages=HELLO)
        return answer.choices[0].message.content

    assert await asyncio.gather(*map(say, range(60))) == [f"answer-{number}" for number in range(60)]


async def test_a_client_that_times_out_leaves_the_gateway_well(async_client: AsyncOpenAI) -> None:
    with pytest.raises(openai.APITimeoutError):
        await async_client.chat.completions.create(model=f"{MODEL}?hang=1", messages=HELLO, timeout=0.2)
    assert await _async_chat(async_client)
