"""The gate says of a series, by its headers, whether an application takes it: before any pixel is read, wherever routes are decided or
explained.

What manifests ask (`Accepts`, `Expects`) is asked by the functions that ask it of the images later (`inference.applications.accept`,
`inference.imaging.geometry`, `inference.imaging.judge`): of a volume whose voxels are not there yet.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from inference.applications.accept import (
    nearest_plane,
    of_another_age,
    of_another_clock,
    of_another_modality,
    too_few_slices,
    too_thick,
    unfit,
    unfit_phases,
)
from inference.applications.port import Accepts, Application, Clock, Takes
from inference.errors import HilumError
from inference.imaging.assemble import MOSAICS
from inference.imaging.judge.agent import not_native
from inference.imaging.judge.contrast import TYPED, Weighting, against
from inference.imaging.judge.expects import Contrast, Expects
from inference.imaging.judge.stated import DESCRIBED, elsewhere, for_processing, may_be, may_show, named_twice, other_parts
from inference.imaging.judge.words import SAID, no_patient_by
from inference.imaging.phase_series import LOOKED_AT
from node.domain.instance import Header, first_number, numbers_of, texts_of
from node.domain.job import Demand, WhenExcluded, strictest
from node.domain.route import Decision, Derived, Route, Tried
from node.routing.conditions import told
from node.routing.decisions import SeriesView, holds_images
from node.routing.layout import Layout, without_localizers
from node.routing.over_time import Slices
from node.routing.values import computed, half_rescaled, unlike, unsaid

_NAMED_VALUES = 3
_SAID = tuple(sorted(SAID))

TELLING = frozenset(
    {
        *("Modality", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "ImageType"),
        *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "Rows", "Columns", "NumberOfFrames"),
        *("SamplesPerPixel", "PhotometricInterpretation", "ViewPosition", "PresentationIntentType", "FrameTime", "CineRate"),
        *("TriggerTime", "NominalPercentageOfCardiacPhase", "NominalPercentageOfRespiratoryPhase", "TemporalPositionIdentifier"),
        *("AcquisitionContrast", "ScanningSequence", "EchoPlanarPulseSequence", "EchoTime", "EffectiveEchoTime", "RepetitionTime"),
        *("SequenceName", "PulseSequenceName", "FlipAngle", "AcquisitionNumber", "NominalInterval", "HeartRate", *TYPED),
        *(
            "InversionTime",
            "InversionTimes",
            "Units",
            "DerivationCodeSequence",
            "ConvolutionKernel",
            "KVP",
            "DiffusionBValue",
            "RescaleSlope",
            "RescaleType",
            "MonoenergeticEnergyEquivalent",
        ),
        *("PatientAge", "PatientBirthDate", "StudyDate"),
        *("IssuerOfPatientID", "ContrastBolusAgent", "ContrastBolusAgentSequence", "RescaleIntercept", "BitsStored", "PixelRepresentation"),
        *SAID,
        *LOOKED_AT,
    }
)
"""The keywords of a header that any answer looks at."""


class Fit(StrEnum):
    """Whether an application takes a series."""

    TAKES = "takes it"
    REFUSES = "does not take it"
    OPEN = "cannot be known from headers"  # what manifests ask stands in no header, or a header says what pixels may disprove


@dataclass(frozen=True, slots=True, kw_only=True)
class GateAnswer:
    """What the gate says of one application and one series.

    Attributes
    ----------
    reasons
        Why it is refused, or why it may still be; for people.
    exclusion
        What the manifest declares that excludes the series: the application is not applicable to it. "" of a series that is refused as what
        it is (slices in two planes, a test object), which a reader is told, and of one that is not refused.
    """

    fit: Fit
    reasons: tuple[str, ...] = ()
    exclusion: str = ""

    @property
    def text(self) -> str:
        """For people."""
        return f"may still be refused: {'; '.join(self.reasons)}" if self.fit is Fit.OPEN else "; ".join(self.reasons)


class Gate:
    """The gate while one arrival or study is looked at: each application is asked of each view of a series once.

    Parameters
    ----------
    slices
        Those of the study: an application over time is asked of a slice with the others of its subject.
    """

    def __init__(self, slices: Slices | None = None) -> None:
        self.slices = slices or Slices()
        self._said: dict[tuple[str, int, bool], tuple[SeriesView, GateAnswer]] = {}
        self._excluded: dict[tuple[str, int], tuple[SeriesView, str]] = {}

    def answer(self, application: Application, view: SeriesView, *, counted: bool = True) -> GateAnswer:
        """As `answer`."""
        whole = self.slices.as_one(view) if application.accepts.takes is Takes.PHASES else view
        asked = application.name, id(whole), counted  # the view is kept, and no other gets its number meanwhile
        if asked not in self._said:
            self._said[asked] = whole, self._told(application, whole, answer(application, whole, counted=counted))
        return self._said[asked][1]

    def _told(self, application: Application, view: SeriesView, said: GateAnswer) -> GateAnswer:
        """With what else of the study may have been meant, where a series of one phase is refused for that."""
        accepts = application.accepts
        for_its_one_phase = accepts.takes is Takes.PHASES and not set(unfit_phases(accepts, 1)).isdisjoint(said.reasons)
        if not for_its_one_phase or _of_another_modality(accepts, view):
            return said
        if not (meant := self.slices.alone(view)):
            return said
        return replace(said, reasons=(*said.reasons, meant), exclusion=said.exclusion and f"{said.exclusion}; {meant}")

    def not_applicable(self, application: Application, view: SeriesView) -> str:
        """As `not_applicable`; over time how many slices and phases there are is asked too: of a study's cines one is short axes."""
        if application.accepts.takes is Takes.PHASES:
            return self.answer(application, view).exclusion
        asked = application.name, id(view)
        if asked not in self._excluded:
            self._excluded[asked] = view, not_applicable(application, view)
        return self._excluded[asked][1]


