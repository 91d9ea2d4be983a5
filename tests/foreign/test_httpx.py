"""httpx's own tests of its asynchronous client, its time limits and its decoders, with ours under or in place of them.

`Http1Transport` carries the requests of its client to its test server, and `encodings.unpack` undoes content-encodings.
A test that fails must stand in `DIFFERENCES` with its reason, and one that stands there must fail. Left out are its
tests of URLs, headers, cookies, forms, authentication and its other objects, of which nothing of ours is a part; of its
blocking client; of text and lines, which are cut elsewhere here; of the time in the queue for a connection, whose end
depends on when the rest of an unread answer comes; and those that open connections to other machines.
"""

from pathlib import Path

from tests.foreign.suites import Suite

SUITE = Suite(
    "httpx",
    "0.28.1",
    "client_plugin",
    [
        "tests/client/test_async_client.py",
        "tests/test_timeouts.py",
        "tests/test_decoders.py",
        *("-k", "not text_decoder and not line_decoder and not pool_timeout"),
        *("-m", "not network"),
    ],
)

_ONE_ENCODING = (
    "a body in several encodings, or in one that is not known, is not read: requests are refused, answers unread"
)

# Test of httpx → why ours does otherwise, by design.
DIFFERENCES = {
    "test_timeouts::test_write_timeout": "a body that is held whole has the time for the first byte in all, to be sent "
    "and answered; only an upload, which comes in pieces, has a time for each",
    "test_decoders::test_multi": _ONE_ENCODING,
    "test_decoders::test_multi_with_identity": _ONE_ENCODING,
    "test_decoders::test_invalid_content_encoding_header": _ONE_ENCODING,
}


def test_httpxs_own_tests(tmp_path: Path) -> None:
    outcomes = SUITE.run(tmp_path)
    assert len(outcomes) > 40
    assert {name for name, passed in outcomes.items() if not passed} == DIFFERENCES.keys()
