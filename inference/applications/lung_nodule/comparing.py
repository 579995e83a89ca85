"""Comparing lays the prior CT on the current one, finds and measures its nodules in the same way, and says of each what became of it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from inference.applications.lung_nodule.candidates import MOST_MM, Candidate, Detected, UnmeasuredMark, detect
from inference.applications.lung_nodule.growth import SOURCES, Judged, Trend, days_between, judged, not_comparable
from inference.applications.lung_nodule.lung_rads import Course
from inference.applications.lung_nodule.matching import MARGIN_MM, REACH_MM, WITHIN_MM, Matches, Spot, match
from inference.applications.lung_nodule.preparing import AIR_HU, WINDOW_HU
from inference.applications.port import Infer
from inference.errors import InputError
from inference.findings import Earlier, Registration
from inference.imaging.registration.motion import extent, fit_of, refuse_unlike, said_of
from inference.imaging.volume import Affine, Volume
from inference.translatable import Translatable, of_the_whole, say

_ALONE_MM = REACH_MM - MARGIN_MM
_KNOWN = frozenset({Trend.GROWTH, Trend.SHRINKAGE, Trend.NO_GROWTH})
_AIRLESS, _AROUND_MM = 0.75, 5.0
"""Share of a ball, by so much larger than a nodule, that is denser than lung where the nodule cannot be looked for by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """What became of a nodule since the prior.

    Attributes
    ----------
    then
        What it was, where it was matched, measured on images like the current ones or not.
    on
        The day of the prior, YYYY-MM-DD; "" where it is not known.
    """

    judged: Judged
    then: Candidate | None = None
    on: str = ""

    def earlier(self, value: float) -> Earlier | None:
        """A value of then as it stands beside today's; None where nobody knows of when it is."""
        return Earlier(value=value, date=self.on) if self.on else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """What a prior tells.

    Attributes
    ----------
    since
        Of each nodule that is listed; empty where the prior could not be laid on the current images.
    registration
        How it was.
    outgrown
        Where a nodule of the prior was, the current images have something that is too long to be measured.
    """

    since: tuple[Since, ...]
    remarks: tuple[Translatable, ...]
    registration: Registration | None = None
    outgrown: bool = False

    @property
    def courses(self) -> tuple[Course, ...]:
        """As `screened` asks for them."""
        return tuple(one.judged.course for one in self.since)

    @property
    def told(self) -> bool:
        """Whether of any nodule it is known what became of it."""
        return any(one.judged.trend in _KNOWN or one.judged.course is not Course.UNKNOWN for one in self.since)


def compare(current: Volume, prior: Volume, detected: Detected, most: int, infer: Infer) -> Comparison:
    """Compare the surest `most` nodules of a CT with those of its prior. A prior that fits nowhere is told, and compared with nothing."""
    days = days_between(current, prior)
    if days is not None and days < 0:
        return _not_compared(say("it is later than these images"))
    if find_spec("SimpleITK") is None:
        return _not_compared(say("what lays one CT on another is not installed in this node"))
    # SimpleITK takes a tenth of a second to import, and most CTs come without a prior
    from inference.imaging.registration.rigid import align

    fit = fit_of(current.modality, prior.modality)
    assert fit is not None, "both are CT"
    try:
        aligned = align(current, prior)
        refuse_unlike(aligned.likeness, f"prior series {prior.series_instance_uid}", f"series {current.series_instance_uid}", fit)
        before = detect(prior, infer)
    except InputError as unfit:
        return _not_compared(say("{why} [{code}]", why=str(unfit), code=unfit.code))
    visits = _Visits(current=current, prior=prior, matrix=aligned.matrix, now=detected, then=before)
    moved_mm, turned_degrees = extent(aligned.matrix, aligned.middle)
    since = visits.since()[:most]
    return Comparison(
        since=since,
        remarks=(
            # of a series that is known to be short, too: what has to be looked at is on the slices that came
            *visits.outgrown_said(),
            *map(of_the_whole, (*visits.said(since), *said_of(aligned.overlap, aligned.likeness, moved_mm, turned_degrees, fit))),
        ),
        registration=Registration(matrix=aligned.matrix),
        outgrown=bool(visits.outgrown),
    )


def _not_compared(why: Translatable) -> Comparison:
    return Comparison(
        since=(), remarks=(of_the_whole(say("Growth is undetermined, nothing was compared with the prior: {why}.", why=why)),)
    )


