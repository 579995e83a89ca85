"""Series, findings and encodings made by hand, with masks whose place in the patient is known by arithmetic."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian

from inference import codes, findings_file
from inference.applications.port import Accepts, Application, ModelRef
from inference.codes import Code
from inference.findings import Findings, Measurement, Segment
from inference.imaging.assemble import assemble
from inference.imaging.subject import Subject
from inference.imaging.volume import Affine, Volume
from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid
from node.domain.profile import VIEWER, MaskEncoding
from node.results.port import Encoded, Encoding, Predecessor

AT = datetime(2025, 3, 4, 23, 30, 15, 123456, tzinfo=UTC)
LESION = Code("52988006", "SCT", "Lesion")

SHAPE = (9, 13, 11)
"""(Z, Y, X): no two sides alike, and no whole number of bytes a frame, so that a mix-up shows."""


def axes(x: Sequence[float], y: Sequence[float], z: Sequence[float], origin: Sequence[float] = (-20.0, -30.0, 40.0)) -> Affine:
    """An affine whose array axes (z, y, x) step by these vectors, in mm LPS."""
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2], affine[:3, 3] = z, y, x, origin
    return affine


AXIAL = axes((1.5, 0, 0), (0, 2.0, 0), (0, 0, 2.5))
_C, _S = np.cos(np.radians(25)), np.sin(np.radians(25))

ORIENTATIONS: Mapping[str, Affine] = {
    "axial": AXIAL,
    "axial, prone": axes((-1.5, 0, 0), (0, -2.0, 0), (0, 0, 2.5)),
    "axial, feet first": axes((-1.5, 0, 0), (0, 2.0, 0), (0, 0, -2.5)),
    "coronal": axes((1.5, 0, 0), (0, 0, -2.0), (0, 2.5, 0)),
    "sagittal": axes((0, 1.5, 0), (0, 0, -2.0), (-2.5, 0, 0)),
    "oblique": axes((1.5, 0, 0), (0, 2.0 * _C, 2.0 * _S), (0, -2.5 * _S, 2.5 * _C)),
}


def voxels(shape: tuple[int, int, int] = SHAPE) -> NDArray[np.int16]:
    """A CT of sorts: a body of 40 HU in air."""
    image = np.full(shape, -1000, dtype=np.int16)
    image[:, 1:-1, 1:-1] = 40
    image[:, 3:5, 3:5] = 300
    return image


def blob(shape: tuple[int, int, int] = SHAPE) -> NDArray[np.bool_]:
    """A mask without any symmetry, that leaves the first and the last slice empty."""
    mask = np.zeros(shape, dtype=np.bool_)
    mask[2:6, 2:7, 3:9] = True
    mask[3, 7:9, 3:5] = True
    mask[6, 4, 4] = True
    return mask


def volume_cm3(mask: NDArray[np.bool_], affine: Affine) -> float:
    """Voxels counted, times the volume of one."""
    return int(mask.sum()) * abs(float(np.linalg.det(affine[:3, :3]))) / 1000.0


def segment(label: str, mask: NDArray[np.bool_], **more: Any) -> Segment:
    """A segment with a code and a colour."""
    given = {"category": codes.ANATOMICAL_STRUCTURE, "type": codes.BRAIN, "rgb": (255, 160, 40), **more}
    return Segment(label=label, mask=mask, **given)


def one_segment(affine: Affine, shape: tuple[int, int, int] = SHAPE) -> Findings:
    """A brain with its volume."""
    return measured(segment("brain", blob(shape)), affine=affine)


def measured(*segments: Segment, affine: Affine) -> Findings:
    """Segments with their volumes."""
    return Findings(
        segments=segments,
        measurements=tuple(
            Measurement(name=codes.VOLUME, value=volume_cm3(one.mask, affine), unit=codes.CUBIC_CENTIMETRE, segment=one.label)
            for one in segments
        ),
    )


def application(**more: Any) -> Application:
    """An application that never runs here."""
    given = {"name": "mr-brain", "version": "1.2.3", "title": "Brain on T1 MR", "qualification": "RESEARCH", "outputs": (), **more}
    return Application(
        accepts=Accepts(modality=("MR", "CT")),
        models=(ModelRef(name="net", version=4),),
        analyse=lambda volume, infer: Findings(),
        **given,
    )


def series(folder: Path, affine: Affine = AXIAL, shape: tuple[int, int, int] = SHAPE, **extra: Any) -> list[Path]:
    """A CT series on disk, in the order of its slices; made once a process for all that ask for the same, and copied."""
    asked = (affine.tobytes(), shape, repr(sorted(extra.items())))
    if asked not in _MADE:
        given = {"BodyPartExamined": "HEAD", "SeriesNumber": 4, "StudyDescription": "CT head", "IssuerOfPatientID": "HOSPITAL", **extra}
        whose = {"patient_name": "Doe^Jane", "patient_id": "P-1"}
        with tempfile.TemporaryDirectory() as apart:
            files = write_series(voxels(shape), affine, Path(apart), modality="CT", extra=given, **whose)
            _MADE[asked] = [(path.name, path.read_bytes()) for path in files]
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in _MADE[asked]:
        (folder / name).write_bytes(content)
    return [folder / name for name, _ in _MADE[asked]]


_MADE: dict[tuple[bytes, tuple[int, int, int], str], list[tuple[str, bytes]]] = {}


def enhanced(folder: Path, affine: Affine = AXIAL) -> list[Path]:
    """One Enhanced MR instance: frames from last to first, orientation shared, positions a frame."""
    image = voxels()
    depth, rows, columns = image.shape
    dataset = pydicom.dcmread(series(folder / "classic", affine)[0], stop_before_pixels=True)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "InstanceNumber"):
        delattr(dataset, keyword)
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = EnhancedMRImageStorage, "1.2.3.4.5", "MR"
    dataset.InstanceNumber, dataset.NumberOfFrames = 1, depth
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :3] / spacing
    orientation.ImageOrientationPatient = [*directions[:, 2].round(9), *directions[:, 1].round(9)]
    measures.PixelSpacing, measures.SliceThickness = [float(spacing[1]), float(spacing[2])], float(spacing[0])
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for z in reversed(range(depth)):
        frame, place = Dataset(), Dataset()
        place.ImagePositionPatient = [float(mm) for mm in (affine @ (z, 0, 0, 1))[:3].round(6)]
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    dataset.Rows, dataset.Columns = rows, columns
    dataset.PixelData = np.ascontiguousarray(image[::-1]).tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = folder / "enhanced.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return [path]


def with_bytes(path: Path, keyword: str, raw: bytes, character_sets: Sequence[str]) -> None:
    """Give one text attribute of a file these very bytes, declared in these character sets."""
    dataset = pydicom.dcmread(path)
    placeholder = b"@" * (len(raw) + len(raw) % 2)
    setattr(dataset, keyword, placeholder.decode())
    dataset.SpecificCharacterSet = list(character_sets)
    dataset.save_as(path)
    content = path.read_bytes()
    assert content.count(placeholder) == 1
    path.write_bytes(content.replace(placeholder, raw.ljust(len(placeholder))))


BITS = replace(VIEWER, masks=MaskEncoding.BINARY)
"""What the viewer's profile gives on a grid of whole bytes: the shapes here are odd on purpose, and most tests are about one form."""


