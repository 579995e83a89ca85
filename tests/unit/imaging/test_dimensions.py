"""Several volumes of one place: what tells them apart, what people call them, and that nothing is guessed."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import NuclearMedicineImageStorage

from inference.errors import InputError
from inference.imaging.assemble import assemble
from inference.imaging.errors import (
    DuplicatePosition,
    FourDimensional,
    IncompleteConcatenation,
    MissingAttribute,
    MixedFrameOfReference,
    MixedOrientation,
    NotAPair,
    NotAVolume,
    TooLarge,
)
from inference.imaging.subject import Parts, Takes, VolumeSet
from inference.imaging.subjects import Assembled, subjects
from inference.imaging.volume import Volume

from .conftest import as_a, enhanced, one_instance, save

PLACES = 3


def series(folder: Path, *kinds: dict[str, Any], places: int = PLACES, shuffled: bool = True, **common: Any) -> list[Path]:
    """At each place one image for each of `kinds`: attributes, or functions of the place that give them. Image n at place p holds
    100 n + p everywhere."""
    paths = []
    for place in range(places):
        for n, kind in enumerate(kinds):
            given = {key: value(place) if callable(value) else value for key, value in kind.items()}
            values = np.full((3, 4), 100 * n + place, dtype="u2")
            uid = f"1.2.3.4.{n}.{place}"
            dataset = one_instance(values, place, **{"SOPInstanceUID": uid, **common, **given})
            paths.append(save(dataset, folder / f"{n}-{place}.dcm"))
    if shuffled:
        random.Random(5).shuffle(paths)
    return paths


def parts(files: list[Path]) -> list[Assembled]:
    """Each volume on its own."""
    return subjects(Takes.VOLUME, "each", files, "1.2.3.4")


def held(found: list[Assembled]) -> list[list[int]]:
    """The values of each part's slices."""
    return [as_a(Volume, part.subject).voxels[:, 0, 0].tolist() for part in found]


def gradient(x: float, y: float, z: float) -> dict[str, Any]:
    """A diffusion-weighted image of a classic series."""
    return {"DiffusionBValue": 1000.0, "DiffusionGradientOrientation": [x, y, z]}


