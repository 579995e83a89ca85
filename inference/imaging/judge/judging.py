"""The two places in which the judge is asked: before the model of headers and pixels, after it of what the model marked.

It has three ends: declined (an InputError of `errors`), a caution that leads the report, and taken without a word.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset

from inference import codes
from inference.errors import quoted
from inference.findings import Caution, Findings, Measurement, Segment
from inference.imaging import tags
from inference.imaging.judge.agent import CONTRAST_AGENT, CONTRAST_AGENT_CODES, not_native
from inference.imaging.judge.borders import WIDE, Met, borders_met, in_words
from inference.imaging.judge.brain import brain_doubts
from inference.imaging.judge.coarse import Coarse, Mask, coarse_of
from inference.imaging.judge.computed import computed, rescaled
from inference.imaging.judge.contrast import against, weighting_of
from inference.imaging.judge.doubt import Doubt, declines
from inference.imaging.judge.errors import ComputedImages, ImagesForProcessing, NoAnatomy, NotAPatient, OtherAnatomy, OtherContrast
from inference.imaging.judge.expects import BodyPart, Contrast, Expects, Form, Marked, View
from inference.imaging.judge.head import brain_in, like_t1, no_head
from inference.imaging.judge.lungs import lung_doubts
from inference.imaging.judge.pixels import drawn, negative, not_hounsfield, nothing_there
from inference.imaging.judge.radiograph import chest_doubts
from inference.imaging.judge.sizes import unusual
from inference.imaging.judge.spectral import refused, spectral
from inference.imaging.judge.stated import DESCRIBED, PRESENTATION_INTENT, elsewhere, for_processing, other_parts
from inference.imaging.judge.weighting import MYELINATED_YEARS, weighting_doubts
from inference.imaging.judge.words import codes_of, no_patient
from inference.imaging.measures.calcium import CALCIUM_SCORE, CORONARY_SCORE
from inference.imaging.measures.lengths import LONGEST
from inference.imaging.measures.uptake import MAXIMUM, PEAK
from inference.imaging.regrid import straightened
from inference.imaging.subject import Image, Images, Subject, volume_of, volumes_in
from inference.imaging.volume import Volume
from inference.translatable import Translatable, labelled, say

_EXTENTS = frozenset({codes.VOLUME, codes.LONG_AXIS, codes.SHORT_AXIS, LONGEST, CORONARY_SCORE, CALCIUM_SCORE})
"""Measurements that grow with what is measured: those, and the largest values, alone have a lower bound where it is cut."""
_LARGEST = frozenset({MAXIMUM, PEAK})
_DOUBTS: Mapping[Form, Callable[[Volume, Coarse, Mask, Mask, tuple[Met, ...]], list[Doubt]]] = {
    Form.BRAIN: brain_doubts,
    Form.LUNGS: lung_doubts,
}
_LOOKS: Mapping[View, Callable[[Image], list[Doubt]]] = {View.FRONTAL_CHEST: chest_doubts}
_AS_PEOPLE_SAY = {Form.BRAIN: say("a brain"), Form.LUNGS: say("lungs")}
_NAMES = {BodyPart.HEAD: say("head"), BodyPart.CHEST: say("chest"), BodyPart.HIPPOCAMPUS: say("hippocampus")}
_VIEWS = {View.FRONTAL_CHEST: say("frontal radiograph of the chest")}


class Judge:
    """The judge of one subject for one application.

    Parameters
    ----------
    expects
        What the application declares.
    headers
        Of the instances that the subject was made of.
    whole
        False of a series that is known to be short: what was measured in it can only be too large, and is told to nobody.
    """

    def __init__(self, expects: Expects, subject: Subject, headers: Sequence[Dataset], *, whole: bool = True) -> None:
        self._expects = expects
        self._subject = subject
        self._headers = headers
        self._whole = whole
        self._coarse: dict[int, Coarse] = {}

    def before(self) -> tuple[Caution, ...]:
        """Before the model.

        Raises
        ------
        NotAPatient, ComputedImages, ImagesForProcessing, OtherContrast, OtherAnatomy, NoAnatomy
        """
        part = self._expects.part
        if part is not None and (reason := no_patient(self._headers)):
            raise NotAPatient(reason)
        if part is not None and (reason := computed(self._headers)):
            raise ComputedImages(reason)
        if part is not None and (reason := refused(spectral(self._headers), native=self._expects.native)):
            raise ComputedImages(reason)
        if self._expects.view is not None and (reason := _for_processing(self._headers)):
            raise ImagesForProcessing(reason)
        if self._expects.contrast is not None:
            _refuse_other_contrast(self._expects.contrast, self._headers)
        if self._expects.native:
            _refuse_contrast_medium(self._headers)
        if part is None:
            return ()
        if not isinstance(self._subject, Images) and (reason := _elsewhere(part, self._headers)):
            raise OtherAnatomy(reason)
        for volume in volumes_in(self._subject):
            _refuse_no_picture(part, volume, self._coarse_of(volume))
            _refuse_as_stored(volume, self._headers)
            if self._expects.contrast is not None and part is BodyPart.HEAD and not self._expects.marked:
                self._refuse_no_head(self._expects.contrast, volume)
        # of single images the view is what pixels tell, and the application goes by the body part itself
        told = () if isinstance(self._subject, Images) else _other_part(part, self._headers)
        return told + _unknown_contrast(self._expects.contrast, self._headers)

    def after(self, findings: Findings) -> Findings:
        """After the model: the findings with what is cut marked as such, and with what a reader must know first; without numbers of HU,
        where those are not such images' as anybody knows them.

        Raises
        ------
        OtherAnatomy, OtherContrast, BeyondAnyPatient
        """
        if isinstance(self._subject, Images):
            return findings if self._expects.view is None else _of_such_views(self._expects.view, self._subject, findings)
        volume = volume_of(self._subject)
        if volume is None:
            return findings
        findings = _without_hu(findings, self._headers)
        looked_at = () if self._expects.own_borders else findings.segments
        cut = {segment.label: met for segment in looked_at if (met := borders_met(volume, segment.mask))}
        doubted = tuple(self._other_form(marked, volume, findings.segments, cut) for marked in self._expects.marked)
        sizes = [
            unusual(plausible, volume_cm3, volume.patient_years, part_only=not self._whole or _part_only(plausible.segments, cut))
            for plausible in self._expects.plausible
            if (volume_cm3 := _volume_cm3(plausible.segments, findings)) is not None
        ]
        sentences = [*filter(None, doubted), *(filter(None, sizes) if self._whole else ()), *_cut_off(findings.segments, cut)]
        measurements = tuple(_bounded(measurement, cut) for measurement in findings.measurements)
        return replace(findings, measurements=measurements, cautions=(*findings.cautions, *(Caution(sentence=each) for each in sentences)))

    def _refuse_no_head(self, contrast: Contrast, volume: Volume) -> None:
        """Of an application that marks no organ nothing is judged behind the model: the rough brain is judged before it."""
        upright = straightened(volume)
        coarse = self._coarse_of(volume if upright is None else upright.volume)
        brain = brain_in(coarse)
        if reason := no_head(coarse, brain):
            raise OtherAnatomy(f"what could be brain in series {volume.series_instance_uid} does not look like one: {reason}")
        grown = volume.patient_years is None or volume.patient_years >= MYELINATED_YEARS
        if contrast is Contrast.FLAIR and grown and _silent(self._headers) and (reason := like_t1(coarse, brain)):
            raise OtherContrast(f"series {volume.series_instance_uid}: {reason}")

    def _coarse_of(self, volume: Volume) -> Coarse:
        if id(volume) not in self._coarse:
            self._coarse[id(volume)] = coarse_of(volume)
        return self._coarse[id(volume)]

    def _other_form(
        self, marked: Marked, volume: Volume, segments: Sequence[Segment], cut: Mapping[str, tuple[Met, ...]]
    ) -> Translatable | None:
        """Why what was marked is doubtful, a sentence; None where it is not.

        Raises
        ------
        OtherAnatomy, OtherContrast
        """
        masks = [segment.mask for segment in segments if segment.label in marked.segments and segment.has_voxels]
        if not masks:
            if self._whole:
                raise OtherAnatomy(f"nothing in series {volume.series_instance_uid} was marked as {_AS_PEOPLE_SAY[marked.form]}")
            return None
        met = tuple({each.border: each for label in marked.segments for each in cut.get(label, ())}.values())
        form = _AS_PEOPLE_SAY[marked.form]
        whole = np.logical_or.reduce(masks) if len(masks) > 1 else masks[0]
        # slices as a tilted gantry lays them, or in unequal steps, have not the form of what they show
        upright = straightened(volume)
        upon, whole = (volume, whole) if upright is None else (upright.volume, upright.onto(whole))
        coarse = self._coarse_of(upon)
        inside = coarse.mask(whole)
        doubts = _DOUBTS[marked.form](upon, coarse, whole, inside, met)
        weighted: list[Doubt] = []
        if marked.form is Form.BRAIN and self._expects.contrast is Contrast.T1:
            weighted = weighting_doubts(coarse, inside, volume.patient_years)
        if not declines(doubts) and declines(weighted):
            raise OtherContrast(f"of what was marked in series {volume.series_instance_uid}: {weighted[0].said}")
        doubts += weighted
        reasons = tuple(doubt.said for doubt in doubts)
        if declines(doubts):
            raise OtherAnatomy(f"what was marked in series {volume.series_instance_uid} does not look like {form}: {'; '.join(reasons)}")
        if not doubts:
            return None
        return say(
            "What was marked looks unlike {form} ({reasons}): look at the segmentation before using any value.", form=form, reasons=reasons
        )


def _of_such_views(view: View, images: Images, findings: Findings) -> Findings:
    """What was said of images that look like the view; each other is named.

    Raises
    ------
    OtherAnatomy
        None of them does.
    """
    doubts = {index: _LOOKS[view](images.images[index]) for each in findings.evaluations for index in each.images}
    wrong = {index: tuple(doubt.said for doubt in of) for index, of in doubts.items() if declines(of)}
    if wrong and len(wrong) == len(doubts):
        reasons = "; ".join(dict.fromkeys("; ".join(of) for of in wrong.values()))
        raise OtherAnatomy(f"no image of series {images.series_instance_uid} looks like a {view.value}: {reasons}")
    strange = {index: tuple(doubt.said for doubt in of) for index, of in doubts.items() if of and index not in wrong}
    return replace(
        findings,
        evaluations=tuple(each for each in findings.evaluations if not wrong.keys() & set(each.images)),
        cautions=(
            *findings.cautions,
            *(
                Caution(sentence=say("Image {number} was left out: {reasons}.", number=images.called(index), reasons=of))
                for index, of in wrong.items()
            ),
            *(
                Caution(
                    sentence=say(
                        "Image {number} looks unlike a {view} ({reasons}): look at it before using the answer.",
                        number=images.called(index),
                        view=_VIEWS[view],
                        reasons=of,
                    )
                )
                for index, of in strange.items()
            ),
        ),
    )


def _refuse_other_contrast(contrast: Contrast, headers: Sequence[Dataset]) -> None:
    reasons = [reason for header in headers if (reason := against(contrast, weighting_of(header)))]
    if reasons:
        of = "" if len(headers) == 1 else f", in {len(reasons)} of {len(headers)} images"
        raise OtherContrast(f"{reasons[0]}{of}")


def _refuse_contrast_medium(headers: Sequence[Dataset]) -> None:
    for header in headers:
        if reason := not_native([tags.text(header, CONTRAST_AGENT)], codes_of(header, CONTRAST_AGENT_CODES)):
            raise OtherContrast(reason)


def _for_processing(headers: Sequence[Dataset]) -> str:
    return for_processing(
        [tags.text(header, PRESENTATION_INTENT) for header in headers], [tags.text(header, tags.SOP_CLASS_UID) for header in headers]
    )


def _without_hu(findings: Findings, headers: Sequence[Dataset]) -> Findings:
    """What an application measures by itself is held to what measures that it declares are held to."""
    kept = tuple(one for one in findings.measurements if one.unit != codes.HOUNSFIELD_UNIT)
    if len(kept) == len(findings.measurements):
        return findings
    against = next(filter(None, (one.against_measuring() for one in spectral(headers))), None)
    if against is None:
        return findings
    told = say("Not measured: {what}, because {why}.", what=say("what is in HU"), why=against)
    return replace(findings, measurements=kept, remarks=(*findings.remarks, told))


def _silent(headers: Sequence[Dataset]) -> bool:
    return all(weighting_of(header).silent for header in headers)


def _unknown_contrast(contrast: Contrast | None, headers: Sequence[Dataset]) -> tuple[Caution, ...]:
    """What is bright on FLAIR is another thing on T1, and nothing in the pixels tells them apart for certain; a head's size is the same."""
    if contrast is not Contrast.FLAIR or not headers or not _silent(headers):
        return ()
    return (
        Caution(
            sentence=say("The images do not say how they were weighted: look at whether they are {contrast}.", contrast=contrast.value)
        ),
    )


