"""What an association is to the node, whichever path receives it: who was admitted, what is kept and refused, answered and told."""

import re
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from inference.errors import quoted
from node.dimse.admission import Admission, Admitted, Refusal
from node.dimse.claim import Claim
from node.dimse.errors import NotAUid, WrongContext
from node.dimse.peek import Peek
from node.dimse.port import Incoming, Intake, Reception
from node.domain.errors import RefusedError
from node.observe import metrics
from node.observe.events import alarm, event, trace

PROCESSING_FAILURE: Final = 0x0110
# leading zeros in a component break PS3.5 9.1, but old devices write them and nothing here minds
_UID = re.compile(r"[0-9.]{1,64}").fullmatch


class Answer(NamedTuple):
    """What a C-STORE is answered; `comment` is an Error Comment (0000,0902), empty with success."""

    status: int
    comment: str


_KEPT: Final = Answer(0x0000, "")


class Visits:
    """Lets associations in, and has what they store kept. Called from many threads at once."""

    def __init__(self, admission: Admission, intake: Intake, *, peers: Iterable[str]) -> None:
        self._admission = admission
        self.intake = intake
        for peer in (*peers, metrics.STRANGER):
            for status in (0x0000, RefusedError.status, PROCESSING_FAILURE):
                # a series that begins at 0 lets a rate see its first event
                metrics.INSTANCES.add(0, peer=peer, status=f"{status:04X}")

    def enter(self, claim: Claim) -> "Visit | Refusal":
        """Admit or refuse; who is admitted must `leave`."""
        decided = self._admission.enter(claim)
        if isinstance(decided, Admitted):
            return Visit(self, decided, claim)
        self._admission.refusals.event(
            "association.rejected",
            calling_ae=claim.calling,
            called_ae=claim.called,
            address=claim.address,
            rejection=decided.rejection.name.lower(),
            reason=decided.why,
        )
        metrics.ASSOCIATIONS.add(peer=decided.label, outcome=decided.rejection.name.lower())
        return decided

    def leave(self, admitted: Admitted) -> None:
        """One association that was admitted has ended."""
        self._admission.leave(admitted)


class Visit:
    """One association that was admitted; used by one thread at a time."""

    def __init__(self, visits: Visits, admitted: Admitted, claim: Claim) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.admitted = admitted
        self.claim = claim
        self.kept = 0
        self.refused = 0
        self._visits = visits
        self._began = time.monotonic()
        self._over = False
        self._flushed: bool | None = None

    def accepted(self, *, contexts: int, rejected: int, receiver: str) -> None:
        """The association stands."""
        event(
            "association.accepted",
            association=self.id,
            calling_ae=self.claim.calling,
            called_ae=self.claim.called,
            address=self.claim.address,
            peer=self.admitted.peer and self.admitted.peer.name,
            # asked for, and checked: nobody is admitted without it
            user=self.admitted.peer and self.admitted.peer.user and self.admitted.peer.user.name,
            contexts=contexts,
            contexts_rejected=rejected,
            receiver=receiver,
        )

    def store(self, *, sop_class: str, sop_instance: str, abstract_syntax: str, transfer_syntax: str) -> "Storing":
        """Begin one C-STORE: what its command says, and the presentation context that it came in."""
        return Storing(self, self._visits, sop_class, sop_instance, abstract_syntax, transfer_syntax)

    def answered(self) -> None:
        """The sender has its answer. Who stored two on this association will store more; many devices send each on one of its own."""
        if self.kept > 1:
            self._visits.intake.expect(self.id)

    def flush(self) -> bool:
        """No instance follows: what was answered 0x0000 and is not flushed yet is flushed when this returns; False: the disk refused."""
        if self._flushed is None:
            self._flushed = self._visits.intake.ended(self.id)
        return self._flushed

    def leave(self, how: str) -> None:
        """The association has ended: "released", "aborted" or "lost". Only the first call counts."""
        if self._over:
            return
        self._over = True
        self.flush()
        self._visits.leave(self.admitted)
        metrics.ASSOCIATIONS.add(peer=self.admitted.label, outcome=how)
        event(
            "association.ended",
            association=self.id,
            how=how,
            kept=self.kept,
            refused=self.refused,
            took_s=round(time.monotonic() - self._began, 3),
        )