class _Visits:
    """Two visits in the current one's space."""

    def __init__(self, *, current: Volume, prior: Volume, matrix: Affine, now: Detected, then: Detected) -> None:
        self._current, self._prior, self._matrix, self._back = current, prior, matrix, np.linalg.inv(matrix)
        self._now, self._then = now, then
        self._spots = tuple(_spot(one, np.eye(4)) for one in now.reported), tuple(_spot(one, matrix) for one in then.reported)
        within = (
            frozenset(index for index in range(len(now.reported)) if self._from_too_long_mm(then, self._then_at(index)) <= WITHIN_MM),
            frozenset(index for index, spot in enumerate(self._spots[1]) if self._from_too_long_mm(now, np.array(spot.at_mm)) <= WITHIN_MM),
        )
        self._matches: Matches = match(*self._spots, within)
        self._against = not_comparable(current, prior)
        self._days = days_between(current, prior)

    def since(self) -> tuple[Since, ...]:
        """Of each nodule that is reported of the current images."""
        return tuple(self._of(index, one) for index, one in enumerate(self._now.reported))

    def _of(self, index: int, one: Candidate) -> Since:
        matches, on = self._matches, "" if self._prior.acquired_on is None else self._prior.acquired_on.isoformat()
        if (other := matches.pairs.get(index)) is not None:
            then = self._then.reported[other]
            if self._against or self._days is None:
                return Since(judged=Judged(trend=Trend.UNDETERMINED), then=then, on=on)
            return Since(judged=judged(one, then, self._days), then=then, on=on)
        if index in matches.new:
            return Since(judged=self._unmatched(index, one))
        why = say("several of the prior, or none, may be this one")
        if index in matches.merged:
            why = say("{count} of the prior lie where it is", count=str(len(matches.merged[index])))
        elif any(index in several for several in matches.split.values()):
            why = say("one of the prior lies where this and others are")
        return Since(judged=Judged(trend=Trend.UNDETERMINED, why=why))

    @property
    def outgrown(self) -> tuple[int, ...]:
        """Of the prior's nodules that are not among today's, those in whose place something lies that is too long to be measured."""
        here = ((index, np.array(self._spots[1][index].at_mm)) for index in sorted(self._matches.gone))
        return tuple(index for index, at_mm in here if self._from_too_long_mm(self._now, at_mm) <= _ALONE_MM)

    def _then_at(self, index: int) -> np.ndarray:
        """Where one of today's lies on the prior, in its space."""
        return np.asarray((self._back @ np.append(self._now.reported[index].centre_mm, 1.0))[:3])

    @staticmethod
    def _from_too_long_mm(detected: Detected, at_mm: np.ndarray) -> float:
        return _away_mm((each for each in detected.unmeasured if each.too_long), at_mm)

    def _unmatched(self, index: int, one: Candidate) -> Judged:
        there = self._then_at(index)
        if self._from_too_long_mm(self._then, there) <= _ALONE_MM:
            why = say("the prior has a mark there that is longer than {most} mm, and was not measured", most=f"{MOST_MM:g}")
            return Judged(trend=Trend.UNDETERMINED, why=why)
        if not (_in_images(self._prior, there, one.long_mm / 2) and _searched(self._then, there, one.long_mm / 2)):
            return Judged(trend=Trend.NOT_COVERED)
        if _airless(self._then, there, one.long_mm / 2):
            return Judged(trend=Trend.UNDETERMINED, why=say("the prior shows no air-bearing lung there, in which it could have been found"))
        if _unsure_mm(self._then, there) <= _ALONE_MM:
            return Judged(trend=Trend.UNDETERMINED, why=say("the prior has a mark there that is too unsure to be one"))
        return Judged(trend=Trend.NEW, course=Course.UNKNOWN if self._against else Course.NEW)

    def outgrown_said(self) -> Iterator[Translatable]:
        """Where something has to be looked at, which may be a nodule of the prior that grew."""
        return map(self._gone, self.outgrown)

    def said(self, since: Sequence[Since]) -> Iterator[Translatable]:
        """What else a reader has to know of the comparison."""
        if self._days is None:
            yield say("Compared with the prior CT, of which nobody knows how much earlier it is.")
        else:
            yield say("Compared with the prior CT of {date}, {days} days before.", date=str(self._prior.acquired_on), days=str(self._days))
        if self._against:
            yield say("Growth is undetermined: {why}.", why=self._against)
        for place, one in enumerate(since, 1):
            trend, why = one.judged.trend, one.judged.why
            if trend is Trend.UNDETERMINED and why is not None:
                yield say("Growth of nodule {number} is undetermined: {why}.", number=str(place), why=why)
            elif trend is Trend.NEW:
                yield say("Nodule {number} was not found on the prior: it is new, or was missed there.", number=str(place))
            elif trend is Trend.NOT_COVERED:
                yield say("Where nodule {number} is, the prior was not looked at: it shows no lung there.", number=str(place))
        yield from map(self._gone, sorted(self._matches.gone - set(self.outgrown)))
        yield say(
            "A nodule is matched with what lies up to {reach} mm away once the prior is laid on; breaths differ, and nothing is bent. "
            "Growth is told of solid ones from 25 % of volume on, of others from 2 mm of mean diameter on; shrinkage alike ({sources}). "
            "It says nothing of cancer.",
            reach=f"{_ALONE_MM:g}",
            sources=SOURCES,
        )

    def _gone(self, index: int) -> Translatable:
        """Of one of the prior that is not among today's."""
        one, spot = self._then.reported[index], self._spots[1][index]
        at_mm = np.array(spot.at_mm)
        values = {
            "mm": f"{(one.long_mm + one.short_mm) / 2:.0f}",
            "image": from_the_feet(self._prior, one.image),
            "images": str(len(self._prior.voxels)),
        }
        here = int(np.clip(round(float(self._current.to_indices(at_mm)[0])), 0, len(self._current.voxels) - 1))
        today = {"here": from_the_feet(self._current, here), "now": str(len(self._current.voxels))}
        if index in self.outgrown:
            return say(
                "Where a nodule of {mm} mm of the prior was (slice {image} of {images} from the feet on; about slice {here} of {now} of "
                "today's), today's CT has a mark longer than {most} mm that is not measured: the nodule may have grown so far. Look at it.",
                most=f"{MOST_MM:g}",
                **today,
                **values,
            )
        if not _in_images(self._current, at_mm, spot.half_mm):
            return say(
                "A nodule of {mm} mm of the prior (slice {image} of {images} from the feet on) lies where today's CT shows no lung.",
                **values,
            )
        if not _searched(self._now, at_mm, spot.half_mm) or _airless(self._now, at_mm, spot.half_mm):
            return say(
                "Where a nodule of {mm} mm of the prior was (slice {image} of {images} from the feet on; about slice {here} of {now} of "
                "today's), today's CT shows no air-bearing lung: a mass, collapse or fluid may hide it, or it grew. Look at it.",
                **today,
                **values,
            )
        if _unsure_mm(self._now, at_mm) <= _ALONE_MM:
            return say(
                "Of a nodule of {mm} mm of the prior (slice {image} of {images} from the feet on) today's CT has but an unsure mark.",
                **values,
            )
        return say(
            "Not found again is a nodule of {mm} mm of the prior (slice {image} of {images} from the feet on; about slice {here} of {now} "
            "of today's): it is gone, or was missed.",
            **today,
            **values,
        )


