"""`observe:` where traces of the studies' ways go."""

from dataclasses import dataclass, field

from node.settings.blocks import block, needed, setting
from node.settings.kinds import PERCENT
from node.settings.notify import PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """An OpenTelemetry collector. `sample` is the share of arrivals of which spans are sent, above 0, at most 1."""

    otlp: str = field(
        metadata=needed(
            PAGE,
            says="Where spans are posted (OTLP over HTTP, protobuf): the whole address, of a collector mostly "
            "`http://localhost:4318/v1/traces`. Needs the extra `otel`.",
        )
    )
    sample: float = setting(
        PERCENT, default="100%", says="Of how many arrivals: `10%`. All spans of one arrival are sent, or none, whichever host has it."
    )


TRACES = block(Traces, build=Traces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observe:
    """What is told to programs that watch. `traces` None: none are made."""

    traces: Traces | None = setting(
        TRACES, says="Send OpenTelemetry spans of what studies wait for, from receipt to delivery. They have no UID and name no patient."
    )


OBSERVE = block(Observe, build=Observe)
