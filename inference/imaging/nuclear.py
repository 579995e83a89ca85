"""Where the slices of a nuclear medicine tomogram lie: one position for all frames, in the detector's item, and a signed distance."""

import numpy as np
from pydicom.dataset import Dataset

from inference.imaging import tags
from inference.imaging.bounds import thickness_mm
from inference.imaging.errors import MissingAttribute
from inference.imaging.geometry import Plane

RECONSTRUCTED = frozenset({"RECON TOMO", "RECON GATED TOMO"})
"""ImageType value 3 (PS3.3 C.8.4.9.1.1) of those NM images whose frames are slices; projections and whole bodies are no volume."""


def is_tomogram(dataset: Dataset) -> bool:
    """Whether the frames are slices in the sense of the NM Reconstruction module."""
    image_type = [part.strip() for part in tags.text(dataset, tags.IMAGE_TYPE).split("\\")]
    return tags.text(dataset, tags.MODALITY) == "NM" and len(image_type) > 2 and image_type[2] in RECONSTRUCTED


def tomogram_planes(dataset: Dataset, frames: int, uid: str, shape: tuple[int, int]) -> tuple[Plane | None, ...]:
    """The plane of each frame (PS3.3 C.8.4.11, C.8.4.15); None for all where no detector gives the first one's place.

    SliceVector says which slice a frame is. The first lies where the detector's item says; the others follow in steps of
    SpacingBetweenSlices along row direction x column direction, backwards where it is negative.

    Raises
    ------
    MissingAttribute
        Detectors contradict each other, or a number without which the other slices have no place is absent.
    """
    placed = []
    for detector in tags.items(dataset, tags.DETECTOR_INFORMATION, uid):
        position = tags.numbers(detector, tags.IMAGE_POSITION, uid, 3)
        orientation = tags.numbers(detector, tags.IMAGE_ORIENTATION, uid, 6)
        if position is not None and orientation is not None:
            placed.append((position, orientation))
    if not placed:
        return (None,) * frames
    if len(set(placed)) > 1:
        raise MissingAttribute(f"{len(placed)} detectors of {uid} give its first slice different places")
    spacing = tags.numbers(dataset, tags.PIXEL_SPACING, uid, 2)
    step = tags.numbers(dataset, tags.SPACING_BETWEEN_SLICES, uid, 1)
    thickness = tags.numbers(dataset, tags.SLICE_THICKNESS, uid, 1)
    slices = tags.numbers(dataset, tags.SLICE_VECTOR, uid, frames) if frames > 1 else (1.0,)
    needed = {"PixelSpacing": spacing, "SpacingBetweenSlices": step if frames > 1 else (0.0,), "SliceVector": slices}
    absent = " and ".join(keyword for keyword, value in needed.items() if value is None)
    if absent or spacing is None or slices is None:
        raise MissingAttribute(f"{absent} is absent in {uid}: its slices have no place")
    (x, y, z), (rx, ry, rz, cx, cy, cz) = placed[0]
    normal = np.cross((rx, ry, rz), (cx, cy, cz)) * (step[0] if step else 0.0)
    planes = []
    for frame, number in enumerate(slices, start=1):
        px, py, pz = (float(mm) for mm in np.array((x, y, z)) + normal * (number - 1))
        planes.append(
            Plane(
                uid=uid,
                frame=frame,
                position=(px, py, pz),
                orientation=(rx, ry, rz, cx, cy, cz),
                spacing=(spacing[0], spacing[1]),
                rows=shape[0],
                columns=shape[1],
                thickness=thickness_mm(thickness[0] if thickness else None),
            )
        )
    return tuple(planes)
