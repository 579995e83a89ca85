"""The gate says of a series, by its headers, whether an application takes it: before any pixel is read, wherever routes are decided or
explained.

What manifests ask (`Accepts`, `Expects`) is asked by the functions that ask it of the images later (`inference.applications.accept`,
`inference.imaging.geometry`, `inference.imaging.judge`): of a volume whose voxels are not there yet.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from inference.applications.accept import nearest_plane, of_another_modality, too_few_slices, too_thick, unfit
from inference.applications.port import Accepts, Application, Takes
from inference.errors import InputError
from inference.imaging.alike import kind_of_image, kinds_of_numbers, rescale_type
from inference.imaging.assemble import MOSAICS, one_frame_of_reference
from inference.imaging.bounds import thickness_mm
from inference.imaging.errors import FourDimensional
from inference.imaging.geometry import Plane, series_geometry
from inference.imaging.judge.computed import computed_by
from inference.imaging.judge.contrast import TYPED, Weighting, against
from inference.imaging.judge.expects import Contrast, Expects
from inference.imaging.judge.stated import DESCRIBED, elsewhere, may_be, may_show, other_parts
from inference.imaging.judge.words import SAID, no_patient_by
from inference.imaging.nuclear import RECONSTRUCTED
from inference.imaging.single_images import MOVING
from inference.imaging.sop_classes import ENHANCED
from inference.imaging.volume import SliceSource, Volume
from node.dicom.header import MOST_FRAMES
from node.domain.instance import Header
from node.domain.job import WhenExcluded
from node.domain.route import Decision, Tried
from node.routing.decisions import SeriesView, class_of, holds_images

_OF_SLICES = (Takes.VOLUME, Takes.PAIR, Takes.VOLUMES)
_NO_VOXEL = np.int16(0)
_NAMED_VALUES = 3
_SAID = tuple(sorted(SAID))
_OF_A_KIND = ("Modality", "Units", "ConvolutionKernel")
_NUMBERS_OF_A_KIND = ("EchoTime", "InversionTime", "DiffusionBValue", "SliceThickness", "KVP")

TELLING = frozenset(
    {
        *("Modality", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "ImageType"),
        *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "Rows", "Columns", "NumberOfFrames"),
        *("SamplesPerPixel", "PhotometricInterpretation", "ViewPosition", "FrameTime", "CineRate"),
        *("AcquisitionContrast", "ScanningSequence", "EchoPlanarPulseSequence", "EchoTime", "EffectiveEchoTime", "RepetitionTime"),
        *("SequenceName", "PulseSequenceName", *TYPED),
        *("InversionTime", "InversionTimes", "Units", "ConvolutionKernel", "KVP", "DiffusionBValue", "RescaleSlope", "RescaleType"),
        "IssuerOfPatientID",
        *SAID,
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
    excluded
        Refused by what the manifest declares: the application is not applicable to the series. Otherwise the series is refused as what it
        is (slices in two planes, a test object), which a reader is told.
    """

    fit: Fit
    reasons: tuple[str, ...] = ()
    excluded: bool = False

    @property
    def text(self) -> str:
        """For people."""
        return f"may still be refused: {'; '.join(self.reasons)}" if self.fit is Fit.OPEN else "; ".join(self.reasons)


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
        return min(answers, key=lambda one: (list(Fit).index(one.fit) if one.fit is not Fit.OPEN else 0.5, one.excluded))
    accepts, expects = application.accepts, application.expects
    layout = _Layout.of(accepts, view)
    if excluded := _excluding(application, view, layout if counted and view.counted else None):
        return GateAnswer(fit=Fit.REFUSES, reasons=tuple(excluded), excluded=True)
    refused = [
        *_nameless(view),
        *_no_patient(expects, view),
        *_computed(expects, view),
        *_elsewhere(accepts, expects, view),
        *((layout.wrong,) if layout.wrong else ()),
    ]
    if refused:
        return _refused(refused)
    open_ = [*((layout.open,) if layout.open else ()), *_several_patients(view), *_unlike(accepts, view), *_doubts(accepts, expects, view)]
    return GateAnswer(fit=Fit.OPEN if open_ else Fit.TAKES, reasons=tuple(open_))


