"""Judge models that find in a text the sub-categories that stand in it in brackets, as `[violence]`, and answer in
their dialect; `serve_judges` puts them behind a real server on loopback."""

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.support.servers.scripted_server import JSON, Peer, Server, answer, serve

LLAMA_GUARD = {
    "violence": "S1", "unlawful_conduct": "S2", "harms_to_minor": "S4", "privacy_violation": "S7",
    "copyrighted_content": "S8", "hate": "S10", "mental_health": "S11", "adult_content": "S12", "unsafe": "S13",
}  # fmt: skip
QWEN3GUARD = {
    "violence": "Violent", "unlawful_conduct": "Non-violent Illegal Acts", "mental_health": "Suicide & Self-Harm",
    "adult_content": "Sexual Content or Sexual Acts", "privacy_violation": "PII", "prompt_attacks": "Jailbreak",
    "copyrighted_content": "Copyright Violation", "unsafe": "Unethical Acts",
}  # fmt: skip
SHIELD_GEMMA = {"Sexually": "adult_content", "Hate": "hate", "Harassment": "toxicity", "Dangerous": "unsafe"}
MODERATIONS = {
    "harassment": "toxicity", "hate": "hate", "illicit": "unlawful_conduct", "self-harm": "mental_health",
    "sexual": "adult_content", "sexual/minors": "harms_to_minor", "violence": "violence", "astrology": "unsafe",
}  # fmt: skip
USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
Body = Mapping[str, Any]


def found_in(text: str) -> set[str]:
    """What a text is: the names in brackets."""
    return set(re.findall(r"\[(\w+)\]", text))


def chat_answer(text: str, first: Mapping[str, float] | None = None) -> dict[str, Any]:
    """A chat completion; `first` are log-probabilities of the first token."""
    tokens: list[dict[str, Any]] = [
        {"token": name, "logprob": value, "bytes": None} for name, value in (first or {}).items()
    ]
    content = [{**max(tokens, key=lambda token: token["logprob"]), "top_logprobs": tokens}] if tokens else None
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "finish_reason": "stop",
        "logprobs": content and {"content": content, "refusal": None},
    }
    return {
        "id": "c1", "object": "chat.completion", "created": 1, "model": "judge", "choices": [choice], "usage": USAGE
    }  # fmt: skip


def _last(body: Body) -> str:
    content = body["messages"][-1]["content"]
    assert isinstance(content, str)
    return content


def llama_guard(body: Body) -> Body:
    codes = [LLAMA_GUARD[slug] for slug in sorted(found_in(_last(body))) if slug in LLAMA_GUARD]
    return chat_answer("\n\nunsafe\n" + ",".join(codes) if codes else "\n\nsafe")


def qwen3guard(body: Body) -> Body:
    found = found_in(_last(body))
    names = [QWEN3GUARD[slug] for slug in sorted(found) if slug in QWEN3GUARD]
    lines = [f"Safety: {'Unsafe' if names else 'Safe'}", f"Categories: {', '.join(names) or 'None'}"]
    if body["messages"][-1]["role"] == "assistant":
        lines.append(f"Refusal: {'Yes' if 'refusal' in found else 'No'}")
    return chat_answer("\n".join(lines))


def shield_gemma(body: Body) -> Body:
    guideline = body["chat_template_kwargs"]["guideline"]
    slug = next(slug for word, slug in SHIELD_GEMMA.items() if word in guideline)
    return _yes_or_no(slug in found_in(_last(body)))


def _yes_or_no(yes: bool) -> Body:
    return chat_answer("Yes" if yes else "No", {"Yes": -0.1 if yes else -2.4, "No": -2.4 if yes else -0.1})


def wildguard(body: Body) -> Body:
    human, _, assistant = _last(body).rpartition("Human user:")[2].partition("AI assistant:")
    says = {
        "Harmful request": "unsafe" in found_in(human),
        "Response refusal": "refusal" in found_in(assistant),
        "Harmful response": "unsafe" in found_in(assistant),
    }
    return chat_answer("\n".join(f"{name}: {'yes' if yes else 'no'}" for name, yes in says.items()))


def policy(body: Body) -> Body:
    asked = re.findall(r"^- (\w+):", body["messages"][0]["content"], re.MULTILINE)
    found = found_in(_last(body).rpartition("###")[2])
    return chat_answer("```json\n" + json.dumps({"applies": sorted(found & set(asked))}) + "\n```")


def questions(body: Body) -> Body:
    """Asked `[violence]?`: a test gives each question its sub-category in brackets."""
    text, _, question = _last(body).partition("### QUESTION")
    return _yes_or_no(bool(found_in(text.rpartition("###")[2]) & found_in(question)))


def moderations(body: Body) -> Body:
    found = found_in(body["input"])
    flags = {name: slug in found for name, slug in MODERATIONS.items()}
    scores = {name: 0.8 if flag else 0.01 for name, flag in flags.items()}
    result = {"flagged": any(flags.values()), "categories": flags, "category_scores": scores}
    return {"id": "modr-1", "model": "omni-moderation-latest", "results": [result]}


def decisions(body: Body) -> Body:
    found = found_in(body["input"].rpartition("###")[2])
    answers = [
        {"type": "predicate", "name": each["name"], "probability": 0.9 if each["name"] in found else 0.1}
        for each in body["questions"]
    ]
    return {"model": "assay", "answers": answers, "usage": {"input_tokens": 90, "output_tokens": 0}}


JUDGES: Mapping[str, Callable[[Body], Body]] = {
    "llama_guard": llama_guard,
    "qwen3guard": qwen3guard,
    "shield_gemma": shield_gemma,
    "wildguard": wildguard,
    "policy": policy,
    "questions": questions,
    "moderations": moderations,
    "decisions": decisions,
}


@asynccontextmanager
async def serve_judges() -> AsyncIterator[Server]:
    """All of them; the request's `model` is the name of the dialect."""

    async def script(peer: Peer) -> None:
        while True:
            body = json.loads((await peer.request()).body)
            await peer.send(answer(json.dumps(JUDGES[body["model"]](body)).encode(), JSON))

    async with serve(script) as server:
        yield server
