"""Traces of the real product, received by a small collector."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.servers.gateway_process import DemoUpstream, GatewayProcess
from tests.support.servers.ports import closed_port

pytestmark = pytest.mark.real_time
MODEL = "demo-small"


class Collector:
    """Takes OTLP over HTTP."""

    def __init__(self) -> None:
        self.received: list[ExportTraceServiceRequest] = []
        self.paths: set[str] = set()
        self.authorizations: set[str | None] = set()

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in self.received
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Its base URL."""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.paths.add(self.path)
                collector.authorizations.add(self.headers["authorization"])
                collector.received.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                """Not into the tests' output."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()
            server.server_close()


def test_a_collector_gets_the_trace_of_each_request(upstream: DemoUpstream) -> None:
    collector = Collector()
    with collector.listening() as url:
        settings = {
            "ASSAY_UPSTREAM_URL": upstream.url,
            "ASSAY_DETECTORS": "false",
            "ASSAY_OTLP_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20of-the-collector",
            "OTEL_BSP_SCHEDULE_DELAY": "20",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        }
        with GatewayProcess(settings) as gateway:
            body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "a peculiar text"}]})
            for _ in range(3):
                answered = gateway.http.post(
                    gateway.base_url + "/chat/completions", content=body, headers=gateway.headers()
                )
                assert answered.status_code == 200
            # The last may still wait when it ends: what waits is sent then.
    names = sorted(span.name for span in collector.spans)
    assert names == ["POST /v1/chat/completions"] * 3 + ["chat demo-small"] * 3
    assert len({span.trace_id for span in collector.spans}) == 3
    resource = {
        each.key: each.value.string_value for each in collector.received[0].resource_spans[0].resource.attributes
    }
    assert resource["service.name"] == "assay"
    assert resource["deployment.environment.name"] == "test"
    assert collector.paths == {"/v1/traces"}
    assert collector.authorizations == {"Bearer of-the-collector"}
    assert not any(b"peculiar" in request.SerializeToString() for request in collector.received)


def test_a_collector_that_is_not_there_costs_a_line_in_the_log_and_no_request(upstream: DemoUpstream) -> None:
    with closed_port() as port:
        _told_once(upstream, f"http://127.0.0.1:{port}")


def _told_once(upstream: DemoUpstream, endpoint: str) -> None:
    settings = {
        "ASSAY_UPSTREAM_URL": upstream.url,
        "ASSAY_DETECTORS": "false",
        "ASSAY_OTLP_ENDPOINT": endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "20",
    }
    with GatewayProcess(settings) as gateway:
        body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hi"}]})
        line = f"traces cannot be sent to {endpoint} (otlp_endpoint)"

        def is_told() -> bool:
            answered = gateway.http.post(
                gateway.base_url + "/chat/completions", content=body, headers=gateway.headers()
            )
            assert answered.status_code == 200
            return line in gateway.output

        gateway.wait_until("the log tells", is_told)
    assert gateway.output.count(line) == 1
    assert "Traceback" not in gateway.output


def test_without_the_extra_the_configuration_is_refused() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None; from gateway.__main__ import main; sys.exit(main(['check']))"
    )
    env = {**os.environ, "ASSAY_OTLP_ENDPOINT": "http://localhost:4318"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "otlp_endpoint: traces need the extra `otel`: pip install 'assay-gateway[otel]'" in done.stderr
