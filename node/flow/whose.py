"""Whose is what comes: whether an instance may join its series, or waits for a person. Pure: over what is known, no journal, no file.

Held is what is added or rewritten, never what the first sender sent: its series goes on.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from node.domain.erased import mark_of
from node.domain.header import Header
from node.domain.instance import HeldFor, Sender
from node.domain.patient import Patient, patient_of
from node.flow.senders import host_of
from node.journal.held_port import SeriesKnown
from node.settings.config import May, Peer


class Trust:
    """Which senders may add to, and rewrite, what another one sent first.

    Parameters
    ----------
    peers
        Those of the configuration, by name.
    """

    def __init__(self, peers: Mapping[str, Peer]) -> None:
        self._peers = peers

    def may_change(self, first: Sender, later: Sender) -> bool:
        """Whether `later` is the same sender as `first`, or may do as it may.

        Peers are known by their names. Who is no peer of the configuration, a stranger or one that it no longer has, is known by AE title
        and host.
        """
        one, other = (self._peers.get(sender.peer or "") for sender in (first, later))
        if other is not None and (May.CORRECT in other.may or other is one):
            return True
        if one is not None:
            return other is not None and bool(one.archive) and one.archive == other.archive
        return (first.calling_ae, host_of(first.address)) == (later.calling_ae, host_of(later.address))


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomer:
    """Who sent an instance, and whom it names; `mark` is `node.domain.erased.mark_of` both its patient and its study."""

    sender: Sender
    mark: str
    patient: Patient | None


def newcomer(sender: Sender, study_instance_uid: str, header: Header) -> Newcomer:
    """An instance as its header has it."""
    patient = patient_of(header)
    return Newcomer(sender=sender, mark=mark_of(study_instance_uid, patient), patient=patient)


def added(one: Newcomer, trust: Trust, series: SeriesKnown | None, study: Collection[Patient]) -> HeldFor | None:
    """Why an instance whose UID nobody has used is held; None: it joins its series, or begins one.

    Parameters
    ----------
    series
        What is known of its Series Instance UID; None: nothing.
    study
        The patients of its study; asked only of a series that is new: a series' own instances say whose it is.
    """
    if series is None:
        named = [patient for patient in study if one.patient is not None and patient.contradicts(one.patient)]
        return HeldFor.IDENTITY if named and len(named) == len(study) else None
    if series.marks and one.mark not in series.marks:
        return HeldFor.IDENTITY
    return None if trust.may_change(series.first, one.sender) else HeldFor.ADDED


def rewritten(one: Newcomer, trust: Trust, was_in: SeriesKnown | None, now_in: SeriesKnown | None, *, moves: bool) -> HeldFor | None:
    """Why other bytes under a known SOP Instance UID are held; None: they are a correction, of identity too.

    Parameters
    ----------
    was_in, now_in
        What is known of the series that the instance was in, and of the one that it names now.
    moves
        Whether these are two.
    """
    if was_in is not None and not trust.may_change(was_in.first, one.sender):
        return HeldFor.REWRITTEN
    return added(one, trust, now_in, ()) if moves and now_in is not None else None
