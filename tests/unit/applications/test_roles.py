"""Several volumes in roles: on one grid, registered within a limit or refused with figures, each asked and judged as if it were alone."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference import codes
from inference.applications.accept import check
from inference.applications.admitting import admitted
from inference.applications.analysing import analyse
from inference.applications.errors import BrokenApplication
from inference.applications.manifest import check_manifest
from inference.applications.port import Accepts, Application, Infer, MeasurementOutput, RigidMotion, Role, SegmentOutput, Takes
from inference.findings import Findings, Measurement, Segment
from inference.imaging.errors import MixedIdentity, MovedTooFar, NotInOneFrame, OutOfReach, RoleUnfilled
from inference.imaging.roles import on_one_grid
from inference.imaging.subject import VolumeSet
from inference.imaging.subjects import Assembled, subjects
from inference.imaging.volume import Affine
from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid
from tests.unit.applications.test_mr_register import AFFINE, INFER, SHAPE, head, rigid

STUDY, FRAME = derive_uid("a study", "of roles"), derive_uid("a frame", "of roles")
MR = Accepts(modality=("MR",), takes=Takes.VOLUMES, min_slices=5)
LIMIT = RigidMotion(max_mm=20, max_degrees=10)


def difference(volumes: VolumeSet, infer: Infer) -> Findings:
    """Where T1c is brighter than T1 by more than 100, and how many millilitres that is."""
    mask = volumes["T1c"].voxels.astype(np.float32) - volumes["T1"].voxels > 100
    segment = Segment(label="enhancing", mask=mask, category=codes.TISSUE, type=codes.BRAIN, rgb=(1, 2, 3))
    volume_ml = volumes.reference.volume_mm3(mask) / 1000
    said = Measurement(name=codes.VOLUME, value=volume_ml, unit=codes.CUBIC_CENTIMETRE, segment="enhancing", derivation=None)
    return Findings(segments=(segment,), measurements=(said,))


def application(*roles: Role, accepts: Accepts = MR) -> Application:
    return Application(
        name="enhancement",
        version="1.0.0",
        title="Enhancement",
        accepts=accepts,
        models=(),
        outputs=(SegmentOutput(label="enhancing", type=codes.BRAIN), MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE)),
        analyse=difference,
        roles=roles or (Role(name="T1"), Role(name="T1c"), Role(name="FLAIR", optional=True)),
    )


def series(folder: Path, name: str, voxels: Any, affine: Affine = AFFINE, *, number: int = 1, **extra: Any) -> list[Path]:
    given = {"SeriesNumber": number, "FrameOfReferenceUID": FRAME, "BodyPartExamined": "HEAD", **extra}
    uid = derive_uid("a series", name)
    return write_series(voxels, affine, folder / name, modality="MR", study_uid=STUDY, series_uid=uid, series_description=name, extra=given)


def made(app: Application, files: Mapping[str, list[Path]]) -> Assembled:
    given = {path: role for role, paths in files.items() for path in paths}
    (one,) = subjects(Takes.VOLUMES, "refuse", list(given), derive_uid("a series", "T1"), given, roles=app.in_roles, threads=1)
    return one


def plain(value: int, shape: tuple[int, ...] = SHAPE) -> Any:
    return np.full(shape, value, dtype=np.int16) + (np.indices(shape).sum(axis=0) % 7).astype(np.int16)


def test_a_finding_over_two_series_lies_on_the_grid_of_the_first(tmp_path: Path) -> None:
    """T1c on coarser voxels, shifted by half of one: a cube of 400 that it adds is found where it is, by arithmetic on its edges."""
    coarse = AFFINE @ np.diag([2.0, 2.0, 2.0, 1.0])
    enhanced = plain(300, (20, 32, 32))
    enhanced[5:10, 8:16, 8:16] += 400
    files = {"T1": series(tmp_path, "T1", plain(300), number=3), "T1c": series(tmp_path, "T1c", enhanced, coarse, number=4)}
    app = application()
    assembled = made(app, files)
    given = admitted(app, assembled)
    said = analyse(app, given.assembled.subject, INFER)
    mask = said.segments[0].mask
    # values of 400 at coarse 8 to 15 fall to 100 three quarters of the way to the next voxel: fine 16 - 1.5 to 30 + 1.5
    assert mask.shape == SHAPE
    assert [int(each) for each in np.argwhere(mask).min(axis=0)] == [9, 15, 15]
    assert [int(each) for each in np.argwhere(mask).max(axis=0)] == [19, 31, 31]
    assert assembled.remarks == (
        "Analysed together, each role with the number of its series: T1 3, T1c 4.",
        "Analysed without FLAIR: there was no such series.",
    )
    assert {str(one.SeriesDescription) for one in assembled.headers} == {"T1", "T1c"}


def test_a_role_that_must_be_filled_and_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RoleUnfilled, match="no series for T1c"):
        made(application(), {"T1": series(tmp_path, "T1", plain(300))})


def test_a_series_of_another_patient_is_refused(tmp_path: Path) -> None:
    other = series(tmp_path, "T1c", plain(300), PatientID="ANOTHER")
    with pytest.raises(MixedIdentity, match="2 values of PatientID"):
        made(application(), {"T1": series(tmp_path, "T1", plain(300)), "T1c": other})


def test_another_frame_of_reference_is_refused_unless_the_role_allows_a_motion(tmp_path: Path) -> None:
    """Refused by name; a role that is optional is left out, and the reader is told why."""
    elsewhere = derive_uid("another", "frame")
    files = {"T1": series(tmp_path, "T1", plain(300)), "T1c": series(tmp_path, "T1c", plain(300), FrameOfReferenceUID=elsewhere)}
    with pytest.raises(NotInOneFrame, match=r"T1c, series .* is of another frame of reference"):
        made(application(), files)
    optional = application(Role(name="T1"), Role(name="T1c", optional=True))
    assembled = made(optional, files)
    assert isinstance(assembled.subject, VolumeSet)
    assert list(assembled.subject.volumes) == ["T1"]
    assert any(one.startswith("T1c was left out: T1c, series") and one.endswith("[HLM-3035]") for one in assembled.remarks)


def test_a_series_that_covers_too_little_is_refused_with_its_share(tmp_path: Path) -> None:
    slab = series(tmp_path, "T1c", plain(300, (12, 64, 64)))
    with pytest.raises(OutOfReach, match=r"T1c, series .* covers \d+ % of the images"):
        made(application(), {"T1": series(tmp_path, "T1", plain(300)), "T1c": slab})


@pytest.mark.slow
def test_a_motion_within_the_limit_is_undone_and_one_beyond_it_is_refused_with_figures(tmp_path: Path) -> None:
    """A head that is turned by 3 degrees and moved by 5 mm lies on the reference again; by 25 mm it is refused."""
    elsewhere = derive_uid("another", "frame")
    still = head(1)
    app = application(Role(name="T1"), Role(name="T1c", motion=LIMIT))
    for shift, allowed in ((5.0, True), (25.0, False)):
        moved = head(1, motion=rigid((0, 0, 3), (shift, 0, 0)))
        files = {
            "T1": series(tmp_path / str(shift), "T1", still.voxels, still.affine),
            "T1c": series(tmp_path / str(shift), "T1c", moved.voxels, moved.affine, FrameOfReferenceUID=elsewhere),
        }
        if not allowed:
            with pytest.raises(MovedTooFar, match=r"moved by 2\d\.\d mm and turned by \d\.\d degrees .* at most 20 mm and 10 degrees"):
                made(app, files)
            continue
        assembled = made(app, files)
        assert isinstance(assembled.subject, VolumeSet)
        given = on_one_grid(assembled.subject)
        body = still.voxels > 100
        apart = np.abs(given["T1c"].voxels.astype(float) - still.voxels)[body].mean()
        before = np.abs(moved.voxels.astype(float) - still.voxels)[body].mean()
        assert apart < 0.35 * before
        assert any("T1c was registered: moved by" in one for one in assembled.remarks)


@pytest.mark.slow
def test_a_motion_of_a_volume_on_its_own_grid_is_told_by_its_affine_alone(tmp_path: Path) -> None:
    """A head that is turned by 3 degrees and moved by 5 mm keeps its voxels; where each of them was on the still head is known within a
    millimetre, and it names no images, which lie elsewhere."""
    motion = rigid((0, 0, 3), (5, 0, 0))
    still, moved = head(1), head(1, motion=motion)
    app = application(Role(name="T1"), Role(name="T1c", motion=replace(LIMIT, always=True), own_grid=True))
    files = {
        "T1": series(tmp_path, "T1", still.voxels, still.affine),
        "T1c": series(tmp_path, "T1c", moved.voxels, moved.affine),
    }
    assembled = made(app, files)
    assert isinstance(assembled.subject, VolumeSet)
    given = on_one_grid(assembled.subject)
    np.testing.assert_array_equal(given["T1c"].voxels, assembled.subject["T1c"].voxels)
    assert given["T1c"].sources == ()
    corners = np.array([(z, y, x, 1) for z in (4, SHAPE[0] - 5) for y in (8, SHAPE[1] - 9) for x in (8, SHAPE[2] - 9)], dtype=float)
    here, there = (corners @ matrix.T for matrix in (given["T1c"].affine, np.linalg.inv(motion) @ moved.affine))
    assert np.linalg.norm((here - there)[:, :3], axis=1).max() < 1.0
    assert np.linalg.norm((here - corners @ moved.affine.T)[:, :3], axis=1).min() > 2.0
    assert any("T1c was registered: moved by" in one for one in assembled.remarks)


def test_each_role_is_asked_what_its_manifest_says(tmp_path: Path) -> None:
    """A role with bounds of its own is refused by its name; optional, it is left out."""
    files = {"T1": series(tmp_path, "T1", plain(300)), "T1c": series(tmp_path, "T1c", plain(300))}
    thin = Accepts(modality=("MR",), max_spacing_mm=2.0)
    assembled = made(application(), files)
    strict = application(Role(name="T1"), Role(name="T1c", accepts=thin))
    with pytest.raises(Exception, match=r"T1c: voxels are 4 mm apart, at most 2 mm are taken"):
        check(strict, assembled.subject)
    lenient = application(Role(name="T1"), Role(name="T1c", accepts=thin, optional=True))
    given = admitted(lenient, assembled)
    assert isinstance(given.assembled.subject, VolumeSet)
    assert list(given.assembled.subject.volumes) == ["T1"]
    assert {str(one.SeriesDescription) for one in given.assembled.headers} == {"T1"}


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        ((Role(name="T1"), Role(name="T1")), 'role "T1" is there twice'),
        ((Role(name="T1", optional=True), Role(name="T2")), 'role "T1" is the reference'),
        ((Role(name="T1"), Role(name="before", prior_of="T2")), 'is the prior of "T2", which is no role of the study'),
        ((Role(name="T1"),), "roles names 1, at least two"),
        ((Role(name="T1"), Role(name="T\\2")), "is not 1 to 31 letters"),
    ],
)
def test_a_manifest_whose_roles_contradict_each_other_is_refused(roles: tuple[Role, ...], said: str) -> None:
    with pytest.raises(BrokenApplication, match=said.replace("\\", r"\\")):
        check_manifest(application(*roles), "enhancement", "a test")
    with pytest.raises(BrokenApplication, match="it names roles, and takes volume"):
        check_manifest(application(accepts=replace(MR, takes=Takes.VOLUME)), "enhancement", "a test")
    assert check_manifest(application(), "enhancement", "a test").roles[0].name == "T1"
