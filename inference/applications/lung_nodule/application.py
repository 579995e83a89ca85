"""The manifest of lung-nodule, and what it says of each candidate; how they are found stands in `candidates`, the table in `follow_up`."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from inference import codes
from inference.applications.accept import beyond, in_mm
from inference.applications.ct_lung.anatomy import GAS_HU
from inference.applications.lung_nodule.candidates import MODEL, MOST_MM, Candidate, Detected, UnmeasuredMark, detect
from inference.applications.lung_nodule.comparing import Comparison, Since, compare, from_the_feet
from inference.applications.lung_nodule.follow_up import (
    SCHEME,
    SOURCE,
    TABLE,
    YOUNGEST_YEARS,
    Density,
    FollowUp,
    average_mm,
    follow_up,
    not_for,
    solid_part_mm,
)
from inference.applications.lung_nodule.growth import Trend
from inference.applications.lung_nodule.lung_rads import SCREENED_YEARS, screened
from inference.applications.lung_nodule.lung_rads import SOURCE as SCREENING
from inference.applications.lung_nodule.preparing import AIR_HU, WINDOW_HU, PreparedLungs
from inference.applications.lung_nodule.rating import shipped_rater
from inference.applications.port import (
    Accepts,
    Application,
    EvaluationOutput,
    Infer,
    Licences,
    LocationOutput,
    MeasurementOutput,
    QualityOutput,
    RegistrationOutput,
    Takes,
)
from inference.codes import Code
from inference.findings import Evaluation, Findings, Location, Measurement, PredictionInterval, Quality
from inference.imaging.judge.expects import BodyPart, Expects
from inference.imaging.resample import Grid
from inference.imaging.subject import VolumeSet, prior_in
from inference.imaging.volume import Volume
from inference.translatable import Translatable, of_the_whole, say

LABEL = "nodule"
MOST = 20
"""Nodules that are reported: a list of more is not read."""
CUT_CM2 = 4.0
"""Lung on the first or the last image from which on it is cut off; less may be a bronchus."""
THIN_MM = 1.5
"""What the guideline measures on: contiguous sections of 1.5 mm or less (MacMahon and others 2017, general recommendations)."""
THICKEST_MM = 2.5
"""What is taken at all. LUNA16, by which many detectors of nodules are measured, leaves thicker slices out (Setio and others 2017);
a nodule of 6 mm, from which on follow-up is asked for, fills two at most. Between both bounds sizes are called approximate."""

DENSITY = Code("C41144", "NCIt", "Texture")
CLASSES = {
    Density.SOLID: Code("RID50151", "RADLEX", "solid pulmonary nodule"),
    Density.PART_SOLID: Code("RID50152", "RADLEX", "part-solid pulmonary nodule"),
    Density.GROUND_GLASS: Code("RID50153", "RADLEX", "non-solid pulmonary nodule"),
}
"""As the annotations of LIDC-IDRI are coded where they were published as DICOM (Fedorov and others 2018)."""
SOLID_PART = Code("SOLID-DIAMETER", SCHEME, "Longest diameter of the solid part")
RATING = Code("LIDC-RATING", SCHEME, "LIDC readers' rating (1-5), no probability of cancer")
"""Expected of the mean of three or four readers, by outline alone, 1 "highly unlikely for cancer" to 5 "highly suspicious for cancer"."""

CHANGES = {
    Trend.GROWTH: codes.INCREASE_IN_SIZE,
    Trend.SHRINKAGE: codes.DECREASE_IN_SIZE,
    Trend.NO_GROWTH: codes.NO_SIGNIFICANT_CHANGES,
    Trend.NEW: Code("NOT-ON-PRIOR", SCHEME, "Not found on the prior"),
    Trend.UNDETERMINED: codes.UNDETERMINED,
    Trend.NOT_COVERED: Code("NOT-COVERED", SCHEME, "Not covered by the prior"),
}
"""What became of a nodule since the prior (CID 6134, which has no codes for what the prior does not show)."""
DOUBLING = Code("DOUBLING-TIME", SCHEME, "Volume doubling time")

GRADE = say("Research only, not for diagnosis. The network was trained on planted nodules of 4 to 20 mm and has seen no real one.")


def analyse(subject: Volume | VolumeSet, infer: Infer) -> Findings:
    """Find nodules, measure them, and say what the guideline recommends; with a prior also what became of each since then.

    Raises
    ------
    NoLungs
    """
    volume, prior = (subject.reference if isinstance(subject, VolumeSet) else subject), prior_in(subject)
    detected = detect(volume, infer)
    sure = detected.reported
    listed = sure[:MOST]
    compared = None if prior is None else compare(volume, prior, detected, MOST, infer)
    since: Sequence[Since | None] = (compared and compared.since) or [None] * len(listed)
    against = _against(listed, detected, volume, compared)
    decided = () if against else follow_up(listed, volume.patient_years)
    rows = {one.nodule: one.row.code for one in decided}
    return Findings(
        locations=tuple(_location(index, one, rows.get(index), then) for index, (one, then) in enumerate(zip(listed, since, strict=True))),
        measurements=tuple(
            measurement
            for index, (one, then) in enumerate(zip(listed, since, strict=True))
            for measurement in (*_beside(_measurements(_label(index), one), then), *_changes(_label(index), then))
        ),
        evaluations=(_whether(listed, detected, compared),),
        registration=compared.registration if compared else None,
        remarks=(
            GRADE,
            *_masses(detected, volume),
            *map(of_the_whole, _recommended(listed, decided, against, volume, compared)),
            *(compared.remarks if compared else ()),
            *_approximate(listed, volume),
            *_cut(listed),
            *map(of_the_whole, _rated(listed)),
            *_searched(detected, len(sure), volume),
        ),
    )


def _whether(listed: Sequence[Candidate], detected: Detected, compared: Comparison | None) -> Evaluation:
    """Both lungs are looked through; what is in one of them is not in both. Nothing is absent where a mark has to be looked at."""
    if listed:
        return Evaluation(finding=codes.NODULE, value=codes.PRESENT, finding_site=codes.LUNG)
    to_be_seen = any(one.mass for one in detected.unmeasured) or (compared is not None and compared.outgrown)
    return Evaluation(finding=codes.NODULE, value=codes.UNDETERMINED if to_be_seen else codes.ABSENT, finding_site=codes.LUNGS)


def _label(index: int) -> str:
    return f"{LABEL} {index + 1}"


def _location(index: int, one: Candidate, row: Code | None, since: Since | None) -> Location:
    changed = (Quality(name=codes.QUALITATIVE_DIFFERENCE, value=CHANGES[since.judged.trend]),) if since else ()
    recommended = (Quality(name=codes.RECOMMENDED_FOLLOW_UP, value=row),) if row else ()
    return Location(
        label=_label(index),
        finding=codes.NODULE,
        shape=one.box,
        image=one.image,
        finding_site=codes.LUNG,
        certainty=one.certainty,
        qualities=(Quality(name=DENSITY, value=CLASSES[one.density]), *changed, *recommended),
    )


def _measurements(label: str, one: Candidate) -> Iterator[Measurement]:
    yield Measurement(name=codes.LONG_AXIS, value=one.long_mm, unit=codes.MILLIMETRE, location=label)
    yield Measurement(name=codes.SHORT_AXIS, value=one.short_mm, unit=codes.MILLIMETRE, location=label)
    # in whole mm, as the guideline has it and goes by
    yield Measurement(name=codes.DIAMETER, value=float(average_mm(one)), unit=codes.MILLIMETRE, derivation=codes.MEAN, location=label)
    if one.density is Density.PART_SOLID:
        yield Measurement(name=SOLID_PART, value=float(solid_part_mm(one)), unit=codes.MILLIMETRE, location=label)
    yield Measurement(name=codes.VOLUME, value=one.volume_mm3 / 1000, unit=codes.CUBIC_CENTIMETRE, location=label)
    if (rating := one.rating) is not None:
        interval = PredictionInterval(low=rating.low, high=rating.high, level=rating.level)
        yield Measurement(name=RATING, value=rating.value, unit=codes.SCORE, location=label, interval=interval)


def _beside(measured: Iterator[Measurement], since: Since | None) -> Iterator[Measurement]:
    """Each with what the same was on the prior, where it was found there; a rating is of an outline, and compared with nothing."""
    then = {} if since is None or since.then is None else {(one.name, one.derivation): one for one in _measurements("", since.then)}
    for one in measured:
        before = None if one.name == RATING else then.get((one.name, one.derivation))
        yield one if since is None or before is None else replace(one, earlier=since.earlier(before.value))


def _changes(label: str, since: Since | None) -> Iterator[Measurement]:
    """By how much the mean diameter and the volume differ from the prior's, and in which time the volume doubles."""
    if since is None or (change := since.judged.change) is None:
        return
    for value, unit in (
        (change.mm, codes.MILLIMETRE),
        (change.mm3 / 1000, codes.CUBIC_CENTIMETRE),
        (100 * change.share, codes.PERCENT),
    ):
        yield Measurement(name=codes.DIFFERENCE_IN_SIZE, value=value, unit=unit, location=label)
    if change.doubling_days is not None:
        yield Measurement(name=DOUBLING, value=change.doubling_days, unit=codes.DAY, location=label)


