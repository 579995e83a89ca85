"""Files of readings as the LIDC wrote them: a response header, and a session for each reader with the nodules that it outlined."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.imaging.assemble import assemble
from inference.imaging.volume import Volume
from inference.imaging.write_series import write_series

from .studies import AFFINE, SHAPE


def outline(top: int, left: int, size: int) -> list[tuple[int, int]]:
    """(column, row) along the pixels around a square of `size` pixels, in order."""
    low, high = -1, size
    ring = [
        *((low, at) for at in range(low, high)),
        *((at, high) for at in range(low, high)),
        *((high, at) for at in range(high, low, -1)),
        *((at, low) for at in range(high, low, -1)),
    ]
    return [(left + column, top + row) for row, column in ring]


def roi(volume: Volume, index: int, points: Sequence[tuple[int, int]], inclusion: str = "TRUE") -> str:
    edges = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points)
    uid, z = volume.sources[index].sop_instance_uid, float((volume.affine @ (index, 0, 0, 1))[2])
    return f"<roi><imageZposition>{z}</imageZposition><imageSOP_UID>{uid}</imageSOP_UID><inclusion>{inclusion}</inclusion>{edges}</roi>"


def nodule(rois: Sequence[str], texture: int | None) -> str:
    told = "" if texture is None else f"<characteristics><subtlety>4</subtlety><texture>{texture}</texture></characteristics>"
    return f"<unblindedReadNodule><noduleID>N</noduleID>{told}{''.join(rois)}</unblindedReadNodule>"


def message(volume: Volume, sessions: Sequence[Sequence[str]]) -> str:
    """A file as the LIDC wrote it: a response header, a session for each reader."""
    read = "".join(
        f"<readingSession><annotationVersion>3.12</annotationVersion><servicingRadiologistID>anon</servicingRadiologistID>{''.join(nodules)}"
        "<nonNodule><nonNoduleID>1</nonNoduleID><locus><xCoord>3</xCoord><yCoord>3</yCoord></locus></nonNodule></readingSession>"
        for nodules in sessions
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<LidcReadMessage uid="1.3" xmlns="http://www.nih.gov">'
        f"<ResponseHeader><Version>1.8.1</Version><SeriesInstanceUid>{volume.series_instance_uid}</SeriesInstanceUid></ResponseHeader>"
        f"{read}</LidcReadMessage>"
    )


def lidc_series(folder: Path, patient: int, readers: int = 4) -> tuple[Path, NDArray[np.bool_]]:
    """A patient's CT with a bright cube, which so many readers outlined, among longer bars that nobody did; the file of readings, and the
    cube's voxels (Z, Y, X)."""
    rng = np.random.default_rng(patient)
    first = rng.integers(3, np.array(SHAPE) - 13)
    cube = np.zeros(SHAPE, dtype=np.bool_)
    cube[first[0] : first[0] + 7, first[1] : first[1] + 9, first[2] : first[2] + 9] = True
    bars = np.zeros(SHAPE, dtype=np.bool_)
    bars[:, 2:6, 2:6] = bars[:, -6:-2, -8:-4] = True
    voxels = (rng.normal(-800, 25, SHAPE) + 750 * (cube | bars)).round().astype(np.int16)
    name = f"LIDC-IDRI-{patient:04d}"
    volume = assemble(write_series(voxels, AFFINE, folder / name / "ct", modality="CT", patient_id=name))
    drawn = nodule([roi(volume, int(z), outline(int(first[1]), int(first[2]), 9)) for z in range(first[0], first[0] + 7)], 5)
    file = folder / name / "ct" / f"{patient}.xml"
    file.write_text(message(volume, [[drawn]] * readers + [[]] * (4 - readers)))
    return file, cube
