"""The record of engines that compute on this machine."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from inference.engines.kind import EngineKind, Opening, Option, Size, Switch, WholeNumber

if TYPE_CHECKING:
    from inference.engines.embedded.engine import EmbeddedEngine
    from inference.engines.jail.model import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """`threads` and `memory` (bytes) are for one model; None: a worker's share of what the machine has. `allow_code` lets models that can
    carry a program be computed where the kernel cannot confine them."""

    kind: ClassVar[str] = "embedded"
    threads: int | None = None
    memory: int | None = None
    allow_code: bool = False


def _open(options: Embedded, opening: Opening) -> "EmbeddedEngine":
    from inference.engines.embedded.engine import EmbeddedEngine

    limits = _limits(options, opening.workers)
    return EmbeddedEngine(opening.repository, threads=options.threads, workers=opening.workers, limits=limits, tell=opening.tell)


def _limits(options: Embedded, workers: int) -> "Limits":
    from inference.engines.jail.model import Limits

    return Limits.usual(workers, memory=options.memory, allow_code=options.allow_code)


KIND = EngineKind(
    name=Embedded.kind,
    says="runs models inside the work processes",
    takes=(
        Option(
            name="threads",
            takes=WholeNumber(least=1, most=1024),
            says="threads for one model; without it, a worker's share of the cores that the node may use.",
        ),
        Option(
            name="memory",
            takes=Size(),
            says="what the process of one model may take; one that takes more is ended, and its job tried again. "
            "Without it, a worker's share of four fifths of the machine's memory, or of the container's. Between calls a worker keeps "
            "eight models warm at most, and no more than fit into that share together, or into `memory` where it is more: of those "
            "that do not compute, the ones that were not used for longest are ended, and loaded again at their next call.",
        ),
        Option(
            name="allow_code",
            takes=Switch(),
            default="false",
            says="compute models that can carry a program (TorchScript) even where the kernel cannot confine their "
            "processes (`hilum doctor` says so). A program then does what the node's user may.",
        ),
    ),
    options=Embedded,
    open=_open,
    where=lambda _: "in the work processes",
    mend=lambda _: "Install it (`pip install 'PATH[embedded]'`, with the PATH of hilum's wheel or checkout); jobs wait until then.",
    limits=_limits,
)
