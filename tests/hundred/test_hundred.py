"""What the trial of a hundred studies looks with: ends, untrue results, and the arithmetic of images and masks. The trial itself is
`tests/peers/test_hundred_studies.py`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from tests.hundred.ends import End, Object, ends_of, wrong_volumes, wrongs_of
from tests.hundred.truth import above_zero, volume_cm3, wrong_pixels
from tests.lab import tilted


def _listed(state: str, *jobs: str, code: str = "", reason: str = "", held: int = 0) -> dict[str, Any]:
    said = [{"kind": "analysis", "state": job} for job in jobs]
    return {"state": state, "jobs": said, "code": code, "reason": reason, "held": held}


REPORT = Object(modality="SR", patient="A", refers_to=frozenset({"1.1"}), volumes=(100.0,))
NOTE = Object(modality="SR", patient="A", refers_to=frozenset({"1.1"}), status="111225", text="No result. HLM-3019: a slice is missing")
OTHER_NOTE = Object(modality="SR", patient="A", refers_to=frozenset({"1.1"}), status="111225", text="No result.")
PARKED = _listed("parked", "parked", code="HLM-3019", reason="a slice is missing")


@pytest.mark.parametrize(
    ("listed", "objects", "ends"),
    [
        (_listed("done", "done"), [REPORT], {End.RESULT}),
        (_listed("done", "done"), [], set()),  # says done, and nothing stands in the archive
        (_listed("done", "done"), [REPORT, NOTE], set()),  # a result, and that there is none
        (PARKED, [NOTE], {End.DECLINED}),
        (PARKED, [], set()),  # the reader is told nothing
        (PARKED, [NOTE, NOTE], set()),  # twice
        (PARKED, [NOTE, replace(NOTE, patient="B")], {End.DECLINED}),  # each of two patients
        (PARKED, [OTHER_NOTE], set()),  # something else
        (_listed("parked", "parked", code="HLM-3019"), [NOTE], set()),  # the operator is told nothing
        (PARKED, [REPORT], set()),  # declined, and delivered
        (_listed("waits", reason="until a T1 comes"), [], {End.HELD}),
        (_listed("incomplete", reason="22 of 44"), [], {End.HELD}),
        (_listed("incomplete", reason="22 of 44"), [NOTE], set()),  # nobody knows yet whether there is a result
        (_listed("done", "done", held=22), [REPORT], {End.HELD}),  # what the first sender sent goes on
        (_listed("done", "done", held=22), [REPORT, NOTE], set()),
        (_listed("routed", "not_applicable", reason="11 slices"), [], {End.NOT_APPLICABLE}),
        (_listed("routed", "not_applicable", reason="11 slices"), [NOTE], set()),
        (_listed("routed", reason="no route took it"), [], {End.NOT_APPLICABLE}),
        (_listed("routed"), [], set()),
        (None, [], set()),
    ],
)
def test_an_end_is_what_a_person_sees(listed: dict[str, Any] | None, objects: list[Object], ends: set[End]) -> None:
    """Silence and contradictions are no ends."""
    assert ends_of(listed, objects) == ends


def test_untrue_results_are_found() -> None:
    """Another patient's name, another study's instances, a volume that is off."""
    assert wrongs_of([REPORT], {"A": {"1.1"}, "B": {"1.2"}}) == []
    assert "of patient 'A', not of ['B']" in wrongs_of([REPORT], {"B": {"1.1"}})[0]
    assert "1 instances of others" in wrongs_of([REPORT], {"A": {"1.2"}, "B": {"1.1"}})[0]
    assert wrong_volumes([REPORT], [100.9], within=0.01) == []
    for true in ([102.0], [100.0, 3.0], []):
        assert wrong_volumes([REPORT], true, within=0.01) == [f"volumes of [100.0] cm³ are stated, and there are {sorted(true)}"]


def test_arithmetic_of_images_and_masks(tmp_path: Path) -> None:
    """A ball in tilted slices has a ball's volume; a mask with one pixel off, or without a slice, is found to be."""
    images = [pydicom.dcmread(path) for path in tilted.ball(tmp_path, 15)]
    masks = above_zero(images)
    assert volume_cm3(images, masks) == pytest.approx(tilted.BALL_CM3, rel=0.01)
    marked = [uid for uid, mask in masks.items() if mask.any()]
    segmentation = pydicom.Dataset()
    segmentation.ensure_file_meta()
    segmentation.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    segmentation.Rows, segmentation.Columns, segmentation.NumberOfFrames = 160, 160, len(marked)
    segmentation.BitsAllocated = segmentation.BitsStored = 8
    segmentation.HighBit, segmentation.PixelRepresentation, segmentation.SamplesPerPixel = 7, 0, 1
    segmentation.PhotometricInterpretation = "MONOCHROME2"
    segmentation.PerFrameFunctionalGroupsSequence = [_of(uid) for uid in marked]
    segmentation.PixelData = np.stack([masks[uid] for uid in marked]).astype(np.uint8).tobytes()
    assert wrong_pixels(segmentation, masks) == 0
    for frame in (0, -1):
        segmentation.PerFrameFunctionalGroupsSequence[frame] = _of(marked[10])
        assert wrong_pixels(segmentation, masks) > 0
        segmentation.PerFrameFunctionalGroupsSequence[frame] = _of(marked[frame])
    masks[marked[5]][0, 0] ^= True
    assert wrong_pixels(segmentation, masks) == 1


def _of(uid: str) -> pydicom.Dataset:
    """The functional groups of a frame that is about an image."""
    source, derivation, groups = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    source.ReferencedSOPInstanceUID = uid
    derivation.SourceImageSequence = [source]
    groups.DerivationImageSequence = [derivation]
    return groups