def _rated(listed: Sequence[Candidate]) -> Iterator[Translatable]:
    if any(one.rating for one in listed):
        yield say(
            "The rating is what readers of LIDC-IDRI would say of the outline's size and form, 1 (unlikely) to 5 (suspicious), learned "
            "from {nodules} of their nodules. It is no probability of cancer: of most of those nobody knows what they were. Its interval "
            "is of readers' outlines, not of the network's.",
            nodules=str(shipped_rater().nodules),
        )
    for place, one in enumerate(listed, 1):
        if one.rating is None and not one.cut:
            yield say("Not rated is nodule {number}: LIDC's readers outlined hardly any of its size.", number=str(place))


def _cut(listed: Sequence[Candidate]) -> Iterator[Translatable]:
    for place, one in enumerate(listed, 1):
        if one.cut:
            yield say(
                "Nodule {number} reaches the first or the last image: it may be larger than what was measured, and is not rated.",
                number=str(place),
            )


def _searched(detected: Detected, sure: int, volume: Volume) -> Iterator[Translatable]:
    yield say(
        "Looked for in {searched} cm³ of lung and its margin. Nodules are missed, and vessels and scars may be marked. What is longer than "
        "{most} mm is not reported: a mass would be missed.",
        searched=f"{detected.searched_cm3:.0f}",
        most=f"{MOST_MM:g}",
    )
    if _cut_off(detected.prepared, Grid.of(volume)):
        yield say("The lungs reach the first or the last image: what of them lies beyond was not looked at.")
    if sure > MOST:
        counts = {"most": str(MOST), "sure": str(sure)}
        yield say("The {most} surest of {sure} are listed; the others are not, and the follow-up does not count them.", **counts)


