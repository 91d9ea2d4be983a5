"""A route with a policy of its own: that one applies there, and the general one everywhere else."""

import argparse
import asyncio
import json
from pathlib import Path
from types import MappingProxyType

import pytest

from gateway.commands.check import check
from gateway.config.load import load
from gateway.config.routes import route_policies
from gateway.enforcement.policy_file import PolicyFile
from gateway.enforcement.signals import load_policy, policy_of
from gateway.exchange import Route, Streams
from gateway.pages.policy import policy_in_force
from policies.compiled import Policy
from policies.compiling import Placed, compile_policy
from policies.engine import Context, Signal, decide
from policies.reading import load_document
from policies.source import PolicyError
from tests.support.fakes import ENFORCE, OBSERVE, World, chat, completion, rules, upstream
from tests.support.running.patience import until
from tests.support.servers.scripted_server import JSON, always, answer, serve
from tests.support.worlds.policy_world import CATEGORIES, HEAD, OPERATING

BLOCK = "{id: violence, when: {subcategory: violence, on: prompt}, then: block}"
FLAG = "{id: violence, when: {subcategory: violence, on: prompt}, then: flag}"
ROUTES = ("chat", "batch", "inside")
VIOLENT = Signal("violence", 0.99, "ngram@1", "prompt", "user", 0, (), "en")


def composed(general: str, *, routes: tuple[str, ...] = ROUTES, **own: str) -> Policy:
    return compile_policy(
        load_document(HEAD + f"  - {general}\n", "general.yaml"),
        *(
            Placed(load_document(HEAD + f"  - {text}\n", f"{route}.yaml"), frozenset({route}), route)
            for route, text in own.items()
        ),
        categories=CATEGORIES,
        operating=OPERATING,
        routes=routes,
        targets=routes,
    )


def decided(policy: Policy, route: str, caller: str = "") -> tuple[str, str | None]:
    """What becomes of a violent prompt there, and by which rule."""
    decision = decide(policy, [VIOLENT], route=route, about=Context("m", caller, 0.5, {}))
    return decision.action.value, decision.rule


def test_each_route_has_the_rules_of_its_policy_and_no_other() -> None:
    policy = composed(BLOCK, inside=FLAG)
    assert decided(policy, "chat") == decided(policy, "batch") == ("block", "violence")
    assert decided(policy, "inside") == ("flag", "inside/violence")
    assert [(rule.id, sorted(rule.routes)) for rule in policy.rules] == [
        ("violence", ["batch", "chat"]),
        ("inside/violence", ["inside"]),
    ]


def test_only_what_a_routes_own_policy_needs_is_judged_inline_there() -> None:
    policy = composed(BLOCK, inside=FLAG)
    assert policy.needs("prompt", "chat") == {"violence"}
    assert policy.needs("prompt", "inside") == frozenset()


@pytest.mark.parametrize("route", ["chat", "[chat, inside]"])
def test_a_rule_for_some_routes_narrows_its_policy_down(route: str) -> None:
    policy = composed(BLOCK.replace("on: prompt", f"route: {route}"), inside=FLAG)
    assert decided(policy, "chat")[0] == "block"
    assert decided(policy, "batch")[0] == "allow"
    assert decided(policy, "inside") == ("flag", "inside/violence")


def test_a_rule_for_a_caller_stays_within_its_policys_routes() -> None:
    policy = composed(BLOCK.replace("on: prompt", "caller: app"), inside=FLAG.replace("on: prompt", "caller: app"))
    assert decided(policy, "chat", "app")[0] == "block"
    assert decided(policy, "inside", "app") == ("flag", "inside/violence")
    assert decided(policy, "inside", "other")[0] == "allow"


def test_a_rule_for_routes_that_have_another_policy_is_left_out_with_a_warning() -> None:
    policy = composed(BLOCK.replace("on: prompt", "route: inside"), inside=FLAG)
    assert [rule.id for rule in policy.rules] == ["inside/violence"]
    assert policy.warnings == (
        "general.yaml:4: rule 'violence': applies nowhere: the routes that it asks for have another policy",
    )


def test_conditions_on_routes_inside_a_rule_still_count() -> None:
    either = (
        "{id: r, when: {any: [{subcategory: hate}, {subcategory: violence, route: inside}], on: prompt}, then: block}"
    )
    policy = composed(either, batch=FLAG)
    assert decided(policy, "inside") == ("block", "r")
    assert decided(policy, "chat")[0] == "allow"
    assert decided(policy, "batch") == ("flag", "batch/violence")


def test_reroutes_of_two_policies_that_form_a_circle_are_refused_in_the_file_that_closes_it() -> None:
    there = "{id: there, when: {subcategory: violence, on: prompt, route: chat}, then: reroute, to: inside}"
    back = "{id: back, when: {subcategory: violence, on: prompt}, then: reroute, to: chat}"
    with pytest.raises(PolicyError, match=r"inside.yaml:4: the reroutes go round in a circle: chat → inside → chat"):
        composed(there, inside=back)


def test_a_policy_without_others_keeps_its_revision() -> None:
    alone = compile_policy(load_document(HEAD + f"  - {BLOCK}\n", "p.yaml"), categories=CATEGORIES, operating=OPERATING)
    assert composed(BLOCK).revision == alone.revision
    assert composed(BLOCK, inside=FLAG).revision != alone.revision
    assert composed(BLOCK, inside=FLAG).revision != composed(BLOCK, batch=FLAG).revision


