"""Single images and loops: grey values, colour, views and spacing against DCMTK, ITK and arithmetic; times and scales from the header."""

import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
)

from inference.errors import InputError
from inference.imaging.errors import MissingAttribute, NotACine, NotImages, TooLarge, UnsupportedColour, UnsupportedSyntax
from inference.imaging.subject import Cine, Image, Images, Takes
from inference.imaging.subjects import subjects
from tests.lab import needs

from .conftest import as_a, one_instance, save

PLACELESS: dict[str, Any] = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": None}


def radiograph(pixels: NDArray[Any], number: int = 1, **attributes: Any) -> Dataset:
    """A CR image without a place."""
    return one_instance(pixels, number, **{**PLACELESS, "Modality": "CR", "SOPClassUID": ComputedRadiographyImageStorage, **attributes})


def loop(pixels: NDArray[Any], number: int = 1, **attributes: Any) -> Dataset:
    """An ultrasound loop (T, Y, X) or (T, Y, X, 3)."""
    given: dict[str, Any] = {
        "Modality": "US",
        "SOPClassUID": UltrasoundMultiFrameImageStorage,
        "NumberOfFrames": len(pixels),
        "FrameTime": "40",
    }
    if pixels.ndim == 4:
        given |= {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    given = {keyword: value for keyword, value in {**given, **attributes}.items() if value is not None}
    dataset = one_instance(pixels[0], number, **PLACELESS, **given)
    dataset.FrameIncrementPointer = 0x00181063 if "FrameTime" in dataset else 0x00181065
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    return dataset


def images(*files: Path, series: str = "1.2.3.4") -> Images:
    """What an application for images is given."""
    (made,) = subjects(Takes.IMAGES, "refuse", files, series)
    assert isinstance(made.subject, Images)
    assert {header.SOPInstanceUID for header in made.headers} == {source.sop_instance_uid for source in made.subject.sources}
    return made.subject


def image(dataset: Dataset, folder: Path) -> Image:
    """The one image of a file."""
    (one,) = images(save(dataset, folder / "x.dcm")).images
    return one


def cine(*files: Path) -> Cine:
    """What an application for a cine is given."""
    (made,) = subjects(Takes.CINE, "refuse", files)
    assert isinstance(made.subject, Cine)
    return made.subject


class TestGreyValues:
    """What a model is given, and what a detector meant."""

    @pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, ExplicitVRBigEndian, JPEG2000Lossless, RLELossless])
    @pytest.mark.parametrize("stored", [8, 10, 12, 15, 16])
    def test_monochrome1_is_turned_over_within_its_stored_bits(self, stored: int, syntax: UID | None, tmp_path: Path) -> None:
        """Bright means dense: the largest value that can be stored, minus the stored one; whatever the packing."""
        values = np.random.default_rng(stored).integers(0, 1 << stored, (40, 49)).astype("u1" if stored == 8 else "u2")
        dataset = radiograph(values, PhotometricInterpretation="MONOCHROME1", BitsStored=stored)
        if syntax in {JPEG2000Lossless, RLELossless}:
            # GDCM's encoder of RLE ends the process on images this small
            dataset.compress(syntax, generate_instance_uid=False, encoding_plugin="pydicom" if syntax is RLELossless else "")
        elif syntax is ExplicitVRBigEndian:
            dataset.file_meta.TransferSyntaxUID = syntax
            dataset.PixelData = values.byteswap().tobytes() if stored > 8 else values.tobytes() + b"\0"
            dataset["PixelData"].VR = "OW" if stored > 8 else "OB"
        elif syntax is not None:
            dataset.file_meta.TransferSyntaxUID = syntax
        made = image(dataset, tmp_path)
        np.testing.assert_array_equal(made.pixels, (1 << stored) - 1 - values.astype(int))
        assert made.inverted

    @pytest.mark.parametrize("unit", ["LOG_E REL", "OD", "UNSPECIFIED", "US"])
    @pytest.mark.parametrize("modality", ["CR", "DX", "MG"])
    def test_monochrome1_of_a_projection_is_turned_over_whatever_its_values_are_called(
        self, modality: str, unit: str, tmp_path: Path
    ) -> None:
        """RescaleType is free text there, and says how the values came about; a negative must not reach a model or a page."""
        values = np.array([[0, 1, 4095]], dtype="u2")
        header: dict[str, Any] = {"Modality": modality, "RescaleType": unit, "RescaleSlope": 1, "RescaleIntercept": 0}
        made = image(radiograph(values, PhotometricInterpretation="MONOCHROME1", BitsStored=12, **header), tmp_path)
        np.testing.assert_array_equal(made.pixels, [[4095, 4094, 0]])
        assert made.inverted

    def test_signed_values_with_unused_bits(self, tmp_path: Path) -> None:
        """12 of 16 bits, signed, with an old overlay in the unused ones."""
        values = np.array([[-2048, -1, 0, 1, 2047]], dtype="i2")
        stored = (values.view("u2") & 0x0FFF) | 0xA000
        made = image(radiograph(stored, BitsStored=12, PixelRepresentation=1), tmp_path)
        np.testing.assert_array_equal(made.pixels, values)
        assert not made.inverted

    def test_the_window_is_left_to_whoever_looks(self, tmp_path: Path) -> None:
        """A VOI window and a VOI table are there; the values are the rescaled ones all the same."""
        values = np.arange(12, dtype="u2").reshape(3, 4)
        made = image(radiograph(values, WindowCenter=3, WindowWidth=1, RescaleSlope=2, RescaleIntercept=-5), tmp_path)
        np.testing.assert_array_equal(made.pixels, values.astype(int) * 2 - 5)

    @pytest.mark.parametrize(
        ("attributes", "window"),
        [
            ({"WindowCenter": 2048, "WindowWidth": 4096}, (0, 4095)),  # PS3.3 C.11.2.1.2.1: all of 12 bits
            ({"WindowCenter": [1000, 40], "WindowWidth": [501, 80]}, (749.5, 1249.5)),
            ({"WindowCenter": 1000, "WindowWidth": 500, "VOILUTFunction": "LINEAR_EXACT"}, (750, 1250)),
            ({"WindowCenter": 1000.5, "WindowWidth": 501, "PhotometricInterpretation": "MONOCHROME1"}, (4095 - 1250, 4095 - 750)),
            ({"WindowCenter": 2000.5, "WindowWidth": 1001, "RescaleSlope": 2, "RescaleIntercept": -5}, (1500, 2500)),
            ({"WindowCenter": 3, "WindowWidth": 1}, None),
            ({"WindowCenter": 1000}, None),
            ({}, None),
        ],
    )
    def test_the_window_is_told_on_the_side_of_the_pixels(
        self, attributes: dict[str, Any], window: tuple[float, float] | None, tmp_path: Path
    ) -> None:
        """The first of several, by its function; of a negative turned over as its pixels are; of one that shows nothing, None."""
        made = image(radiograph(np.array([[0, 1000, 4095]], dtype="u2"), BitsStored=12, **attributes), tmp_path)
        assert made.window == window

    @pytest.mark.parametrize(("first", "signed"), [(0, False), (3, False), (-4, True)])
    @pytest.mark.parametrize("bits", [8, 12, 16])
    def test_a_modality_table_is_applied(self, bits: int, first: int, signed: bool, tmp_path: Path) -> None:
        """Values below the first entry take the first, those above the last take the last (PS3.3 C.11.1.1)."""
        entries = (np.arange(6) * ((1 << bits) - 1) // 5).astype("u2")
        lut = Dataset()
        lut.add_new("LUTDescriptor", "SS" if signed else "US", [6, first, bits])
        lut.ModalityLUTType = "OD"
        lut.add_new("LUTData", "OW", entries.tobytes())
        values = np.arange(-6, 9, dtype="i2")[None] if signed else np.arange(0, 15, dtype="u2")[None]
        made = image(radiograph(values, ModalityLUTSequence=[lut]), tmp_path)
        expected = [entries[min(max(int(value) - first, 0), 5)] for value in values[0]]
        np.testing.assert_array_equal(made.pixels[0], expected)

    def test_a_table_that_ends_too_early_is_refused(self, tmp_path: Path) -> None:
        """Nothing is made up for the values that have no entry."""
        lut = Dataset()
        lut.add_new("LUTDescriptor", "US", [100, 0, 16])
        lut.add_new("LUTData", "OW", b"\0" * 20)
        with pytest.raises(MissingAttribute, match="has 10 of 100 entries"):
            image(radiograph(np.zeros((2, 2), "u2"), ModalityLUTSequence=[lut]), tmp_path)

    def test_bytes_as_words_of_the_other_order_are_refused(self, tmp_path: Path) -> None:
        """8-bit pixels as OW in big endian stand pairwise the wrong way round: refused rather than shown so."""
        dataset = radiograph(np.arange(12, dtype="u1").reshape(3, 4))
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        with pytest.raises(UnsupportedSyntax, match="8-bit pixels as big-endian words") as refused:
            image(dataset, tmp_path)
        # by what a person can look for, and not by a file of the spool
        assert str(refused.value).startswith(f"{dataset.SOPInstanceUID} ")

    @pytest.mark.parametrize(
        ("attributes", "error"),
        [
            ({"PhotometricInterpretation": "CMYK"}, UnsupportedColour),
            ({"PhotometricInterpretation": "RGB"}, MissingAttribute),
            ({"SamplesPerPixel": 3, "PixelData": b"\0" * 36}, MissingAttribute),
            ({"PhotometricInterpretation": "PALETTE COLOR"}, MissingAttribute),
        ],
    )
    def test_colours_that_are_none(self, attributes: dict[str, Any], error: type[InputError], tmp_path: Path) -> None:
        """A retired colour space, samples that contradict it, a palette that is not there."""
        with pytest.raises(error, match=r"1\.2\.3\.4\.1"):
            image(radiograph(np.zeros((3, 4), "u1"), **attributes), tmp_path)


class TestColour:
    """RGB, whatever was stored."""

    def test_planes_and_pixels_interleaved(self, tmp_path: Path) -> None:
        """PlanarConfiguration 0 and 1 give the same picture."""
        rgb = np.random.default_rng(0).integers(0, 256, (1, 4, 6, 3)).astype("u1")
        whole: dict[str, Any] = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}
        one = radiograph(rgb[0], PlanarConfiguration=0, **whole)
        other = radiograph(rgb[0], PlanarConfiguration=1, PixelData=rgb[0].transpose(2, 0, 1).tobytes(), **whole)
        np.testing.assert_array_equal(image(one, tmp_path).pixels, rgb[0])
        np.testing.assert_array_equal(image(other, tmp_path).pixels, rgb[0])

    def test_half_the_colours_of_ybr_422(self, tmp_path: Path) -> None:
        """Uncompressed YBR_FULL_422: two pixels share their colours, so a frame is two thirds as long; grey stays grey."""
        grey = np.arange(8, dtype="u1").reshape(2, 4) * 30
        packed = np.stack([grey[:, 0::2], grey[:, 1::2], np.full((2, 2), 128, "u1"), np.full((2, 2), 128, "u1")], axis=-1)
        frames = np.concatenate([packed[None], packed[None, ::-1]])
        dataset = loop(np.zeros((2, 2, 4, 3), "u1"), PhotometricInterpretation="YBR_FULL_422")
        dataset.PixelData = frames.astype("u1").tobytes()
        found = cine(save(dataset, tmp_path / "x.dcm")).frames
        np.testing.assert_array_equal(found[0], np.repeat(grey[..., None], 3, axis=-1))
        np.testing.assert_array_equal(found[1], np.repeat(grey[::-1, :, None], 3, axis=-1))

    @pytest.mark.parametrize("bits", [8, 16])
    def test_a_palette(self, bits: int, tmp_path: Path) -> None:
        """Indices become the colours of the table; 16-bit entries keep their high bytes."""
        table = np.random.default_rng(1).integers(0, 256, (3, 256)).astype("u1")
        dataset = radiograph(np.arange(12, dtype="u1").reshape(3, 4), PhotometricInterpretation="PALETTE COLOR")
        for name, channel in zip(("Red", "Green", "Blue"), table, strict=True):
            dataset.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [256, 0, bits])
            entries = channel if bits == 8 else channel.astype("u2") << 8
            dataset.add_new(f"{name}PaletteColorLookupTableData", "OW", entries.tobytes())
        np.testing.assert_array_equal(image(dataset, tmp_path).pixels, table.T[np.arange(12)].reshape(3, 4, 3))