def _cut_off(prepared: PreparedLungs, images: Grid) -> bool:
    """Whether the first or the last image shows lung: `CUT_CM2` of air-bearing tissue where nodules are looked for."""
    gas, air = ((hu - WINDOW_HU[0]) / (WINDOW_HU[1] - WINDOW_HU[0]) for hu in (GAS_HU, AIR_HU))
    step_mm, *pixel_mm = prepared.grid.spacing_mm
    ends_mm = [_height_mm(images, plane) for plane in (0, images.shape[0] - 1)]
    for plane in (0, prepared.grid.shape[0] - 1):
        lung = prepared.search[plane] & (prepared.image[plane] > gas) & (prepared.image[plane] < air)
        away_mm = min(abs(_height_mm(prepared.grid, plane) - end) for end in ends_mm)
        if away_mm < max(step_mm, images.spacing_mm[0]) and int(np.count_nonzero(lung)) * math.prod(pixel_mm) / 100 >= CUT_CM2:
            return True
    return False


def _height_mm(grid: Grid, plane: int) -> float:
    """z (LPS) of the middle of a plane."""
    middle = [(count - 1) / 2 for count in grid.shape[1:]]
    return float((grid.affine @ [plane, *middle, 1.0])[2])


def _masses(detected: Detected, volume: Volume) -> Iterator[Translatable]:
    if images := sorted(int(from_the_feet(volume, _image_of(one, volume))) for one in detected.unmeasured if one.mass):
        yield say(
            "Not measured: {count} marked that may be a mass, longer than {most} mm, about slice {images} of {all} from the feet on. Look "
            "there.",
            count=str(len(images)),
            most=f"{MOST_MM:g}",
            images=", ".join(map(str, images)),
            all=str(len(volume.voxels)),
        )


def _image_of(mass: UnmeasuredMark, volume: Volume) -> int:
    """The slice nearest to its middle."""
    return int(np.clip(round(float(volume.to_indices(mass.places_mm.mean(axis=0))[0])), 0, len(volume.voxels) - 1))


def _against(listed: Sequence[Candidate], detected: Detected, volume: Volume, compared: Comparison | None) -> Translatable | None:
    """Why no category is given; None where nothing is known against it."""
    if compared is not None and compared.outgrown:
        return say("a nodule of the prior may have grown beyond {most} mm, and was not measured", most=f"{MOST_MM:g}")
    if any(one.mass for one in detected.unmeasured):
        return say("what is longer than {most} mm and may be a mass was marked, and not measured", most=f"{MOST_MM:g}")
    return not_for(listed, volume.patient_years)


