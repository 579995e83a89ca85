"""Four contrast series through a PACS over four associations in random order: one job, one result set, of its own study's images alone."""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid
from tests.lab.loopback import free_port
from tests.lab.node import QUIET, Node, configuration
from tests.lab.orthanc import Orthanc

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.timeout(600)]

STUDIES = int(os.environ.get("HILUM_ROLE_STUDIES", "10"))
"""Fifty by hand."""
_APPLICATIONS = Path(__file__).parents[1] / "node" / "applications"
_PATIENCE_S = 240
SHAPE = (12, 32, 32)
AFFINE = np.array([[0, 0, 2, -32], [0, 2, 0, -32], [4, 0, 0, -24], [0, 0, 0, 1]], dtype=np.float64)
NAMES = ("T1", "T1c", "T2", "FLAIR")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A study of four series: a cube of so many voxels a side is lit up on T1c, a box twice as long is bright on T2 and FLAIR."""

    uid: str
    side: int
    files: dict[str, list[Path]]

    @property
    def enhancing_cm3(self) -> float:
        return self.side**3 * 16 / 1000

    @property
    def edema_cm3(self) -> float:
        return 2 * self.side**3 * 16 / 1000


def study(folder: Path, number: int) -> Made:
    side, uid = 3 + number % 6, derive_uid("roles", str(number))
    cube = (slice(2, 2 + side), slice(4, 4 + side), slice(4, 4 + side))
    box = (slice(2, 2 + side), slice(4, 4 + side), slice(16, 16 + 2 * side))
    files = {}
    for at, name in enumerate(NAMES, start=1):
        voxels = np.full(SHAPE, 300, np.int16) + (np.indices(SHAPE).sum(axis=0) % 5).astype(np.int16)
        if name == "T1c":
            voxels[cube] += 400
        if name in ("T2", "FLAIR"):
            voxels[box] += 500
        files[name] = write_series(
            voxels,
            AFFINE,
            folder / f"{number}-{name}",
            modality="MR",
            patient_name=f"Study^{number}",
            patient_id=f"P-{number}",
            study_uid=uid,
            series_uid=derive_uid("roles", str(number), name),
            series_description=name,
            extra={"SeriesNumber": at, "FrameOfReferenceUID": derive_uid("roles", str(number), "frame"), "StudyDate": "20260310"},
        )
    return Made(uid=uid, side=side, files=files)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Orthanc]]:
    """A node whose one route gives four series of a study their roles, and the PACS that sends them and gets the results."""
    folder = tmp_path_factory.mktemp("roles")
    port = free_port()
    pacs = Orthanc(folder / "pacs", node_port=port)
    roles = {name: {"SeriesDescription": name} for name in NAMES}
    written = configuration(
        folder / "node",
        port=port,
        repository=folder / "models",
        peers={"pacs": {"ae_title": "PACS", "address": f"127.0.0.1:{pacs.dicom_port}", "settle": {"quiet": QUIET}}},
        sinks={"archive": {"kind": "dimse", "peer": "pacs"}},
        routes=[{"name": "glioma", "when": {"Modality": "MR"}, "run": ["four-contrasts"], "roles": roles, "send": ["archive"]}],
    )
    written = {**written, "models": {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}}
    with pacs, Node(written, folder / "node") as node:
        yield node, pacs


def evidence(dataset: Dataset) -> set[str]:
    """The images that an object refers to by its series or its evidence (PS3.3 C.12.2 and C.17.2.1), read by hand."""
    listed = [dataset, *dataset.get("CurrentRequestedProcedureEvidenceSequence", ()), *dataset.get("PertinentOtherEvidenceSequence", ())]
    return {
        str(one.ReferencedSOPInstanceUID)
        for holder in listed
        for series in holder.get("ReferencedSeriesSequence", ())
        for one in [*series.get("ReferencedInstanceSequence", ()), *series.get("ReferencedSOPSequence", ())]
    }


def volumes(item: Dataset) -> list[float]:
    """Every number in a content tree."""
    own = [float(item.MeasuredValueSequence[0].NumericValue)] if item.get("MeasuredValueSequence") else []
    return own + [each for child in item.get("ContentSequence", ()) for each in volumes(child)]


def test_four_series_over_four_associations_in_random_order_are_one_result_set_each(hospital: tuple[Node, Orthanc], tmp_path: Path) -> None:
    """The series of all studies are mixed at random: each study has one job, one mask and one report in the PACS, of its own images alone,
    with the volumes that were planted in it, on the grid of its T1."""
    node, pacs = hospital
    made = [study(tmp_path, number) for number in range(STUDIES)]
    order = [(one, name) for one in made for name in NAMES]
    random.Random(18).shuffle(order)
    held: dict[tuple[str, str], str] = {}
    for one, name in order:
        for path in one.files[name]:
            held[one.uid, name] = pacs.get(f"/instances/{pacs.post_instance(path.read_bytes())}/series")["ID"]
    for one, name in order:
        pacs.post("/modalities/NODE/store", {"Resources": [held[one.uid, name]], "Synchronous": True})

    def done(jobs: list[dict[str, Any]]) -> bool:
        return len({job["study_uid"] for job in jobs if job["state"] == "done"}) == STUDIES

    jobs = node.wait_for_jobs(done, _PATIENCE_S, f"{STUDIES} studies are done")
    assert [job["state"] for job in jobs] == ["done"] * STUDIES
    for one in made:
        results = [series for series in pacs.study(one.uid).series if series.modality != "MR"]
        objects = [dcmread(path) for series in results for path in pacs.download(series, tmp_path / "got" / one.uid / series.identifier)]
        (mask,) = [each for each in objects if each.Modality == "SEG"]
        reports = [each for each in objects if each.Modality == "SR"]
        mine = {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for paths in one.files.values() for path in paths}
        assert evidence(mask) == mine
        assert reports
        assert all(evidence(report) & mine == mine for report in reports)
        used = {str(item.ReferencedSOPInstanceUID) for item in _derived(mask)}
        assert used <= {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in one.files["T1"]}
        numbers = [number for report in reports for number in volumes(report)]
        for planted_cm3 in (one.enhancing_cm3, one.edema_cm3):
            assert any(number == pytest.approx(planted_cm3, rel=0.01) for number in numbers), (planted_cm3, numbers)


def _derived(mask: Dataset) -> list[Dataset]:
    """The source images of every frame."""
    return [
        source
        for frame in mask.PerFrameFunctionalGroupsSequence
        for derivation in frame.DerivationImageSequence
        for source in derivation.SourceImageSequence
    ]
