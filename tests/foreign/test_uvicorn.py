"""uvicorn's own tests of its HTTP protocols, from its source distribution, with `ServerConnection` in their place.

Pinned in `sources.txt` and downloaded from the package index; skipped with the reason where there is none. A test that
fails must stand in `DIFFERENCES` with its reason, and one that stands there must fail.
"""

import os
import subprocess
import sys
import tarfile
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".foreign"
_LONGEST_SECONDS = 600  # patience with a busy machine, not a measurement

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


@pytest.fixture(scope="module")
def source() -> Path:
    """The unpacked source distribution."""
    folder = CACHE / "uvicorn-0.54.0"
    if not (folder / "tests").is_dir():
        CACHE.mkdir(exist_ok=True)
        asked = ["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--require-hashes", "--dest", str(CACHE)]
        made = subprocess.run(
            [sys.executable, "-m", "pip", *asked, "-r", str(HERE / "sources.txt")], capture_output=True, text=True
        )
        found = CACHE / "uvicorn-0.54.0.tar.gz"
        if not found.exists():
            pytest.skip(f"no package index gives uvicorn's sources: {made.stderr.strip().splitlines()[-1:]}")
        with tarfile.open(found) as archive:
            archive.extractall(CACHE, filter="data")
    return folder


def test_uvicorns_own_tests(source: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import gateway.serving.connection;"
        f"sys.path[0] = {str(HERE)!r}; import uvicorn_plugin; sys.path[0] = {str(source)!r}; import pytest;"
        f"sys.exit(pytest.main(['-q', '-k', 'httptools', 'tests/protocols/test_http.py', '-p', 'no:cacheprovider',"
        f"'-p', 'no:asyncio', '-c', {os.devnull!r}, '--rootdir', '.', '-W', 'ignore', '--junitxml', {str(report)!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=source, capture_output=True, text=True, timeout=_LONGEST_SECONDS
    )
    assert report.exists(), done.stdout + done.stderr
    outcomes: defaultdict[str, set[bool]] = defaultdict(set)
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("skipped") is None:
            name = case.attrib["name"].partition("[")[0]
            outcomes[name].add(case.find("failure") is None and case.find("error") is None)
    assert len(outcomes) > 50
    failed = {name for name, passed in outcomes.items() if False in passed}
    assert failed == DIFFERENCES.keys(), done.stdout[-6000:]
