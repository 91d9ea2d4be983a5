"""What a policy must not let slip past it in streams, and what must stay right around a block: the whole path."""

import json
from typing import Any

import pytest

from gateway.exchange import Streams
from gateway.openai_api import Channel
from tests.support.fakes import DONE, Seen, World, chat, completion, policy, rules
from tests.support.running.together import together
from tests.support.servers.scripted_server import JSON, Peer, answer, answering, serve, streaming
from tests.support.wire import messages_api
from tests.support.wire.surfaces import SURFACES, USAGE, Delta, objects

REDACT = rules("id: r, when: {subcategory: privacy_violation, on: response}, then: redact")
BLOCK = rules("id: r, when: {subcategory: violence, on: response}, then: block")
WAYS: tuple[Streams, ...] = ("hold", "window")


def event(**choice: Any) -> bytes:
    entry = {"index": 0, **choice}
    return b"data: " + json.dumps({"id": "c1", "created": 7, "model": "m", "choices": [entry]}).encode() + b"\n\n"


def tokens(*texts: str) -> dict[str, Any]:
    entries = [{"token": text, "logprob": -1, "bytes": list(text.encode()), "top_logprobs": []} for text in texts]
    return {"content": entries, "refusal": None}


async def ask(events: list[bytes], policy: str, way: Streams) -> Seen:
    async with serve(streaming(*events)) as server, World(server.port, rules=policy, streams=way) as world:
        return await world.ask(body=chat("hi", stream=True))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("place", ["before", "with", "after"])
async def test_token_log_probabilities_do_not_spell_out_what_was_cut(way: Streams, place: str) -> None:
    told = tokens("key", " AKIA42", " ok")
    text = event(delta={"content": "key AKIA42 ok"}, logprobs=told if place == "with" else None)
    alone = [event(delta={}, logprobs=told)]
    before, after = (alone if place == "before" else []), (alone if place == "after" else [])
    seen = await ask([*before, text, *after, DONE], REDACT, way)
    assert b"key [REDACTED:word] ok" in seen.body
    assert b"AKIA42" not in seen.body


@pytest.mark.parametrize("way", WAYS)
async def test_token_log_probabilities_of_a_clean_text_stay(way: Streams) -> None:
    events = [event(delta={"content": "good day"}, logprobs=tokens("good", " day")), DONE]
    assert (await ask(events, REDACT, way)).body == b"".join(events)


async def test_a_text_that_pauses_in_a_word_is_not_let_out_while_another_one_goes_on() -> None:
    thoughts = [event(delta={"reasoning_content": "b " * 10}) for _ in range(20)]
    events = [event(delta={"content": "key AKI"}), *thoughts, event(delta={"content": "A42 now"}), DONE]
    seen = await ask(events, REDACT, "window")
    said = [choice["delta"].get("content", "") for part in objects(seen.body) for choice in part["choices"]]
    assert "".join(said) == "key [REDACTED:word] now"


async def test_a_text_that_ended_with_its_sentence_keeps_nothing_back() -> None:
    """Thoughts before an answer, as most models have them: the answer leaves while it is being written."""
    events = [event(delta={"reasoning_content": "I know what to say."})]
    events += [event(delta={"content": f"word {number} "}) for number in range(40)]
    async with serve(streaming(*events, DONE)) as server, World(server.port, rules=REDACT, streams="window") as world:
        seen = await world.ask(body=chat("hi", stream=True))
    assert seen.body == b"".join(events) + DONE
    assert len(seen.pieces) > 4


async def test_a_word_spelt_with_escapes_in_a_call_is_read() -> None:
    arguments = '{"a": "gren\\u0061de"}'
    call = {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": arguments}}]}
    seen = await ask([event(delta=call), DONE], BLOCK, "hold")
    assert b"content_filter" in seen.body
    assert b"0061" not in seen.body


@pytest.mark.parametrize("action", ["block", "replace, message: 'no'"])
@together("way", ["whole", "hold", "window"])
@together("name", SURFACES)
async def test_usage_stays_right_around_what_is_blocked_or_replaced(name: str, way: str, action: str) -> None:
    surface = SURFACES[name]
    deltas = [Delta("take a "), Delta("gren"), Delta("ade and")]
    whole = way == "whole"
    script = answering(answer(surface.whole(deltas), JSON)) if whole else streaming(*surface.stream(deltas))
    asked = surface.request(stream=not whole, stream_options={"include_usage": True})
    policy = rules(f"id: r, when: {{subcategory: violence, on: response}}, then: {action}")
    streams: Streams = "window" if way == "window" else "hold"
    async with serve(script) as server, World(server.port, rules=policy, streams=streams) as world:
        seen = await world.ask(surface.path, asked)
    if whole and action == "block":
        assert seen.status == (200 if name == "messages" else 400)
        return
    if name == "messages":
        told = [one["usage"] for one in ([json.loads(seen.body)] if whole else objects(seen.body)) if "usage" in one]
        assert told[-1]["input_tokens"] == 3
        return
    last = json.loads(seen.body) if whole else objects(seen.body)[-1]
    usage = (last.get("response") or last).get("usage")
    if name == "responses" and way == "window":
        assert usage is None, "the stream ended before the model server told"
    else:
        assert usage is not None
        assert usage["total_tokens"] == USAGE["total_tokens"]


async def test_the_header_names_the_policy_that_decided() -> None:
    """It came into force between the request and its answer."""

    async def script(peer: Peer) -> None:
        await peer.request()
        world.guard.adopt(policy(BLOCK))
        await peer.send(answer(completion("a grenade"), JSON))

    async with serve(script) as server, World(server.port) as world:
        before = world.guard.policy.revision
        seen = await world.ask(body=chat("hi"))
    assert seen.status == 400
    assert seen.headers[b"x-assay-policy"].decode() == policy(BLOCK).revision != before


BLOCKS: list[tuple[str, Channel]] = [
    ("key AKI", "assistant"),
    ("x" * 9, "reasoning"),
    ("A42", "assistant"),
    ("{}", "arguments"),
]


@pytest.mark.parametrize("way", WAYS)
async def test_a_secret_in_several_blocks_of_a_message_is_cut_out_of_all(way: Streams) -> None:
    """With thoughts between the blocks, and a call after them, which lasts."""
    lasting: list[tuple[str, Channel]] = [("[" * 9, "arguments")] * 40
    events = messages_api.stream([*BLOCKS, *lasting])
    async with serve(streaming(*events)) as server, World(server.port, rules=REDACT, streams=way) as world:
        seen = await world.ask("/v1/messages", messages_api.request(stream=True))
    said = "".join(part.get("delta", {}).get("text", "") for part in objects(seen.body))
    assert said == "key [REDACTED:word]"
    assert b"A42" not in seen.body


async def test_a_secret_in_several_blocks_of_a_whole_message_is_cut_out_of_all() -> None:
    content = [{"type": "text", "text": "key AKI"}, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": "b c"}}]
    body = json.loads(messages_api.whole({})) | {"content": [*content, {"type": "text", "text": "A42 now"}]}
    script = answering(answer(json.dumps(body).encode(), JSON))
    async with serve(script) as server, World(server.port, rules=REDACT) as world:
        seen = await world.ask("/v1/messages", messages_api.request())
    texts = [part["text"] for part in json.loads(seen.body)["content"] if part["type"] == "text"]
    assert texts == ["key [REDACTED:word]", "[REDACTED:word] now"]
    assert json.loads(seen.body)["content"][1] == content[1]
