"""Outputs that follow from the measures which an application declares: numbers, and points of its segments."""

from collections.abc import Mapping, Sequence

from inference.applications.port import LocationOutput, MeasurementOutput
from inference.codes import Code
from inference.imaging.measures.measure import Measure
from inference.imaging.measures.points import PointsOfSegments


def measured_outputs(
    measures: Sequence[Measure], types: Mapping[str, Code], modality: Sequence[str]
) -> tuple[MeasurementOutput | LocationOutput, ...]:
    """All that the measures may say of images of these modalities, each once.

    Parameters
    ----------
    types
        What the segments are, by their labels.
    """
    concepts = [one for measure in measures for one in measure.concepts(modality)]
    located = [types[label] for measure in measures if isinstance(measure, PointsOfSegments) for label in measure.segments]
    return (
        *(MeasurementOutput(name=one.name, unit=one.unit, derivation=one.derivation) for one in dict.fromkeys(concepts)),
        *(LocationOutput(finding=one, of_segment=True) for one in dict.fromkeys(located)),
    )
