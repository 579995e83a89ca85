"""FLAIR and T1 of today with those of the last visit, through `hilum serve` alone: registered onto today's, one job, a new lesion found."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid
from tests.lab import dcmtk
from tests.lab.node import QUIET, Node, configuration
from tests.unit.applications.test_mr_register import SHAPE, head, rigid

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_APPLICATIONS = Path(__file__).parent / "applications"
_PATIENCE_S = 240
LESION = (slice(18, 22), slice(28, 34), slice(28, 34))
NOT_DARK = 50
"""What T1 has to show, by the application."""


def settings(folder: Path) -> dict[str, object]:
    roles = {"FLAIR": {"SeriesDescription": "FLAIR"}, "T1": {"SeriesDescription": "T1"}, "FLAIR before": {"within": "3y"}}
    route = {"name": "sclerosis", "when": {"Modality": "MR"}, "run": ["change-since"], "roles": roles, "send": ["results"]}
    made = configuration(
        folder,
        port=0,
        repository=folder / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(folder / "results")}},
        routes=[route],
    )
    return {**made, "models": {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}}


def visit(folder: Path, day: str, *, moved: bool, lesion: bool) -> list[Path]:
    """FLAIR and T1 of one head, each visit in a frame of reference of its own, the earlier one turned by 4 degrees and moved by 6 mm."""
    volume = head(1, motion=rigid((0, 0, 4), (6, -3, 2))) if moved else head(1)
    files = []
    for number, name in enumerate(("FLAIR", "T1"), start=1):
        voxels = volume.voxels.copy()
        if lesion and name == "FLAIR":
            voxels[LESION] += 2000
        files += write_series(
            voxels,
            volume.affine,
            folder / day / name,
            modality="MR",
            study_uid=derive_uid("a visit", day),
            series_uid=derive_uid("a visit", day, name),
            series_description=name,
            extra={"SeriesNumber": number, "StudyDate": day, "StudyTime": "101500", "FrameOfReferenceUID": derive_uid("a frame", day)},
        )
    return files


def sent(node: Node, files: list[Path]) -> None:
    said = dcmtk.storescu(node.port, *files, calling="SCANNER")
    assert said.code == 0, said


def listed(mask: Dataset) -> dict[str, set[str]]:
    """The series that the mask refers to, by their study (PS3.3 C.12.2), read by hand."""
    here = {str(one.SeriesInstanceUID) for one in mask.ReferencedSeriesSequence}
    others = mask.get("StudiesContainingOtherReferencedInstancesSequence", ())
    elsewhere = {str(one.StudyInstanceUID): {str(each.SeriesInstanceUID) for each in one.ReferencedSeriesSequence} for one in others}
    return {str(mask.StudyInstanceUID): here, **elsewhere}


def test_a_lesion_that_the_last_visit_did_not_show_is_found_whichever_visit_came_first(tmp_path: Path) -> None:
    """Today comes first and waits for nothing: without a prior there is no job. The last visit makes it; the mask is on today's FLAIR, and
    has the lesion where it was planted; all four series stand in its references."""
    today = visit(tmp_path, "20260310", moved=False, lesion=True)
    before = visit(tmp_path, "20250301", moved=True, lesion=False)
    with Node(settings(tmp_path), tmp_path) as node:
        sent(node, today)
        sent(node, before)
        (job,) = node.wait_for_jobs(lambda jobs: any(one["state"] == "done" for one in jobs), _PATIENCE_S, "the comparison is done")
    assert job["study_uid"] == derive_uid("a visit", "20260310")
    (mask,) = [one for path in (tmp_path / "results").rglob("*.dcm") if (one := dcmread(path)).Modality == "SEG"]
    assert listed(mask) == {
        derive_uid("a visit", day): {derive_uid("a visit", day, name) for name in ("FLAIR", "T1")} for day in ("20260310", "20250301")
    }
    frames = mask.pixel_array.astype(bool)
    at = [str(f.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID) for f in mask.PerFrameFunctionalGroupsSequence]
    slices = {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID): z for z, path in enumerate(today[: len(today) // 2])}
    found = np.zeros(SHAPE, dtype=bool)
    for uid, frame in zip(at, frames, strict=True):
        found[slices[uid]] = frame
    planted = np.zeros(SHAPE, dtype=bool)
    planted[LESION] = head(1).voxels[LESION] > NOT_DARK
    assert 2 * (found & planted).sum() / (found.sum() + planted.sum()) > 0.9
