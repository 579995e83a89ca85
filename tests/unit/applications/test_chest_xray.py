"""chest-xray: how a radiograph becomes 224 × 224 pixels, what is refused, and what a model's numbers become in findings and report."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference import codes
from inference.applications.accept import check
from inference.applications.catalog import load
from inference.applications.chest_xray.application import MODEL, NotAChest, NotFrontal, analyse, explain
from inference.applications.chest_xray.explaining import laid_back, occlusion
from inference.applications.chest_xray.preparing import SIDE, NotARadiograph, prepare
from inference.applications.declared import check_outputs
from inference.applications.errors import NotAccepted
from inference.applications.port import ModelRef, Tensors
from inference.engines.port import Call
from inference.findings import Findings
from inference.imaging.subject import Image, Images, Takes
from inference.imaging.subjects import subjects
from node.dicom.header import read_header
from node.domain.profile import EXPLANATIONS, Kind, Profile
from node.results.check import check as check_objects
from node.results.encode import encode
from node.results.port import Encoded, Encoding, MapDiffers, ReferencesDiffer, ResultMalformed
from node.results.sources import Sources, read_sources
from node.routing.decisions import seen
from node.routing.gate import Fit
from node.routing.gate import answer as asked
from tests.results import images as dicom
from tests.results import made
from tests.results.reports import comments, groups, named, number, read, referenced, value

LOW, HIGH = 0.25, 0.75


class Says:
    """A model that answers with these probabilities, one after the other, and the band from 0.25 to 0.75."""

    def __init__(self, *probabilities: float) -> None:
        self._left = list(probabilities)

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        (image,) = tensors.values()
        assert image.shape == (1, 1, SIDE, SIDE)
        assert image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1
        return {"OUTPUT__0": np.array([[LOW, HIGH, self._left.pop(0)]], dtype=np.float32)}

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None


class Seeks:
    """A classifier made by hand, that finds what is bright: every cell of 7 × 7 adds its light to the log odds."""

    def __init__(self, *, cells: bool = True) -> None:
        self._cells = cells
        self.batches: list[int] = []

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        seen = tensors["INPUT__0"]
        self.batches.append(len(seen))
        parts = (np.clip(seen[:, 0] - 0.6, 0, None) / 128).reshape(-1, 7, 32, 7, 32).sum(axis=(2, 4)).astype(np.float32)
        probability = 1 / (1 + np.exp(1 - parts.sum(axis=(1, 2), dtype=np.float64)))
        ends = np.repeat([[LOW, HIGH]], len(seen), axis=0)
        answer = {"OUTPUT__0": np.column_stack([ends, probability]).astype(np.float32)}
        return answer | ({"OUTPUT__1": parts} if self._cells else {})

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None


def smooth(rows: int = 280, columns: int = 280) -> NDArray[np.uint16]:
    """A bright body on a dark ground, 12 bits, the same picture at every size."""
    y, x = ((np.arange(count) + 0.5) / count for count in (rows, columns))
    picture: NDArray[np.uint16] = (
        200 + 3000 * np.exp(-(((y[:, None] - 0.4) / 0.3) ** 2) - ((x - 0.6) / 0.2) ** 2) + 400 * y[:, None]
    ).astype(np.uint16)
    return picture


def received(folder: Path, pixels: NDArray[np.uint16], **attributes: Any) -> Images:
    """Sent as a DX instance, and assembled."""
    rows, columns = pixels.shape
    said = {"PatientAge": "004Y", **attributes}
    file = dicom.radiograph(folder, 1, 1, Rows=rows, Columns=columns, PixelData=pixels.tobytes(), **said)
    (assembled,) = subjects(Takes.IMAGES, "refuse", [file], "")
    assert isinstance(assembled.subject, Images)
    return assembled.subject


def prepared(folder: Path, pixels: NDArray[np.uint16], **attributes: Any) -> NDArray[np.float32]:
    return prepare(received(folder, pixels, **attributes).images[0])


def test_a_picture_of_the_network_size_is_only_stretched(tmp_path: Path) -> None:
    """What training is shown of a copy at this size is the picture itself, between its own percentiles."""
    picture = smooth(SIDE, SIDE)
    low, high = np.percentile(picture, (1, 99))
    np.testing.assert_allclose(prepared(tmp_path, picture), np.clip((picture - low) / (high - low), 0, 1), atol=1e-5)


def test_a_detector_image_becomes_the_picture(tmp_path: Path) -> None:
    """More pixels, fewer bits, a negative, a window that shows all: the same picture within a hundredth."""
    expected = prepared(tmp_path, smooth(SIDE, SIDE))
    large = smooth()
    np.testing.assert_allclose(prepared(tmp_path, large), expected, atol=0.01)
    np.testing.assert_allclose(prepared(tmp_path, (large // 16).astype(np.uint16), BitsStored=8, HighBit=7), expected, atol=0.01)
    negative = (4095 - large).astype(np.uint16)
    np.testing.assert_allclose(prepared(tmp_path, negative, PhotometricInterpretation="MONOCHROME1"), expected, atol=0.01)
    np.testing.assert_allclose(prepared(tmp_path, large, WindowCenter=2048, WindowWidth=4096), expected, atol=0.01)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_the_window_is_applied_first(photometric: str, tmp_path: Path) -> None:
    """As if the values beyond it had never been there, also of a negative, whose window is turned over with it."""
    pixels, window = smooth(), {"WindowCenter": 1000.5, "WindowWidth": 1001}
    cut = np.clip(pixels, 500, 1500).astype(np.uint16)
    if photometric == "MONOCHROME1":
        pixels, cut, window = 4095 - pixels, 4095 - cut, {"WindowCenter": 4095 - 999.5, "WindowWidth": 1001}
    windowed = prepared(tmp_path, pixels, PhotometricInterpretation=photometric, **window)
    np.testing.assert_allclose(windowed, prepared(tmp_path, cut, PhotometricInterpretation=photometric), atol=1e-3)
    assert np.abs(windowed - prepared(tmp_path, pixels, PhotometricInterpretation=photometric)).max() > 0.1


def test_the_whole_film_is_drawn_to_a_square(tmp_path: Path) -> None:
    """As the copies that are learned from were made: wide or tall, with pixels that are square or not, nothing of it is cut off."""
    for shape, spacing in (((280, 480), [0.2, 0.2]), ((480, 280), [0.2, 0.2]), ((140, 280), [0.4, 0.2])):
        found = prepared(tmp_path, smooth(*shape), ImagerPixelSpacing=spacing)
        np.testing.assert_allclose(found, prepared(tmp_path, smooth()), atol=0.02)


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ({"PatientAge": "004Y"}, ""),
        ({"PatientAge": "013M"}, ""),
        ({"PatientAge": "071M"}, ""),
        ({"PatientAge": "4Y"}, ""),
        ({"PatientAge": "", "PatientBirthDate": "20200103", "StudyDate": "20240102"}, ""),
        ({"PatientAge": "", "PatientBirthDate": "2020.01.03", "StudyDate": "20240102"}, ""),
        ({"PatientAge": "011M"}, "the patient was 0 years old; patients of 1 to 5 completed years are taken"),
        ({"PatientAge": "072M"}, "the patient was 6 years old"),
        ({"PatientAge": "", "PatientBirthDate": "19700102", "StudyDate": "20240102"}, "the patient was 54 years old"),
        ({"PatientAge": "000Y", "PatientBirthDate": ""}, "how old the patient was is not known"),
    ],
)
def test_children_of_the_ages_that_were_learned_are_taken(said: dict[str, Any], taken: str, tmp_path: Path) -> None:
    """By PatientAge, else by the dates; by the images and, before a pixel is read, by the headers of the series alike."""
    subject = received(tmp_path, smooth(), ViewPosition="PA", **said)
    application = load("chest-xray")
    (file,) = tmp_path.glob("*.dcm")
    identity, header = read_header(file)
    view = seen(identity.series_instance_uid, [(identity.sop_class_uid, header)])
    by_headers = asked(application, view)
    if not taken:
        assert check(application, subject) == ()
        assert by_headers.fit is Fit.TAKES
        return
    with pytest.raises(NotAccepted, match=taken):
        check(application, subject)
    assert taken in by_headers.exclusion


@pytest.mark.parametrize(
    ("other", "refused"),
    [
        ({"PatientAge": "", "PatientBirthDate": ""}, "how old the patient was is not known"),
        ({"PatientAge": "", "PatientBirthDate": "19700102"}, "the patient was 54 years old"),
        ({"PatientAge": "", "PatientBirthDate": "20200103"}, ""),
    ],
)
def test_every_image_has_to_tell_the_age(other: dict[str, str], refused: str, tmp_path: Path) -> None:
    """Beside one that says 4 years, another that says nothing, or otherwise: headers and images are asked alike."""
    shown = {"Rows": 280, "Columns": 280, "PixelData": smooth().tobytes(), "ViewPosition": "PA", "StudyDate": "20240102"}
    files = [dicom.radiograph(tmp_path, number, 1, **shown, **said) for number, said in enumerate(({"PatientAge": "004Y"}, other))]
    application, headers = load("chest-xray"), [read_header(file) for file in files]
    told = asked(application, seen(headers[0][0].series_instance_uid, [(identity.sop_class_uid, header) for identity, header in headers]))
    (assembled,) = subjects(Takes.IMAGES, "refuse", files, "")
    if not refused:
        assert told.fit is Fit.TAKES
        assert check(application, assembled.subject) == ()
        return
    assert refused in told.exclusion
    with pytest.raises(NotAccepted, match=refused):
        check(application, assembled.subject)


def test_the_catalog_has_it_and_every_answer_passes_both_gates(tmp_path: Path) -> None:
    """Absent below the band, present from its end on, undetermined within; the probability of pneumonia is told in each case."""
    application = load("chest-xray")
    subject = received(tmp_path, smooth(), ViewPosition="PA")
    assert check(application, subject) == ()
    for probability, answer in (
        (0.125, codes.ABSENT),
        (LOW, codes.UNDETERMINED),
        (0.5, codes.UNDETERMINED),
        (HIGH, codes.PRESENT),
        (0.875, codes.PRESENT),
    ):
        findings = analyse(subject, Says(probability))
        check_outputs(application, findings, subject)
        (found,) = findings.evaluations
        assert (found.finding, found.value, found.probability, found.finding_site) == (codes.PNEUMONIA, answer, probability, codes.CHEST)
        assert "absent below" in findings.remarks[-1]


def test_the_report_says_what_it_is_good_for(tmp_path: Path) -> None:
    """Each frontal view has its answer, which names its image; the lateral one is left out; grade and data stand in the comments."""
    folder = tmp_path / "views"
    shown = {"Rows": 280, "Columns": 280, "PixelData": smooth().tobytes()}
    files = [dicom.radiograph(folder, index, 1, ViewPosition=view, **shown) for index, view in enumerate(("PA", "LL", "AP"), start=11)]
    (assembled,) = subjects(Takes.IMAGES, "refuse", files, "")
    assert isinstance(assembled.subject, Images)
    findings = analyse(assembled.subject, Says(0.875, 0.125))
    objects = encode(dicom.radiographs(files, findings, application=load("chest-xray")))
    assert made.kinds(objects)[0] == "sr"
    (report,) = read(objects, "sr")
    answers = groups(report)
    assert [value(group, codes.PNEUMONIA) for group in answers] == [codes.PRESENT.value, codes.ABSENT.value]
    # the number is the probability of pneumonia; beside Absent it would be read as that of absence
    assert [len(named(group, "111012")) for group in answers] == [1, 0]
    assert number(answers[0], "111012") == (88.0, "%")
    told = [referenced(item)[0] for group in answers for item in named(group, "121112")]
    assert told == [assembled.subject.sources[index].sop_instance_uid for index in (0, 2)]
    said = " ".join(comments(report))
    # by the numbers under which the page shows them
    assert "Image 11 (PA): " in said
    assert "Image 13 (AP): " in said
    for sentence in (
        "Demonstration grade",
        "not for diagnosis",
        "224 × 224 pixels",
        "children of one to five years",
        "never validated on DICOM",
        "whether, not where",
    ):
        assert sentence in said
    assert "1 of 3 images are no frontal views" in said


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("shape", "spacing_mm", "middle"),
    [
        ((560, 560), (0.2, 0.2), (150, 410)),
        ((560, 900), (0.2, 0.2), (440, 300)),
        ((900, 560), (0.2, 0.2), (300, 130)),
        # pixels twice as tall as wide
        ((280, 900), (0.4, 0.2), (70, 600)),
    ],
)
def test_what_moved_the_answer_lies_where_it_was_planted(
    photometric: str, shape: tuple[int, int], spacing_mm: tuple[float, float], middle: tuple[int, int], tmp_path: Path
) -> None:
    """A bright patch, off the middle, in images that are wide, tall, negative, of pixels that are not square: both maps are highest in it,
    in the image's own rows and columns."""
    rows, columns = shape
    half = [rows / 14, columns / 14]
    y, x = np.mgrid[:rows, :columns] + 0.5
    there = (abs(y - middle[0]) < half[0]) & (abs(x - middle[1]) < half[1])
    pixels = np.where(there, 3000, 500 + 200 * y / rows).astype(np.uint16)
    if photometric == "MONOCHROME1":
        pixels = (4095 - pixels).astype(np.uint16)
    subject = received(tmp_path, pixels, PhotometricInterpretation=photometric, ImagerPixelSpacing=list(spacing_mm))
    explanations = explain(subject, Seeks())
    check_outputs(load("chest-xray"), replace(analyse(subject, Seeks()), explanations=explanations), subject)
    assert [(one.label, one.quantity.value) for one in explanations] == [("Grad-CAM", "130403"), ("Occlusion sensitivity", "130404")]
    for one in explanations:
        row, column = np.unravel_index(int(one.values.argmax()), shape)
        # the middle of the strongest cell is no more than half a cell from the patch, which is as large as one
        assert abs(row + 0.5 - middle[0]) <= half[0] + 1, one.label
        assert abs(column + 0.5 - middle[1]) <= half[1] + 1, one.label
        assert there[row, column]
        assert one.values[there].mean() > 5 * abs(one.values[~there]).mean()