def test_a_fault_in_a_routes_policy_names_its_file() -> None:
    with pytest.raises(PolicyError, match=r"inside.yaml:4: the sub-category 'violense' is unknown"):
        composed(BLOCK, inside=FLAG.replace("violence}", "violense}").replace("violence, on", "violense, on"))


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "own.yaml" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(OBSERVE)
    with pytest.raises(PolicyError, match="give one of the two files another name"):
        load_policy("observe", own={"chat": str(paths[0]), "batch": str(paths[1])})
    one_for_both = load_policy("observe", (), ("chat", "batch"), own=dict.fromkeys(("chat", "batch"), str(paths[0])))
    assert {tuple(sorted(rule.routes)) for rule in one_for_both.rules} == {("batch", "chat")}


# --- in the gateway


@pytest.mark.parametrize("streams", ["hold", "window", "observe"])
async def test_a_request_is_judged_by_its_routes_policy(streams: Streams) -> None:
    async with serve(always(answer(completion("hi"), JSON))) as server:
        routes = [
            (["strict-*"], Route("strict", (upstream(server.port),), 1.0, streams=streams)),
            (["*"], Route("default", (upstream(server.port),), 1.0, streams=streams)),
        ]
        async with World(rules=OBSERVE, own_rules={"strict": ENFORCE}, routes=routes) as world:
            passed = await world.ask(body=chat("a grenade"))
            blocked = await world.ask(body=chat("a grenade", model="strict-1"))
    assert (passed.status, blocked.status) == (200, 400)
    assert "of-strict/no-violence" in blocked.error["message"]
    assert passed.headers[b"x-assay-policy"] == blocked.headers[b"x-assay-policy"]
    assert len(world.judge.requests) == 1  # nothing is judged inline where the policy only watches


async def test_a_rerouted_request_gets_its_answer_judged_by_the_new_routes_policy() -> None:
    general = rules("id: away, when: {subcategory: violence, on: prompt}, then: reroute, to: careful")
    careful = rules("id: no-keys, when: {subcategory: privacy_violation, on: response}, then: redact")
    async with serve(always(answer(completion("AKIA42"), JSON))) as server:
        routes = [
            (["c"], Route("careful", (upstream(server.port),), 1.0)),
            (["*"], Route("default", (upstream(server.port),), 1.0)),
        ]
        async with World(rules=general, own_rules={"careful": careful}, routes=routes) as world:
            as_it_is = await world.ask(body=chat("hello"))
            redacted = await world.ask(body=chat("a grenade"))
    assert b"AKIA42" in as_it_is.body
    assert b"AKIA42" not in redacted.body


# --- the settings, their check, and the page


def configured(folder: Path) -> Path:
    (folder / "own.yaml").write_text(HEAD + f"  - {BLOCK}\n")
    file = folder / "assay.yaml"
    file.write_text(
        "upstreams: {a: {url: http://127.0.0.1:9/v1}, b: {url: http://127.0.0.1:8/v1}}\n"
        "policy: observe\n"
        "routes:\n"
        f"  inside: {{models: ['in-*'], upstreams: [a, b], policy: {folder}/own.yaml, first_byte_timeout_seconds: 30,"
        " idle_timeout_seconds: 5, sample_rate: 0.5}\n"
        "  chat: {models: ['*'], upstreams: [b], policy: observe}\n"
    )
    return file


def test_check_shows_what_is_in_force_on_each_route(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.chdir(tmp_path)
    assert check(argparse.Namespace(config=str(configured(tmp_path)))) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("route ")] == [
        f"route inside: models in-*; upstreams a, b by order; policy {tmp_path}/own.yaml; streams hold; "
        "sample rate 0.5; first byte within 30 s; idle within 5 s",
        "route chat: models *; upstreams b by order; policy observe; streams hold",
    ]


def test_a_route_that_names_the_general_policy_has_no_other(tmp_path: Path) -> None:
    config = load(environ={}, path=configured(tmp_path))
    assert route_policies(config) == {"inside": f"{tmp_path}/own.yaml"}
    general = {rule.id for rule in load_policy("observe").rules}
    assert {rule.id for rule in policy_of(config).rules} == general | {"own/violence"}


def test_the_page_says_which_rules_apply_where(tmp_path: Path) -> None:
    config = load(environ={}, path=configured(tmp_path))
    own = route_policies(config)
    file = PolicyFile("observe", wall_clock=lambda: 0.0, routes=("inside", "chat"), own=own)
    shown = json.loads(json.dumps(policy_in_force(file)))
    assert shown["routes"] == own
    by_id = {rule["id"]: rule["routes"] for rule in shown["rules"]}
    assert by_id.pop("own/violence") == ["inside"]
    assert set(map(tuple, by_id.values())) == {("chat",)}


async def test_a_change_of_a_routes_policy_comes_into_force_or_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(HEAD + f"  - {FLAG}\n")
    file = PolicyFile(
        "observe",
        wall_clock=lambda: 0.0,
        settle_seconds=0.0,
        routes=("inside", "chat"),
        own=MappingProxyType({"inside": str(path)}),
    )
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(file.run())
        path.write_text(HEAD + f"  - {BLOCK}\n")
        await until(lambda: file.current.acts)
        revision = file.current.revision
        path.write_text("rules: nonsense")
        await until(lambda: bool(file.refusal))
        assert "own.yaml" in file.refusal
        assert file.current.revision == revision
        watching.cancel()
