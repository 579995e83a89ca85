"""Two visits of a head, two of a trunk, and an MR and a CT of one, go in by storescu; a deformable and two rigid registrations come out of
`hilum serve`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from inference.imaging.volume import Volume
from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid
from tests.lab import dcmtk
from tests.lab.node import QUIET, Node, configuration
from tests.lab.validators import dciodvfy
from tests.results.test_deformable_registration import transform_of
from tests.unit.applications.test_ct_register import STEP_MM, grid, trunk
from tests.unit.applications.test_ct_register import error_mm as trunk_error_mm
from tests.unit.applications.test_mr_deform import bent_head, in_head, true_place
from tests.unit.applications.test_mr_register import rigid

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_PATIENCE_S = 240
_DAYS = {"prior": "20250301", "current": "20260310"}
_SHOWN_MM = 30.0
"""What both visits show of the head, from its middle up and down."""
_TRUNK = grid((2 * STEP_MM, STEP_MM, STEP_MM), (200.0, 240.0, 320.0))
_LAIN = rigid((0, 0, 4), (9, -6, 12))
"""From the trunk's prior to its current place."""


def settings(folder: Path) -> dict[str, object]:
    return configuration(
        folder,
        port=0,
        repository=folder / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(folder / "results")}},
        routes=[
            {"name": "heads", "when": {"Modality": "MR"}, "run": ["mr-deform"], "send": ["results"]},
            {"name": "trunks", "when": {"Modality": "CT"}, "run": ["ct-register"], "send": ["results"]},
            {
                "name": "planning",
                "when": {"PatientID": "PLANNED"},
                "run": ["mr-ct-register"],
                "roles": {"CT": {"Modality": "CT"}, "MR": {"Modality": "MR"}},
                "send": ["results"],
            },
        ],
    )


def frame(patient: str, visit: str) -> str:
    return str(derive_uid("a frame", patient, visit))


def study(patient: str, visit: str) -> str:
    return str(derive_uid("a visit", patient, visit))


def written(folder: Path, patient: str, visit: str, volume: Volume) -> list[Path]:
    day = _DAYS[visit]
    return write_series(
        volume.voxels,
        volume.affine,
        folder / patient / visit,
        modality="CT" if volume.modality == "CT" else "MR",
        patient_id=patient,
        study_uid=study(patient, visit),
        extra={"SeriesNumber": 1, "StudyDate": day, "StudyTime": "101500", "FrameOfReferenceUID": frame(patient, visit)},
    )


def slab(volume: Volume) -> Volume:
    """Its middle half of slices: a smaller pair takes half as long."""
    kept = slice(len(volume.voxels) // 4, len(volume.voxels) * 3 // 4)
    affine = volume.affine.copy()
    affine[:3, 3] += kept.start * affine[:3, 0]
    return replace(volume, voxels=volume.voxels[kept], affine=affine, sources=volume.sources[kept])


def item_of(sequence: list[Dataset], of_frame: str, attribute: str) -> Dataset:
    (item,) = [one for one in sequence if one[attribute].value == of_frame]
    return item


def numbers(item: Dataset) -> dict[str, float]:
    """Every number of a report by the code of its concept, wherever it stands."""
    found = {}
    for one in item.get("ContentSequence", ()):
        found.update(numbers(one))
        if one.ValueType == "NUM":
            found[str(one.ConceptNameCodeSequence[0].CodeValue)] = float(one.MeasuredValueSequence[0].NumericValue)
    return found


def bent_mm(registration: Dataset, places: NDArray[np.float64]) -> tuple[float, float]:
    """Mean distance from where a place belongs to where the object takes it, by another program: with and without its grid."""
    item = item_of(registration.DeformableRegistrationSequence, frame("HEAD", "prior"), "SourceFrameOfReferenceUID")
    true = true_place(places)

    def mean() -> float:
        transform = transform_of(item)
        there = np.array([transform.TransformPoint(place) for place in places.tolist()])
        return float(np.linalg.norm(there - true, axis=1).mean())

    found = mean()
    (nodes,) = item.DeformableRegistrationGridSequence
    nodes.VectorGridData = bytes(len(nodes.VectorGridData))
    return found, mean()


def test_visits_that_come_over_the_network_are_registered_on_the_later_study(tmp_path: Path) -> None:
    """The head by mr-deform, whose object halves what the rigid motion leaves of a known warp, and is read by SimpleITK; the trunk by
    ct-register, and its MR on its CT by mr-ct-register, whose matrices are the known motion to less than a voxel. All are valid, and lie in
    the later study of their patient."""
    pair, before = bent_head(), np.linalg.inv(_LAIN).astype(np.float64)
    visits = {
        "HEAD": {"prior": slab(pair["prior"]), "current": slab(pair.reference)},
        "TRUNK": {"prior": trunk(1, before, _TRUNK), "current": trunk(1, np.eye(4), _TRUNK)},
        "PLANNED": {"prior": trunk(1, before, _TRUNK, ct=False), "current": trunk(1, np.eye(4), _TRUNK)},
    }
    files = [file for who, both in visits.items() for visit, volume in both.items() for file in written(tmp_path, who, visit, volume)]
    with Node(settings(tmp_path), tmp_path) as node:
        said = dcmtk.storescu(node.port, *files, calling="SCANNER")
        assert said.code == 0, said
        jobs = node.wait_for_jobs(lambda jobs: [one["state"] for one in jobs] == ["done"] * 3, _PATIENCE_S, "all pairs are registered")
    assert {job["application"]: job["study_uid"] for job in jobs} == {
        "mr-deform": study("HEAD", "current"),
        "ct-register": study("TRUNK", "current"),
        "mr-ct-register": study("PLANNED", "current"),
    }
    paths = {path: dcmread(path) for path in (tmp_path / "results").rglob("*.dcm")}
    registrations = {str(one.PatientID): (path, one) for path, one in paths.items() if one.Modality == "REG"}
    assert {who: one.StudyInstanceUID for who, (_, one) in registrations.items()} == {who: study(who, "current") for who in visits}
    assert [dciodvfy(path) for path, _ in registrations.values()] == [[], [], []]
    (laid,) = {
        (one.Modality, one.FrameOfReferenceUID)
        for one in paths.values()
        if one.PatientID == "PLANNED" and "Rows" in one and one.Modality == "MR"
    }
    assert laid == ("MR", frame("PLANNED", "current"))
    ((path, report),) = [(path, one) for path, one in paths.items() if one.Modality == "SR"]
    assert dciodvfy(path) == []
    told = numbers(report)
    assert 3.5 < told["BENT-MOST"] < 6.5
    assert told["BENT-P95"] < told["BENT-MOST"]
    assert told["CORR-BENT"] > told["CORR-RIGID"]

    places = in_head(pair.reference)
    places = places[np.abs(places[:, 2]) < _SHOWN_MM]
    found_mm, rigid_mm = bent_mm(registrations["HEAD"][1], places[:: len(places) // 500])
    assert rigid_mm > 0.5
    assert found_mm < rigid_mm / 2
    for who in ("TRUNK", "PLANNED"):
        (step,) = item_of(registrations[who][1].RegistrationSequence, frame(who, "prior"), "FrameOfReferenceUID").MatrixRegistrationSequence
        (matrix,) = step.MatrixSequence
        found = np.array(matrix.FrameOfReferenceTransformationMatrix, dtype=float).reshape(4, 4)
        assert trunk_error_mm(found, _LAIN) < STEP_MM
