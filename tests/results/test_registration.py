"""Spatial Registrations: which way the matrix goes, by landmarks and the objects' own attributes alone; validated by dciodvfy."""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.applications.catalog import load
from inference.findings import Findings, Registration
from inference.imaging.assemble import assemble
from inference.imaging.subject import pair_of
from inference.imaging.write_series import write_series
from node.domain.profile import Kind, Language
from node.results.check import check
from node.results.encode import encode
from node.results.port import Encoded, Encoding, NotRigid, RegistrationDiffers
from node.results.sources import read_sources
from tests.lab.validators import dcentvfy, dciodvfy
from tests.results import made
from tests.results.kinds import EVERYTHING

_C, _S = np.cos(np.radians(8)), np.sin(np.radians(8))
MATRIX = np.array([[_C, -_S, 0, 12.5], [_S, _C, 0, -7.25], [0, 0, 1, 31.0], [0, 0, 0, 1]])
"""Prior to current: 8 degrees about the body's axis, and a shift; worked out by hand, no two numbers alike."""


def pair(folder: Path, *, one_space: bool = False, one_study: bool = False) -> tuple[list[Path], list[Path]]:
    """A current and a prior series of one patient; the prior was taken on another grid."""
    extra = {"BodyPartExamined": "HEAD", "IssuerOfPatientID": "HOSPITAL", "StudyDescription": "CT head"}
    current = made.series(folder / "current")
    first = pydicom.dcmread(current[0])
    shared = {"FrameOfReferenceUID": first.FrameOfReferenceUID} if one_space else {}
    prior = write_series(
        made.voxels(),
        made.ORIENTATIONS["coronal"],
        folder / "prior",
        modality="CT",
        patient_name="Doe^Jane",
        patient_id="P-1",
        study_uid=str(first.StudyInstanceUID) if one_study else None,
        extra={**extra, "StudyDate": first.StudyDate if one_study else "20230109", "SeriesNumber": 9, **shared},
    )
    return current, prior


def encoding_of(current: Sequence[Path], prior: Sequence[Path], matrix: NDArray[np.float64] = MATRIX) -> Encoding:
    subject = pair_of(current=assemble(current), prior=assemble(prior))
    return made.encoding([*current, *prior], Findings(registration=Registration(matrix=matrix)), volume=subject)


def registration(encoding: Encoding) -> Encoded:
    (found,) = (one for one in encode(encoding) if one.kind == Kind.REGISTRATION)
    return found


def read(one: Encoded) -> Dataset:
    return pydicom.dcmread(BytesIO(one.data))


def matrix_of(item: Dataset) -> NDArray[np.float64]:
    """Row by row, as PS3.3 C.20.2.1.1 lists it."""
    (step,) = item.MatrixRegistrationSequence
    (transform,) = step.MatrixSequence
    assert transform.FrameOfReferenceTransformationMatrixType == "RIGID"
    numbers = [float(number) for number in transform.FrameOfReferenceTransformationMatrix]
    return np.array([numbers[0:4], numbers[4:8], numbers[8:12], numbers[12:16]])


@pytest.mark.peers
def test_the_matrix_takes_a_landmark_of_the_prior_to_the_current_images(tmp_path: Path) -> None:
    """A point (10, 20, 30) of the prior, whose place in the current space follows by sine and cosine on paper: the item that names the
    prior's images and frame of reference takes it there; the item of the current images leaves it where it is."""
    current, prior = pair(tmp_path)
    one = registration(encoding_of(current, prior))
    dataset = read(one)
    of_image = {str(header.SOPInstanceUID): header for header in map(pydicom.dcmread, (*current, *prior))}
    items = {
        str(of_image[item.ReferencedImageSequence[0].ReferencedSOPInstanceUID].StudyDate): item for item in dataset.RegistrationSequence
    }
    landmark = np.array([10.0, 20.0, 30.0, 1.0])
    # 10 cos 8° - 20 sin 8° + 12.5, 10 sin 8° + 20 cos 8° - 7.25, 30 + 31
    expected = [19.61921866, 13.94709238, 61.0]
    assert (matrix_of(items["20230109"]) @ landmark)[:3] == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(matrix_of(items["20240102"]), np.eye(4))
    for item in items.values():
        headers = [of_image[image.ReferencedSOPInstanceUID] for image in item.ReferencedImageSequence]
        assert {header.FrameOfReferenceUID for header in headers} == {item.FrameOfReferenceUID}
        assert len(headers) == len(current)
    assert dataset.FrameOfReferenceUID == of_image[pydicom.dcmread(current[0]).SOPInstanceUID].FrameOfReferenceUID
    (path,) = made.save([one], tmp_path / "out")
    assert dciodvfy(path) == []
    assert dcentvfy([*current, path]) == []


