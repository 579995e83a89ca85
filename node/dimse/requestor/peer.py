"""The requestor: C-ECHO, C-STORE and questions by C-FIND at one peer, on associations of its own. One may stay open between one call and
the next, for a short time, so that parcel after parcel needs no new one.
"""

import atexit
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final, TypeAlias

from pydicom import dcmread

from node.dicom.transfer_syntax import IMPLICIT_VR_LITTLE_ENDIAN, Context
from node.dimse.port import SOP_CLASS_NOT_SUPPORTED, NotAFile, PeerAway, PeerRefuses, PeerRejected, StoreStatus
from node.dimse.requestor.association import Association, AssociationEnded, StoreBatch, StoreStatuses
from node.dimse.requestor.opening import Called, Timeouts
from node.dimse.requestor.outgoing import MOST_CONTEXTS, Outgoing, batches, contexts_for, outgoing
from node.dimse.requestor.queries import FIND, count_instances, count_series, finding, holds_instance
from node.domain.errors import DeliveryError
from node.settings.peers import May, Peer

_TAKEN_BY_MOST: Final = tuple(
    Context(sop_class_uid=uid, transfer_syntax_uid=IMPLICIT_VR_LITTLE_ENDIAN)
    for uid in (
        "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture Image Storage
        "1.2.840.10008.5.1.4.1.1.2",  # CT Image Storage
        "1.2.840.10008.5.1.4.1.1.4",  # MR Image Storage
        "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR Storage
    )
)
"""SOP classes of which whoever keeps images or reports takes one."""


class IdleAssociation:
    """At most one idle association to a peer. Safe to use from several threads: an association is with one of them, or idle here.

    Parameters
    ----------
    idle_s
        How long one may stand idle before it is released; 0: not at all.
    """

    def __init__(self, peer: Called, *, idle_s: float) -> None:
        self._peer = peer
        self._idle_s = idle_s
        self._guard = threading.Lock()
        self._idle: Association | None = None
        self._alarm: threading.Timer | None = None
        self._taken: dict[Context, None] = {}
        if idle_s:
            _release_at_exit(self)

    def take(self, contexts: Sequence[Context]) -> tuple[Association, bool]:
        """An association that was asked for these contexts; whether it has stood idle.

        Raises
        ------
        PeerAway, PeerRejected, PeerRefuses
            As `Association.requested`.
        """
        idle = self._out()
        if idle is not None and idle.offered.issuperset(contexts) and idle.stands():
            return idle, True
        if idle is not None:
            idle.release()
        # SOP classes that the peer took before go along, in every syntax that it was asked for, so that the next parcel finds its contexts;
        # those that it did not take are asked for by themselves
        with self._guard:
            asked = list(dict.fromkeys([*contexts, *self._taken]))[:MOST_CONTEXTS] if self._idle_s else list(contexts)
        try:
            made = Association.requested(self._peer, asked)
        except DeliveryError:
            # one that breaks off at what it took before would do so for ever
            with self._guard:
                self._taken = {}
            raise
        with self._guard:
            classes = {one.sop_class_uid for one in made.contexts}
            self._taken = dict.fromkeys([one for one in asked if one.sop_class_uid in classes])
        return made, False

    def give(self, association: Association) -> None:
        """Back, to stand idle for a while."""
        if not association.open:
            return
        with self._guard:
            if self._idle_s and self._idle is None:
                self._idle = association
                self._alarm = threading.Timer(self._idle_s, self._release, args=[association])
                self._alarm.daemon = True
                self._alarm.start()
                return
        association.release()

    def close(self) -> None:
        """Release what stands idle."""
        idle = self._out()
        if idle is not None:
            idle.release()

    def _out(self) -> Association | None:
        with self._guard:
            idle, self._idle = self._idle, None
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None
            return idle

    def _release(self, association: Association) -> None:
        with self._guard:
            if self._idle is not association:
                return
            self._idle = None
        association.release()


_all: Final["weakref.WeakSet[IdleAssociation]"] = weakref.WeakSet()


def _release_at_exit(idle: IdleAssociation) -> None:
    if not _all:
        atexit.register(_close_all)
    _all.add(idle)


def _close_all() -> None:
    for idle in list(_all):
        idle.close()


VERIFICATION: Final = Context(sop_class_uid="1.2.840.10008.1.1", transfer_syntax_uid=IMPLICIT_VR_LITTLE_ENDIAN)
"""C-ECHO in the default transfer syntax, which every application entity has (PS3.5 10.1)."""

