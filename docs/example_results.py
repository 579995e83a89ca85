"""Two hospitals' results of every kind, which differ in all that an object may depend on: what stays equal is what hilum always writes."""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation

from inference import codes, findings_file
from inference.applications.port import (
    Accepts,
    Application,
    EvaluationOutput,
    LocationOutput,
    MeasurementOutput,
    ModelRef,
    SegmentOutput,
    Takes,
)
from inference.codes import Code
from inference.findings import (
    Box,
    Deformation,
    DerivedImage,
    Evaluation,
    Explanation,
    Findings,
    Location,
    Measurement,
    Point,
    PointInSpace,
    Quality,
    Registration,
    Saliency,
    Segment,
    Shape,
    Uncertainty,
)
from inference.imaging.subject import Images, VolumeSet
from inference.imaging.subjects import Assembled, subjects
from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid
from node.domain.notes import NoResult, Rejection, Statement, Why, Withdrawal, WithdrawnObject
from node.domain.profile import Compression, Kind, Language, MaskEncoding, Profile
from node.results.encode import encode
from node.results.port import Encoded, Encoding, Predecessor
from node.results.sources import SourceSeries
from node.results.statement.make import encode_statement
from node.results.statement.port import Stated, nothing_of
from node.results.withdrawal.make import encode_withdrawal

_EVERYTHING = Profile(name="everything", kinds=frozenset(Kind), empty_masks=True, languages=tuple(Language))
_LABELMAP = Profile(name="label map", masks=MaskEncoding.LABELMAP, compression=Compression.JPEG_LS)
_TEXTURE = Code("C41144", "NCIt", "Texture")
_SOLID = Code("RID50151", "RADLEX", "solid pulmonary nodule")
_LESION = Code("52988006", "SCT", "Lesion")
_SMOOTHING = Code("113087", "DCM", "Smoothing")
_RESAMPLED = Code("113085", "DCM", "Spatial resampling")
_NO_UNITS = Code("1", "UCUM", "no units")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Example:
    """The objects of one hospital, and the headers of what they were made from."""

    objects: tuple[Encoded, ...]
    sources: tuple[Dataset, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hospital:
    """Whatever differs from one hospital to the next."""

    seed: int
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    patient: str
    modality: Literal["CT", "MR"]
    axes: tuple[int, int, int]
    """Along which patient axis slices, rows and columns step."""
    at: datetime
    site: Code
    certainty: float


_HOSPITALS = (
    _Hospital(
        seed=1,
        shape=(6, 24, 20),
        # square pixels: on others detections have no coordinates of pixels
        spacing_mm=(2.5, 1.25, 1.25),
        patient="Doe^Jane",
        modality="MR",
        axes=(2, 1, 0),
        at=datetime(2025, 3, 4, 11, 30, 15, 123456, tzinfo=UTC),
        site=codes.BRAIN,
        certainty=0.91,
    ),
    _Hospital(
        seed=2,
        shape=(5, 20, 28),
        spacing_mm=(3.0, 0.75, 0.75),
        patient="Muster^Erika",
        modality="CT",
        axes=(1, 2, 0),
        at=datetime(2026, 7, 8, 5, 6, 7, 654321, tzinfo=UTC),
        site=codes.HEAD,
        certainty=0.64,
    ),
)


def examples() -> tuple[Example, ...]:
    """The results of each hospital: of a volume, of one in which nothing was found, of a pair laid and bent, and of a radiograph."""
    return tuple(example(number) for number in range(len(_HOSPITALS)))


@cache
def example(number: int) -> Example:
    """Those of one hospital."""
    with tempfile.TemporaryDirectory() as folder:
        return _example(_HOSPITALS[number], Path(folder))


def _example(hospital: _Hospital, folder: Path) -> Example:
    files = [_series(hospital, folder / name, number) for number, name in enumerate(("prior", "current"), 1)]
    volume = subjects(Takes.VOLUME, "refuse", files[1])[0]
    pair = subjects(Takes.PAIR, "refuse", [*files[0], *files[1]], volume.subject.series_instance_uid)[0]
    shadow = subjects(Takes.IMAGES, "refuse", [_radiograph(hospital, files[1][0], folder)])[0]
    made: list[Encoded] = []
    for name, assembled, findings in (
        ("found", volume, _found(hospital)),
        ("nothing", volume, replace(_nothing(hospital), segments=(_segment(hospital, np.zeros(hospital.shape, dtype=np.bool_)),))),
        ("pair", pair, _registered(hospital, pair)),
        ("bent", pair, _bent(hospital, pair)),
        ("radiograph", shadow, _explained(hospital)),
    ):
        made += encode(_encoding(hospital, name, assembled, findings))
    stated = _stated(hospital, volume)
    made += encode_withdrawal(stated.encoding, _withdrawn(hospital, made))
    made += encode_statement(stated)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in (files[1][0], files[0][0])]
    return Example(objects=tuple(made), sources=tuple(headers))


