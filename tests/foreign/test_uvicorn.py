"""uvicorn's own tests of its HTTP protocols, with `ServerConnection` in their place.

A test that fails must stand in `DIFFERENCES` with its reason, and one that stands there must fail.
"""

from pathlib import Path

from tests.foreign.suites import Suite

SUITE = Suite("uvicorn", "0.54.0", "uvicorn_plugin", ["-k", "httptools", "tests/protocols/test_http.py"])

_500 = "what is answered with a whole 500 keeps its connection: nothing of it can be taken for another answer"
_SHAPE = "a refusal is said in OpenAI's error shape, with its reason"
_INSIDE = "it looks at fields of uvicorn's class, or at its log lines"
_WEBSOCKET = "no WebSocket is offered, so no words are lost about one: the request is answered as it stands"

# Test of uvicorn → why ours does otherwise, by design.
DIFFERENCES = {
    "test_request_logging": "there is no access log: metrics and the audit tell of requests",
    "test_invalid_header_name": "a head that cannot be written becomes a 500 in place of an empty reply",
    "test_response_header_splitting": "a head that cannot be written becomes a 500 in place of an empty reply",
    "test_keepalive_timeout_with_pipelined_requests": _INSIDE,
    "test_keepalive_timeout_with_pipelined_websocket_upgrade": _INSIDE,
    "test_scopes": _INSIDE,
    "test_chunked_encoding": "an application does not frame its answer: its transfer-encoding is left out",
    "test_chunked_encoding_empty_body": "an application does not frame its answer: its transfer-encoding is left out",
    "test_large_post_request": "256 KiB of a body are buffered before reading pauses, not 64",
    "test_app_exception": _500,
    "test_no_response_returned": _500,
    "test_missing_start_message": _500,
    "test_duplicate_start_message": "nothing had left when the second start came, so it is a 500",
    "test_message_after_body_complete": "what an application says after its answer is left unheard",
    "test_value_returned": "what an application returns is nobody's business",
    "test_early_response": "an answer before the body was read closes our side, and the rest is thrown away",
    "test_root_path": "there is no root path: the gateway's paths are fixed",
    "test_raw_path": "there is no root path: the gateway's paths are fixed",
    "test_max_concurrency": "the bound on open requests is the pipeline's (`max_requests_in_flight`)",
    "test_100_continue_sent_when_body_consumed": "no 100 is sent for a body that is here already (RFC 9110, 10.1.1)",
    "test_unsupported_ws_upgrade_request_warn_on_auto": _WEBSOCKET,
    "test_header_upgrade_is_not_websocket_depend_installed": _WEBSOCKET,
    "test_header_upgrade_is_websocket_depend_not_installed": _WEBSOCKET,
    "test_invalid_http_request": _SHAPE,
    "test_huge_headers_httptools_will_pass": "a head of more than 64 KiB is 431",
    "test_huge_headers_httptools": "a head of more than 64 KiB is 431",
    "test_httptools_http10_keep_alive_disabled": "HTTP/1.0 with keep-alive is kept alive where the length is known",
}


def test_uvicorns_own_tests(tmp_path: Path) -> None:
    outcomes = SUITE.run(tmp_path)
    assert len(outcomes) > 50
    assert {name for name, passed in outcomes.items() if not passed} == {f"test_http::{name}" for name in DIFFERENCES}