def not_applicable(application: Application, view: SeriesView, *, counted: bool = True) -> str:
    """Why what the application declares excludes the series; "" where nothing does."""
    if not holds_images(view):
        return ""
    if application.roles:
        reasons = [not_applicable(each, view, counted=counted) for each in _each_role(application)]
        return "; ".join(dict.fromkeys(reasons)) if all(reasons) else ""
    # routes ask it of each of their series and applications: how a thousand slices lie is worked out only where it is asked
    layout = _Layout.of(application.accepts, view) if counted and view.counted else None
    return "; ".join(_excluding(application, view, layout))


def _each_role(application: Application) -> list[Application]:
    """As it takes the series of each of its roles; of those that ask the same, one."""
    taken = [application.in_role(role) for role in application.roles]
    return [one for at, one in enumerate(taken) if not any((one.accepts, one.expects) == (as_.accepts, as_.expects) for as_ in taken[:at])]


def exclusions(application: Application, views: Iterable[SeriesView]) -> dict[str, str]:
    """Those of these series that the application does not take, by their UIDs, and why. One thin slice may be what is left of a series
    without localizers."""
    return {view.series_instance_uid: why for view in views if (why := not_applicable(application, view, counted=False))}


def gated(decision: Decision, applications: Mapping[str, Application], view: SeriesView, *, counted: bool = True) -> Decision:
    """The decision of a route with what the gate says of each of its applications, and which of them would compare the series."""
    if not decision.matched:
        return decision
    tried = [_answered(name, application, answer(application, view, counted=counted)) for name, application in applications.items()]
    compares = [
        name for name, application in applications.items() if decision.chosen and any(role.prior_of for role in application.in_roles)
    ]
    return replace(decision, tried=(*decision.tried, *tried), compares=tuple(compares))


def refusal_reason(decision: Decision) -> str:
    """Why no application takes the series, for the decision about it."""
    return "; ".join(f"{one.application} does not take it: {one.found}" for one in decision.tried if one.application)


def exclusion_sentence(application: str, why: str, when: WhenExcluded) -> str:
    """What becomes of a series that the application does not take, for a decision."""
    return f"{application} is not applicable{' and is parked' if when is WhenExcluded.PARK else ''}: {why}"


def asks_text(application: Application) -> str:
    """What the application asks of headers, for people ("MR, at least 20 slices, at most 6.5 mm apart")."""
    accepts, expects = application.accepts, application.expects
    asked = [" or ".join(accepts.modality)]
    asked += [accepts.orientation] if accepts.orientation is not None else []
    asked += [f"at least {accepts.min_slices} slices"] if accepts.takes in _OF_SLICES and accepts.min_slices > 1 else []
    asked += [f"at most {accepts.max_spacing_mm:g} mm apart"] if accepts.max_spacing_mm is not None else []
    asked += [f"at most {accepts.max_thickness_mm:g} mm thick"] if accepts.max_thickness_mm is not None else []
    asked += [f"{accepts.min_extent_mm:g} mm in every direction"] if accepts.min_extent_mm is not None else []
    asked += [f"at most {' × '.join(f'{side:g}' for side in accepts.max_extents_mm)} mm"] if accepts.max_extents_mm is not None else []
    asked += [str(expects.part.value)] if expects.part is not None else []
    asked += [f"{expects.contrast.value} weighted"] if expects.contrast is not None else []
    return ", ".join(asked)


def _refused(reasons: Sequence[str]) -> GateAnswer:
    return GateAnswer(fit=Fit.REFUSES, reasons=tuple(reasons))


def _answered(name: str, application: Application, said: GateAnswer) -> Tried:
    held = None if said.fit is Fit.OPEN else said.fit is Fit.TAKES
    return Tried(key=f"{name} takes it", expected=asks_text(application), found=said.text or "what fits", held=held, application=name)


# ---- what manifests exclude


def _excluding(application: Application, view: SeriesView, layout: "_Layout | None") -> list[str]:
    """What the application declares that excludes the series; `layout` is None where not all of its images are there."""
    accepts, expects = application.accepts, application.expects
    excluded = [*_of_another_modality(accepts, view), *_of_other_slices(accepts, view, layout)]
    excluded += [*_of_another_contrast(application, view), *_another_view(expects, view)]
    return list(dict.fromkeys(excluded))


