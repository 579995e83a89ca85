"""The archive is away when the node starts: intake runs, work waits, `hilum doctor` names it, and the study completes when it is back."""

from pathlib import Path

import pytest

from tests.lab import dcmtk
from tests.lab.hospital import RESULTS, hospital
from tests.lab.needs import data
from tests.lab.node import models
from tests.lab.series import another_study

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.timeout(600)]


def test_an_archive_that_is_away_loses_nothing(tmp_path: Path) -> None:
    """The study comes in and is analysed; its results wait in the journal until the archive answers, then arrive without anybody's help."""
    with hospital(tmp_path, models(("mr-brain",)), pacs_runs=False, forwards=False) as both:
        study, files = another_study(data("dicom", "mr_enhanced_xa30_T1.zip"), tmp_path / "study", "away")
        sent = dcmtk.dcmsend(both.node.port, *files, calling="PACS")
        assert sent.code == 0, sent.text
        both.node.wait_for_jobs(lambda jobs: jobs and jobs[0]["state"] == "encoded", 180, "the results are encoded and wait")
        said = both.node.doctor()
        assert not said["good"]
        bad = {finding["subject"]: finding for finding in said["findings"] if finding["level"] == "bad"}
        assert set(bad) == {"peer pacs", "sink archive"}
        assert all(finding["fix"] for finding in bad.values())
        assert both.node.running
        both.pacs.start()
        came = both.results(study, 240)
        assert {series.modality for series in came.series} == set(RESULTS)
        both.node.wait_for_jobs(lambda jobs: jobs[0]["state"] == "done", 180, "the job is done")
        assert both.node.doctor()["good"]
