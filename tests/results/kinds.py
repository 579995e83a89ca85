"""One of every kind of result object, made by the encoder from series on disk: the rows of the validators' matrix. A kind is one line."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage

from inference import codes
from inference.applications.catalog import load
from inference.applications.entropy import ENTROPY
from inference.applications.mr_denoise.preparing import BESIDE
from inference.applications.port import ModelRef, Tensors
from inference.codes import Code
from inference.engines.port import Call
from inference.findings import (
    Box,
    Deformation,
    DerivedImage,
    Evaluation,
    Findings,
    Line,
    Location,
    Measurement,
    Point,
    PointInSpace,
    Quality,
    Registration,
    Saliency,
    Shape,
    Uncertainty,
)
from inference.imaging.assemble import assemble
from inference.imaging.subject import Takes
from inference.imaging.subjects import subjects
from inference.imaging.write_series import write_series
from node.domain.notes import NoResult, Rejection, Statement, Why, Withdrawal, WithdrawnObject
from node.domain.profile import VIEWER, Compression, Form, Kind, Language, MaskEncoding, Profile
from node.results.encode import encode
from node.results.port import Encoded, Encoding
from node.results.sources import SourceSeries
from node.results.statement.make import encode_statement
from node.results.statement.port import Stated, nothing_of
from node.results.withdrawal.make import encode_withdrawal
from tests.lab import chest, chest_visits
from tests.results import images, made

PNEUMOTHORAX = Code("36118008", "SCT", "Pneumothorax")
CALCIUM_SCORE = Code("450360000", "SCT", "Coronary artery calcium score")
DIAMETER = Code("81827009", "SCT", "Diameter")
TEXTURE = Code("C41144", "NCIt", "Texture")
SOLID = Code("RID50151", "RADLEX", "solid pulmonary nodule")
SMOOTHING = Code("113087", "DCM", "Smoothing")
RESAMPLING = Code("113085", "DCM", "Spatial resampling")
NO_UNIT = Code("1", "UCUM", "no units")

SHAPE = (9, 16, 12)
"""Whole bytes a frame: of others, the viewer's adapter takes the packing for what it is not (test_adapters.py)."""

