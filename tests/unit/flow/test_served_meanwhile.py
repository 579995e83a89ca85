"""A model that is rolled back while jobs run: findings, digest and objects of one job are always one version's."""

from dataclasses import replace

import pytest

from node.domain.state import JobState
from node.flow.engines import Engines
from tests.unit.flow.line import runner
from tests.unit.flow.mini import APPLICATION, MiniNode
from tests.unit.flow.test_runner import Work, settle_and_route

NEWER = replace(APPLICATION, version="1.0.0+model.2")


@pytest.fixture
def work(node: MiniNode) -> Work:
    """One job waits."""
    node.receive_images("study", "t1")
    settle_and_route(node)
    return Work(node)


def test_a_version_that_changes_between_claim_and_analysis_is_analysed_again(work: Work) -> None:
    """The job began under one version and was analysed by another: nothing of that is kept, the next try is whole."""
    work.node.clock.advance(600)
    engines = Engines(work.node.config, lambda _: work.engine, work.application_of, seconds=lambda: 0.0)
    runner(work.node, engines, encode=work.encode, analysed_by=lambda _: NEWER).step()
    assert (work.job.state, work.job.code, work.job.findings_blob) == (JobState.QUEUED, "HLM-4181", None)
    work.application = NEWER
    work.step()
    assert work.job.state is JobState.ENCODED
    assert all(b"threshold 1.0.0+model.2" in content for content in work.objects().values())


def test_findings_of_the_version_that_was_left_are_not_encoded_under_the_other(work: Work) -> None:
    """Rolled back after the findings, before the objects: parked with both versions; `--afresh` analyses with the one that is served."""

    class Dies(BaseException):
        """The work process, in the middle of encoding."""

    def dies(encoding: object) -> list[object]:
        raise Dies

    encode, work.encode = work.encode, dies  # type: ignore[assignment]
    with pytest.raises(Dies):
        work.step()
    work.encode, work.application = encode, NEWER
    work.step()
    work.step()
    assert (work.job.state, work.job.code) == (JobState.PARKED, "HLM-4180")
    assert "1.0.0" in str(work.job.reason)
    assert "1.0.0+model.2" in str(work.job.reason)
    work.node.journal.jobs.revive(work.job.id, work.node.clock(), afresh=True)
    work.step()
    assert work.job.state is JobState.ENCODED