def _recommended(
    listed: Sequence[Candidate], decided: Sequence[FollowUp], against: Translatable | None, volume: Volume, compared: Comparison | None
) -> Iterator[Translatable]:
    if not listed:
        return
    if against:
        yield say("No follow-up category: {against} ({source}).", against=against, source=SOURCE)
        return
    # first for whom it is not: a page may have no room for what comes later
    yield say(
        "Follow-up is for nodules found by chance, from {youngest} years on{unknown}; not for screening, known cancer or weak immunity, of "
        "which nothing is known here.",
        youngest=str(YOUNGEST_YEARS),
        unknown=say(" (the age is not in the images)") if volume.patient_years is None else "",
    )
    for one in decided:
        yield say(
            "Nodule {number}, {meaning}: {recommended}.",
            number=str(one.nodule + 1),
            meaning=one.row.code.meaning,
            category=one.row.code,
            recommended=one.row.recommended,
        )
    yield say("Follow-up is by the table of the {source}.", source=SOURCE)
    courses = compared.courses if compared else ()
    if volume.patient_years not in SCREENED_YEARS or (most := screened(listed, courses)) is None:
        return
    if compared is None or not compared.told:
        yield say(
            "Were this a first screening CT, the most suspicious by size and density alone would be nodule {number}, category {category}: "
            "{managed} ({source}); calcium, fat, its place and growth, which change categories, are not judged.",
            number=str(most.nodule + 1),
            category=most.named,
            managed=most.most.managed,
            source=SCREENING,
        )
    else:
        yield say(
            "Were the prior the last screening CT, the most suspicious by size, density and growth alone would be nodule {number}, "
            "category {category}: {managed} ({source}). One that was not found before counts as what it would be if new, or if missed; "
            "calcium, fat and its place, which change categories, are not judged; one that stays the same may have a lower one.",
            number=str(most.nodule + 1),
            category=most.named,
            managed=most.most.managed,
            source=SCREENING,
        )


def _approximate(listed: Sequence[Candidate], volume: Volume) -> Iterator[Translatable]:
    apart_mm, thick_mm = volume.spacing_mm[0], volume.thickness_mm or 0.0
    if listed and beyond(max(apart_mm, thick_mm), THIN_MM):
        found = say("{size} apart", size=in_mm(apart_mm)) if beyond(apart_mm, THIN_MM) else say("{size} thick", size=in_mm(thick_mm))
        yield say(
            "Slices are {found}, the guideline measures on {thin} mm: sizes and densities are approximate.",
            found=found,
            thin=f"{THIN_MM:g}",
        )


APPLICATION = Application(
    name="lung-nodule",
    version="1.2.0",
    title="Lung nodules on chest CT (trained on planted ones)",
    noun="Lung nodules",
    series=4,
    # both lungs at a size that can be searched, without gaps
    accepts=Accepts(
        modality=("CT",),
        takes=Takes.PAIR,
        without_prior=True,
        min_slices=30,
        max_spacing_mm=THICKEST_MM,
        max_thickness_mm=THICKEST_MM,
        min_extent_mm=80,
        orientation="axial",
    ),
    models=(MODEL,),
    outputs=(
        LocationOutput(finding=codes.NODULE, searched=codes.LUNGS),
        MeasurementOutput(name=codes.LONG_AXIS, unit=codes.MILLIMETRE),
        MeasurementOutput(name=codes.SHORT_AXIS, unit=codes.MILLIMETRE),
        MeasurementOutput(name=codes.DIAMETER, unit=codes.MILLIMETRE, derivation=codes.MEAN),
        MeasurementOutput(name=SOLID_PART, unit=codes.MILLIMETRE),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
        MeasurementOutput(name=RATING, unit=codes.SCORE),
        *(
            MeasurementOutput(name=codes.DIFFERENCE_IN_SIZE, unit=unit)
            for unit in (codes.MILLIMETRE, codes.CUBIC_CENTIMETRE, codes.PERCENT)
        ),
        MeasurementOutput(name=DOUBLING, unit=codes.DAY),
        RegistrationOutput(),
        QualityOutput(name=DENSITY, values=tuple(CLASSES.values())),
        QualityOutput(name=codes.QUALITATIVE_DIFFERENCE, values=tuple(CHANGES.values())),
        QualityOutput(name=codes.RECOMMENDED_FOLLOW_UP, values=tuple(row.code for row in TABLE)),
        EvaluationOutput(finding=codes.NODULE),
    ),
    licences=Licences(code="Apache-2.0", data="CC-BY-3.0"),
    analyse=analyse,
    expects=Expects(part=BodyPart.CHEST),
)
