"""Gate: compares a series' headers and geometry with what an application accepts, and refuses it with the reason."""

from collections.abc import Mapping, Sequence

import numpy as np

from inference.applications.errors import NotAccepted
from inference.applications.port import Accepts, Application
from inference.imaging.errors import UnfitPrior
from inference.imaging.resample import Grid, reorientation
from inference.imaging.sop_classes import class_name
from inference.imaging.subject import Cine, Clock, Images, Phases, Subject, Takes, VolumeSet, ages_in
from inference.imaging.volume import Volume
from inference.translatable import Translatable, say

_ORIENTATIONS = ("sagittal", "coronal", "axial")  # the patient axis (x, y, z) that the slices are stacked along
TOLERANCE_MM = 0.001
"""How far beyond a bound what files say still is within it. Decimal strings (DS, PS3.5 6.2) come from binary floats and are rounded: slices
2.5 mm apart come out as 2.5000003. No scanner builds slices of 2.501 mm."""
_HALF_WAY = 1e-3
"""Direction cosines are written with so many figures, at least."""
_KINDS: Mapping[Takes, type] = {
    Takes.VOLUME: Volume,
    Takes.PAIR: VolumeSet,
    Takes.VOLUMES: VolumeSet,
    Takes.PHASES: Phases,
    Takes.IMAGES: Images,
    Takes.CINE: Cine,
}


def check(application: Application, subject: Subject) -> tuple[Translatable, ...]:
    """Refuse a subject that the application does not accept.

    Returns
    -------
    tuple of Translatable
        Remarks for the reader of the result: accepted, but worth knowing.

    Raises
    ------
    NotAccepted
        All that does not fit, in one sentence.
    UnfitPrior
        The same of the prior, where nothing else does not fit.
    """
    if not isinstance(subject, _KINDS[application.accepts.takes]):
        raise NotAccepted(f"{application.name} takes {application.accepts.takes.value}, not {type(subject).__name__.lower()}")
    if isinstance(subject, VolumeSet):
        reasons, of_priors = _unfit_in_roles(application, subject)
        if of_priors and not reasons:
            raise UnfitPrior("; ".join(of_priors))
        reasons += of_priors
        spacing_mm = max(volume.widest_mm for volume in subject.volumes.values())
    elif isinstance(subject, Volume):
        reasons = unfit(application.accepts, subject)
        spacing_mm = subject.widest_mm
    elif isinstance(subject, Phases):
        reasons = [*unfit_phases(application.accepts, len(subject)), *unfit(application.accepts, subject.reference)]
        if len(subject) > 1 and (otherwise := of_another_clock(application.accepts, subject.timing.clock)):
            reasons.append(otherwise)
        spacing_mm = subject.reference.widest_mm
    else:
        reasons = of_another_modality(application.accepts, subject.modality)
        spacing_mm = 0.0
    reasons = [*reasons, *of_another_age(application.accepts, ages_in(subject))]
    if reasons:
        raise NotAccepted(refusal(application.name, subject.series_instance_uid, reasons))
    if spacing_mm > application.accepts.remark_spacing_mm:
        return (say("Voxels are {spacing} mm apart: volumes are approximate.", spacing=f"{spacing_mm:.1f}"),)
    return ()


def _unfit_in_roles(application: Application, subject: VolumeSet) -> tuple[list[str], list[str]]:
    """All that does not fit of several volumes: of those of the study, the reference first, and of priors."""
    reasons: list[str] = []
    of_priors: list[str] = []
    for role in application.in_roles:
        if role.name in subject:
            found = unfit(application.in_role(role).accepts, subject[role.name])
            if role.prior_of:
                of_priors += [f"the {role.name}: {reason}" for reason in found]
            else:
                reasons += found if role is application.in_roles[0] else [f"{role.name}: {reason}" for reason in found]
    return reasons, of_priors


def refusal(application: str, series_instance_uid: str, reasons: Sequence[str]) -> str:
    """Why an application does not take a series, in one sentence."""
    return f"{application} does not take series {series_instance_uid}: {'; '.join(reasons)}"


def too_thick(accepts: Accepts, thickness_mm: float | None) -> str:
    """What is wrong with slices so thick; "" where nothing is, or it is not known."""
    if accepts.max_thickness_mm is None or thickness_mm is None or not beyond(thickness_mm, accepts.max_thickness_mm):
        return ""
    return f"slices are {in_mm(thickness_mm)} thick, at most {accepts.max_thickness_mm:g} mm are taken"


def beyond(value_mm: float, bound_mm: float) -> bool:
    """Whether it is more than the bound, by more than `TOLERANCE_MM`."""
    return value_mm - bound_mm > TOLERANCE_MM


def in_mm(value_mm: float) -> str:
    """For people, to the thousandth of a mm: what is `beyond` a bound reads so as well."""
    return f"{value_mm:.3f}".rstrip("0").rstrip(".") + " mm"


def nearest_plane(cosines: Sequence[float]) -> str:
    """ "axial", "coronal" or "sagittal" for ImageOrientationPatient (0020,0037), PS3.3 C.7.6.2.1.1; "" half-way between two."""
    (ax, ay, az), (bx, by, bz) = cosines[:3], cosines[3:]
    normal = (abs(ay * bz - az * by), abs(az * bx - ax * bz), abs(ax * by - ay * bx))
    sides = sorted(zip(normal, _ORIENTATIONS, strict=True), reverse=True)
    return "" if sides[0][0] - sides[1][0] < _HALF_WAY else sides[0][1]


