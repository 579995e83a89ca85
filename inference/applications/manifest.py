"""Manifest check: refuses an incomplete or contradictory manifest when its application is loaded, which is at start."""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, cast

from inference.applications.errors import BrokenApplication
from inference.applications.numbering import GREATEST_SERIES
from inference.applications.port import (
    Accepts,
    Application,
    Clock,
    DeformationOutput,
    DerivedOutput,
    EvaluationOutput,
    ExplanationOutput,
    LocationOutput,
    MeasurementOutput,
    ModelRef,
    Output,
    RegistrationOutput,
    SaliencyOutput,
    SegmentOutput,
    Takes,
    UncertaintyOutput,
)
from inference.codes import Code
from inference.imaging.measures.measuring import tells
from inference.imaging.subject import Parts

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_VERSION = re.compile(r"\d+\.\d+\.\d+([-+.][0-9A-Za-z.-]+)?")
_MODALITY = re.compile(r"[A-Z]{2,16}")
_LO_LENGTH = 64
"""Label and title become LO elements (PS3.5 6.2): 64 characters, no backslash."""
_SH_LENGTH = 16
"""Of a code's value and scheme (PS3.3 8.8)."""
_LONGEST_NOUN = 24
"""So that kind of object, application and version have room behind it in a Series Description."""
_LOCALISING: Mapping[type[Output], str] = {
    SegmentOutput: "a mask",
    LocationOutput: "a location",
    SaliencyOutput: "a map",
    UncertaintyOutput: "a map of uncertainty",
    DerivedOutput: "an image",
    RegistrationOutput: "a registration",
    DeformationOutput: "a deformation",
}
"""What says where, and is therefore not for an application that is cleared to say whether."""
_IN_SPACE = (SaliencyOutput, UncertaintyOutput, DerivedOutput)
_OF_PHASES = (SegmentOutput, MeasurementOutput, EvaluationOutput)
"""What is said over time: masks in one phase each, numbers, and answers."""
_PARTS: Mapping[Takes, tuple[str, ...]] = {Takes.VOLUME: ("refuse", "each", "b0"), Takes.CINE: ("refuse", "each")}
"""What a series of several volumes, or of several loops, may be taken as; nothing else has parts."""
_ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _+-]{0,30}")
_OF_PARTS = {"each": "volumes and cines", "b0": "volumes"}


def is_role(text: str) -> bool:
    """Whether a text can be the name of a role: 1 to 31 letters, digits, blanks, and _ + -, the first a letter or a digit."""
    return _ROLE.fullmatch(text) is not None


def check_manifest(application: Any, name: str, where: str) -> Application:
    """Give back the application, or say all that is wrong with it.

    Raises
    ------
    BrokenApplication
    """
    if not isinstance(application, Application):
        raise BrokenApplication(f'application "{name}" in {where}: APPLICATION is a {type(application).__name__}, not an Application')
    problems = [
        *_identity(application, name),
        *_accepts(application.accepts),
        *_models(application),
        *_outputs(application),
        *_measures(application),
        *_expects(application),
        *_roles(application),
    ]
    if problems:
        raise BrokenApplication(f'application "{name}" in {where}: {"; ".join(problems)}')
    return application


def of_parts(application: Application, parts: str) -> Application:
    """The application as somebody wants it who runs it: of a series of several volumes or loops these `parts`, whatever it declares.

    Raises
    ------
    BrokenApplication
        It takes nothing that has such parts.
    """
    asked = replace(application, accepts=replace(application.accepts, parts=cast("Parts", parts)))
    if problems := _parts(asked.accepts):
        raise BrokenApplication(f'application "{application.name}": {"; ".join(problems)}')
    return asked