class TestProjections:
    """Views, sides and distances."""

    @pytest.mark.parametrize(
        ("attributes", "expected"),
        [
            ({"PixelSpacing": [0.2, 0.1]}, ((0.2, 0.1), False)),
            ({"ImagerPixelSpacing": [0.2, 0.1]}, ((0.2, 0.1), False)),
            ({"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.2]}, ((0.2, 0.2), False)),
            ({"PixelSpacing": [0.15, 0.15], "ImagerPixelSpacing": [0.2, 0.2]}, ((0.15, 0.15), True)),
            (
                {"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.2], "PixelSpacingCalibrationType": "FIDUCIAL"},
                ((0.2, 0.2), True),
            ),
            ({"PixelSpacing": ["0.000", "0.000"]}, (None, False)),
            ({"NominalScannedPixelSpacing": [0.3, 0.3]}, ((0.3, 0.3), False)),
            ({"PixelSpacing": [0.3, 0.3], "Modality": "OP"}, ((0.3, 0.3), True)),
            ({}, (None, False)),
        ],
    )
    def test_what_a_spacing_means(self, attributes: dict[str, Any], expected: Any, tmp_path: Path) -> None:
        """PS3.3 10.7.1.3: on the detector unless it was calibrated, which a type or a difference from the detector's says."""
        made = image(radiograph(np.zeros((2, 2), "u2"), **attributes), tmp_path)
        assert (made.spacing_mm, made.calibrated) == expected

    @pytest.mark.parametrize(
        ("view", "code", "side", "expected"),
        [
            ("PA", None, "", "PA"),
            ("", "399368009", "L", "L MLO"),
            ("", "R-10242", "R", "R CC"),
            ("CC", "399368009", "R", "R CC"),
            ("", "1234", "B", "B through the ceiling"),
            ("", None, "U", ""),
        ],
    )
    def test_views(self, view: str, code: str | None, side: str, expected: Any, tmp_path: Path) -> None:
        """The position where it stands, else the code's usual letters, else its meaning; an unpaired side is none."""
        dataset = radiograph(np.zeros((2, 2), "u2"), ViewPosition=view, ImageLaterality=side)
        if code:
            dataset.ViewCodeSequence = [Dataset()]
            dataset.ViewCodeSequence[0].CodeValue, dataset.ViewCodeSequence[0].CodeMeaning = code, "through the ceiling"
        made = image(dataset, tmp_path)
        assert made.view == expected
        assert made.laterality == ("" if side == "U" else side)

    def test_views_of_a_study_come_in_a_stable_order(self, tmp_path: Path) -> None:
        """By series number, series, instance number and UID, whatever the files are called; the job's series names the subject."""
        expected = []
        for series, number in ((9, 1), (10, 1), (10, 2), (10, 10)):
            uid = f"1.2.3.{series}.{number}"
            given: dict[str, Any] = {
                "SeriesNumber": series,
                "SeriesInstanceUID": f"1.2.3.{series}",
                "InstanceNumber": number,
                "SOPInstanceUID": uid,
            }
            save(radiograph(np.zeros((2, 2), "u2"), **given), tmp_path / f"{99 - number}-{series}")
            expected.append(uid)
        found = images(*sorted(tmp_path.iterdir()), series="1.2.3.10")
        assert [one.source.sop_instance_uid for one in found.images] == expected
        assert found.series_instance_uid == "1.2.3.10"
        assert found.images[0].series_instance_uid == "1.2.3.9"
        assert all(one.source.frame is None for one in found.images)

    def test_half_a_place_is_no_matter_to_a_radiograph(self, tmp_path: Path) -> None:
        """An orientation without a position would refuse a volume; nobody asks a single image."""
        made = image(
            radiograph(np.zeros((2, 2), "u2"), ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PatientOrientation=["P", "FL"]), tmp_path
        )
        assert made.orientation == ("P", "FL")

    def test_frames_that_are_no_loop_are_images(self, tmp_path: Path) -> None:
        """Pages of a scanned film: the increment pointer says so; each knows its 1-based frame."""
        dataset = loop(np.arange(12, dtype="u1").reshape(3, 2, 2), Modality="OT")
        dataset.FrameIncrementPointer = 0x00182001
        found = images(save(dataset, tmp_path / "x"))
        assert [one.source.frame for one in found.images] == [1, 2, 3]
        assert found.images[2].pixels.tolist() == [[8, 9], [10, 11]]

    def test_tiles_of_a_slide_are_no_images(self, tmp_path: Path) -> None:
        """The frames of a whole slide are pieces of one image (PS3.3 C.8.12.4): what is found on one means nothing."""
        slide = loop(np.zeros((4, 2, 2, 3), "u1"), Modality="SM", FrameTime=None, TotalPixelMatrixColumns=4, TotalPixelMatrixRows=4)
        slide.FrameIncrementPointer = 0x00200013
        with pytest.raises(NotImages, match="tiles of a larger image"):
            images(save(slide, tmp_path / "x"))

    def test_loops_among_stills_are_left_out_and_said(self, tmp_path: Path) -> None:
        """An examination holds both; each application looks at its own kind, and the reader is told of the rest."""
        still = save(radiograph(np.zeros((2, 2), "u1"), 1, Modality="US"), tmp_path / "still")
        moving = save(loop(np.zeros((3, 2, 2), "u1"), 2), tmp_path / "loop")
        (one,) = subjects(Takes.IMAGES, "refuse", [moving, still], "1.2.3.4")
        assert len(one.headers) == 1
        assert one.remarks == ("1 of 2 instances are loops and were not looked at.",)
        (other,) = subjects(Takes.CINE, "refuse", [moving, still])
        assert other.remarks == ("1 of 2 instances are single images and were not looked at.",)
        with pytest.raises(NotImages, match="all of them loops"):
            images(moving)
        with pytest.raises(NotACine, match="no loop among 1 instances"):
            cine(still)


class TestLoops:
    """Frames over time."""

    @pytest.mark.parametrize(
        ("attributes", "expected"),
        [
            ({"FrameTime": "40"}, [0, 0.04, 0.08, 0.12]),
            ({"FrameTime": None, "FrameTimeVector": [0, 30, 50, 30]}, [0, 0.03, 0.08, 0.11]),
            # the first increment leads to a frame that is not there, whatever it says
            ({"FrameTime": None, "FrameTimeVector": [33, 30, 50, 30]}, [0, 0.03, 0.08, 0.11]),
            ({"FrameTime": None, "FrameTimeVector": [0, 30, 50]}, None),
            ({"FrameTime": None, "FrameTimeVector": [0, 30, -5, 30]}, None),
            ({"FrameTime": "0", "CineRate": 50}, [0, 0.02, 0.04, 0.06]),
            ({"FrameTime": None, "CineRate": 0, "ActualFrameDuration": 100}, [0, 0.1, 0.2, 0.3]),
            ({"FrameTime": None}, None),
        ],
    )
    def test_times(self, attributes: dict[str, Any], expected: Any, tmp_path: Path) -> None:
        """Seconds from the first frame; nothing where nothing is said, or something that cannot be."""
        found = cine(save(loop(np.zeros((4, 2, 2), "u1"), **attributes), tmp_path / "x")).times_s
        assert found is None if expected is None else found == pytest.approx(expected)

    def test_frames_and_sources(self, tmp_path: Path) -> None:
        """Eight bits stay eight; every frame is named by its 1-based number."""
        pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 6)).astype("u1")
        found = cine(save(loop(pixels), tmp_path / "x"))
        np.testing.assert_array_equal(found.frames, pixels)
        assert found.frames.dtype == np.uint8
        assert [source.frame for source in found.sources] == [1, 2, 3, 4, 5]
        assert {source.sop_class_uid for source in found.sources} == {UltrasoundMultiFrameImageStorage}

    def test_several_loops_are_parts_or_a_reason(self, tmp_path: Path) -> None:
        """In the order of their numbers; an application that takes one is not given a choice it cannot make."""
        files = [save(loop(np.full((2, 2, 2), n, "u1"), n, InstanceNumber=n), tmp_path / str(9 - n)) for n in (1, 2, 3)]
        parts = subjects(Takes.CINE, "each", files)
        assert [part.part for part in parts] == ["loop 1 of 3", "loop 2 of 3", "loop 3 of 3"]
        assert [int(as_a(Cine, part.subject).frames[0, 0, 0]) for part in parts] == [1, 2, 3]
        with pytest.raises(NotACine, match="3 loops in one series"):
            subjects(Takes.CINE, "refuse", files)

    @pytest.mark.parametrize(
        ("changes", "expected", "said"),
        [
            ({}, ((2, 1, 7, 5, 0.5, 0.25),), False),
            ({"RegionLocationMaxX1": 8}, (), True),
            ({"PhysicalDeltaX": 0.0}, (), True),
            ({"PhysicalUnitsYDirection": 4}, (), False),
            ({"RegionSpatialFormat": 3}, (), False),
            ({"PhysicalDeltaY": -0.025}, ((2, 1, 7, 5, 0.5, 0.25),), False),
        ],
    )
    def test_regions(self, changes: dict[str, Any], expected: Any, said: bool, tmp_path: Path) -> None:
        """In millimetres, two-dimensional tissue alone; one that reaches beyond the picture belongs to another size of it."""
        region = Dataset()
        given = {
            "RegionLocationMinX0": 2,
            "RegionLocationMinY0": 1,
            "RegionLocationMaxX1": 7,
            "RegionLocationMaxY1": 5,
            "RegionSpatialFormat": 1,
            "RegionDataType": 1,
            "PhysicalUnitsXDirection": 3,
            "PhysicalUnitsYDirection": 3,
            "PhysicalDeltaX": 0.05,
            "PhysicalDeltaY": 0.025,
            **changes,
        }
        for keyword, value in given.items():
            setattr(region, keyword, value)
        (made,) = subjects(
            Takes.CINE, "refuse", [save(loop(np.zeros((2, 6, 8), "u1"), SequenceOfUltrasoundRegions=[region]), tmp_path / "x")]
        )
        assert [pytest.approx(region) for region in as_a(Cine, made.subject).regions] == list(expected)
        assert any("calibrated region" in remark for remark in made.remarks) == said

    def test_a_loop_that_would_fill_the_memory_is_refused_before_it_is_decoded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The bound is on what the frames would take, not on the file: compressed loops swell."""
        monkeypatch.setattr("inference.imaging.frame_values.MOST_BYTES", 100)
        with pytest.raises(TooLarge, match="5 frames of 6 x 4 pixels"):
            cine(save(loop(np.zeros((5, 4, 6), "u1")), tmp_path / "x"))


class TestSingleImagesOverTime:
    """A heart in MR, one image a phase."""

    def heart(self, folder: Path, places: int = 1, **last: Any) -> list[Path]:
        """Three phases at each place, 40 ms apart, the last first; phase n at place p holds 10 n + p everywhere."""
        paths = []
        for place in range(places):
            for n in (2, 1, 0):
                given: dict[str, Any] = {
                    "TriggerTime": 40 * n + place,
                    "SOPInstanceUID": f"1.2.3.4.{place}.{n}",
                    **(last if n == 2 else {}),
                }
                values = np.full((3, 4), 10 * n + place, "u2")
                paths.append(save(one_instance(values, place, **given), folder / f"{place}-{9 - n}"))
        return paths

    def test_one_place_is_a_cine(self, tmp_path: Path) -> None:
        """In the order of the phases; each frame is an instance, so that none has a frame number."""
        (made,) = subjects(Takes.CINE, "refuse", self.heart(tmp_path))
        subject = as_a(Cine, made.subject)
        assert subject.frames[:, 0, 0].tolist() == [0, 10, 20]
        assert subject.times_s == pytest.approx([0, 0.04, 0.08])
        assert [(source.sop_instance_uid, source.frame) for source in subject.sources] == [(f"1.2.3.4.0.{n}", None) for n in range(3)]
        assert (made.part, len(made.headers)) == ("", 3)
        assert (subject.spacing_mm, subject.calibrated) == ((1.0, 1.0), True)

    def test_several_places_are_parts_or_a_reason(self, tmp_path: Path) -> None:
        """Each with its own images and times."""
        files = self.heart(tmp_path, places=2)
        parts = subjects(Takes.CINE, "each", files)
        assert [part.part for part in parts] == ["slice 1 of 2", "slice 2 of 2"]
        assert [as_a(Cine, part.subject).frames[:, 0, 0].tolist() for part in parts] == [[0, 10, 20], [1, 11, 21]]
        with pytest.raises(NotACine, match="2 slices, each a loop of 3 images"):
            subjects(Takes.CINE, "refuse", files)

    def test_images_that_differ_in_something_else_are_no_loop(self, tmp_path: Path) -> None:
        """Three echoes of one place move nothing; neither does a stack of slices."""
        grey = np.zeros((3, 4), "u2")
        echoes = [save(one_instance(grey, 0, EchoTime=n, SOPInstanceUID=f"1.2.3.4.{n}"), tmp_path / str(n)) for n in (5, 10, 15)]
        with pytest.raises(NotACine, match="no loop among 3 instances"):
            subjects(Takes.CINE, "each", echoes)
        stack = [save(one_instance(np.zeros((3, 4), "u2"), n), tmp_path / f"s{n}") for n in range(3)]
        with pytest.raises(NotACine, match="no loop among 3 instances"):
            subjects(Takes.CINE, "each", stack)


class TestRealImages:
    """Published files, against DCMTK and ITK."""

    @pytest.mark.peers
    @pytest.mark.parametrize(
        ("name", "frame", "off"),
        [
            # the same bits, or within what two JPEG decoders may differ by
            ("dicom/us_cine/US-PAL-8-10x-echo", 4, 0),
            ("dicom/us_cine/examples_ybr_color.dcm", 30, 3),
        ],
    )
    def test_colour_agrees_with_dcmtk(self, real: Callable[[str], list[Path]], name: str, frame: int, off: int, tmp_path: Path) -> None:
        """RLE with a palette, and JPEG in YBR: the picture that dcmj2pnm writes, pixel by pixel."""
        from PIL import Image as Pillow

        (file,) = real(name)
        written = tmp_path / "frame.ppm"
        subprocess.run([needs.program("dcmj2pnm", "dcmtk"), "+op", "+F", str(frame), file, written], check=True, capture_output=True)
        theirs = np.asarray(Pillow.open(written).convert("RGB")).astype(int)
        ours = cine(file).frames[frame - 1].astype(int)
        assert np.abs(ours - theirs).max() <= off
        assert np.ptp(ours) > 100

    def test_colour_agrees_with_pillow_where_dcmtk_gives_up(self, real: Callable[[str], list[Path]]) -> None:
        """An echo whose region sequence DCMTK and ITK cannot parse: the JPEG stream of frame 31, cut out by hand, as Pillow shows it."""
        from PIL import Image as Pillow

        (file,) = real("dicom/us_cine/DIRW0007")
        pixel_data = file.read_bytes().partition(b"\xe0\x7f\x10\x00OB\0\0")[2]
        stream = pixel_data.split(b"\xfe\xff\x00\xe0")[1 + 31][4:]  # behind the offset table
        theirs = np.asarray(Pillow.open(BytesIO(stream)).convert("RGB")).astype(int)
        assert np.abs(cine(file).frames[30].astype(int) - theirs).max() <= 3

    @pytest.mark.parametrize(
        ("name", "inverted"),
        [
            ("dicom/xr/RG2_JLSL", False),
            ("dicom/xr/RG3_JLSL", True),
            ("dicom/xr/gdcm-CR-MONO1-10-chest.dcm", True),
            ("dicom/mg/GH133.dcm", False),
            ("dicom/mg/OutOfBoundsOverlay.dcm", False),
        ],
    )
    def test_grey_values_agree_with_itk(self, real: Callable[[str], list[Path]], name: str, inverted: bool) -> None:
        """JPEG-LS, JPEG lossless and uncompressed, 10 and 12 bits; ITK turns MONOCHROME1 over within its stored bits, too."""
        import SimpleITK

        (file,) = real(name)
        theirs = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file)))[0]
        (one,) = images(file).images
        np.testing.assert_array_equal(one.pixels, theirs)
        assert one.inverted == inverted

    def test_a_mammogram_says_what_it_shows(self, real: Callable[[str], list[Path]]) -> None:
        """Its view stands in the header; its spacing holds on the detector."""
        (one,) = images(*real("dicom/mg/GH133.dcm")).images
        assert (one.view, one.laterality, one.orientation, one.calibrated) == ("R MLO", "R", ("P", "FL"), False)
        assert one.spacing_mm == pytest.approx((0.0940909, 0.0940909))

    def test_an_echo_has_its_true_times_and_scale(self, real: Callable[[str], list[Path]]) -> None:
        """65 frames with a vector of times: its sum without the first; the cm region alone is calibrated."""
        found = cine(*real("dicom/us_cine/DIRW0007"))
        assert found.frames.shape == (65, 456, 576, 3)
        assert found.times_s is not None
        assert found.times_s[-1] == pytest.approx(2.438318)
        (region,) = found.regions
        assert region[:4] == (27, 48, 548, 391)
        assert region[4:] == pytest.approx((0.52478, 0.52478), abs=1e-4)

    def test_a_scale_that_was_written_for_another_size_is_not_used(self, real: Callable[[str], list[Path]]) -> None:
        """The published loop was scaled down to 320 x 240, its region (to column 595) was not."""
        (made,) = subjects(Takes.CINE, "refuse", real("dicom/us_cine/examples_ybr_color.dcm"))
        assert as_a(Cine, made.subject).regions == ()
        assert "calibrated region" in made.remarks[0]

    @pytest.mark.parametrize(
        ("name", "shape", "step_s"),
        [
            ("dicom/xa_nm_pt_mr_misc/jpeg_baseline_8bit.dcm", (96, 512, 512), 0.033),
            ("dicom/xa_nm_pt_mr_misc/MR-MONO2-8-16x-heart.dcm", (16, 256, 256), 0.06947),
            # enhanced MR of a moving knee: its frames have date-times of their own, 100 to 240 ms apart
            ("dicom/xa_nm_pt_mr_misc/MOVEKNEE.dcm", (19, 256, 256), None),
        ],
    )
    def test_angiogram_heart_and_knee(
        self, real: Callable[[str], list[Path]], name: str, shape: tuple[int, int, int], step_s: float | None
    ) -> None:
        """What moves and has no usable place along a normal."""
        found = cine(*real(name))
        assert found.frames.shape == shape
        assert found.times_s is not None
        assert np.all(np.diff(found.times_s) > 0)
        if step_s:
            assert found.times_s == pytest.approx(np.arange(shape[0]) * step_s)

    @pytest.mark.parametrize("takes", [Takes.VOLUME, Takes.CINE])
    def test_slices_of_an_old_tomogram_without_a_detector_are_neither(self, real: Callable[[str], list[Path]], takes: Takes) -> None:
        """The heart of 1993 has SliceVector and spacing, but nothing says where its first slice lies."""
        with pytest.raises(InputError):
            subjects(takes, "each", real("dicom/xa_nm_pt_mr_misc/NM-MONO2-16-13x-heart"))
