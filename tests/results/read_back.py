"""What other programs read out of a result, compared with what was found: the faults in words, one by one."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from inference.findings import Box, Point, PointInSpace
from node.domain.profile import Form
from node.results.port import Encoded
from tests.lab import adapters, validators
from tests.lab.itk import paramap2itkimage
from tests.lab.needs import program
from tests.results import made
from tests.results.kinds import Case

TENTH_MM = 0.1


def inflated(path: Path) -> Path:
    """The file itself, or a copy that DCMTK inflated: dicom3tools cannot read deflated ones."""
    if read_file_meta_info(path).TransferSyntaxUID != DeflatedExplicitVRLittleEndian:
        return path
    plain = path.with_suffix(".inflated")
    if not plain.exists():
        command = [str(program("dcmconv", "dcmtk")), "--write-xfer-little", str(path), str(plain)]
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=60)
    return plain


def meant_points(case: Case) -> Mapping[int, NDArray[np.float64]]:
    """Segment number → where its voxels lie in the patient; only segments that have any."""
    segments = [one for one in case.encoding.findings.segments if one.mask.any()]
    return {number: made.points_mm(one.mask, case.encoding.volume.affine) for number, one in enumerate(segments, 1)}


def _compared(found: Mapping[int, NDArray[np.float64]], meant: Mapping[int, NDArray[np.float64]]) -> list[str]:
    faults = []
    if found.keys() != meant.keys():
        faults.append(f"segments {sorted(found)} are read, {sorted(meant)} were found")
    for number in found.keys() & meant.keys():
        if found[number].shape != meant[number].shape:
            faults.append(f"segment {number}: {len(found[number])} voxels are read, {len(meant[number])} were found")
        elif not np.allclose(found[number], meant[number], atol=TENTH_MM):
            faults.append(f"segment {number}: voxels lie up to {np.abs(found[number] - meant[number]).max():.1f} mm elsewhere")
    return faults


def slicer_masks(path: Path, case: Case, encoded: Encoded) -> list[str]:
    """The masks as dcmqi gives them to 3D Slicer."""
    try:
        segments = validators.segimage2itkimage(path)
    except AssertionError as refused:
        return [str(refused)]
    found = {one.number: made.in_order(one.points_mm()) for one in segments if one.mask.any()}
    return _compared(found, {} if encoded.form == Form.EMPTY else meant_points(case))


def viewer_masks(path: Path, case: Case, encoded: Encoded) -> list[str]:
    """The masks as the viewer's adapter lays them over the source's images, taken to the patient with the images' own headers."""
    try:
        seen = adapters.segments_of(path, case.files)
    except adapters.AdaptersRefused as refused:
        return [str(refused)]
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in case.files]
    found = {number: made.in_order(_points(mask, headers)) for number, mask in seen.masks.items()}
    faults = _compared(found, {} if encoded.form == Form.EMPTY else meant_points(case))
    meant = {number: one.label for number, one in enumerate(case.encoding.findings.segments, 1)}
    if encoded.form != Form.EMPTY and dict(seen.labels) != meant:
        faults.append(f"the viewer lists the segments {dict(seen.labels)}, not {meant}")
    return faults


def slicer_map(path: Path, case: Case) -> list[str]:
    """What dcmqi reads otherwise than it was computed: a value, or its place."""
    volume, (meant,) = case.encoding.volume, case.encoding.findings.saliencies
    try:
        found = paramap2itkimage(path)
    except AssertionError as unreadable:
        return [str(unreadable)]
    indices = np.indices(volume.voxels.shape).reshape(3, -1)
    there = np.linalg.solve(found.affine, volume.affine @ np.vstack([indices, np.ones(indices.shape[1])]))[:3]
    if np.abs(there - np.rint(there)).max() > 0.01:
        return ["the map lies beside the voxels of its source"]
    z, y, x = np.rint(there).astype(int)
    return [] if np.array_equal(found.values[z, y, x], meant.values.reshape(-1)) else ["values differ from those that were computed"]


def viewer_map(path: Path, case: Case) -> list[str]:
    """Slices of the source over which the viewer's adapter lays other values than were computed there."""
    volume, (meant,) = case.encoding.volume, case.encoding.findings.saliencies
    try:
        values, images = adapters.map_of(path, case.files)
    except adapters.AdaptersRefused as refused:
        return [str(refused)]
    slices = [(source.sop_instance_uid, source.frame or 1) for source in volume.sources]
    if sorted(images) != sorted(slices):
        return [f"{len(images)} slices are shown, {len(slices)} were mapped"]
    places = [slices.index(one) for one in images]
    return [
        f"slice {z} shows other values than were computed there"
        for shown, z in zip(values, places, strict=True)
        if not np.array_equal(shown, meant.values[z])
    ]


def viewer_regions(path: Path, case: Case) -> list[str]:
    """Boxes and points as the viewer's adapter takes them up: the corners and points in the patient, of the right image."""
    try:
        seen = adapters.measurements_of(path, case.files)
    except adapters.AdaptersRefused as refused:
        return [str(refused)]
    affine, slices = case.encoding.volume.affine, case.encoding.volume.sources
    meant: list[tuple[str, list[NDArray[np.float64]], int | None]] = []
    for one in case.encoding.findings.locations:
        shape = one.shape
        if isinstance(shape, Box):
            edges = [(shape.top, shape.left), (shape.top, shape.right), (shape.bottom, shape.left), (shape.bottom, shape.right)]
            # edges count from the outer edge of the first pixel, the affine from its middle
            meant.append(("RectangleROI", [affine @ (one.image, row - 0.5, column - 0.5, 1) for row, column in edges], one.image))
        elif isinstance(shape, Point):
            meant.append(("Probe", [affine @ (one.image, shape.row - 0.5, shape.column - 0.5, 1)], one.image))
        elif isinstance(shape, PointInSpace):
            meant.append(("Probe", [np.array((shape.x, shape.y, shape.z, 1.0))], None))
    faults = []
    for tool, corners, image in meant:
        points = np.array(corners)[:, :3]
        fits = [
            one
            for one in seen
            if one.tool == tool and one.points_mm.shape == points.shape and np.allclose(one.points_mm, points, atol=TENTH_MM)
        ]
        uid = None if image is None else slices[image].sop_instance_uid
        if not any((one.image and one.image[0]) == uid for one in fits):
            faults.append(f"no {tool} at {points.round(1).tolist()} of the image {uid}")
    return faults


def _points(mask: NDArray[np.bool_], headers: Sequence[pydicom.Dataset]) -> NDArray[np.float64]:
    points = []
    for plane, header in zip(mask, headers, strict=True):
        across, down = np.asarray(header.ImageOrientationPatient, dtype=float).reshape(2, 3)
        between_rows, between_columns = (float(value) for value in header.PixelSpacing)
        row, column = np.argwhere(plane).T
        place = np.asarray(header.ImagePositionPatient, dtype=float)
        points.append(place + np.outer(column * between_columns, across) + np.outer(row * between_rows, down))
    return np.concatenate(points)
