"""LangChain's ChatOpenAI: only base URL and key differ from using the upstream directly."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai import DefaultAsyncHttpxClient, DefaultHttpxClient, NotFoundError
from pydantic import BaseModel, SecretStr

from tests.support.servers.gateway_process import DemoUpstream, GatewayProcess

ASKED = "How do I boil an egg?"


class Recipe(BaseModel):
    """A dish."""

    title: str
    minutes: int


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"7 °C in {city}"


def essence(message: AIMessage | BaseMessageChunk) -> Any:
    """What a program uses of an answer; its run id is new every time."""
    assert isinstance(message, AIMessage)
    return message.content, message.tool_calls, message.usage_metadata, message.response_metadata["finish_reason"]


def invoke(model: ChatOpenAI) -> Any:
    answer = model.invoke([("system", "Be brief."), ("human", ASKED)])
    assert answer.content
    return essence(answer)


def stream(model: ChatOpenAI) -> Any:
    chunks = list(model.stream(ASKED))
    assert len(chunks) > 3
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    assert whole.usage_metadata
    return [chunk.content for chunk in chunks], essence(whole)


def tool_call(model: ChatOpenAI) -> Any:
    """The whole round: a call, its result, the answer."""
    asked = HumanMessage("What is the weather in Oslo?")
    with_tools = model.bind_tools([get_weather])
    call = with_tools.invoke([asked])
    assert isinstance(call, AIMessage)
    assert call.tool_calls[0]["name"] == "get_weather"
    result = ToolMessage(get_weather.invoke(call.tool_calls[0]["args"]), tool_call_id=call.tool_calls[0]["id"])
    answer = with_tools.invoke([asked, call, result])
    assert "7 °C in Oslo" in str(answer.content)
    return essence(call), essence(answer)


def tool_call_streamed(model: ChatOpenAI) -> Any:
    chunks = model.bind_tools([get_weather]).stream("What is the weather in Oslo?")
    fragments = [getattr(chunk, "tool_call_chunks", []) for chunk in chunks]
    assert sum(map(bool, fragments)) > 1
    return fragments


def structured(model: ChatOpenAI) -> Any:
    recipe = model.with_structured_output(Recipe, method="json_schema").invoke(ASKED)
    assert isinstance(recipe, Recipe)
    return recipe


def batch(model: ChatOpenAI) -> Any:
    return [essence(answer) for answer in model.batch([ASKED, "Tell me of the sea", "Hello"])]


def image(model: ChatOpenAI) -> Any:
    parts: list[str | dict[Any, Any]] = [
        {"type": "text", "text": "What is in this picture?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]
    return essence(model.invoke([HumanMessage(parts)]))


SCENARIOS: tuple[Callable[[ChatOpenAI], Any], ...] = (
    invoke,
    stream,
    tool_call,
    tool_call_streamed,
    structured,
    batch,
    image,
)


async def _ainvoke(model: ChatOpenAI) -> Any:
    return essence(await model.ainvoke(ASKED))


async def _astream(model: ChatOpenAI) -> Any:
    return [chunk.content async for chunk in model.astream(ASKED)]


@pytest.fixture(scope="module")
def http() -> Iterator[DefaultHttpxClient]:
    """Connections of our own: those that LangChain keeps for itself are never closed."""
    with DefaultHttpxClient() as client:
        yield client


def chat(base_url: str, key: str, model: str = "demo-small", **clients: Any) -> ChatOpenAI:
    return ChatOpenAI(base_url=base_url, api_key=SecretStr(key), model=model, stream_usage=True, **clients)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_langchain_sees_what_it_would_see_without_a_gateway(
    scenario: Callable[[ChatOpenAI], Any], gateway: GatewayProcess, upstream: DemoUpstream, http: DefaultHttpxClient
) -> None:
    through = scenario(chat(gateway.base_url, gateway.key, http_client=http))
    assert through == scenario(chat(upstream.url, "any", http_client=http))


@pytest.mark.parametrize("scenario", [_ainvoke, _astream], ids=lambda scenario: scenario.__name__.lstrip("_"))
async def test_asynchronous_langchain_sees_the_same(
    scenario: Callable[[ChatOpenAI], Awaitable[Any]],
    gateway: GatewayProcess,
    upstream: DemoUpstream,
    http: DefaultHttpxClient,
) -> None:
    async with DefaultAsyncHttpxClient() as client:
        clients: dict[str, Any] = {"http_client": http, "http_async_client": client}
        through = await scenario(chat(gateway.base_url, gateway.key, **clients))
        assert through == await scenario(chat(upstream.url, "any", **clients))


def test_embeddings(gateway: GatewayProcess, upstream: DemoUpstream, http: DefaultHttpxClient) -> None:
    def embed(base_url: str, key: str) -> list[list[float]]:
        embeddings = OpenAIEmbeddings(
            base_url=base_url,
            api_key=SecretStr(key),
            model="demo-small",
            check_embedding_ctx_length=False,
            http_client=http,
        )
        return embeddings.embed_documents(["a cat", "a dog"])

    vectors = embed(gateway.base_url, gateway.key)
    assert vectors == embed(upstream.url, "any")
    assert [len(vector) for vector in vectors] == [256, 256]


def test_an_unknown_model(gateway: GatewayProcess, http: DefaultHttpxClient) -> None:
    with pytest.raises(NotFoundError) as raised:
        chat(gateway.base_url, gateway.key, "none", http_client=http).invoke(ASKED)
    assert raised.value.code == "model_not_found"