def _stated(hospital: _Hospital, volume: Assembled) -> Stated:
    """The images of one hospital were declined, the analysis of the other's broke."""
    about = volume.subject
    why = Why.DECLINED if hospital.seed == 1 else Why.FAILED
    one = NoResult(job=1, series_instance_uid=about.series_instance_uid, why=why, code="HLM-3000", reason=f"reason {hospital.seed}")
    encoding = replace(
        _encoding(hospital, "stated", volume, Findings()),
        subject=nothing_of(about.study_instance_uid, about.series_instance_uid, hospital.modality),
    )
    instances = tuple((source.sop_class_uid, source.sop_instance_uid) for source in about.sources)
    looked_at = SourceSeries(
        study_instance_uid=about.study_instance_uid, series_instance_uid=about.series_instance_uid, instances=instances
    )
    return Stated(encoding=encoding, statement=Statement(series=(one,)), looked_at=[looked_at])


def _withdrawn(hospital: _Hospital, made: Sequence[Encoded]) -> Withdrawal:
    """In one hospital late images came, in the other a later result."""
    objects = tuple(
        WithdrawnObject(
            kind=one.kind,
            series_instance_uid=one.series_instance_uid,
            sop_class_uid=one.sop_class_uid,
            sop_instance_uid=one.sop_instance_uid,
            blob=f"results/{one.sop_instance_uid}.dcm",
        )
        for one in made[: 2 + hospital.seed]
    )
    return Withdrawal(rejection=Rejection.WRONG if hospital.seed == 1 else Rejection.REPLACED, objects=objects)


def _series(hospital: _Hospital, folder: Path, number: int) -> Sequence[Path]:
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (patient, mm) in enumerate(zip(hospital.axes, hospital.spacing_mm, strict=True)):
        affine[patient, axis] = mm
    affine[:3, 3] = (-10.0 * hospital.seed, -20.0, 30.0 * number)
    voxels = np.random.default_rng(hospital.seed * 10 + number).integers(0, 500, hospital.shape).astype(np.int16)
    day = f"2025{number:02d}{hospital.seed:02d}"
    extra: dict[str, Any] = {
        "SeriesNumber": hospital.seed + number,
        "StudyID": f"S{hospital.seed}",
        "AccessionNumber": f"A{hospital.seed}{number}",
        "StudyDate": day,
        "StudyTime": f"0{hospital.seed}0203",
        "PatientBirthDate": f"196{hospital.seed}0102",
        "PatientSex": "FM"[hospital.seed - 1],
        "PatientAge": f"06{hospital.seed}Y",
        "ReferringPhysicianName": f"Refer^{hospital.seed}",
        "StudyDescription": f"MR {hospital.seed}",
        "IssuerOfPatientID": f"H{hospital.seed}",
        "BodyPartExamined": ("HEAD", "CHEST")[hospital.seed - 1],
        "TimezoneOffsetFromUTC": f"+0{hospital.seed}00",
    }
    return write_series(
        voxels,
        affine,
        folder,
        modality=hospital.modality,
        study_uid=derive_uid("study", str(hospital.seed), str(number)),
        patient_name=hospital.patient,
        patient_id=f"P-{hospital.seed}",
        series_description=f"T1 {hospital.seed}",
        extra=extra,
    )


