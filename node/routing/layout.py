"""Layout: how the images of a series lie, as their headers say it: the volume that they would make, or why they make none.

It is made by the functions that make it of images (`inference.imaging.assemble`, `inference.imaging.geometry`): of voxels that are not
there yet.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from inference.applications.port import Accepts, Clock, Takes
from inference.errors import InputError
from inference.imaging.assemble import MOSAICS, one_frame_of_reference
from inference.imaging.bounds import thickness_mm
from inference.imaging.clock import MOST_BEATS, covered_ms, may_be_apart, no_beat
from inference.imaging.errors import FourDimensional
from inference.imaging.geometry import Plane, SeriesGeometry, places_of, series_geometry
from inference.imaging.nuclear import RECONSTRUCTED
from inference.imaging.phase_series import a_series_each, phase_series, stack_of
from inference.imaging.phases import several_series, uneven
from inference.imaging.single_images import MOVING
from inference.imaging.sop_classes import ENHANCED
from inference.imaging.volume import SliceSource, Volume
from node.dicom.header import MOST_FRAMES
from node.domain.instance import Header, numbers_of, texts_of
from node.routing.decisions import SeriesView, class_of

_TIMES = {
    "TriggerTime": Clock.HEART,
    "NominalPercentageOfCardiacPhase": Clock.HEART,
    "NominalPercentageOfRespiratoryPhase": Clock.BREATH,
}
"""What tells phases apart for certain, and what it counts the time by, in the order in which `inference.imaging.clock` believes them; of
acquisition times and temporal positions it is found out when the images are read."""
_ORDERS = ("NominalPercentageOfCardiacPhase", "NominalPercentageOfRespiratoryPhase", "TemporalPositionIdentifier")
"""What the order of phases is found by before trigger times are asked, as `inference.imaging.axes` has it."""
_NO_VOXEL = np.int16(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the images of a series lie, as their headers say it: the volume, or what is wrong with them, or what is not said.

    `phases` is how many images lie at each place, where an application takes them over time, and `clock` what their time is counted by,
    where headers tell it; `timed` without one: headers name no clock. `order` has the places of the images, localizers left out, along the
    normal, where each is one slice of the volume.
    """

    volume: Volume | None = None
    wrong: str = ""
    open: str = ""
    order: tuple[int, ...] = ()
    phases: int = 1
    clock: Clock | None = None
    timed: bool = False

    @staticmethod
    def of(accepts: Accepts, view: SeriesView) -> "Layout":
        match accepts.takes:
            case Takes.VOLUME | Takes.PAIR | Takes.VOLUMES | Takes.PHASES:
                return _stacked(accepts, view)
            case Takes.IMAGES:
                return _single(view)
            case Takes.CINE:
                return _moving(view)


def _stacked(accepts: Accepts, view: SeriesView) -> Layout:
    images = without_localizers(view.members)
    if not images:
        return Layout(wrong="the series holds localizers only") if view.members else Layout(open="how its slices lie is not said")
    if any(not MOSAICS.isdisjoint(one.get("ImageType", ())) for one in images):
        return Layout(wrong="the images are mosaics of slices")
    if any(_colour(one) for one in images):
        return Layout(wrong="the images are in colour")
    # NumberOfFrames is the sender's word for it: nothing is made of more frames than headers are kept of
    if sum(map(_frames, images)) > max(MOST_FRAMES, len(images)):
        return Layout(open="its images say that they have more frames than is looked at in headers")
    planes: list[Plane] = []
    owners: list[Header] = []
    placeless = 0
    for index, one in enumerate(images):
        if (found := _planes(one, index)) is None:
            return Layout(open="where the frames of its images lie is not said in what is kept of their headers")
        planes += found
        owners += [one] * len(found)
        placeless += not found
    if placeless:
        few = f" in {placeless} of {len(images)}" if planes else ""
        return Layout(wrong=f"position, orientation or pixel spacing is absent{few}: that is no volume")
    try:
        one_frame_of_reference([(str(index), " ".join(texts_of(one, "FrameOfReferenceUID"))) for index, one in enumerate(images)])
        if accepts.takes is Takes.PHASES:
            return _over_time(view, images, planes, owners)
        geometry = series_geometry(planes)
    except FourDimensional as several:
        if accepts.parts != "refuse":
            return Layout(open="several images lie at a place; what tells them apart is looked at when they are read")
        return Layout(wrong=str(several))
    except InputError as wrong:
        return Layout(wrong=str(wrong))
    return Layout(
        order=tuple(geometry.order) if len(planes) == len(images) == len(geometry.order) else (),
        volume=_volume(view, images, planes, geometry),
    )


