"""The gate: what it says of headers is what becomes of the images, and what no header tells is said to be unknown."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedCTImageStorage

from inference.applications.accept import check
from inference.applications.port import Accepts, Application
from inference.errors import InputError
from inference.imaging.geometry import Plane, SeriesGeometry, series_geometry
from inference.imaging.judge.expects import BodyPart, Contrast, Expects
from inference.imaging.judge.judging import Judge
from inference.imaging.subjects import subjects
from inference.imaging.write_series import write_series
from node.dicom.header import read_header
from node.domain.instance import Header, Value
from node.routing import layout
from node.routing.decisions import SeriesView, seen
from node.routing.gate import TELLING, Fit, Gate, answer, not_applicable
from tests.unit.flow.mini import APPLICATION

HEADS = replace(
    APPLICATION,
    name="heads",
    accepts=Accepts(modality=("MR",), min_slices=8, max_spacing_mm=4, min_apart_mm=1.5, min_extent_mm=30, orientation="axial"),
    expects=Expects(part=BodyPart.HEAD, contrast=Contrast.T1),
)

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
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
        ({"slices": 31, "step_mm": 1}, "slices are 1 mm apart, at least 1.5 mm are needed"),
        ({"slices": 9}, "at least 30 mm are needed in every direction"),
        ({"EchoTime": "90"}, "the echo time is 90 ms"),
        ({"PatientName": "ACR Phantom"}, "a test object was imaged"),
    ],
    ids=["fits", "modality", "slices", "spacing", "apart", "extent", "contrast", "phantom"],
)
def test_what_headers_say_is_what_becomes_of_the_images(made: Mapping[str, object], words: str, tmp_path: Path) -> None:
    """Each bound of the manifest is met by a real file of its own, and both refuse for the same reason, or neither does."""
    files = _series(tmp_path, **made)  # type: ignore[arg-type]
    said, refused = answer(HEADS, _view(files)), _refused(HEADS, files)
    assert (said.fit is Fit.TAKES, not refused) == (not words, not words)
    assert words in said.text
    assert words in refused


@pytest.mark.parametrize(
    ("agent", "given"), [("", False), ("NONE", False), ("ohne KM", False), ("n/a", False), ("Ultravist 300", True), ("Iomeron i.v.", True)]
)
def test_contrast_medium_is_no_native_image(agent: str, given: bool, tmp_path: Path) -> None:
    """An agent that headers name excludes the series, before and after; a word that none was given, or that says nothing, does not."""
    plain = replace(HEADS, expects=Expects(part=BodyPart.HEAD, native=True))
    files = _series(tmp_path, ContrastBolusAgent=agent)
    said, refused = answer(plain, _view(files)), _refused(plain, files)
    words = f"ContrastBolusAgent is «{agent}»: contrast medium was given"
    assert (said.fit is Fit.REFUSES, bool(refused)) == (given, given)
    assert (words in said.text, words in refused) == (given, given)
    assert answer(HEADS, _view(files)).fit is Fit.TAKES


def test_contrast_medium_that_is_coded_alone_is_no_native_image(tmp_path: Path) -> None:
    """Of an agent that stands as a code, without its name, the headers say as much."""
    plain = replace(HEADS, expects=Expects(part=BodyPart.HEAD, native=True))
    files = _series(tmp_path)
    for path in files:
        dataset = dcmread(path)
        agent = Dataset()
        agent.CodeValue, agent.CodingSchemeDesignator, agent.CodeMeaning = "109219005", "SCT", "Iodinated contrast agent"
        dataset.ContrastBolusAgentSequence = [agent]
        dataset.save_as(path)
    said, refused = answer(plain, _view(files)), _refused(plain, files)
    words = "ContrastBolusAgentSequence has «109219005»: contrast medium was given"
    assert (said.fit, words in said.text, words in refused) == (Fit.REFUSES, True, True)


def test_a_slice_that_is_missing_is_told_and_no_fault_of_the_application(tmp_path: Path) -> None:
    """The series is refused as what it is: somebody must be told, so that it is not called not applicable."""
    files = _series(tmp_path)
    del files[7]
    said = answer(HEADS, _view(files))
    assert (said.fit, said.exclusion, "is missing" in said.text) == (Fit.REFUSES, "", True)
    assert "is missing" in _refused(HEADS, files)


@pytest.mark.parametrize(
    ("odd", "fit"),
    [
        ({"InversionTime": "2500"}, Fit.OPEN),
        ({"SliceThickness": "9"}, Fit.OPEN),
        ({"RescaleType": "US"}, Fit.OPEN),
        ({"EchoTime": "0", "SliceThickness": "0", "RescaleType": "HU", "ImageType": "DERIVED\\PRIMARY"}, Fit.TAKES),
    ],
    ids=["inversion time", "thickness", "type of rescale", "nothing"],
)
def test_whether_slices_are_of_one_kind_is_left_open_where_they_may_not_be(odd: Mapping[str, str], fit: Fit, tmp_path: Path) -> None:
    """What is said of headers is what becomes of the images: one of another kind between the rest, or one that says less, or is a copy."""
    files = _series(tmp_path, RescaleType="HU", ImageType="ORIGINAL\\PRIMARY", InversionTime="900")
    one = dcmread(files[8])
    for keyword, value in odd.items():
        setattr(one, keyword, value)
    one.save_as(files[8])
    said, refused = answer(HEADS, _view(files)), _refused(HEADS, files)
    assert (said.fit, "differ in" in refused) == (fit, fit is Fit.OPEN)


@pytest.mark.parametrize(
    ("said", "odd", "fit", "why"),
    [
        ({"RescaleSlope": "1", "RescaleIntercept": "-1024"}, {"RescaleIntercept": "0"}, Fit.OPEN, "differ in RescaleIntercept"),
        ({"RescaleSlope": "1", "RescaleIntercept": "-1024"}, {"RescaleSlope": None}, Fit.REFUSES, "has RescaleIntercept"),
        ({"RescaleSlope": "1", "RescaleIntercept": "-1024"}, {"RescaleIntercept": ""}, Fit.REFUSES, "has RescaleSlope"),
        ({"RescaleSlope": "1", "RescaleIntercept": "-1024"}, {"RescaleSlope": "", "RescaleIntercept": ""}, Fit.OPEN, "RescaleSlope"),
        ({"RescaleSlope": None, "RescaleIntercept": None}, {}, Fit.OPEN, "RescaleSlope and RescaleIntercept are absent"),
        ({"RescaleSlope": "", "RescaleIntercept": ""}, {}, Fit.OPEN, "RescaleSlope and RescaleIntercept are absent"),
    ],
    ids=["one intercept", "one alone", "one empty", "both empty in one", "none", "both empty"],
)
def test_ct_that_is_not_in_hu_is_told_by_headers(
    said: Mapping[str, str | None], odd: Mapping[str, str | None], fit: Fit, why: str, tmp_path: Path
) -> None:
    """A slice that was written anew without its intercept; one of the two alone; neither, which signed values may do without. What is
    there and empty, as de-identification leaves it, is absent."""
    files = _series(tmp_path, modality="CT")
    for number, file in enumerate(files):
        one = dcmread(file)
        for keyword, value in {**said, **(odd if number == 8 else {})}.items():
            if value is None and keyword in one:
                delattr(one, keyword)
            elif value is not None:
                setattr(one, keyword, value)
        one.save_as(file)
    heads = replace(HEADS, accepts=replace(HEADS.accepts, modality=("CT",)), expects=Expects(part=BodyPart.HEAD))
    assert answer(heads, _view(files)).fit is fit
    assert why in _refused(heads, files)


@pytest.mark.parametrize(
    ("said", "fit", "why"),
    [
        ({"SeriesDescription": "MonoE 40 keV"}, Fit.REFUSES, "computed for one energy, 40 keV"),
        ({"SeriesDescription": "70keV"}, Fit.TAKES, ""),
        ({"ImageType": "DERIVED\\PRIMARY\\AXIAL\\VMI"}, Fit.OPEN, ""),
        ({"SeriesDescription": "Kopf VNC"}, Fit.REFUSES, "not native"),
        ({"SeriesDescription": "头颅虚拟平扫", "SpecificCharacterSet": "ISO_IR 192"}, Fit.REFUSES, "not native"),
        ({"SeriesDescription": "单能量 40 keV", "SpecificCharacterSet": "ISO_IR 192"}, Fit.REFUSES, "computed for one energy, 40 keV"),
        ({"SeriesDescription": "Knochensubtraktion", "ImageType": "DERIVED\\SECONDARY"}, Fit.REFUSES, "computed from others"),
        ({"derivation": "113078"}, Fit.REFUSES, "DerivationCodeSequence has 113078"),
        ({"energy": 40.0}, Fit.REFUSES, "computed for one energy, 40 keV"),
        ({"energy": 70.0}, Fit.TAKES, ""),
        ({"energy": 0.0}, Fit.TAKES, ""),
        ({"ImageType": "DERIVED\\PRIMARY\\AXIAL\\VMI", "energy": 70.0}, Fit.TAKES, ""),
    ],
)
def test_ct_of_another_meaning_is_told_by_headers(said: Mapping[str, str], fit: Fit, why: str, tmp_path: Path) -> None:
    """As it is when images are read; where an energy is said and not which, it is left open."""
    files = _series(tmp_path, modality="CT")
    for file in files:
        one = dcmread(file)
        for keyword, value in said.items():
            if keyword == "derivation":
                code = Dataset()
                code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", "Maximum intensity projection"
                one.DerivationCodeSequence = [code]
            elif keyword == "energy":
                characteristics = Dataset()
                characteristics.MonoenergeticEnergyEquivalent = value
                one.MultienergyCTCharacteristicsSequence = [characteristics]
            else:
                setattr(one, keyword, value)
        one.save_as(file)
    heads = replace(HEADS, accepts=replace(HEADS.accepts, modality=("CT",)), expects=Expects(part=BodyPart.HEAD, native=True))
    told = answer(heads, _view(files))
    assert told.fit is fit
    assert why in told.text
    assert why in _refused(heads, files)


@pytest.mark.parametrize(
    ("energies", "fit", "why"),
    [
        ((40.0,), Fit.REFUSES, "computed for one energy, 40 keV"),
        ((70.0, 40.0), Fit.REFUSES, "computed for one energy, 40 keV"),
        ((None, 40.0), Fit.REFUSES, "computed for one energy, 40 keV"),
        ((70.0, 65.0), Fit.TAKES, ""),
        ((None,), Fit.TAKES, ""),
    ],
)
def test_frames_of_several_energies_are_told_by_headers(energies: Sequence[float | None], fit: Fit, why: str, tmp_path: Path) -> None:
    """One multi-frame image, whose frames differ in their energies: one of another than the usual ones decides, as when it is read."""
    file = _in_one(_series(tmp_path, modality="CT"), energies)
    heads = replace(HEADS, accepts=replace(HEADS.accepts, modality=("CT",)), expects=Expects(part=BodyPart.HEAD))
    told = answer(heads, _view([file]))
    assert (told.fit, told.text) == (fit, told.text if why else "")
    assert why in told.text
    assert why in _refused(heads, [file])
    assert bool(why) is bool(_refused(heads, [file]))


def _in_one(files: Sequence[Path], energies: Sequence[float | None]) -> Path:
    """The slices as frames of one Enhanced CT image, of these energies in turn."""
    slices = [dcmread(file) for file in files]
    one = dcmread(files[0])
    shared, orientation, measures, values = Dataset(), Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = one.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = one.PixelSpacing, one.SliceThickness
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = one.RescaleSlope, one.RescaleIntercept, "HU"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    shared.PixelValueTransformationSequence = [values]
    one.SharedFunctionalGroupsSequence, one.PerFrameFunctionalGroupsSequence = [shared], []
    for number, each in enumerate(slices):
        frame, place = Dataset(), Dataset()
        place.ImagePositionPatient = each.ImagePositionPatient
        frame.PlanePositionSequence = [place]
        if (kev := energies[number % len(energies)]) is not None:
            characteristics = Dataset()
            characteristics.MonoenergeticEnergyEquivalent = kev
            frame.MultienergyCTCharacteristicsSequence = [characteristics]
        one.PerFrameFunctionalGroupsSequence.append(frame)
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SliceThickness",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        delattr(one, keyword)
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    one.NumberOfFrames, one.PixelData = len(slices), b"".join(each.PixelData for each in slices)
    one.save_as(files[0])
    return files[0]


def test_a_scout_with_one_rescale_value_is_no_reason_against_its_series(tmp_path: Path) -> None:
    """Neither in headers nor when images are read: it is left out there."""
    files = _series(tmp_path, modality="CT", RescaleSlope="1", RescaleIntercept="-1024")
    scout = dcmread(files[0])
    scout.SOPInstanceUID += ".9"
    scout.file_meta.MediaStorageSOPInstanceUID = scout.SOPInstanceUID
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    del scout.RescaleIntercept
    scout.save_as(tmp_path / "scout.dcm")
    heads = replace(HEADS, accepts=replace(HEADS.accepts, modality=("CT",)), expects=Expects(part=BodyPart.HEAD))
    files.append(tmp_path / "scout.dcm")
    assert (answer(heads, _view(files)).fit, _refused(heads, files)) == (Fit.TAKES, "")


@pytest.mark.parametrize(("thick", "fit"), [((3, 4, 5), Fit.TAKES), ((13, 14, 15), Fit.TAKES), ((3, 7, 11), Fit.OPEN)])
def test_kinds_that_lie_in_blocks_are_told_by_headers(thick: Sequence[int], fit: Fit, tmp_path: Path) -> None:
    """Thicker slices over the base of a skull, behind which the others go on, and at an end; one here and there stays open, and is
    refused."""
    files = _series(tmp_path)
    for number in thick:
        one = dcmread(files[number])
        one.SliceThickness = "9"
        one.save_as(files[number])
    said, refused = answer(HEADS, _view(files)), _refused(HEADS, files)
    assert (said.fit, "differ in SliceThickness" in refused) == (fit, fit is Fit.OPEN)


@pytest.mark.parametrize(
    ("part", "study", "fit"),
    [
        ("HEAD", "CT Head native", Fit.TAKES),
        ("HEAD", "CT HEAD AND CHEST", Fit.OPEN),
        ("HEAD", "", Fit.OPEN),
        ("NECK", "CT Head", Fit.OPEN),
        ("", "Head", Fit.OPEN),
    ],
)
def test_what_is_looked_for_of_a_part_is_open_unless_headers_name_it_twice(part: str, study: str, fit: Fit, tmp_path: Path) -> None:
    """What is typed as the part, and what was ordered."""
    application = replace(HEADS, expects=Expects(part=BodyPart.HEAD, shown="the inside of a skull"))
    said = answer(application, _view(_series(tmp_path, BodyPartExamined=part, StudyDescription=study, SeriesDescription="")))
    assert said.fit is fit
    assert ("whether they show the inside of a skull is seen in the pixels" in said.text) == (fit is Fit.OPEN)


def test_what_pixels_decide_is_said_to_be_unknown(tmp_path: Path) -> None:
    """A body part is typed, and one in seven wrong: it may still be refused, and is run."""
    files = _series(tmp_path, BodyPartExamined="KNEE")
    said = answer(HEADS, _view(files))
    assert said.fit is Fit.OPEN
    assert said.text == "may still be refused: BodyPartExamined is KNEE, not head; the pixels decide"
    assert not _refused(HEADS, files)


def test_another_part_that_two_headers_name_is_refused_before_and_after(tmp_path: Path) -> None:
    """By the same words when the files are read; parked, so that the reader is told."""
    files = _series(tmp_path, BodyPartExamined="KNEE", StudyDescription="MR right knee")
    said = answer(HEADS, _view(files))
    assert (said.fit, said.exclusion) == (Fit.REFUSES, "")
    assert said.text == "BodyPartExamined is KNEE, and StudyDescription says so too: that is not the head"
    assert said.text in _refused(HEADS, files)


def test_a_header_without_images_leaves_open_what_only_images_say() -> None:
    """A case of `hilum routes test` says no positions: nothing is refused for them, and nothing promised."""
    made = SeriesView(series_instance_uid="1", header={"Modality": ("MR",), "EchoTime": (3.0,)}, instances=1, images=1, counted=False)
    assert answer(HEADS, made).fit is Fit.OPEN
    assert answer(HEADS, replace(made, images=4, counted=True)).text == "4 slices, at least 8 are needed"
    assert answer(HEADS, replace(made, header={"Modality": ("CT",)})).text == "modality is CT, not MR"


def _images(**of_each: tuple[Value, ...]) -> list[tuple[str, Header]]:
    """16 headers of MR images at their places."""
    shared: dict[str, tuple[Value, ...]] = {
        "SOPClassUID": (MR_IMAGE,),
        "StudyInstanceUID": ("1",),
        "SeriesInstanceUID": ("1.1",),
        "FrameOfReferenceUID": ("1.2",),
        "Modality": ("MR",),
        "EchoTime": (3.0,),
        "BodyPartExamined": ("HEAD",),
        "SliceThickness": (3.0,),
        "Rows": (32,),
        "Columns": (32,),
        "PixelSpacing": (2.0, 2.0),
        "ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    }
    return [
        (MR_IMAGE, {**shared, "SOPInstanceUID": (f"1.1.{n}",), "ImagePositionPatient": (0.0, 0.0, 3.0 * n), **of_each}) for n in range(16)
    ]


def test_what_a_header_says_of_frames_takes_no_memory() -> None:
    """One element of one image: two thousand million planes would end the node."""
    images = _images()
    images[3] = MR_IMAGE, {**images[3][1], "NumberOfFrames": (2_000_000_000,)}
    assert "more frames than is looked at" in answer(HEADS, seen("1.1", images)).text


def test_what_many_headers_say_of_frames_takes_no_memory() -> None:
    """Neither together."""
    assert "more frames than is looked at" in answer(HEADS, seen("1.1", _images(NumberOfFrames=(2000,)))).text


def test_a_localizer_says_nothing_of_how_the_slices_are_weighted() -> None:
    """It is left out when they are read."""
    images = _images()
    images.append((MR_IMAGE, {**images[0][1], "SOPInstanceUID": ("1.1.99",), "ImageType": ("ORIGINAL", "LOCALIZER"), "EchoTime": (80.0,)}))
    assert not not_applicable(HEADS, seen("1.1", images))
    localizers = [(uid, {**header, "ImageType": ("LOCALIZER",), "EchoTime": (80.0,)}) for uid, header in _images()]
    assert "the echo time is 80 ms, on T1 at most 40 ms, in 16 of 16 images" in not_applicable(HEADS, seen("1.1", localizers))


def test_how_slices_lie_is_not_worked_out_where_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A route asks of each of its series whether it is for its applications at all: of a thousand slices that was 35 ms each time."""
    worked: list[int] = []

    def counting(planes: Sequence[Plane]) -> SeriesGeometry:
        worked.append(len(planes))
        return series_geometry(planes)

    monkeypatch.setattr(layout, "series_geometry", counting)
    view, gate = seen("1.1", _images()), Gate()
    assert not not_applicable(HEADS, view)
    assert not worked
    assert [gate.answer(HEADS, view).fit for _ in range(3)] == [Fit.TAKES] * 3
    assert worked == [16]


