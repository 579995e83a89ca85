"""CT series that are no volume are refused with the reason, which stays visible; a compressed CT is received, decoded and routed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import dcmtk, source
from tests.lab.hospital import Hospital, hospital
from tests.lab.needs import data
from tests.lab.node import models
from tests.lab.program import wait_until
from tests.lab.series import unpacked

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.timeout(600)]

ROUTES: list[dict[str, object]] = [
    {"name": "CT", "when": {"Modality": "CT"}, "run": ["ct-lung"], "send": ["archive"]},
    {"name": "MR", "when": {"Modality": "MR"}, "run": ["mr-brain"], "send": ["archive"]},
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """A PACS and a node that sends every CT to ct-lung and every MR to mr-brain."""
    weights = data("weights", "unet_small_lung_ct") / "UNet_wdk24.pt"
    repository = models(("mr-brain",), ("ct-lung", "--file", weights))
    with hospital(tmp_path_factory.mktemp("refused"), repository, routes=ROUTES, forwards=False) as both:
        yield both


def _ended(site: Hospital, study_uid: str) -> dict[str, Any]:
    """The one job of a study once it waits for a person or is done."""

    def ended(jobs: list[dict[str, Any]]) -> bool:
        return any(job["study_uid"] == study_uid and job["state"] in ("parked", "failed", "not_applicable", "done") for job in jobs)

    jobs = site.node.wait_for_jobs(ended, 120, f"the job of {study_uid} ended")
    (job,) = (job for job in jobs if job["study_uid"] == study_uid)
    return job


@pytest.mark.parametrize(
    ("series", "state", "code", "word"),
    [
        # a gap, and too few slices besides: that is no series of another kind, but one that is not whole
        ("bad_geometry/sliceincrement_001.zip", "parked", "HLM-3087", "missing"),
        ("bad_geometry/sliceorientation_001.zip", "not_applicable", "HLM-3101", "slices"),
    ],
)
def test_a_series_that_is_no_volume_ends_with_the_reason(
    site: Hospital, tmp_path: Path, series: str, state: str, code: str, word: str
) -> None:
    """Every instance is accepted, and the job says why there is no result."""
    path = data("dicom", *series.split("/"))
    sent = dcmtk.dcmsend(site.node.port, *unpacked(path, tmp_path), calling="PACS")
    assert sent.code == 0, sent.text
    study = source.study_uid(path)
    if state == "parked":  # its rest is waited for, until the operator says that there is none

        def told() -> bool:
            return any(one["study_uid"] == study and one["state"] == "incomplete" for one in site.node.studies())

        wait_until(told, 120, "the gap is told", every_s=1)
        assert site.node.hilum("studies", "complete", study).code == 0
    job = _ended(site, study)
    assert (job["state"], job["code"]) == (state, code), job
    assert word in job["reason"].lower()


def test_a_compressed_ct_is_received_decoded_and_routed(site: Hospital) -> None:
    """Twenty slices of JPEG 2000, de-identified so thoroughly that study, series and instance UIDs in them are empty."""
    said = site.node.hilum("send", data("dicom", "ct_abdomen_TotalSeg"), "--to", f"HILUM@127.0.0.1:{site.node.port}", "--calling", "PACS")
    assert said.code == 0, said.out + said.err

    def looked_at(jobs: list[dict[str, Any]]) -> bool:
        return any(job["study_uid"] in _of_twenty(site) and job["state"] in ("parked", "failed", "not_applicable", "done") for job in jobs)

    jobs = site.node.wait_for_jobs(looked_at, 120, "the compressed study was looked at")
    (job,) = (job for job in jobs if job["study_uid"] in _of_twenty(site))
    assert job["application"].startswith("ct-lung")
    # decoded: whatever ct-lung thinks of an abdomen, it is no complaint about reading the images
    assert not (job["code"] or "").startswith("HLM-30"), job


def _of_twenty(site: Hospital) -> set[str]:
    return {study["study_uid"] for study in site.node.studies() if study["instances"] == 20}


def test_refusals_stay_visible(site: Hospital) -> None:
    """Each refused study is in `hilum jobs list` with code and reason; `hilum doctor` counts those that wait for a person."""
    refused = [job for job in site.node.jobs() if job["state"] in ("parked", "not_applicable")]
    assert {job["state"] for job in refused} == {"parked", "not_applicable"}
    assert all(job["code"] and job["reason"] for job in refused)
    assert any(finding["subject"] == "jobs" for finding in site.node.doctor()["findings"])
