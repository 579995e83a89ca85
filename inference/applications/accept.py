"""The gates around an application: is this series what it was made for, and is what it said what its manifest declares?"""

import math

import numpy as np

from inference.applications.errors import InvalidOutput, NotAccepted, UndeclaredOutput
from inference.applications.port import Application, MeasurementOutput, SegmentOutput
from inference.findings import Findings, Measurement, Segment
from inference.imaging.volume import Volume

_ORIENTATIONS = ("sagittal", "coronal", "axial")  # the patient axis (x, y, z) that the slices are stacked along


def check(application: Application, volume: Volume) -> tuple[str, ...]:
    """Refuse a volume that the application does not accept.

    Returns
    -------
    tuple of str
        Remarks for the reader of the result: accepted, but worth knowing.

    Raises
    ------
    NotAccepted
        All that does not fit, in one sentence.
    """
    accepts = application.accepts
    reasons = []
    if volume.modality not in accepts.modality:
        reasons.append(f"modality is {volume.modality or '(absent)'}, not {' or '.join(accepts.modality)}")
    slices = volume.voxels.shape[0]
    if slices < accepts.min_slices:
        reasons.append(f"{slices} slices, at least {accepts.min_slices} are needed")
    spacing_mm = max(volume.spacing_mm)
    if accepts.max_spacing_mm is not None and spacing_mm > accepts.max_spacing_mm:
        reasons.append(f"voxels are {spacing_mm:.1f} mm apart, at most {accepts.max_spacing_mm:g} mm are taken")
    extents_mm = [count * step for count, step in zip(volume.voxels.shape, volume.spacing_mm, strict=True)]
    if accepts.min_extent_mm is not None and min(extents_mm) < accepts.min_extent_mm:
        sides = " × ".join(f"{side:.0f}" for side in extents_mm)
        reasons.append(f"the images cover {sides} mm, at least {accepts.min_extent_mm:g} mm are needed in every direction")
    orientation = slice_orientation(volume)
    if accepts.orientation is not None and orientation != accepts.orientation:
        reasons.append(f"slices are {orientation}, not {accepts.orientation}")
    if reasons:
        raise NotAccepted(f"{application.name} does not take series {volume.series_instance_uid}: {'; '.join(reasons)}")
    if spacing_mm > accepts.remark_spacing_mm:
        return (f"Voxels are {spacing_mm:.1f} mm apart: volumes are approximate.",)
    return ()


def slice_orientation(volume: Volume) -> str:
    """ "axial", "coronal" or "sagittal": the plane that the slices are nearest to."""
    normal = np.cross(volume.affine[:3, 1], volume.affine[:3, 2])
    return _ORIENTATIONS[int(np.argmax(np.abs(normal)))]


def check_outputs(application: Application, findings: Findings, volume: Volume) -> None:
    """Refuse findings that the manifest does not declare, or that cannot be true.

    Parameters
    ----------
    volume
        What was analysed: masks have to be on its grid.

    Raises
    ------
    UndeclaredOutput, InvalidOutput
    """
    _check_segments(application, findings, volume)
    labels = {segment.label for segment in findings.segments}
    declared = {(output.name, output.unit, output.derivation) for output in application.outputs if isinstance(output, MeasurementOutput)}
    for measurement in findings.measurements:
        what = _named(application, measurement)
        if (measurement.name, measurement.unit, measurement.derivation) not in declared:
            raise UndeclaredOutput(f"{what} is not among the outputs of its manifest")
        if not math.isfinite(measurement.value):
            raise InvalidOutput(f"{what} is {measurement.value}")
        if measurement.segment is not None and measurement.segment not in labels:
            raise InvalidOutput(f"{what} refers to a segment that the findings do not hold")
    if findings.evaluations:
        said = ", ".join(evaluation.finding.meaning for evaluation in findings.evaluations)
        raise UndeclaredOutput(f"{application.name} {application.version}: evaluation of {said} is not among the outputs of its manifest")


def _check_segments(application: Application, findings: Findings, volume: Volume) -> None:
    declared = {(output.label, output.type) for output in application.outputs if isinstance(output, SegmentOutput)}
    seen: set[str] = set()
    for segment in findings.segments:
        what = f'{application.name} {application.version}: segment "{segment.label}"'
        if (segment.label, segment.type) not in declared:
            raise UndeclaredOutput(f"{what} ({segment.type.meaning}) is not among the outputs of its manifest")
        if segment.label in seen:
            raise InvalidOutput(f"{what} is there twice")
        seen.add(segment.label)
        _check_mask(what, segment, volume.voxels.shape)


def _check_mask(what: str, segment: Segment, shape: tuple[int, ...]) -> None:
    if segment.mask.dtype != np.bool_:
        raise InvalidOutput(f"{what}: its mask is {segment.mask.dtype}, not bool")
    if segment.mask.shape != shape:
        raise InvalidOutput(f"{what}: its mask has shape {segment.mask.shape}, the volume {shape}")


def _named(application: Application, measurement: Measurement) -> str:
    of = f' of segment "{measurement.segment}"' if measurement.segment else ""
    derived = f", {measurement.derivation.meaning}" if measurement.derivation else ""
    return f"{application.name} {application.version}: {measurement.name.meaning}{derived} in {measurement.unit.value}{of}"
