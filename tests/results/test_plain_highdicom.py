"""The segmentations that are written straight into the file are those that highdicom makes of the source images alone."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as concepts

from inference import codes
from inference.findings import Segment
from inference.imaging.assemble import assemble
from node.domain.profile import Form, Kind
from node.results.identity import encoded, identify
from node.results.segmentation.frames import numbered
from node.results.segmentation.make import segmentation
from node.results.sources import read_sources
from tests.results import made

OURS = {
    *("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "InstanceCreatorUID", "DimensionOrganizationUID"),
    *("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime", "ContentDate", "ContentTime", "SpecificCharacterSet"),
    *("ContributingEquipmentSequence", "ContentQualification", "Manufacturer", "ManufacturerModelName", "SoftwareVersions"),
    *("DeviceSerialNumber", "ContentLabel", "ContentDescription", "IssuerOfPatientID", "SyntheticData", "SegmentSequence"),
    "ContentCreatorName",
}
"""Whose object it is, and when it was made; the descriptions of segments are the library's own in both."""


def ours(files: Sequence[Path], segments: Sequence[Segment], form: Form) -> Dataset:
    """As the node writes it, read back by pydicom."""
    encoding = made.encoding(files, made.measured(*segments, affine=made.AXIAL))
    sources = read_sources(encoding)
    identity = identify(encoding, sources, Kind.SEG, "segmentation")
    seg = segmentation(encoding, sources, numbered(encoding.findings), form, identity)
    one = encoded(Kind.SEG, seg.dataset, identity, form, pixels=seg.pixels, syntax=seg.syntax)
    return pydicom.dcmread(BytesIO(one.data))


def plain(files: Sequence[Path], segments: Sequence[Segment], form: Form) -> Dataset:
    """As highdicom makes it of the true sources, in the order of the volume's slices."""
    by_uid = {image.SOPInstanceUID: image for image in map(pydicom.dcmread, files)}
    images = [by_uid[source.sop_instance_uid] for source in assemble(files).sources]
    masks = [segment.mask for segment in segments if segment.mask.any()]
    overlapping = np.sum(masks, axis=0).max() > 1
    array = np.stack(masks, axis=-1) if overlapping else sum(n * mask.astype(np.uint16) for n, mask in enumerate(masks, 1))
    seg = hd.seg.Segmentation(
        source_images=images,
        pixel_array=array,
        segmentation_type="LABELMAP" if form.startswith("labelmap") else "BINARY",
        segment_descriptions=[_described(number) for number, _ in enumerate(masks, 1)],
        series_instance_uid=hd.UID(),
        series_number=1,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="plain",
        manufacturer_model_name="plain",
        software_versions="1",
        device_serial_number="1",
        transfer_syntax_uid=SYNTAXES[form],
    )
    file = BytesIO()
    seg.save_as(file)
    return pydicom.dcmread(BytesIO(file.getvalue()))


SYNTAXES = {
    Form.BINARY: pydicom.uid.ExplicitVRLittleEndian,
    Form.LABELMAP: pydicom.uid.ExplicitVRLittleEndian,
    Form.LABELMAP_JPEG_LS: pydicom.uid.JPEGLSLossless,
    # highdicom lets GDCM write RLE, which ends the process at frames with an odd number of pixels: compared with native ones
    Form.LABELMAP_RLE: pydicom.uid.ExplicitVRLittleEndian,
    Form.BINARY_DEFLATE: pydicom.uid.ExplicitVRLittleEndian,
    Form.LABELMAP_DEFLATE: pydicom.uid.ExplicitVRLittleEndian,
}


def _described(number: int) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=f"segment {number}",
        segmented_property_category=concepts.SCT.AnatomicalStructure,
        segmented_property_type=concepts.SCT.Brain,
        algorithm_type="AUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(name="plain", family=concepts.DCM.ArtificialIntelligence, version="1"),
    )