def answer(application: Application, view: SeriesView, *, counted: bool = True) -> GateAnswer:
    """Whether an application takes a series, by its headers.

    Parameters
    ----------
    counted
        All images of the series are there: how many they are, and what they cover, says something of it.
    """
    if not holds_images(view):
        return _refused([f"the series holds no images ({', '.join(view.without)})"])
    if application.roles:
        answers = [answer(each, view, counted=counted) for each in _each_role(application)]
        best = min(answers, key=lambda one: (list(Fit).index(one.fit) if one.fit is not Fit.OPEN else 0.5, bool(one.exclusion)))
        return replace(best, exclusion="; ".join(dict.fromkeys(one.exclusion for one in answers)) if best.exclusion else "")
    accepts, expects = application.accepts, application.expects
    layout = Layout.of(accepts, view)
    if excluded := _excluding(application, view, layout if counted and view.counted else None):
        return GateAnswer(fit=Fit.REFUSES, reasons=tuple(excluded), exclusion="; ".join(excluded))
    refused = [
        *_nameless(view),
        *_no_patient(expects, view),
        *computed(expects, view),
        *half_rescaled(accepts, view),
        *_elsewhere(accepts, expects, view),
        *((layout.wrong,) if layout.wrong else ()),
    ]
    if refused:
        return _refused(refused)
    open_ = [
        *((layout.open,) if layout.open else ()),
        *_several_patients(view),
        *unlike(accepts, view, layout),
        *_doubts(accepts, expects, view),
    ]
    return GateAnswer(fit=Fit.OPEN if open_ else Fit.TAKES, reasons=tuple(open_))


def not_applicable(application: Application, view: SeriesView) -> str:
    """Why what the application declares excludes the series, however many images of it there are; "" where nothing does."""
    if not holds_images(view):
        return ""
    if application.roles:
        reasons = [not_applicable(each, view) for each in _each_role(application)]
        return "; ".join(dict.fromkeys(reasons)) if all(reasons) else ""
    # routes ask it of each of their series and applications: how a thousand slices lie is not worked out
    return "; ".join(_excluding(application, view, None))


def _each_role(application: Application) -> list[Application]:
    """As it takes the series of each of its roles; of those that ask the same, one."""
    taken = [application.in_role(role) for role in application.roles]
    return [one for at, one in enumerate(taken) if not any((one.accepts, one.expects) == (as_.accepts, as_.expects) for as_ in taken[:at])]


def exclusions(application: Application, views: Iterable[SeriesView]) -> dict[str, str]:
    """Those of these series that the application does not take, by their UIDs, and why. One thin slice may be what is left of a series
    without localizers."""
    return {view.series_instance_uid: why for view in views if (why := not_applicable(application, view))}


def gated(
    decision: Decision,
    applications: Mapping[str, Application],
    view: SeriesView,
    gate: Gate,
    *,
    counted: bool = True,
    against: Mapping[str, str] = MappingProxyType({}),
) -> Decision:
    """The decision of a route with what the gate says of each of its applications, and which of them would compare the series.

    `against` are those that are here in another version than the route asks for, or not accepted, and what that is.
    """
    if not decision.matched:
        return decision
    tried = []
    for name, application in applications.items():
        said = gate.answer(application, view, counted=counted)
        if name in against and not said.exclusion:
            said = _refused([against[name], *(said.reasons if said.fit is Fit.REFUSES else ())])
        tried.append(_answered(name, application, said))
    compares = [
        name for name, application in applications.items() if decision.chosen and any(role.prior_of for role in application.in_roles)
    ]
    return replace(decision, tried=(*decision.tried, *tried), compares=tuple(compares))


