"""Several series in roles, as a container finds them: by the folders, names and settings of its contract, without any container."""

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from inference import codes
from inference.applications.container.contracts import give
from inference.applications.container.described import ContainerAnswer, ContainerManifest, Contract, ImageFormat
from inference.applications.container.manifest import application_of, from_text, to_text
from inference.applications.manifest import check_manifest
from inference.applications.port import Accepts, Role, Takes
from inference.imaging.judge.expects import BodyPart, Expects
from inference.imaging.subject import VolumeSet
from inference.imaging.subjects import subjects
from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid

STUDY, FRAME = derive_uid("a study", "of a container"), derive_uid("a frame", "of a container")
T1, FLAIR = derive_uid("a series", "T1"), derive_uid("a series", "FLAIR")
AFFINE = np.array([[0.0, 0, 1, -10], [0, 1, 0, -12], [2, 0, 0, 5], [0, 0, 0, 1]])
ROLES = (Role(name="T1"), Role(name="FLAIR", accepts=Accepts(modality=("MR",))), Role(name="T2", optional=True))


def container(contract: Contract, **said: Any) -> ContainerManifest:
    """One that is given T1 and FLAIR, and T2 where there is one."""
    answers = (ContainerAnswer(key="both", finding=codes.BRAIN, present=0.5, absent=0.5),)
    given: dict[str, Any] = {"roles": ROLES, "answers": answers, "settings": {"limit": 3} if contract is Contract.MERCURE else {}, **said}
    return ContainerManifest(
        name="mr-both",
        version="1.0.0",
        title="Both",
        image="sha256:" + 64 * "0",
        contract=contract,
        accepts=Accepts(modality=("MR",)),
        given_at="/input",
        made_at="/output",
        **given,
    )


@pytest.fixture
def study(tmp_path: Path) -> tuple[VolumeSet, list[Path]]:
    """T1, FLAIR on voxels twice as large, and a series of no role, all of one frame of reference; as a job has them."""
    files: list[Path] = []
    given: dict[Path, str] = {}
    for name, uid, affine, depth in (("T1", T1, AFFINE, 6), ("FLAIR", FLAIR, AFFINE @ np.diag([1.0, 2, 2, 1]), 6)):
        extra = {"FrameOfReferenceUID": FRAME}
        voxels = np.broadcast_to(100 * np.arange(1, depth + 1, dtype=np.int16)[:, None, None], (depth, 8, 8))
        one = write_series(voxels, affine, tmp_path / name, modality="MR", study_uid=STUDY, series_uid=uid, extra=extra)
        given |= dict.fromkeys(one, name)
        files += one
    (assembled,) = subjects(Takes.VOLUMES, "refuse", files, T1, given, roles=ROLES, threads=1)
    assert isinstance(assembled.subject, VolumeSet)
    unused = write_series(np.full((2, 8, 8), 9, np.int16), AFFINE, tmp_path / "unfit", modality="MR", study_uid=STUDY)
    return assembled.subject, [*unused, *files]


def test_a_module_of_mercure_gets_a_study_and_its_settings_name_the_roles(study: tuple[VolumeSet, list[Path]], tmp_path: Path) -> None:
    """All in one folder, by mercure's names; what has no role, as it did not fit, is left out; patient and study are those of T1."""
    (given := tmp_path / "given").mkdir()
    header = give(container(Contract.MERCURE), *study, given)
    assert str(header.SeriesInstanceUID) == T1
    assert {file.name.partition("#")[0] for file in given.glob("*.dcm")} == {T1, FLAIR}
    assert len(list(given.glob("*.dcm"))) == 12
    task = json.loads((given / "task.json").read_text())
    assert task["process"]["settings"] == {"limit": 3, "roles": {"T1": T1, "FLAIR": FLAIR}}
    assert (task["id"], task["info"]["uid"], task["info"]["uid_type"]) == (STUDY, STUDY, "study")
    assert task["study"] == {"study_uid": STUDY, "received_series_uid": [T1, FLAIR]}


@pytest.mark.parametrize("contract", [Contract.MAP, Contract.FOLDER])
def test_others_get_a_folder_for_each_role(study: tuple[VolumeSet, list[Path]], tmp_path: Path, contract: Contract) -> None:
    """Anybody may read them: a container runs as another user."""
    (given := tmp_path / "given").mkdir()
    give(container(contract), *study, given)
    assert {file.relative_to(given).parent.name for file in given.rglob("*.dcm")} == {"T1", "FLAIR"}
    assert [len(list((given / role).iterdir())) for role in ("T1", "FLAIR")] == [6, 6]
    assert {each.stat().st_mode & 0o777 for each in given.iterdir()} == {0o755}


def test_volumes_as_nifti_lie_on_the_grid_of_the_first(study: tuple[VolumeSet, list[Path]], tmp_path: Path) -> None:
    """FLAIR's voxels are twice as large: read by another program, both files have one grid, and each voxel the value of its slice."""
    (given := tmp_path / "given").mkdir()
    give(container(Contract.FOLDER, images=ImageFormat.NIFTI), *study, given)
    one, other = (nibabel.nifti1.Nifti1Image.from_filename(given / f"{role}.nii.gz") for role in ("T1", "FLAIR"))
    assert {each.name for each in given.iterdir()} == {"T1.nii.gz", "FLAIR.nii.gz"}
    np.testing.assert_array_equal(one.affine, other.affine)
    assert one.shape == other.shape == (8, 8, 6)
    np.testing.assert_array_equal(np.asanyarray(other.dataobj)[2, 3], 100 * np.arange(1, 7))


def test_what_is_entered_of_roles_is_read_back_and_an_application_of_several_series() -> None:
    """With what each has to be."""
    roles = (*ROLES[:2], Role(name="T2", optional=True, accepts=Accepts(modality=("MR",)), expects=Expects(part=BodyPart.HEAD)))
    manifest = container(Contract.FOLDER, roles=roles)
    assert from_text(to_text(manifest), "here") == manifest
    application = check_manifest(application_of(manifest), "mr-both", "here")
    assert (application.accepts.takes, application.in_roles) == (Takes.VOLUMES, roles)
