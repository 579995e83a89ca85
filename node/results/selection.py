"""Selection of a job's objects by a profile, and of their forms; nothing here knows a sink, or what it takes.

Masks exist in forms, and each form has a report of its own that refers to it. A sink gets one form of all masks and the reports of that
form: never a report whose masks went in another form, and, where no mask goes, the report that refers to none (ADR-0115). The presentation
contexts of what an application may emit for a profile are known from its manifest, before anything was found.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from inference.applications.port import Application
from node.dicom.transfer_syntax import UNCOMPRESSED, Context
from node.domain.job import ResultObject
from node.domain.profile import Form, Kind, MaskEncoding, NotTaken, Profile
from node.results.kinds import KINDS, record_of
from node.results.segmentation import LABEL_MAPS, SEGMENTATION

MISREAD = (
    "a viewer lays the mask of one phase over all phases of a cine that came as single images of one series, may lay all over one phase "
    "where each came as a series, and may show an empty page for the mask of a photograph, which has no place in the patient"
)
"""Why a mask that `is_misread` is left out."""
NOT_TAKEN = "this sink takes no such masks"
"""Why a mask is left out where what refers to none goes instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """An object that a sink does not get, and why."""

    one: ResultObject
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a sink gets of a job.

    Attributes
    ----------
    sent
        In the order in which they were made: masks before the reports that refer to them.
    left_out
        All the others.
    wanting
        What the profile asks for and nobody made, as sentences: the sink, or its profile, came after the job was encoded.
    """

    sent: tuple[ResultObject, ...]
    left_out: tuple[LeftOut, ...]
    wanting: tuple[str, ...] = ()


def has_forms(one: ResultObject) -> bool:
    """Whether an object is a mask, or a report that refers to one. Nodes of earlier releases wrote no form: theirs were BINARY."""
    return one.kind == Kind.SEG or (one.kind == Kind.SR and one.form != "")


def is_bound(one: ResultObject) -> bool:
    """Whether an object may only stand where the masks of its form do: it is one, or speaks of them."""
    record = record_of(Kind(one.kind))
    return has_forms(one) or (record.in_languages and record.of_findings)


def is_misread(profile: Profile, one: ResultObject) -> bool:
    """Whether an object is a mask that viewers lay over images that it is not of, or fail at, and that the profile does not ask for all the
    same; one without a voxel shows nothing."""
    wanted = profile.cine_masks or profile.masks is MaskEncoding.NONE
    return one.one_cine and not wanted and form_of(one) is not Form.EMPTY


def form_of(one: ResultObject) -> Form:
    """The form of an object that has forms."""
    return Form(one.form or Form.BINARY)


def written_in(language: str, form: Form | None) -> str:
    """The form of a narrative or PDF: its language, and what its sentences refer to where these are not binary masks."""
    return language if form in (None, Form.BINARY) else f"{language}+{form}"


def readers_of(profiles: Sequence[Profile], kind: Kind, form: str) -> list[Profile]:
    """Those that a narrative, or PDF, of this form is for; one that nobody asked for is for all that get any. What it refers to, all of
    them get, or a reader would look for what is not there."""
    language, _, masks = form.partition("+")
    asking = [one for one in profiles if kind in one.kinds]
    own = [one for one in asking if language in one.languages and _goes_with(one, masks or Form.BINARY)]
    return own or asking


def _goes_with(profile: Profile, masks: str) -> bool:
    if masks == Form.NO_MASKS:
        return profile.may_lack_masks(one_cine=True)
    return profile.masks is not MaskEncoding.NONE and masks in (profile.form, Form.BINARY)


def made_in(objects: Sequence[ResultObject]) -> tuple[Form, ...]:
    """The forms in which every mask of the job exists, each with its report; none where nothing was found.

    A form that only some parts of a series have (a label map cannot hold segments that overlap) is none: another mask would be missing.
    """
    counts = Counter((one.kind, form_of(one)) for one in objects if has_forms(one))
    binary = {kind: counts[kind, Form.BINARY] for kind in (Kind.SEG, Kind.SR)}
    forms = [form for form in Form if form is not Form.EMPTY and counts[Kind.SEG, form]]
    whole = [form for form in forms if all(counts[kind, form] == count for kind, count in binary.items())]
    return (*whole, Form.NO_MASKS) if 0 < binary[Kind.SR] == counts[Kind.SR, Form.NO_MASKS] else tuple(whole)


def preferred(profile: Profile, objects: Sequence[ResultObject]) -> tuple[Form, ...]:
    """The forms in which a profile's sink may get the masks and their reports, the best first; none where there are no masks.

    The last is BINARY, which is always made, or, where the sink may do without masks, what refers to none. A sink that gets no masks gets
    that alone; of a job that was encoded before somebody wanted it, the report that refers to BINARY masks.
    """
    made = _at_hand(profile, objects)
    if profile.form is None or not any(one.kind == Kind.SEG and form_of(one) in made and not is_misread(profile, one) for one in objects):
        return tuple(form for form in (Form.NO_MASKS, Form.BINARY) if form in made)[:1]
    without = Form.NO_MASKS if profile.not_taken is NotTaken.LEAVE_OUT else None
    return tuple(dict.fromkeys(form for form in (profile.form, Form.BINARY, without) if form in made))


def _at_hand(profile: Profile, objects: Sequence[ResultObject]) -> tuple[Form, ...]:
    """The forms in which a profile's sink may get what it takes: one that takes no reports of masks lacks none when it gets no masks."""
    made = made_in(objects)
    return made if not made or profile.gets(Kind.SR, Form.NO_MASKS) else (*made, Form.NO_MASKS)