def test_a_map_is_laid_back_to_the_pixel() -> None:
    """Cells that hold the row, or the column, of their own middle give every pixel its own, between the outermost; cells may be coarser
    than pixels, or finer."""
    for cells, shape in (((7, 7), (145, 190)), ((28, 28), (20, 33))):
        for axis in (0, 1):
            middles = (np.arange(cells[axis]) + 0.5) * shape[axis] / cells[axis]
            values = np.broadcast_to(middles[:, None] if axis == 0 else middles, cells).astype(np.float32)
            laid = laid_back(values, shape)
            own = (np.mgrid[: shape[0], : shape[1]] + 0.5)[axis]
            np.testing.assert_allclose(laid, np.clip(own, middles[0], middles[-1]), atol=1e-4)


def test_occlusion_is_what_the_answer_loses() -> None:
    """Of a classifier whose log odds are a weighted sum, the loss is known: square by square, and pixel by pixel the mean of its squares.
    Calls bring as many as they may."""
    rng = np.random.default_rng(0)
    image, weights = rng.random((SIDE, SIDE), dtype=np.float32), rng.normal(size=(SIDE, SIDE)) / 400
    calls: list[int] = []

    def linear(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
        seen = tensors["INPUT__0"]
        calls.append(len(seen))
        return {"OUTPUT__0": 1 / (1 + np.exp(-(seen[:, 0].astype(np.float64) * weights).sum(axis=(1, 2))))[:, None]}

    found = occlusion(image, MODEL, linear, 64)  # type: ignore[arg-type]
    assert calls == [1, 64, 64, 41]
    lost = weights * (image - image.mean())
    for row, column in ((0, 0), (30, 40), (223, 223), (112, 210)):
        squares = [
            lost[top : top + 32, left : left + 32].sum()
            for top in range(0, 193, 16)
            for left in range(0, 193, 16)
            if top <= row < top + 32 and left <= column < left + 32
        ]
        assert found[row, column] == pytest.approx(np.mean(squares), abs=1e-5)


def test_a_model_without_cells_is_explained_by_occlusion_alone(tmp_path: Path) -> None:
    """One that an earlier release exported takes one image a call, and says nothing of cells."""
    subject, model = received(tmp_path, smooth()), Seeks(cells=False)
    assert [one.label for one in explain(subject, model)] == ["Occlusion sensitivity"]
    assert set(model.batches) == {1}


def test_what_moved_the_answer_is_told_apart_from_where(tmp_path: Path) -> None:
    """A sink that does not ask gets nothing of it. One that does gets a page with the words burned in and a map that lies in no patient,
    each saying that it is no location; the report is the same, still says "not where", and refers to neither."""
    folder = tmp_path / "views"
    shown = {"Rows": 280, "Columns": 280, "PixelData": smooth().tobytes()}
    files = [dicom.radiograph(folder, index, 1, ViewPosition=view, **shown) for index, view in enumerate(("LL", "PA"), start=1)]
    (assembled,) = subjects(Takes.IMAGES, "refuse", files, "")
    assert isinstance(assembled.subject, Images)
    application = load("chest-xray")
    plain = analyse(assembled.subject, Seeks())
    findings = replace(plain, explanations=explain(assembled.subject, Seeks()))
    every = frozenset(Kind) - EXPLANATIONS
    unasked = encode(dicom.radiographs(files, findings, application=application, profiles=(Profile(name="all else", kinds=every),)))
    assert not {one.kind for one in unasked} & EXPLANATIONS
    asked = encode(dicom.radiographs(files, findings, application=application, profiles=(Profile(name="all", kinds=frozenset(Kind)),)))
    assert [one.kind for one in asked if one.kind in EXPLANATIONS] == ["explanation", "explanation-map", "explanation-map"]
    assert [one.data for one in asked if one.kind not in EXPLANATIONS] == [one.data for one in unasked]
    frontal = assembled.subject.sources[1].sop_instance_uid
    (page,) = read(asked, "explanation")
    assert "no location of a finding" in page.DerivationDescription
    assert "no location" in page.SeriesDescription
    assert [item.ReferencedSOPInstanceUID for item in page.SourceImageSequence] == [frontal]
    for dataset, one in zip(read(asked, "explanation-map"), findings.explanations, strict=True):
        assert dataset.ContentDescription == f"{one.label}, Pneumonia: no location"
        assert "no location" in dataset.SeriesDescription
        assert dataset.ContentQualification == "RESEARCH"
        shared, frame = dataset.SharedFunctionalGroupsSequence[0], dataset.PerFrameFunctionalGroupsSequence[0]
        assert not any("PlanePosition" in word or "PlaneOrientation" in word for word in (*shared.dir(), *frame.dir()))
        assert frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID == frontal
        stored = np.frombuffer(dataset.FloatPixelData, dtype="<f4").reshape(dataset.Rows, dataset.Columns)
        assert np.array_equal(stored, one.values)
        mapping = shared.RealWorldValueMappingSequence[0].QuantityDefinitionSequence[0].ConceptCodeSequence[0]
        assert mapping.CodeValue == one.quantity.value
    (report,) = read(asked, "sr")
    assert any("whether, not where" in comment for comment in comments(report))


def test_an_explanation_that_was_written_otherwise_does_not_leave(tmp_path: Path) -> None:
    """A value, the image, a place in the patient, the words: each is found when the object is read back."""
    subject = received(tmp_path, smooth(), ViewPosition="PA")
    files = sorted(tmp_path.glob("*.dcm"))
    findings = Findings(explanations=explain(subject, Seeks())[:1])
    asks = Profile(name="map", kinds=frozenset({Kind.EXPLANATION_MAP}))
    encoding = dicom.radiographs(files, findings, application=load("chest-xray"), profiles=(asks,))
    (good,) = (one for one in encode(encoding) if one.kind == Kind.EXPLANATION_MAP)
    sources = read_sources(encoding)
    check_objects([good], encoding, sources)
    (dataset,) = read([good], "explanation-map")
    values = np.frombuffer(dataset.FloatPixelData, dtype="<f4").copy()
    values[777] += 1
    dataset.FloatPixelData = values.tobytes()
    _refused(good, dataset, encoding, sources, MapDiffers, "written otherwise")
    (dataset,) = read([good], "explanation-map")
    dataset.ContentDescription = "Grad-CAM, Pneumonia"
    _refused(good, dataset, encoding, sources, ResultMalformed, "no location")
    (dataset,) = read([good], "explanation-map")
    place = Dataset()
    place.ImagePositionPatient = [0, 0, 0]
    dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence = [place]
    _refused(good, dataset, encoding, sources, ResultMalformed, "claims a place")
    (dataset,) = read([good], "explanation-map")
    dataset.SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"
    _refused(good, dataset, encoding, sources, ReferencesDiffer, "refers to")


def test_a_page_that_does_not_say_what_it_is_does_not_leave(tmp_path: Path) -> None:
    """Series and derivation say that it shows no location, or it is not sent."""
    subject = received(tmp_path, smooth(), ViewPosition="PA")
    findings = Findings(explanations=explain(subject, Seeks()))
    asks = Profile(name="page", kinds=frozenset({Kind.EXPLANATION}))
    encoding = dicom.radiographs(sorted(tmp_path.glob("*.dcm")), findings, application=load("chest-xray"), profiles=(asks,))
    (good,) = (one for one in encode(encoding) if one.kind == Kind.EXPLANATION)
    for keyword in ("SeriesDescription", "DerivationDescription"):
        (dataset,) = read([good], "explanation")
        setattr(dataset, keyword, "Grad-CAM")
        _refused(good, dataset, encoding, read_sources(encoding), ResultMalformed, "no location")


def test_a_long_label_is_cut_and_what_it_is_not_stays(tmp_path: Path) -> None:
    """Of 64 characters, as many as a label may have: the description ends whole, and the object is known for what it is."""
    subject = received(tmp_path, smooth(), ViewPosition="PA")
    (first, *_) = explain(subject, Seeks())
    long = replace(first, label="G" * 64)
    asks = Profile(name="map", kinds=frozenset({Kind.EXPLANATION_MAP}))
    encoding = dicom.radiographs(
        sorted(tmp_path.glob("*.dcm")), Findings(explanations=(long,)), application=load("chest-xray"), profiles=(asks,)
    )
    (dataset,) = read(encode(encoding), "explanation-map")
    assert dataset.ContentDescription == "G" * 51 + ": no location"
    assert len(dataset.ContentDescription) == 64


@pytest.mark.parametrize(
    ("stated", "spacing"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.3]}, None),
        ({"ImagerPixelSpacing": None}, None),
        ({"PixelSpacing": [0.15, 0.25], "PixelSpacingCalibrationType": "GEOMETRY"}, [0.15, 0.25]),
    ],
)
def test_a_map_has_a_size_only_where_the_radiograph_has_one_in_the_patient(
    stated: dict[str, Any], spacing: list[float] | None, tmp_path: Path
) -> None:
    """The detector's spacing is no distance in the patient, and none is made up (PS3.3 10.7.1.3)."""
    subject = received(tmp_path, smooth(), ViewPosition="PA", **stated)
    asks = Profile(name="map", kinds=frozenset({Kind.EXPLANATION_MAP}))
    findings = Findings(explanations=explain(subject, Seeks())[:1])
    encoding = dicom.radiographs(sorted(tmp_path.glob("*.dcm")), findings, application=load("chest-xray"), profiles=(asks,))
    (dataset,) = read(encode(encoding), "explanation-map")
    (measures,) = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert measures.get("PixelSpacing") == spacing


