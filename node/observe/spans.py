"""Spans: what a collector of OpenTelemetry traces is told, and how it is sent (OTLP over HTTP).

A span bears no UID and nothing of a patient, of an image or of a peer's own words: only the attributes that `ATTRIBUTES` lists, whose
values are numbers, codes and names of the configuration. The library is an extra of its own and is loaded when the first exporter is made.
"""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from node.domain.errors import ConfigError, DeliveryError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

ATTRIBUTES: Mapping[str, str] = {
    "hilum.peer": "the sender's name in the configuration; `stranger` of one that it does not know",
    "hilum.instances": "how many instances came",
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


class TracingAbsent(ConfigError):
    """The programs that spans are sent with are not installed."""

    code = "HLM-2150"
    remedy = (
        "Install them: `pip install 'PATH[otel]'`, with the PATH of hilum's wheel or checkout; or take `traces` out of the block `observe`."
    )


class CollectorAway(DeliveryError):
    """A collector of traces does not take spans now: they are kept for an hour, and sent again."""

    code = "HLM-6191"
    remedy = "See whether it runs and takes OTLP over HTTP at the address of `observe: {traces: {otlp: …}}`. Studies do not wait for it."
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
    """

    def __init__(self, url: str, *, host: str, version: str) -> None:
        demand_tracing()
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource

        # it quotes answers, and repeats itself; what is wrong is told by an event of the node's
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
        self._url = url
        self._resource = Resource({"service.name": "hilum", "service.instance.id": host, "service.version": version})
        self._exporter = OTLPSpanExporter(endpoint=url, timeout=_TIMEOUT_S)

    def send(self, spans: Sequence[TraceSpan]) -> None:
        """Send them; CollectorAway where they were not taken within five seconds."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        if self._exporter.export([self._readable(one) for one in spans]) is not SpanExportResult.SUCCESS:
            raise CollectorAway(f"{self._url} took no spans")

    def close(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

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


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
