"""Output check: compares an application's findings with its manifest, and with what can be true of the subject."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.applications.errors import InvalidOutput, UndeclaredOutput
from inference.applications.manifest import is_label
from inference.applications.port import (
    Application,
    DeformationOutput,
    DerivedOutput,
    EvaluationOutput,
    ExplanationOutput,
    LocationOutput,
    MeasurementOutput,
    Output,
    QualityOutput,
    RegistrationOutput,
    SaliencyOutput,
    SegmentOutput,
    UncertaintyOutput,
)
from inference.findings import (
    Box,
    Deformation,
    DerivedImage,
    Evaluation,
    Explanation,
    Findings,
    Line,
    Location,
    Measurement,
    Point,
    PointInSpace,
    Registration,
    Segment,
    Shape,
    Span,
    Uncertainty,
    in_phase,
    of_image,
)
from inference.imaging.subject import Cine, Images, Phases, Subject, images_in, prior_in, volume_of

_ANSWERS = (codes.PRESENT, codes.ABSENT, codes.UNDETERMINED)
_BESIDE = 0.5 + 1e-6
"""How far from the middle of a voxel a point still lies in it."""
_RIGID = 1e-6
"""How far the rotation of a rigid matrix may be from one, in each of its elements."""


def check_outputs(application: Application, findings: Findings, subject: Subject) -> None:
    """Refuse findings that the manifest does not declare, or that cannot be true.

    Parameters
    ----------
    subject
        What was analysed: masks and maps have to be on its grid, locations on its images.

    Raises
    ------
    UndeclaredOutput, InvalidOutput
    """
    gate = _Gate(application, subject)
    gate.labels(findings)
    for segment in findings.segments:
        what = f'segment "{segment.label}"'
        gate.segment(segment)
        if segment.mask.dtype != np.bool_:
            gate.refuse(f"{what}: its mask is {segment.mask.dtype}, not bool")
        gate.on_grid(what, "mask", segment.mask, segment.image)
        gate.certain(what, segment.certainty)
    for location in findings.locations:
        gate.location(location, findings)
    for measurement in findings.measurements:
        gate.measurement(measurement, findings)
    for evaluation in findings.evaluations:
        gate.evaluation(evaluation)
    for saliency in findings.saliencies:
        what = f'map "{saliency.label}"'
        gate.declared(SaliencyOutput(label=saliency.label), what)
        if saliency.values.dtype != np.float32:
            gate.refuse(f"{what} is {saliency.values.dtype}, not float32")
        gate.on_grid(what, "array", saliency.values)
        gate.finite(what, saliency.values)
    for explanation in findings.explanations:
        gate.explanation(explanation)
    for uncertainty in findings.uncertainties:
        gate.uncertainty(uncertainty)
    for image in findings.derived:
        gate.image(image)
    if findings.registration is not None:
        gate.registration(findings.registration)
    if findings.deformation is not None:
        gate.deformation(findings.deformation)


class _Gate:
    """The checks of one application's findings about one subject."""

    def __init__(self, application: Application, subject: Subject) -> None:
        self._who = f"{application.name} {application.version}"
        self._outputs = frozenset(_key(output) for output in application.outputs)
        questions = [output for output in application.outputs if isinstance(output, QualityOutput)]
        self._answers = frozenset((output.name, value) for output in questions for value in output.values)
        self._subject = subject
        self._volume = volume_of(subject)

    def refuse(self, what: str) -> None:
        raise InvalidOutput(f"{self._who}: {what}")

    def declared(self, output: Output, what: str) -> None:
        if _key(output) not in self._outputs:
            raise UndeclaredOutput(f"{self._who}: {what} is not among the outputs of its manifest")

    def segment(self, segment: Segment) -> None:
        """It is declared; over time it is of one of the phases, of single images of one of them, and called so."""
        what, label = f'segment "{segment.label}" ({segment.type.meaning})', segment.label
        if isinstance(self._subject, Phases):
            if segment.phase is None or not 0 <= segment.phase < len(self._subject):
                self.refuse(f"{what} is of phase {segment.phase} of {len(self._subject)}, counted from 0")
            else:
                label = label.removesuffix(in_phase("", segment.phase))
                if label == segment.label:
                    self.refuse(f"{what} of phase {segment.phase} is not called as `in_phase` has it")
        elif segment.phase is not None:
            self.refuse(f"{what} is of a phase, and the images are not taken over time")
        if isinstance(self._subject, Images):
            if segment.image is None or not 0 <= segment.image < len(self._subject.images):
                self.refuse(f"{what} is of image {segment.image} of {len(self._subject.images)}, counted from 0")
            else:
                label = label.removesuffix(of_image("", segment.image))
                if label == segment.label:
                    self.refuse(f"{what} on image {segment.image} is not called as `of_image` has it")
        elif segment.image is not None:
            self.refuse(f"{what} is of an image, and the images are no single ones")
        self.declared(SegmentOutput(label=label, type=segment.type), what)

    def labels(self, findings: Findings) -> None:
        """What is tracked by a label has one of its own, and it fits an element of text (PS3.5 6.2)."""
        labels = [one.label for one in findings.segments] + [one.label for one in findings.locations]
        labels += [one.label for one in findings.saliencies] + [one.label for one in findings.derived]
        labels += [one.label for one in findings.uncertainties]
        for label in labels:
            if not is_label(label):
                self.refuse(f"label {label!r} is not 1 to 64 printable characters without a backslash")
            if labels.count(label) > 1:
                kind = "segment" if any(one.label == label for one in findings.segments) else "finding"
                self.refuse(f'{kind} "{label}" is there twice')
        explained = [(one.label, one.image) for one in findings.explanations]
        for label, image in explained:
            if not is_label(label):
                self.refuse(f"label {label!r} is not 1 to 64 printable characters without a backslash")
            if explained.count((label, image)) > 1:
                self.refuse(f'explanation "{label}" of image {image} is there twice')

    def explanation(self, explanation: Explanation) -> None:
        what = f'explanation "{explanation.label}" of image {explanation.image}'
        self.declared(ExplanationOutput(label=explanation.label, finding=explanation.finding), f"{what} ({explanation.finding.meaning})")
        self._image(what, explanation.image)
        if explanation.values.dtype != np.float32 or explanation.values.shape != self._size(explanation.image):
            self.refuse(
                f"{what} is {explanation.values.dtype} of shape {explanation.values.shape}, not float32 {self._size(explanation.image)}"
            )
        self.finite(what, explanation.values)

    def uncertainty(self, uncertainty: Uncertainty) -> None:
        what, values = f'uncertainty "{uncertainty.label}"', uncertainty.values
        self.declared(UncertaintyOutput(label=uncertainty.label), what)
        if values.dtype != np.float32:
            self.refuse(f"{what} is {values.dtype}, not float32")
        self.on_grid(what, "array", values)
        if values.size and not 0 <= float(values.min()) <= float(values.max()) <= 1:
            self.refuse(f"{what}: not all of its values are 0 to 1")

    def on_grid(self, what: str, noun: str, array: NDArray[np.generic], image: int | None = None) -> None:
        if image is not None and isinstance(self._subject, Images):
            pixels = (1, *self._subject.images[image].pixels.shape[:2])
            if array.shape != pixels:
                self.refuse(f"{what}: its {noun} has shape {array.shape}, its image {pixels}")
        elif self._volume is None:
            self.refuse(f"{what}: the images have no place in space to lay it over")
        elif array.shape != self._volume.voxels.shape:
            self.refuse(f"{what}: its {noun} has shape {array.shape}, the volume {self._volume.voxels.shape}")

    def finite(self, what: str, array: NDArray[np.generic]) -> None:
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            self.refuse(f"{what}: not all of its values are finite")

    def certain(self, what: str, certainty: float | None) -> None:
        if certainty is not None and not 0 <= certainty <= 1:
            self.refuse(f"{what}: its certainty is {certainty}, not 0 to 1")

    def location(self, location: Location, findings: Findings) -> None:
        what = f'location "{location.label}"'
        self.declared(LocationOutput(finding=location.finding), f"{what} ({location.finding.meaning})")
        if location.point is not None and location.point.segment not in {segment.label for segment in findings.segments}:
            self.refuse(f"{what} is a point of a segment that the findings do not hold")
        self.certain(what, location.certainty)
        self._image(what, location.image)
        self._qualities(what, location)
        if isinstance(location.shape, PointInSpace):
            if self._volume is None:
                self.refuse(f"{what} is a point in space, where the images have no place")
            if not all(map(math.isfinite, (location.shape.x, location.shape.y, location.shape.z))):
                self.refuse(f"{what} is no point: {location.shape}")
            self._on_its_slice(what, location.shape, location.image)
            return
        rows, columns = self._size(location.image)
        ends = _ends(location.shape)
        if not all(0 <= row <= rows and 0 <= column <= columns for row, column in ends):
            self.refuse(f"{what} lies outside of its image of {rows} rows and {columns} columns: {location.shape}")
        if isinstance(location.shape, Box) and not (
            location.shape.top < location.shape.bottom and location.shape.left < location.shape.right
        ):
            self.refuse(f"{what} is no box: {location.shape}")

    def _qualities(self, what: str, location: Location) -> None:
        """Each question once, with one of the answers that the manifest lists."""
        asked = [quality.name for quality in location.qualities]
        for quality in location.qualities:
            if (quality.name, quality.value) not in self._answers:
                answer = f"{quality.name.meaning} {quality.value.meaning}"
                raise UndeclaredOutput(f"{self._who}: {what} has {answer}, which is not among the outputs of its manifest")
            if asked.count(quality.name) > 1:
                self.refuse(f"{what} has {quality.name.meaning} twice")

    def _on_its_slice(self, what: str, point: PointInSpace, image: int) -> None:
        """People are shown the slice, machines the point: they are one place."""
        assert self._volume is not None
        at = self._volume.to_indices(np.array([point.x, point.y, point.z]))
        if abs(at[0] - image) > _BESIDE or not all(
            -_BESIDE <= at[axis] <= self._volume.voxels.shape[axis] - 1 + _BESIDE for axis in range(3)
        ):
            self.refuse(f"{what} lies at slice {at[0]:.1f}, row {at[1]:.1f}, column {at[2]:.1f} of the volume, not on its slice {image}")

    def measurement(self, measurement: Measurement, findings: Findings) -> None:
        what = _named(measurement)
        output = MeasurementOutput(name=measurement.name, unit=measurement.unit, derivation=measurement.derivation)
        self.declared(output, what)
        if not math.isfinite(measurement.value):
            self.refuse(f"{what} is {measurement.value}")
        if measurement.segment is not None and measurement.location is not None:
            self.refuse(f"{what} is of a segment and of a location")
        if measurement.segment is not None and measurement.segment not in {segment.label for segment in findings.segments}:
            self.refuse(f"{what} refers to a segment that the findings do not hold")
        if measurement.parts and (measurement.total is None or measurement.segment is not None or measurement.location is not None):
            self.refuse(f"{what} sums up segments, and is no total of its own")
        if not {*measurement.parts} <= {segment.label for segment in findings.segments}:
            self.refuse(f"{what} sums up a segment that the findings do not hold")
        if measurement.location is not None and measurement.location not in {location.label for location in findings.locations}:
            self.refuse(f"{what} refers to a location that the findings do not hold")
        self._span(what, measurement.span)
        if measurement.images and (measurement.segment is not None or measurement.location is not None or measurement.parts):
            self.refuse(f"{what} rests on images of its own, and is of what has a place already")
        for image in measurement.images:
            self._image(what, image)
        interval = measurement.interval
        if interval is not None and not (
            math.isfinite(interval.low) and math.isfinite(interval.high) and interval.low <= measurement.value <= interval.high
        ):
            self.refuse(f"{what} is {measurement.value}, which is not within its interval of {interval.low} to {interval.high}")
        if interval is not None and not 0 < interval.level < 1:
            self.refuse(f"{what} has an interval of probability {interval.level}, not between 0 and 1")

    def evaluation(self, evaluation: Evaluation) -> None:
        what = f"evaluation of {evaluation.finding.meaning}"
        self.declared(EvaluationOutput(finding=evaluation.finding), what)
        if evaluation.value not in _ANSWERS:
            self.refuse(f"{what} is {evaluation.value.meaning}, not Present, Absent or Undetermined")
        self.certain(what, evaluation.probability)
        for image in evaluation.images:
            self._image(what, image)
        self._span(what, evaluation.span)

    def image(self, image: DerivedImage) -> None:
        what = f'image "{image.label}"'
        self.declared(DerivedOutput(label=image.label, derivation=image.derivation), f"{what} ({image.derivation.meaning})")
        if image.voxels.dtype not in (np.int16, np.float32) or image.voxels.ndim != 3 or not image.voxels.size:
            self.refuse(f"{what} is {image.voxels.dtype} of shape {image.voxels.shape}, not int16 or float32 (Z, Y, X)")
        self.finite(what, image.voxels)
        if image.affine is None:
            self.on_grid(what, "array", image.voxels)
        elif (
            image.affine.dtype != np.float64
            or image.affine.shape != (4, 4)
            or not np.isfinite(image.affine).all()
            or abs(np.linalg.det(image.affine)) < 1e-9
        ):
            self.refuse(f"{what} has no grid: its affine is {image.affine.tolist()}")
        if image.of_prior and prior_in(self._subject) is None:
            self.refuse(f"{what} is of a prior, where there is none")

    def registration(self, registration: Registration) -> None:
        self.declared(RegistrationOutput(), "a registration")
        if prior_in(self._subject) is None:
            self.refuse("a registration needs a prior, and there is none")
        self._rigid("registration", registration.matrix)

    def deformation(self, deformation: Deformation) -> None:
        self.declared(DeformationOutput(), "a deformation")
        if prior_in(self._subject) is None:
            self.refuse("a deformation needs a prior, and there is none")
        self._rigid("deformation", deformation.matrix)
        offsets, affine = deformation.offsets, deformation.affine
        if offsets.dtype != np.float32 or offsets.ndim != 4 or offsets.shape[3] != 3 or min(offsets.shape) < 2:
            self.refuse(
                f"its deformation is {offsets.dtype} of shape {offsets.shape}, not float32 (Z, Y, X, 3) of two nodes or more a side"
            )
        self.finite("its deformation", offsets)
        self._homogeneous("grid of offsets", affine)
        if not _right_handed(affine):
            self.refuse(f"the grid of its deformation has no perpendicular right-handed axes: {affine.tolist()}")

    def _homogeneous(self, what: str, matrix: NDArray[np.float64]) -> None:
        if (
            matrix.dtype != np.float64
            or matrix.shape != (4, 4)
            or not np.isfinite(matrix).all()
            or not np.array_equal(matrix[3], (0, 0, 0, 1))
        ):
            self.refuse(f"its {what} is no matrix of homogeneous coordinates: {matrix.tolist()}")

    def _rigid(self, what: str, matrix: NDArray[np.float64]) -> None:
        self._homogeneous(what, matrix)
        turn = matrix[:3, :3]
        if np.abs(turn @ turn.T - np.eye(3)).max() > _RIGID or np.linalg.det(turn) < 0:
            self.refuse(f"its {what} is not rigid: {turn.tolist()}")

    def _image(self, what: str, image: int) -> None:
        count = images_in(self._subject)
        if not 0 <= image < count:
            self.refuse(f"{what} is about image {image} of {count}")

    def _span(self, what: str, span: Span | None) -> None:
        if span is None:
            return
        if not isinstance(self._subject, Cine):
            self.refuse(f"{what} is of a span of time, where there is no cine")
        if not 0 <= span.first <= span.last < images_in(self._subject):
            self.refuse(f"{what} is of frames {span.first} to {span.last} of {images_in(self._subject)}")

    def _size(self, image: int) -> tuple[int, int]:
        """Rows and columns of one source image."""
        if self._volume is not None:
            shape = self._volume.voxels.shape[1:]
        elif isinstance(self._subject, Images):
            shape = self._subject.images[image].pixels.shape
        else:
            assert isinstance(self._subject, Cine)
            shape = self._subject.frames.shape[1:]
        return int(shape[0]), int(shape[1])