def not_pinned(route: Route, served: Callable[[str], Application]) -> dict[str, str]:
    """The applications of a route that are here in another version than it asks for, each with what is against it; one that cannot be
    loaded is none: its job is parked with that reason."""
    against = {}
    for one in route.pinned:
        with suppress(HilumError):
            if why := route.demand(one.application).against_version(one.application, served(one.application).version):
                against[one.application] = why
    return against


def not_accepted(route: Route, served: Callable[[str], Application]) -> dict[str, str]:
    """The applications of a route that asks for accepted ones that are not accepted here, each with what is against it; likewise."""
    against = {}
    for name in route.run if route.accepted else ():
        with suppress(HilumError):
            if why := route.demand(name).against_unaccepted(served(name).unaccepted):
                against[name] = why
    return against


def unserved(route: Route, served: Callable[[str], Application]) -> dict[str, str]:
    """Both: what a route asks for, and is not what is served here."""
    return {**not_accepted(route, served), **not_pinned(route, served)}


def refusal_reason(decision: Decision) -> str:
    """Why no application takes the series, for the decision about it."""
    return "; ".join(f"{one.application} does not take it: {one.found}" for one in decision.tried if one.application)


def asking(decisions: Iterable[Decision], series_instance_uid: str | None) -> set[str]:
    """The routes that chose a series, or, of a study as a whole (None), match some of it."""
    if series_instance_uid is None:
        return {one.route for one in decisions if one.matched}
    return {one.route for one in decisions if one.chosen and one.series_instance_uid == series_instance_uid}


def becomes_excluded(
    application: str, route: Route, beside: Collection[str], routes: Sequence[Route], served: Callable[[str], Application]
) -> WhenExcluded:
    """What becomes of a route's job on what the application excludes: as the strictest asks of the routes that share it, which are those
    `beside` whose demands are answered, or in vain, as its own (node.routing.planned_job)."""

    def unanswered(one: Route) -> Demand | None:
        return one.demand(application) if application in unserved(one, served) else None

    sharing = [one for one in routes if one.name in beside and application in one.run]
    return strictest(one.when_excluded for one in [route, *sharing] if unanswered(one) == unanswered(route))


def exclusion_sentence(application: str, why: str, when: WhenExcluded) -> str:
    """What becomes of a series that the application does not take, for a decision."""
    return f"{application} is not applicable{' and is parked' if when is WhenExcluded.PARK else ''}: {why}"


def asks_text(application: Application) -> str:
    """What the application asks of headers, for people ("MR, at least 20 slices, at most 6.5 mm apart")."""
    accepts, expects = application.accepts, application.expects
    asked = [" or ".join(accepts.modality)]
    asked += [accepts.orientation] if accepts.orientation is not None else []
    asked += [f"at least {accepts.min_slices} slices"] if accepts.takes.of_slices and accepts.min_slices > 1 else []
    asked += [_phases_text(accepts)] if accepts.takes is Takes.PHASES else []
    asked += [f"slices at least {accepts.min_apart_mm:g} mm apart"] if accepts.min_apart_mm is not None else []
    asked += [f"at most {accepts.max_spacing_mm:g} mm apart"] if accepts.max_spacing_mm is not None else []
    asked += [f"at most {accepts.max_thickness_mm:g} mm thick"] if accepts.max_thickness_mm is not None else []
    asked += [f"{accepts.min_extent_mm:g} mm in every direction"] if accepts.min_extent_mm is not None else []
    asked += [f"at most {' × '.join(f'{side:g}' for side in accepts.max_extents_mm)} mm"] if accepts.max_extents_mm is not None else []
    asked += [f"of {accepts.years[0]} to {accepts.years[1]} years"] if accepts.years is not None else []
    asked += [str(expects.part.value)] if expects.part is not None else []
    asked += ["without contrast medium"] if expects.native else []
    asked += [f"{expects.contrast.value} weighted"] if expects.contrast is not None else []
    return ", ".join(asked)


def _phases_text(accepts: Accepts) -> str:
    most = "or more" if accepts.max_phases is None else f"to {accepts.max_phases}"
    of = f" of the {' or the '.join(accepts.clock)}" if accepts.clock and Clock.TIME not in accepts.clock else ""
    return f"{accepts.min_phases} {most} phases{of}"