def _refuse_no_picture(part: BodyPart, volume: Volume, coarse: Coarse) -> None:
    reason = nothing_there(coarse)
    if not reason and volume.modality == "CT" and part is BodyPart.CHEST:
        reason = not_hounsfield(coarse)
    if not reason and volume.modality == "MR":
        reason = drawn(volume)
    if not reason and volume.modality == "MR" and part is BodyPart.HEAD:
        reason = negative(coarse)
    if reason:
        raise NoAnatomy(f"series {volume.series_instance_uid}: {reason}")


def _refuse_as_stored(volume: Volume, headers: Sequence[Dataset]) -> None:
    """A CT that nothing rescales may hold HU, signed: air is below 0 then, and in each scan some air is."""
    if volume.modality == "CT" and not any(map(rescaled, headers)) and float(volume.voxels.min()) >= 0:
        raise NoAnatomy(
            f"series {volume.series_instance_uid}: RescaleSlope and RescaleIntercept are absent and no value is below 0: these are no HU"
        )


def _elsewhere(part: BodyPart, headers: Sequence[Dataset]) -> str:
    """What says twice that another part was imaged (`stated`)."""
    parts = dict.fromkeys(said for header in headers if (said := tags.text(header, tags.BODY_PART_EXAMINED)))
    described = {keyword: dict.fromkeys(tags.text(header, tag) for header in headers) for keyword, tag in DESCRIBED.items()}
    return elsewhere(part, parts, described)