def _elements(dataset: Dataset, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every element with its path, but for what is the node's own."""
    for element in dataset:
        where = f"{path}/{element.keyword or element.tag}"
        if element.keyword in OURS:
            continue
        if element.VR == "SQ":
            yield where, len(element.value)
            for number, item in enumerate(element.value):
                yield from _elements(item, f"{where}[{number}]")
        elif element.keyword != "PixelData":
            yield where, (element.VR, element.value)


def _segments(kind: str, shape: tuple[int, int, int] = made.SHAPE) -> list[Segment]:
    mask = made.blob(shape)
    every_other = np.zeros_like(mask)
    every_other[::2, 1, 1] = True
    scattered = np.random.default_rng(4).random(shape) < 0.2
    return {
        "one": [made.segment("a", mask)],
        "one on every other slice": [made.segment("a", every_other)],
        "one on irregular slices": [made.segment("a", every_other | mask)],
        "two apart": [made.segment("a", mask), made.segment("b", every_other & ~mask, type=codes.LUNG)],
        "two that overlap": [made.segment("a", mask), made.segment("b", np.roll(mask, 1, axis=0), type=codes.LUNG)],
        "three, one of them everywhere": [
            made.segment("a", scattered),
            made.segment("nothing", np.zeros_like(mask)),
            made.segment("b", ~scattered & ~mask, type=codes.LUNG),
            made.segment("c", ~scattered & mask, type=codes.LUNG),
        ],
    }[kind]


KINDS = (
    *("one", "one on every other slice", "one on irregular slices", "two apart", "two that overlap"),
    "three, one of them everywhere",
)


@pytest.mark.parametrize("form", SYNTAXES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["axial", *(pytest.param(name, marks=pytest.mark.slow) for name in ("axial, feet first", "oblique"))])
def test_every_attribute_and_every_pixel_is_as_highdicom_makes_it(name: str, kind: str, form: Form, tmp_path: Path) -> None:
    """All elements at every depth, their representations and the pixel data; the order of frames and their indices among them."""
    # of an odd number of bits a frame, and many frames of them, the node writes some empty frames more: test_masks.py
    odd = form.startswith("labelmap") or kind.startswith("one")
    shape = made.SHAPE if odd else (9, 16, 12)
    files = made.series(tmp_path, made.ORIENTATIONS[name], shape)
    segments = _segments(kind, shape)
    if kind == "two that overlap" and form is not Form.BINARY:
        return  # a label map cannot hold them
    found, meant = ours(files, segments, form), plain(files, segments, form)
    assert dict(_elements(found)) == dict(_elements(meant))
    assert np.array_equal(found.pixel_array, meant.pixel_array)
    if found.file_meta.TransferSyntaxUID == meant.file_meta.TransferSyntaxUID and not found.file_meta.TransferSyntaxUID.is_encapsulated:
        bits = found.BitsAllocated * found.NumberOfFrames * found.Rows * found.Columns
        # behind the last frame the library puts the digit 0 where a byte is missing; PS3.5 6.2 wants the byte 0
        assert found.PixelData[: -(-bits // 8)] == meant.PixelData[: -(-bits // 8)]
        assert not any(found.PixelData[-(-bits // 8) :])


def test_forms_say_how_they_are_compressed(tmp_path: Path) -> None:
    """Transfer syntaxes, by their UIDs (PS3.6 A)."""
    files = made.series(tmp_path)
    said = {form: ours(files, _segments("one"), form).file_meta.TransferSyntaxUID for form in Form if form is not Form.NO_MASKS}
    explicit = "1.2.840.10008.1.2.1"
    assert said == {
        "binary": explicit,
        "binary+deflate": f"{explicit}.99",
        "labelmap": explicit,
        "labelmap+rle": "1.2.840.10008.1.2.5",
        "labelmap+jpeg-ls": "1.2.840.10008.1.2.4.80",
        "labelmap+deflate": f"{explicit}.99",
        "fractional": explicit,
        "empty": explicit,
    }