def test_both_studies_are_listed(tmp_path: Path) -> None:
    """Every instance that is referred to stands in the common instance reference, the prior's under its own study."""
    current, prior = pair(tmp_path)
    dataset = read(registration(encoding_of(current, prior)))
    (here,) = dataset.ReferencedSeriesSequence
    (elsewhere,) = dataset.StudiesContainingOtherReferencedInstancesSequence
    (there,) = elsewhere.ReferencedSeriesSequence
    for files, listed in ((current, here), (prior, there)):
        headers = [pydicom.dcmread(path) for path in files]
        assert listed.SeriesInstanceUID == headers[0].SeriesInstanceUID
        uids = {str(header.SOPInstanceUID) for header in headers}
        assert {item.ReferencedSOPInstanceUID for item in listed.ReferencedInstanceSequence} == uids
    assert elsewhere.StudyInstanceUID == pydicom.dcmread(prior[0]).StudyInstanceUID
    assert (dataset.StudyDescription, dataset.IssuerOfPatientID, dataset.Modality) == ("CT head", "HOSPITAL", "REG")


@pytest.mark.peers
def test_two_series_of_one_space_are_told_apart_by_their_images(tmp_path: Path) -> None:
    """One visit, one frame of reference: stated for both items it would say that they are aligned already, so it is for neither."""
    current, prior = pair(tmp_path, one_space=True, one_study=True)
    one = registration(encoding_of(current, prior))
    dataset = read(one)
    assert all("FrameOfReferenceUID" not in item and item.ReferencedImageSequence for item in dataset.RegistrationSequence)
    assert len(dataset.ReferencedSeriesSequence) == 2
    assert "StudiesContainingOtherReferencedInstancesSequence" not in dataset
    assert np.abs(matrix_of(dataset.RegistrationSequence[1]) - MATRIX).max() < 1e-12
    (path,) = made.save([one], tmp_path / "out")
    assert dciodvfy(path) == []


@pytest.mark.parametrize(
    "wrong",
    [np.diag([1.0, 1.0, 1.01, 1.0]), np.diag([-1.0, 1.0, 1.0, 1.0]), np.eye(4) + np.eye(4, k=1) * 0.1, np.full((4, 4), np.nan), np.eye(3)],
    ids=["scaled", "mirrored", "sheared", "not finite", "three rows"],
)
def test_what_is_not_rigid_is_refused(tmp_path: Path, wrong: NDArray[np.float64]) -> None:
    """RIGID is a promise to whoever lays the images over each other."""
    current, prior = pair(tmp_path)
    encoding = encoding_of(current, prior)
    encoding = replace(encoding, findings=replace(encoding.findings, registration=Registration(matrix=wrong)))
    with pytest.raises(NotRigid):
        encode(encoding)


def test_a_matrix_the_wrong_way_round_does_not_leave(tmp_path: Path) -> None:
    """The inverse is rigid, too, and no validator would notice: the check does."""
    current, prior = pair(tmp_path)
    encoding = encoding_of(current, prior)
    one, sources = registration(encoding), read_sources(encoding)
    check([one], encoding, sources)
    dataset = read(one)
    transform = dataset.RegistrationSequence[1].MatrixRegistrationSequence[0].MatrixSequence[0]
    transform.FrameOfReferenceTransformationMatrix = [f"{number:.10f}" for number in np.linalg.inv(MATRIX).ravel()]
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    with pytest.raises(RegistrationDiffers, match="matrix"):
        check([replace(one, data=file.getvalue())], encoding, sources)


def test_equal_encodings_give_equal_bytes(tmp_path: Path) -> None:
    """No clock and no dice."""
    encoding = encoding_of(*pair(tmp_path))
    assert registration(encoding).data == registration(encoding).data


@pytest.mark.parametrize("laid", [True, False])
def test_what_was_laid_on_nothing_is_not_said_to_be_compared(tmp_path: Path, laid: bool) -> None:
    """lung-nodule got a prior, and says by a remark why it compared nothing with it: the narrative does not say before that it did."""
    current, prior = pair(tmp_path)
    subject = pair_of(current=assemble(current), prior=assemble(prior))
    found = Findings(registration=Registration(matrix=MATRIX) if laid else None)
    encoding = made.encoding([*current, *prior], found, volume=subject, application=load("lung-nodule"), profiles=(EVERYTHING,))
    (narrative,) = (one for one in encode(encoding) if one.kind == Kind.NARRATIVE and one.form == Language.ENGLISH)
    assert (b"Compared with the prior" in narrative.data) is laid