def _over_time(view: SeriesView, images: Sequence[Header], planes: Sequence[Plane], owners: Sequence[Header]) -> Layout:
    """As `inference.imaging.phases` reads them: the volume of each place once, how often, and whether a time tells its images apart.

    `owners` has the image of each plane.
    """
    series = [" ".join(texts_of(one, "SeriesInstanceUID")) for one in owners]
    if each := a_series_each(planes, series):
        return _of_series_each(view, images, planes, owners, each)
    places = places_of(planes)
    if wrong := several_series([[series[index] for index in place] for place in places]):
        return Layout(wrong=wrong)
    if wrong := uneven([[planes[index] for index in place] for place in places]):
        return Layout(wrong=wrong)
    once = [planes[place[0]] for place in places]
    volume, phases = _volume(view, images, once, series_geometry(once)), len(places[0])
    if phases == 1:
        return Layout(volume=volume)
    clock, open_ = _counted_by(images, places) if len(planes) == len(images) else (None, _TOLD_APART)
    return Layout(volume=volume, phases=phases, clock=clock, open=open_)


def _of_series_each(
    view: SeriesView, images: Sequence[Header], planes: Sequence[Plane], owners: Sequence[Header], series: Mapping[str, Sequence[int]]
) -> Layout:
    """Of one series a phase: `series` has the planes of each in the order of their places."""
    stacks = [stack_of(uid, [planes[index] for index in of], [owners[index] for index in of]) for uid, of in series.items()]
    found = phase_series(stacks)
    if found.fault is not None:
        return Layout(wrong=str(found.fault))
    if not found.order:
        return Layout(open=_TOLD_APART)
    phases = [series[one.series_instance_uid] for one in found.order]
    once = [planes[index] for index in phases[0]]
    volume = _volume(view, images, once, series_geometry(once))
    if found.shares is not None:
        return Layout(volume=volume, phases=len(phases), clock=found.clock, timed=True)
    places = [*zip(*phases, strict=True)]
    clock, open_ = _counted_by(owners, places, in_order=True) if len(planes) == len(images) else (None, _TOLD_APART)
    return Layout(volume=volume, phases=len(phases), clock=clock or found.clock, open=open_)


_TOLD_APART = "whether time tells the images of each place apart is looked at when they are read"


def _counted_by(images: Sequence[Header], places: Sequence[Sequence[int]], *, in_order: bool = False) -> tuple[Clock | None, str]:
    """What the time of the images of each place is counted by, and what is not known of that; `in_order`: they are in the order of time."""
    clock, times = _clock(images, places, places if in_order else _in_order(images, places))
    several = clock is Clock.HEART and _may_be_several(images, places, times)
    if clock is not None and (several or may_be_apart(times, clock)):
        return clock, "whether all slices were taken at the same times, and over one beat, is looked at when they are read"
    return clock, _TOLD_APART if clock is None else ""


def _may_be_several(images: Sequence[Header], places: Sequence[Sequence[int]], times: Sequence[Sequence[float]]) -> bool:
    """Whether headers name several acquisitions of a place, or a beat that is shorter than what its images cover."""
    beats = [beat for one in images for beat in numbers_of(one, "NominalInterval", 1) or ()]
    beats += [60000 / rate for one in images for rate in numbers_of(one, "HeartRate", 1) or () if rate > 0]
    covered = max(map(covered_ms, times))
    acquired = (Counter(texts for index in place for texts in texts_of(images[index], "AcquisitionNumber")) for place in places)
    return min(beats, default=covered) * MOST_BEATS < covered or any(len(each) > 1 and max(each.values()) > 1 for each in acquired)


def _clock(
    images: Sequence[Header], places: Sequence[Sequence[int]], ordered: Sequence[Sequence[int]] | None
) -> tuple[Clock | None, list[list[float]]]:
    """What the time is counted by, and the times of each place: by the first element that rises from phase to phase at each; None where
    headers do not tell. `ordered` has the images of each place in the order of time, where something but times tells it."""
    for keyword, clock in _TIMES.items():
        stated = [_stated(images, keyword, place) for place in ordered or places]
        if ordered is None:
            stated = [sorted(values) for values in stated]
        if all(len(values) == len(places[0]) and all(one < two for one, two in pairwise(values)) for values in stated):
            return Clock.TIME if keyword == "TriggerTime" and no_beat(stated) else clock, stated
    return None, []


def _in_order(images: Sequence[Header], places: Sequence[Sequence[int]]) -> list[list[int]] | None:
    """The images of each place as `inference.imaging.dimensions` finds the order of phases: by the first element that has the same values
    at each; None where only times may tell."""
    for keyword in _ORDERS:
        values = [_stated(images, keyword, place) for place in places]
        if len(set(values[0])) == len(places[0]) and all(sorted(each) == sorted(values[0]) for each in values):
            return [[index for _, index in sorted(zip(each, place, strict=True))] for each, place in zip(values, places, strict=True)]
    return None


def _stated(images: Sequence[Header], keyword: str, place: Sequence[int]) -> list[float]:
    """Of the images of a place that state it."""
    return [value for index in place for value in numbers_of(images[index], keyword, 1) or ()]