def _spot(one: Candidate, matrix: Affine) -> Spot:
    x, y, z = (float(each) for each in (matrix @ np.append(one.centre_mm, 1.0))[:3])
    return Spot(at_mm=(x, y, z), half_mm=one.long_mm / 2)


def from_the_feet(volume: Volume, image: int) -> str:
    """The number of a slice, from 1. Slices follow their normal, and InstanceNumbers run either way: a number alone is two slices."""
    return str(image + 1 if volume.affine[2, 0] > 0 else len(volume.voxels) - image)


def _away_mm(marks: Iterable[UnmeasuredMark], at_mm: np.ndarray) -> float:
    """To the nearest of them; infinite where there is none."""
    return min((each.away_mm(at_mm) for each in marks), default=float("inf"))


def _unsure_mm(detected: Detected, at_mm: np.ndarray) -> float:
    """To the nearest mark that is too unsure to be told, or no round one."""
    faint = [each for each in detected.candidates if each not in detected.reported]
    away = [float(np.linalg.norm(np.array(each.centre_mm) - at_mm)) for each in faint]
    return min([*away, _away_mm((each for each in detected.unmeasured if not each.too_long), at_mm)])


def _in_images(volume: Volume, at_mm: np.ndarray, half_mm: float) -> bool:
    """Whether a whole nodule about a place would lie within a volume's images."""
    indices, reach = volume.to_indices(at_mm), half_mm / np.array(volume.spacing_mm)
    return bool(((indices - reach >= -0.5) & (indices + reach <= np.array(volume.voxels.shape) - 0.5)).all())


def _searched(detected: Detected, at_mm: np.ndarray, half_mm: float) -> bool:
    """Whether lung was searched where a nodule about a place would be."""
    return bool(detected.prepared.search[_box(detected, at_mm, half_mm)].any())


def _airless(detected: Detected, at_mm: np.ndarray, half_mm: float) -> bool:
    """Whether what is about a place is denser than lung farther around than a nodule of that size is."""
    grid, reach_mm = detected.prepared.grid, half_mm + _AROUND_MM
    box = _box(detected, at_mm, reach_mm)
    indices = np.stack(np.meshgrid(*(np.arange(side.start, side.stop) for side in box), indexing="ij"), axis=-1)
    places = indices @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    near = np.linalg.norm(places - at_mm, axis=-1) <= reach_mm
    dense = detected.prepared.image[box] > (AIR_HU - WINDOW_HU[0]) / (WINDOW_HU[1] - WINDOW_HU[0])
    return bool(np.count_nonzero(dense & near) >= _AIRLESS * np.count_nonzero(near))


def _box(detected: Detected, at_mm: np.ndarray, half_mm: float) -> tuple[slice, slice, slice]:
    """Of the searched grid, what lies within a cube about a place."""
    grid = detected.prepared.grid
    middle = (np.linalg.inv(grid.affine) @ np.append(at_mm, 1.0))[:3]
    beside = half_mm / np.array(grid.spacing_mm)
    low = np.clip(np.floor(middle - beside), 0, np.array(grid.shape)).astype(int)
    high = np.clip(np.ceil(middle + beside) + 1, 0, np.array(grid.shape)).astype(int)
    z, y, x = (slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
    return z, y, x