Associate: TypeAlias = Callable[[Sequence[Context]], Collection[Context]]


class PeerRequestor:
    """The requestor port over this node's own associations. Safe to call from several threads: they share nothing but what stands idle.

    Parameters
    ----------
    idle_s
        How long an association for C-STORE stays open after a call, for the next one; 0: every call ends its own.
    """

    def __init__(self, peer: Peer, *, calling_ae: str, timeouts: Timeouts | None = None, idle_s: float = 0.0) -> None:
        self._peer = peer
        self._calling_ae = calling_ae
        self._timeouts = timeouts or Timeouts()
        self._idle_s = idle_s

    def echo(self) -> float:
        """C-ECHO; seconds from the request for an association to the answer.

        Raises
        ------
        DeliveryError
            There is no association, or no answer.
        """
        began = time.monotonic()
        with self._association([VERIFICATION]) as association:
            try:
                status = association.echo(association.contexts[VERIFICATION])
            except AssociationEnded as ended:
                raise PeerAway(f"{self._who} did not answer a C-ECHO: it {ended}") from ended
        if status != 0x0000:
            raise PeerRefuses(f"{self._who} answered a C-ECHO with {status:04X}")
        return time.monotonic() - began

    def accepts(self, contexts: Collection[Context]) -> frozenset[Context]:
        """Which of these SOP classes the peer takes in which of these transfer syntaxes; nothing is sent.

        Raises
        ------
        PeerAway, PeerRejected, PeerUntrusted
            There is no association.
        """

        def associate(offered: Sequence[Context]) -> Collection[Context]:
            with self._association(offered) as association:
                return association.contexts

        return accepted_contexts(associate, contexts)

    def store(self, files: Sequence[str], *, on_status: Callable[[StoreStatus], None] = lambda _: None) -> list[StoreStatus]:
        """C-STORE of Part 10 files, in order; one status each, told to `on_status` as it comes.

        A data set goes out as it lies in the file where the peer takes its transfer syntax, else uncompressed. A file that is none has
        the status None, and so have those that were not reached when the association ended; what no context was accepted for, and what
        the peer rejects an association for without a reason, or breaks off at, and accepts one for others, has 0x0122, SOP class not
        supported.
        `unknown` is said of the one that went out whole and was not answered.

        Raises
        ------
        PeerAway, PeerRejected, PeerUntrusted
            Nothing could be sent at all.
        """
        told = StoreStatuses(on_status)
        instances: dict[int, Outgoing] = {}
        for number, file in enumerate(files):
            try:
                instances[number] = outgoing(Path(file))
            except NotAFile as wrong:
                told.file(number, StoreStatus(sop_instance_uid="", status=None, detail=f"not sent: {wrong} [{wrong.code}]"))
        numbers = iter(instances)
        for contexts, batch in batches(list(instances.values())):
            self._bring(contexts, [(next(numbers), instance) for instance in batch], told)
        return [told.statuses[number] for number in range(len(files))]

    def _bring(self, contexts: Sequence[Context], pending: list[tuple[int, Outgoing]], told: StoreStatuses) -> None:
        while pending:
            try:
                association, stood_idle = self._standing.take(contexts)
            except PeerRefuses as none_accepted:
                told.leave(pending, SOP_CLASS_NOT_SUPPORTED, f"not sent: {none_accepted}")
                return
            except DeliveryError as away:
                taken = self._taken_of(contexts, away)
                untaken = [one for one in pending if taken is not None and taken.isdisjoint(contexts_for(one[1]))]
                if taken is not None and untaken:
                    told.leave(untaken, SOP_CLASS_NOT_SUPPORTED, f"not sent: {away}")
                    contexts = [one for one in contexts if one in taken]
                    pending = [one for one in pending if one not in untaken]
                    continue
                if not told.any_sent:
                    raise
                told.leave(pending, None, f"not sent: {away}")
                return
            pending = StoreBatch(association, self._who, pending, told).send(stood_idle=stood_idle)
            self._standing.give(association)

    def _taken_of(self, contexts: Sequence[Context], away: DeliveryError) -> frozenset[Context] | None:
        """What a peer takes of these that rejects an association for them without a reason, or breaks off: some do at what they would take
        nothing of (PS3.8 9.3.4 lets them). None where it is away, whatever is asked."""
        if not (isinstance(away, PeerRejected) and away.unexplained) and not (isinstance(away, PeerAway) and away.broke_off):
            return None
        try:
            taken = self.accepts(contexts)
            # twice: one that is overburdened breaks off now and then at what it takes
            taken |= self.accepts([one for one in contexts if one not in taken])
            # one that takes nothing at all meanwhile (its disk is full, say) has said nothing of these
            return taken if taken or any(self.accepts([one]) for one in _TAKEN_BY_MOST) else None
        except DeliveryError:
            return None

    def count(self, study_instance_uid: str, series_instance_uid: str | None) -> int | None:
        """How many instances of a study or series the peer has; None when it cannot say or knows none.

        Raises
        ------
        PeerAway, PeerRejected, PeerUntrusted
            There is no association.
        """
        try:
            with self._association([FIND]) as association:
                return count_instances(finding(association), study_instance_uid, series_instance_uid)
        except PeerRefuses:
            return None

    def count_series(self, study_instance_uid: str, wanted: Collection[str]) -> dict[str, int]:
        """How many instances of each of these series of a study the peer has; without those of which it cannot say, or knows none.

        Raises
        ------
        PeerAway, PeerRejected, PeerUntrusted
            There is no association.
        """
        try:
            with self._association([FIND]) as association:
                return count_series(finding(association), study_instance_uid, wanted)
        except PeerRefuses:
            return {}

    def holds(self, files: Sequence[str]) -> frozenset[str]:
        """The SOP Instance UIDs of those of these files that the peer lists; none where the node may not ask it, or it does not answer."""
        if May.FIND not in self._peer.may or not files:
            return frozenset()
        try:
            with self._association([FIND]) as association:
                find = finding(association)
                return frozenset(uid for study, series, uid in map(_whose, files) if holds_instance(find, study, series, uid))
        except DeliveryError:
            return frozenset()

    def close(self) -> None:
        """Release what stands idle; the requestor can be used again."""
        self._standing.close()

    @property
    def _who(self) -> str:
        return f'peer "{self._peer.name}" ({self._peer.ae_title} at {self._peer.host}:{self._peer.port})'

    @cached_property
    def called(self) -> Called:
        """Whom it asks for associations, and as whom."""
        return Called(
            who=self._who,
            host=self._peer.host,
            port=self._peer.port,
            called=self._peer.ae_title,
            calling=self._calling_ae,
            timeouts=self._timeouts,
            tls=self._peer.tls,
            login=self._peer.login,
        )

    @cached_property
    def _standing(self) -> IdleAssociation:
        return IdleAssociation(self.called, idle_s=self._idle_s)

    @contextmanager
    def _association(self, contexts: Sequence[Context]) -> Iterator[Association]:
        """An association for one question."""
        association = Association.requested(self.called, contexts)
        try:
            yield association
        finally:
            association.release()