def encoding(files: Sequence[Path], findings: Findings, *, volume: Subject | None = None, **more: Any) -> Encoding:
    """Everything that the objects are made from."""
    given: dict[str, Any] = {
        "application": application(),
        "at": AT,
        "input_digest": hashlib.sha256(b"inputs").hexdigest(),
        "model_digest": hashlib.sha256(b"model").hexdigest(),
        "parameters": "{}",
        "device_uid": derive_uid("device", "of the test"),
        "profiles": (BITS,),
        **more,
    }
    return Encoding(
        findings=findings,
        sources=[pydicom.dcmread(path, stop_before_pixels=True) for path in files],
        subject=volume or assemble(files),
        findings_digest=findings_file.digest(findings),
        **given,
    )


def oriented(volume: Volume, mask: NDArray[Any], affine: Affine) -> NDArray[Any]:
    """A mask that was thought on `affine`, on the grid of the volume (whose slices may run the other way)."""
    return mask if np.allclose(volume.affine, affine, atol=1e-3) else mask[::-1]


def points_mm(mask: NDArray[np.bool_], affine: Affine) -> NDArray[np.float64]:
    """Centres of a mask's voxels in patient LPS mm, sorted: where the structure lies, whatever the grid."""
    zyx = np.argwhere(mask).astype(np.float64)
    return in_order(zyx @ affine[:3, :3].T + affine[:3, 3])


def in_order(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points sorted by x, y and z, rounded to a hundredth of a mm."""
    rounded = points.round(2) + 0.0
    return np.asarray(rounded[np.lexsort(rounded.T)])


def save(objects: Sequence[Encoded], folder: Path) -> list[Path]:
    """The objects as files, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, one in enumerate(objects):
        paths.append(folder / f"{number}-{one.kind}.dcm")
        paths[-1].write_bytes(one.data)
    return paths


def kinds(objects: Sequence[Encoded]) -> list[str]:
    """What came out, in order."""
    return [one.kind for one in objects]


PREDECESSOR = Predecessor(
    study_instance_uid="1.2.3",
    series_instance_uid="1.2.3.9",
    sop_instance_uid="1.2.3.9.1",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
)


def tampered(one: Encoded, **changes: object) -> Encoded:
    """The object with other values in some attributes, as a defect in the writer would leave it."""
    dataset = pydicom.dcmread(BytesIO(one.data))
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return replace(one, data=file.getvalue())
