"""The accepted association as the node sees it: who was admitted, what is kept and refused, answered and told. No protocol here."""

import time
import uuid
from datetime import UTC, datetime

from node.dimse.association_policy import Admitted, AssociationPolicy, Refusal
from node.dimse.port import Intake, NoShortfalls, ShortfallIntake
from node.dimse.requestor_identity import RequestorIdentity
from node.domain.shortage import RefusedInstance
from node.observe import metrics
from node.observe.security import AssociationAccepted, AssociationFinished, AssociationNotRequested, AssociationRejected, tell
from node.settings.peers import Settle

_MOST_SERIES = 1000


class SeriesUnderWay:
    """The last series, and every one that was come back to after another: senders that end one series before the next have one of them."""

    def __init__(self) -> None:
        self._last: tuple[str, str] | None = None
        self._seen: dict[tuple[str, str], None] = {}
        self._mixed: set[tuple[str, str]] = set()

    def came(self, study: str, series: str) -> bool:
        """An instance of (study, series) came, or was cut off: whether `series` is different now."""
        key = (study, series)
        if key == self._last:
            return False
        before = self.series
        if key in self._seen and self._last is not None:
            self._mixed |= {key, self._last}
        self._last = key
        self._seen[key] = None
        if len(self._seen) > _MOST_SERIES:
            self._seen.pop(next(iter(self._seen)))
        return self.series != before

    @property
    def series(self) -> list[tuple[str, str]]:
        """(Study, series) of each."""
        return sorted(self._mixed | ({self._last} if self._last is not None else set()))


class Associations:
    """Lets associations in, and has what they kept flushed when they end. Called from many threads at once."""

    def __init__(self, policy: AssociationPolicy, intake: Intake, *, shortfalls: ShortfallIntake | None = None) -> None:
        self._policy = policy
        self.intake = intake
        self.shortfalls: ShortfallIntake = shortfalls or NoShortfalls()

    def enter(self, requestor: RequestorIdentity) -> "AcceptedAssociation | Refusal":
        """Admit or refuse; who is admitted must `leave`."""
        decided = self._policy.enter(requestor)
        if isinstance(decided, Admitted):
            return AcceptedAssociation(self, decided, requestor)
        self._policy.refusals.tell(
            AssociationRejected(
                calling_ae=requestor.calling,
                called_ae=requestor.called,
                address=requestor.address,
                rejection=decided.rejection.name.lower(),
                reason=decided.why,
            )
        )
        metrics.ASSOCIATIONS.add(peer=decided.label, outcome=decided.rejection.name.lower())
        return decided

    def not_requested(self, address: str, reason: str) -> None:
        """Tell that who connected from `address` asked for no association that can be read."""
        self._policy.refusals.tell(AssociationNotRequested(address=address, reason=reason))
        metrics.CONNECTIONS_CLOSED.add(reason="not_requested")

    def leave(self, admitted: Admitted) -> None:
        """One association that was admitted has ended."""
        self._policy.leave(admitted)


class AcceptedAssociation:
    """One association that was admitted; used by one thread at a time."""

    def __init__(self, associations: Associations, admitted: Admitted, requestor: RequestorIdentity) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.admitted = admitted
        self.requestor = requestor
        self.kept = 0
        self.refused = 0
        self._associations = associations
        self._began = time.monotonic()
        self._over = False
        self._flushed: bool | None = None
        self._under_way = SeriesUnderWay()
        self._came_at = self._began
        self._cut_off = False
        self._latest: tuple[str, tuple[str, str] | None] = ("", None)
        """SOP class and (study, series) of the instance that said last of which it is."""

    def accepted(self, *, contexts: int, rejected: int) -> None:
        """The association stands."""
        peer = self.admitted.peer
        # the user was asked for, and checked: nobody is admitted without it
        tell(
            AssociationAccepted(
                association=self.id,
                calling_ae=self.requestor.calling,
                called_ae=self.requestor.called,
                address=self.requestor.address,
                peer=None if peer is None else peer.name,
                user=None if peer is None or peer.user is None else peer.user.name,
                contexts=contexts,
                contexts_rejected=rejected,
            )
        )

    def answered(self) -> None:
        """The sender has its answer. Who stored two on this association will store more; many devices send each on one of its own."""
        if self.kept > 1:
            self._associations.intake.expect(self.id)

    def flush(self) -> bool:
        """No instance follows: what was answered 0x0000 and is not flushed yet is flushed when this returns; False: the disk refused."""
        if self._flushed is None:
            self._flushed = self._associations.intake.ended(self.id)
        return self._flushed

    def came(self, sop_class: str, of: tuple[str, str] | None, *, whole: bool = True) -> None:
        """An instance of (study, series) came whole, or was cut off; None: nobody can say of which."""
        self._came_at = time.monotonic()
        self._cut_off = self._cut_off or not whole
        if of is not None:
            self._latest = sop_class, of
        if of is not None and self._under_way.came(*of):
            self._associations.shortfalls.stands(self.id, self.peer, self._under_way.series)

    def refuse(self, sop_class: str, sop_instance: str, of: tuple[str, str] | None, status: int) -> None:
        """An instance of (study, series) is about to be answered with a failure.

        None: its bytes do not say of which. It is taken for one of the series that came before it, if that is of its SOP class.
        """
        if of is None:
            before, latest = self._latest
            of = latest if before == sop_class else None
        if of is None:
            return
        study, series = of
        self._associations.shortfalls.refused(
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
                self._associations.shortfalls.released(self.id)
            else:
                self._associations.shortfalls.torn(self.id, self.peer, series)
        self._associations.leave(self.admitted)
        metrics.ASSOCIATIONS.add(peer=self.admitted.label, outcome=how)
        took_s = round(time.monotonic() - self._began, 3)
        tell(AssociationFinished(association=self.id, how=how, kept=self.kept, refused=self.refused, took_s=took_s))
