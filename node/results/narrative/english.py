"""The phrases of narrative reports in English."""

from collections.abc import Mapping, Sequence

from inference.codes import ABSENT, INTRACRANIAL_SPACE, PRESENT, UNDETERMINED, Code
from inference.findings import Measurement, Quality
from node.domain.profile import Kind, Language
from node.results.kinds import record_of
from node.results.narrative.wording import Count, Examination, Section, Thing
from node.results.page.naming import ImageName, Numbering, certainty, derived_name, earlier_quantity, interval_quantities, low, quantity

_VALUES = {PRESENT.value: "present", ABSENT.value: "absent", UNDETERMINED.value: "undetermined"}
_LOW = {"RESEARCH": "research result, not for diagnosis", "PRODUCT": "result of a cleared product"}
_WHAT = {"RESEARCH": "Research result, not for diagnosis.", "PRODUCT": "Result of a cleared product."}
_NOUNS = {INTRACRANIAL_SPACE.value: "Intracranial space"}
"""Of meanings that are no nouns: "Intracranial: volume 1450 cm³" is no sentence."""


class English:
    """English, in the sober order of a radiology report: what, where, how large, how certain."""

    language = Language.ENGLISH
    tag = Code("en", "RFC5646", "English")
    title = "Automated image analysis report"
    headings: Mapping[Section, str] = {Section.EXAMINATION: "Examination", Section.FINDINGS: "Findings", Section.IMPRESSION: "Impression"}
    table = ("Finding", "Measured", "Where, how certain")
    labels: Mapping[str, str] = {
        "patient": "Patient",
        "born": "Born",
        "sex": "Sex",
        "id": "Patient ID",
        "study": "Study",
        "accession": "Accession",
        "series": "Series",
        "model": "Model",
        "software": "Software",
        "analysed": "Analysed",
        "images": "Images",
        "key images": "Key images",
        "M": "male",
        "F": "female",
        "O": "other",
        "provenance": "How it was made",
        "references": "What each sentence rests on",
        "none": "none found",
        "all": "All images",
        "no model": "no trained model",
        "unsettable": "(in a script that this page cannot set: see the header)",
    }

    def term(self, code: Code) -> str:
        """The meaning of a code, as a noun."""
        return _NOUNS.get(code.value, code.meaning)

    def object(self, kind: Kind) -> str:
        """ "Detection report"."""
        return record_of(kind).title

    def image(self, name: ImageName) -> str:
        """ "image 143"."""
        called = {Numbering.IMAGE: "image", Numbering.FRAME: "frame", Numbering.PLACE: "image no."}[name.numbering]
        return f"{name.view + ', ' if name.view else ''}{called} {name.number}"

    def name(self, thing: Thing) -> str:
        """ "left lung (lung left)"; a label that says the concept itself stands alone: "hippocampus anterior"."""
        side = f"{thing.laterality.meaning} " if thing.laterality and not thing.site_sided else ""
        what = low(self.term(thing.what))
        if thing.label.lower().startswith(what.lower()):
            return _capital(f"{side}{thing.label}")
        label = f" {thing.number}" if thing.number else f" ({thing.label})" if thing.label else ""
        return _capital(f"{side}{what}{label}")

    def page(self, number: int, of: int) -> str:
        """ "Page 1 of 2"."""
        return f"Page {number} of {of}"

    def value(self, code: Code) -> str:
        """ "absent"."""
        return _VALUES.get(code.value, code.meaning)

    def details(self, thing: Thing, image: ImageName | None) -> str:
        """Where and how certain, in a few words."""
        site = self._at(thing).removeprefix(" in ").removeprefix("the ")
        said = (site, self.image(image) if image else "", *_sure(thing.certainty), *self._probable(thing))
        return ", ".join(part for part in said if part)

    def examined(self, one: Examination) -> str:
        """What was analysed."""
        what = ", ".join(
            part
            for part in (
                one.modality,
                f"series {one.series}" if one.series else "",
                f'"{one.description}"' if one.description else "",
                f"of {one.date}" if one.date else "",
                one.part,
            )
            if part
        )
        noun = "frame" if one.frames else "image"
        compared = f" Compared with the prior examination{_of(one.prior_date)}." if one.prior_date is not None else ""
        return f"{what}: {one.images} {noun}{'' if one.images == 1 else 's'}, {one.grid}.{compared}"

    def analysed(self, application: str, manufacturer: str, models: str, at: str) -> str:
        """Who did it."""
        return f"Analysed automatically by {application} ({manufacturer}), {models}, {at}."

    def measured(self, one: Measurement, seconds: tuple[float, float] | None) -> str:
        """ "mean attenuation coefficient -812.4 HU"."""
        name = derived_name(low(one.derivation.meaning), low(one.name.meaning)) if one.derivation else low(one.name.meaning)
        bound = "at least " if one.at_least else ""
        return f"{name} {bound}{quantity(one)}{_interval(one)}{_earlier(one)}{_frames(one, seconds)}"

    def quality(self, one: Quality) -> str:
        """ "texture: part-solid pulmonary nodule"."""
        return f"{low(one.name.meaning)}: {one.value.meaning}"

    def point(self, which: Code) -> str:
        """ "centroid: mean place of its voxels"."""
        return low(which.meaning)

    def segment(self, thing: Thing, on: int, of: int, measurements: Sequence[str]) -> str:
        """A structure with a mask."""
        where = f"outlined on {on} of {of} image{'' if of == 1 else 's'}"
        return f"{self.name(thing)}{self._at(thing)}: {'; '.join([*measurements, where, *_sure(thing.certainty)])}."

    def brief(self, thing: Thing, measurements: Sequence[str]) -> str:
        """The same without the images: what a conclusion says of it."""
        return f"{self.name(thing)}{self._at(thing)}: {'; '.join([*measurements, *_sure(thing.certainty)]) or 'outlined'}."

    def location(self, thing: Thing, image: ImageName, measurements: Sequence[str]) -> str:
        """Something with a place on an image."""
        return f"{self.name(thing)}{self._at(thing)} on {self.image(image)}{_listed([*measurements, *_sure(thing.certainty)])}."

    def evaluation(
        self, thing: Thing, value: Code, images: Sequence[ImageName], frames: tuple[int, int] | None, phases: Sequence[int] = ()
    ) -> str:
        """Whether something is there."""
        on = f" (on {', '.join(self.image(image) for image in images)})" if images else ""
        on = f" ({low(self.phases(phases))})" if phases else on
        span = f" (frames {frames[0]} to {frames[1]})" if frames else ""
        return f"{self.name(thing)}: {self.value(value)}{self._at(thing)}{on}{span}{_listed(self._probable(thing), '; ')}."

    def absent(self, thing: Thing, measurements: Sequence[str]) -> str:
        """Something that was looked for in vain."""
        where = self._at(thing) or " in these images"
        return f"{self.name(thing)}: none found{where}{_listed(measurements, '; ')}."

    def undetermined(self, thing: Thing, measurements: Sequence[str]) -> str:
        """Something that was looked for in vain where images are missing."""
        return f"{self.name(thing)}: undetermined{self._at(thing)}{_listed(measurements, '; ')}."

    def total(self, what: Code) -> str:
        """ "Both lungs, in total"."""
        return f"{_capital(low(what.meaning))}, in total"

    def about(self, images: Sequence[ImageName]) -> str:
        """Some images; none named are all of them."""
        return _capital(", ".join(map(self.image, images))) if images else self.labels["all"]

    def phases(self, numbers: Sequence[int]) -> str:
        """ "Phases 1, 2 and 8": all images of them."""
        *before, last = map(str, numbers)
        return f"Phases {', '.join(before)} and {last}" if before else f"Phase {last}"

    def whole(self, about: str, measurements: Sequence[str]) -> str:
        """What was measured of all that was analysed, of some images, or of several segments together."""
        return f"{about}: {'; '.join(measurements)}."

    def saliency(self, quantity: Code, label: str) -> str:
        """A map."""
        return f"A map over the images ({low(quantity.meaning)}: {label}) is stored with this result."

    def derived(self, derivation: Code, of_prior: bool) -> str:
        """A derived series."""
        return f"A new series was derived from the {'prior' if of_prior else 'current'} images ({low(derivation.meaning)})."

    def registered(self, rotation_degrees: float, prior_date: str | None) -> str:
        """How the prior lies."""
        return f"The prior examination{_of(prior_date)} was aligned rigidly with the current one (rotation {rotation_degrees:.1f}°)."

    def bent(self, most_mm: float, prior_date: str | None) -> str:
        """How the prior was bent."""
        return (
            f"The prior examination{_of(prior_date)} was aligned with the current one and bent to fit, by at most {most_mm:.1f} mm: "
            "shape and size of what it shows were altered."
        )

    def remark(self, text: str) -> str:
        """What the quality gate said, in its own words."""
        return f"Please note: {text.strip()}"

    def noted(self, text: str) -> str:
        """A remark in a report where remarks stand by themselves."""
        return text

    def analysed_part(self, part: str) -> str:
        """Which part of a series was analysed."""
        return f"Analysed of the series: {part}."

    def looked_for(self, names: Sequence[str], images: int, *, cut: bool) -> str:
        """In how many images something was looked for; where others are missing, that this decides nothing."""
        counted = f"{images} image{'s' if images != 1 else ''}"
        if cut:
            return f"Undetermined, for only {counted} came: {', '.join(names)}."
        return f"Looked for and not found in {counted}: {', '.join(names)}."

    def timed(self, first: int, last: int, first_s: float, last_s: float) -> str:
        """When frames, counted from 0, were taken."""
        return f"Frames {first + 1} to {last + 1} are {first_s:g} s to {last_s:g} s from the first."

    def caution(self, text: str) -> str:
        """What a reader must know first."""
        return text.strip()

    def caption(self, text: str) -> str:
        """What stands on a picture."""
        return text

    def found(self, counts: Sequence[Count]) -> str:
        """What was found, and how often."""
        return f"Found: {', '.join(f'{low(one.what.meaning)} ({one.number})' for one in counts)}."

    def joined(self, sentences: Sequence[str]) -> str:
        """Sentences as a paragraph."""
        return " ".join(sentences)

    def only_measured(self) -> str:
        """Measurements of anatomy say nothing of disease."""
        return "Measurements only; no statement about disease."

    def by(self, application: str, qualification: str) -> str:
        """Who says so, and what that is worth: it ends a conclusion."""
        return f"By {application}: {_LOW.get(qualification, qualification)}; made by software, not verified by a person."

    def more(self, findings: int) -> str:
        """How many findings, absent ones among them, a conclusion leaves to the rest of the report."""
        return f"{findings} more entr{'y' if findings == 1 else 'ies'} below."

    def nothing(self) -> str:
        """That there is nothing to say."""
        return "Nothing was found and nothing measured in these images."

    def standing(self, qualification: str) -> str:
        """What this is worth."""
        return f"{_WHAT.get(qualification, qualification)} Preliminary; made by software, not verified by a person."

    def _probable(self, thing: Thing) -> list[str]:
        return [] if thing.probability is None else [f"probability of {low(thing.what.meaning)} {certainty(thing.probability)}"]

    def _at(self, thing: Thing) -> str:
        if thing.site is None:
            return ""
        side = f"{thing.laterality.meaning.lower()} " if thing.laterality and thing.site_sided else ""
        site = f"{side}{low(thing.site.meaning)}"
        return f" in {site}" if site.startswith("both ") else f" in the {site}"


