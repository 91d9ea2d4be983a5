"""What a head says: sentences in headers and queries are found, and what servers, browsers and SDKs write there is
none."""

from base64 import b64encode
from urllib.parse import quote

import pytest

from gateway.openai_api import headers_with_text, target_says_something
from tests.support.running.steps import grows_with_the_length, steps
from tests.support.running.together import together

AGENTS = """
Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36
Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1
Mozilla/5.0 (Linux; Android 15; Pixel 9 Build/AP3A.241105.007; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/131.0.0.0 Mobile Safari/537.36
Mozilla/5.0 (compatible; Examplebot/2.1; +http://www.example.com/bot.html)
Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; .NET4.0C; .NET4.0E; .NET CLR 2.0.50727; rv:11.0) like Gecko
AsyncOpenAI/Python 2.8.1
OpenAI/JS 6.9.0
Anthropic/Python 0.75.0
aws-sdk-js/3.0 ua/2.0 os/linux#5.10 lang/js md/nodejs#22.12 api/sts#3.0
python-httpx/0.28.1
Apache-HttpClient/4.5.13 (Java/21.0.2)
azsdk-python-ai-inference/1.0.0b9 Python/3.12.3 (Linux-6.8-x86_64-with-glibc2.39)
claude-cli/2.0.35 (external, cli)
Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.12026; Pro)
LiteLLM proxy server (self hosted)
node
""".strip().splitlines()  # noqa: E501
HEADS = """
date: Sun, 29 Nov 2026 12:00:00 GMT
content-type: application/json; charset=utf-8
server: Apache/2.4.62 (Ubuntu) OpenSSL/3.0.2 PHP/8.3
strict-transport-security: max-age=31536000; includeSubDomains; preload
access-control-allow-methods: GET, POST, PUT, DELETE, OPTIONS
access-control-expose-headers: X-Request-ID, CF-Ray
vary: Origin, Accept-Encoding, Cookie, Authorization
cache-control: no-cache, no-store, must-revalidate, private, max-age=0
content-security-policy: default-src 'none'; frame-ancestors 'self'; base-uri 'none'; script-src 'self'
permissions-policy: geolocation=(), camera=(self), microphone=()
x-cache: Error from cloudfront
via: 1.1 google, 1.1 abc.cloudfront.net (CloudFront)
x-ratelimit-reset-tokens: 6m0s
retry-after: Sun, 29 Nov 2026 12:01:00 GMT
openai-organization: user-abcdefgh
report-to: {"group":"cf-nel","max_age":604800,"endpoints":[{"url":"https://a.nel.example.com/report/v4?s=abc"}]}
nel: {"report_to": "cf-nel", "success_fraction": 0.01, "max_age": 604800}
x-ms-region: East US
x-powered-by: Express
x-frame-options: SAMEORIGIN
x-content-type-options: nosniff
x-robots-tag: noindex, nofollow, noarchive, nosnippet
referrer-policy: strict-origin-when-cross-origin
x-accel-buffering: no
server-timing: total;dur=12.5;desc="app server"
anthropic-ratelimit-requests-reset: 2026-11-29T12:00:00Z
anthropic-beta: context-1m-2025-08-07,files-api-2025-04-14
traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
""".strip().splitlines()
SAID = "now tell them where the jewels are"
TEXTS: dict[str, list[tuple[str, str]]] = {
    "a sentence": [("x-note", SAID)],
    "with commas": [("x-note", "bring, jewels, home, tonight")],
    "with dots": [("x-note", "bring. jewels. home. tonight.")],
    "escaped": [("x-note", "bring%20jewels%20home%20tonight")],
    "in base64": [("x-note", b64encode(SAID.encode()).decode())],
    "joined": [("x-note", "now-tell-them-where-the-jewels-are")],
    "word by word": [(f"x-{n}", word) for n, word in enumerate(SAID.split())],
    "in a list": [("vary", ", ".join(SAID.split()))],
    "in place of a number": [("retry-after", SAID)],
    "in an etag": [("etag", f'"{SAID}"')],
    "without spaces": [("x-note", "炸炸炸炸炸炸炸炸")],
    "in place of a program": [("user-agent", "bring jewels home tonight")],
    "beside a program": [("user-agent", f"curl/8.5.0 ({SAID})")],
    "behind a program": [("user-agent", f"curl/8.5.0 {SAID}")],
    "in a name": [("x-now-tell-them-where-the-jewels-are", "1")],
    "escaped twice": [("x-note", "bring%2520jewels%2520home%2520tonight")],
    "in a long name": [("x-now-please-tell-them-where-the-stolen-golden-jewels-and-rings-of-your-aunt-are", "1")],
    "in a server's name": [("server", SAID)],
}


def found(headers: list[tuple[str, str]]) -> set[bytes]:
    return set(headers_with_text([(name.encode(), value.encode()) for name, value in headers]))


@pytest.mark.parametrize("what", TEXTS)
def test_a_text_in_a_header_is_found(what: str) -> None:
    told = found(TEXTS[what])
    assert told <= {name.encode() for name, _ in TEXTS[what]}
    assert told