def _of_another_modality(accepts: Accepts, view: SeriesView) -> list[str]:
    """A series without one image of a modality that is taken; objects of another kind may stand beside the images."""
    found = _texts(view.header, "Modality")
    if not accepts.modality or not set(found).isdisjoint(accepts.modality) or not (found or view.members):
        return []
    return of_another_modality(accepts, " and ".join(found))


def _of_other_slices(accepts: Accepts, view: SeriesView, layout: "_Layout | None") -> list[str]:
    """What is wrong with it by what the manifest says of slices."""
    if accepts.takes not in _OF_SLICES:
        return []
    if layout is not None and layout.volume is not None:
        return unfit(accepts, layout.volume)
    return [*(_too_few(accepts, view) if layout is not None else ()), *_thick(accepts, view), *_lies_otherwise(accepts, view)]


def _of_another_contrast(application: Application, view: SeriesView) -> list[str]:
    expects = application.expects
    if expects.contrast is None:
        return []
    members = view.members
    if application.accepts.takes in _OF_SLICES:
        # localizers are left out where slices are read; a series of nothing else is told by how they lie
        members = tuple(_without_localizers(members)) or members
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
    """Single images of which none may show what is expected."""
    if expects.view is None:
        return []
    of = [(" ".join(_texts(one, "ViewPosition")), _texts(one, "BodyPartExamined")) for one in view.members or (view.header,)]
    if any(may_be(expects.view, position) and may_show(expects.view, parts) for position, parts in of):
        return []
    named = dict.fromkeys(" ".join([*parts, position]).strip() for position, parts in of)
    return [f"the images show {', '.join(named)}, by their headers, and no {expects.view.value}"]


