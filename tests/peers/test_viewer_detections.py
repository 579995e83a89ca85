"""Boxes in OHIF: with coded answers, and on what is no ordinary slice: oblong pixels, a film, a frame of a loop; judged by the picture."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from inference import codes
from inference.applications.lung_nodule.application import CLASSES, DENSITY
from inference.applications.lung_nodule.follow_up import TABLE, Density
from inference.codes import Code
from inference.findings import Box, Findings, Location, Measurement, Quality
from inference.imaging.write_series import write_series
from node.results.port import Encoding
from tests.lab.loopback import free_port
from tests.lab.ohif import WITH_PANEL, Viewer
from tests.lab.orthanc import Orthanc
from tests.lab.program import wait_until
from tests.results import images, made
from tests.results.reports import reports

pytestmark = [pytest.mark.peers, pytest.mark.slow, pytest.mark.timeout(900)]

ROWS, COLUMNS = 96, 80
BOX = Box(top=20, left=30, bottom=60, right=50)
FRAME = 7
NODULE = Code("27925004", "SCT", "Nodule")


def found(image: int) -> Findings:
    """A nodule in a box, with nothing to say about it."""
    return Findings(locations=(Location(label="nodule 1", finding=NODULE, shape=BOX, image=image),))


def bright(inside: int, greyest: int) -> NDArray[np.uint16]:
    """An image that is bright where the box is, with shades of dark grey elsewhere: the viewer is ready when it shows shades."""
    pixels = np.tile(np.linspace(0, greyest, COLUMNS).astype(np.uint16), (ROWS, 1))
    pixels[20:60, 30:50] = inside
    return pixels


def _pixels(path: Path, pixels: NDArray[np.generic]) -> None:
    dataset = pydicom.dcmread(path)
    dataset.Rows, dataset.Columns, dataset.PixelData = ROWS, COLUMNS, pixels.tobytes()
    dataset.WindowCenter, dataset.WindowWidth = int(pixels.max()) // 2, int(pixels.max())
    dataset.save_as(path)


def oblong(folder: Path) -> tuple[Sequence[Path], Encoding]:
    """A CT whose rows are twice as far apart as its columns, bright in one slice."""
    image = np.stack([bright(900 if z == 2 else 50, 100) for z in range(5)]).astype(np.int16) - 160
    affine = made.axes((1.5, 0, 0), (0, 3.0, 0), (0, 0, 2.5))
    files = write_series(image, affine, folder, modality="CT", patient_name="Doe^Jane", patient_id="P-oblong")
    return files, made.encoding(files, found(2))


def measured(folder: Path) -> tuple[Sequence[Path], Encoding]:
    """A CT with a nodule of which a density, a follow-up category and numbers are said, as lung-nodule does: the box stands there twice."""
    image = np.stack([bright(900 if z == 2 else 50, 100) for z in range(5)]).astype(np.int16) - 160
    affine = made.axes((1.5, 0, 0), (0, 1.5, 0), (0, 0, 2.5))
    files = write_series(image, affine, folder, modality="CT", patient_name="Doe^Jane", patient_id="P-nodule")
    bare = found(2)
    answers = (Quality(name=DENSITY, value=CLASSES[Density.SOLID]), Quality(name=codes.RECOMMENDED_FOLLOW_UP, value=TABLE[2].code))
    sizes = tuple(
        Measurement(name=name, value=60.0, unit=codes.MILLIMETRE, location="nodule 1") for name in (codes.LONG_AXIS, codes.SHORT_AXIS)
    )
    location = replace(bare.locations[0], certainty=0.97, finding_site=codes.LUNG, qualities=answers)
    # a series of one UID in two studies is shown in neither
    return files, made.encoding(files, Findings(locations=(location,), measurements=sizes), input_digest="3" * 64)


def radiograph(folder: Path) -> tuple[Sequence[Path], Encoding]:
    """A film, whose pixels have a size on the detector and no place in the patient."""
    path = images.radiograph(folder, 1, 1, PatientID="P-film", StudyInstanceUID=f"{images.STUDY[:-3]}1")
    _pixels(path, bright(3500, 800))
    return [path], images.radiographs([path], found(0))


def loop(folder: Path) -> tuple[Sequence[Path], Encoding]:
    """A loop in which the box is bright in one frame, and grey in all others."""
    path = images.loop(folder)
    frames = np.stack([bright(200 if frame == FRAME else 60, 60) for frame in range(12)])
    _pixels(path, frames.astype(np.uint8))
    return [path], images.cine(path, found(FRAME))


def off_by_a_pixel(folder: Path) -> tuple[Sequence[Path], Encoding]:
    """The film, with what is bright one column further than the box."""
    path = images.radiograph(folder, 1, 2, PatientID="P-off", StudyInstanceUID=f"{images.STUDY[:-3]}2")
    _pixels(path, np.roll(bright(3500, 800), 1, axis=1))
    # other inputs than the film's: a series of one UID in two studies is shown in neither
    return [path], images.radiographs([path], found(0), input_digest="2" * 64)


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """One archive for all that is shown."""
    with Orthanc(tmp_path_factory.mktemp("pacs") / "pacs", node_port=free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def viewer(pacs: Orthanc) -> Iterator[Viewer]:
    """One browser."""
    with Viewer(pacs.url, size=WITH_PANEL) as running:
        yield running


def inner(picture: NDArray[np.uint8]) -> NDArray[np.int16]:
    """What lies away from the edges, where the viewer writes."""
    return picture[picture.shape[0] // 6 : -picture.shape[0] // 6, picture.shape[1] // 6 : -picture.shape[1] // 6].astype(np.int16)


def lit(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """What is bright there."""
    return np.asarray(inner(picture).min(axis=2) > 160)


def framed(picture: NDArray[np.uint8]) -> float:
    """Which part of the edge of what is bright has the viewer's green mark within half a pixel of the image, on the worst side."""
    shown = inner(picture)
    marks = (shown[..., 1] - np.maximum(shown[..., 0], shown[..., 2])) > 60
    rows, columns = np.argwhere(lit(picture)).T
    top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
    down, across = (round((bottom - top) / 40 / 2), round((right - left) / 20 / 2))
    sides = [
        *(marks[max(edge - down, 0) : edge + down + 1, left:right].any(axis=0) for edge in (top, bottom)),
        *(marks[top:bottom, max(edge - across, 0) : edge + across + 1].any(axis=1) for edge in (left, right)),
    ]
    return float(min(side.mean() for side in sides))


@pytest.mark.parametrize(("source", "lies"), [(oblong, True), (measured, True), (radiograph, True), (loop, True), (off_by_a_pixel, False)])
def test_a_box_is_drawn_where_it_was_found(
    source: Callable[[Path], tuple[Sequence[Path], Encoding]], lies: bool, pacs: Orthanc, viewer: Viewer, tmp_path: Path
) -> None:
    """A click on the measurement leads to the slice or the frame, and the rectangle frames what is bright there, to half a pixel. One pixel
    off, it does not: the check can fail. With numbers and coded answers it is one measurement still."""
    files, encoding = source(tmp_path)
    for data in (*(path.read_bytes() for path in files), *(one.data for one in reports(encoding))):
        pacs.post_instance(data)
    with viewer.open(encoding.subject.study_instance_uid) as opened:
        opened.show_series("detections")
        (row,) = opened.measurements(1)
        assert "Nodule" in row
        opened.go_to_measurement(0)
        wait_until(lambda: lit(opened.viewport()).any(), 60, "what is bright is shown", every_s=0.2)
        assert (framed(opened.still()) > 0.9) is lies