def _identity(application: Application, name: str) -> list[str]:
    problems = []
    if application.name != name:
        problems.append(f'its manifest calls it "{application.name}"')
    if not _NAME.fullmatch(application.name):
        problems.append(f'name "{application.name}" is not lower-case words joined by "-"')
    if not _VERSION.fullmatch(application.version):
        problems.append(f'version "{application.version}" is not MAJOR.MINOR.PATCH')
    if not is_label(application.title):
        problems.append(f'title "{application.title}" is not 1 to {_LO_LENGTH} characters without a backslash')
    if application.noun and not (is_label(application.noun) and len(application.noun) <= _LONGEST_NOUN):
        problems.append(f'noun "{application.noun}" is not up to {_LONGEST_NOUN} characters without a backslash')
    # data says it too (application.json), in which a number may be any
    if type(application.series) is not int or not 0 <= application.series <= GREATEST_SERIES:
        problems.append(f"series is {application.series!r}, not a whole number from 1 to {GREATEST_SERIES}, or 0: the node gives it one")
    if application.qualification not in {"RESEARCH", "PRODUCT"}:
        problems.append(f'qualification "{application.qualification}" is neither RESEARCH nor PRODUCT')
    return problems


def _parts(accepts: Accepts) -> list[str]:
    if accepts.parts not in {"refuse", *_OF_PARTS}:
        return [f'accepts.parts "{accepts.parts}" is neither refuse nor each nor b0']
    if accepts.parts not in _PARTS.get(accepts.takes, ("refuse",)):
        return [f'accepts.parts "{accepts.parts}" is for {_OF_PARTS[accepts.parts]}, and it takes {accepts.takes.value}']
    return []


def _accepts(accepts: Accepts) -> list[str]:
    problems = []
    # a plain "MR" would be taken letter by letter
    if not accepts.modality or not all(_MODALITY.fullmatch(modality) for modality in accepts.modality):
        problems.append(f'accepts.modality is {accepts.modality!r}, not a tuple of modalities like ("MR",)')
    if accepts.min_slices < 1:
        problems.append(f"accepts.min_slices is {accepts.min_slices}")
    problems += _parts(accepts)
    if accepts.without_prior and accepts.takes is not Takes.PAIR:
        problems.append(f"accepts.without_prior is for a pair, and it takes {accepts.takes.value}")
    if accepts.whole_study and accepts.takes is not Takes.IMAGES:
        problems.append(f"accepts.whole_study is for images, and it takes {accepts.takes.value}")
    if accepts.orientation not in {None, "axial", "coronal", "sagittal"}:
        problems.append(f'accepts.orientation "{accepts.orientation}" is none of axial, coronal, sagittal')
    if accepts.max_thickness_mm is not None and not accepts.takes.of_slices:
        problems.append(f"accepts.max_thickness_mm is for slices, and it takes {accepts.takes.value}")
    problems += [
        f"accepts.{name} is for slices, and it takes {accepts.takes.value}"
        for name, asked in (
            ("min_apart_mm", accepts.min_apart_mm),
            ("max_extents_mm", accepts.max_extents_mm),
            ("sop_classes", accepts.sop_classes),
        )
        if asked and not accepts.takes.of_slices
    ]
    problems += _over_time(accepts)
    if accepts.years is not None and not 0 <= accepts.years[0] <= accepts.years[1]:
        problems.append(f"accepts.years is {accepts.years[0]} to {accepts.years[1]}: whole years from 0 on, the first not above the last")
    problems += [
        f"accepts.{name} is {bound:g}, not above 0"
        for name, bound in (
            ("max_spacing_mm", accepts.max_spacing_mm),
            ("min_apart_mm", accepts.min_apart_mm),
            ("max_thickness_mm", accepts.max_thickness_mm),
            ("min_extent_mm", accepts.min_extent_mm),
            *(("max_extents_mm", side) for side in accepts.max_extents_mm or ()),
        )
        if bound is not None and not bound > 0
    ]
    return problems


def _over_time(accepts: Accepts) -> list[str]:
    said = (("min_phases", accepts.min_phases != 2), ("max_phases", accepts.max_phases is not None), ("clock", bool(accepts.clock)))
    if accepts.takes is not Takes.PHASES:
        return [f"accepts.{name} is for phases, and it takes {accepts.takes.value}" for name, asked in said if asked]
    if not all(isinstance(one, Clock) for one in accepts.clock):
        return [f"accepts.clock is {accepts.clock!r}, not a tuple of {', '.join(str(one.value) for one in Clock)}"]
    if accepts.min_phases < 2 or (accepts.max_phases is not None and accepts.max_phases < accepts.min_phases):
        return [f"accepts.min_phases is {accepts.min_phases} and max_phases {accepts.max_phases}: at least 2, and not less than at least"]
    return []


