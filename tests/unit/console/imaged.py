"""A study with pixels and a segmentation in the blobs: MR slices sent in a muddled order, and a SEG whose frames go the other way."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from inference.imaging.write_series import write_series
from node.blobs.port import Blobs
from node.dicom.header import read_header
from node.domain.instance import Instance
from node.domain.job import Job, ResultObject
from node.journal.port import NewInstance
from tests.unit.cli.conftest import Hospital

DEPTH, ROWS, COLUMNS = 8, 24, 32
STEP_MM = 3.0
WINDOW = (500.0, 1000.0)
RED, BLUE = (255, 0, 0), (0, 0, 255)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Imaged:
    """The study; `voxels` and `segments` (number → mask) are (Z, Y, X): z to the head, y to the back, x to the patient's RIGHT."""

    study: str
    series: str
    voxels: NDArray[np.int16]
    segments: dict[int, NDArray[np.bool_]]
    files: list[Path]
    job: Job
    seg: ResultObject


def receive(hospital: Hospital, blobs: Blobs, folder: Path, **header: object) -> Imaged:
    """Slices come in, are routed to a job, and its segmentation is there; `header` is added to each slice."""
    z, y, x = np.indices((DEPTH, ROWS, COLUMNS))
    voxels = (100 * z + 5 * y + 2 * x).astype(np.int16)
    affine = np.array([[0.0, 0, -1, 20], [0, 1, 0, -12], [STEP_MM, 0, 0, -5], [0, 0, 0, 1]])
    segments = {1: (z >= 2) & (z < 5) & (y < 6) & (x < 9), 2: (z == 4) & (y > 15) & (x > 20)}
    extra = {"WindowCenter": "500", "WindowWidth": "1000", **header}
    files = write_series(voxels, affine, folder, modality="MR", series_description="T1 MPRAGE sag", extra=extra)
    datasets = [dcmread(path) for path in files]
    for number, (path, dataset) in enumerate(zip(files, datasets, strict=True)):
        dataset.InstanceNumber = 1 + (5 * number) % DEPTH  # the order of the numbers is nobody's order in space
        dataset.save_as(path)
    study, series = str(datasets[0].StudyInstanceUID), str(datasets[0].SeriesInstanceUID)
    keep(hospital, blobs, sorted(files, key=lambda path: str(path)[::-1]), "pacs")
    (job,) = hospital.route(hospital.journal.arrivals.find(study=study)[-1].id)
    hospital.analyse(job)
    seg = next(one for one in hospital.journal.results.of_job(job.id) if one.kind == "seg")
    put(blobs, seg.blob, segmentation(datasets, segments), folder)
    return Imaged(study=study, series=series, voxels=voxels, segments=segments, files=files, job=job, seg=seg)


def keep(hospital: Hospital, blobs: Blobs, files: Sequence[Path], peer: str) -> None:
    """Files become blobs and rows, as the receiver and the index make them."""
    news = []
    for path in files:
        identity, header = read_header(path)
        name = f"{identity.study_instance_uid}/{path.name}"
        blobs.put(name, path.read_bytes())
        one = Instance(
            sop_instance_uid=identity.sop_instance_uid,
            sop_class_uid=identity.sop_class_uid,
            study_instance_uid=identity.study_instance_uid,
            series_instance_uid=identity.series_instance_uid,
            transfer_syntax_uid=identity.transfer_syntax_uid,
            blob=name,
            size=path.stat().st_size,
            digest=path.name,
            calling_ae="PACS",
            called_ae="HILUM",
            address="127.0.0.1",
            peer=peer,
            received_at=hospital.now,
            header=header,
        )
        news.append(NewInstance(instance=one, opens=True, scope_series=False, due_at=hospital.now))
    hospital.journal.instances.record(news, hospital.now)


def put(blobs: Blobs, name: str, dataset: Dataset, folder: Path) -> None:
    """A data set becomes a blob."""
    path = folder / "put.dcm"
    dataset.save_as(path, enforce_file_format=True)
    blobs.put(name, path.read_bytes())


def segmentation(datasets: Sequence[Dataset], segments: Mapping[int, NDArray[Any]], kind: str = "BINARY", **more: Any) -> Dataset:
    """A SEG as highdicom makes it, its sources and therefore its frames from the other end than the masks' axis 0; of kind FRACTIONAL the
    masks are floats."""
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"part {number}",
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.Brain,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=hd.AlgorithmIdentificationSequence(name="test", version="1", family=codes.DCM.ArtificialIntelligence),
            display_color=hd.color.CIELabColor.from_rgb(*colour),
        )
        for number, colour in zip(segments, (RED, BLUE), strict=True)
    ]
    made: Dataset = hd.seg.Segmentation(
        source_images=list(reversed(datasets)),
        pixel_array=np.stack(list(segments.values()), axis=-1)[::-1].astype(np.float32 if kind == "FRACTIONAL" else np.uint8),
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=900,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="test",
        manufacturer_model_name="test",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=True,
        **more,
    )
    return made


def shifted(datasets: Sequence[Dataset], *, columns: int, depth_mm: float = 0.0) -> list[Dataset]:
    """The same slices cut off by some columns at their left edge, and moved along z: another grid in the same space."""
    moved = []
    for one in datasets:
        copy = deepcopy(one)
        x, y, z = (float(mm) for mm in one.ImagePositionPatient)
        copy.ImagePositionPatient = [x - columns, y, z + depth_mm]  # columns lead to -x, 1 mm each
        copy.Columns = one.Columns - columns
        moved.append(copy)
    return moved