class Storing:
    """One C-STORE, from its command to its answer; `answer` or `abandon` ends it. Raises nothing: what goes wrong becomes the answer."""

    __slots__ = ("_incoming", "_pace", "_peek", "_refused", "_size", "_visit", "_visits")

    def __init__(self, visit: Visit, visits: Visits, sop_class: str, sop_instance: str, abstract_syntax: str, transfer_syntax: str) -> None:
        self._visit = visit
        self._visits = visits
        self._pace = visit.admitted.pace
        self._size = 0
        self._refused: Answer | None = None
        self._incoming: Incoming | None = None
        try:
            if not _UID(sop_instance):
                raise NotAUid(f"{quoted(sop_instance)} is no UID")
            if sop_class != abstract_syntax:
                raise WrongContext(f"SOP class {quoted(sop_class)} came in a context for {abstract_syntax}")
            self._peek = Peek(syntax=transfer_syntax, sop_class=sop_class, sop_instance=sop_instance)
            claim = visit.claim
            self._incoming = visits.intake.begin(
                Reception(
                    sop_instance_uid=sop_instance,
                    sop_class_uid=sop_class,
                    transfer_syntax_uid=transfer_syntax,
                    calling_ae=claim.calling,
                    called_ae=claim.called,
                    address=claim.address,
                    association=visit.id,
                    received_at=datetime.now(UTC),
                    peer=visit.admitted.peer.name if visit.admitted.peer else "",
                )
            )
        except Exception as why:  # noqa: BLE001
            self._refuse(why)

    def write(self, *fragments: bytes | memoryview) -> None:
        """Take fragments of the data set; once the instance is refused, they are dropped."""
        incoming = self._incoming
        if incoming is None:
            return
        size = 0
        try:
            for fragment in fragments:
                self._peek.feed(fragment)
                size += len(fragment)
            incoming.write(*fragments)
        except Exception as why:  # noqa: BLE001
            self._refuse(why)
            return
        self._size += size
        if self._pace is not None:
            self._pace.fragment(size)

    def answer(self) -> Answer:
        """The data set is whole: keep it, and say what the sender is answered."""
        began = time.monotonic()
        incoming, visit = self._incoming, self._visit
        if incoming is not None:
            try:
                self._peek.end()
                incoming.keep()
            except Exception as why:  # noqa: BLE001
                self._refuse(why)
        peer = visit.admitted.label
        answer = self._refused or _KEPT
        metrics.RECEIVE.observe(time.monotonic() - began, peer=peer)
        metrics.INSTANCES.add(peer=peer, status=f"{answer.status:04X}")
        if answer is _KEPT:
            visit.kept += 1
            metrics.RECEIVED_BYTES.add(self._size, peer=peer)
        else:
            visit.refused += 1
        if self._pace is not None:
            self._pace.instance()
        return answer

    def answered(self) -> None:
        """The answer went out."""
        self._visit.answered()

    def abandon(self) -> None:
        """It was cut off: nothing is kept, nobody is answered."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.abandon()

    def _refuse(self, why: Exception) -> None:
        self.abandon()
        if isinstance(why, RefusedError):
            self._refused = Answer(why.status, f"{why.code} {why}")
            event("instance.refused", association=self._visit.id, code=why.code, status=f"{why.status:04X}", reason=str(why))
        else:
            # whatever it is, the sender must learn that this instance stays with it; its words may quote the patient, its place does not
            self._refused = Answer(PROCESSING_FAILURE, "processing failure")
            alarm("instance.failed", association=self._visit.id, error=type(why).__name__, trace=trace(why))