EVERYTHING = Profile(name="everything", kinds=frozenset(Kind), empty_masks=True, languages=tuple(Language))
LABEL_MAPS = tuple(
    Profile(name=f"label map {compression}", masks=MaskEncoding.LABELMAP, compression=compression)
    for compression in (Compression.NONE, Compression.RLE, Compression.JPEG_LS)
)
DEFLATED = Profile(name="deflated", compression=Compression.DEFLATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One job: the files of its source, what its objects are made from, and by what."""

    files: Sequence[Path]
    encoding: Encoding
    made_by: Callable[[Encoding], Sequence[Encoded]] = encode


class Job:
    """A case with its objects on disk."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.objects: Sequence[Encoded] = case.made_by(case.encoding)
        self.paths: Mapping[str, Path] = {
            one.sop_instance_uid: path for one, path in zip(self.objects, made.save(self.objects, folder), strict=True)
        }

    @cached_property
    def together(self) -> Sequence[Path]:
        """Everything that belongs to the study: the sources and all the objects."""
        return [*self.case.files, *self.paths.values()]


class Encodings:
    """The objects of every case, made once, below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Job] = {}

    def of(self, case: Callable[[Path], Case]) -> Job:
        """The objects of a case."""
        name = case.__name__
        if name not in self._made:
            self._made[name] = Job(case(self._folder / name / "source"), self._folder / name / "results")
        return self._made[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A kind of result object: the case that it comes from, its kind, its form, and which of several it is.

    `about` is what false alarms of this kind alone are listed under (tests/lab/allowlist.py).
    """

    name: str
    case: Callable[[Path], Case]
    kind: Kind
    form: str | None = None
    number: int = 0
    about: str = ""

    def find(self, job: Job) -> Encoded:
        """The object among those of its case."""
        found = [one for one in job.objects if one.kind is self.kind and self.form in (None, one.form)]
        if len(found) <= self.number:
            raise AssertionError(f"{self.name}: {self.case.__name__} gave {[(one.kind.value, one.form) for one in job.objects]}")
        return found[self.number]


def masks(folder: Path) -> Case:
    """Two structures side by side with volumes and a mean attenuation, in every form of masks; a sentence of the quality gate."""
    files = made.series(folder, shape=SHAPE)
    mask = made.blob(SHAPE)
    left = made.segment("left lung", mask, type=codes.LUNG, laterality=codes.LEFT, finding_site=codes.CHEST)
    right = made.segment("right lung", np.roll(mask, 7, axis=2) & ~mask, type=codes.LUNG, laterality=codes.RIGHT, finding_site=codes.CHEST)
    both = made.measured(left, right, affine=made.AXIAL)
    mean = Measurement(
        name=codes.ATTENUATION_COEFFICIENT, value=-781.123456789, unit=codes.HOUNSFIELD_UNIT, segment="left lung", derivation=codes.MEAN
    )
    findings = Findings(segments=both.segments, measurements=(*both.measurements, mean), remarks=("Slices are 1.5 mm apart.",))
    return Case(files=files, encoding=made.encoding(files, findings, profiles=(EVERYTHING, *LABEL_MAPS, DEFLATED)))


def odd(folder: Path) -> Case:
    """A structure on a grid whose frames of one bit a voxel are no whole bytes."""
    shape = (9, 15, 11)
    files = made.series(folder, shape=shape)
    findings = made.measured(made.segment("one", made.blob(shape)), affine=made.AXIAL)
    return Case(files=files, encoding=made.encoding(files, findings, profiles=(VIEWER,)))


def overlapping(folder: Path) -> Case:
    """Two structures that share voxels, on sagittal slices."""
    affine = made.ORIENTATIONS["sagittal"]
    files = made.series(folder, affine, SHAPE)
    mask = made.oriented(assemble(files), made.blob(SHAPE), affine)
    findings = made.measured(made.segment("one", mask), made.segment("other", np.roll(mask, 1, axis=2)), affine=affine)
    return Case(files=files, encoding=made.encoding(files, findings))


def nothing(folder: Path) -> Case:
    """A lesion was looked for and none was found; the sink wants an empty mask too."""
    files = made.series(folder, shape=SHAPE)
    empty = made.segment("lesion", np.zeros(SHAPE, dtype=bool), type=made.LESION, finding_site=codes.CHEST)
    return Case(files=files, encoding=made.encoding(files, Findings(segments=(empty,)), profiles=(EVERYTHING,)))


def study(folder: Path) -> Case:
    """An evaluation and a number about the whole series."""
    files = made.series(folder, shape=SHAPE)
    present = Evaluation(finding=PNEUMOTHORAX, value=codes.PRESENT, finding_site=codes.CHEST)
    score = Measurement(name=CALCIUM_SCORE, value=12.0, unit=NO_UNIT)
    return Case(files=files, encoding=made.encoding(files, Findings(evaluations=(present,), measurements=(score,))))


def places(folder: Path) -> Case:
    """A box with a diameter, a point, a diameter, and a point in space: each how sure the application is."""
    files = made.series(folder, made.axes((2.0, 0, 0), (0, 2.0, 0), (0, 0, 2.5)), SHAPE)
    shapes: tuple[Shape, ...] = (
        Box(top=2, left=3, bottom=6.5, right=8),
        Point(row=3.5, column=4.25),
        Line(start=Point(row=2, column=3), end=Point(row=8, column=9.5)),
        PointInSpace(x=-12.5, y=-24.25, z=50.125),
    )
    about: dict[str, Any] = {"finding_site": codes.LUNG, "certainty": 0.9, "qualities": (Quality(name=TEXTURE, value=SOLID),)}
    found = tuple(
        Location(label=f"lesion {number}", finding=made.LESION, shape=shape, image=number, **about)
        for number, shape in enumerate(shapes, 1)
    )
    diameter = Measurement(name=DIAMETER, value=12.5, unit=codes.MILLIMETRE, location="lesion 1")
    return Case(files=files, encoding=made.encoding(files, Findings(locations=found, measurements=(diameter,)), profiles=(EVERYTHING,)))


def mapped(folder: Path) -> Case:
    """A map of probabilities, also drawn over the images."""
    files = made.series(folder, shape=SHAPE)
    values = np.random.default_rng(1).random(SHAPE, dtype=np.float32)
    found = Saliency(label="lesion map", values=values, quantity=codes.SALIENCY, unit=NO_UNIT)
    return Case(files=files, encoding=made.encoding(files, Findings(saliencies=(found,)), profiles=(EVERYTHING,)))


def unsure(folder: Path) -> Case:
    """How unsure a network is of each voxel."""
    files = made.series(folder, shape=SHAPE)
    values = np.random.default_rng(3).random(SHAPE, dtype=np.float32)
    found = Uncertainty(label=ENTROPY, values=values, quantity=codes.NORMALISED_ENTROPY)
    return Case(files=files, encoding=made.encoding(files, Findings(uncertainties=(found,)), profiles=(EVERYTHING,)))


def _smoothed(files: Sequence[Path]) -> Case:
    volume = assemble(files)
    smoothed = np.rint(volume.voxels / 2).astype(np.int16)
    image = DerivedImage(label="smoothed", voxels=smoothed, derivation=SMOOTHING)
    return Case(files=files, encoding=made.encoding(files, Findings(derived=(image,)), volume=volume))


def smoothed_ct(folder: Path) -> Case:
    """A CT made smoother."""
    return _smoothed(made.series(folder, shape=SHAPE))


def smoothed_mr(folder: Path) -> Case:
    """An MR made smoother."""
    values = np.clip(made.voxels(SHAPE) + 1000, 0, None)
    return _smoothed(write_series(values, made.AXIAL, folder, modality="MR", patient_name="Doe^Jane", extra={"BodyPartExamined": "HEAD"}))


def smoothed_pt(folder: Path) -> Case:
    """A PET made smoother."""
    files = made.series(folder, shape=SHAPE)
    for number, path in enumerate(files, 1):
        dataset = pydicom.dcmread(path)
        for keyword in ("KVP", "ConvolutionKernel", "Exposure", "XRayTubeCurrent", "ExposureTime", "GantryDetectorTilt"):
            dataset.pop(keyword, None)
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = PositronEmissionTomographyImageStorage
        dataset.Modality, dataset.ImageType = "PT", ["ORIGINAL", "PRIMARY"]
        dataset.Units, dataset.CountsSource, dataset.SeriesType = "BQML", "EMISSION", ["WHOLE BODY", "IMAGE"]
        dataset.NumberOfSlices, dataset.ImageIndex = len(files), number
        dataset.CorrectedImage, dataset.DecayCorrection, dataset.CollimatorType = ["ATTN", "DECY"], "START", "NONE"
        dataset.FrameReferenceTime, dataset.ActualFrameDuration, dataset.DecayFactor = 0.0, 120000, 1.02
        dataset.PatientOrientationCodeSequence, dataset.PatientGantryRelationshipCodeSequence = [], []
        dataset.RadiopharmaceuticalInformationSequence = [_fluorine()]
        dataset.AcquisitionDate, dataset.AcquisitionTime = dataset.StudyDate, dataset.StudyTime
        # a PET's values begin at 0 (PS3.3 C.8.9.4.1.6)
        dataset.PixelData = np.clip(dataset.pixel_array.astype(np.int16), 0, None).tobytes()
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.PixelRepresentation = 0, 0.5, 1
        dataset.BitsStored, dataset.HighBit = 16, 15
        dataset.pop("RescaleType", None)
        dataset.save_as(path)
    return _smoothed(files)


def _fluorine() -> Dataset:
    """The radiopharmaceutical of most PETs, as much of it as is required."""
    item, radionuclide = Dataset(), Dataset()
    radionuclide.CodeValue, radionuclide.CodingSchemeDesignator, radionuclide.CodeMeaning = "77004003", "SCT", "^18^Fluorine"
    item.RadionuclideCodeSequence, item.RadiopharmaceuticalStartTime = [radionuclide], "101000"
    item.RadionuclideTotalDose, item.RadionuclideHalfLife, item.Radiopharmaceutical = 3.7e8, 6586.2, "FDG"
    return item


def registered(folder: Path) -> Case:
    """A prior laid over the current series, and resampled there."""
    current = images.volume(folder / "current", images.STUDY)
    prior = images.volume(folder / "prior", images.PRIOR_STUDY, SeriesDescription="before")
    matrix = np.eye(4)
    matrix[:3, 3] = (2.0, -1.5, 0.5)
    resampled = DerivedImage(label="prior aligned", voxels=made.voxels(), derivation=RESAMPLING, of_prior=True)
    findings = Findings(registration=Registration(matrix=matrix), derived=(resampled,))
    return Case(files=[*current, *prior], encoding=images.pair(current, prior, findings))


def bent(folder: Path) -> Case:
    """A prior bent to fit the current series: a bump of 3 mm on a grid that is none of the images'."""
    current = images.volume(folder / "current", images.STUDY)
    prior = images.volume(folder / "prior", images.PRIOR_STUDY, SeriesDescription="before")
    matrix, affine = np.eye(4), np.array([[0, 0, 5.0, -20], [0, 5.0, 0, -20], [5.0, 0, 0, -20], [0, 0, 0, 1]])
    matrix[:3, 3] = (2.0, -1.5, 0.5)
    z, y, x = np.mgrid[-1:1:9j, -1:1:8j, -1:1:7j]
    offsets = np.exp(-3 * (x**2 + y**2 + z**2))[..., None] * np.array([3.0, -1.0, 2.0])
    resampled = DerivedImage(label="prior bent", voxels=made.voxels(), derivation=RESAMPLING, of_prior=True)
    deformation = Deformation(matrix=matrix, offsets=offsets.astype(np.float32), affine=affine)
    return Case(files=[*current, *prior], encoding=images.pair(current, prior, Findings(deformation=deformation, derived=(resampled,))))


class Bright:
    """Arithmetic in the place of two models: a classifier with four cells, and a network that gives the middle of what it sees."""

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        (seen,) = tensors.values()
        if seen.ndim == 5:
            return {"OUTPUT__0": seen[:, :, BESIDE:-BESIDE]}
        cells = seen[:, 0].reshape(-1, 2, 112, 2, 112).mean(axis=(2, 4))
        odds = cells.sum(axis=(1, 2), dtype=np.float64)
        probability = 1 / (1 + np.exp(-odds))
        ends = np.repeat([[0.25, 0.75]], len(seen), axis=0)
        return {"OUTPUT__0": np.column_stack([ends, probability]).astype(np.float32), "OUTPUT__1": cells}

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None


def chest_radiograph(folder: Path) -> Case:
    """A radiograph as chest-xray answers about it, and what moved the answer."""
    rows, columns = 120, 100
    y, x = np.mgrid[:rows, :columns]
    shown = (300 + 2000 * np.exp(-(((y - 40) / 20) ** 2) - ((x - 70) / 15) ** 2)).astype(np.uint16)
    file = images.radiograph(
        folder, 1, 1, Rows=rows, Columns=columns, PixelData=shown.tobytes(), ViewPosition="PA", BodyPartExamined="CHEST"
    )
    (assembled,) = subjects(Takes.IMAGES, "refuse", [file], "")
    application = load("chest-xray")
    findings = replace(
        application.analyse(assembled.subject, Bright()),
        explanations=application.explain(assembled.subject, Bright()),  # type: ignore[misc]
    )
    return Case(files=[file], encoding=images.radiographs([file], findings, application=application, profiles=(EVERYTHING,)))


def chest_ct(folder: Path) -> Case:
    """A CT with three balls in its lungs as lung-nodule answers about it: each in a box, with sizes, a density and a follow-up."""
    about = {"PatientAge": "060Y", "BodyPartExamined": "CHEST", "SeriesNumber": 3, "StudyDescription": "CT chest"}
    files = write_series(chest.voxels(), chest.affine(), folder, modality="CT", patient_name="Doe^Jane", extra=about)
    volume, application = assemble(files), load("lung-nodule")
    findings = application.analyse(volume, chest.ByHeart())
    return Case(files=files, encoding=made.encoding(files, findings, volume=volume, application=application, profiles=(EVERYTHING,)))


def chest_ct_with_prior(folder: Path) -> Case:
    """A chest CT and its prior as lung-nodule answers about them: what grew, what is new and what is gone."""
    files, given = [], {}
    for role, now, day in (("current", True, "20250901"), ("prior", False, "20250301")):
        made_visit = chest_visits.visit(chest_visits.NODULES, now=now)
        about = {
            "PatientAge": "060Y",
            "BodyPartExamined": "CHEST",
            "SeriesNumber": 3,
            "StudyDescription": "CT chest",
            "PatientID": "NODULES",
            "StudyDate": day,
            "AcquisitionDate": day,
            "ConvolutionKernel": made_visit.kernel,
            "FrameOfReferenceUID": made_visit.frame_of_reference_uid,
        }
        uid = made_visit.study_instance_uid
        of_visit = write_series(
            made_visit.voxels, made_visit.affine, folder / role, modality="CT", patient_name="Doe^Jane", study_uid=uid, extra=about
        )
        given.update(dict.fromkeys(of_visit, role))
        files += of_visit
    application = load("lung-nodule")
    first = str(pydicom.dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID)
    (assembled,) = subjects(Takes.PAIR, "refuse", files, first, given, roles=application.in_roles)
    findings = application.analyse(assembled.subject, chest.ByHeart())
    encoding = made.encoding(files, findings, volume=assembled.subject, application=application, profiles=(EVERYTHING,))
    return Case(files=files, encoding=encoding)


def denoised_head(folder: Path) -> Case:
    """A noisy head as mr-denoise gives it back."""
    rng, shape = np.random.default_rng(0), (9, 40, 36)
    y, x = np.meshgrid(np.linspace(-1.2, 1.2, shape[1]), np.linspace(-1.2, 1.2, shape[2]), indexing="ij")
    clean = np.where(x**2 + y**2 <= 1, 1000.0, 0.0)
    noisy = np.rint(np.hypot(clean + rng.normal(0, 50, shape), rng.normal(0, 50, shape))).astype(np.int16)
    affine = made.axes((4.0, 0, 0), (0, 4.0, 0), (0, 0, 4.0))
    files = write_series(noisy, affine, folder, modality="MR", patient_name="Doe^Jane", extra={"BodyPartExamined": "HEAD"})
    volume, application = assemble(files), load("mr-denoise")
    findings = application.analyse(volume, Bright())
    return Case(files=files, encoding=made.encoding(files, findings, volume=volume, application=application))


def declined(folder: Path) -> Case:
    """Images that the application cannot judge: there is no result, in every language."""
    files = made.series(folder, shape=SHAPE)
    encoding = made.encoding(files, Findings(), profiles=(EVERYTHING,))
    about = encoding.subject
    one = NoResult(
        job=1, series_instance_uid=about.series_instance_uid, why=Why.DECLINED, code="HLM-3019", reason="Slices are missing in the middle."
    )
    looked_at = SourceSeries(
        study_instance_uid=about.study_instance_uid,
        series_instance_uid=about.series_instance_uid,
        instances=tuple((source.sop_class_uid, source.sop_instance_uid) for source in about.sources),
    )
    stated = Stated(
        encoding=replace(encoding, subject=nothing_of(about.study_instance_uid, about.series_instance_uid, "CT")),
        statement=Statement(series=(one,)),
        looked_at=[looked_at],
    )
    return Case(files=files, encoding=stated.encoding, made_by=lambda _: encode_statement(stated))


def wrong(folder: Path) -> Case:
    """All results of a job, and the note that withdraws them because their images were wrong."""
    return _withdrawn(folder, Rejection.WRONG)


def replaced(folder: Path) -> Case:
    """All results of a job, and the note that withdraws them because a later result stands in their place."""
    return _withdrawn(folder, Rejection.REPLACED)


def _withdrawn(folder: Path, rejection: Rejection) -> Case:
    case = masks(folder)

    def withdraw(encoding: Encoding) -> Sequence[Encoded]:
        objects = encode(encoding)
        named = tuple(
            WithdrawnObject(
                kind=one.kind,
                series_instance_uid=one.series_instance_uid,
                sop_class_uid=one.sop_class_uid,
                sop_instance_uid=one.sop_instance_uid,
                blob=f"results/{one.sop_instance_uid}.dcm",
            )
            for one in objects
        )
        about = encoding.subject
        nothing = nothing_of(about.study_instance_uid, about.series_instance_uid, "CT")
        note = encode_withdrawal(replace(encoding, subject=nothing), Withdrawal(rejection=rejection, objects=named))
        return [*objects, *note]

    return replace(case, made_by=withdraw)


ROWS: Sequence[Row] = (
    Row(name="Segmentation, binary", case=masks, kind=Kind.SEG, form=Form.BINARY),
    Row(name="Segmentation, binary, segments that overlap", case=overlapping, kind=Kind.SEG, form=Form.BINARY),
    Row(name="Segmentation, binary, deflated", case=masks, kind=Kind.SEG, form=Form.BINARY_DEFLATE),
    Row(name="Segmentation, fractional", case=odd, kind=Kind.SEG, form=Form.FRACTIONAL),
    Row(name="Segmentation, empty", case=nothing, kind=Kind.SEG, form=Form.EMPTY),
    Row(name="Label map", case=masks, kind=Kind.SEG, form=Form.LABELMAP, about="label map"),
    Row(name="Label map, RLE", case=masks, kind=Kind.SEG, form=Form.LABELMAP_RLE, about="label map"),
    Row(name="Label map, JPEG-LS", case=masks, kind=Kind.SEG, form=Form.LABELMAP_JPEG_LS, about="label map"),
    Row(name="Report of measurements (TID 1411)", case=masks, kind=Kind.SR, form=Form.BINARY),
    Row(name="Report of measurements, of a label map", case=masks, kind=Kind.SR, form=Form.LABELMAP, about="label map"),
    Row(name="Report of a study (TID 1501)", case=study, kind=Kind.SR, about="TID 1501"),
    Row(name="Report that nothing was found (TID 1501)", case=nothing, kind=Kind.SR, about="TID 1501"),
    Row(name="Report of places (TID 1410)", case=places, kind=Kind.DETECTIONS),
    Row(name="Parametric map", case=mapped, kind=Kind.MAP),
    Row(name="Map drawn over the images", case=mapped, kind=Kind.OVERLAY),
    Row(name="Derived CT image", case=smoothed_ct, kind=Kind.DERIVED),
    Row(name="Derived MR image", case=smoothed_mr, kind=Kind.DERIVED),
    Row(name="Derived MR image of mr-denoise", case=denoised_head, kind=Kind.DERIVED),
    Row(name="Derived PET image", case=smoothed_pt, kind=Kind.DERIVED),
    Row(name="Spatial registration", case=registered, kind=Kind.REGISTRATION),
    Row(name="Prior, resampled", case=registered, kind=Kind.DERIVED),
    Row(name="Deformable registration", case=bent, kind=Kind.DEFORMABLE_REGISTRATION),
    Row(name="Prior, bent", case=bent, kind=Kind.DERIVED),
    Row(name="Narrative, English", case=masks, kind=Kind.NARRATIVE, form=Language.ENGLISH),
    Row(name="Narrative, Chinese", case=masks, kind=Kind.NARRATIVE, form=Language.CHINESE),
    Row(name="PDF, English", case=masks, kind=Kind.PDF, form=Language.ENGLISH),
    Row(name="PDF, Chinese", case=masks, kind=Kind.PDF, form=Language.CHINESE),
    Row(name="Summary page", case=masks, kind=Kind.SC),
    Row(name="Report of chest-xray (TID 1501)", case=chest_radiograph, kind=Kind.SR, about="TID 1501"),
    Row(name="Explanation of an answer, drawn", case=chest_radiograph, kind=Kind.EXPLANATION),
    Row(name="Explanation of an answer, map", case=chest_radiograph, kind=Kind.EXPLANATION_MAP, about="explanation"),
    Row(name="Map of uncertainty", case=unsure, kind=Kind.UNCERTAINTY_MAP),
    Row(name="Summary page of chest-xray", case=chest_radiograph, kind=Kind.SC),
    Row(name="Report of places of lung-nodule (TID 1410)", case=chest_ct, kind=Kind.DETECTIONS),
    Row(name="Report of lung-nodule (TID 1501)", case=chest_ct, kind=Kind.SR, about="TID 1501"),
    Row(name="Report of places of lung-nodule with a prior (TID 1410)", case=chest_ct_with_prior, kind=Kind.DETECTIONS),
    Row(name="Narrative of lung-nodule", case=chest_ct, kind=Kind.NARRATIVE, form=Language.ENGLISH),
    Row(name="Summary page of lung-nodule", case=chest_ct, kind=Kind.SC),
    Row(name="No result, English", case=declined, kind=Kind.STATEMENT, form=Language.ENGLISH),
    Row(name="No result, Chinese", case=declined, kind=Kind.STATEMENT, form=Language.CHINESE),
    Row(name="Withdrawn, made from wrong images", case=wrong, kind=Kind.WITHDRAWAL, about="withdrawal"),
    Row(name="Withdrawn, replaced by a later result", case=replaced, kind=Kind.WITHDRAWAL, about="withdrawal"),
)
