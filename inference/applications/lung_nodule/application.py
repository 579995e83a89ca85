"""The manifest of lung-nodule, and what it says of each candidate; how they are found stands in `candidates`, the table in `follow_up`."""

from collections.abc import Iterator, Sequence

from inference import codes
from inference.applications.lung_nodule.candidates import MODEL, Candidate, detect
from inference.applications.lung_nodule.density import Density
from inference.applications.lung_nodule.follow_up import SCHEME, SOURCE, TABLE, YOUNGEST_YEARS, FollowUp, average_mm, follow_up, not_for
from inference.applications.port import Accepts, Application, EvaluationOutput, Infer, LocationOutput, MeasurementOutput, QualityOutput
from inference.codes import Code
from inference.findings import Evaluation, Findings, Location, Measurement, Quality
from inference.imaging.volume import Volume

LABEL = "nodule"
MOST = 20
"""Nodules that are reported: a list of more is not read."""
THIN_MM = 1.5
"""Slices on which the guideline measures are no farther apart."""

DENSITY = Code("C41144", "NCIt", "Texture")
CLASSES = {
    Density.SOLID: Code("RID50151", "RADLEX", "solid pulmonary nodule"),
    Density.PART_SOLID: Code("RID50152", "RADLEX", "part-solid pulmonary nodule"),
    Density.GROUND_GLASS: Code("RID50153", "RADLEX", "non-solid pulmonary nodule"),
}
"""As the annotations of LIDC-IDRI are coded where they were published as DICOM (Fedorov and others 2018)."""
RECOMMENDED = Code("111053", "DCM", "Recommended Follow-up")
SOLID_PART = Code("SOLID-DIAMETER", SCHEME, "Mean diameter of the solid part")

GRADE = "Research only, not for diagnosis. The network was trained on planted nodules of 4 to 20 mm and has seen no real one."
GUIDELINE = (
    f"The guideline ({SOURCE}) is for nodules found by chance in adults from {YOUNGEST_YEARS} years on; not for screening, known cancer or "
    "weak immunity, which are not known here."
)


def analyse(volume: Volume, infer: Infer) -> Findings:
    """Find nodules, measure them, and say what the guideline recommends.

    Raises
    ------
    NoLungs
    """
    detected = detect(volume, infer)
    sure = detected.reported
    listed = sure[:MOST]
    decided = follow_up(listed, volume.patient_years)
    rows = {one.nodule: one.row.code for one in decided}
    return Findings(
        locations=tuple(_location(index, one, rows.get(index)) for index, one in enumerate(listed)),
        measurements=tuple(measurement for index, one in enumerate(listed) for measurement in _measurements(_label(index), one)),
        evaluations=(Evaluation(finding=codes.NODULE, value=codes.PRESENT if listed else codes.ABSENT, finding_site=codes.LUNGS),),
        remarks=(GRADE, *_recommended(listed, decided, volume), *_searched(detected.searched_cm3, len(sure))),
    )


def _label(index: int) -> str:
    return f"{LABEL} {index + 1}"


def _location(index: int, one: Candidate, row: Code | None) -> Location:
    recommended = (Quality(name=RECOMMENDED, value=row),) if row else ()
    return Location(
        label=_label(index),
        finding=codes.NODULE,
        shape=one.box,
        image=one.image,
        finding_site=codes.LUNG,
        certainty=one.certainty,
        qualities=(Quality(name=DENSITY, value=CLASSES[one.density]), *recommended),
    )


def _measurements(label: str, one: Candidate) -> Iterator[Measurement]:
    yield Measurement(name=codes.LONG_AXIS, value=one.long_mm, unit=codes.MILLIMETRE, location=label)
    yield Measurement(name=codes.SHORT_AXIS, value=one.short_mm, unit=codes.MILLIMETRE, location=label)
    # in whole mm, as the guideline has it and goes by
    yield Measurement(name=codes.DIAMETER, value=float(average_mm(one)), unit=codes.MILLIMETRE, derivation=codes.MEAN, location=label)
    if one.density is Density.PART_SOLID:
        yield Measurement(name=SOLID_PART, value=one.solid_mm, unit=codes.MILLIMETRE, location=label)
    yield Measurement(name=codes.VOLUME, value=one.volume_mm3 / 1000, unit=codes.CUBIC_CENTIMETRE, location=label)


def _searched(searched_cm3: float, sure: int) -> Iterator[str]:
    yield f"Looked for in {searched_cm3:.0f} cm³ of lung and its margin. Nodules are missed, and vessels and scars may be marked."
    if sure > MOST:
        yield f"The {MOST} surest of {sure} are listed; the others are not, and the follow-up does not count them."


def _recommended(listed: Sequence[Candidate], decided: Sequence[FollowUp], volume: Volume) -> Iterator[str]:
    if not listed:
        return
    if against := not_for(listed, volume.patient_years):
        yield f"No follow-up category: {against} ({SOURCE})."
        return
    for one in decided:
        yield f"{_label(one.nodule).capitalize()}, {one.row.code.meaning}: {one.row.recommended}."
    yield GUIDELINE
    if volume.patient_years is None:
        yield f"The patient's age is not in the images: below {YOUNGEST_YEARS} years the follow-up category does not hold."
    if volume.spacing_mm[0] > THIN_MM:
        apart = f"Slices are {volume.spacing_mm[0]:.1f} mm apart, the guideline measures on {THIN_MM:g} mm"
        yield f"{apart}: sizes and densities are approximate."


APPLICATION = Application(
    name="lung-nodule",
    version="1.0.0",
    title="Lung nodules on chest CT (trained on planted ones)",
    # both lungs at a size that can be searched, on slices that hold a nodule of 6 mm more than once
    accepts=Accepts(modality=("CT",), min_slices=30, max_spacing_mm=3.0, min_extent_mm=80, orientation="axial"),
    models=(MODEL,),
    outputs=(
        LocationOutput(finding=codes.NODULE, searched=codes.LUNGS),
        MeasurementOutput(name=codes.LONG_AXIS, unit=codes.MILLIMETRE),
        MeasurementOutput(name=codes.SHORT_AXIS, unit=codes.MILLIMETRE),
        MeasurementOutput(name=codes.DIAMETER, unit=codes.MILLIMETRE, derivation=codes.MEAN),
        MeasurementOutput(name=SOLID_PART, unit=codes.MILLIMETRE),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
        QualityOutput(name=DENSITY, values=tuple(CLASSES.values())),
        QualityOutput(name=RECOMMENDED, values=tuple(row.code for row in TABLE)),
        EvaluationOutput(finding=codes.NODULE),
    ),
    analyse=analyse,
)
