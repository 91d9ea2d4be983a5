"""httpcore's own tests of its HTTP/1.1 connection, its pool and cancellation, with `Http1Transport` in their place.

A test that fails must stand in `DIFFERENCES` with its reason, and one that stands there must fail. Left out are its
tests of HTTP/2, proxies and SOCKS, where httpx carries our requests as well; of its blocking twin, made from the same
source; of its own request and response objects; and those that need `pytest-httpbin`.
"""

from pathlib import Path

from tests.foreign.suites import Suite

SUITE = Suite(
    "httpcore",
    "1.0.9",
    "client_plugin",
    [
        "tests/_async/test_http11.py",
        "tests/_async/test_connection.py",
        "tests/_async/test_connection_pool.py",
        "tests/test_cancellations.py",
        *("-k", "not http2 and not h2"),
    ],
)

_TRACE = "it looks at httpcore's trace events or debug log, which ours does not have"
_UPGRADE = "the gateway asks for no other protocol, so 101 is no answer: the client gets 502 (`bad_response`)"
_SMALL = (
    "an answer of at most 64 KiB with a length is read with its head, so its connection is free, or closed, at once"
)
_RETRIES = "a connection that fails is tried again by `upstream.calls`, under its budget, and not by the connection"

# Test of httpcore → why ours does otherwise, by design.
DIFFERENCES = {
    "test_http11::test_http11_connection_unread_response": _SMALL,
    "test_http11::test_http11_connection_with_local_protocol_error": "heads are made by `upstream.outgoing`, from "
    "headers that the server side or the settings have checked",
    "test_http11::test_http11_upgrade_connection": _UPGRADE,
    "test_http11::test_http11_upgrade_with_trailing_data": _UPGRADE,
    "test_http11::test_http11_header_sub_100kb": "the head of an answer may have 64 KiB, as that of a request",
    "test_connection::test_connection_retries": _RETRIES,
    "test_connection::test_connection_retries_tls": _RETRIES,
    "test_connection_pool::test_connection_pool_with_close": "`connection: close` is a matter of each hop: upstreams "
    "are never sent it",
    "test_connection_pool::test_trace_request": _TRACE,
    "test_connection_pool::test_debug_request": _TRACE,
    "test_connection_pool::test_connection_pool_with_http_exception": _TRACE,
    "test_connection_pool::test_connection_pool_with_connect_exception": _TRACE,
    "test_connection_pool::test_connection_pool_with_immediate_expiry": "idle connections are looked at four times a "
    "second, in place of a timer for each",
    "test_connection_pool::test_connection_pool_with_no_keepalive_connections_allowed": "there is one bound, on all "
    "connections; none is set on idle ones",
    "test_connection_pool::test_connection_pool_concurrency": "the bound on connections is one for each origin",
    "test_connection_pool::test_connection_pool_concurrency_same_domain_closing": _SMALL,
    "test_connection_pool::test_connection_pool_closed_while_request_in_flight": _SMALL,
    "test_connection_pool::test_connection_pool_timeout": _SMALL,
    "test_connection_pool::test_connection_pool_timeout_zero": _SMALL,
    "test_connection_pool::test_http11_upgrade_connection": _UPGRADE,
}


def test_httpcores_own_tests(tmp_path: Path) -> None:
    outcomes = SUITE.run(tmp_path)
    assert len(outcomes) > 40
    assert {name for name, passed in outcomes.items() if not passed} == DIFFERENCES.keys()
