"""Lets an application say its findings about a subject: on straight and even grids, or on slices as acquired where it takes them so.

What it says about a straight grid is brought back onto the slices as they were acquired; nothing but this knows of both.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset

from inference import codes
from inference.applications.declared import check_outputs
from inference.applications.look_alikes import look_alikes
from inference.applications.port import Application, Infer
from inference.findings import Box, DerivedImage, Evaluation, Findings, Line, Location, Measurement, Point, PointInSpace, Shape, Uncertainty
from inference.imaging.measures.measuring import measured
from inference.imaging.regrid import RegriddedVolume, straightened
from inference.imaging.roles import on_one_grid
from inference.imaging.subject import Phases, Subject, VolumeSet
from inference.imaging.volume import Volume
from inference.translatable import Translatable, say

SEEN_TILT_DEGREES = 0.05
"""A tilt that is told: less reads as 0.0 degrees."""


def analyse(application: Application, subject: Subject, infer: Infer, headers: Sequence[Dataset] = ()) -> Findings:
    """What the application says of a subject, what it declares to be measured, and what else looks like what is there, checked against its
    manifest, on the subject's own grid.

    Parameters
    ----------
    headers
        Of the instances that the subject, or the reference of several, was made of.

    Raises
    ------
    UndeclaredOutput, InvalidOutput
        As `check_outputs`.
    """
    given, straight = (subject, None) if application.as_acquired else _straight(subject)
    said = application.analyse(given, infer)
    check_outputs(application, said, given)
    if application.as_acquired and isinstance(subject, Volume | Phases | VolumeSet):
        said = replace(said, remarks=(*_remarks(subject if isinstance(subject, Volume) else subject.reference), *said.remarks))
    if straight is not None or application.measures:
        brought = said if straight is None else _back(said, straight)
        # of the images as acquired, and of the masks as they are delivered
        said = measured(application.measures, subject, headers, brought)
        # what was said of where no image reaches is about nothing
        check_outputs(application, said, subject)
    alike = look_alikes(said, subject.modality)
    return replace(said, remarks=(*said.remarks, *alike)) if alike else said


def uncertainties_of(application: Application, subject: Subject, infer: Infer) -> tuple[Uncertainty, ...]:
    """How unsure the application's network is of each voxel: asked of what `analyse` gave it, on the subject's own grid; () where it tells
    none. They are not checked against the manifest."""
    if application.unsure is None:
        return ()
    given, straight = (subject, None) if application.as_acquired else _straight(subject)
    found = application.unsure(given, infer)
    return found if straight is None else tuple(replace(one, values=straight.back(one.values)) for one in found)


def _straight(subject: Subject) -> tuple[Subject, RegriddedVolume | None]:
    """The subject on straight grids; and of the grid that findings lie on how it was made straight, unless it was already."""
    if isinstance(subject, Volume):
        straight = straightened(subject)
        return (subject, None) if straight is None else (straight.volume, straight)
    if isinstance(subject, Phases):
        first = subject.reference
        # by the grid of the first: each phase's own, which is the same but for rounding, could be made straight by a pixel otherwise
        upright = [straightened(replace(each, affine=first.affine, steps=first.steps)) for each in subject.volumes]
        volumes = tuple(each.volume for each in upright if each is not None)
        return (subject, None) if upright[0] is None else (replace(subject, volumes=volumes), upright[0])
    if isinstance(subject, VolumeSet):
        return on_one_grid(subject), straightened(subject.reference)
    return subject, None


def _back(said: Findings, straight: RegriddedVolume) -> Findings:
    segments = tuple(replace(one, mask=straight.back(one.mask)) for one in said.segments)
    shares: dict[str, float] = {
        one.label: straight.source.volume_mm3(back.mask) / straight.volume.volume_mm3(one.mask)
        for one, back in zip(said.segments, segments, strict=True)
        if one.has_voxels
    }
    return replace(
        said,
        segments=segments,
        saliencies=tuple(replace(one, values=straight.back(one.values)) for one in said.saliencies),
        locations=tuple(_location(one, straight) for one in said.locations),
        evaluations=tuple(_evaluation(one, straight) for one in said.evaluations),
        measurements=tuple(
            replace(one, images=_images(one.images, straight)) if one.images else one for one in _measurements(said.measurements, shares)
        ),
        derived=tuple(_derived(one, straight) for one in said.derived),
        remarks=(*_remarks(straight.source), *said.remarks),
    )


def _measurements(said: Sequence[Measurement], shares: dict[str, float]) -> tuple[Measurement, ...]:
    """Each as `_measurement`; and a volume of several segments together is the sum of theirs again."""
    brought = tuple(_measurement(one, shares) for one in said)
    changed = {
        now.segment: now.value - was.value
        for was, now in zip(said, brought, strict=True)
        if now.segment is not None and now.name == codes.VOLUME
    }
    return tuple(
        replace(one, value=one.value + sum(changed.get(part, 0.0) for part in one.parts)) if one.parts and one.name == codes.VOLUME else one
        for one in brought
    )


def _measurement(one: Measurement, shares: dict[str, float]) -> Measurement:
    """A volume is that of the mask that is delivered: of each slice its area, times what it stands for along the normal."""
    share = shares.get(one.segment or "", 1.0) if one.name == codes.VOLUME else 1.0
    return one if np.isclose(share, 1.0, rtol=1e-9, atol=0) else replace(one, value=one.value * share)


def _location(one: Location, straight: RegriddedVolume) -> Location:
    if isinstance(one.shape, PointInSpace):
        at = straight.source.to_indices(np.array([one.shape.x, one.shape.y, one.shape.z]))
        return replace(one, image=int(np.clip(np.floor(at[0] + 0.5), 0, len(straight.source.voxels) - 1)))
    (image,) = _images((one.image,), straight)
    z = image % len(straight.source.voxels)
    return replace(one, image=image, shape=_shifted(one.shape, float(straight.rows[z]), float(straight.columns[z]), straight.source))


def _shifted(shape: Box | Point | Line, rows: float, columns: float, source: Volume) -> Shape:
    """A shape on a plane, on its slice; a box is cut where the image ends."""
    if isinstance(shape, Box):
        high, wide = source.voxels.shape[1:]
        return Box(
            top=max(shape.top - rows, 0.0),
            left=max(shape.left - columns, 0.0),
            bottom=min(shape.bottom - rows, float(high)),
            right=min(shape.right - columns, float(wide)),
        )
    if isinstance(shape, Line):
        return Line(start=_point(shape.start, rows, columns), end=_point(shape.end, rows, columns))
    return _point(shape, rows, columns)


def _point(point: Point, rows: float, columns: float) -> Point:
    return Point(row=point.row - rows, column=point.column - columns)


def _evaluation(one: Evaluation, straight: RegriddedVolume) -> Evaluation:
    return replace(one, images=_images(one.images, straight))


def _images(planes: Sequence[int], straight: RegriddedVolume) -> tuple[int, ...]:
    """The slices of planes; over time both are numbered phase after phase, and there may be more planes than slices in each."""
    count, slices = len(straight.volume.voxels), len(straight.source.voxels)
    return tuple(sorted({plane // count * slices + straight.slice_of(plane % count) for plane in planes}))


def _derived(one: DerivedImage, straight: RegriddedVolume) -> DerivedImage:
    """An image on the straight grid has a grid of its own: no stack of images may lie sheared."""
    return one if one.affine is not None else replace(one, affine=straight.volume.affine)


def _remarks(source: Volume) -> Sequence[Translatable]:
    remarks = []
    if source.tilt_degrees >= SEEN_TILT_DEGREES:
        remarks.append(
            say(
                "The gantry was tilted by {tilt} degrees: masks lie on the slices as acquired. Programs that stack slices without "
                "correcting the tilt (3D Slicer, dcmqi) show them wrongly or not at all.",
                tilt=f"{source.tilt_degrees:.1f}",
            )
        )
    if source.steps is not None:
        least, most = source.apart_mm
        steps = {"least": f"{least:.1f}", "most": f"{most:.1f}"}
        remarks.append(
            say("The slices lie {least} to {most} mm apart: in volumes each counts half the way to both its neighbours.", **steps)
        )
    return remarks
