"""The whole line of stages over a node in miniature, put together as the assembly does it; and the power cut at a write of its journal."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from inference.applications.port import Application
from inference.imaging.subjects import subjects
from node.domain.stage import Stage
from node.flow.deliver import DeliverStage
from node.flow.engines import Engines
from node.flow.infer import Analyst
from node.flow.route import RouteStage
from node.flow.runner import Runner
from node.flow.settle import SettleStage
from node.results.port import Encoded, Encoding
from node.results.statement.make import encode_statement
from node.results.withdrawal.make import encode_withdrawal
from node.sinks.folder import FolderSink
from node.sinks.port import Sink
from node.upkeep.archive_notes import StatementStage, WithdrawalStage
from tests.unit.flow.mini import APPLICATION, CountingPeer, MiniNode, ThresholdEngine, encode

Applications = Callable[[str], Application]
Encode = Callable[[Encoding], list[Encoded]]


class PowerCut(BaseException):
    """The process ends here: nothing of hilum gets to say a word."""


class Cut:
    """Counts the journal's writes, and ends the process just before or just after the one that a test names."""

    def __init__(self, node: MiniNode) -> None:
        self.writes = 0
        self.at: tuple[int, str] | None = None
        self._original: Callable[[], Any] = node.journal.database.writing
        node.journal.database.writing = self._writing  # type: ignore[method-assign]

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Any]:
        self.writes += 1
        mine = self.writes
        if self.at == (mine, "before"):
            raise PowerCut
        with self._original() as connection:
            yield connection
        if self.at == (mine, "after"):
            raise PowerCut


def threshold_alone(_: str) -> Application:
    return APPLICATION


def runner(
    node: MiniNode,
    engines: Engines,
    application_of: Applications = threshold_alone,
    encode: Encode = encode,
    *,
    owner: str = "work",
    analysed_by: Applications | None = None,
) -> Runner:
    """The work process. `analysed_by` is what the analysis finds under an application's name, where that is not what the claim found."""
    return Runner(
        node.journal,
        node.blobs,
        node.config,
        node.clock,
        owner,
        Analyst(node.config, analysed_by or application_of, engines.of),
        encode,
        assemble=subjects,
        encode_statement=encode_statement,
        encode_withdrawal=encode_withdrawal,
        application_of=application_of,
        away=engines.away,
    )


def run_line(
    node: MiniNode,
    application_of: Applications = threshold_alone,
    *,
    engine: ThresholdEngine | None = None,
    encode: Encode = encode,
    archive: Sink | None = None,
    first: Sequence[Stage] = (),
) -> None:
    """What the processes of a node do until nothing is left to do, beginning as after a start: with every lease released.

    Sinks are folders, but for what `archive` names; `first` are stages before the line's own.
    """
    node.journal.processes.release("", node.clock())
    engine = engine or ThresholdEngine()
    engines = Engines(node.config, lambda _: engine, application_of)
    sinks: dict[str, Sink] = {name: FolderSink(node.folder / name) for name in node.config.sinks}
    if archive is not None:
        sinks["archive"] = archive
    deliver = DeliverStage(node.journal, node.blobs, lambda: sinks, node.config, node.clock, "flow")
    stages: list[Stage] = [
        *first,
        SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()),
        RouteStage(node.journal, node.config, node.clock, lambda _: "default", application_of),
        runner(node, engines, application_of, encode),
        StatementStage(node.journal, node.config, node.clock),
        WithdrawalStage(node.journal, node.config, node.clock),
        deliver,
    ]
    try:
        while sum(stage.step() for stage in stages):
            deliver.wait(30)
    finally:
        deliver.close()


def in_archive(node: MiniNode) -> dict[str, bytes]:
    """What the folder of sink `archive` has: name and bytes."""
    return {path.name: path.read_bytes() for path in (node.folder / "archive").rglob("*") if path.is_file()}
