"""A collector of OpenTelemetry traces: takes OTLP over HTTP and keeps what it is told, decoded by the protocol's own definitions."""

import contextlib
import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse


class Collector:
    """`spans` are what came, `resources` what each was of; `status` is what it answers, `asked` how often it was."""

    def __init__(self) -> None:
        self.port = 0
        self.status = 200
        self.asked = 0
        self.bodies: list[bytes] = []
        self._guard = threading.Lock()
        self._spans: list[Any] = []
        self.resources: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        """Where spans are posted."""
        return f"http://127.0.0.1:{self.port}/v1/traces"

    def take(self, body: bytes) -> None:
        """One request."""
        with self._guard:
            self.asked += 1
            if self.status != 200:
                return
            self.bodies.append(body)
            for of in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append({one.key: one.value.string_value for one in of.resource.attributes})
                self._spans += [span for scope in of.scope_spans for span in scope.spans]

    def spans(self) -> list[Any]:
        """Each once: what was sent twice has the same identifier."""
        with self._guard:
            return list({one.span_id: one for one in self._spans}.values())


@contextlib.contextmanager
def collector() -> Iterator[Collector]:
    """One on this machine."""
    kept = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            packed = self.headers.get("Content-Encoding") == "gzip"
            assert self.path == "/v1/traces", self.path
            assert self.headers["Content-Type"] == "application/x-protobuf"
            kept.take(gzip.decompress(body) if packed else body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(kept.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