def _refused(one: Encoded, dataset: Dataset, encoding: Encoding, sources: Sources, error: type[Exception], said: str) -> None:
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    with pytest.raises(error, match=said):
        check_objects([replace(one, data=file.getvalue())], encoding, sources)


@pytest.mark.parametrize("part", ["HIP", "EXTREMITY", "hand li"])
def test_another_part_of_the_body_is_refused(tmp_path: Path, part: str) -> None:
    """A network that has seen chests alone is certain of pneumonia on a hip."""
    with pytest.raises(NotAChest, match=part):
        analyse(received(tmp_path, smooth(), ViewPosition="AP", BodyPartExamined=part), Says(0.9))


@pytest.mark.parametrize("part", ["CHEST", "Thorax", "PORT CHEST", "NECKCHEST", "TORAX", ""])
def test_a_chest_by_any_name_is_looked_at(tmp_path: Path, part: str) -> None:
    """As a defined term, as typed, or not said at all."""
    assert analyse(received(tmp_path, smooth(), ViewPosition="AP", BodyPartExamined=part), Says(0.9)).evaluations


def test_the_coded_region_is_heard(tmp_path: Path) -> None:
    """Where it alone says what was imaged, and where it says more than the term."""
    hip = Dataset()
    hip.CodeValue, hip.CodingSchemeDesignator, hip.CodeMeaning = "24136001", "SCT", "Hip joint"
    with pytest.raises(NotAChest, match="Hip joint"):
        analyse(received(tmp_path, smooth(), ViewPosition="AP", AnatomicRegionSequence=[hip]), Says(0.9))


def test_what_is_no_frontal_radiograph_is_refused(tmp_path: Path) -> None:
    """Lateral views alone, an even image, colour."""
    lateral = received(tmp_path, smooth(), ViewPosition="LL")
    with pytest.raises(NotFrontal, match="LL"):
        analyse(lateral, Says())
    with pytest.raises(NotARadiograph, match="even"):
        analyse(received(tmp_path, np.full((90, 80), 7, dtype=np.uint16)), Says())
    with pytest.raises(NotARadiograph, match="even"):
        analyse(received(tmp_path, smooth(), WindowCenter=60000, WindowWidth=10), Says())
    grey: Image = received(tmp_path, smooth()).images[0]
    with pytest.raises(NotARadiograph, match="colour"):
        prepare(replace(grey, pixels=np.zeros((40, 40, 3), dtype=np.uint8)))