def _radiograph(hospital: _Hospital, slice_of_it: Path, folder: Path) -> Path:
    """A slice, as if it were the shadow of all of them."""
    header = pydicom.dcmread(slice_of_it)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "SliceThickness", "PixelSpacing"):
        header.pop(keyword, None)
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = UID(derive_uid("radiograph", str(hospital.seed)))
    header.SeriesInstanceUID, header.Modality = derive_uid("radiographs", str(hospital.seed)), "DX"
    header.ImagerPixelSpacing, header.ViewPosition = [0.1 * hospital.seed, 0.1 * hospital.seed], ("PA", "AP")[hospital.seed - 1]
    file = folder / "radiograph.dcm"
    header.save_as(file)
    return file


def _explained(hospital: _Hospital) -> Findings:
    values = np.random.default_rng(hospital.seed).random(hospital.shape[1:], dtype=np.float32) - 0.25
    explanation = Explanation(label="Grad-CAM", values=values, image=0, finding=_LESION, quantity=codes.GRADIENT_WEIGHTED_CLASS_ACTIVATION)
    return replace(_nothing(hospital), explanations=(explanation,))


def _segment(hospital: _Hospital, mask: Any, label: str = "", site: Code | None = None) -> Segment:
    return Segment(
        label=label or f"brain {hospital.seed}",
        mask=mask,
        category=codes.ANATOMICAL_STRUCTURE,
        type=site or hospital.site,
        rgb=(90 * hospital.seed, 200, 120),
        finding_site=hospital.site,
        laterality=(codes.LEFT, codes.RIGHT)[hospital.seed - 1],
        certainty=hospital.certainty,
    )


def _found(hospital: _Hospital) -> Findings:
    first, second = np.zeros(hospital.shape, dtype=np.bool_), np.zeros(hospital.shape, dtype=np.bool_)
    first[hospital.seed : 3, 4 : 10 + hospital.seed, 5:9] = True
    second[2:4, 12:15, 5:9] = True
    noise = np.random.default_rng(hospital.seed)
    shapes: tuple[Shape, ...] = (
        Box(top=3, left=4 * hospital.seed, bottom=9, right=12),
        Point(row=5.5, column=2.5 * hospital.seed),
        PointInSpace(x=1.5, y=2, z=3),
    )
    return Findings(
        segments=(_segment(hospital, first), _segment(hospital, second, f"lesion {hospital.seed}", _LESION)),
        measurements=(
            Measurement(name=codes.VOLUME, value=12.5 * hospital.seed, unit=codes.CUBIC_CENTIMETRE, segment=f"brain {hospital.seed}"),
            Measurement(name=codes.VOLUME, value=0.5 * hospital.seed, unit=codes.CUBIC_CENTIMETRE, location="finding 1"),
            Measurement(name=codes.VOLUME, value=80.0 * hospital.seed, unit=codes.CUBIC_CENTIMETRE),
        ),
        evaluations=(Evaluation(finding=_LESION, value=codes.PRESENT, finding_site=hospital.site, probability=hospital.certainty),),
        remarks=(f"Voxels are {hospital.spacing_mm[0]} mm apart.",),
        locations=tuple(
            Location(
                label=f"finding {n}",
                finding=_LESION,
                shape=shape,
                image=n,
                finding_site=hospital.site,
                certainty=hospital.certainty,
                qualities=(Quality(name=_TEXTURE, value=_SOLID),),
            )
            for n, shape in enumerate(shapes, 1)
        ),
        saliencies=(
            Saliency(label="lesion map", values=noise.random(hospital.shape, dtype=np.float32), quantity=codes.SALIENCY, unit=_NO_UNITS),
        ),
        uncertainties=(
            Uncertainty(label="Entropy", values=noise.random(hospital.shape, dtype=np.float32), quantity=codes.NORMALISED_ENTROPY),
        ),
        derived=(DerivedImage(label="smoothed", voxels=noise.integers(0, 400, hospital.shape).astype(np.int16), derivation=_SMOOTHING),),
    )