CASES: dict[str, tuple[list[dict[str, Any]], list[str], str]] = {
    "TE": (
        [{"EchoTime": 4.92}, {"EchoTime": 30}],
        ["echo 1 (TE 4.92 ms)", "echo 2 (TE 30 ms)"],
        r"2 echo times \(EchoTime\)",
    ),
    "b": (
        [{"DiffusionBValue": 1000.0}, {"DiffusionBValue": 0.0}, {"DiffusionBValue": 500.0}],
        ["b 0 s/mm2", "b 500 s/mm2", "b 1000 s/mm2"],
        r"3 b-values \(b 0 s/mm2, b 500 s/mm2, b 1000 s/mm2; DiffusionBValue\)",
    ),
    "directions": (
        [{"DiffusionBValue": 0.0}, gradient(1, 0, 0), gradient(0, 1, 0), gradient(0, 0, 1)],
        ["b 0 s/mm2", *(f"b 1000 s/mm2, direction {n} of 3" for n in (1, 2, 3))],
        r"2 b-values \(b 0 s/mm2, b 1000 s/mm2; DiffusionBValue\) and 3 gradient directions and images without one \(DiffusionGradient",
    ),
    "b and acquisition": (
        [
            {"DiffusionBValue": 0.0, "AcquisitionNumber": 1},
            {"DiffusionBValue": 1000.0, "AcquisitionNumber": 2},
            {"DiffusionBValue": 1000.0, "AcquisitionNumber": 3},
        ],
        ["b 0 s/mm2, acquisition 1 of 3", "b 1000 s/mm2, acquisition 2 of 3", "b 1000 s/mm2, acquisition 3 of 3"],
        r": 2 b-values \(b 0 s/mm2, b 1000 s/mm2; DiffusionBValue\) and 3 acquisitions \(AcquisitionNumber\)",
    ),
    "time": (
        [{"TemporalPositionIdentifier": n} for n in (2, 10, 1)],
        ["time 1 of 3", "time 2 of 3", "time 3 of 3"],
        r"3 time points \(TemporalPositionIdentifier\)",
    ),
    "heart": (
        # trigger times differ a little from slice to slice: their order counts
        [{"TriggerTime": lambda place, n=n: f"{n * 40 + place}"} for n in (0, 2, 1)],
        ["heart phase 1 of 3", "heart phase 2 of 3", "heart phase 3 of 3"],
        r"3 heart phases \(TriggerTime\)",
    ),
    "magnitude and phase": (
        [{"ImageType": ["ORIGINAL", "PRIMARY", "P"]}, {"ImageType": ["ORIGINAL", "PRIMARY", "M"]}],
        ["magnitude", "phase"],
        r"2 components \(ImageType\)",
    ),
    "Dixon": (
        [{"ImageType": ["DERIVED", "PRIMARY", "DIXON", kind]} for kind in ("WATER", "FAT", "IN_PHASE", "OPP_PHASE")],
        ["fat", "in phase", "opposed phase", "water"],
        r"4 components \(ImageType\)",
    ),
    "echo and component": (
        [{"EchoTime": te, "ImageType": ["ORIGINAL", "PRIMARY", kind]} for te in (5, 10) for kind in ("M", "P")],
        [f"echo {n} (TE {te} ms), {kind}" for n, te in ((1, 5), (2, 10)) for kind in ("magnitude", "phase")],
        r"2 echo times \(EchoTime\) and 2 components \(ImageType\)",
    ),
    "inversion": ([{"InversionTime": 500}, {"InversionTime": 2500}], ["TI 500 ms", "TI 2500 ms"], "InversionTime"),
    "flip": ([{"FlipAngle": 5}, {"FlipAngle": 26}], ["flip angle 5 degrees", "flip angle 26 degrees"], "FlipAngle"),
    "two energies": ([{"KVP": 140, "Modality": "CT"}, {"KVP": 80, "Modality": "CT"}], ["80 kV", "140 kV"], "KVP"),
    "kernels": ([{"ConvolutionKernel": "B60f"}, {"ConvolutionKernel": "B30f"}], ["kernel B30f", "kernel B60f"], "ConvolutionKernel"),
    "b-values that only the sequence names": (
        [{"SequenceName": name} for name in ("*ep_b1000t", "*ep_b0")],
        ["sequence *ep_b0", "sequence *ep_b1000t"],
        r"2 sequences \(SequenceName\)",
    ),
    "perfusion": (
        # slices of one time point are taken one after the other, before those of the next
        [{"AcquisitionTime": lambda place, n=n: f"1200{10 * n + place:02d}.5"} for n in (1, 0)],
        ["time 1 of 2", "time 2 of 2"],
        r"2 time points \(AcquisitionTime\)",
    ),
    "dynamic PET": (
        [{"FrameReferenceTime": time, "Modality": "PT"} for time in ("90000", "15000")],
        ["time 1 of 2", "time 2 of 2"],
        "FrameReferenceTime",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_an_attribute_tells_apart(case: str, tmp_path: Path) -> None:
    """Each volume holds the images of one kind, in the order of the kinds, under a name for people; who takes one is told the attribute."""
    kinds, labels, reason = CASES[case]
    files = series(tmp_path, *kinds)
    found = parts(files)
    assert [part.part for part in found] == labels
    # image n at place p holds 100 n + p: every part holds one n, all places in order
    assert all([value % 100 for value in values] == [0, 1, 2] and len({value // 100 for value in values}) == 1 for values in held(found))
    assert sorted(values[0] // 100 for values in held(found)) == list(range(len(kinds)))
    for part in found:
        assert {header.SOPInstanceUID for header in part.headers} == {source.sop_instance_uid for source in part.subject.sources}
    with pytest.raises(FourDimensional, match=reason):
        subjects(Takes.VOLUME, "refuse", files, "1.2.3.4")


def test_parts_are_the_kinds_that_they_say(tmp_path: Path) -> None:
    """The echo of 30 ms is written first and comes last; its voxels are its own."""
    found = parts(series(tmp_path, {"EchoTime": 30}, {"EchoTime": 5}))
    assert {part.part: as_a(Volume, part.subject).voxels[0, 0, 0] for part in found} == {"echo 1 (TE 5 ms)": 100, "echo 2 (TE 30 ms)": 0}


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ([{}, {}], "no attribute tells them apart"),
        # numbers that go on from image to image explain nothing
        (
            [{"AcquisitionNumber": lambda p: 2 * p}, {"AcquisitionNumber": lambda p: 2 * p + 1}],
            "AcquisitionNumber, but not alike at every place",
        ),
        # a time point that begins before the last slices of the one before it
        (
            [{"AcquisitionTime": lambda p, n=n: f"12000{2 * p + n}"} for n in (0, 1)],
            "no attribute tells them apart",
        ),
        # one image does not say its echo time
        ([{"EchoTime": 5}, {}], "no attribute tells them apart"),
        # three images, of which two are alike
        ([{"EchoTime": 5}, {"EchoTime": 10}, {"EchoTime": 10}], "EchoTime, but not alike at every place"),
    ],
)
@pytest.mark.parametrize("how", ["refuse", "each"])
def test_nothing_is_guessed(kinds: list[dict[str, Any]], said: str, how: Parts, tmp_path: Path) -> None:
    """What no attribute explains is refused, also where parts are taken."""
    with pytest.raises(FourDimensional, match=said):
        subjects(Takes.VOLUME, how, series(tmp_path, *kinds), "1.2.3.4")


@pytest.mark.parametrize("how", ["refuse", "each"])
def test_a_time_point_that_lacks_a_slice_is_refused(how: Parts, tmp_path: Path) -> None:
    """Its volume would be shorter than the others without a word."""
    files = series(tmp_path, {"TemporalPositionIdentifier": 1}, {"TemporalPositionIdentifier": 2}, shuffled=False)
    with pytest.raises(DuplicatePosition, match="TemporalPositionIdentifier, but 1 to 2 images lie at a place"):
        subjects(Takes.VOLUME, how, files[:-1], "1.2.3.4")


def test_a_series_of_one_volume_has_no_parts(tmp_path: Path) -> None:
    """All of it, under no name."""
    (only,) = parts(series(tmp_path, {"EchoTime": 5}))
    assert only.part == ""
    assert len(only.headers) == PLACES


def test_parts_that_would_fill_the_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a pixel is read."""
    monkeypatch.setattr("inference.imaging.subjects.MOST_BYTES", 100)
    with pytest.raises(TooLarge, match="2 volumes of 3 slices"):
        parts(series(tmp_path, {"EchoTime": 5}, {"EchoTime": 10}))


def test_names_too_long_are_numbered(tmp_path: Path) -> None:
    """A series description has 64 characters for everything."""
    found = parts(series(tmp_path, {"ConvolutionKernel": "a" * 16}, {"ConvolutionKernel": "b" * 60}))
    assert [part.part for part in found] == ["part 1 of 2", "part 2 of 2"]


class TestEnhanced:
    """Frames of multi-frame instances, by their functional groups."""

    def grouped(self, count: int = 2) -> Dataset:
        """`count` frames at each of three places."""
        frames = np.stack([np.full((3, 4), 100 * n + place, dtype="u2") for place in range(PLACES) for n in range(count)])
        positions = np.array([[0.0, 0.0, place] for place in range(PLACES) for n in range(count)])
        return enhanced(frames, positions)

    @pytest.mark.parametrize(
        ("sequence", "keyword", "values", "labels"),
        [
            ("MRDiffusionSequence", "DiffusionBValue", (0.0, 800.0), ["b 0 s/mm2", "b 800 s/mm2"]),
            ("MREchoSequence", "EffectiveEchoTime", (10.0, 20.0), ["echo 1 (TE 10 ms)", "echo 2 (TE 20 ms)"]),
            ("FrameContentSequence", "TemporalPositionIndex", (1, 2), ["time 1 of 2", "time 2 of 2"]),
            ("FrameContentSequence", "StackID", ("A", "B"), ["stack 1 of 2", "stack 2 of 2"]),
            ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", (0.0, 55.0), ["heart phase 1 of 2", "heart phase 2 of 2"]),
            ("MRImageFrameTypeSequence", "ComplexImageComponent", ("MAGNITUDE", "PHASE"), ["magnitude", "phase"]),
            ("CTXRayDetailsSequence", "KVP", (80, 140), ["80 kV", "140 kV"]),
        ],
    )
    def test_groups_tell_frames_apart(
        self, sequence: str, keyword: str, values: tuple[Any, Any], labels: list[str], tmp_path: Path
    ) -> None:
        """One instance, several volumes; each source knows its frame, and all share one header."""
        dataset = self.grouped()
        for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            item = Dataset()
            setattr(item, keyword, values[number % 2])
            setattr(group, sequence, [item])
        found = parts([save(dataset, tmp_path / "e.dcm")])
        assert [part.part for part in found] == labels
        assert held(found) == [[0, 1, 2], [100, 101, 102]]
        assert [[source.frame for source in part.subject.sources] for part in found] == [[1, 3, 5], [2, 4, 6]]
        assert all(len(part.headers) == 1 for part in found)

    def test_a_dimension_that_hilum_has_never_heard_of(self, tmp_path: Path) -> None:
        """The instance names its dimensions itself (PS3.3 C.7.6.17): the values of contrast are no b-values, and tell frames apart."""
        dataset = self.grouped()
        pointers = []
        for pointer in (0x00209057, 0x00189344):  # InStackPositionNumber, ContrastBolusAgentPhase
            pointers.append(Dataset())
            pointers[-1].DimensionIndexPointer = pointer
        dataset.DimensionIndexSequence = pointers
        for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            content = Dataset()
            content.DimensionIndexValues = [number // 2 + 1, number % 2 + 1]
            group.FrameContentSequence = [content]
        found = parts([save(dataset, tmp_path / "e.dcm")])
        assert held(found) == [[0, 1, 2], [100, 101, 102]]
        with pytest.raises(FourDimensional, match="ContrastBolusAgentPhase"):
            subjects(Takes.VOLUME, "refuse", [tmp_path / "e.dcm"])

    def test_a_dimension_counts_where_what_it_counts_drifts_from_slice_to_slice(self, tmp_path: Path) -> None:
        """Inversion times as they were reached are others at each place; the instance's own dimension has the same two indices at each."""
        dataset, pointer = self.grouped(), Dataset()
        pointer.DimensionIndexPointer = 0x00189079
        dataset.DimensionIndexSequence = [pointer]
        for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            content, modifier = Dataset(), Dataset()
            content.DimensionIndexValues, modifier.InversionTimes = [number % 2 + 1], [200.0 + 700 * (number % 2) + 3 * (number // 2)]
            group.FrameContentSequence, group.MRModifierSequence = [content], [modifier]
        assert held(parts([save(dataset, tmp_path / "e.dcm")])) == [[0, 1, 2], [100, 101, 102]]

    def test_a_concatenation_is_whole_or_refused(self, tmp_path: Path) -> None:
        """Three instances of one multi-frame image: the frames of all are one volume, and no member may be missing."""
        paths = []
        for part in range(3):
            dataset = enhanced(np.full((2, 3, 4), part, "u2"), np.array([[0.0, 0, 2 * part], [0.0, 0, 2 * part + 1]]))
            dataset.SOPInstanceUID, dataset.ConcatenationUID = f"1.9.{part}", "1.9"
            dataset.InConcatenationNumber, dataset.InConcatenationTotalNumber = part + 1, 3
            paths.append(save(dataset, tmp_path / f"{part}.dcm"))
        volume = assemble(paths)
        assert volume.voxels[:, 0, 0].tolist() == [0, 0, 1, 1, 2, 2]
        assert [(source.sop_instance_uid, source.frame) for source in volume.sources][2:4] == [("1.9.1", 1), ("1.9.1", 2)]
        with pytest.raises(IncompleteConcatenation, match=r"2 of the 3 instances of concatenation 1\.9"):
            assemble(paths[1:])


class TestTomograms:
    """Nuclear medicine: the place of the first slice, and a signed step."""

    def tomogram(self, count: int = 4, **attributes: Any) -> Dataset:
        """Slice n holds the value n everywhere; the first lies at z = 100 mm."""
        dataset = one_instance(
            np.zeros((3, 4), "u2"),
            Modality="NM",
            SOPClassUID=NuclearMedicineImageStorage,
            ImagePositionPatient=None,
            ImageOrientationPatient=None,
            ImageType=["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"],
            NumberOfFrames=count,
            SpacingBetweenSlices="4.4",
        )
        detector = Dataset()
        detector.ImagePositionPatient, detector.ImageOrientationPatient = [-10, -20, 100], [1, 0, 0, 0, 1, 0]
        dataset.DetectorInformationSequence = [detector]
        dataset.SliceVector = list(range(1, count + 1))
        dataset.PixelData = np.stack([np.full((3, 4), n, "u2") for n in range(count)]).tobytes()
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value) if value is not None else delattr(dataset, keyword)
        return dataset

    @pytest.mark.parametrize(("step", "values", "lowest"), [("4.4", [0, 1, 2, 3], 100.0), ("-4.4", [3, 2, 1, 0], 100 - 3 * 4.4)])
    def test_slices_follow_the_sign(self, step: str, values: list[int], lowest: float, tmp_path: Path) -> None:
        """Behind the first slice or in front of it (PS3.3 C.8.4.15): upside down otherwise."""
        volume = assemble([save(self.tomogram(SpacingBetweenSlices=step), tmp_path / "x")])
        assert volume.voxels[:, 0, 0].tolist() == values
        assert volume.affine[:3, 3] == pytest.approx([-10, -20, lowest])
        assert [source.frame for source in volume.sources] == [value + 1 for value in values]

    def test_the_vector_says_which_slice_a_frame_is(self, tmp_path: Path) -> None:
        """Frames may be stored from the last slice to the first."""
        volume = assemble([save(self.tomogram(SliceVector=[4, 3, 2, 1]), tmp_path / "x")])
        assert volume.voxels[:, 0, 0].tolist() == [3, 2, 1, 0]

    def test_a_gated_tomogram_has_a_volume_for_each_slot(self, tmp_path: Path) -> None:
        """TimeSlotVector tells the phases of the heart apart."""
        kind = ["ORIGINAL", "PRIMARY", "RECON GATED TOMO", "EMISSION"]
        dataset = self.tomogram(6, ImageType=kind, SliceVector=[1, 2, 3, 1, 2, 3], TimeSlotVector=[1, 1, 1, 2, 2, 2])
        found = parts([save(dataset, tmp_path / "x")])
        assert [part.part for part in found] == ["heart phase 1 of 2", "heart phase 2 of 2"]
        assert held(found) == [[0, 1, 2], [3, 4, 5]]

    @pytest.mark.parametrize(
        ("attributes", "error", "said"),
        [
            ({"SpacingBetweenSlices": None}, MissingAttribute, "SpacingBetweenSlices is absent"),
            ({"SliceVector": [1, 2, 3]}, MissingAttribute, "SliceVector"),
            ({"DetectorInformationSequence": None}, NotAVolume, "without position"),
            ({"ImageType": ["ORIGINAL", "PRIMARY", "WHOLE BODY", "EMISSION"]}, NotAVolume, "without position"),
            ({"ImageType": ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]}, NotAVolume, "without position"),
        ],
    )
    def test_what_has_no_place_gets_none(self, attributes: dict[str, Any], error: type[InputError], said: str, tmp_path: Path) -> None:
        """Projections and whole bodies are no slices, and a step is never taken from the slice thickness."""
        with pytest.raises(error, match=said):
            assemble([save(self.tomogram(**attributes), tmp_path / "x")])


class TestPairs:
    """A series and its prior."""

    def two(self, folder: Path, **other: Any) -> list[Path]:
        """The prior holds 100 more than the current one."""
        return series(
            folder,
            {"SeriesInstanceUID": "1.2.3.4"},
            {"SeriesInstanceUID": "1.2.3.9", "StudyInstanceUID": "1.2.9", "FrameOfReferenceUID": "1.5", **other},
        )

    def test_series_are_told_apart_by_their_uid(self, tmp_path: Path) -> None:
        """The job's series is the current one; the headers of both go along."""
        (made,) = subjects(Takes.PAIR, "refuse", self.two(tmp_path), "1.2.3.4")
        pair = made.subject
        assert isinstance(pair, VolumeSet)
        assert (pair.reference.voxels[0, 0, 0], pair["prior"].voxels[0, 0, 0]) == (0, 100)
        assert (pair["prior"].study_instance_uid, pair["prior"].frame_of_reference_uid) == ("1.2.9", "1.5")
        assert len(made.headers) == 2 * PLACES
        (turned,) = subjects(Takes.PAIR, "refuse", self.two(tmp_path), "1.2.3.9")
        assert as_a(VolumeSet, turned.subject).reference.voxels[0, 0, 0] == 100

    def test_what_is_no_pair(self, tmp_path: Path) -> None:
        """One series, or another than the job's."""
        files = self.two(tmp_path)
        with pytest.raises(NotAPair, match=r"2 series, where series 1\.7"):
            subjects(Takes.PAIR, "refuse", files, "1.7")
        with pytest.raises(NotAPair, match="1 series"):
            subjects(Takes.PAIR, "refuse", series(tmp_path, {}), "1.2.3.4")

    def test_localizers_of_either_are_left_out_and_said(self, tmp_path: Path) -> None:
        """Neither the sources nor the headers know them."""
        scout = one_instance(
            np.zeros((9, 9), "u2"), 77, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], ImageOrientationPatient=[0, 1, 0, 0, 0, -1]
        )
        (made,) = subjects(Takes.PAIR, "refuse", [*self.two(tmp_path), save(scout, tmp_path / "scout")], "1.2.3.4")
        assert len(made.headers) == 2 * PLACES
        assert made.remarks == ("1 of 7 instances are localizers and were not looked at.",)


class TestRealSeries:
    """Published series, read by hand beside."""

    @pytest.mark.slow
    def test_twenty_time_points(self, real: Callable[[str], list[Path]]) -> None:
        """Result case 7: BOLD of one head, 20 enhanced instances; refused with the attribute, or split as the instances are."""
        files = real("dicom/mr_enhanced_xa30_BOLD4D.zip")
        with pytest.raises(FourDimensional, match=r"20 images at each of 33 positions.*20 time points \(TemporalPositionIndex\)"):
            assemble(files)
        found = parts(random.Random(1).sample(files, len(files)))
        assert [part.part for part in found] == [f"time {n} of 20" for n in range(1, 21)]
        for part in (found[0], found[9], found[19]):
            (header,) = part.headers
            theirs = next(dataset for dataset in map(dcmread, files) if dataset.SOPInstanceUID == header.SOPInstanceUID)
            content = theirs.PerFrameFunctionalGroupsSequence[0].FrameContentSequence[0]
            assert part.part == f"time {content.TemporalPositionIndex} of 20"
            stored = theirs.pixel_array[[int(source.frame or 0) - 1 for source in part.subject.sources]]
            np.testing.assert_array_equal(as_a(Volume, part.subject).voxels, stored)

    @pytest.mark.parametrize("how", ["refuse", "each"])
    @pytest.mark.parametrize(
        ("name", "error"),
        [
            ("dicom/bad_geometry/sliceorientation_001.zip", MixedOrientation),
            ("dicom/bad_geometry/sliceincrement_001.zip", InputError),
        ],
    )
    def test_bad_geometry_stays_refused_with_parts(
        self, real: Callable[[str], list[Path]], name: str, error: type[InputError], how: Parts
    ) -> None:
        """Taking parts is no way around geometry."""
        with pytest.raises(error):
            subjects(Takes.VOLUME, how, real(name))

    def test_two_spaces_stay_refused_with_parts(self, tmp_path: Path) -> None:
        """Result case 9: two frames of reference in one series are refused, even where an echo time would tell the images apart: their
        positions have nothing to do with each other."""
        files = series(tmp_path, {"EchoTime": 5}, {"EchoTime": 10, "FrameOfReferenceUID": "1.5"})
        for how in ("refuse", "each"):
            with pytest.raises(MixedFrameOfReference, match="2 frames of reference in one series"):
                subjects(Takes.VOLUME, how, files)
