"""The configuration: where values come from, and what a person is told who got one wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import routes as built
from gateway.config import settings
from gateway.config.explain import settings_table, unknown_environment
from gateway.config.load import load
from gateway.config.settings import Config, ConfigError, env_name, is_loopback
from gateway.exchange import Upstream
from tests.support.running.examples import examples
from tests.support.running.together import together

DEFAULTS = Config.model_validate({})


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No `assay.yaml` but one that a test writes, and no proxy but one that it names."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


def write(text: str | bytes, name: str = "assay.yaml") -> Path:
    path = Path(name)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(text: str | bytes = "", env: dict[str, str] | None = None, **flags: str) -> list[str]:
    """The complaints about a file, an environment and flags."""
    if text:
        write(text)
    with pytest.raises(ConfigError) as caught:
        load(flags, env or {})
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def problem(text: str | bytes = "", env: dict[str, str] | None = None, **flags: str) -> str:
    [only] = problems(text, env, **flags)
    return only


# --- where values come from ----------------------------------------------------------------------------------


def test_nothing_at_all_is_a_configuration() -> None:
    config = load({}, {})
    assert config == DEFAULTS
    assert (config.host, config.port, config.uses_demo) == ("127.0.0.1", 8080, True)


def test_flags_over_environment_over_file_over_default() -> None:
    write("port: 1\nhost: 127.0.0.1\nsample_rate: 0.1\npolicy: strict\n")
    env = {"ASSAY_PORT": "2", "ASSAY_SAMPLE_RATE": "0.2"}
    config = load({"port": "3", "host": None}, env)
    assert (config.port, config.sample_rate, config.policy, config.workers) == (3, 0.2, "strict", 1)
    assert load({}, env).port == 2
    assert load({}, {}).port == 1


def test_an_empty_variable_is_no_value() -> None:
    assert load({}, {"ASSAY_PORT": "", "ASSAY_UPSTREAM_URL": "", "OPENAI_API_KEY": ""}) == DEFAULTS


def test_the_file_may_be_elsewhere() -> None:
    write("port: 1\n")
    other = write("port: 2\n", "other.yaml")
    assert load({}, {"ASSAY_CONFIG": "other.yaml"}).port == 2
    assert load({}, {"ASSAY_CONFIG": "missing.yaml"}, other).port == 2
    assert problem(env={"ASSAY_CONFIG": "missing.yaml"}) == "missing.yaml: cannot be read: No such file or directory"
    Path("folder").mkdir()
    assert problem(env={"ASSAY_CONFIG": "folder"}) == "folder: cannot be read: Is a directory"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "{}"])
def test_an_empty_file(text: str) -> None:
    write(text)
    assert load({}, {}) == DEFAULTS


def test_every_setting_can_come_from_everywhere() -> None:
    """Each default, written as text, is read back from the environment and from a flag."""
    for name, field in Config.model_fields.items():
        default = field.get_default()
        if default in (None, [], {}):
            continue
        text = ",".join(map(str, default)) if isinstance(default, list) else str(default)
        assert getattr(load({}, {env_name(name): text}), name) == default
        assert getattr(load({name: text}, {}), name) == default


@pytest.mark.parametrize(
    ("text", "meant"), [("true", True), ("1", True), ("yes", True), ("false", False), ("0", False), ("off", False)]
)
def test_truths(text: str, meant: bool) -> None:
    assert load({}, {"ASSAY_DETECTORS": text}).detectors is meant


def test_variables_in_the_file() -> None:
    write(
        "upstreams:\n  main: {url: 'http://${HOST}:80${PORT:-81}/v1', key: '${KEY}'}\n"
        "keys: ['${KEY}-for-all', {name: bob, key: 'x${NONE:-}12345678'}]\n"
        "policy: '$HOME and ${lower-case} stay'\n"
    )
    config = load({}, {"HOST": "model", "KEY": "sk-1"})
    assert config.upstreams["main"].url == "http://model:8081/v1"
    assert [key.key and key.key.get_secret_value() for key in config.keys] == ["sk-1-for-all", "x12345678"]
    assert config.policy == "$HOME and ${lower-case} stay"


def test_every_missing_variable_is_named_with_its_place() -> None:
    found = problems("upstreams: {main: {url: 'http://a/v1', key: '${MAIN_KEY}'}}\nkeys: ['${MINE}']\n")
    assert found == [
        "assay.yaml: upstreams.main.key: the environment variable MAIN_KEY is not set; set it or write ${MAIN_KEY:-…}",
        "assay.yaml: keys.0: the environment variable MINE is not set; set it or write ${MINE:-…}",
    ]


def test_what_else_is_wrong_is_told_beside_what_is_missing() -> None:
    found = problems("upstream_key: ${MAIN_KEY}\npolcy: strict\n")
    assert found == [
        "assay.yaml: upstream_key: the environment variable MAIN_KEY is not set; set it or write ${MAIN_KEY:-…}",
        "assay.yaml: polcy: unknown key; did you mean `policy`?",
    ]


# --- upstreams, routes, keys ---------------------------------------------------------------------------------


def test_the_openai_key_alone_is_enough() -> None:
    config = load({}, {"OPENAI_API_KEY": "sk-1"})
    assert built.upstreams(config) == {
        "default": Upstream("default", "https", "api.openai.com", 443, "/v1", "sk-1"),
    }
    assert not config.uses_demo


def test_the_openai_key_goes_to_openai_only() -> None:
    config = load({}, {"OPENAI_API_KEY": "sk-1", "ASSAY_UPSTREAM_URL": "http://model:8000/v1/"})
    assert built.upstreams(config) == {"default": Upstream("default", "http", "model", 8000, "/v1", None)}
    config = load({}, {"OPENAI_API_KEY": "sk-1", "ASSAY_UPSTREAM_KEY": "sk-2"})
    assert built.upstreams(config)["default"].key == "sk-2"
    config = load({}, {"OPENAI_API_KEY": "sk-1", "ASSAY_UPSTREAM_URL": "demo"})
    # As in the processes that serve, which get the demo upstream's address as `upstream_url`.
    assert built.upstreams(config, "http://127.0.0.1:9/v1") == {
        "default": Upstream("default", "http", "127.0.0.1", 9, "/v1")
    }


def test_upstreams_and_routes_in_the_environment() -> None:
    env = {
        "ASSAY_UPSTREAMS": '{"big": {"url": "https://big.example/v1", "key": "k1"}, "local": {"url": "http://[::1]:80"}}',
        "ASSAY_ROUTES": "{all: {models: ['*'], upstreams: [local]}, "
        "gpt: {models: [gpt-4o, 'gpt-*'], upstreams: [big, local], model: gpt-x, sample_rate: 0}}",
        "ASSAY_SAMPLE_RATE": "0.5",
    }
    config = load({}, env)
    by_name = built.upstreams(config)
    assert by_name == {
        "big": Upstream("big", "https", "big.example", 443, "/v1", "k1"),
        "local": Upstream("local", "http", "::1", 80, ""),
    }
    (everything, all_), (patterns, gpt) = built.routes(config, by_name)
    assert (everything, all_.name, all_.upstreams, all_.sample_rate) == (("*",), "all", (by_name["local"],), 0.5)
    assert (patterns, gpt.model, gpt.sample_rate) == (("gpt-4o", "gpt-*"), "gpt-x", 0)
    assert gpt.upstreams == (by_name["big"], by_name["local"])


def proxy_of(url: str, *, config: str = "") -> str | None:
    """The proxy on the way to this upstream."""
    loaded = load({}, {"ASSAY_UPSTREAMS": f"{{a: {{url: '{url}'{config}}}}}"})
    return built.upstreams(loaded)["a"].proxy


PROXIES = {
    "none": ({}, "https://a/v1", None),
    "by scheme, https": ({"HTTPS_PROXY": "http://p:1", "HTTP_PROXY": "http://q:2"}, "https://a/v1", "http://p:1"),
    "by scheme, http": ({"HTTPS_PROXY": "http://p:1", "HTTP_PROXY": "http://q:2"}, "http://a/v1", "http://q:2"),
    "lower case": ({"https_proxy": "http://p:1"}, "https://a/v1", "http://p:1"),
    "lower case first": ({"https_proxy": "http://p:1", "HTTPS_PROXY": "http://q:2"}, "https://a/v1", "http://p:1"),
    "of another scheme": ({"HTTP_PROXY": "http://p:1"}, "https://a/v1", None),
    "of all": ({"ALL_PROXY": "http://p:1"}, "https://a/v1", "http://p:1"),
    "of all, lower case": ({"all_proxy": "http://p:1"}, "http://a/v1", "http://p:1"),
    "rather than of all": ({"ALL_PROXY": "http://p:1", "HTTPS_PROXY": "http://q:2"}, "https://a/v1", "http://q:2"),
    "with credentials": ({"HTTPS_PROXY": "http://u:p%40w@p:1"}, "https://a/v1", "http://u:p%40w@p:1"),
    "without a scheme": ({"HTTPS_PROXY": "p:3128"}, "https://a/v1", "http://p:3128"),
    "reached by TLS": ({"HTTPS_PROXY": "https://p:1"}, "https://a/v1", "https://p:1"),
    "not for this host": ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "b,a"}, "https://a/v1", None),
    "not for hosts below": ({"HTTPS_PROXY": "http://p:1", "no_proxy": ".corp.example"}, "https://a.corp.example", None),
    "for a host like it": ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.b"}, "https://ba.b/v1", "http://p:1"),
    "not for this port": ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a:8000"}, "http://a:8000/v1", None),
    "for another port": ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a:8000"}, "http://a:8001/v1", "http://p:1"),
    "not for an address": ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "127.0.0.1,::1"}, "http://127.0.0.1:1/v1", None),
    "not for a long address": ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "127.0.0.1,::1"}, "http://[::1]:1/v1", None),
    "for nobody": ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://a/v1", None),
}


@pytest.mark.parametrize("name", PROXIES)
def test_the_environment_names_the_proxy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environ, url, expected = PROXIES[name]
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    assert proxy_of(url) == expected
    assert proxy_of(url, config=", proxy: none") is None
    assert proxy_of(url, config=", proxy: None") is None
    assert proxy_of(url, config=", proxy: 'http://own:3128'") == "http://own:3128"


def test_the_one_upstream_has_a_proxy_too_and_the_demo_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://p:1")
    assert built.upstreams(load({}, {"OPENAI_API_KEY": "sk-1"}))["default"].proxy == "http://p:1"
    assert built.upstreams(load({}, {}))["default"].proxy is None


@pytest.mark.parametrize("url", [f"socks5://u:{'hidden'}@p:1", "http://u:hidden@p:port", "http://[hidden", "http://"])
def test_a_proxy_of_the_environment_that_cannot_be_used(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", url)
    with pytest.raises(ConfigError) as caught:
        proxy_of("https://a.example/v1")
    [said] = caught.value.problems
    assert said.startswith("ALL_PROXY: is not the URL of an HTTP proxy; write it as http://")
    assert "name a.example in NO_PROXY" in said
    assert "hidden" not in said


def test_http2_is_asked_for() -> None:
    config = load({}, {"ASSAY_UPSTREAMS": "{a: {url: 'https://a/v1', http2: true}, b: {url: 'https://b/v1'}}"})
    assert {name: upstream.http2 for name, upstream in built.upstreams(config).items()} == {"a": True, "b": False}


def test_an_upstream_shows_no_secret() -> None:
    shown = repr(Upstream("a", "https", "a", 443, "/v1", "sk-hidden", True, "http://u:hidden@p:1"))
    assert "hidden" not in shown


def test_without_routes_everything_goes_to_the_first_upstream() -> None:
    config = load({}, {"ASSAY_UPSTREAMS": "{b: {url: 'http://b'}, a: {url: 'http://a'}}"})
    by_name = built.upstreams(config)
    [(patterns, route)] = built.routes(config, by_name)
    assert (patterns, route.upstreams, route.sample_rate) == (("*",), (by_name["b"],), 1.0)


def test_keys_in_the_environment() -> None:
    config = load({}, {"ASSAY_KEYS": " first-key , second-key,"})
    assert [(key.name, key.key and key.key.get_secret_value(), key.routes) for key in config.keys] == [
        ("key-1", "first-key", None),
        ("key-2", "second-key", None),
    ]
    config = load({}, {"ASSAY_KEYS": '[{"name": "ada", "key": "first-key", "routes": ["default"]}, "second-key"]'})
    assert [(key.name, key.routes) for key in config.keys] == [("ada", ["default"]), ("key-2", None)]


def test_header_names_are_compared_in_lower_case() -> None:
    write("forward_headers: [X-Trace-Id, 'X-My-*']\n")
    assert load({}, {}).forward_headers == ["x-trace-id", "x-my-*"]
    assert load({}, {"ASSAY_FORWARD_HEADERS": "X-Trace-Id, Y "}).forward_headers == ["x-trace-id", "y"]


# --- what is wrong is said ------------------------------------------------------------------------------------

WRONG: dict[str, tuple[str, str]] = {
    # file → the whole complaint, or its beginning up to "…"
    "an unknown key": ("sampel_rate: 1", "assay.yaml: sampel_rate: unknown key; did you mean `sample_rate`?"),
    "a key like no other": ("zzz: 1", "assay.yaml: zzz: unknown key"),
    "a number as a key": ("1: 2", "assay.yaml: 1: unknown key"),
    "in an upstream": (
        "upstreams: {main: {ulr: 'http://a'}}",
        "assay.yaml: upstreams.main.url: field required…"
        "assay.yaml: upstreams.main.ulr: unknown key; did you mean `url`?",
    ),
    "in a route": (
        "routes: {r: {modles: [a], models: ['*'], upstreams: [demo]}}",
        "assay.yaml: routes.r.modles: unknown key; did you mean `models`?",
    ),
    "in a key": (
        "keys: [{name: a, key: 12345678, rutes: []}]",
        "assay.yaml: keys.0.key: input should be a valid string…"
        "assay.yaml: keys.0.rutes: unknown key; did you mean `routes`?",
    ),
    "a word for a number": (
        "port: eighty",
        "assay.yaml: port: input should be a valid integer, unable to parse string as an integer (found 'eighty')",
    ),
    "too large": ("port: 70000", "assay.yaml: port: input should be less than or equal to 65535 (found 70000)"),
    "a negative time": ("ping_seconds: -1", "assay.yaml: ping_seconds: input should be greater than 0 (found -1)"),
    "an endless time": ("ping_seconds: .inf", "assay.yaml: ping_seconds: input should be a finite number (found inf)"),
    "no number": ("sample_rate: .nan", "assay.yaml: sample_rate: …"),
    "a share above one": (
        "sample_rate: 1.5",
        "assay.yaml: sample_rate: input should be less than or equal to 1 (found 1.5)",
    ),
    "another word": (
        "streams: hld",
        "assay.yaml: streams: input should be 'observe', 'window' or 'hold' (found 'hld')",
    ),
    "no mapping": ("[1, 2]", "assay.yaml: must be a mapping of settings, found list"),
    "a word only": ("hello", "assay.yaml: must be a mapping of settings, found str"),
    "no YAML": ("port: [1", "assay.yaml:1:9: is not YAML: expected ',' or ']', but got '<stream end>'"),
    "a tab": ("a:\n\t- b", "assay.yaml:2:1: is not YAML: found character '\\t' that cannot start any token"),
    "a tag": ("port: !!python/object:os.system 1", "assay.yaml:1:7: is not YAML: could not determine a constructor…"),
    "a control character": ("port: \x01", "assay.yaml: is not YAML: special characters are not allowed"),
    "deep nesting": ("port: " + "[" * 600 + "]" * 600, "assay.yaml: is nested too deeply to be…"),
    "a date that is none": ("policy: 2024-99-99", "assay.yaml: is not YAML: month must be in 1..12; put texts that…"),
    "an alias of itself": ("keys: &all [*all]", "assay.yaml: contains itself by an alias (`*name`)"),
    "a list for a mapping": ("upstreams: [a]", "assay.yaml: upstreams: input should be a valid dictionary"),
    "no URL": (
        "upstreams: {a: {url: 'model:8000'}}",
        "assay.yaml: upstreams.a.url: 'model:8000' is not an http(s) URL; write it as https://host[:port]/v1",
    ),
    "a port that is none": (
        "upstreams: {a: {url: 'http://a:99999'}}",
        "assay.yaml: upstreams.a.url: port out of range…",
    ),
    "HTTP/2 without TLS": (
        "upstreams: {a: {url: 'http://a', http2: true}}",
        "assay.yaml: upstreams.a: http2 needs an https URL, because HTTP/2 is agreed on in the TLS handshake",
    ),
    "a proxy of another kind": (
        "upstreams: {a: {url: 'http://a', proxy: 'socks5://p:1'}}",
        "assay.yaml: upstreams.a.proxy: is not the URL of an HTTP proxy; write it as http://…",
    ),
    "a proxy with a path to nowhere": (
        "upstreams: {a: {url: 'http://a', proxy: 'http://p:1/?x'}}",
        "assay.yaml: upstreams.a.proxy: is not the URL of an HTTP proxy; write it as http://…",
    ),
    "a proxy that is a number": (
        "upstreams: {a: {url: 'http://a', proxy: 3128}}",
        "assay.yaml: upstreams.a.proxy: input should be a valid string",
    ),
    "a bracket": ("upstreams: {a: {url: 'http://[a'}}", "assay.yaml: upstreams.a.url: invalid IPv6 URL"),
    "a space in a URL": (
        "upstreams: {a: {url: 'http://a/v 1'}}",
        "assay.yaml: upstreams.a.url: 'http://a/v 1' has a space or a letter outside ASCII; write it percent-encoded",
    ),
    "a letter in a URL": (
        "upstream_url: http://ä/v1",
        "assay.yaml: upstream_url: 'http://ä/v1' has a space or a letter outside…",
    ),
    "a query": (
        "upstream_url: http://a/v1?key=1",
        "assay.yaml: upstream_url: must not carry credentials, a query or a fragment…",
    ),
    "a star in the middle": (
        "routes: {r: {models: ['a*b'], upstreams: [demo]}}",
        "assay.yaml: routes.r.models: 'a*b': a star may only stand at the end",
    ),
    "a route without models": (
        "routes: {r: {models: [], upstreams: [demo]}}",
        "assay.yaml: routes.r.models: list should have at least 1 item after validation, not 0",
    ),
    "an unknown upstream": (
        "upstreams: {main: {url: 'http://a'}}\nroutes: {r: {models: ['*'], upstreams: [mian]}}",
        "assay.yaml: routes.r.upstreams: no upstream is called 'mian'; did you mean `main`?",
    ),
    "an upstream like no other": (
        "routes: {r: {models: ['*'], upstreams: [zzz]}}",
        "assay.yaml: routes.r.upstreams: no upstream is called 'zzz'; there is default",
    ),
    "an unknown route": (
        "keys: [{name: a, key: 12345678x, routes: [defualt]}]",
        "assay.yaml: keys.a.routes: no route is called 'defualt'; did you mean `default`?",
    ),
    "a name twice": (
        "keys: [{name: a, key: 12345678x}, {name: a, key: 12345678y}]",
        "assay.yaml: the name 'a' is given to several keys",
    ),
    "a key twice": (
        "keys: [12345678x, 12345678x]",
        "assay.yaml: the same key is listed twice; each caller needs its own",
    ),
    "one upstream and several": (
        "upstream_url: http://a\nupstreams: {a: {url: 'http://a'}}",
        "assay.yaml: give either `upstream_url` or `upstreams`, not both",
    ),
}


@together("name", WRONG)
def test_what_is_wrong_is_said(name: str) -> None:
    text, expected = WRONG[name]
    found = "\n".join(problems(text))
    for part in expected.split("…"):
        assert part in found
    assert found.startswith(expected.split("…")[0])
    if "…" not in expected:
        assert found == expected


def test_the_source_is_named() -> None:
    assert problem(env={"ASSAY_PORT": "x"}).startswith("ASSAY_PORT: input should be a valid integer")
    assert problem(port="x").startswith("--port: input should be a valid integer")
    assert problem(env={"ASSAY_UPSTREAMS": "{a: {ulr: 1, url: 'http://a'}}"}) == (
        "ASSAY_UPSTREAMS: upstreams.a.ulr: unknown key; did you mean `url`?"
    )
    assert problem(env={"ASSAY_UPSTREAM_URL": "x"}).startswith("ASSAY_UPSTREAM_URL: 'x' is not an http(s) URL")
    assert problem(upstream_url="x").startswith("--upstream-url: 'x' is not an http(s) URL")
    assert problem(env={"ASSAY_ROUTES": "{"}).startswith("ASSAY_ROUTES: is neither JSON nor YAML: ")
    assert problem(env={"ASSAY_ROUTES": "hello"}) == "ASSAY_ROUTES: input should be a valid dictionary (found 'hello')"


def test_a_file_that_is_no_text() -> None:
    assert problem(b"port: \xff") == "assay.yaml: is not UTF-8 (byte 6)"


def test_every_problem_is_found_at_once() -> None:
    found = problems("port: x\nworkers: 0\nzzz: 1\n", {"ASSAY_SAMPLE_RATE": "2"})
    assert len(found) == 4


SECRET = "sk-very-secret"


@together(
    "env",
    [
        {"ASSAY_UPSTREAM_KEY": f"{SECRET} with a space"},
        {"ASSAY_UPSTREAM_KEY": f"{SECRET}\n"},
        {"ASSAY_UPSTREAM_KEY": f"{SECRET}…"},
        {"OPENAI_API_KEY": f"{SECRET}\r\nx: y"},
        {"ASSAY_KEYS": f"{SECRET} with a space"},
        {"ASSAY_KEYS": SECRET[:7]},
        {"ASSAY_KEYS": f"[{SECRET}"},
        {"ASSAY_KEYS": f"{SECRET},{SECRET}"},
        {"ASSAY_KEYS": f'[{{"name": "a b", "key": "{SECRET}"}}]'},
        {"ASSAY_UPSTREAMS": f"{{a: {{url: 'http://a', key: '{SECRET} b'}}}}"},
        {"ASSAY_UPSTREAMS": f"{{a: {{url: 'http://a', key: {SECRET}"},
        {"ASSAY_UPSTREAMS": SECRET},
        {"ASSAY_UPSTREAMS": f"{{a: {{url: 'http://user:{SECRET}@a/v1'}}}}"},
        {"ASSAY_UPSTREAMS": f"{{a: {{url: 'http://a', proxy: 'socks5://user:{SECRET}@a'}}}}"},
        {"ASSAY_UPSTREAMS": f"{{a: {{url: 'http://a', proxy: {{ulr: 'http://user:{SECRET}@a'}}}}}}"},
        {"ASSAY_UPSTREAMS": f"{{a: {{url: 'http://a', proxi: 'http://user:{SECRET}@a'}}}}"},
        {"ASSAY_UPSTREAM_URL": f"http://user:{SECRET}@a/v1"},
        {"ASSAY_UPSTREAM_URL": f"htps://user:{SECRET}@a/v1"},
        {"ASSAY_UPSTREAM_URL": f"user:{SECRET}@a/v1"},
        {"ASSAY_UPSTREAM_URL": f"ftp://a/v1?token={SECRET}"},
        {"ASSAY_UPSTREAM_URL": f"http://a/v1?key={SECRET}"},
        {"ASSAY_REDIS_URL": f"http://:{SECRET}@redis/0"},
    ],
)
def test_no_complaint_repeats_a_secret(env: dict[str, str]) -> None:
    found = problem(env=env)
    assert SECRET[:7] not in found
    assert next(iter(env)) in found


def test_a_header_whose_value_was_read_as_a_number_is_not_repeated() -> None:
    found = problem(env={"ASSAY_UPSTREAMS": "{a: {url: 'http://a/v1', headers: {authorization: 40813377}}}"})
    assert "40813377" not in found
    assert "upstreams.a.headers.authorization" in found


def test_no_configuration_shows_a_secret() -> None:
    config = load(
        {}, {"ASSAY_KEYS": SECRET, "ASSAY_UPSTREAM_KEY": SECRET, "ASSAY_REDIS_URL": f"redis://:{SECRET}@redis/0"}
    )
    assert SECRET not in repr(config)
    assert SECRET not in config.model_dump_json()


# --- who may reach it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gateway.example", ""])
def test_without_keys_other_machines_are_refused(host: str) -> None:
    write(f"host: '{host}'\n")
    assert problem() == (
        f"assay.yaml: {host} can be reached by other machines, but no key is configured; "
        "set ASSAY_KEYS, or listen on 127.0.0.1, or set allow_without_keys: true if the network is the lock"
    )
    assert load({}, {"ASSAY_KEYS": "12345678"}).host == host
    assert load({}, {"ASSAY_ALLOW_WITHOUT_KEYS": "true"}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    assert is_loopback(host)
    assert load({"host": host}, {}).host == host


@pytest.mark.parametrize("host", ["", "128.0.0.1", "localhost.example", "127.0.0.1.example", "0", "::ffff:10.0.0.1"])
def test_what_is_no_loopback_address(host: str) -> None:
    assert not is_loopback(host)


# --- the rest --------------------------------------------------------------------------------------------------


def test_unknown_variables_are_noted() -> None:
    environ = {"ASSAY_PROT": "1", "ASSAY_PORT": "1", "ASSAY_CONFIG": "x", "PATH": "/", "ASSAY_ZZZZZZ": "1"}
    assert unknown_environment(environ) == [
        "ASSAY_PROT is set but is no setting of Assay; did you mean `ASSAY_PORT`?",
        "ASSAY_ZZZZZZ is set but is no setting of Assay",
    ]
    assert load({}, environ | {"ASSAY_CONFIG": ""}).port == 1  # noted, not refused


@pytest.mark.slow
def test_the_real_environment_is_read() -> None:
    code = "from gateway.config.load import load; print(load().port)"
    environ = {**os.environ, "ASSAY_PORT": "4711", "PYTHONPATH": str(Path(settings.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "4711\n"


def test_the_table_has_every_setting() -> None:
    table = settings_table().splitlines()
    assert len(table) == 2 + len(Config.model_fields)
    for row, (name, field) in zip(table[2:], Config.model_fields.items(), strict=True):
        assert field.description
        assert row.startswith(f"| `{name}` | `{env_name(name)}` |")
        assert row.count("|") == 5
        assert row.endswith(f"{field.description} |")


def test_every_description_is_a_sentence() -> None:
    for field in Config.model_fields.values():
        assert field.description
        assert field.description.endswith((".", ").")), field.description


names = st.sampled_from([*Config.model_fields, "prot", "upstream", "x"])
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
)


@pytest.mark.slow
@given(content=st.dictionaries(names, values, max_size=3))
def test_whatever_the_file_says_it_is_read_or_complained_about(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, object]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(content), "utf-8")
    try:
        config = load({}, {}, path)
        built.routes(config, built.upstreams(config))
    except ConfigError as error:
        assert error.problems
        assert all(str(path) in each or "${" in each for each in error.problems)


@examples(300)
@given(name=st.sampled_from(sorted(Config.model_fields)), text=st.text(max_size=30))
def test_whatever_a_variable_says_it_is_read_or_complained_about(name: str, text: str) -> None:
    try:
        load({}, {env_name(name): text})
    except ConfigError as error:
        assert any(env_name(name) in each for each in error.problems)
