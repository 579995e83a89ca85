"""Whatever is done to a file's bytes, the answer is pixels or an InputError: a worker never dies of an instance."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from inference.errors import InputError
from inference.imaging.assemble import assemble
from inference.imaging.compare import same_image
from inference.imaging.decode import decode
from inference.imaging.subject import Takes
from inference.imaging.subjects import subjects

from .conftest import enhanced, one_instance, save

MUTATIONS = 120


def an_image(kind: str) -> Dataset:
    """Noise of 64 x 64, packed in one of the ways that have parsers of their own."""
    values = np.random.default_rng(0).integers(0, 4096, (64, 64)).astype("u2")
    if kind == "enhanced":
        return enhanced(np.stack([values] * 3), np.eye(3), slopes=[1, 2, 3])
    if kind in {"implicit", "deflated"}:
        return one_instance(values, syntax={"implicit": ImplicitVRLittleEndian, "deflated": DeflatedExplicitVRLittleEndian}[kind])
    image = one_instance(values, BitsStored=12)
    syntaxes = {"rle": RLELossless, "jpeg-ls": JPEGLSLossless, "jpeg-2000": JPEG2000Lossless}
    if kind in syntaxes:
        image.compress(syntaxes[kind], generate_instance_uid=False)
    return image


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, removed or inserted, or the end cut off; mostly in the header and the first frame's."""
    data = bytearray(whole)
    for _ in range(rng.choice((1, 2, 5, 20))):
        at = rng.randrange(128, max(min(len(data), 2000), 129))
        what = rng.random()
        if what < 0.6:
            data[at : at + 1] = rng.randbytes(1)
        elif what < 0.75:
            del data[at : at + rng.randrange(1, 9)]
        elif what < 0.9:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        else:
            del data[rng.randrange(128, max(len(data), 129)) :]
    return bytes(data)


WAYS = {
    "loop": lambda path: subjects(Takes.CINE, "each", [path]),
    "palette": lambda path: subjects(Takes.IMAGES, "refuse", [path]),
    "table": lambda path: subjects(Takes.IMAGES, "refuse", [path]),
    "tomogram": lambda path: subjects(Takes.VOLUME, "each", [path]),
    "grouped": lambda path: subjects(Takes.VOLUME, "each", [path]),
}
"""The kinds whose headers have parsers of their own, each by its way in."""


def a_subject(kind: str) -> Dataset:
    """Images that are no slices, tomograms, and several volumes in one instance."""
    values = np.random.default_rng(0).integers(0, 200, (4, 16, 16)).astype("u1")
    if kind == "loop":
        region = Dataset()
        for keyword, value in {
            "RegionSpatialFormat": 1,
            "RegionLocationMaxX1": 9,
            "PhysicalDeltaX": 0.1,
            "PhysicalUnitsXDirection": 3,
        }.items():
            setattr(region, keyword, value)
        made = one_instance(
            values[0], Modality="US", NumberOfFrames=4, FrameTimeVector=[0, 30, 40, 30], SequenceOfUltrasoundRegions=[region]
        )
        made.FrameIncrementPointer = 0x00181065
        made.PixelData = values.tobytes()
        return made
    if kind == "palette":
        made = one_instance(values[0], PhotometricInterpretation="PALETTE COLOR", ViewCodeSequence=[Dataset()])
        for name in ("Red", "Green", "Blue"):
            made.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [256, 0, 8])
            made.add_new(f"{name}PaletteColorLookupTableData", "OW", bytes(range(256)))
        return made
    if kind == "table":
        lut = Dataset()
        lut.add_new("LUTDescriptor", "US", [200, 0, 12])
        lut.add_new("LUTData", "OW", b"\1\2" * 200)
        return one_instance(values[0], ModalityLUTSequence=[lut], PhotometricInterpretation="MONOCHROME1")
    if kind == "tomogram":
        detector = Dataset()
        detector.ImagePositionPatient, detector.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
        says: dict[str, Any] = {
            "Modality": "NM",
            "ImageType": ["ORIGINAL", "PRIMARY", "RECON GATED TOMO"],
            "NumberOfFrames": 4,
            "SpacingBetweenSlices": "2",
        }
        made = one_instance(values[0], **says, ImagePositionPatient=None, DetectorInformationSequence=[detector])
        made.SliceVector, made.TimeSlotVector, made.PixelData = [1, 2, 1, 2], [1, 1, 2, 2], values.tobytes()
        return made
    made = enhanced(values, np.array([[0.0, 0, z] for z in (0, 0, 1, 1)]))
    for number, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        echo, content = Dataset(), Dataset()
        echo.EffectiveEchoTime, content.DimensionIndexValues = 10.0 * (number % 2), [number // 2 + 1, number % 2 + 1]
        group.MREchoSequence, group.FrameContentSequence = [echo], [content]
    return made


@pytest.mark.parametrize("kind", WAYS)
@pytest.mark.filterwarnings("ignore")
def test_damage_to_other_subjects_is_an_input_error_or_none(kind: str, tmp_path: Path) -> None:
    """Palettes, tables, regions, time vectors, detectors and dimensions: 200 damaged copies of each kind."""
    original = save(a_subject(kind), tmp_path / "original.dcm")
    WAYS[kind](original)
    whole, rng, refused = original.read_bytes(), random.Random(kind), []
    for _ in range(200):
        copy = tmp_path / "copy.dcm"
        copy.write_bytes(damaged(whole, rng))
        try:
            WAYS[kind](copy)
        except InputError as said:
            refused.append(said)
    assert len(refused) > 20
    assert all(said.code.startswith("HLM-30") and str(said) and said.remedy for said in refused)


@pytest.mark.parametrize(
    "kind", ["plain", "implicit", "deflated", pytest.param("enhanced", marks=pytest.mark.slow), "rle", "jpeg-ls", "jpeg-2000"]
)
@pytest.mark.filterwarnings("ignore")
def test_damage_is_an_input_error_or_none(kind: str, tmp_path: Path) -> None:
    """Seeded, so that a failure can be had again; 120 damaged copies of each kind through all three ways in."""
    original = save(an_image(kind), tmp_path / "original.dcm")
    whole, rng, refused = original.read_bytes(), random.Random(kind), []
    for _ in range(MUTATIONS):
        copy = tmp_path / "copy.dcm"
        copy.write_bytes(damaged(whole, rng))
        for way in (decode, lambda path: assemble([path]), lambda path: same_image(path, original)):
            try:
                way(copy)
            except InputError as said:
                refused.append(said)
    assert len(refused) > MUTATIONS / 4
    assert all(said.code.startswith("HLM-30") and str(said) for said in refused)