def _models(application: Application) -> list[str]:
    called = set(application.models)
    problems = [f"models names {_twice(application.models)} twice"] if len(called) < len(application.models) else []
    problems += [
        f"sources names {source.model.name} version {source.model.version}, which models does not"
        for source in application.sources
        # steps around a network and ensembles are called by the repository's word
        if source.sha256 and source.model not in called
    ]
    return problems


def _twice(models: tuple[ModelRef, ...]) -> str:
    return next(model.name for model in models if models.count(model) > 1)


def _outputs(application: Application) -> list[str]:
    if not application.outputs:
        return ["outputs is empty: it may say nothing"]
    labels = [output.label for output in application.outputs if isinstance(output, SegmentOutput)]
    problems = [f'segment label "{label}" is there twice' for label in sorted({label for label in labels if labels.count(label) > 1})]
    problems += [*_not_to_be_said(application), *_explained(application), *_unsure(application)]
    problems += [
        f'segment label "{label}" is not 1 to {_LO_LENGTH} characters without a backslash' for label in labels if not is_label(label)
    ]
    said = {code for output in application.outputs for code in (getattr(output, each.name) for each in fields(output))}
    problems += [
        f'the code ({code.value}, {code.scheme}, "{code.meaning}") is none: value and scheme have 1 to {_SH_LENGTH} characters, its '
        f"meaning 1 to {_LO_LENGTH}"
        for code in sorted((code for code in said if isinstance(code, Code)), key=repr)
        if not (0 < len(code.value) <= _SH_LENGTH and 0 < len(code.scheme) <= _SH_LENGTH and is_label(code.meaning))
    ]
    return problems


def _measures(application: Application) -> list[str]:
    modality = application.accepts.modality
    return [
        f"it declares that {measure.words} is measured, which no {' or '.join(modality)} image has"
        for measure in application.measures
        if not tells(measure, modality)
    ]


def _not_to_be_said(application: Application) -> list[str]:
    """Outputs that its clearance, or what it is given, rules out."""
    problems = []
    if application.triage_only:
        said = dict.fromkeys(_LOCALISING[type(output)] for output in application.outputs if type(output) in _LOCALISING)
        problems += [f"it is cleared for triage only and declares {what}" for what in said]
    takes = application.accepts.takes
    if not takes.of_slices and any(isinstance(output, _IN_SPACE) for output in application.outputs):
        problems.append(f"it declares a map or an image in space, and takes {takes.value}, which have no place there")
    if takes is Takes.CINE and any(isinstance(output, SegmentOutput) for output in application.outputs):
        problems.append("it declares a mask, and takes cine: masks lie on slices, or on single images")
    if takes is Takes.PHASES:
        elsewhere = [type(output) for output in application.outputs if not isinstance(output, _OF_PHASES)]
        problems += [f"it declares {what}, and takes phases, of which it says none" for what in dict.fromkeys(map(_named, elsewhere))]
    compares = any(role.prior_of for role in application.in_roles)
    if not compares:
        laid = [type(output) for output in application.outputs if isinstance(output, RegistrationOutput | DeformationOutput)]
        problems += [f"it declares {_LOCALISING[output]}, and takes {takes.value}: there is no prior" for output in laid]
    return problems


def _named(output: type[Output]) -> str:
    return _LOCALISING.get(output, "explanations" if output is ExplanationOutput else "qualities of locations")


def _explained(application: Application) -> list[str]:
    """A map explains an answer. For patients, one that is cleared to say whether has none: people read a map as a place."""
    declared = [output for output in application.outputs if isinstance(output, ExplanationOutput)]
    problems = []
    if (application.explain is None) == bool(declared):
        problems.append("it declares explanations and has no explain" if declared else "it has explain and declares no explanations")
    if declared and application.triage_only and application.qualification != "RESEARCH":
        problems.append("it is cleared for triage only and declares explanations, which only research may show")
    if declared and application.accepts.takes is not Takes.IMAGES:
        problems.append(f"it declares explanations, which are of single images, and takes {application.accepts.takes.value}")
    answered = {output.finding for output in application.outputs if isinstance(output, EvaluationOutput)}
    problems += [
        f"it declares an explanation of {output.finding.meaning}, of which it says nothing"
        for output in declared
        if output.finding not in answered
    ]
    return problems