def select(profile: Profile, objects: Sequence[ResultObject], form: Form | None) -> Selection:
    """Choose among the objects of a job.

    Parameters
    ----------
    form
        The one in which masks and their reports go; None where there are no masks.
    """
    # each part of a series that was split has narratives of its own, and masks or none
    forms = {part: _form_of_part(profile, [one for one in objects if one.part == part], form) for part in {one.part for one in objects}}
    written = {
        (kind, part): _written(profile, [one for one in objects if one.kind == kind and one.part == part], forms[part])
        for kind, part in {(Kind(one.kind), one.part) for one in objects if record_of(Kind(one.kind)).in_languages}
    }
    sent: list[ResultObject] = []
    left_out: list[LeftOut] = []
    for one in objects:
        why = _why_not(profile, one, forms[one.part], written.get((Kind(one.kind), one.part), ()))
        if why:
            left_out.append(LeftOut(one=one, why=why))
        else:
            sent.append(one)
    return Selection(sent=tuple(sent), left_out=tuple(left_out), wanting=_wanting(profile, objects))


def _form_of_part(profile: Profile, objects: Sequence[ResultObject], form: Form | None) -> Form | None:
    """The form of what goes of one part: where all of its masks are such as viewers misread, what refers to none, if it was made."""
    misread = [is_misread(profile, one) for one in objects if one.kind == Kind.SEG and form_of(one) is not Form.EMPTY]
    return Form.NO_MASKS if misread and all(misread) and Form.NO_MASKS in _at_hand(profile, objects) else form


def _why_not(profile: Profile, one: ResultObject, form: Form | None, written: Sequence[str]) -> str:
    """Why the sink does not get an object; "" when it does. `written` are the forms of the narratives, or PDFs, that it gets."""
    kind = Kind(one.kind)
    record = record_of(kind)
    if kind is Kind.SEG and profile.masks is MaskEncoding.NONE:
        return "this sink takes no masks"
    if kind is not Kind.SEG and kind not in profile.kinds:
        return f"this sink takes no {record.plural}"
    if has_forms(one):
        if kind is Kind.SR and not profile.mask_reports:
            return "this sink takes no reports that refer to masks"
        if is_misread(profile, one):
            return MISREAD
        if form_of(one) is Form.EMPTY:
            return "" if profile.empty_masks else "this sink takes no empty masks"
        if kind is Kind.SEG and form is Form.NO_MASKS:
            return NOT_TAKEN
        return "" if form_of(one) is form else f"{form} goes instead"
    if record.in_languages and one.form not in written:
        return f"this sink takes other {record.plural}"
    return ""


