"""Masks on single images: each image has a segmentation of its own, which lies on its pixels and nowhere in the patient, and is measured
in a report that names frame and image."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference import codes
from inference.codes import Code
from inference.findings import Findings, Measurement, Segment, of_image
from node.domain.errors import ResultError
from node.domain.profile import VIEWER, Form, Kind, MaskEncoding
from node.results.check import check
from node.results.encode import encode
from node.results.port import Encoded, Encoding, MaskDiffers, ReferencesDiffer, ResultMalformed
from node.results.sources import read_sources
from tests.lab import validators
from tests.lab.fundus import drawn
from tests.results import images, made
from tests.results.reports import groups, named, number, referenced
from tests.results.sent import sent_by

SHARE = Code("SHARE", "99TEST", "Share")
FRAME, SOURCE_OF_SEGMENTATION = "121214", "121233"


def half(shape: tuple[int, int], *, left: bool) -> NDArray[np.bool_]:
    """(1, Y, X) one half of an image and a row across both."""
    mask = np.zeros((1, *shape), dtype=np.bool_)
    mask[0, :, : shape[1] // 2] = left
    mask[0, :, shape[1] // 2 :] = not left
    mask[0, 3] = True
    return mask


def segment(label: str, kind: Code, image: int, mask: NDArray[np.bool_]) -> Segment:
    return Segment(
        label=of_image(label, image),
        mask=mask,
        category=codes.ANATOMICAL_STRUCTURE,
        type=kind,
        rgb=(200, 10, 10),
        finding_site=codes.RETINA,
        laterality=codes.LEFT,
        image=image,
    )


@pytest.fixture
def encoding(tmp_path: Path) -> Encoding:
    """Three photographs: arteries and veins, which overlap, on the first; nothing on the second; arteries on the third, which has another
    size."""
    files = [images.photograph(tmp_path, drawn(side), place) for place, side in enumerate((304, 304, 320), 1)]
    found = (
        segment("arteries", codes.ARTERY, 0, half((304, 304), left=True)),
        segment("veins", codes.VEIN, 0, half((304, 304), left=False)),
        segment("arteries", codes.ARTERY, 2, half((320, 320), left=False)),
    )
    shares = tuple(
        Measurement(name=SHARE, value=10.0 + place, unit=codes.PERCENT, segment=one.label) for place, one in enumerate(found, start=1)
    )
    return images.photographs(files, Findings(segments=found, measurements=shares), profiles=(VIEWER,))


def masks(objects: list[Encoded]) -> list[Dataset]:
    return [pydicom.dcmread(BytesIO(one.data)) for one in objects if one.kind is Kind.SEG]


def test_each_image_has_a_segmentation_on_its_own_pixels(encoding: Encoding) -> None:
    """Voxel by voxel what was found, as another library reads it; rows and columns of the image, its orientation, no place and no frame of
    reference; what overlaps is told; the image is named in the description."""
    objects = encode(encoding)
    segs = masks(objects)
    sources = [encoding.subject.sources[index] for index in (0, 2)]
    assert len(segs) == 2
    for seg, source, of in zip(segs, sources, ((0, 1), (2,)), strict=True):
        meant = [encoding.findings.segments[index] for index in of]
        assert (seg.Rows, seg.Columns) == meant[0].mask.shape[1:]
        assert seg.SegmentsOverlap == ("YES" if len(of) > 1 else "NO")
        assert seg.PatientOrientation == ["L", "F"]
        assert not {"FrameOfReferenceUID", "PositionReferenceIndicator"} & {element.keyword for element in seg}
        for groups_of_frames in (seg.SharedFunctionalGroupsSequence, seg.PerFrameFunctionalGroupsSequence):
            for group in groups_of_frames:
                assert not {"PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"} & {one.keyword for one in group}
        read = hd.seg.Segmentation.from_dataset(seg).get_pixels_by_source_instance([source.sop_instance_uid])
        assert np.array_equal(read.transpose(3, 0, 1, 2)[:, 0] > 0, np.concatenate([one.mask for one in meant]))
    # which OHIF 3.13 shows nothing of
    assert all(one.one_cine for one in objects if one.kind is Kind.SEG)
    assert [one.description for one in objects if one.kind is Kind.SEG] == [
        "Brain on T1 MR SEG of image 1, mr-brain 1.2.3",
        "Brain on T1 MR SEG of image 3, mr-brain 1.2.3",
    ]


def test_one_report_measures_the_segments_of_all_images(encoding: Encoding) -> None:
    """TID 1410: each group names the frame of its segment, and nothing beside it, the image, and its number, once; all are evidence."""
    objects = encode(replace(encoding, profiles=(replace(VIEWER, cine_masks=True),)))
    segs = masks(objects)
    (report,) = (pydicom.dcmread(BytesIO(one.data)) for one in objects if one.kind is Kind.SR)
    told = groups(report)
    assert [group.ContentTemplateSequence[0].TemplateIdentifier for group in told] == ["1410"] * 3
    frames = [named(group, FRAME)[0] for group in told]
    first, third = (str(seg.SOPInstanceUID) for seg in segs)
    assert [(uid, *map(int, places)) for uid, places in map(referenced, frames)] == [(first, 1), (first, 2), (third, 1)]
    assert not any("ReferencedSegmentNumber" in frame.ReferencedSOPSequence[0] for frame in frames)
    photographs = [encoding.subject.sources[index].sop_instance_uid for index in (0, 0, 2)]
    assert [referenced(named(group, SOURCE_OF_SEGMENTATION)[0])[0] for group in told] == photographs
    assert [number(group, SHARE) for group in told] == [(11.0, "%"), (12.0, "%"), (13.0, "%")]
    uids = {str(one.TrackingUID) for seg in segs for one in seg.SegmentSequence}
    assert {str(named(group, "112040")[0].UID) for group in told} == uids
    assert len(uids) == 3


def test_who_gets_no_masks_gets_the_numbers_of_each_image(encoding: Encoding) -> None:
    """A viewer, which fails at such masks: TID 1501, each group names its image, and nothing names a mask; tracked as the masks are."""
    objects = encode(encoding)
    (report,) = (pydicom.dcmread(BytesIO(one.data)) for one in objects if one.form == Form.NO_MASKS)
    told = groups(report)
    assert [group.ContentTemplateSequence[0].TemplateIdentifier for group in told] == ["1501"] * 3
    photographs = [encoding.subject.sources[index].sop_instance_uid for index in (0, 0, 2)]
    assert [referenced(named(group, "121112")[0])[0] for group in told] == photographs
    assert [number(group, SHARE) for group in told] == [(11.0, "%"), (12.0, "%"), (13.0, "%")]
    uids = {str(one.TrackingUID) for seg in masks(objects) for one in seg.SegmentSequence}
    assert {str(named(group, "112040")[0].UID) for group in told} == uids
    assert [one.form for one in sent_by(VIEWER, objects, Form.NO_MASKS)] == ["no-masks", ""]


def test_of_an_odd_size_every_image_has_the_form_that_viewers_read(tmp_path: Path) -> None:
    """One photograph of a whole number of bytes and one that is none: a byte a voxel of both, and a report of each form."""
    files = [images.photograph(tmp_path, drawn(side), place) for place, side in enumerate((304, 301), 1)]
    found = tuple(segment("arteries", codes.ARTERY, place, half((side, side), left=True)) for place, side in enumerate((304, 301)))
    objects = encode(images.photographs(files, Findings(segments=found), profiles=(replace(VIEWER, cine_masks=True),)))
    assert sorted((one.kind.value, one.form) for one in objects if one.kind in (Kind.SEG, Kind.SR)) == [
        *[("seg", "binary")] * 2,
        *[("seg", "fractional")] * 2,
        ("sr", "binary"),
        ("sr", "fractional"),
    ]


def test_a_label_map_of_a_photograph_is_not_made(encoding: Encoding) -> None:
    """Whoever asks for one gets binary masks."""
    asked = replace(VIEWER, name="labels", masks=MaskEncoding.LABELMAP)
    assert {one.form for one in encode(replace(encoding, profiles=(asked,))) if one.kind is Kind.SEG} == {"binary"}


def _of_another_image(seg: Dataset) -> None:
    for frame in seg.PerFrameFunctionalGroupsSequence:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        source.ReferencedSOPInstanceUID = f"{source.ReferencedSOPInstanceUID}.1"


def _another_orientation(seg: Dataset) -> None:
    seg.PatientOrientation = ["R", "F"]


def _another_pixel(seg: Dataset) -> None:
    seg.PixelData = bytes([seg.PixelData[0] ^ 1]) + seg.PixelData[1:]


def _a_place(seg: Dataset) -> None:
    seg.FrameOfReferenceUID = "2.25.1"


def _other_indices(seg: Dataset) -> None:
    seg.PerFrameFunctionalGroupsSequence[0].FrameContentSequence[0].DimensionIndexValues = 2


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (_of_another_image, ReferencesDiffer),
        (_another_orientation, ReferencesDiffer),
        (_another_pixel, MaskDiffers),
        (_a_place, ReferencesDiffer),
        (_other_indices, MaskDiffers),
    ],
)
def test_a_segmentation_that_says_something_else_may_not_leave(
    encoding: Encoding, change: Callable[[Dataset], None], error: type[Exception]
) -> None:
    """Each is found when it is read back."""
    objects, sources = encode(encoding), read_sources(encoding)
    check(objects, encoding, sources)
    with pytest.raises(error):
        check(changed(objects, Kind.SEG, change), encoding, sources)


def test_a_report_of_another_frame_or_image_may_not_leave(encoding: Encoding) -> None:
    """The veins' numbers beside the arteries' frame; the third image for the first; a third segmentation."""
    objects, sources = encode(encoding), read_sources(encoding)

    def another_frame(report: Dataset) -> None:
        named(groups(report)[0], FRAME)[0].ReferencedSOPSequence[0].ReferencedFrameNumber = 2

    def another_image(report: Dataset) -> None:
        reference = named(groups(report)[0], SOURCE_OF_SEGMENTATION)[0].ReferencedSOPSequence[0]
        reference.ReferencedSOPInstanceUID = encoding.subject.sources[2].sop_instance_uid

    for change, said in ((another_frame, "tracked under another UID"), (another_image, "which is not its image")):
        with pytest.raises(ResultError, match=said):
            check(changed(objects, Kind.SR, change), encoding, sources)
    with pytest.raises(ResultMalformed, match="3 segmentations of one job"):
        check([objects[0], *objects], encoding, sources)


def changed(objects: list[Encoded], kind: Kind, change: Callable[[Dataset], None]) -> list[Encoded]:
    """The objects, with something changed in the first of a kind."""
    at = next(place for place, one in enumerate(objects) if one.kind is kind)
    dataset = pydicom.dcmread(BytesIO(objects[at].data))
    change(dataset)
    dataset.save_as(file := BytesIO())
    return [*objects[:at], replace(objects[at], data=file.getvalue()), *objects[at + 1 :]]


@pytest.mark.peers
@pytest.mark.slow
def test_no_validator_objects(encoding: Encoding, tmp_path: Path) -> None:
    """dicom3tools, DCMTK and PixelMed on masks, report and page; dcmqi takes no mask without a place (ADR-0104)."""
    objects = encode(encoding)
    paths = made.save(objects, tmp_path / "made")
    assert [
        fault for one, path in zip(objects, paths, strict=True) for fault in validators.faults_of(path, report=one.kind is Kind.SR)
    ] == []
