"""The report of detections: TID 1410 groups with true coordinates, which viewers draw on the images.

OHIF 3.13 takes up a group as a measurement of its own (a rectangle, a probe) only when the group holds coordinates and no number. So a
location with numbers stands there twice, tracked under one UID: a group that says where, and a group that says the same and the numbers.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from highdicom import sr
from numpy.typing import NDArray

from inference.findings import Box, Line, Location, Point, PointInSpace, Shape
from node.domain.profile import Kind
from node.results.codes import item
from node.results.identity import encoded, identify
from node.results.planes import Sources
from node.results.port import Encoded, Encoding
from node.results.sr import report
from node.results.sr_items import Groups, algorithm, measurements_of, numbers, sites, tracked


def detections(encoding: Encoding, sources: Sources) -> list[Encoded]:
    """The report, when anything was found that has a place on an image."""
    groups = [group for location in encoding.findings.locations for group in _groups(encoding, sources, location)]
    if not groups:
        return []
    encoding = encoding.replacing(Kind.DETECTIONS, "")
    identity = identify(encoding, sources, "detections", "detections", *(one.sop_instance_uid for one in encoding.predecessors))
    return [encoded(Kind.DETECTIONS, report(encoding, sources, groups, identity, coordinates=True), identity)]


def _groups(encoding: Encoding, sources: Sources, location: Location) -> Iterator[Groups]:
    measured = numbers(measurements_of(encoding, location), location.certainty)
    yield _group(encoding, sources, location, [])
    if measured:
        yield _group(encoding, sources, location, measured)


def _group(encoding: Encoding, sources: Sources, location: Location, measured: Groups) -> Groups:
    made: Groups = sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracked(encoding, location.label, labelled=True),
        referenced_region=_region(encoding, sources, location),
        finding_type=item(location.finding),
        finding_sites=sites(location.finding_site, location.laterality),
        algorithm_id=algorithm(encoding),
        measurements=measured,
    )
    return made


def _region(encoding: Encoding, sources: Sources, location: Location) -> Any:
    """Where it lies: (column, row) pairs on the image, or a point in the frame of reference of the volume, in mm."""
    if isinstance(location.shape, PointInSpace):
        point = np.asarray([(location.shape.x, location.shape.y, location.shape.z)])
        return sr.ImageRegion3D(sr.GraphicTypeValues3D.POINT, point, encoding.volume.frame_of_reference_uid)
    source = sources.slices[location.image]
    image = sr.SourceImageForRegion(
        referenced_sop_class_uid=source.sop_class_uid,
        referenced_sop_instance_uid=source.sop_instance_uid,
        # of a multi-frame instance, and only of one
        referenced_frame_numbers=[source.frame] if source.frame is not None else None,
    )
    kind = sr.GraphicTypeValues.POINT if isinstance(location.shape, Point) else sr.GraphicTypeValues.POLYLINE
    return sr.ImageRegion(kind, _graphic(location.shape), image)


def _graphic(shape: Shape) -> NDArray[np.float64]:
    """Pairs (column, row), the outer corner of the first pixel at (0, 0), the middle of it at (0.5, 0.5): PS3.3 C.18.6.1.2.

    Findings count the same way, so nothing is shifted. A box is a closed polyline: five points, the last the first again.
    """
    if isinstance(shape, Box):
        left, top, right, bottom = shape.left, shape.top, shape.right, shape.bottom
        return np.asarray([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], dtype=np.float64)
    assert not isinstance(shape, PointInSpace), "a point in space is on no image"
    ends = (shape.start, shape.end) if isinstance(shape, Line) else (shape,)
    return np.asarray([(one.column, one.row) for one in ends], dtype=np.float64)
