"""In which form a sink gets the masks of a job, and the reports that refer to them: asked of the sink, remembered in the journal.

The choice stands for all attempts of one round. It moves only towards BINARY, and only while nothing of the other form has arrived.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydicom import uid
from pydicom.filereader import read_file_meta_info

from node.domain.context import Context
from node.domain.job import Delivery, ResultObject
from node.domain.profile import Form, Kind, Profile
from node.domain.selection import form_of, has_forms, made_in, preferred

_UNCOMPRESSED = (str(uid.ExplicitVRLittleEndian), str(uid.ImplicitVRLittleEndian))


class Asked(Protocol):
    """What says which contexts a sink takes: its port."""

    def accepts(self, contexts: Collection[Context]) -> frozenset[Context]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The form of masks and their reports; None where there are none. `why` where it is not the one that the profile asks for; `begun`
    where something of it has arrived, so that it stays."""

    form: Form | None
    why: str = ""
    begun: bool = False


class Forms:
    """How the masks of one delivery may go.

    Parameters
    ----------
    objects
        All of the job.
    pending
        The row ids of those that the sink has not accepted in this round.
    path_of
        Where the bytes of an object lie.
    """

    def __init__(
        self, delivery: Delivery, profile: Profile, objects: Sequence[ResultObject], pending: Collection[int], path_of: "PathOf"
    ) -> None:
        self._profile = profile
        self._objects = objects
        self._path_of = path_of
        self._made = made_in(objects)
        kept = Form(delivery.form) if delivery.form else None
        forms = preferred(profile, objects)
        # an earlier attempt went down to it, or the profile is another one since
        self._forms = forms[forms.index(kept) :] if kept in forms else forms
        arrived = {form_of(one) for one in objects if has_forms(one) and one.id not in pending}
        begun = kept or Form.BINARY  # a delivery that goes as BINARY from the start says nothing of it
        self._begun = begun if begun in arrived else None

    def choose(self, sink: Asked) -> Choice:
        """The best form that the sink takes now.

        Raises
        ------
        DeliveryError
            The sink is away.
        """
        if self._begun is not None:
            return Choice(form=self._begun, begun=True)
        if not self._forms:
            return Choice(form=None)
        for form in self._forms[:-1]:
            refused = self._refused(form, sink)
            if not refused:
                return Choice(form=form)
            return self.without(form, f"the sink takes no {refused}")
        return Choice(form=self._forms[-1], why=self._never_made())

    def without(self, form: Form, why: str) -> Choice:
        """What goes when a form that was tried first does not."""
        return Choice(form=self._forms[self._forms.index(form) + 1], why=f"{form}: {why}")

    def masks(self, form: Form) -> list[ResultObject]:
        """The masks of a form."""
        return [one for one in self._objects if one.kind == Kind.SEG and form_of(one) is form]

    def _refused(self, form: Form, sink: Asked) -> str:
        """The SOP class and syntax of a mask that the sink does not take; "" when it takes all."""
        own = [Context(sop_class_uid=one.sop_class_uid, transfer_syntax_uid=_syntax(self._path_of(one))) for one in self.masks(form)]
        asked = {context for one in own for context in _ways(one, form)}
        taken = sink.accepts(asked)
        for one in own:
            if taken.isdisjoint(_ways(one, form)):
                return str(one)
        return ""

    def _never_made(self) -> str:
        wanted = self._profile.form
        return f"{wanted}: was not made of this job" if wanted is not None and wanted not in self._made else ""


class PathOf(Protocol):
    """Where the bytes of an object lie."""

    def __call__(self, one: ResultObject, /) -> Path: ...


def _ways(own: Context, form: Form) -> list[Context]:
    """How a mask may go: as it is, or, of label maps, decompressed on the way; binary masks exist uncompressed, with their own report."""
    syntaxes = [own.transfer_syntax_uid, *(_UNCOMPRESSED if not form.startswith(Form.BINARY) else ())]
    return [Context(sop_class_uid=own.sop_class_uid, transfer_syntax_uid=syntax) for syntax in dict.fromkeys(syntaxes)]


def _syntax(path: Path) -> str:
    return str(read_file_meta_info(path).TransferSyntaxUID)
