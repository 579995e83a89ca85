"""Cases from drawn slices of short-axis cines, two phases a patient, as PNG: the Sunnybrook data as github:mshunshin/SegNetCMR packs them.

DIR/images/PATIENT_NNNN.png and DIR/labels/PATIENT_NNNN.png, white where the cavity is. NNNN counts 20 frames a slice; a patient was drawn
at two frames, of which the one with more cavity is end-diastole. Slices on which no cavity was drawn are not there, and nothing says how
large a pixel is or how far slices are apart: what is made here has nominal ones, and millilitres must not be told of it.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import MRImageStorage

from inference.applications.left_ventricle.preparing import DISPLAYED, LONG_AXIS, PIXEL_MM
from inference.imaging.subject import Clock, Phases, Timing
from inference.imaging.volume import SliceSource, Volume
from training.data.cases import Case
from training.errors import UnfitData

FRAMES = 20
"""Of a slice, by the numbers of the instances."""
STEP_MM = 8.0
"""Nominal, as `PIXEL_MM` is: by the description of the challenge."""
NAME = re.compile(r"(?P<patient>.+)_(?P<instance>\d{4})")
GROUP = re.compile(r"SC-(?P<group>[A-Z]+(?:-[A-Z]+)?)-\d+")

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledPhases:
    """Phases as serving would assemble them, and the truth about them.

    Attributes
    ----------
    labels
        (T, Z, Y, X) uint8 on the grid of the phases.
    drawn
        (T, Z) whether a slice was drawn in a phase: what was not drawn is black.
    attributes
        As of `Labelled`.
    """

    phases: Phases
    labels: Pixels
    drawn: NDArray[np.bool_]
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def ejected(self) -> float:
        """The ejection fraction in percent, by the drawn pixels."""
        pixels = np.count_nonzero(self.labels, axis=(1, 2, 3))
        return float(100 * (1 - pixels.min() / pixels.max()))


def short_axes(folder: Path) -> tuple[Case, ...]:
    """One case for each patient, sorted; images without a label are left out.

    Raises
    ------
    UnfitData
        There are none, or one is named otherwise.
    """
    images, labels = folder / "images", folder / "labels"
    patients: dict[str, list[Path]] = {}
    for label in sorted(labels.glob("*.png")):
        named = NAME.fullmatch(label.stem)
        if named is None:
            raise UnfitData(f"{label} is not named PATIENT_NNNN.png, by patient and number of the instance")
        if (images / label.name).is_file():
            patients.setdefault(named["patient"], []).append(label)
    if not patients:
        raise UnfitData(f"{folder} has no images/PATIENT_NNNN.png with labels/PATIENT_NNNN.png")
    return tuple(
        Case(patient=patient, name=patient, load=partial(_load, patient, images, drawn), stratum=_group(patient))
        for patient, drawn in sorted(patients.items())
    )


def _group(patient: str) -> str:
    named = GROUP.fullmatch(patient)
    return named["group"] if named else ""


def _load(patient: str, images: Path, labels: Sequence[Path]) -> LabelledPhases:
    there: dict[int, dict[int, tuple[Pixels, Pixels]]] = {}
    for label in labels:
        instance = int(label.stem[-4:]) - 1
        image, truth = _read(images / label.name), (_read(label) > 0).astype(np.uint8)
        if image.shape != truth.shape:
            raise UnfitData(f"{label} has {truth.shape[1]} x {truth.shape[0]} pixels, and its image {image.shape[1]} x {image.shape[0]}")
        there.setdefault(instance % FRAMES, {})[instance // FRAMES] = image, truth
    if len(there) != 2:
        raise UnfitData(f"{patient} was drawn at {len(there)} frames of the beat, where end-diastole and end-systole are two")
    beat = sorted(there.values(), key=lambda slices: -sum(int(truth.sum()) for _, truth in slices.values()))
    places = sorted({place for slices in beat for place in slices})
    shapes = {truth.shape for slices in beat for _, truth in slices.values()}
    if len(shapes) != 1:
        raise UnfitData(f"the images of {patient} differ in size: {sorted(shapes)}")
    (shape,) = shapes
    black = (np.zeros(shape, dtype=np.uint8),) * 2
    voxels, truth = (np.stack([[slices.get(place, black)[at] for place in places] for slices in beat]) for at in (0, 1))
    drawn = np.array([[place in slices for place in places] for slices in beat])
    return LabelledPhases(
        phases=phases_of(voxels, patient), labels=truth, drawn=drawn, attributes={"group": group} if (group := _group(patient)) else {}
    )


def _read(path: Path) -> Pixels:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"))
    except (OSError, UnidentifiedImageError) as broken:
        raise UnfitData(f"{path} is no picture that can be read: {broken}") from broken


def phases_of(voxels: Pixels, name: str) -> Phases:
    """Slices (T, Z, Y, X) as a beat that no scanner made, across the long axis and as scanners show it; UIDs are derived from `name`."""
    uid = f"2.25.{int.from_bytes(hashlib.sha256(name.encode()).digest()[:15])}"
    affine = np.eye(4)
    affine[:3, :3] = np.stack([LONG_AXIS * STEP_MM, *(DISPLAYED * PIXEL_MM)], axis=1)
    volumes = tuple(
        Volume(
            voxels=voxels[phase].astype(np.int16),
            affine=affine,
            sources=tuple(
                SliceSource(sop_instance_uid=f"{uid}.{phase + 1}.{z + 1}", sop_class_uid=str(MRImageStorage))
                for z in range(voxels.shape[1])
            ),
            modality="MR",
            study_instance_uid=f"{uid}.0.1",
            series_instance_uid=f"{uid}.0.2",
            frame_of_reference_uid=f"{uid}.0.3",
        )
        for phase in range(len(voxels))
    )
    timing = Timing(clock=Clock.HEART, attribute="TriggerTime", unit="ms", values=tuple(300.0 * phase for phase in range(len(voxels))))
    return Phases(volumes=volumes, timing=timing)


BEYOND = 2
"""Slices that `padded` puts at either end."""
_WALL_PX = (2, 7)
_ASIDE = 80


def padded(labelled: LabelledPhases, name: str) -> LabelledPhases:
    """The stack with slices beyond base and apex, and in place of what was not drawn: made ones, on which there is no cavity.

    The nearest has the outermost drawn slice with its cavity painted over like the wall around it, the next one another place of the same
    chest. No atrium and no outflow tract is among them: nothing that was drawn shows one.
    """
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))
    voxels = np.stack([volume.voxels for volume in labelled.phases.volumes]).astype(np.uint8)
    labels, drawn = labelled.labels, labelled.drawn
    stacks, truths = [], []
    for images, truth, there in zip(voxels, labels, drawn, strict=True):
        ends = np.flatnonzero(there)[[0, -1]]
        near = [painted_over(images[end], truth[end], rng) for end in ends]
        far = [np.roll(one, _ASIDE, axis=1) for one in near]
        # what was not drawn lies beyond the end next to it
        inner = [images[z] if there[z] else near[0 if z < ends[0] else 1] for z in range(len(images))]
        stacks.append(np.stack([far[0], near[0], *inner, near[1], far[1]]))
        truths.append(np.pad(truth, ((BEYOND, BEYOND), (0, 0), (0, 0))))
    return replace(
        labelled,
        phases=phases_of(np.stack(stacks), f"{name} padded"),
        labels=np.stack(truths),
        drawn=np.pad(drawn, ((0, 0), (BEYOND, BEYOND))),
    )


def painted_over(image: Pixels, truth: Pixels, rng: np.random.Generator) -> Pixels:
    """A slice whose cavity is painted over with what is around it."""
    from scipy.ndimage import binary_dilation, gaussian_filter

    least, most = (binary_dilation(truth > 0, iterations=px) for px in _WALL_PX)
    wall = image[most & ~least]
    if not wall.size:
        return image
    noise = gaussian_filter(rng.normal(0, 1, image.shape), 1.0)
    painted = np.median(wall) + noise / max(float(noise.std()), 1e-6) * min(float(wall.std()), 12.0)
    over = gaussian_filter(least.astype(np.float32), 1.0)
    closed: Pixels = np.clip(np.rint(image * (1 - over) + painted * over), 0, 255).astype(np.uint8)
    return closed