def _whose(file: str) -> tuple[str, str, str]:
    """Study, series and instance of a file."""
    dataset = dcmread(file, stop_before_pixels=True, specific_tags=["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
    return str(dataset.get("StudyInstanceUID", "")), str(dataset.get("SeriesInstanceUID", "")), str(dataset.get("SOPInstanceUID", ""))


def accepted_contexts(associate: Associate, contexts: Collection[Context]) -> frozenset[Context]:
    """What a peer accepts of these; `associate` opens an association at it, says what was accepted, and releases it.

    Each is asked for in a presentation context of its own: of several syntaxes in one, a peer would pick one and say nothing of the others
    (PS3.8 9.3.3.2).

    Raises
    ------
    PeerAway, PeerRejected
        There is no association, whatever is asked for.
    """
    asked = sorted(contexts)
    batches = [asked[first : first + MOST_CONTEXTS - 1] for first in range(0, len(asked), MOST_CONTEXTS - 1)]
    return frozenset(one for batch in batches for one in _accepted(associate, batch))


def _accepted(associate: Associate, asked: Sequence[Context]) -> set[Context]:
    # with Verification, which every peer has: some reject an association of which they would take nothing (PS3.8 9.3.4 lets them)
    try:
        return set(associate([VERIFICATION, *asked])) & set(asked)
    except PeerRefuses:
        return set()  # the association came about, with nothing in it
    except (PeerAway, PeerRejected):
        if not _answers(associate):
            raise
    # it is there, and breaks off at a SOP class that it does not know: none of that one, and who knows what of the others
    classes = sorted({one.sop_class_uid for one in asked})
    if len(classes) == 1:
        return set()
    return {one for sop_class in classes for one in _accepted(associate, [each for each in asked if each.sop_class_uid == sop_class])}


def _answers(associate: Associate) -> bool:
    try:
        associate([VERIFICATION])
    except PeerRefuses:
        return True
    except (PeerAway, PeerRejected):
        return False
    return True
