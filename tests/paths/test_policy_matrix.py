"""Every channel, both directions, every way of a stream: what a rule does is the same everywhere."""

import json
from typing import Any

from gateway.openai_api import Channel, Operation
from tests.support.fakes import World, completion
from tests.support.fakes import rules as written_rules
from tests.support.running.together import together
from tests.support.servers.scripted_server import JSON, Script, always, answer, answering, serve, streaming
from tests.support.wire.surfaces import SURFACES, Delta, Surface, text_and_end

HELLO = answer(completion("Good day."), JSON)
MESSAGE = "I cannot help with this; please ask a person."
DELTAS = ("my key AKI", "A42 is", " here")
PLACES = [(name, channel) for name, surface in SURFACES.items() for channel in surface.channels]
MODES = ["monitor", "canary, canary: 0.0001", "canary, canary: 100", "enforce"]


def rule(then: str, mode: str = "enforce", on: str = "response") -> str:
    return written_rules(f"id: r, when: {{subcategory: privacy_violation, on: {on}}}, {then}, mode: {mode}")


def script(surface: Surface, channel: Channel, *, stream: bool) -> Script:
    deltas = [Delta(text, channel) for text in DELTAS]
    return streaming(*surface.stream(deltas)) if stream else answering(answer(surface.whole(deltas), JSON))


@together("then", ["then: redact", "then: block", f"then: replace, message: '{MESSAGE}'"])
@together("way", ["whole", "hold", "window"])
@together(("name", "channel"), PLACES)
async def test_nothing_of_a_secret_leaves_in_any_channel(name: str, channel: Channel, way: str, then: str) -> None:
    surface, stream = SURFACES[name], way != "whole"
    streams: Any = "window" if way == "window" else "hold"
    async with (
        serve(script(surface, channel, stream=stream)) as server,
        World(server.port, rules=rule(then), streams=streams) as world,
    ):
        seen = await world.ask(surface.path, surface.request(stream=stream))
    assert b"AKI" not in seen.body
    assert b"A42" not in seen.body
    sign = {"then: redact": b"[REDACTED:word]", "then: block": surface.block_sign}.get(then, MESSAGE.encode())
    assert sign in seen.body
    assert world.last.ruling.decision == then.split()[1].strip(",")


@together("then", ["then: redact", "then: block", f"then: replace, message: '{MESSAGE}'"])
@together(("name", "channel"), PLACES)
async def test_an_observed_stream_passes_as_it_is_and_is_judged_for_certain(
    name: str, channel: Channel, then: str
) -> None:
    surface = SURFACES[name]
    async with (
        serve(script(surface, channel, stream=True)) as server,
        World(server.port, rules=rule(then), streams="observe", draw=lambda: 0.999999) as world,
    ):
        seen = await world.ask(surface.path, surface.request(stream=True))
    assert seen.body == b"".join(surface.stream([Delta(text, channel) for text in DELTAS]))
    assert world.last.ruling.decision == "allow"
    assert world.queue.depth()[0] == 1


PROMPTS: dict[str, Any] = {
    "user": {"messages": [{"role": "user", "content": "".join(DELTAS)}]},
    "tool": {"messages": [{"role": "tool", "tool_call_id": "c", "content": "".join(DELTAS)}]},
    "arguments": {
        "messages": [
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "".join(DELTAS)}}
                ],
            }
        ]
    },
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "".join(DELTAS)}]}]},
}
ON_PROMPTS = {
    "flag": "then: flag",
    "throttle": "then: throttle, per_minute: 5",
    "redact": "then: redact",
    "reroute": "then: reroute, system: 'Mind what you say.'",
    "replace": f"then: replace, message: '{MESSAGE}'",
    "block": "then: block",
}


@together("mode", MODES)
@together("action", ON_PROMPTS)
@together("place", PROMPTS)
async def test_a_prompt_is_dealt_with_in_every_channel(place: str, action: str, mode: str) -> None:
    acts = mode in ("enforce", "canary, canary: 100") and action != "flag"
    body = json.dumps({"model": "m", **PROMPTS[place]}).encode()
    rules = rule(ON_PROMPTS[action], mode, on="prompt")
    async with serve(answering(HELLO)) as server, World(server.port, rules=rules) as world:
        seen = await world.ask(body=body)
    sent = [request.body for request in server.requests]
    assert world.last.ruling.decision == (action if acts else "allow")
    if not acts or action == "throttle":
        assert (seen.status, sent) == (200, [body])
    elif action == "redact":
        assert [json.loads(one) for one in sent] == [json.loads(body.replace(b"AKIA42", b"[REDACTED:word]"))]
    elif action == "reroute":
        assert json.loads(sent[0])["messages"][0] == {"role": "system", "content": "Mind what you say."}
    elif action == "replace":
        assert sent == []
        assert text_and_end(Operation.CHAT, seen.body, stream=False) == (MESSAGE, "stop")
    else:
        assert (seen.status, sent) == (400, [])


COUNTED = ["/v1/messages/count_tokens", "/v1/responses/input_tokens"]
STOP_OR_CUT = written_rules(
    "id: stop, when: {subcategory: violence, on: prompt}, then: block",
    "id: cut, when: {subcategory: privacy_violation, on: prompt}, then: redact",
)


@together("path", COUNTED)
async def test_what_leaves_to_be_counted_is_blocked_and_cut_as_well(path: str) -> None:
    def asks(text: str) -> bytes:
        key = "input" if "responses" in path else "messages"
        return json.dumps({"model": "m", key: [{"role": "user", "content": text}]}).encode()

    async with (
        serve(always(answer(b'{"input_tokens": 3}', JSON))) as server,
        World(server.port, rules=STOP_OR_CUT) as w,
    ):
        assert (await w.ask(path, asks("throw a grenade"))).status == 400
        assert server.requests == []
        assert (await w.ask(path, asks("the key AKIA42 is old"))).body == b'{"input_tokens": 3}'
        assert (await w.ask(path, asks("good day"))).status == 200
        bodies = [request.body for request in server.requests]
    assert bodies == [asks("the key [REDACTED:word] is old"), asks("good day")]
