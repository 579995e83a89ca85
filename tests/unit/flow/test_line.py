"""A study's whole way through the stages: settle, route, run, deliver; cut at every write of the journal, and begun again."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inference.applications.port import Application
from inference.imaging.subjects import subjects
from node.domain.state import ArrivalState, DeliveryState, JobState
from node.flow.deliver import Deliver
from node.flow.engines import Engines
from node.flow.infer import Analyst
from node.flow.port import Stage
from node.flow.route import RouteStage
from node.flow.runner import Runner
from node.flow.settle import Settle
from node.sinks.folder import FolderSink
from tests.unit.flow.mini import APPLICATION, CountingPeer, MiniNode, ThresholdEngine, encode


class PowerCut(BaseException):
    """The process ends here: nothing of hilum gets to say a word."""


class Cut:
    """Counts the journal's writes, and ends the process just before or just after the one that a test names."""

    def __init__(self, node: MiniNode) -> None:
        self.writes = 0
        self.at: tuple[int, str] | None = None
        self._original: Callable[[], Any] = node.journal._writing
        node.journal._writing = self._writing  # type: ignore[method-assign]

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


def application_of(_: str) -> Application:
    return APPLICATION


def run(node: MiniNode) -> None:
    """What the processes of a node do until nothing is left to do, beginning as after a start: with every lease released."""
    node.journal.release("", node.clock())
    engines = Engines(node.config, lambda _: ThresholdEngine(), application_of)
    deliver = Deliver(
        node.journal, node.blobs, {name: FolderSink(node.folder / name) for name in node.config.sinks}, node.config, node.clock, "flow"
    )
    stages: list[Stage] = [
        Settle(node.journal, node.config, node.clock, lambda _: CountingPeer()),
        RouteStage(node.journal, node.config, node.clock, lambda _: "default", application_of),
        Runner(
            node.journal,
            node.blobs,
            node.config,
            node.clock,
            "work",
            Analyst(node.config, application_of, engines.of),
            encode,
            assemble=subjects,
            application_of=application_of,
            away=engines.away,
        ),
        deliver,
    ]
    try:
        while sum(stage.step() for stage in stages):
            deliver.wait(30)
    finally:
        deliver.close()


def in_archive(node: MiniNode) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (node.folder / "archive").rglob("*") if path.is_file()}


def received(node: MiniNode) -> MiniNode:
    """One study that is due."""
    node.receive_images("study", "t1")
    node.clock.advance(60)
    return node


def test_a_study_goes_the_whole_way(node: MiniNode) -> None:
    """Received, complete, routed, inferred, encoded, delivered, committed: three objects in the archive, nothing else."""
    run(received(node))
    (job,) = node.jobs()
    assert job.state is JobState.DONE
    assert [one.state for one in node.deliveries()] == [DeliveryState.COMMITTED]
    assert [one.state for one in node.arrivals()] == [ArrivalState.ROUTED]
    assert set(in_archive(node)) == {f"{one.sop_instance_uid}.dcm" for one in node.journal.objects(job.id)}
    assert len(in_archive(node)) == 3


def test_results_deleted_in_the_archive_are_sent_again_byte_for_byte(node: MiniNode) -> None:
    """`hilum jobs retry` of a job that is done."""
    run(received(node))
    before = in_archive(node)
    for path in (node.folder / "archive").rglob("*.dcm"):
        path.unlink()
    node.journal.revive_job(node.jobs()[0].id, node.clock())
    run(node)
    assert in_archive(node) == before
    assert node.jobs()[0].state is JobState.DONE


@pytest.fixture
def undisturbed(tmp_path: Path, make_node: Callable[[Path], MiniNode]) -> tuple[dict[str, bytes], int]:
    """What stands in the archive when nothing goes wrong, and how many writes that takes."""
    node = received(make_node(tmp_path / "undisturbed"))
    cut = Cut(node)
    run(node)
    return in_archive(node), cut.writes


@pytest.mark.slow
@pytest.mark.parametrize("side", ["before", "after"])
def test_one_set_of_results_wherever_the_power_is_cut(
    tmp_path: Path, make_node: Callable[[Path], MiniNode], undisturbed: tuple[dict[str, bytes], int], side: str
) -> None:
    """For every write of the journal: the process ends there, another begins, and the same bytes stand in the archive, once."""
    expected, writes = undisturbed
    assert writes > 10
    for at in range(1, writes + 1):
        node = received(make_node(tmp_path / f"{side}-{at}"))
        cut = Cut(node)
        cut.at = (at, side)
        with pytest.raises(PowerCut):
            run(node)
        cut.at = None
        run(node)
        assert in_archive(node) == expected, f"cut {side} write {at}"
        assert [job.state for job in node.jobs()] == [JobState.DONE], f"cut {side} write {at}"