def _refused(reasons: Sequence[str]) -> GateAnswer:
    return GateAnswer(fit=Fit.REFUSES, reasons=tuple(reasons))


def _answered(name: str, application: Application, said: GateAnswer) -> Tried:
    held = None if said.fit is Fit.OPEN else said.fit is Fit.TAKES
    return Tried(key=f"{name} takes it", expected=asks_text(application), found=said.text or "what fits", held=held, application=name)


# ---- what manifests exclude


def _excluding(application: Application, view: SeriesView, layout: Layout | None) -> list[str]:
    """What the application declares that excludes the series; `layout` is None where not all of its images are there."""
    accepts, expects = application.accepts, application.expects
    excluded = [*_of_another_modality(accepts, view), *_of_other_slices(accepts, view, layout)]
    excluded += [*_of_another_contrast(application, view), *_another_view(expects, view), *_of_another_age(accepts, view)]
    return list(dict.fromkeys(excluded))


def _of_another_modality(accepts: Accepts, view: SeriesView) -> list[str]:
    """A series without one image of a modality that is taken; objects of another kind may stand beside the images."""
    found = texts_of(view.header, "Modality")
    if not accepts.modality or not set(found).isdisjoint(accepts.modality) or not (found or view.members):
        return []
    return of_another_modality(accepts, " and ".join(found))


def _of_another_age(accepts: Accepts, view: SeriesView) -> list[str]:
    """How old the patient was, by the header of each image: one of which none tells it is refused, whatever the others say."""
    if accepts.years is None:
        return []
    # the images of a series have nearly all of it in common
    said = dict.fromkeys(told(Derived.AGE, one).ages for one in view.members or (view.header,))
    return of_another_age(accepts, [age.completed("y") if age else None for ages in said for age in ages or (None,)])


def _of_other_slices(accepts: Accepts, view: SeriesView, layout: Layout | None) -> list[str]:
    """What is wrong with it by what the manifest says of slices."""
    if not accepts.takes.of_slices:
        return []
    if layout is not None and layout.volume is not None:
        over_time = unfit_phases(accepts, layout.phases) if accepts.takes is Takes.PHASES else []
        if (layout.timed or layout.clock is not None) and (otherwise := of_another_clock(accepts, layout.clock)):
            over_time.append(otherwise)
        return [*over_time, *unfit(accepts, layout.volume)]
    return [*(_too_few(accepts, view) if layout is not None else ()), *_thick(accepts, view), *_lies_otherwise(accepts, view)]


def _too_few(accepts: Accepts, view: SeriesView) -> list[str]:
    """Fewer images than slices are needed; where an image may hold several slices, only the volume tells."""
    mosaic = not MOSAICS.isdisjoint(map(str, view.header.get("ImageType", ())))
    frames = "NumberOfFrames" in view.header and view.images > 1
    if mosaic or frames or view.slices >= accepts.min_slices:
        return []
    return [too_few_slices(view.slices, accepts.min_slices)]


def _thick(accepts: Accepts, view: SeriesView) -> list[str]:
    stated = [float(value) for value in view.header.get("SliceThickness", ()) if not isinstance(value, str)]
    return [why] if (why := too_thick(accepts, min(stated, default=None))) else []


def _lies_otherwise(accepts: Accepts, view: SeriesView) -> list[str]:
    """The plane of the slices; nothing where they lie in several, where it stands in no header, or is between two."""
    cosines = numbers_of(view.header, "ImageOrientationPatient", 6)
    plane = nearest_plane(cosines) if cosines is not None else ""
    return [] if accepts.orientation is None or plane in ("", accepts.orientation) else [f"slices are {plane}, not {accepts.orientation}"]


def _of_another_contrast(application: Application, view: SeriesView) -> list[str]:
    expects = application.expects
    if expects.native:
        given = not_native(
            texts_of(view.header, "ContrastBolusAgent"),
            (code.partition(":")[2] for code in texts_of(view.header, "ContrastBolusAgentSequence")),
        )
        if given:
            return [given]
    if expects.contrast is None:
        return []
    members = view.members
    if application.accepts.takes.of_slices:
        # localizers are left out where slices are read; a series of nothing else is told by how they lie
        members = tuple(without_localizers(members)) or members
    found = Counter(_weighting(one) for one in members or (view.header,))
    if application.accepts.parts == "b0":
        # those that are weighted by diffusion are not what is looked at
        found = Counter(replace(weighting, b_value=None) for weighting in found.elements())
    reasons = {weighting: reason for weighting in found if (reason := against(expects.contrast, weighting))}
    if not reasons:
        return []
    first, wrong = next(iter(reasons.values())), sum(found[weighting] for weighting in reasons)
    return [first if len(members) < 2 else f"{first}, in {wrong} of {len(members)} images"]


