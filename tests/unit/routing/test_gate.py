"""The gate: what it says of headers is what becomes of the images, and what no header tells is said to be unknown."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from inference.applications.accept import check
from inference.applications.port import Accepts, Application
from inference.errors import InputError
from inference.imaging.judge.expects import BodyPart, Contrast, Expects
from inference.imaging.judge.judging import Judge
from inference.imaging.subjects import subjects
from inference.imaging.write_series import write_series
from node.dicom.header import read_header
from node.routing.decisions import SeriesView, seen
from node.routing.gate import Fit, answer
from tests.unit.flow.mini import APPLICATION

HEADS = replace(
    APPLICATION,
    name="heads",
    accepts=Accepts(modality=("MR",), min_slices=8, max_spacing_mm=4, min_extent_mm=30, orientation="axial"),
    expects=Expects(part=BodyPart.HEAD, contrast=Contrast.T1),
)

T1 = {"EchoTime": "3", "BodyPartExamined": "HEAD"}


def _series(folder: Path, *, slices: int = 16, step_mm: float = 3, modality: Literal["CT", "MR"] = "MR", **said: str) -> list[Path]:
    affine = np.array([[0, 0, 2, 0], [0, 2, 0, 0], [step_mm, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
    voxels = np.random.default_rng(1).integers(1, 900, (slices, 32, 32)).astype(np.int16)
    voxels[2:-2, 8:-8, 8:-8] += 3000
    return write_series(voxels, affine, folder, modality=modality, series_description="T1", extra={**T1, **said})


def _view(files: list[Path]) -> SeriesView:
    read = [read_header(path) for path in files]
    return seen(read[0][0].series_instance_uid, [(identity.sop_class_uid, header) for identity, header in read])


def _refused(application: Application, files: list[Path]) -> str:
    """As a job would be, before its network."""
    accepts = application.accepts
    try:
        for made in subjects(accepts.takes, accepts.parts, files, read_header(files[0])[0].series_instance_uid):
            check(application, made.subject)
            Judge(application.expects, made.subject, made.headers).before()
    except InputError as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({}, ""),
        ({"modality": "CT"}, "modality is CT, not MR"),
        ({"slices": 6, "step_mm": 4}, "6 slices, at least 8 are needed"),
        ({"step_mm": 4.5}, "voxels are 4.5 mm apart"),
        ({"slices": 9}, "at least 30 mm are needed in every direction"),
        ({"EchoTime": "90"}, "the echo time is 90 ms"),
        ({"PatientName": "ACR Phantom"}, "a test object was imaged"),
    ],
    ids=["fits", "modality", "slices", "spacing", "extent", "contrast", "phantom"],
)
def test_what_headers_say_is_what_becomes_of_the_images(made: Mapping[str, object], words: str, tmp_path: Path) -> None:
    """Each bound of the manifest is met by a real file of its own, and both refuse for the same reason, or neither does."""
    files = _series(tmp_path, **made)  # type: ignore[arg-type]
    said, refused = answer(HEADS, _view(files)), _refused(HEADS, files)
    assert (said.fit is Fit.TAKES, not refused) == (not words, not words)
    assert words in said.text
    assert words in refused


def test_a_slice_that_is_missing_is_told_and_no_fault_of_the_application(tmp_path: Path) -> None:
    """The series is refused as what it is: somebody must be told, so that it is not called not applicable."""
    files = _series(tmp_path)
    del files[7]
    said = answer(HEADS, _view(files))
    assert (said.fit, said.excluded, "is missing" in said.text) == (Fit.REFUSES, False, True)
    assert "is missing" in _refused(HEADS, files)


def test_what_pixels_decide_is_said_to_be_unknown(tmp_path: Path) -> None:
    """A body part is typed, and one in seven wrong: it may still be refused, and is run."""
    files = _series(tmp_path, BodyPartExamined="KNEE")
    said = answer(HEADS, _view(files))
    assert said.fit is Fit.OPEN
    assert said.text == "may still be refused: BodyPartExamined is KNEE, not head; the pixels decide"
    assert not _refused(HEADS, files)


def test_a_header_without_images_leaves_open_what_only_images_say() -> None:
    """A case of `hilum routes test` says no positions: nothing is refused for them, and nothing promised."""
    made = SeriesView(series_instance_uid="1", header={"Modality": ("MR",), "EchoTime": (3.0,)}, instances=1, images=1, counted=False)
    assert answer(HEADS, made).fit is Fit.OPEN
    assert answer(HEADS, replace(made, images=4, counted=True)).text == "4 slices, at least 8 are needed"
    assert answer(HEADS, replace(made, header={"Modality": ("CT",)})).text == "modality is CT, not MR"
