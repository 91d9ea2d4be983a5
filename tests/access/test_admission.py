"""Who is let in: keys in every header clients use, no keys on loopback only, cost flat in the number of keys."""

import pytest

from gateway.access.admission import ANYONE, OPERATOR_HINT, Admission
from gateway.access.cors import Origins
from gateway.errors import GatewayError
from gateway.exchange import Principal, Route, Upstream
from tests.support.fakes import ring
from tests.support.running.steps import steps
from tests.support.running.together import together

ADA, BOB = Principal("ada"), Principal("bob", frozenset({"cheap"}))
RING = ring([("key-of-ada", ADA), ("key-of-bob", BOB)])
KEYED = Admission(RING, local_only=True)
OPEN = Admission(ring([]), local_only=False)
LOCAL = Admission(ring([]), local_only=True)


def refusal(admission: Admission, headers: dict[bytes, bytes]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        admission.admit(headers)
    return caught.value


def test_the_message_says_whose_key_is_asked_for() -> None:
    door = Admission(RING, local_only=False, hint=OPERATOR_HINT)
    for headers in ({}, {b"authorization": b"Bearer key-of-eve"}):
        assert "send a gateway key" in refusal(KEYED, headers).message
        assert "send `operator_key`" in refusal(door, headers).message


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b"Bearer key-of-ada"},
        {b"authorization": b"bearer key-of-ada"},
        {b"authorization": b"BEARER   key-of-ada "},
        {b"api-key": b"key-of-ada"},
        {b"x-api-key": b"key-of-ada"},
        {b"authorization": b"Basic abc", b"api-key": b"key-of-ada"},
        {b"authorization": b"Bearer", b"x-api-key": b"key-of-ada"},
    ],
)
def test_a_key_is_known_by_its_header(headers: dict[bytes, bytes]) -> None:
    assert KEYED.admit(headers) is ADA


@together(
    ("headers", "reason"),
    [
        ({}, "no_key"),
        ({b"authorization": b""}, "no_key"),
        ({b"authorization": b"Bearer"}, "no_key"),
        ({b"authorization": b"Bearer "}, "no_key"),
        ({b"authorization": b"Basic key-of-ada"}, "no_key"),
        ({b"authorization": b"key-of-ada"}, "no_key"),
        ({b"cookie": b"key-of-ada"}, "no_key"),
        ({b"authorization": b"Bearer key-of-eve"}, "wrong_key"),
        ({b"authorization": b"Bearer key-of-ad"}, "wrong_key"),
        ({b"authorization": b"Bearer key-of-adaa"}, "wrong_key"),
        ({b"authorization": b"Bearer KEY-OF-ADA"}, "wrong_key"),
        ({b"authorization": b"Bearer key-of-ada, key-of-bob"}, "wrong_key"),
        ({b"api-key": b"\xff\xfe"}, "wrong_key"),
        ({b"authorization": b"Bearer key-of-eve", b"api-key": b"key-of-ada"}, "wrong_key"),
    ],
)
def test_who_has_no_key_stays_out(headers: dict[bytes, bytes], reason: str) -> None:
    error = refusal(KEYED, headers)
    assert error.reason == reason
    assert error.what.status == 401
    assert "eve" not in error.message
    assert "Authorization: Bearer" in error.message


def test_no_key_lies_in_memory() -> None:
    held = "".join(repr(vars(thing)) for thing in (KEYED, RING))
    assert "key-of-ada" not in held
    assert "ada" in held


def test_without_keys_everyone_is_anyone() -> None:
    for headers in ({}, {b"host": b"evil.example"}, {b"authorization": b"Bearer whatever"}):
        assert OPEN.admit(headers) is ANYONE
    assert LOCAL.admit({b"authorization": b"Bearer whatever"}) is ANYONE


@pytest.mark.parametrize(
    "host", [b"localhost", b"LocalHost:8080", b"127.0.0.1:8080", b"127.9.9.9", b"[::1]:8080", b"[::1]", b""]
)
def test_local_callers_need_no_key(host: bytes) -> None:
    assert LOCAL.admit({b"host": host}) is ANYONE
    if host:
        assert LOCAL.admit({b"host": host, b"origin": b"http://" + host}) is ANYONE