def _another_view(expects: Expects, view: SeriesView) -> list[str]:
    """Single images of which none may show what is expected, or all are as a detector gave them."""
    if expects.view is None:
        return []
    images = view.members or (view.header,)
    intents, classes = ([" ".join(texts_of(one, keyword)) for one in images] for keyword in ("PresentationIntentType", "SOPClassUID"))
    if raw := for_processing(intents, classes):
        return [raw]
    of = [(" ".join(texts_of(one, "ViewPosition")), texts_of(one, "BodyPartExamined")) for one in images]
    if any(may_be(expects.view, position) and may_show(expects.view, parts) for position, parts in of):
        return []
    named = dict.fromkeys(" ".join([*parts, position]).strip() for position, parts in of)
    return [f"the images show {', '.join(named)}, by their headers, and no {expects.view.value}"]


def _weighting(header: Header) -> Weighting:
    return Weighting(
        image_type=tuple(texts_of(header, "ImageType")),
        said="\\".join(texts_of(header, "AcquisitionContrast")),
        scanning=tuple(texts_of(header, "ScanningSequence")),
        echo_planar=texts_of(header, "EchoPlanarPulseSequence") == ["YES"],
        sequence="\\".join(texts_of(header, "SequenceName") or texts_of(header, "PulseSequenceName")),
        described=tuple((keyword, "\\".join(texts_of(header, keyword))) for keyword in TYPED),
        echo_ms=first_number(header, "EchoTime", "EffectiveEchoTime"),
        inversion_ms=first_number(header, "InversionTime", "InversionTimes"),
        repetition_ms=first_number(header, "RepetitionTime"),
        b_value=first_number(header, "DiffusionBValue"),
    )


# ---- what no application could be given


def _nameless(view: SeriesView) -> list[str]:
    """As `node.routing.series.SeriesContent.unfit`, of instances that say what they are called themselves."""
    nameless = [
        one for one in view.members if "SOPInstanceUID" in one and not (one.get("StudyInstanceUID") and one.get("SeriesInstanceUID"))
    ]
    return ["its images name no study, or no series: a result would have no place in the archive"] if nameless else []


def _no_patient(expects: Expects, view: SeriesView) -> list[str]:
    if expects.part is None:
        return []
    # the instances of a series have nearly all of it in common
    distinct = dict.fromkeys(tuple(one.get(keyword, ()) for keyword in _SAID) for one in view.members or (view.header,))
    said = ({keyword: "\\".join(map(str, values)) for keyword, values in zip(_SAID, each, strict=True)} for each in distinct)
    return [reason] if (reason := next(filter(None, map(no_patient_by, said)), "")) else []


def _elsewhere(accepts: Accepts, expects: Expects, view: SeriesView) -> list[str]:
    """Slices of which two elements say that they show another part of the body."""
    if expects.part is None or not accepts.takes.of_slices:
        return []
    described = {keyword: texts_of(view.header, keyword) for keyword in DESCRIBED}
    return [reason] if (reason := elsewhere(expects.part, texts_of(view.header, "BodyPartExamined"), described)) else []


# ---- what headers leave open


def _several_patients(view: SeriesView) -> list[str]:
    patients = len({(one.get("PatientID"), one.get("IssuerOfPatientID")) for one in view.members})
    return [f"its images name {patients} patients"] if patients > 1 else []


def _doubts(accepts: Accepts, expects: Expects, view: SeriesView) -> list[str]:
    doubts = [f"{expects.measured} is measured in the pixels"] if expects.measured else []
    if expects.shown and expects.part is not None:
        described = {keyword: texts_of(view.header, keyword) for keyword in DESCRIBED}
        if not named_twice(expects.part, texts_of(view.header, "BodyPartExamined"), described):
            doubts.append(f"whether they show {expects.shown} is seen in the pixels")
    if (
        expects.part is not None
        and accepts.takes.of_slices
        and (others := other_parts(expects.part, texts_of(view.header, "BodyPartExamined")))
    ):
        doubts.append(f"BodyPartExamined is {', '.join(others[:_NAMED_VALUES])}, not {expects.part.value}; the pixels decide")
    silent = all(_weighting(one).silent for one in view.members or (view.header,))
    if expects.contrast is Contrast.FLAIR and silent:
        doubts.append(f"the headers do not say how the images are weighted; whether they are {expects.contrast.value} the pixels decide")
    doubts += unsaid(accepts, expects, view)
    if not accepts.modality or not (texts_of(view.header, "Modality") or view.members):
        doubts.append("Modality is not said")
    return doubts