def _of(date: str | None) -> str:
    return f" of {date}" if date else ""


def _sure(share: float | None) -> list[str]:
    return [] if share is None else [f"certainty {certainty(share)}"]


def _listed(parts: Sequence[str], before: str = ": ") -> str:
    return before + "; ".join(parts) if parts else ""


def _interval(one: Measurement) -> str:
    """ " (90 % prediction interval 62.1 to 106 mo)"."""
    return "" if one.interval is None else f" ({certainty(one.interval.level)} prediction interval {' to '.join(interval_quantities(one))})"


def _earlier(one: Measurement) -> str:
    """ " (1450 cm³ on 2025-03-04)"."""
    if one.earlier is None:
        return ""
    version = f", by version {one.earlier.version}" if one.earlier.version else ""
    model = ", by another model" if one.earlier.another_model else ""
    return f" ({earlier_quantity(one)} on {one.earlier.date}{version}{model})"


def _frames(one: Measurement, seconds: tuple[float, float] | None) -> str:
    if one.span is None:
        return ""
    if one.span.first == one.span.last:
        return f" (frame {one.span.first + 1}{f', {seconds[0]:.2f} s' if seconds else ''})"
    time = f", {seconds[0]:.2f} s to {seconds[1]:.2f} s" if seconds else ""
    return f" (frames {one.span.first + 1} to {one.span.last + 1}{time})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
