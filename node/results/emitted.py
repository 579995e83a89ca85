"""Presentation contexts of what an application may emit for a profile: known from its manifest, before anything was found."""

from collections.abc import Iterator
from dataclasses import dataclass

from inference.applications.port import Application
from node.dicom.transfer_syntax import UNCOMPRESSED
from node.domain.context import Context
from node.domain.profile import Form, Kind, Profile
from node.results.kinds import KINDS
from node.results.segmentation import LABEL_MAPS, SEGMENTATION


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