def _volume(view: SeriesView, images: Sequence[Header], planes: Sequence[Plane], geometry: SeriesGeometry) -> Volume:
    """The volume that planes make, without its voxels."""
    stack = [planes[index] for index in geometry.order]
    return Volume(
        voxels=np.broadcast_to(_NO_VOXEL, (len(stack), stack[0].rows, stack[0].columns)),
        affine=geometry.affine,
        steps=geometry.steps,
        sources=tuple(SliceSource(sop_instance_uid=str(index), sop_class_uid=class_of(one)) for index, one in enumerate(images)),
        modality=next(filter(None, (" ".join(texts_of(one, "Modality")) for one in images)), ""),
        study_instance_uid="",
        series_instance_uid=view.series_instance_uid,
        frame_of_reference_uid="",
        thickness_mm=max((plane.thickness for plane in stack if plane.thickness), default=None),
    )


def _planes(header: Header, index: int) -> list[Plane] | None:
    """The places of the frames of one image; [] where it has none, None where what is kept of its header does not tell."""
    if not RECONSTRUCTED.isdisjoint(header.get("ImageType", ())):
        return None  # a tomogram's place stands in the items of its detectors
    frames = _frames(header)
    # one place that all frames share stands once
    position = (
        numbers_of(header, "ImagePositionPatient", 3 * frames) or (numbers_of(header, "ImagePositionPatient", 3) or ()) * frames or None
    )
    if frames > 1 and position is None:
        return None if class_of(header) in ENHANCED or not class_of(header) else []
    orientation, spacing = numbers_of(header, "ImageOrientationPatient", 6), numbers_of(header, "PixelSpacing", 2)
    rows, columns = numbers_of(header, "Rows", 1), numbers_of(header, "Columns", 1)
    if position is None or orientation is None or spacing is None or rows is None or columns is None:
        return None if frames > 1 or class_of(header) in ENHANCED else []
    thickness = numbers_of(header, "SliceThickness", 1)
    rx, ry, rz, cx, cy, cz = orientation
    # two names for one image would do; the place of each in the series is kept apart from what people are told
    name = " ".join(texts_of(header, "SOPInstanceUID")) or str(index)
    return [
        Plane(
            uid=name,
            frame=frame + 1 if frames > 1 else None,
            position=(position[3 * frame], position[3 * frame + 1], position[3 * frame + 2]),
            orientation=(rx, ry, rz, cx, cy, cz),
            spacing=(spacing[0], spacing[1]),
            rows=int(rows[0]),
            columns=int(columns[0]),
            thickness=thickness_mm(thickness[0] if thickness else None),
        )
        for frame in range(frames)
    ]


def planes_in(members: Sequence[Header]) -> list[Plane] | None:
    """Where the images of a series lie, localizers left out; None where that is not said of all of them, or of too many frames."""
    placed = placed_in(members)
    return None if placed is None else [plane for plane, _ in placed]


def placed_in(members: Sequence[Header]) -> list[tuple[Plane, Header]] | None:
    """The same, with the image of each plane."""
    images = without_localizers(members)
    if sum(map(_frames, images)) > max(MOST_FRAMES, len(images)):
        return None
    found = [_planes(one, index) for index, one in enumerate(images)]
    return [(plane, one) for each, one in zip(found, images, strict=True) for plane in each or ()] if all(found) else None


def without_localizers(images: Sequence[Header]) -> list[Header]:
    """As `inference.imaging.assemble` leaves them out."""
    return [one for one in images if "LOCALIZER" not in one.get("ImageType", ())]


def _single(view: SeriesView) -> Layout:
    """Loops are another kind of subject; of a multi-frame image headers do not always say whether it is one."""
    if not view.members or any(_frames(one) < 2 for one in view.members):
        return Layout()
    if all(_loops(one) for one in view.members):
        return Layout(wrong="the series holds loops only")
    return Layout(open="whether its frames are images or a loop is looked at when they are read")


def _moving(view: SeriesView) -> Layout:
    if any(_loops(one) for one in view.members):
        return Layout()
    if len(view.members) == 1 and _frames(view.members[0]) < 2:
        return Layout(wrong="the series is a single image, and no loop")
    return Layout(open="whether its images are a loop is looked at when they are read")


def _loops(header: Header) -> bool:
    timed = header.get("FrameTime") or header.get("CineRate") or not MOVING.isdisjoint(header.get("Modality", ()))
    return _frames(header) > 1 and bool(timed) and "ImagePositionPatient" not in header


def _colour(header: Header) -> bool:
    samples = header.get("SamplesPerPixel", (1,))
    return bool(samples and samples[0] != 1) or "PALETTE COLOR" in header.get("PhotometricInterpretation", ())


def _frames(header: Header) -> int:
    return next((value for value in header.get("NumberOfFrames", ()) if isinstance(value, int) and value > 0), 1)
