"""One attempt to bring a job's objects to a sink: what its profile chooses, in the form that it takes, a receipt for every object."""

from collections.abc import Collection, Sequence
from pathlib import Path

from node.blobs.port import Blobs
from node.domain.errors import DeliveryRefused
from node.domain.job import Delivery, ResultObject
from node.domain.profile import Form, NotTaken, Profile
from node.domain.selection import LEFT_OUT, LeftOut, Selection, is_bound, select
from node.flow.errors import ObjectGone, SinkBusy, SinkTakesNone
from node.flow.forms import Choice, Forms
from node.flow.lease import LeaseLost
from node.flow.port import Clock
from node.journal.port import Journal
from node.observe import metrics
from node.observe.events import event
from node.sinks.port import Parcel, Receipt, Sink

_Answers = list[tuple[ResultObject, Receipt]]
_MOST_TOLD = 5


class Attempt:
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
        objects = self._journal.objects(self._delivery.job)
        pending = {one.id for one in self._journal.undelivered(self._delivery.id)}
        with self._blobs.hold():
            form, answers = self._masks(objects, pending)
            selection = select(self._profile, objects, form)
            rest = [one for one in selection.sent if one.id in pending and one not in [mask for mask, _ in answers]]
            if not all(receipt.accepted for _, receipt in answers):
                # reports and narratives follow their masks; one that stood there alone would bind the sink to a form that it may not take
                rest = [one for one in rest if not is_bound(one)]
            answers += self._send(rest)
        self._finish(selection, answers, objects, pending)
        return len(answers)

    def _masks(self, objects: Sequence[ResultObject], pending: Collection[int]) -> tuple[Form | None, _Answers]:
        """Choose the form, and send the masks where it is another one than BINARY: a sink that refuses them gets BINARY ones instead."""
        forms = Forms(self._delivery, self._profile, objects, pending, self._path)
        choice = forms.choose(self._sink)
        self._settle(choice)
        if choice.form in (None, Form.BINARY) or choice.begun:
            return choice.form, []
        assert choice.form is not None
        answers = self._send([mask for mask in forms.masks(choice.form) if mask.id in pending])
        if answers and all(receipt.refused for _, receipt in answers):
            choice = forms.without(choice.form, f"the sink refuses it ({_answer(answers[0][1])})")
            self._settle(choice)
            return choice.form, []
        return choice.form, answers

    def _settle(self, choice: Choice) -> None:
        """Remember the form before anything is sent in it."""
        delivery = self._delivery
        asked_for = choice.form is Form.BINARY and not choice.why  # what nearly every delivery is: not worth a commit
        if choice.form is None or delivery.form == choice.form or (asked_for and not delivery.form):
            return
        if not self._journal.choose_form(delivery.id, self._token(), choice.form, choice.why, self._clock()):
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
        if self._profile.not_taken is NotTaken.LEAVE_OUT:
            untaken = [LeftOut(one=one, why=receipt.detail) for one, receipt in answers if receipt.not_taken]
        left_out = [one.one for one in untaken]
        _judge(sink, [(one, receipt) for one, receipt in answers if one not in left_out])
        answered = {one.id for one, _ in answers}
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
        for gone in (*selection.left_out, *untaken):
            if gone.one.id in pending:
                uid = gone.one.sop_instance_uid
                self._record(gone.one, Receipt(sop_instance_uid=uid, accepted=True, detail=f"{LEFT_OUT}{gone.why}"))

    def _note(self, name: str, reason: str) -> None:
        self._journal.note("delivery", self._delivery.id, name, reason, self._clock())

    def _path(self, one: ResultObject) -> Path:
        path = self._blobs.path(one.blob)
        if not path.is_file():
            raise ObjectGone(f"the bytes of {one.kind} {one.sop_instance_uid} are missing: {path}")
        return path

    def _parcel(self, one: ResultObject) -> Parcel:
        return Parcel(sop_instance_uid=one.sop_instance_uid, sop_class_uid=one.sop_class_uid, kind=one.kind, path=self._path(one))

    def _record(self, one: ResultObject, receipt: Receipt) -> None:
        said = (receipt.accepted, receipt.status, receipt.detail)
        if not self._journal.receipt(self._delivery.id, self._token(), one.id, *said, self._clock()):
            raise LeaseLost

    def _token(self) -> str:
        assert self._delivery.lease is not None, "a claimed delivery has a lease"
        return self._delivery.lease


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