@together(
    "address",
    [
        b"evil.example",
        b"evil.example:8080",
        b"localhost.evil.example",
        b"127.0.0.1.evil.example",
        b"localhost@evil.example",
        b"10.0.0.1",
        b"0.0.0.0",
        b"[2001:db8::1]",
        b"[broken",
        b"2130706433",
        b"\xff",
        b" ",
    ],
)
def test_a_page_in_a_local_browser_is_not_local(address: bytes) -> None:
    """DNS that is rebound to 127.0.0.1 shows in Host, another site's page in Origin."""
    error = refusal(LOCAL, {b"host": address})
    assert error.reason == "not_local"
    assert "ASSAY_KEYS" in error.message
    error = refusal(LOCAL, {b"host": b"localhost", b"origin": b"http://" + address})
    assert error.reason == "foreign_origin"
    assert "cors_origins" in error.message
    assert KEYED.admit({b"host": address, b"api-key": b"key-of-ada"}) is ADA


@pytest.mark.parametrize("origin", [b"null", b"file://", b"chrome-extension://abc", b"localhost"])
def test_origins_that_are_no_local_address(origin: bytes) -> None:
    assert refusal(LOCAL, {b"host": b"localhost", b"origin": origin}).reason == "foreign_origin"


OWN = [
    (b"gw.example", b"https://gw.example"),
    (b"gw.example", b"http://gw.example"),
    (b"GW.example:8080", b"http://gw.example:8080"),
    (b"gw.example:443", b"https://gw.example"),
    (b"127.0.0.1:8080", b"http://localhost:3000"),
]
FOREIGN = [
    (b"gw.example", b"https://app.example"),
    (b"gw.example", b"https://gw.example:8443"),
    (b"gw.example:8080", b"http://gw.example"),
    (b"gw.example", b"https://gw.example.evil.example"),
    (b"gw.example", b"http://localhost"),
    (b"gw.example", b"null"),
    (b"", b"https://app.example"),
]


@pytest.mark.parametrize("admission", [KEYED, OPEN], ids=["keys", "no keys"])
def test_a_page_of_the_gateways_own_origin_is_let_in_and_no_other(admission: Admission) -> None:
    """Whatever the method: `admit` is asked for every request. A right key does not make up for a foreign page."""
    key = {b"api-key": b"key-of-ada"}
    for host, origin in OWN:
        admission.admit({b"host": host, b"origin": origin, **key})
    for host, origin in FOREIGN:
        assert refusal(admission, {b"host": host, b"origin": origin, **key}).reason == "foreign_origin"
        assert refusal(admission, {b"host": host, b"origin": origin}).reason == "foreign_origin"


@pytest.mark.parametrize("keys", [[], [("key-of-ada", ADA)]])
def test_a_page_of_a_listed_origin_is_let_in(keys: list[tuple[str, Principal]]) -> None:
    admission = Admission(ring(keys), local_only=True, origins=Origins(["https://app.example"]))
    headers = {b"host": b"localhost", b"api-key": b"key-of-ada"}
    admission.admit({**headers, b"origin": b"https://app.example"})
    assert refusal(admission, {**headers, b"origin": b"https://app.example.evil"}).reason == "foreign_origin"
    anyone = Admission(ring(keys), local_only=True, origins=Origins(["*"]))
    anyone.admit({**headers, b"origin": b"https://elsewhere.example"})


def test_a_key_opens_its_routes() -> None:
    upstreams = (Upstream("a", "http", "127.0.0.1", 80, "/v1"),)
    cheap, dear = Route("cheap", upstreams, 1.0), Route("dear", upstreams, 1.0)
    Admission.may_use(ADA, cheap)
    Admission.may_use(ADA, dear)
    Admission.may_use(BOB, cheap)
    with pytest.raises(GatewayError, match="the key 'bob' may not use the models of route 'dear'") as caught:
        Admission.may_use(BOB, dear)
    assert (caught.value.reason, caught.value.param, caught.value.what.status) == ("route_forbidden", "model", 403)
    with pytest.raises(GatewayError):
        Admission.may_use(Principal("none", frozenset()), cheap)


def test_a_limited_key_sends_nothing_whose_model_is_unknown() -> None:
    Admission.may_send_unread(ADA)
    with pytest.raises(GatewayError, match="the model of each of its requests must be readable") as caught:
        Admission.may_send_unread(BOB)
    assert caught.value.reason == "route_forbidden"


def test_the_cost_does_not_grow_with_the_keys() -> None:
    costs = set()
    for number in (1, 10, 10_000):
        admission = Admission(ring((f"key-{i:06}", Principal(f"p{i}")) for i in range(number)), local_only=False)
        costs.add(steps(lambda admission=admission: admission.admit({b"api-key": b"key-000000"})))  # type: ignore[misc]
    assert len(costs) == 1
    assert max(costs) < 15
