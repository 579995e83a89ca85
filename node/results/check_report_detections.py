"""Reads back where a report of detections says that things lie, in coordinates, and compares it with the findings, one by one."""

from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset

from inference.findings import Box, Line, Location, Point, PointInSpace
from node.results.check_content import TRACKING_UID, certainty, code, compare, image, named, number, said
from node.results.errors import ReferencesDiffer, ResultMalformed, ValuesDiffer
from node.results.planes import Sources
from node.results.port import Encoding

_IMAGE_REGION = "111030"
_SINGLE = 1e-6
"""Relative: coordinates are kept in single precision (FL)."""


def check_detections(groups: Sequence[Dataset], encoding: Encoding, sources: Sources) -> None:
    """Two groups for each location that has numbers, the first without them; one for each that has none."""
    left = list(groups)
    uids: list[str] = []
    for location in encoding.findings.locations:
        measured = [number(one) for one in encoding.findings.measurements if one.location == location.label]
        measured += certainty(location.certainty)
        tracked_by = set()
        for meant in ([], measured) if measured else ([],):
            if not left:
                raise ValuesDiffer(f'the report does not speak of "{location.label}", or not of its numbers')
            group = left.pop(0)
            says = said(group)
            compare(says.numbers, meant, f'"{location.label}"')
            place = (code(location.finding_site), code(location.laterality) if location.finding_site else None)
            if (says.finding, says.site, says.side, says.answers) != (code(location.finding), *place, ()):
                raise ValuesDiffer(f'of "{location.label}" the report says {says}')
            _lies(group, location, encoding, sources)
            tracked_by.add(str(named(group, TRACKING_UID)[0].UID))
        if len(tracked_by) != 1:
            raise ValuesDiffer(f'"{location.label}" is tracked under {len(tracked_by)} UIDs')
        uids += tracked_by
    if left:
        raise ValuesDiffer(f"the report has {len(left)} groups more than were found")
    if len(set(uids)) != len(uids):
        raise ValuesDiffer("two locations are tracked under one UID")


def _lies(group: Dataset, location: Location, encoding: Encoding, sources: Sources) -> None:
    """The shape, point by point, and what it lies on."""
    (region,) = named(group, _IMAGE_REGION)
    shape = location.shape
    points = np.asarray([float(value) for value in region.GraphicData])
    if isinstance(shape, PointInSpace):
        if (region.ValueType, region.GraphicType) != ("SCOORD3D", "POINT"):
            raise ResultMalformed(f'"{location.label}" is {region.ValueType} {region.GraphicType}, not a point in space')
        if region.ReferencedFrameOfReferenceUID != encoding.volume.frame_of_reference_uid:
            raise ReferencesDiffer(f'"{location.label}" lies in another frame of reference than the volume')
        _same(points, [shape.x, shape.y, shape.z], location)
        return
    graphic = "POINT" if isinstance(shape, Point) else "POLYLINE"
    if (region.ValueType, region.GraphicType) != ("SCOORD", graphic):
        raise ResultMalformed(f'"{location.label}" is {region.ValueType} {region.GraphicType}, not {graphic} on an image')
    if isinstance(shape, Box):
        corners = [(shape.left, shape.top), (shape.right, shape.top), (shape.right, shape.bottom), (shape.left, shape.bottom)]
        meant = [*corners, corners[0]]
    else:
        ends = (shape.start, shape.end) if isinstance(shape, Line) else (shape,)
        meant = [(one.column, one.row) for one in ends]
    _same(points, [value for pair in meant for value in pair], location)
    source = encoding.subject.sources[location.image]
    (selected,) = region.ContentSequence
    frames = () if source.frame is None else (source.frame,)
    if selected.RelationshipType != "SELECTED FROM" or image(selected) != (source.sop_class_uid, source.sop_instance_uid, frames):
        raise ReferencesDiffer(f'"{location.label}" lies on {image(selected)}, found was on {source}')
    header = sources.headers[source.sop_instance_uid]
    limits = np.tile((float(header.Columns), float(header.Rows)), len(points) // 2)
    if (points < 0).any() or (points > limits).any():
        raise ValuesDiffer(f'"{location.label}" lies outside of its image: {points.tolist()}')


def _same(points: np.ndarray[tuple[int], np.dtype[np.float64]], meant: Sequence[float], location: Location) -> None:
    if points.size != len(meant) or not np.allclose(points, meant, rtol=_SINGLE, atol=_SINGLE):
        raise ValuesDiffer(f'"{location.label}" lies at {points.tolist()} in the report, found was at {list(meant)}')
