"""The official OpenAI client for Node: what it sees through the gateway is what it sees straight from the upstream."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.servers.gateway_process import SAID_BEFORE, SECRET, DemoUpstream, GatewayProcess

FOLDER = Path(__file__).parents[1] / "node"
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(
        NODE is None or not (FOLDER / "node_modules" / "openai").is_dir(),
        reason="needs a real Node (not installed), or `npm ci` in tests/e2e/node",
    ),
]

# What each scenario must show, so that two equal failures do not pass for a success.
SHOWS = {
    "chat": '"chat.completion"',
    "chat_streamed": '"chat.completion.chunk"',
    "chat_streamed_with_usage": '"completion_tokens"',
    "tool_call": '"get_weather"',
    "tool_call_streamed": '"get_weather"',
    "several_choices": '"index": 2',
    "logprobs": '"logprob"',
    "json_mode": '{\\"',
    "json_schema": '{\\"city\\"',
    "image": '"chat.completion"',
    "completion": '"text_completion"',
    "completion_streamed": '"text_completion"',
    "embeddings": '"embedding"',
    "embeddings_as_floats": '"embedding"',
    "response": '"completed"',
    "response_streamed": '"response.completed"',
    "models": '"demo-large"',
    "one_model": '"demo-small"',
    "upload": '"whole": true',
    "download": '"',
    "unknown_model": '"raised": "NotFoundError"',
    "upstream_500": '"raised": "InternalServerError"',
    "upstream_429": '"raised": "RateLimitError"',
    "left_early": '"left"',
}


@pytest.fixture(scope="module")
def through(gateway: GatewayProcess) -> Any:
    return _run(gateway.base_url, gateway.key)


@pytest.fixture(scope="module")
def direct(upstream: DemoUpstream) -> Any:
    return _run(upstream.url, "any")


@pytest.mark.parametrize("scenario", SHOWS)
def test_the_client_sees_what_it_would_see_without_a_gateway(scenario: str, through: Any, direct: Any) -> None:
    assert SHOWS[scenario] in json.dumps(through[scenario])
    assert through[scenario] == direct[scenario]


def test_no_scenario_is_forgotten(through: Any) -> None:
    assert set(through) == set(SHOWS)


def test_errors_of_the_gateway(gateway: GatewayProcess) -> None:
    seen = _run(gateway.base_url, gateway.key, "errors")
    assert (seen["wrong_key"]["raised"], seen["wrong_key"]["status"]) == ("AuthenticationError", 401)
    assert seen["wrong_key"]["code"] == "invalid_api_key"
    assert (seen["broken_off"]["raised"], seen["broken_off"]["code"]) == ("APIError", "upstream_truncated")
    for error in seen.values():
        assert set(error["body"]) == {"message", "type", "param", "code"}


def test_an_enforced_policy(windowed: GatewayProcess, leak: str) -> None:
    seen = _run(windowed.base_url, windowed.key, "policy", leak)
    assert SECRET not in json.dumps(seen)
    assert (seen["blocked"]["raised"], seen["blocked"]["code"]) == ("BadRequestError", "content_filter")
    for name in ("blocked_chat_streamed", "blocked_completion_streamed"):
        choices = [choice for part in seen[name] for choice in part["choices"]]
        assert choices[-1]["finish_reason"] == "content_filter"
        said = "".join(choice.get("text") or choice.get("delta", {}).get("content") or "" for choice in choices)
        assert SAID_BEFORE.startswith(said)  # how much had left depends on how busy the machine is
    response = seen["blocked_response_streamed"]
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "content_filter"})


@pytest.fixture(scope="module")
def moderated(upstream: DemoUpstream) -> Iterator[Any]:
    settings = {"ASSAY_UPSTREAM_URL": upstream.url, "ASSAY_GUARD_TIMEOUT_SECONDS": "60"}
    with GatewayProcess(settings) as running:
        yield _run(running.base_url, running.key, "moderated")


def test_moderations(moderated: Any) -> None:
    assert moderated["moderations"]["results"][0]["categories"]["harassment/threatening"]


@pytest.mark.parametrize("stream", ["", "_streamed"])
def test_a_moderated_completion(moderated: Any, stream: str) -> None:
    scored, withheld = ([seen] if isinstance(seen, dict) else seen for seen in _both(moderated, stream))
    (told,) = [part["moderation"] for part in scored if part.get("moderation")]
    assert told["input"]["results"][0]["flagged"]
    assert not told["output"]["results"][0]["flagged"]
    (told,) = [part["moderation"] for part in withheld if part.get("moderation")]
    assert told["output"]["results"][0]["categories"]["harassment"]
    ends = [choice["finish_reason"] for part in withheld for choice in part["choices"] if choice["finish_reason"]]
    assert ends == ["content_filter"]
    assert "worthless" not in json.dumps(withheld)


@pytest.mark.parametrize("stream", ["", "_streamed"])
def test_a_moderated_response(moderated: Any, stream: str) -> None:
    scored, withheld = _both(moderated, f"_response{stream}")
    assert (scored["status"], scored["moderation"]["input"]["flagged"]) == ("completed", True)
    assert not scored["moderation"]["output"]["flagged"]
    assert (withheld["status"], withheld["output_text"]) == ("incomplete", "")
    assert withheld["moderation"]["output"]["flagged"]


@pytest.mark.parametrize("name", ["refused", "refused_response"])
def test_a_prompt_that_may_be_blocked_for_its_moderation(moderated: Any, name: str) -> None:
    assert (moderated[name]["raised"], moderated[name]["code"]) == ("BadRequestError", "content_filter")


def _both(moderated: Any, name: str) -> tuple[Any, Any]:
    return moderated[f"scored{name}"], moderated[f"withheld{name}"]


def _run(*arguments: str) -> Any:
    assert NODE is not None
    command = [NODE, str(FOLDER / "client.mjs"), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)
