"""One attempt to bring a job's objects to a sink: what its profile chooses, in the form that it takes, a receipt for every object.

The form of masks, and of the reports that refer to them, is asked of the sink and remembered in the journal. The choice stands for all
attempts of one round. It moves only towards BINARY, and only while nothing of the other form has arrived.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydicom.filereader import read_file_meta_info

from node.blobs.port import Blobs
from node.dicom.transfer_syntax import UNCOMPRESSED, Context
from node.domain.errors import DeliveryError, DeliveryRefused
from node.domain.job import Delivery, ResultObject
from node.domain.profile import Form, Kind, NotTaken, Profile
from node.domain.stage import Clock
from node.flow.lease import LeaseLost
from node.journal.journal import Journal
from node.observe import metrics
from node.observe.events import event
from node.results.selection import (
    MISREAD,
    NOT_TAKEN,
    LeftOut,
    Selection,
    form_of,
    has_forms,
    is_bound,
    is_misread,
    made_in,
    preferred,
    select,
)
from node.sinks.port import Parcel, Receipt, Sink

_Answers = list[tuple[ResultObject, Receipt]]
_MOST_TOLD = 5
_NOT_MADE = "was not made of this job"


class SinkBusy(DeliveryError):
    """The sink took some objects and answered nothing final about the others."""

    code = "HLM-6080"
    remedy = "The rest is sent again by itself; the reason has the sink's status."


class SinkTakesNone(DeliveryError):
    """The sink takes no objects of a kind that its profile asks for, in no form that they exist in."""

    code = "HLM-6183"
    remedy = (
        "Let the sink's administrator accept the SOP class in the reason, or give the sink a profile that does without (`profile: {like: "
        "…, not_taken: leave-out}`); then `hilum jobs resend JOB`."
    )
    retry = False


class ObjectGone(DeliveryError):
    """The bytes of a result object are no longer in the blobs."""

    code = "HLM-6182"
    remedy = "Look at the disk of the blobs (`hilum doctor`); send the study again to make the objects anew."
    retry = False


class CineMasksLeftOut(DeliveryError):
    """Masks of phases that came as single images of one series, or as a series each, are not sent: viewers lay that of one over others. Nor
    are masks of photographs, at which OHIF 3.13 shows an empty page."""

    code = "HLM-6186"
    remedy = (
        "The report has what was measured in each phase, or on each photograph, and the page of the results shows one phase, and the "
        "photographs. For a sink whose readers see each phase, or photograph, with its own mask: `profile: {like: viewer, cine_masks: "
        "true}`, then `hilum jobs resend JOB --to SINK`."
    )
    retry = False


class PathOf(Protocol):
    """Where the bytes of an object lie."""

    def __call__(self, one: ResultObject, /) -> Path: ...


class TakesContexts(Protocol):
    """What says which contexts a sink takes: its port."""

    def accepts(self, contexts: Collection[Context]) -> frozenset[Context]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FormChoice:
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
        self, delivery: Delivery, profile: Profile, objects: Sequence[ResultObject], pending: Collection[int], path_of: PathOf
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

    def choose(self, sink: TakesContexts) -> FormChoice:
        """The best form that the sink takes now.

        Raises
        ------
        DeliveryError
            The sink is away.
        """
        if self._begun is not None:
            return FormChoice(form=self._begun, begun=True)
        if not self._forms:
            return FormChoice(form=None)
        why = self._never_made()
        for form in self._forms[:-1]:
            if form is Form.BINARY:
                # sent without a question: nearly every sink takes it
                return FormChoice(form=form, why=why)
            refused = self._refused(form, sink)
            if not refused:
                return FormChoice(form=form, why=why)
            why = f"{form}: the sink takes no {refused}"
        return FormChoice(form=self._forms[-1], why=why)

    def without(self, choice: FormChoice, answers: _Answers) -> FormChoice | None:
        """What goes when masks that were sent first were refused; None: nothing else does, or something of them has arrived.

        Instead of BINARY masks goes what refers to none, where the sink takes no masks at all.
        """
        form, receipts = choice.form, [receipt for _, receipt in answers]
        assert form is not None
        if choice.begun or not receipts or not all(receipt.refused for receipt in receipts) or form is self._forms[-1]:
            return None
        if form is Form.BINARY and not all(receipt.not_taken for receipt in receipts):
            return None
        return FormChoice(form=self._forms[self._forms.index(form) + 1], why=f"{form}: the sink refuses it ({_answer(receipts[0])})")

    def masks(self, form: Form) -> list[ResultObject]:
        """The masks that go in a form."""
        if self._profile.form is None:
            return []
        of_form = (one for one in self._objects if one.kind == Kind.SEG and form_of(one) is form)
        return [one for one in of_form if not is_misread(self._profile, one)]

    def _refused(self, form: Form, sink: TakesContexts) -> str:
        """The SOP class and syntax of a mask that the sink does not take; "" when it takes all."""
        own = [Context(sop_class_uid=one.sop_class_uid, transfer_syntax_uid=_syntax(self._path_of(one))) for one in self.masks(form)]
        asked = {context for one in own for context in _ways(one, form)}
        taken = sink.accepts(asked)
        for one in own:
            if taken.isdisjoint(_ways(one, form)):
                return str(one)
        return ""

    def _never_made(self) -> str:
        wanted, there = (self._profile.form, self._made) if self.masks(Form.BINARY) else (Form.NO_MASKS, self._forms)
        # FRACTIONAL is made where it is needed alone: where it was not, BINARY is what the profile asks for
        return f"{wanted}: {_NOT_MADE}" if wanted not in (Form.FRACTIONAL, *there) else ""


class DeliveryAttempt:
    """A claimed delivery, its sink, and what the sink wants."""

    def __init__(self, journal: Journal, blobs: Blobs, clock: Clock, delivery: Delivery, sink: Sink, profile: Profile) -> None:
        self._journal = journal
        self._blobs = blobs
        self._clock = clock
        self._delivery = delivery
        self._sink = sink
        self._profile = profile

    def send(self) -> int:
        """Send what the sink has not accepted yet; it has all that its profile asks for when this returns. How many objects were sent.

        Raises
        ------
        DeliveryError
            Some object was not accepted; each has its receipt.
        LeaseLost
            The delivery was cancelled, superseded, or claimed by another.
        """
        objects = self._journal.results.of_job(self._delivery.job)
        pending = {one.id for one in self._journal.deliveries.undelivered(self._delivery.id)}
        with self._blobs.hold():
            form, answers = self._masks(objects, pending)
            selection = select(self._profile, objects, form)
            answered = {mask.id for mask, _ in answers}
            rest = [one for one in selection.sent if one.id in pending and one.id not in answered]
            if form is not Form.NO_MASKS and not all(receipt.accepted for _, receipt in answers):
                if self._does_without(answers):
                    self._settle(FormChoice(form=form, why=f"{Form.NO_MASKS}: {_NOT_MADE}"))
                else:
                    # reports and narratives follow their masks: where these never come, a viewer looks for what is not there
                    rest = [one for one in rest if not is_bound(one)]
            answers += self._send(rest)
        self._finish(selection, answers, objects, pending)
        return len(answers)

    def _tell_misread(self) -> None:
        self._note("delivery.cine_masks_left_out", f"{CineMasksLeftOut.code} {MISREAD}")
        told = {"delivery": self._delivery.id, "job": self._delivery.job, "sink": self._delivery.sink}
        event("delivery.cine_masks_left_out", **told, code=CineMasksLeftOut.code, reason=MISREAD)

    def _masks(self, objects: Sequence[ResultObject], pending: Collection[int]) -> tuple[Form | None, _Answers]:
        """Choose the form, and send its masks: a sink that refuses them gets BINARY ones instead, or, where it may do without, none."""
        forms = Forms(self._delivery, self._profile, objects, pending, self._path)
        choice, answers = forms.choose(self._sink), list[tuple[ResultObject, Receipt]]()
        self._settle(choice)
        while choice.form is not None:
            said = self._send([mask for mask in forms.masks(choice.form) if mask.id in pending])
            instead = forms.without(choice, said)
            if instead is None or instead.form is Form.NO_MASKS:
                answers += said
            if instead is None:
                break
            choice = instead
            self._settle(choice)
        return choice.form, answers

    def _does_without(self, answers: _Answers) -> bool:
        """Whether what is left is enough though the sink takes no masks: of a job of which no report without them was made."""
        return self._profile.not_taken is NotTaken.LEAVE_OUT and all(receipt.accepted or receipt.not_taken for _, receipt in answers)

    def _settle(self, choice: FormChoice) -> None:
        """Remember the form before anything is sent in it."""
        delivery = self._delivery
        asked_for = choice.form is Form.BINARY and not choice.why  # what nearly every delivery is: not worth a commit
        if choice.form is None or delivery.form == choice.form or (asked_for and not delivery.form):
            return
        if not self._journal.deliveries.choose_form(delivery.id, self._token(), choice.form, choice.why, self._clock()):
            raise LeaseLost
        if choice.why:
            metrics.FALLBACKS.add(sink=delivery.sink, form=choice.form.value)
            event("delivery.fallback", delivery=delivery.id, job=delivery.job, sink=delivery.sink, form=choice.form, reason=choice.why)

    def _send(self, objects: Sequence[ResultObject]) -> _Answers:
        if not objects:
            return []
        sink = self._delivery.sink
        answers = list(zip(objects, self._sink.send([self._parcel(one) for one in objects]), strict=True))
        for one, receipt in answers:
            self._record(one, receipt)
            if receipt.accepted:
                metrics.DELIVERED_OBJECTS.add(sink=sink)
                metrics.DELIVERED_BYTES.add(one.size, sink=sink)
        return answers

    def _finish(self, selection: Selection, answers: _Answers, objects: Sequence[ResultObject], pending: Collection[int]) -> None:
        """Judge the answers; where all is well, give receipts for what was left out, which are the last thing that is written."""
        sink, untaken = self._delivery.sink, []
        answered = {one.id for one, _ in answers}
        if self._profile.not_taken is NotTaken.LEAVE_OUT:
            untaken = [LeftOut(one=one, why=receipt.detail) for one, receipt in answers if receipt.not_taken]
            unanswered = [gone for gone in selection.left_out if gone.one.id in pending and gone.one.id not in answered]
            untaken += [gone for gone in unanswered if _was_not_taken(gone)]
        left_out = [one.one for one in untaken]
        _judge(sink, [(one, receipt) for one, receipt in answers if one not in left_out])
        held_back = [one for one in selection.sent if one.id in pending and one.id not in answered]
        if held_back:
            raise SinkBusy(f"{sink} has not all masks yet; not sent before them: {_named(held_back)}")
        arrived = any(receipt.accepted for _, receipt in answers) or len(pending) < len(objects)
        if untaken and not arrived:
            raise SinkTakesNone(f"{sink} takes none of the objects: {_named(left_out)}")
        if untaken:
            self._note("delivery.left_out", f"the sink takes no {_named(left_out)}")
            event(
                "delivery.left_out",
                delivery=self._delivery.id,
                job=self._delivery.job,
                sink=sink,
                kinds=sorted({one.kind for one in left_out}),
            )
        if selection.wanting:
            self._note("delivery.wanting", "; ".join(selection.wanting))
            event("delivery.wanting", delivery=self._delivery.id, job=self._delivery.job, sink=sink, reason="; ".join(selection.wanting))
        for one in left_out:
            metrics.LEFT_OUT_OBJECTS.add(sink=sink, kind=one.kind)
        if any(is_misread(self._profile, gone.one) and gone.one.id in pending for gone in selection.left_out):
            self._tell_misread()
        for gone in (*untaken, *(each for each in selection.left_out if each.one not in left_out)):
            if gone.one.id in pending:
                self._leave_out(gone)

    def _note(self, name: str, reason: str) -> None:
        self._journal.events.note("delivery", self._delivery.id, name, reason, self._clock())

    def _path(self, one: ResultObject) -> Path:
        path = self._blobs.path(one.blob)
        if not path.is_file():
            raise ObjectGone(f"the bytes of {one.kind} {one.sop_instance_uid} are missing: {path}")
        return path

    def _parcel(self, one: ResultObject) -> Parcel:
        return Parcel(sop_instance_uid=one.sop_instance_uid, sop_class_uid=one.sop_class_uid, kind=one.kind, path=self._path(one))

    def _record(self, one: ResultObject, receipt: Receipt) -> None:
        said = (receipt.accepted, receipt.status, receipt.detail)
        if not self._journal.deliveries.receipt(self._delivery.id, self._token(), one.id, *said, self._clock()):
            raise LeaseLost

    def _leave_out(self, gone: LeftOut) -> None:
        """A receipt for what was not sent: nothing more is to be done about it."""
        if not self._journal.deliveries.leave_out(self._delivery.id, self._token(), gone.one.id, f"left out: {gone.why}", self._clock()):
            raise LeaseLost

    def _token(self) -> str:
        assert self._delivery.lease is not None, "a claimed delivery has a lease"
        return self._delivery.lease


def _was_not_taken(gone: LeftOut) -> bool:
    """Whether it is a mask that the sink took in no form; an earlier attempt was told so."""
    return gone.why == NOT_TAKEN and form_of(gone.one) is Form.BINARY


def _judge(sink: str, answers: _Answers) -> None:
    """Raise what the receipts amount to, unless every object was accepted: nothing short of all is a success."""
    told = [(f"{one.kind} {one.sop_instance_uid} ({_answer(receipt)})", receipt) for one, receipt in answers]
    refused = [(words, receipt) for words, receipt in told if receipt.refused]
    if refused:
        error = SinkTakesNone if all(receipt.not_taken for _, receipt in refused) else DeliveryRefused
        raise error(f"{sink} refused {_listed([words for words, _ in refused])}")
    unclear = [words for words, receipt in told if not receipt.accepted]
    if unclear:
        raise SinkBusy(f"{sink} accepted {len(told) - len(unclear)} of {len(told)} objects, not yet {_listed(unclear)}")


def _named(objects: Sequence[ResultObject]) -> str:
    """Objects by kind and UID; of many of a kind, as the images of a derived series are, how many."""
    by_kind = {kind: [one.sop_instance_uid for one in objects if one.kind == kind] for kind in dict.fromkeys(one.kind for one in objects)}
    return ", ".join(f"{kind} {', '.join(uids) if len(uids) <= _MOST_TOLD else f'({len(uids)} objects)'}" for kind, uids in by_kind.items())


def _listed(words: Sequence[str]) -> str:
    more = len(words) - _MOST_TOLD
    return "; ".join(words[:_MOST_TOLD]) + (f"; and {more} more" if more > 0 else "")


def _answer(receipt: Receipt) -> str:
    status = "no answer" if receipt.status is None else f"status 0x{receipt.status:04X}"
    return f"{status}: {receipt.detail}" if receipt.detail else status


def _ways(own: Context, form: Form) -> list[Context]:
    """How a mask may go: as it is, or, of label maps, decompressed on the way; binary masks exist uncompressed, with their own report."""
    syntaxes = [own.transfer_syntax_uid, *(UNCOMPRESSED if not form.startswith(Form.BINARY) else ())]
    return [Context(sop_class_uid=own.sop_class_uid, transfer_syntax_uid=syntax) for syntax in dict.fromkeys(syntaxes)]


def _syntax(path: Path) -> str:
    return str(read_file_meta_info(path).TransferSyntaxUID)
