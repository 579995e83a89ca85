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
from node.dimse.port import Incoming, Intake, NothingOwed, Owed, Reception
from node.dimse.under_way import UnderWay
from node.domain.errors import RefusedError
from node.domain.shortage import RefusedInstance
from node.observe import metrics
from node.observe.events import alarm, event, trace
from node.settings.config import Settle

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

    def __init__(self, admission: Admission, intake: Intake, *, peers: Iterable[str], owed: Owed | None = None) -> None:
        self._admission = admission
        self.intake = intake
        self.owed: Owed = owed or NothingOwed()
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
        self._under_way = UnderWay()
        self._came_at = self._began
        self._cut_off = False

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

    def came(self, of: tuple[str, str] | None, *, whole: bool = True) -> None:
        """An instance of (study, series) came whole, or was cut off; None: nobody can say of which."""
        self._came_at = time.monotonic()
        self._cut_off = self._cut_off or not whole
        if of is not None and self._under_way.came(*of):
            self._visits.owed.stands(self.id, self.peer, self._under_way.series)

    def refuse(self, sop_instance: str, of: tuple[str, str] | None, status: int) -> None:
        """An instance of (study, series) is about to be answered with a failure."""
        if of is None:
            return
        study, series = of
        self._visits.owed.refused(
            RefusedInstance(
                sop_instance_uid=sop_instance,
                series_instance_uid=series,
                study_instance_uid=study,
                peer=self.peer,
                status=status,
                at=datetime.now(UTC),
            )
        )

    @property
    def peer(self) -> str | None:
        """The name of the peer that the sender was admitted as; None: a stranger."""
        return self.admitted.peer.name if self.admitted.peer else None

    def leave(self, how: str, *, idle: bool = False) -> None:
        """The association has ended: "released", "aborted" or "lost"; `idle`: by the node, because nothing was under way for too long. Only
        the first call counts.

        Who had sent nothing for longer than its quiet window was in the middle of nothing: what came counted as complete by then. Scanners
        keep associations open for hours, until they, or the node, are switched off.
        """
        if self._over:
            return
        self._over = True
        quiet = (Settle() if self.admitted.peer is None else self.admitted.peer.settle).quiet
        silent = not self._cut_off and time.monotonic() - self._came_at > quiet.total_seconds()
        self.flush()
        if series := self._under_way.series:
            if how == "released" or idle or silent:
                self._visits.owed.released(self.id)
            else:
                self._visits.owed.torn(self.id, self.peer, series)
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

    __slots__ = ("_blind", "_incoming", "_pace", "_peek", "_refused", "_size", "_sop_instance", "_visit", "_visits")

    def __init__(self, visit: Visit, visits: Visits, sop_class: str, sop_instance: str, abstract_syntax: str, transfer_syntax: str) -> None:
        self._visit = visit
        self._visits = visits
        self._pace = visit.admitted.pace
        self._size = 0
        self._refused: Answer | None = None
        self._incoming: Incoming | None = None
        self._sop_instance = sop_instance
        self._peek = Peek(syntax=transfer_syntax, sop_class=sop_class, sop_instance=sop_instance)
        self._blind = False
        try:
            if not _UID(sop_instance):
                raise NotAUid(f"{quoted(sop_instance)} is no UID")
            if sop_class != abstract_syntax:
                raise WrongContext(f"SOP class {quoted(sop_class)} came in a context for {abstract_syntax}")
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
                    peer=visit.peer or "",
                )
            )
        except Exception as why:  # noqa: BLE001
            self._refuse(why)

    def write(self, *fragments: bytes | memoryview) -> None:
        """Take fragments of the data set; once the instance is refused, they are dropped, but for what says of which series it is."""
        incoming = self._incoming
        if incoming is None:
            self._look(fragments)
            return
        size = 0
        try:
            for fragment in fragments:
                self._peek.feed(fragment)
                size += len(fragment)
        except Exception as why:  # noqa: BLE001
            self._blind = True
            self._refuse(why)
            return
        try:
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
        visit.came(self._peek.series)
        if answer is not _KEPT:
            visit.refuse(self._sop_instance, self._peek.series, answer.status)
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
        self._visit.came(self._peek.series, whole=False)
        self._drop()

    def _drop(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.abandon()

    def _look(self, fragments: Iterable[bytes | memoryview]) -> None:
        """Find out of which series an instance is that is refused already."""
        if self._blind or self._peek.series is not None:
            return
        try:
            for fragment in fragments:
                self._peek.feed(fragment)
        except Exception:  # noqa: BLE001  (it is refused; what more is wrong with it nobody asks)
            self._blind = True

    def _refuse(self, why: Exception) -> None:
        self._drop()
        if isinstance(why, RefusedError):
            self._refused = Answer(why.status, f"{why.code} {why}")
            event("instance.refused", association=self._visit.id, code=why.code, status=f"{why.status:04X}", reason=str(why))
        else:
            # whatever it is, the sender must learn that this instance stays with it; its words may quote the patient, its place does not
            self._refused = Answer(PROCESSING_FAILURE, "processing failure")
            alarm("instance.failed", association=self._visit.id, error=type(why).__name__, trace=trace(why))