def test_a_class_that_only_the_meta_information_names_is_known() -> None:
    """Reading takes it from there."""
    images = [(uid, {keyword: value for keyword, value in header.items() if keyword != "SOPClassUID"}) for uid, header in _images()]
    classic = replace(HEADS, accepts=replace(HEADS.accepts, sop_classes=(MR_IMAGE,)))
    assert answer(classic, seen("1.1", images)).fit is Fit.TAKES


def test_the_first_image_that_names_no_modality_excludes_nothing(tmp_path: Path) -> None:
    """The others name it, to the gate and when they are read."""
    files = _series(tmp_path)
    first = dcmread(files[0])
    del first.Modality
    first.save_as(files[0])
    assert answer(HEADS, _view(files)).fit is Fit.OPEN
    assert not not_applicable(HEADS, _view(files))
    assert "modality" not in _refused(HEADS, files)


def test_where_a_tomogram_lies_is_left_open() -> None:
    """Its place stands in the items of its detectors, of which no header keeps anything."""
    nuclear = "1.2.840.10008.5.1.4.1.1.20"
    header: Header = {
        "SOPClassUID": (nuclear,),
        "Modality": ("NM",),
        "ImageType": ("ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"),
        "NumberOfFrames": (40,),
        "Rows": (64,),
        "Columns": (64,),
        "PixelSpacing": (4.0, 4.0),
        "SliceThickness": (4.0,),
    }
    tomograms = replace(APPLICATION, accepts=Accepts(modality=("NM",), min_slices=8), expects=Expects())
    said = answer(tomograms, seen("1.1", [(nuclear, header)]))
    assert (said.fit, "is not said" in said.text) == (Fit.OPEN, True)


def test_patients_of_two_issuers_are_two() -> None:
    """Replaying keeps what any answer looks at, and nothing else, of a header."""
    images = _images(PatientID=("7",))
    images[5] = MR_IMAGE, {**images[5][1], "IssuerOfPatientID": ("another house",)}
    looked_at = TELLING | {"PatientID"}
    kept = [(uid, {keyword: value for keyword, value in header.items() if keyword in looked_at}) for uid, header in images]
    assert "its images name 2 patients" in answer(HEADS, seen("1.1", kept)).text