def _other_part(part: BodyPart, headers: Sequence[Dataset]) -> tuple[Caution, ...]:
    """What pixels can tell declines, the word is told (`stated`)."""
    said = dict.fromkeys(said for header in headers if (said := tags.text(header, tags.BODY_PART_EXAMINED)))
    others = other_parts(part, said)
    if not others:
        return ()
    named = ", ".join(quoted(each) for each in others)
    other = say(
        "The images say that they show {named}, not the {part}: check that this analysis is meant for them.",
        named=named,
        part=_NAMES[part],
    )
    return (Caution(sentence=other),)


def _volume_cm3(labels: tuple[str, ...], findings: Findings) -> float | None:
    """The volumes of these segments together; None where none of them was measured."""
    found = [each.value for each in findings.measurements if each.name == codes.VOLUME and each.segment in labels]
    return sum(found) if found else None


def _part_only(labels: tuple[str, ...], cut: Mapping[str, tuple[Met, ...]]) -> bool:
    """Whether so much lies beyond the images that what is in them may be too small for anybody."""
    return any(met.share > WIDE for label in labels for met in cut.get(label, ()))


def _bounded(measurement: Measurement, cut: Mapping[str, tuple[Met, ...]]) -> Measurement:
    grows = measurement.name in _EXTENTS or measurement.derivation in _LARGEST
    if grows and any(label in cut for label in (measurement.segment, *measurement.parts)):
        return replace(measurement, at_least=True)
    return measurement


def _cut_off(segments: Sequence[Segment], cut: Mapping[str, tuple[Met, ...]]) -> list[Translatable]:
    """One sentence for all segments that are cut at the same borders."""
    together: dict[Translatable, list[Segment]] = {}
    for one in segments:
        if one.label in cut:
            together.setdefault(in_words(cut[one.label]), []).append(one)
    return [_reaching(those, at) for at, those in together.items()]


def _reaching(those: Sequence[Segment], at: Translatable) -> Translatable:
    named = {"labels": ", ".join(f'"{one.label}"' for one in those)}
    structures = tuple(labelled(one.label, one.type, one.laterality) for one in those)
    if len(those) == 1:
        return say(
            "Segment {labels} reaches the {border} border of the images: what lies beyond is not measured, and the true volume is this or "
            "more.",
            border=at,
            structures=structures,
            **named,
        )
    return say(
        "Segments {labels} reach the {border} border of the images: what lies beyond is not measured, and the true volume is this or more.",
        border=at,
        structures=structures,
        **named,
    )
