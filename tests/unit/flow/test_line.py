"""A study's whole way through the stages: settle, route, run, deliver; cut at every write of the journal, and begun again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from node.domain.state import ArrivalState, DeliveryState, JobState
from tests.unit.flow.line import Cut, PowerCut, in_archive, run_line
from tests.unit.flow.mini import MiniNode


def received(node: MiniNode) -> MiniNode:
    """One study that is due."""
    node.receive_images("study", "t1")
    node.clock.advance(60)
    return node


def test_a_study_goes_the_whole_way(node: MiniNode) -> None:
    """Received, complete, routed, inferred, encoded, delivered, committed: three objects in the archive, nothing else."""
    run_line(received(node))
    (job,) = node.jobs()
    assert job.state is JobState.DONE
    assert [one.state for one in node.deliveries()] == [DeliveryState.DELIVERED]
    assert [one.state for one in node.arrivals()] == [ArrivalState.ROUTED]
    assert set(in_archive(node)) == {f"{one.sop_instance_uid}.dcm" for one in node.journal.results.of_job(job.id)}
    assert len(in_archive(node)) == 3


def test_results_deleted_in_the_archive_are_sent_again_byte_for_byte(node: MiniNode) -> None:
    """`hilum jobs retry` of a job that is done."""
    run_line(received(node))
    before = in_archive(node)
    for path in (node.folder / "archive").rglob("*.dcm"):
        path.unlink()
    node.journal.jobs.revive(node.jobs()[0].id, node.clock())
    run_line(node)
    assert in_archive(node) == before
    assert node.jobs()[0].state is JobState.DONE


@pytest.fixture
def undisturbed(tmp_path: Path, make_node: Callable[[Path], MiniNode]) -> tuple[dict[str, bytes], int]:
    """What stands in the archive when nothing goes wrong, and how many writes that takes."""
    node = received(make_node(tmp_path / "undisturbed"))
    cut = Cut(node)
    run_line(node)
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
            run_line(node)
        cut.at = None
        run_line(node)
        assert in_archive(node) == expected, f"cut {side} write {at}"
        assert [job.state for job in node.jobs()] == [JobState.DONE], f"cut {side} write {at}"
