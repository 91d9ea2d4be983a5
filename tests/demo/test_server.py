"""The demo upstream, over real sockets: the official SDK understands it, and every knob does what it says."""

import base64
import hashlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import openai
import pytest
import uvicorn

from gateway.demo.answers import CONVERSATIONS, Library, tokens
from gateway.demo.knobs import KnobError, Knobs, turned
from gateway.demo.server import DOWNLOAD_PIECE, create
from gateway.openai_api import Operation, read_stream, sse
from tests.support.running.patience import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    """The address of a server of our own, on a free port."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create(), log_level="critical", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def sdk(base: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def http(base: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base, timeout=PATIENCE_SECONDS) as client:
        yield client


def wait_until(true: Any, seconds: float = PATIENCE_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.002)


def ask(prompt: str = "Why is the sky blue?", model: str = "demo-small", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **more}


USER: Any = [{"role": "user", "content": "Why is the sky blue but sunsets red?"}]
WEATHER: Any = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}, "days": {"type": "integer"}},
    },
}
IN_OSLO: Any = [{"role": "user", "content": "What is the weather in Oslo for 3 days?"}]


# --- what it says -----------------------------------------------------------------------------------------


def test_the_conversations_are_sound() -> None:
    rows = [json.loads(line) for line in CONVERSATIONS.read_text().splitlines()]
    assert len(rows) >= 80
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({row["topic"] for row in rows}) >= 10
    for row in rows:
        assert set(row) == {"id", "topic", "messages"}
        assert row["messages"][-1]["role"] == "assistant"
        assert row["messages"][-1]["content"]


def test_each_prompt_finds_its_own_conversation() -> None:
    library = Library(CONVERSATIONS.read_bytes())
    for conversation in library:
        assert library.choose(conversation.prompt, 0) is conversation


def test_unlike_prompts_are_answered_too_and_always_the_same() -> None:
    one, other = (Library(CONVERSATIONS.read_bytes()) for _ in range(2))
    prompts = [f"zxqv{i} \ud800" for i in range(50)]
    chosen = [one.choose(prompt, 0).id for prompt in prompts]
    assert chosen == [other.choose(prompt, 0).id for prompt in prompts]
    assert len(set(chosen)) > 20


@pytest.mark.parametrize("text", ["", " ", "a", "a  b\n", "zażółć gęślą 🙂"])
def test_tokens_join_to_the_text(text: str) -> None:
    assert "".join(tokens(text)) == text


def test_chat(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="demo-large", messages=USER)
    assert "scatter" in str(answer.choices[0].message.content)
    assert (answer.model, answer.choices[0].finish_reason) == ("demo-large", "stop")
    assert answer.usage
    assert answer.usage.prompt_tokens == 8
    assert answer.usage.total_tokens == 8 + answer.usage.completion_tokens > 8
    assert answer == sdk.chat.completions.create(model="demo-large", messages=USER)


def test_chat_streamed(sdk: openai.OpenAI) -> None:
    whole = sdk.chat.completions.create(model="demo-small", messages=USER)
    chunks = list(sdk.chat.completions.create(model="demo-small", messages=USER, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_of_a_stream_only_when_asked(sdk: openai.OpenAI) -> None:
    stream = sdk.chat.completions.create(
        model="demo-small", messages=USER, stream=True, stream_options={"include_usage": True}
    )
    *_, last = stream
    assert last.choices == []
    assert last.usage
    assert last.usage.total_tokens > 8


def test_several_choices_and_limits(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="demo-small", messages=USER, n=3, max_completion_tokens=4)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) == 3
    assert answer.choices[0].message.content == "Air molecules scatter short"
    assert answer.choices[0].finish_reason == "length"


def test_logprobs(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="demo-small", messages=USER, logprobs=True, top_logprobs=1)
    logprobs = answer.choices[0].logprobs
    assert logprobs
    assert logprobs.content
    assert "".join(entry.token for entry in logprobs.content) == answer.choices[0].message.content


def test_tools(sdk: openai.OpenAI) -> None:
    tools: Any = [{"type": "function", "function": WEATHER}]
    answer = sdk.chat.completions.create(model="demo-small", messages=IN_OSLO, tools=tools)
    [call] = answer.choices[0].message.tool_calls or []
    assert answer.choices[0].finish_reason == "tool_calls"
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"city": "Oslo", "unit": "C", "days": 3}

    streamed = sdk.chat.completions.create(model="demo-small", messages=IN_OSLO, tools=tools, stream=True)
    deltas = [call for chunk in streamed for call in chunk.choices[0].delta.tool_calls or ()]
    assert deltas[0].function
    assert deltas[0].function.name == "get_weather"
    arguments = "".join(delta.function.arguments or "" for delta in deltas if delta.function)
    assert arguments == call.function.arguments

    turn: Any = {"role": "tool", "tool_call_id": call.id, "content": "4 degrees"}
    answer = sdk.chat.completions.create(model="demo-small", messages=[*IN_OSLO, turn], tools=tools)
    assert answer.choices[0].message.content == "Here is what I found: 4 degrees"
    cases: Any = ((USER, "auto", False), (USER, "required", True), (IN_OSLO, "none", False))
    for messages, choice, called in cases:
        answer = sdk.chat.completions.create(model="demo-small", messages=messages, tools=tools, tool_choice=choice)
        assert bool(answer.choices[0].message.tool_calls) is called


def test_json_mode(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="demo-small", messages=USER, response_format={"type": "json_object"})
    assert set(json.loads(answer.choices[0].message.content or "")) == {"answer"}
    schema = {"type": "object", "properties": {"colour": {"type": "string"}, "sure": {"type": "boolean"}}}
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = sdk.chat.completions.create(model="demo-small", messages=USER, response_format=wanted)
    assert set(json.loads(answer.choices[0].message.content or "")) == {"colour", "sure"}


def test_images_in_the_content(sdk: openai.OpenAI) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    parts = [{"type": "text", "text": USER[0]["content"]}, picture]
    messages: Any = [{"role": "user", "content": parts}]
    answer = sdk.chat.completions.create(model="demo-small", messages=messages)
    assert "scatter" in str(answer.choices[0].message.content)


def test_completions(sdk: openai.OpenAI) -> None:
    prompt = USER[0]["content"]
    whole = sdk.completions.create(model="demo-small", prompt=prompt)
    stream = sdk.completions.create(model="demo-small", prompt=[prompt], stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == whole.choices[0].text
    assert "scatter" in whole.choices[0].text


@pytest.mark.slow
def test_responses(sdk: openai.OpenAI) -> None:
    whole = sdk.responses.create(model="demo-small", input=USER)
    assert "scatter" in whole.output_text
    events = list(sdk.responses.create(model="demo-small", input=USER[0]["content"], stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    names = [event.type.removeprefix("response.") for event in events]
    assert names[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert names[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert set(names[4:-4]) == {"output_text.delta"}
    with sdk.responses.stream(model="demo-small", input=USER) as stream:
        assert stream.get_final_response().output_text == whole.output_text


def test_responses_with_tools(sdk: openai.OpenAI) -> None:
    tools: Any = [{"type": "function", "strict": False, **WEATHER}]
    whole = sdk.responses.create(model="demo-small", input=IN_OSLO, tools=tools)
    assert whole.output[0].type == "function_call"
    assert json.loads(whole.output[0].arguments)["city"] == "Oslo"
    with sdk.responses.stream(model="demo-small", input=IN_OSLO, tools=tools) as stream:
        [item] = stream.get_final_response().output
    assert item.type == "function_call"
    assert item.arguments == whole.output[0].arguments
    told: Any = {"type": "function_call_output", "call_id": "c", "output": "4 degrees"}
    after = sdk.responses.create(model="demo-small", input=[*IN_OSLO, told], tools=tools)
    assert after.output_text == "Here is what I found: 4 degrees"
    cut = sdk.responses.create(model="demo-small", input=USER, max_output_tokens=2)
    assert (cut.status, cut.output_text) == ("incomplete", "Air molecules")


def test_tokens_of_a_message_are_counted(http: httpx.Client) -> None:
    body = {"model": "demo-small", "messages": [{"role": "user", "content": "three plain words"}]}
    answer = http.post("/v1/messages/count_tokens", json=body)
    assert (answer.status_code, answer.json()) == (200, {"input_tokens": 3})


def test_embeddings(sdk: openai.OpenAI) -> None:
    texts = ["the cat sat", "the cat lay", "stock prices"]
    floats = sdk.embeddings.create(model="demo-small", input=texts, encoding_format="float", dimensions=64)
    packed = sdk.embeddings.create(model="demo-small", input=texts, dimensions=64)  # the SDK asks for base64
    vectors = [entry.embedding for entry in floats.data]
    assert [len(vector) for vector in vectors] == [64] * 3
    assert [entry.embedding for entry in packed.data] == vectors
    near, far = (sum(a * b for a, b in zip(vectors[0], other, strict=True)) for other in vectors[1:])
    assert near > far
    assert sdk.embeddings.create(model="demo-small", input=[1, 2, 3]).usage.prompt_tokens == 3


def test_base64_embeddings_are_little_endian_floats(http: httpx.Client) -> None:
    body = {"model": "demo-small", "input": "x", "encoding_format": "base64"}
    [entry] = http.post("/v1/embeddings", json=body).json()["data"]
    assert len(struct.unpack("<256f", base64.b64decode(entry["embedding"]))) == 256


def test_models(sdk: openai.OpenAI) -> None:
    assert [model.id for model in sdk.models.list()] == ["demo-small", "demo-large", "demo-careless", "demo-judge"]
    assert sdk.models.retrieve("demo-large").id == "demo-large"
    with pytest.raises(openai.NotFoundError, match="`gpt-9` does not exist") as caught:
        sdk.models.retrieve("gpt-9")
    assert caught.value.code == "model_not_found"


def test_files(sdk: openai.OpenAI, http: httpx.Client) -> None:
    stored = sdk.files.create(file=("notes.txt", b"hello" * 50_000), purpose="user_data")
    assert (stored.filename, stored.purpose) == ("notes.txt", "user_data")
    assert stored.bytes > 250_000
    body = b"x" * 3_000_000
    stored_raw = http.post("/v1/files", content=(body[i : i + 9999] for i in range(0, len(body), 9999))).json()
    assert (stored_raw["bytes"], stored_raw["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    content = sdk.files.content("file-200000").read()
    assert content == (DOWNLOAD_PIECE * 4)[:200_000]
    assert len(http.get("/v1/files/any/content?big=70000").content) == 70_000


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "code"),
    [
        ("/v1/chat/completions", b"{", 400, None, None),
        ("/v1/chat/completions", b"[]", 400, None, None),
        ("/v1/chat/completions", b'{"messages":[]}', 400, "model", None),
        ("/v1/chat/completions", b'{"model":"demo-small"}', 400, None, None),
        ("/v1/chat/completions", b'{"model":"gpt-9"}', 404, "model", "model_not_found"),
        ("/v1/chat/completions", b'{"model":"demo-small?detlas=3"}', 400, "model", "unknown_knob"),
        ("/v1/responses", b'{"model":"demo-small","input":[]}', 400, None, None),
        ("/v1/embeddings", b'{"model":"demo-small"}', 400, None, None),
        ("/v1/nothing", b"", 404, None, "unknown_url"),
    ],
)
def test_errors(http: httpx.Client, path: str, body: bytes, status: int, param: str, code: str) -> None:
    reply = http.post(path, content=body)
    error = reply.json()["error"]
    assert reply.status_code == status
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["param"], error["code"]) == (param, code)


# --- knobs ------------------------------------------------------------------------------------------------


def test_knobs_are_checked() -> None:
    assert turned(Knobs(), {"ttft_ms": "5", "hang": "", "say": "x"}) == Knobs(ttft_ms=5.0, hang=True, say="x")
    with pytest.raises(KnobError, match="did you mean 'deltas'"):
        turned(Knobs(), {"detlas": "3"})
    with pytest.raises(KnobError, match="'gap_ms' of the demo upstream takes float, not 'soon'"):
        turned(Knobs(), {"gap_ms": "soon"})


def test_a_later_source_of_knobs_wins(http: httpx.Client) -> None:
    headers = {"x-demo-say": "header", "x-demo-gap-ms": "0"}
    said = [
        http.post(f"/v1/chat/completions{query}", json=ask(model=model), headers=headers)
        for query, model in (("", "demo-small"), ("?say=query", "demo-small"), ("?say=query", "demo-small?say=m"))
    ]
    contents = [reply.json()["choices"][0]["message"]["content"] for reply in said]
    assert contents == ["header", "query", "m"]
    assert {reply.json()["model"] for reply in said} == {"demo-small"}


@pytest.mark.parametrize("count", [1, 5, 64, 400])
def test_deltas(http: httpx.Client, count: int) -> None:
    body = ask(model=f"demo-small?deltas={count}", stream=True)
    events = sse.Decoder().feed(http.post("/v1/chat/completions", json=body).content)
    deltas = [json.loads(e.data)["choices"][0]["delta"] for e in events if e.raw != sse.DONE]
    assert len([delta for delta in deltas if delta.get("content")]) == count


def test_waiting(http: httpx.Client) -> None:
    body = ask(model="demo-small?deltas=5&ttft_ms=60&gap_ms=20", stream=True)
    begun = time.monotonic()
    with http.stream("POST", "/v1/chat/completions", json=body) as reply:
        assert time.monotonic() - begun >= 0.06
        reply.read()
    assert time.monotonic() - begun >= 0.06 + 4 * 0.02


@pytest.mark.parametrize(("status", "retry"), [(400, None), (401, None), (429, "1"), (500, None), (503, "1")])
def test_status(http: httpx.Client, status: int, retry: str | None) -> None:
    reply = http.post("/v1/chat/completions", json=ask(), headers={"x-demo-status": str(status)})
    assert reply.status_code == status
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert reply.headers.get("retry-after") == retry


def test_html(http: httpx.Client) -> None:
    reply = http.post("/v1/chat/completions", json=ask(model="demo-small?html=1"))
    assert (reply.status_code, reply.headers["content-type"]) == (502, "text/html")
    assert reply.text.startswith("<html>")


@pytest.mark.parametrize("knob", ["gzip", "split=1", "split=7", "gzip&split=1"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_same_answer_in_another_guise(http: httpx.Client, knob: str, stream: bool) -> None:
    plain = http.post("/v1/chat/completions", json=ask(stream=stream)).content
    guised = http.post(f"/v1/chat/completions?{knob}", json=ask(stream=stream))
    assert guised.content == plain
    assert (guised.headers.get("content-encoding") == "gzip") is ("gzip" in knob)


def test_crlf(http: httpx.Client) -> None:
    plain = http.post("/v1/chat/completions", json=ask(stream=True)).content
    assert http.post("/v1/chat/completions?crlf=1", json=ask(stream=True)).content == plain.replace(b"\n", b"\r\n")


@pytest.mark.slow
def test_big(http: httpx.Client) -> None:
    reply = http.post("/v1/chat/completions?big=3000000", json=ask())
    assert len(reply.json()["choices"][0]["message"]["content"]) == 3_000_000


def test_a_picked_conversation(http: httpx.Client) -> None:
    body = ask(model="demo-small?pick=capital-australia", stream=True)
    [passage] = read_stream(Operation.CHAT, http.post("/v1/chat/completions", json=body).content).passages
    assert passage.text.startswith("Canberra")


@pytest.mark.parametrize("count", [0, 1, 4])
@pytest.mark.parametrize("stream", [False, True])
def test_reset(http: httpx.Client, count: int, stream: bool) -> None:
    got = b""
    body = ask(model=f"demo-small?reset_after={count}&split=50", stream=stream)
    with (
        pytest.raises(httpx.RemoteProtocolError),
        http.stream("POST", "/v1/chat/completions", json=body) as reply,
    ):
        for piece in reply.iter_raw():
            got += piece
    if stream:
        assert len(sse.Decoder().feed(got)) == count
    else:
        assert len(got) == 50 * count


def test_an_error_in_the_middle(http: httpx.Client, sdk: openai.OpenAI) -> None:
    body = ask(model="demo-small?error_after=3", stream=True)
    *_, last = sse.Decoder().feed(http.post("/v1/chat/completions", json=body).content)
    assert set(json.loads(last.data)["error"]) == {"message", "type", "param", "code"}
    stream = sdk.chat.completions.create(model="demo-small?error_after=3", messages=USER, stream=True)
    with pytest.raises(openai.APIError, match="told to fail"):
        list(stream)


# --- what it received -------------------------------------------------------------------------------------


def received(http: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/v1/demo/received").json()
    return found


def test_the_last_request_is_kept(http: httpx.Client) -> None:
    body = json.dumps(ask(), indent=3).encode()
    before = received(http)
    http.post("/v1/chat/completions?deltas=1", content=body, headers={"X-Mine": "yes"})
    after = received(http)
    last = after["last"]
    assert ["x-mine", "yes"] in last["headers"]
    assert (last["method"], last["path"], last["query"]) == ("POST", "/v1/chat/completions", "deltas=1")
    assert (last["body_bytes"], last["body_sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert after["started"] == before["started"] + 1
    assert after["finished"] == before["finished"] + 1
    assert after["in_flight"] == 0


@pytest.mark.parametrize(
    "knobs",
    ["hang=1", "ttft_ms=600000", "gap_ms=600000", "stall_after=2", "deltas=200000&gap_ms=5", "big=100&gap_ms=600000"],
)
def test_a_client_that_leaves_is_noticed_at_once(base: str, http: httpx.Client, knobs: str) -> None:
    before = received(http)
    host, port = base.removeprefix("http://").split(":")
    body = json.dumps(ask(model=f"demo-small?{knobs}", stream=True)).encode()
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body))
        client.sendall(body)
        wait_until(lambda: received(http)["in_flight"] == 1)
    wait_until(lambda: received(http)["cancelled"] == before["cancelled"] + 1)
    assert received(http)["in_flight"] == 0


def test_a_client_that_leaves_a_download_or_an_upload(base: str, http: httpx.Client) -> None:
    host, port = base.removeprefix("http://").split(":")
    for head in (
        b"GET /v1/files/x/content?big=500000000 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nabc",
    ):
        before = received(http)
        with socket.create_connection((host, int(port))) as client:
            client.sendall(head)
            wait_until(lambda: received(http)["in_flight"] == 1)
        wait_until(lambda seen=before["cancelled"]: received(http)["cancelled"] == seen + 1)


def test_a_reset_is_no_cancellation(http: httpx.Client) -> None:
    before = received(http)
    with pytest.raises(httpx.RemoteProtocolError):
        http.post("/v1/chat/completions?reset_after=1", json=ask(stream=True))
    after = received(http)
    assert (after["cut"], after["cancelled"]) == (before["cut"] + 1, before["cancelled"])
