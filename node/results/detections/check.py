"""Reads back where a report of detections says that things lie, in coordinates, and compares it with the findings, one by one."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.findings import Box, Line, Location, Point, PointInSpace, Span
from node.results.kind import Checking
from node.results.port import Encoding, ReferencesDiffer, ResultMalformed, ValuesDiffer
from node.results.reports.check import (
    METHOD,
    TRACKING_UID,
    Image,
    certainty,
    check_report,
    code,
    coded,
    compare,
    image,
    measurement_group,
    name,
    named,
    number,
)
from node.results.sources import Sources

_IMAGE_REGION, _CERTAINTY = ("111030", "DCM"), ("111012", "DCM")
_PURPOSE = ("130400", "DCM")
_SINGLE = 1e-6
"""Relative: coordinates are kept in single precision (FL)."""
_HUNDREDTH = 0.01
"""Of a mm or a pixel: positions of slices are rounded when they are written as text."""
_ALIKE = 1e-5
"""Relative, between the distances of rows and of columns: pixels are square."""
Points: TypeAlias = NDArray[np.float64]


def check(checking: Checking) -> None:
    """Every location is where it was found.

    Raises
    ------
    ResultMalformed, ValuesDiffer, ReferencesDiffer
    """
    check_report(checking, lambda groups: _check_locations(groups, checking.encoding, checking.sources), coordinates=True)


def _check_locations(groups: Sequence[Dataset], encoding: Encoding, sources: Sources) -> None:
    """Two groups for each location that has numbers, the first without them; one for each that has none."""
    left = list(groups)
    uids: list[str] = []
    for location in encoding.findings.locations:
        measured = [number(one) for one in encoding.findings.measurements if one.location == location.label]
        spans = [_frames(encoding, one.span) for one in encoding.findings.measurements if one.location == location.label]
        measured += certainty(location.certainty)
        tracked_by = set()
        for meant in ([], measured) if measured else ([],):
            if not left:
                raise ValuesDiffer(f'the report does not speak of "{location.label}", or not of its numbers')
            group = left.pop(0)
            says = measurement_group(group)
            compare(says.numbers, meant, f'"{location.label}"')
            place = (code(location.finding_site), code(location.laterality) if location.finding_site else None)
            answers = tuple((code(one.name), code(one.value)) for one in location.qualities)
            if (says.finding, says.site, says.side, says.answers) != (code(location.finding), *place, answers):
                raise ValuesDiffer(f'of "{location.label}" the report says {says}')
            _is_point(group, location)
            _lies(group, location, encoding, sources)
            taken_from = [
                [image(part) for part in item.get("ContentSequence") or () if part.ValueType == "IMAGE"]
                for item in group.ContentSequence
                if item.ValueType == "NUM" and name(item) != _CERTAINTY
            ]
            if meant and taken_from != spans:
                raise ReferencesDiffer(f'numbers of "{location.label}" are taken from {taken_from}, found were {spans}')
            tracked_by.add(str(named(group, TRACKING_UID)[0].UID))
        if len(tracked_by) != 1:
            raise ValuesDiffer(f'"{location.label}" is tracked under {len(tracked_by)} UIDs')
        uids += tracked_by
    if left:
        raise ValuesDiffer(f"the report has {len(left)} groups more than were found")
    if len(set(uids)) != len(uids):
        raise ValuesDiffer("two locations are tracked under one UID")


def _is_point(group: Dataset, location: Location) -> None:
    """Which point of a segment it is; a detection is none."""
    said = tuple(coded(one.ConceptCodeSequence[0]) for what in (_PURPOSE, METHOD) for one in named(group, what))
    meant = () if location.point is None else (code(location.point.purpose), code(location.point.method))
    if said != meant:
        raise ValuesDiffer(f'"{location.label}" is {said or "no point of a segment"} in the report, found was {meant}')


def _frames(encoding: Encoding, span: Span | None) -> list[Image]:
    """The frames of one loop that a number was taken from, counted from 1."""
    chosen = encoding.subject.sources[span.first : span.last + 1] if span else ()
    instances = dict.fromkeys((source.sop_class_uid, source.sop_instance_uid) for source in chosen)
    return [(*uids, tuple(source.frame for source in chosen if source.frame is not None)) for uids in instances]


def _lies(group: Dataset, location: Location, encoding: Encoding, sources: Sources) -> None:
    """The shape, point by point, and what it lies on."""
    (region,) = named(group, _IMAGE_REGION)
    shape = location.shape
    points = np.asarray([float(value) for value in region.GraphicData])
    if not sources.planes:
        assert not isinstance(shape, PointInSpace), "nothing is in space without a volume"
        _on_image(region, points, _pairs(shape), location, encoding, sources)
        return
    plane = sources.planes[location.image]
    # a frame of reference that no image names is none
    in_space = str(sources.first.get("FrameOfReferenceUID") or "") == plane.FrameOfReferenceUID
    if isinstance(shape, PointInSpace):
        if in_space:
            _in_space(region, points, [(shape.x, shape.y, shape.z)], location, encoding)
        else:
            _on_image(region, points, [_on_plane(plane, shape)], location, encoding, sources, within=_HUNDREDTH)
    elif in_space and not _square(plane):
        _in_space(region, points, [_in_patient(plane, column, row) for column, row in _pairs(shape)], location, encoding)
    else:
        _on_image(region, points, _pairs(shape), location, encoding, sources)


def _pairs(shape: Box | Point | Line) -> list[tuple[float, float]]:
    """(column, row) of its points; of a box all corners, and the first again."""
    if isinstance(shape, Box):
        corners = [(shape.left, shape.top), (shape.right, shape.top), (shape.right, shape.bottom), (shape.left, shape.bottom)]
        return [*corners, corners[0]]
    ends = (shape.start, shape.end) if isinstance(shape, Line) else (shape,)
    return [(one.column, one.row) for one in ends]


def _square(plane: Dataset) -> bool:
    between_rows, between_columns = (float(mm) for mm in plane.PixelSpacing)
    return abs(between_rows - between_columns) <= _ALIKE * between_columns


def _in_patient(plane: Dataset, column: float, row: float) -> tuple[float, float, float]:
    """PS3.3 C.7.6.2.1.1, from the edge of the first pixel instead of its middle."""
    position = np.asarray(plane.ImagePositionPatient, dtype=np.float64)
    along_row, along_column = np.asarray(plane.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    between_rows, between_columns = (float(mm) for mm in plane.PixelSpacing)
    x, y, z = position + along_row * between_columns * (column - 0.5) + along_column * between_rows * (row - 0.5)
    return float(x), float(y), float(z)


def _on_plane(plane: Dataset, point: PointInSpace) -> tuple[float, float]:
    """(column, row) of the foot of a point on a slice: `_in_patient` the other way round."""
    away = np.asarray((point.x, point.y, point.z)) - np.asarray(plane.ImagePositionPatient, dtype=np.float64)
    along_row, along_column = np.asarray(plane.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    between_rows, between_columns = (float(mm) for mm in plane.PixelSpacing)
    return float(away @ along_row) / between_columns + 0.5, float(away @ along_column) / between_rows + 0.5


def _in_space(region: Dataset, points: Points, meant: Sequence[Sequence[float]], location: Location, encoding: Encoding) -> None:
    graphic = "POINT" if len(meant) == 1 else "POLYLINE"
    if (region.ValueType, region.GraphicType) != ("SCOORD3D", graphic):
        raise ResultMalformed(f'"{location.label}" is {region.ValueType} {region.GraphicType}, not {graphic} in space')
    if region.ReferencedFrameOfReferenceUID != encoding.volume.frame_of_reference_uid:
        raise ReferencesDiffer(f'"{location.label}" lies in another frame of reference than the volume')
    _same(points, meant, _HUNDREDTH, location)


def _on_image(
    region: Dataset,
    points: Points,
    meant: Sequence[Sequence[float]],
    location: Location,
    encoding: Encoding,
    sources: Sources,
    *,
    within: float = _SINGLE,
) -> None:
    graphic = "POINT" if len(meant) == 1 else "POLYLINE"
    if (region.ValueType, region.GraphicType) != ("SCOORD", graphic):
        raise ResultMalformed(f'"{location.label}" is {region.ValueType} {region.GraphicType}, not {graphic} on an image')
    _same(points, meant, within, location)
    source = encoding.subject.sources[location.image]
    (selected,) = region.ContentSequence
    frames = () if source.frame is None else (source.frame,)
    if selected.RelationshipType != "SELECTED FROM" or image(selected) != (source.sop_class_uid, source.sop_instance_uid, frames):
        raise ReferencesDiffer(f'"{location.label}" lies on {image(selected)}, found was on {source}')
    header = sources.headers[source.sop_instance_uid]
    limits = np.tile((float(header.Columns), float(header.Rows)), len(meant))
    if (points < 0).any() or (points > limits).any():
        raise ValuesDiffer(f'"{location.label}" lies outside of its image: {points.tolist()}')


def _same(points: Points, meant: Sequence[Sequence[float]], within: float, location: Location) -> None:
    expected = [value for point in meant for value in point]
    if points.size != len(expected) or not np.allclose(points, expected, rtol=_SINGLE, atol=within):
        raise ValuesDiffer(f'"{location.label}" lies at {points.tolist()} in the report, found was at {expected}')
