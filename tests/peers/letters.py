"""Studies in an archive that show a bright letter, with the results of a job about it; and what a viewer's pixels say of them.

The letter is bright in the images: the viewer's own picture says where an overlay has to be.
"""

import hashlib
import itertools
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from inference import codes
from inference.findings import Box, Findings, Location, Measurement, Point
from inference.imaging.assemble import assemble
from inference.imaging.volume import Affine, Volume
from inference.imaging.write_series import write_series
from node.domain.profile import Kind
from node.results.encode import encode
from node.results.port import Encoded
from tests.lab.ohif import Viewer
from tests.lab.orthanc import Orthanc
from tests.results import kinds, made

SHAPE = (16, 72, 64)
DECUBITUS = made.axes((0, 1.5, 0), (-1.5, 0, 0), (0, 0, 2.5))
"""Transverse slices of a patient who lies on the side: rows run from front to back, columns from left to right."""
SERIES: Mapping[str, Affine] = {
    "axial": made.axes((1.5, 0, 0), (0, 1.5, 0), (0, 0, 2.5)),
    "acquired sagittally": made.axes((0, 1.5, 0), (0, 0, -1.5), (-2.5, 0, 0)),
    "decubitus": DECUBITUS,
    "oblique": made.ORIENTATIONS["oblique"],
}
SLICES = (3, 5, 10, 12)
"""Right before the object, in its narrow and its wide part, and right behind it, whichever slice the viewer counts as the first."""


def letter() -> NDArray[np.bool_]:
    """An L that is narrower in its first slices: no flip, turn or shift leaves it where it is."""
    mask = np.zeros(SHAPE, dtype=np.bool_)
    mask[4:12, 16:44, 18:28] = True
    mask[6:12, 36:44, 28:44] = True
    return mask


def image(bright: NDArray[np.bool_]) -> NDArray[np.int16]:
    """A CT of a body in air in which `bright` is as dense as bone."""
    z, y, x = np.ogrid[tuple(slice(length) for length in SHAPE)]
    body = ((z - 7.5) / 9) ** 2 + ((y - 36) / 32) ** 2 + ((x - 32) / 27) ** 2 < 1
    hu = np.where(body, 40, -1000).astype(np.int16)
    hu[bright] = 900
    return hu


_numbers = itertools.count(1)


class Shown:
    """One study in the archive: a series with something bright in it, and the results of one job."""

    def __init__(self, pacs: Orthanc, files: list[Path], findings: Findings, volume: Volume, **more: Any) -> None:
        digest = hashlib.sha256(str(files[0]).encode()).hexdigest()
        self.study = volume.study_instance_uid
        self.objects: list[Encoded] = encode(made.encoding(files, findings, volume=volume, input_digest=digest, **more))
        self._pacs = pacs
        for path in files:
            pacs.post_instance(path.read_bytes())

    def store(self, *kinds_of: Kind, form: str | None = None, change: Callable[[pydicom.Dataset], None] | None = None) -> None:
        """Store the objects of some kinds; `change` spoils them first."""
        for one in self.objects:
            if one.kind in kinds_of and form in (None, one.form):
                data = one.data
                if change is not None:
                    dataset = pydicom.dcmread(BytesIO(data))
                    change(dataset)
                    file = BytesIO()
                    dataset.save_as(file)
                    data = file.getvalue()
                self._pacs.post_instance(data)


def study(folder: Path, bright: NDArray[np.bool_], affine: Affine, *, cut: tuple[slice, ...] = (slice(None),)) -> tuple[list[Path], Volume]:
    """A series on disk, of a patient of its own: the viewer lists all studies of one. `cut` is the part of the image that is written."""
    number = next(_numbers)
    extra = {"BodyPartExamined": "HEAD", "StudyDescription": "CT of a letter"}
    files = write_series(image(bright)[cut], affine, folder, modality="CT", patient_name="Doe^Jane", patient_id=f"P-{number}", extra=extra)
    return files, assemble(files)


def on_grid(mask: NDArray[np.bool_], affine: Affine, volume: Volume) -> NDArray[np.bool_]:
    """The mask on the volume's grid, whose slices may run the other way."""
    return made.oriented(volume, mask, affine)


def bright(shown: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels that are nearly white, away from the edges, where the viewer writes."""
    return np.asarray(middle(shown).min(axis=2) > 190)


def coloured(shown: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels of the middle that have a colour."""
    part = middle(shown).astype(np.int16)
    return np.asarray(part.max(axis=2) - part.min(axis=2) > 24)


def middle(shown: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What lies an eighth of the viewport away from its edges."""
    rows, columns = shown.shape[:2]
    return shown[rows // 8 : -rows // 8, columns // 8 : -columns // 8]


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """How well two regions cover each other; 1 when both are empty."""
    size = int(one.sum() + other.sum())
    return 2.0 * float((one & other).sum()) / size if size else 1.0


def fits(viewer: Viewer, study_uid: str, slices: tuple[int, ...] = SLICES) -> list[float]:
    """How well the overlay covers what is bright, slice by slice: the picture before against the picture with the segmentation."""
    with viewer.open(study_uid) as opened:
        before = [bright(opened.slice(index)) for index in slices]
        assert opened.coloured() == 0
        opened.show_series("SEG")
        opened.wait_for_overlay(0)
        return [dice(seen, coloured(opened.slice(index))) for seen, index in zip(before, slices, strict=True)]


def block() -> NDArray[np.bool_]:
    """A block on slices 6 to 9, rows 20 to 33, columns 14 to 35; and a dot of 3 x 3 pixels in the middle of slice 3."""
    mask = np.zeros(SHAPE, dtype=np.bool_)
    mask[6:10, 20:34, 14:36] = True
    mask[3, 44:47, 40:43] = True
    return mask


BOX, DOT = Box(top=20, left=14, bottom=34, right=36), Point(row=45.5, column=41.5)


def places(box: Box = BOX) -> Findings:
    """The block as a box with its diameter, and the dot as a point."""
    lesion = Location(label="lesion 1", finding=made.LESION, shape=box, image=7, finding_site=codes.BRAIN, certainty=0.9)
    dot = Location(label="lesion 2", finding=made.LESION, shape=DOT, image=3, finding_site=codes.BRAIN)
    diameter = Measurement(name=kinds.DIAMETER, value=33.0, unit=codes.MILLIMETRE, location="lesion 1")
    return Findings(locations=(lesion, dot), measurements=(diameter,))


def drawn(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels of the viewer's marks, which are green."""
    part = picture.astype(np.int16)
    return (part[..., 1] - np.maximum(part[..., 0], part[..., 2])) > 60


def framed(picture: NDArray[np.uint8]) -> float:
    """Which part of the edge of what is bright has a mark near to it."""
    lit, marks = bright(picture), drawn(middle(picture))
    rows, columns = np.argwhere(lit).T
    top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
    # half a pixel of the images on the screen, which are as large as they can be there
    near = round(min(picture.shape[0] / SHAPE[1], picture.shape[1] / SHAPE[2]) / 2)
    along = [
        marks[top - near : top + near + 1, left:right].any(axis=0),
        marks[bottom - near : bottom + near + 1, left:right].any(axis=0),
        marks[top:bottom, left - near : left + near + 1].any(axis=1),
        marks[top:bottom, right - near : right + near + 1].any(axis=1),
    ]
    return float(min(edge.mean() for edge in along))