def too_few_slices(slices: int, needed: int) -> str:
    """What is said of a series with fewer slices than an application needs."""
    return f"{slices} slice{'' if slices == 1 else 's'}, at least {needed} are needed"


def unfit(accepts: Accepts, volume: Volume) -> list[str]:
    """All that does not fit of a volume, of which the voxels' values are not looked at."""
    reasons = of_another_modality(accepts, volume.modality)
    slices = volume.voxels.shape[0]
    if slices < accepts.min_slices:
        reasons.append(too_few_slices(slices, accepts.min_slices))
    spacing_mm = volume.widest_mm
    if accepts.max_spacing_mm is not None and beyond(spacing_mm, accepts.max_spacing_mm):
        reasons.append(f"voxels are {in_mm(spacing_mm)} apart, at most {accepts.max_spacing_mm:g} mm are taken")
    apart_mm = volume.apart_mm[0]
    if accepts.min_apart_mm is not None and beyond(accepts.min_apart_mm, apart_mm):
        reasons.append(f"slices are {in_mm(apart_mm)} apart, at least {accepts.min_apart_mm:g} mm are needed")
    if thick := too_thick(accepts, volume.thickness_mm):
        reasons.append(thick)
    extents_mm = [count * step for count, step in zip(volume.voxels.shape, volume.spacing_mm, strict=True)]
    if accepts.min_extent_mm is not None and min(extents_mm) < accepts.min_extent_mm:
        sides = " × ".join(f"{side:.0f}" for side in extents_mm)
        reasons.append(f"the images cover {sides} mm, at least {accepts.min_extent_mm:g} mm are needed in every direction")
    if accepts.max_extents_mm is not None and (too_far := _too_far(volume, accepts.max_extents_mm)):
        reasons.append(too_far)
    if accepts.sop_classes and (others := {source.sop_class_uid for source in volume.sources} - set(accepts.sop_classes)):
        found, taken = (" and ".join(sorted(map(class_name, some))) for some in (others, accepts.sop_classes))
        reasons.append(f"the images are stored as {found}, not as {taken}")
    orientation = slice_orientation(volume)
    if accepts.orientation is not None and orientation != accepts.orientation:
        reasons.append(f"slices are {orientation}, not {accepts.orientation}")
    return reasons


def unfit_phases(accepts: Accepts, phases: int) -> list[str]:
    """What is wrong with so many phases; nothing where nothing is."""
    there = "one image at each position" if phases == 1 else f"{phases} phases"
    if phases < accepts.min_phases:
        return [f"{there}, at least {accepts.min_phases} phases are needed"]
    if accepts.max_phases is not None and phases > accepts.max_phases:
        return [f"{there}, at most {accepts.max_phases} are taken"]
    return []


def of_another_clock(accepts: Accepts, clock: Clock | None) -> str:
    """What is wrong with what the time of phases is counted by; "" where nothing is."""
    if not accepts.clock or clock in accepts.clock:
        return ""
    found = "said by no element" if clock is None else f"that of the {clock.value}" if clock is not Clock.TIME else "that which passes"
    return f"the time of the phases is {found}, not {' or '.join(one.value for one in accepts.clock)}"


def _too_far(volume: Volume, most_mm: tuple[float, float, float]) -> str:
    """What is wrong with how far the images reach along the axes of the patient, each by the side of the volume that is nearest to it."""
    turned = reorientation(Grid.of(volume), "SPL").grid(Grid.of(volume))
    sides_mm = [round(count * step) for count, step in zip(turned.shape, turned.spacing_mm, strict=True)]
    if all(side <= most for side, most in zip(sides_mm, most_mm, strict=True)):
        return ""
    sides, bounds = (" × ".join(f"{side:g}" for side in three) for three in (sides_mm, most_mm))
    return f"the images cover {sides} mm (to the head, the back and the left), at most {bounds} mm are taken"


def of_another_modality(accepts: Accepts, modality: str) -> list[str]:
    """What is wrong with a modality; nothing where nothing is."""
    return [] if modality in accepts.modality else [f"modality is {modality or '(absent)'}, not {' or '.join(accepts.modality)}"]


def of_another_age(accepts: Accepts, ages: Sequence[int | None]) -> list[str]:
    """What is wrong with how old the patient was, in completed years; nothing where nothing is. None is an age that no header tells."""
    if accepts.years is None:
        return []
    first, last = accepts.years
    taken = f"patients of {first} to {last} completed years are taken"
    if not ages or None in ages:
        return [f"how old the patient was is not known (no PatientAge, nor PatientBirthDate with a later StudyDate); {taken}"]
    others = sorted({years for years in ages if years is not None and not first <= years <= last})
    return [f"the patient was {' or '.join(map(str, others))} years old; {taken}"] if others else []


def slice_orientation(volume: Volume) -> str:
    """ "axial", "coronal" or "sagittal": the plane that the slices are nearest to."""
    normal = np.cross(volume.affine[:3, 1], volume.affine[:3, 2])
    return _ORIENTATIONS[int(np.argmax(np.abs(normal)))]