def _nothing(hospital: _Hospital) -> Findings:
    return Findings(evaluations=(Evaluation(finding=_LESION, value=codes.ABSENT, finding_site=hospital.site),))


def _registered(hospital: _Hospital, assembled: Assembled) -> Findings:
    assert isinstance(assembled.subject, VolumeSet)
    matrix = np.eye(4)
    matrix[:3, 3] = (hospital.seed, -2.0, 0.5)
    voxels = assembled.subject["prior"].voxels.astype(np.int16)
    return Findings(
        registration=Registration(matrix=matrix),
        derived=(DerivedImage(label="prior aligned", voxels=voxels, derivation=_RESAMPLED, of_prior=True),),
    )


def _bent(hospital: _Hospital, assembled: Assembled) -> Findings:
    registered = _registered(hospital, assembled)
    assert registered.registration is not None
    affine = np.array([[0, 0, 9.0, -20], [0, 9.0, 0, -20], [9.0, 0, 0, -20], [0, 0, 0, 1]])
    z, y, x = np.mgrid[-1:1:5j, -1:1:6j, -1:1:7j]
    offsets = np.exp(-3 * (x**2 + y**2 + z**2))[..., None] * np.array([hospital.seed, -1.0, 2.0])
    deformation = Deformation(matrix=registered.registration.matrix, offsets=offsets.astype(np.float32), affine=affine)
    return Findings(deformation=deformation, derived=tuple(replace(one, label="prior bent to current") for one in registered.derived))


def _encoding(hospital: _Hospital, name: str, assembled: Assembled, findings: Findings) -> Encoding:
    predecessor = Predecessor(
        study_instance_uid=assembled.subject.study_instance_uid,
        series_instance_uid=derive_uid("old series", str(hospital.seed)),
        sop_instance_uid=derive_uid("old report", str(hospital.seed)),
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
    )
    return Encoding(
        application=_application(hospital, assembled),
        findings=findings,
        sources=assembled.headers,
        subject=assembled.subject,
        at=hospital.at + timedelta(minutes=len(name)),
        input_digest=hashlib.sha256(f"{name} {hospital.seed}".encode()).hexdigest(),
        model_digest=hashlib.sha256(str(hospital.seed).encode()).hexdigest(),
        findings_digest=findings_file.digest(findings),
        parameters=f'{{"seed": {hospital.seed}}}',
        device_uid=derive_uid("device", str(hospital.seed)),
        predecessors=(predecessor,) if name == "found" else (),
        profiles=(_EVERYTHING, _LABELMAP),
    )


def _application(hospital: _Hospital, assembled: Assembled) -> Application:
    takes = {VolumeSet: Takes.PAIR, Images: Takes.IMAGES}.get(type(assembled.subject), Takes.VOLUME)
    return Application(
        name=f"mr-example-{hospital.seed}",
        version=f"{hospital.seed}.2.3",
        title=f"Example {hospital.seed}",
        accepts=Accepts(modality=(hospital.modality,), takes=takes),
        models=(ModelRef(name=f"net{hospital.seed}", version=hospital.seed),),
        outputs=(
            SegmentOutput(label=f"brain {hospital.seed}", type=hospital.site),
            MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
            EvaluationOutput(finding=_LESION),
            LocationOutput(finding=_LESION),
        ),
        analyse=lambda subject, infer: Findings(),
        manufacturer=f"Maker {hospital.seed}",
    )
