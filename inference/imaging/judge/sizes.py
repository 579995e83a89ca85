"""Size check: compares a measured volume with those that a living person of that age can have."""

from collections.abc import Sequence

from inference.imaging.judge.errors import BeyondAnyPatient
from inference.imaging.judge.expects import Plausible, VolumeRange
from inference.translatable import Translatable, say


def span_of(spans: Sequence[VolumeRange], years: int | None) -> VolumeRange:
    """The span for an age: the last one that begins at or below it; the one without an age where it is not known."""
    if years is None:
        return next(span for span in spans if span.from_years is None)
    return [span for span in spans if span.from_years is not None and span.from_years <= years][-1]


def unusual(plausible: Plausible, volume_cm3: float, years: int | None, *, part_only: bool) -> Translatable | None:
    """Why a volume is unusual, a sentence for the reader; None where it is not. What is `part_only` can only be too large.

    Raises
    ------
    BeyondAnyPatient
    """
    span = span_of(plausible.spans, years)
    aged = _aged(years)
    least, most = span.possible
    if volume_cm3 > most or (volume_cm3 < least and not part_only):
        raise BeyondAnyPatient(
            f"{plausible.structure} of {_rounded(volume_cm3)} cm³: {least:,g} to {most:,g} cm³ are possible in {aged} ({plausible.source})"
        )
    low, high = span.usual
    if volume_cm3 > high or (volume_cm3 < low and not part_only):
        return say(
            "{what} of {volume} cm³ is unusual for {patient} ({low} to {high} cm³): look at the segmentation before using the value.",
            what=plausible.structure[0].upper() + plausible.structure[1:],
            structure=plausible.structure,
            volume=_rounded(volume_cm3),
            patient=aged,
            low=f"{low:g}",
            high=f"{high:g}",
        )
    return None


def _aged(years: int | None) -> Translatable:
    if years is None:
        return say("a patient of unknown age")
    return say("a patient of {years} years", years=str(years)) if years else say("a patient below one year")


def _rounded(volume_cm3: float) -> str:
    """Three significant digits, as measured volumes have in the rest of a report."""
    whole = float(f"{volume_cm3:.3g}")
    return f"{whole:.0f}" if whole >= 100 else f"{whole:.3g}"