def _weighting(header: Header) -> Weighting:
    return Weighting(
        image_type=tuple(_texts(header, "ImageType")),
        said="\\".join(_texts(header, "AcquisitionContrast")),
        scanning=tuple(_texts(header, "ScanningSequence")),
        echo_planar=_texts(header, "EchoPlanarPulseSequence") == ["YES"],
        sequence="\\".join(_texts(header, "SequenceName") or _texts(header, "PulseSequenceName")),
        described=tuple((keyword, "\\".join(_texts(header, keyword))) for keyword in TYPED),
        echo_ms=_first(header, "EchoTime", "EffectiveEchoTime"),
        inversion_ms=_first(header, "InversionTime", "InversionTimes"),
        repetition_ms=_first(header, "RepetitionTime"),
        b_value=_first(header, "DiffusionBValue"),
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


def _computed(expects: Expects, view: SeriesView) -> list[str]:
    if expects.part is None:
        return []
    said = {(tuple(_texts(one, "ImageType")), "\\".join(_texts(one, "SeriesDescription"))) for one in view.members or (view.header,)}
    return [reason] if (reason := next(filter(None, (computed_by(*each) for each in sorted(said))), "")) else []


def _elsewhere(accepts: Accepts, expects: Expects, view: SeriesView) -> list[str]:
    """Slices of which two elements say that they show another part of the body."""
    if expects.part is None or accepts.takes not in _OF_SLICES:
        return []
    described = {keyword: _texts(view.header, keyword) for keyword in DESCRIBED}
    return [reason] if (reason := elsewhere(expects.part, _texts(view.header, "BodyPartExamined"), described)) else []


# ---- what headers leave open


def _several_patients(view: SeriesView) -> list[str]:
    patients = len({(one.get("PatientID"), one.get("IssuerOfPatientID")) for one in view.members})
    return [f"its images name {patients} patients"] if patients > 1 else []


def _unlike(accepts: Accepts, view: SeriesView) -> list[str]:
    """Slices may be of several kinds in blocks, and not to and fro (`inference.imaging.alike`), which is looked at in their order."""
    if accepts.takes not in _OF_SLICES:
        return []
    kinds: dict[str, set[Hashable]] = {keyword: {one.get(keyword, ()) for one in view.members} for keyword in _OF_A_KIND}
    kinds["ImageType"] = {kind_of_image(_texts(one, "ImageType")) for one in view.members}
    kinds["RescaleType"] = {rescale_type(" ".join(_texts(one, "RescaleType")), " ".join(_texts(one, "Modality"))) for one in view.members}
    for keyword in _NUMBERS_OF_A_KIND:
        stated = [_first(one, keyword) for one in view.members]
        kinds[keyword] = {*kinds_of_numbers(keyword, stated)}
        if keyword == "DiffusionBValue" and any(stated) and None in stated:
            kinds[keyword].add("in private attributes, if anywhere")
    differ = [keyword for keyword, found in kinds.items() if len(found - {None}) > 1]
    differ += ["RescaleSlope"] if len({"RescaleSlope" in one for one in view.members}) > 1 else []
    return [f"its images differ in {', '.join(differ)}: whether they are of one kind is looked at when they are read"] if differ else []


def _doubts(accepts: Accepts, expects: Expects, view: SeriesView) -> list[str]:
    doubts = [f"{expects.measured} is measured in the pixels"] if expects.measured else []
    if (
        expects.part is not None
        and accepts.takes in _OF_SLICES
        and (others := other_parts(expects.part, _texts(view.header, "BodyPartExamined")))
    ):
        doubts.append(f"BodyPartExamined is {', '.join(others[:_NAMED_VALUES])}, not {expects.part.value}; the pixels decide")
    silent = all(_weighting(one).silent for one in view.members or (view.header,))
    if expects.contrast is Contrast.FLAIR and silent:
        doubts.append(f"the headers do not say how the images are weighted; whether they are {expects.contrast.value} the pixels decide")
    if not accepts.modality or not (_texts(view.header, "Modality") or view.members):
        doubts.append("Modality is not said")
    return doubts


# ---- how the images lie


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How the images of a series lie, as their headers say it: the volume, or what is wrong with them, or what is not said."""

    volume: Volume | None = None
    wrong: str = ""
    open: str = ""

    @staticmethod
    def of(accepts: Accepts, view: SeriesView) -> "_Layout":
        match accepts.takes:
            case Takes.VOLUME | Takes.PAIR | Takes.VOLUMES:
                return _stacked(accepts, view)
            case Takes.IMAGES:
                return _single(view)
            case Takes.CINE:
                return _moving(view)


def _stacked(accepts: Accepts, view: SeriesView) -> _Layout:
    images = _without_localizers(view.members)
    if not images:
        return _Layout(wrong="the series holds localizers only") if view.members else _Layout(open="how its slices lie is not said")
    if any(not MOSAICS.isdisjoint(one.get("ImageType", ())) for one in images):
        return _Layout(wrong="the images are mosaics of slices")
    if any(_colour(one) for one in images):
        return _Layout(wrong="the images are in colour")
    # NumberOfFrames is the sender's word for it: nothing is made of more frames than headers are kept of
    if sum(map(_frames, images)) > max(MOST_FRAMES, len(images)):
        return _Layout(open="its images say that they have more frames than is looked at in headers")
    planes: list[Plane] = []
    placeless = 0
    for index, one in enumerate(images):
        if (found := _planes(one, index)) is None:
            return _Layout(open="where the frames of its images lie is not said in what is kept of their headers")
        planes += found
        placeless += not found
    if placeless:
        few = f" in {placeless} of {len(images)}" if planes else ""
        return _Layout(wrong=f"position, orientation or pixel spacing is absent{few}: that is no volume")
    try:
        one_frame_of_reference([(str(index), " ".join(_texts(one, "FrameOfReferenceUID"))) for index, one in enumerate(images)])
        geometry = series_geometry(planes)
    except FourDimensional as several:
        if accepts.parts != "refuse":
            return _Layout(open="several images lie at a place; what tells them apart is looked at when they are read")
        return _Layout(wrong=str(several))
    except InputError as wrong:
        return _Layout(wrong=str(wrong))
    stack = [planes[index] for index in geometry.order]
    return _Layout(
        volume=Volume(
            voxels=np.broadcast_to(_NO_VOXEL, (len(stack), stack[0].rows, stack[0].columns)),
            affine=geometry.affine,
            steps=geometry.steps,
            sources=tuple(SliceSource(sop_instance_uid=str(index), sop_class_uid=class_of(one)) for index, one in enumerate(images)),
            modality=next(filter(None, (" ".join(_texts(one, "Modality")) for one in images)), ""),
            study_instance_uid="",
            series_instance_uid=view.series_instance_uid,
            frame_of_reference_uid="",
            thickness_mm=max((plane.thickness for plane in stack if plane.thickness), default=None),
        )
    )


def _planes(header: Header, index: int) -> list[Plane] | None:
    """The places of the frames of one image; [] where it has none, None where what is kept of its header does not tell."""
    if not RECONSTRUCTED.isdisjoint(header.get("ImageType", ())):
        return None  # a tomogram's place stands in the items of its detectors
    frames = _frames(header)
    # one place that all frames share stands once
    position = _numbers(header, "ImagePositionPatient", 3 * frames) or (_numbers(header, "ImagePositionPatient", 3) or ()) * frames or None
    if frames > 1 and position is None:
        return None if class_of(header) in ENHANCED or not class_of(header) else []
    orientation, spacing = _numbers(header, "ImageOrientationPatient", 6), _numbers(header, "PixelSpacing", 2)
    rows, columns = _numbers(header, "Rows", 1), _numbers(header, "Columns", 1)
    if position is None or orientation is None or spacing is None or rows is None or columns is None:
        return None if frames > 1 or class_of(header) in ENHANCED else []
    thickness = _numbers(header, "SliceThickness", 1)
    rx, ry, rz, cx, cy, cz = orientation
    # two names for one image would do; the place of each in the series is kept apart from what people are told
    name = " ".join(_texts(header, "SOPInstanceUID")) or str(index)
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


def _without_localizers(images: Sequence[Header]) -> list[Header]:
    """As `inference.imaging.assemble` leaves them out."""
    return [one for one in images if "LOCALIZER" not in one.get("ImageType", ())]


def _single(view: SeriesView) -> _Layout:
    """Loops are another kind of subject; of a multi-frame image headers do not always say whether it is one."""
    if not view.members or any(_frames(one) < 2 for one in view.members):
        return _Layout()
    if all(_loops(one) for one in view.members):
        return _Layout(wrong="the series holds loops only")
    return _Layout(open="whether its frames are images or a loop is looked at when they are read")


def _moving(view: SeriesView) -> _Layout:
    if any(_loops(one) for one in view.members):
        return _Layout()
    if len(view.members) == 1 and _frames(view.members[0]) < 2:
        return _Layout(wrong="the series is a single image, and no loop")
    return _Layout(open="whether its images are a loop is looked at when they are read")


def _loops(header: Header) -> bool:
    timed = header.get("FrameTime") or header.get("CineRate") or not MOVING.isdisjoint(header.get("Modality", ()))
    return _frames(header) > 1 and bool(timed) and "ImagePositionPatient" not in header


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
    cosines = _numbers(view.header, "ImageOrientationPatient", 6)
    plane = nearest_plane(cosines) if cosines is not None else ""
    return [] if accepts.orientation is None or plane in ("", accepts.orientation) else [f"slices are {plane}, not {accepts.orientation}"]


def _colour(header: Header) -> bool:
    samples = header.get("SamplesPerPixel", (1,))
    return bool(samples and samples[0] != 1) or "PALETTE COLOR" in header.get("PhotometricInterpretation", ())


def _frames(header: Header) -> int:
    return next((value for value in header.get("NumberOfFrames", ()) if isinstance(value, int) and value > 0), 1)


def _numbers(header: Header, keyword: str, count: int) -> tuple[float, ...] | None:
    values = header.get(keyword, ())
    return (
        tuple(float(value) for value in values if not isinstance(value, str))
        if len(values) == count and not any(isinstance(value, str) for value in values)
        else None
    )


def _texts(header: Header, keyword: str) -> list[str]:
    return [str(value) for value in header.get(keyword, ())]


def _first(header: Header, *keywords: str) -> float | None:
    return next((float(value) for keyword in keywords for value in header.get(keyword, ())[:1] if not isinstance(value, str)), None)
