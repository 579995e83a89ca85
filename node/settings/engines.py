"""`engines:` what runs models."""

from node.settings.blocks import Block, Key, Named
from node.settings.config import EngineKind, EngineSettings
from node.settings.kinds import Choice, whole


def _engine(*, name: str, kind: EngineKind, threads: int | None) -> EngineSettings:
    return EngineSettings(name=name, kind=kind, threads=threads)


ENGINES = Named(
    noun="engine",
    of=Block(
        build=_engine,
        keys=(
            Key(name="kind", kind=Choice(of=EngineKind), default="embedded", says="`embedded` runs models inside the work processes."),
            Key(name="threads", kind=whole(1, 1024), says="Threads for one model; without it, what the processor has."),
        ),
    ),
)