def _written(profile: Profile, objects: Sequence[ResultObject], form: Form | None) -> list[str]:
    """The forms of these narratives, or PDFs, that go.

    In the languages that are asked for, or, where none was made in these, in those that there are; of each language the one that refers
    to the masks which go, or, where none does, the one that refers to those which are always made.
    """
    made: dict[str, list[str]] = {}
    for one in objects:
        made.setdefault(one.form.partition("+")[0], []).append(one.form)
    languages = [language for language in made if language in profile.languages] or list(made)
    own = {language: written_in(language, form) for language in languages}
    return [own[language] if own[language] in made[language] else language for language in languages]


def _wanting(profile: Profile, objects: Sequence[ResultObject]) -> tuple[str, ...]:
    """What of the profile nobody made; that masks go in another form is said where the form is chosen."""
    said = []
    kinds = {one.kind for one in objects}
    for record in KINDS:
        # of the same finding as one that is there
        shown = any(other.kind in kinds for other in KINDS if other.needs == record.needs and other is not record)
        if record.on_request and record.needs and record.kind in profile.kinds and record.kind not in kinds and shown:
            said.append(f"{record.plural} were not made")
    stated = any(not record.of_findings and record.in_languages and record.kind in kinds for record in KINDS)
    for record in KINDS:
        if record.in_languages and record.of_findings is not stated and record.kind in profile.kinds:
            made_too = {one.form.partition("+")[0] for one in objects if one.kind == record.kind}
            missing = [language.value for language in profile.languages if language not in made_too]
            if missing:
                said.append(f"{record.plural} were not made in {', '.join(missing)}")
    return tuple(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """Objects of one kind, and what a sink may take them in.

    Attributes
    ----------
    wanted
        As the profile asks for them.
    decompressed
        The same objects without compression, which they lose on their way to a sink that takes them only so.
    instead
        Binary masks without compression, which exist besides.
    """

    kind: Kind
    wanted: Context
    decompressed: tuple[Context, ...]
    instead: tuple[Context, ...] = ()

    @property
    def contexts(self) -> tuple[Context, ...]:
        """All of them, the best first."""
        return tuple(dict.fromkeys((self.wanted, *self.decompressed, *self.instead)))


def emitted(application: Application, profile: Profile) -> list[Emitted]:
    """What a sink with this profile may be sent of the application's results."""
    return list(_emitted(application, profile))


def _emitted(application: Application, profile: Profile) -> Iterator[Emitted]:
    declared = {type(one).__name__ for one in application.outputs}
    for record in KINDS:
        if record.needs is not None and record.needs not in declared:
            continue
        if record.kind is Kind.SEG:
            if profile.form is not None:
                yield _masks(profile.form)
        elif record.kind in profile.kinds:
            for sop_class in record.classes_of(application):
                yield Emitted(kind=record.kind, wanted=_plain(sop_class)[0], decompressed=_plain(sop_class))


def _masks(form: Form) -> Emitted:
    sop_class, syntax = SEGMENTATION.forms[form]
    return Emitted(
        kind=Kind.SEG,
        wanted=Context(sop_class_uid=sop_class, transfer_syntax_uid=syntax),
        decompressed=_plain(sop_class) if form in LABEL_MAPS or form is Form.BINARY else (),
        instead=() if form is Form.BINARY else _plain(SEGMENTATION.sop_class_uid),
    )


def _plain(sop_class: str) -> tuple[Context, ...]:
    return tuple(Context(sop_class_uid=sop_class, transfer_syntax_uid=one) for one in UNCOMPRESSED)
