"""Spans: what a collector of OpenTelemetry traces is told, and how it is sent (OTLP over HTTP).

A span bears no UID and nothing of a patient, of an image or of a peer's own words: only the attributes that `ATTRIBUTES` lists, whose
values are numbers, codes and names of the configuration. The library is an extra of its own and is loaded when the first exporter is made.
"""

import contextlib
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from node.domain.errors import ConfigError, DeliveryError

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import ReadableSpan

ATTRIBUTES: Mapping[str, str] = {
    "hilum.peer": "the sender's name in the configuration; `stranger` of one that it does not know",
    "hilum.instances": "how many instances came; of an association, over this one",
    "hilum.revision": "1, and one more each time that a study came again",
    "hilum.completed_by": "why nothing more was expected: quiet, count, growing, operator, prior",
    "hilum.application": "the application's name",
    "hilum.application_version": "its version",
    "hilum.engine": "the engine's name in the configuration",
    "hilum.priority": "urgent, routine or offpeak",
    "hilum.sink": "the sink's name in the configuration",
    "hilum.attempts": "how often it was tried",
    "hilum.code": "the error's code, of what was parked, failed or is tried again",
}
"""All that a span may say, and what it means; a test holds every span of a node against it."""
_TIMEOUT_S = 5.0
_IN_ALL = 1.2  # of the timeout, which neither a resolver of names knows nor an answer of which a byte comes now and then


class TracingAbsent(ConfigError):
    """The programs that spans are sent with are not installed."""

    code = "HLM-2150"
    remedy = (
        "Install them: `pip install 'PATH[otel]'`, with the PATH of hilum's wheel or checkout; or take `traces` out of the block `observe`."
    )


class CollectorAway(DeliveryError):
    """A collector of traces does not take spans now: they are kept for an hour, and sent again."""

    code = "HLM-6191"
    remedy = (
        "See the reason: whether it runs and takes OTLP over HTTP at the address of `observe: {traces: {otlp: …}}`, its certificate, "
        "a token that it asks for, a proxy. Studies do not wait for it."
    )
    retry = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSpan:
    """One step of an arrival's way. `trace` (16 bytes), `id` and `parent` (8 bytes) are derived from the journal's own numbers; `parent`
    None is the arrival as a whole. `failed` says that it did not come to its end."""

    trace: bytes
    id: bytes
    parent: bytes | None
    name: str
    begin: datetime
    end: datetime
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    failed: bool = False


class SpanExporter(Protocol):
    """Sends spans; CollectorAway where they were not taken."""

    def send(self, spans: Sequence[TraceSpan]) -> None: ...

    def close(self) -> None: ...


def demand_tracing() -> None:
    """Refuse to send spans without the programs for it.

    Raises
    ------
    TracingAbsent
    """
    from importlib.util import find_spec

    absent = []
    for name in ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter"):
        with contextlib.suppress(ModuleNotFoundError):
            if find_spec(name) is not None:
                continue
        absent.append(name)
    if absent:
        raise TracingAbsent(f"`observe: {{traces: …}}` needs {' and '.join(absent)}, which are in the extra `otel`")


class OtlpExporter:
    """Sends to one collector, in protobuf over HTTP. What OTEL_EXPORTER_OTLP_* say of headers and certificates in the environment holds.

    Parameters
    ----------
    host, version
        Of this node, for `service.instance.id` and `service.version` of the resource.
    proxied
        Whether the proxy of the environment is asked (HTTPS_PROXY, HTTP_PROXY, NO_PROXY).
    timeout_s
        How long the collector has to take them.
    """

    def __init__(self, url: str, *, host: str, version: str, proxied: bool, timeout_s: float = _TIMEOUT_S) -> None:
        demand_tracing()
        from opentelemetry.sdk.resources import Resource

        # it quotes answers, and repeats itself; what is wrong is told by an event of the node's
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
        self._collector = f"the collector of traces at {urlsplit(url).hostname}"  # of the address any other part may be secret
        self._resource = Resource({"service.name": "hilum", "service.instance.id": host, "service.version": version})
        self._said: list[str] = []
        self._exporter = _exporter(url, self._said, proxied=proxied, timeout_s=timeout_s)
        self._at_most_s = _IN_ALL * timeout_s
        self._sending: threading.Thread | None = None

    def send(self, spans: Sequence[TraceSpan]) -> None:
        """Send them; CollectorAway where they were not taken in time."""
        if self._sending is not None and self._sending.is_alive():
            raise CollectorAway(f"{self._collector} has not come to the end of its last answer")
        self._said.clear()
        readable, taken = [self._readable(one) for one in spans], threading.Event()
        # a daemon: what it waits for holds up neither other stages nor the end of the process
        self._sending = threading.Thread(target=self._export, args=(readable, taken), name="spans", daemon=True)
        self._sending.start()
        self._sending.join(self._at_most_s)
        if self._sending.is_alive():
            raise CollectorAway(f"{self._collector} does not answer in time")
        if not taken.is_set():
            raise CollectorAway(f"{self._collector} {next(reversed(self._said), 'could not be asked')}")

    def close(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _export(self, spans: "Sequence[ReadableSpan]", taken: threading.Event) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            if self._exporter.export(spans) is SpanExportResult.SUCCESS:
                taken.set()
        except OSError as failed:  # as requests' errors are
            self._said.append(_away(failed))

    def _readable(self, span: TraceSpan) -> "ReadableSpan":
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

        def context(of: bytes) -> SpanContext:
            return SpanContext(int.from_bytes(span.trace), int.from_bytes(of), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

        strange = set(span.attributes) - set(ATTRIBUTES)
        assert not strange, f"a span may not say {strange}"
        return ReadableSpan(
            span.name,
            context=context(span.id),
            parent=None if span.parent is None else context(span.parent),
            resource=self._resource,
            attributes=span.attributes,
            kind=SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR if span.failed else StatusCode.UNSET),
            start_time=_nanoseconds(span.begin),
            end_time=_nanoseconds(max(span.begin, span.end)),
        )


def _exporter(url: str, said: list[str], *, proxied: bool, timeout_s: float) -> "OTLPSpanExporter":
    """The library's own exporter, with a session that is brief: it reads no answer's body, and writes down what came of each request."""
    import requests
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    class Brief(requests.Session):
        def request(self, *args: Any, **kwargs: Any) -> requests.Response:
            try:
                answer = super().request(*args, **(kwargs | {"stream": True}))
            except requests.RequestException as failed:
                said.append(_away(failed))
                raise
            answer.close()
            said.append(f"answers {answer.status_code}")
            if 300 <= answer.status_code < 400:
                # the library follows nothing, and takes it for a success all the same
                raise requests.exceptions.InvalidURL(said[-1])
            return answer

    session = Brief()
    session.trust_env = proxied
    return OTLPSpanExporter(endpoint=url, timeout=timeout_s, session=session)


def _away(failed: OSError) -> str:
    """By its class alone: its words may quote the address."""
    return f"does not answer ({type(failed).__name__})"


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
