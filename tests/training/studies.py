"""Made CT studies with DICOM SEG: bright balls that are labelled, among rods just as bright that are not; brightness alone cannot tell."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from inference.imaging.write_series import write_series

SHAPE = (28, 40, 40)
SPACING = (2.0, 1.5, 1.5)
AFFINE = np.array([[0, 0, SPACING[2], -30.0], [0, SPACING[1], 0, -20.0], [SPACING[0], 0, 0, 100.0], [0, 0, 0, 1]])
"""Slices towards the head, rows to the back, columns to the left."""

Mask = NDArray[np.bool_]


def thorax(seed: int, shape: tuple[int, int, int] = SHAPE, air: int = 0) -> tuple[NDArray[np.int16], Mask]:
    """HU (Z, Y, X) and the balls in it; with voxels of air along every border, beyond which nothing goes on."""
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[tuple(slice(0, side) for side in shape)]
    mm = np.stack([z * SPACING[0], y * SPACING[1], x * SPACING[2]])
    ball, rod = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
    sides = np.array(shape) * SPACING
    centre = rng.uniform(14, sides - 14)
    ball |= np.linalg.norm(mm - centre[:, None, None, None], axis=0) < rng.uniform(9, 12)
    for _ in range(4):
        along = int(rng.integers(3))
        across = [axis for axis in range(3) if axis != along]
        at = rng.uniform(5, sides[across] - 5)
        rod |= np.linalg.norm(mm[across] - at[:, None, None, None], axis=0) < 3.5
    voxels = (rng.normal(-60, 25, shape) + 160 * (ball | rod)).round().astype(np.int16)
    if air:
        inner = (slice(air, -air),) * 3
        around = np.full_like(voxels, -1000)
        around[inner] = voxels[inner]
        voxels = around
    return voxels, ball


def write_study(folder: Path, seed: int, *, air: int = 0, **patient: Any) -> tuple[list[Path], Mask]:
    """A patient's series and the segmentation of its balls, in folders of their own."""
    voxels, ball = thorax(seed, air=air)
    said = {"PatientID": f"P{seed:03d}", **patient}
    files = write_series(voxels, AFFINE, folder / f"p{seed:03d}" / "ct", modality="CT", patient_id=said["PatientID"], extra=said)
    write_seg(folder / f"p{seed:03d}" / "drawn" / "ball.dcm", files, {"Lesion": ball})
    return files, ball


def write_studies(folder: Path, count: int) -> Path:
    """`count` patients of one study each."""
    for seed in range(count):
        write_study(folder, seed)
    return folder


def write_seg(
    path: Path, files: Sequence[Path], masks: Mapping[str, NDArray[Any]], *, kind: str = "BINARY", keep_empty: bool = False, **more: Any
) -> Path:
    """A SEG of `highdicom`'s making: `masks` by label, (Z, Y, X) on the grid of `files`; of FRACTIONAL ones the values are 0 to 1."""
    datasets = [dcmread(file) for file in files]
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion if label.startswith("Lesion") else codes.SCT.Neoplasm,
            algorithm_type="MANUAL",
        )
        for number, label in enumerate(masks, start=1)
    ]
    stacked = np.stack(list(masks.values()), axis=-1)
    segmentation = hd.seg.Segmentation(
        source_images=datasets,
        pixel_array=stacked if kind == "FRACTIONAL" else stacked.astype(np.uint8),
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=UID(f"{datasets[0].SeriesInstanceUID[:50]}.7"),
        series_number=100,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="made",
        manufacturer_model_name="made",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=not keep_empty,
        **more,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    segmentation.save_as(path)
    return path