def _unsure(application: Application) -> list[str]:
    """A map of uncertainty is of what was decided voxel by voxel."""
    declared = any(isinstance(output, UncertaintyOutput) for output in application.outputs)
    problems = []
    if (application.unsure is None) == declared:
        problems.append(
            "it declares maps of uncertainty and has no unsure" if declared else "it has unsure and declares no map of uncertainty"
        )
    if declared and not any(isinstance(output, SegmentOutput) for output in application.outputs):
        problems.append("it declares a map of uncertainty and no segment, of which it could be unsure")
    return problems


def is_label(text: str) -> bool:
    """Whether a text may stand in an LO element, and reads like one: for labels of findings."""
    return 0 < len(text) <= _LO_LENGTH and "\\" not in text and text.isprintable() and text == text.strip()


def _expects(application: Application) -> list[str]:
    """What the judge is to go by has to speak of segments that there may be, and of every age."""
    expects, takes = application.expects, application.accepts.takes
    labels = {output.label for output in application.outputs if isinstance(output, SegmentOutput)}
    named = [label for segments in (*(m.segments for m in expects.marked), *(p.segments for p in expects.plausible)) for label in segments]
    if takes is Takes.PHASES and named:
        return ["expects a form or a size of segments, which are judged in no phase"]
    problems = [f'expects something of segment "{label}", which it does not declare' for label in named if label not in labels]
    for plausible in expects.plausible:
        ages = [span.from_years for span in plausible.spans]
        known = [age for age in ages if age is not None]
        if ages[:1] != [None] or len(known) != len(ages) - 1 or known[:1] != [0] or known != sorted(set(known)):
            problems.append(f"{plausible.structure}: spans begin with that of an unknown age, then 0 years, then rising")
        if any(
            not span.possible[0] <= span.usual[0] < span.usual[1] <= span.possible[1] or span.possible[0] < 0 for span in plausible.spans
        ):
            problems.append(f"{plausible.structure}: what is usual lies within what is possible")
        if not plausible.source:
            problems.append(f"{plausible.structure}: bounds without a source")
    if expects.view is not None and takes is not Takes.IMAGES:
        problems.append("expects a view, and takes no single images")
    return problems


def _roles(application: Application) -> list[str]:
    """Roles are for several volumes; the first is the reference, which is there, of the study, and whatever it is of, on its own grid."""
    roles, takes = application.roles, application.accepts.takes
    if takes is not Takes.VOLUMES:
        return [f"it names roles, and takes {takes.value}"] if roles else []
    if len(roles) < 2:
        return [f"roles names {len(roles)}, at least two are analysed together"]
    names = [role.name for role in roles]
    problems = [f'role "{name}" is there twice' for name in dict.fromkeys(names) if names.count(name) > 1]
    problems += [f'role "{name}" is not 1 to 31 letters, digits, blanks, and _ + -' for name in names if not is_role(name)]
    first = roles[0]
    if first.optional or first.prior_of or first.motion or first.own_grid or first.accepts or first.expects:
        problems.append(f'role "{first.name}" is the reference: it has a name alone; `accepts` and `expects` are the application\'s')
    for role in roles[1:]:
        of = {one.name for one in roles if not one.prior_of}
        if role.prior_of and role.prior_of not in of:
            problems.append(f'role "{role.name}" is the prior of "{role.prior_of}", which is no role of the study')
        if role.motion is not None and not (role.motion.max_mm > 0 and role.motion.max_degrees > 0):
            problems.append(f'role "{role.name}": a motion is bounded by more than 0 mm and 0 degrees')
        if role.accepts is not None:
            problems += [f'role "{role.name}": {problem}' for problem in _accepts(role.accepts)]
            if role.accepts.takes is not Takes.VOLUME or role.accepts.parts != "refuse":
                problems.append(f'role "{role.name}" takes one volume')
    return problems