@pytest.mark.parametrize("agent", AGENTS)
def test_what_programs_call_themselves_is_no_text(agent: str) -> None:
    assert found([("user-agent", agent)]) == set()


def test_the_heads_of_servers_say_nothing() -> None:
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in HEADS)]
    assert found(headers) == set()
    for header in headers:
        assert found([header]) == set()


PATHS = """
/v1/chat/completions
/v1/models/meta-llama/Llama-3.3-70B-Instruct-Turbo
/v1/responses/resp_68a1b2c3d4e5f60718293a4b/input_items
/v1/fine_tuning/jobs/ftjob-abc123/checkpoints
/v1/fine_tuning/checkpoints/ft:gpt-4o-mini-2024-07-18:acme::B1/permissions
/v1/threads/thread_1/runs/run_1/submit_tool_outputs
/v1/organization/users/user_1/roles/role_1
/v1/files/file-1/content
/v1/containers/cntr_1/files/cfile_1/content
/v1/engines/my%20own%20model/completions
""".strip().splitlines()


@pytest.mark.parametrize("path", PATHS)
def test_a_path_of_an_api_is_no_text(path: str) -> None:
    assert not target_says_something(path, b"api-version=2026-01-01&limit=20&order=asc")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/" + quote(SAID),
        "/v1/models/" + quote(quote(SAID)),
        "/v1/files/bring%20jewels%20home%20tonight/content",
        "/v1/files/now-tell-them-where-the-jewels-are/content",
        "/v1/models/now/tell/them/where/the/jewels/are",
        "/v1/models/" + quote("炸" * 8),
        "/v1/models/" + b64encode(SAID.encode()).decode().rstrip("="),
    ],
)
def test_a_text_in_a_path_is_found(path: str) -> None:
    assert target_says_something(path, b"")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (b"", False),
        (b"api-version=2026-01-01&limit=20&order=asc", False),
        (b"name=My+Z%C3%BCrich+file", False),
        (b"include[]=message.output_text.logprobs&include[]=reasoning.encrypted_content", False),
        (b"note=bring+jewels%20home,+tonight", True),
        (b"bring%20jewels+home+tonight", True),
        (b"q=" + "炸".encode() * 8, True),
        (b"q=" + b64encode(SAID.encode()), True),
        (b"q=" + quote(quote(SAID)).encode(), True),
        (b"&".join(SAID.encode().split()), True),
        (b"&".join(b"%d=%b" % (i, word) for i, word in enumerate(SAID.encode().split())), True),
    ],
)
def test_a_text_in_a_query_is_found(query: bytes, says: bool) -> None:
    assert target_says_something("/v1/models", query) is says


@together("unit", ["aaa-", "-_", "(", "(a", "a/", "a ", "\u00e9", "a'", "%41", "%2541", "aB"])
def test_a_long_head_costs_no_more_for_each_character(unit: str) -> None:
    """Read on the event loop, and a client chooses it."""
    assert grows_with_the_length(lambda text: headers_with_text([(b"user-agent", text.encode())]), unit, 7_000)
    assert grows_with_the_length(lambda text: headers_with_text([(b"x-a", b"a" + text.encode() + b"a")]), unit, 7_000)
    assert grows_with_the_length(lambda text: target_says_something("/v1/x", b"q=" + text.encode()), unit, 7_000)


def test_what_is_too_long_to_be_looked_at_counts_as_a_text() -> None:
    assert not target_says_something("/v1/x", b"a1&" * 2000)
    assert not headers_with_text([(b"x-a", b"a1 " * 2000)])

    def looked_over() -> None:
        assert target_says_something("/v1/x", b"a1&" * 20_000)
        assert target_says_something("/v1" + "/a1" * 20_000, b"")
        assert headers_with_text([(b"x-a", b"a1 " * 20_000)]) == {b"x-a"}

    assert steps(looked_over) < 100


def test_the_paths_of_the_api_are_looked_at_once() -> None:
    target_says_something("/v1/chat/completions", b"")
    assert steps(lambda: target_says_something("/v1/chat/completions", b"")) < 10


KEYS = {
    "a key": [("x-note", "AKIAQ3EGRNV5PLWXT2UD")],
    "a key behind its name": [("openai-organization", "key=ghp_9aB3cD4eF5gH6iJ7kL8mN9oP0qR1sT2uV3wX;")],
    "a key beside a program": [("server", "nginx/1.2 (AKIAQ3EGRNV5PLWXT2UD)")],
    "an escaped key": [("x-note", "sk%2Da1B2c3D4a1B2c3D4a1B2c3D4")],
    "a key in a name": [("x-akiaq3egrnv5plwxt2ud", "1")],
}


@pytest.mark.parametrize("what", KEYS)
def test_a_secret_in_a_header_is_found_in_answers_only(what: str) -> None:
    headers = [(name.encode(), value.encode()) for name, value in KEYS[what]]
    assert headers_with_text(headers, answered=True) == {name for name, _ in headers}
    assert headers_with_text(headers) == set()


def test_the_heads_of_servers_hold_no_secret() -> None:
    headers = [(name.encode(), value.encode()) for name, _, value in (line.partition(": ") for line in HEADS)]
    assert headers_with_text(headers, answered=True) == set()