def _key(output: Output) -> tuple[object, ...]:
    """What of a declaration a finding has to agree with."""
    if isinstance(output, SegmentOutput):
        return SegmentOutput, output.label, output.type
    if isinstance(output, MeasurementOutput):
        return MeasurementOutput, output.name, output.unit, output.derivation
    if isinstance(output, EvaluationOutput | LocationOutput):
        return type(output), output.finding
    if isinstance(output, QualityOutput):
        return QualityOutput, output.name
    if isinstance(output, SaliencyOutput):
        return SaliencyOutput, output.label
    if isinstance(output, UncertaintyOutput):
        return UncertaintyOutput, output.label
    if isinstance(output, ExplanationOutput):
        return ExplanationOutput, output.label, output.finding
    return (DerivedOutput, output.label, output.derivation) if isinstance(output, DerivedOutput) else (type(output),)


def _right_handed(affine: NDArray[np.float64]) -> bool:
    """Whether the axes x, y and z of a `Deformation.affine` are perpendicular, and z lies where the cross product of x and y does."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if spacing.min() <= 0:
        return False
    directions = affine[:3, :3] / spacing
    crossed = np.cross(directions[:, 2], directions[:, 1])
    return bool(np.abs(directions.T @ directions - np.eye(3)).max() < _RIGID and crossed @ directions[:, 0] > 0)


def _ends(shape: Shape) -> Iterable[tuple[float, float]]:
    """(row, column) of the corners or ends of a shape on an image."""
    if isinstance(shape, Box):
        return (shape.top, shape.left), (shape.bottom, shape.right)
    if isinstance(shape, Line):
        return (shape.start.row, shape.start.column), (shape.end.row, shape.end.column)
    assert isinstance(shape, Point)
    return ((shape.row, shape.column),)


def _named(measurement: Measurement) -> str:
    of = next(
        (f' of {kind} "{label}"' for kind, label in (("segment", measurement.segment), ("location", measurement.location)) if label), ""
    )
    derived = f", {measurement.derivation.meaning}" if measurement.derivation else ""
    return f"{measurement.name.meaning}{derived} in {measurement.unit.value}{of}"
