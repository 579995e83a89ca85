"""The report of detections: TID 1410 groups with true coordinates, which viewers draw on the images.

OHIF 3.13 takes up a group as a measurement of its own (a rectangle, a probe) only when the group holds coordinates and no number. So a
location with numbers stands there twice, tracked under one UID: a group that says where, and a group that says the same and the numbers.

Places are pixels of an image (SCOORD) where the pixels are square. OHIF 3.13 takes the distance of rows for that of columns and the other
way round, and would draw a box of other pixels over other tissue; so in a volume of such pixels places are points in the patient
(SCOORD3D), which it draws where they are. Images without a place in the patient have pixels only, and so have images that name no frame of
reference: nobody could tell in which the points are.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from highdicom import sr
from numpy.typing import NDArray

from inference.findings import Box, Line, Location, Point, PointInSpace
from inference.imaging.subject import volume_of
from inference.imaging.volume import Volume
from node.domain.profile import Kind
from node.results.identity import encoded, identify
from node.results.kind import Making
from node.results.narrative.sentences import WORDINGS
from node.results.normalise import text
from node.results.port import Encoded, Encoding
from node.results.reports.items import Groups, algorithm, measurements_of, numbers, qualities, sites, times, tracked
from node.results.reports.root import report
from node.results.sources import Sources, item

_METHOD = "370129005"
SQUARE_WITHIN = 1e-5
"""Relative: across 1000 pixels a hundredth of one."""


def make(making: Making) -> list[Encoded]:
    """The report, when anything was found that has a place on an image."""
    encoding, sources = making.encoding, making.sources
    groups = [group for location in encoding.findings.locations for group in _groups(encoding, sources, location)]
    if not groups:
        return []
    encoding = encoding.replacing(Kind.DETECTIONS, "")
    identity = identify(encoding, sources, Kind.DETECTIONS, "detections")
    comments = list(times(encoding, (one.span for one in encoding.findings.measurements if one.location), WORDINGS[encoding.language]))
    return [encoded(Kind.DETECTIONS, report(encoding, sources, groups, identity, coordinates=True, comments=comments), identity)]


def _groups(encoding: Encoding, sources: Sources, location: Location) -> Iterator[Groups]:
    measured = numbers(measurements_of(encoding, location), location.certainty, sources=sources)
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
        qualitative_evaluations=qualities(location),
        # which point of a segment it is (PS3.16 TID 1410, CID 219)
        method=item(location.point.method) if location.point else None,
        geometric_purpose=item(location.point.purpose) if location.point else None,
    )
    for one in made[0].ContentSequence:
        # by the table it modifies the group's concept (row 5 of TID 1501, which it is built on); the library has it contained
        if one.name.value == _METHOD:
            one.RelationshipType = "HAS CONCEPT MOD"
    return made


def _region(encoding: Encoding, sources: Sources, location: Location) -> Any:
    """Where it lies: (column, row) pairs on the image, or points in the frame of reference of the volume, in mm."""
    shape, volume = location.shape, volume_of(encoding.subject)
    named = volume is not None and text(sources.first, "FrameOfReferenceUID") == volume.frame_of_reference_uid
    if isinstance(shape, PointInSpace):
        assert volume is not None, "nothing is in space without a volume"
        if named:
            return _in_space(volume, np.asarray([(shape.x, shape.y, shape.z)]))
        _, row, column = volume.to_indices(np.array([shape.x, shape.y, shape.z]))
        # voxel centres are whole indices there, and halves here
        shape = Point(row=float(row) + 0.5, column=float(column) + 0.5)
    if volume is not None and named and not _square(volume):
        indices = [(location.image, row - 0.5, column - 0.5) for column, row in _graphic(shape)]
        return _in_space(volume, volume.to_patient(np.asarray(indices)))
    source = sources.slices[location.image]
    image = sr.SourceImageForRegion(
        referenced_sop_class_uid=source.sop_class_uid,
        referenced_sop_instance_uid=source.sop_instance_uid,
        # of a multi-frame instance, and only of one
        referenced_frame_numbers=[source.frame] if source.frame is not None else None,
    )
    points = _graphic(shape)
    return sr.ImageRegion(sr.GraphicTypeValues.POINT if len(points) == 1 else sr.GraphicTypeValues.POLYLINE, points, image)


def _square(volume: Volume) -> bool:
    _, row_mm, column_mm = volume.spacing_mm
    return math.isclose(row_mm, column_mm, rel_tol=SQUARE_WITHIN)


def _in_space(volume: Volume, points: NDArray[np.float64]) -> Any:
    kind = sr.GraphicTypeValues3D.POINT if len(points) == 1 else sr.GraphicTypeValues3D.POLYLINE
    return sr.ImageRegion3D(kind, points, volume.frame_of_reference_uid)


def _graphic(shape: Box | Point | Line) -> NDArray[np.float64]:
    """Pairs (column, row), the outer corner of the first pixel at (0, 0), the middle of it at (0.5, 0.5): PS3.3 C.18.6.1.2.

    Findings count the same way, so nothing is shifted. A box is a closed polyline: five points, the last the first again.
    """
    if isinstance(shape, Box):
        left, top, right, bottom = shape.left, shape.top, shape.right, shape.bottom
        return np.asarray([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], dtype=np.float64)
    ends = (shape.start, shape.end) if isinstance(shape, Line) else (shape,)
    return np.asarray([(one.column, one.row) for one in ends], dtype=np.float64)
