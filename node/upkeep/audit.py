"""The audit stage: follows the journal's history and says, in DICOM audit messages, whose images came, were used, left and went.

It reads what was committed anyway, so that the receiver and the analysis pay nothing; it moves on only when its messages are on disk, so
that a crash tells something twice at worst. What concerns no patient (associations refused, the node's start) is told where it happens.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from node.dicom.transfer_syntax import IMPLICIT_VR_LITTLE_ENDIAN
from node.domain.instance import Instance, Standing
from node.domain.patient import patient_of
from node.domain.stage import Clock
from node.domain.state import HistoryEvent
from node.journal.journal import Journal
from node.journal.port import Event, NumberedEvent
from node.observe.audit import codes
from node.observe.audit.message import Action, EventOutcome, Message, Object, Participant, Person, QueryObject, StudyObject
from node.observe.audit.trail import unwritable
from node.settings.config import Config, SinkSettings
from node.sinks.port import Recipient

_NAME = "audit"
_BATCH = 500
_BATCHES = 20
_FIND = "1.2.840.10008.5.1.4.1.2.2.1"  # Study Root Query/Retrieve Information Model - FIND
_OUTCOMES: Mapping[str, EventOutcome] = {
    HistoryEvent.DELIVERY_RETRY: EventOutcome.MINOR,
    HistoryEvent.DELIVERY_PARKED: EventOutcome.SERIOUS,
}


class AuditStage:
    """Stage: up to ten thousand events a step; how many it went through.

    Parameters
    ----------
    write
        Brings messages to disk before it returns; OSError when it cannot.
    recipient
        Whom to name for what a sink got.
    process
        The identity of the node in the messages (A.5.2.1).
    """

    name = _NAME

    def __init__(
        self,
        journal: Journal,
        config: Config,
        clock: Clock,
        write: Callable[[Sequence[Message]], None],
        recipient: Callable[[SinkSettings], Recipient],
        *,
        process: str,
    ) -> None:
        self._journal = journal
        self._config = config
        self._clock = clock
        self._write = write
        self._recipient = recipient
        self._process = process

    def begin(self) -> None:
        """Hold the place from which everything is told, whoever leads later: called before anything is journaled. The first step may come
        late, and what came until then belongs to the trail too."""
        self._journal.events.position(_NAME)

    def step(self) -> int:
        """Go on where it stopped, or where another process did."""
        gone_through = 0
        for _ in range(_BATCHES):
            moved = self._batch()
            gone_through += moved
            if moved < _BATCH:
                break
        return gone_through

    def _batch(self) -> int:
        told = self._journal.events.behind(self._journal.events.position(_NAME), self._clock(), _BATCH)
        if not told:
            return 0
        with unwritable():
            self._write(list(self._messages(told)))
        self._journal.events.advance(_NAME, told[-1].number)
        return len(told)

    def _messages(self, told: Sequence[NumberedEvent]) -> Iterator[Message]:
        by_name: dict[str, list[Event]] = {}
        for one in told:
            event = one.event
            match event.name:
                case HistoryEvent.ARRIVAL_COMPLETE:
                    yield from self._received(event)
                case HistoryEvent.ARRIVAL_COUNTED:
                    yield from self._queried(event)
                case HistoryEvent.JOB_INFERRED:
                    yield from self._analysed(event)
                case (
                    HistoryEvent.DELIVERY_CLAIMED
                    | HistoryEvent.DELIVERY_DELIVERED
                    | HistoryEvent.DELIVERY_RETRY
                    | HistoryEvent.DELIVERY_PARKED
                ):
                    yield from self._sent(event)
                case (
                    HistoryEvent.INSTANCE_CONFLICT
                    | HistoryEvent.INSTANCE_HELD
                    | HistoryEvent.INSTANCE_DUPLICATE
                    | HistoryEvent.INSTANCE_PURGED
                ):
                    by_name.setdefault(event.name, []).append(event)
        for name, events in by_name.items():
            yield from self._of_instances(name, events)

    # ---- what came

    def _received(self, event: Event) -> Iterator[Message]:
        """An arrival is complete: what it has beyond the one before it, by sender and patient."""
        arrival = self._journal.arrivals.get(event.subject_id)
        if arrival is None:
            return
        before = set() if arrival.supersedes is None else {one.id for one in self._journal.instances.of_arrival(arrival.supersedes)}
        new = [one for one in self._journal.instances.of_arrival(arrival.id) if one.id not in before]
        for group in _grouped(new).values():
            last = max(one.received_at for one in group)
            yield self._transfer(last, Action.CREATE, group)

    def _of_instances(self, name: str, events: Sequence[Event]) -> Iterator[Message]:
        rows = self._journal.instances.get(sorted({event.subject_id for event in events}))
        at = max(event.at for event in events)
        for group in _grouped(rows).values():
            if name == HistoryEvent.INSTANCE_PURGED:
                yield self._deleted(at, group)
            else:
                # sent again, and the same: nothing was changed by it
                yield self._transfer(at, Action.READ if name == HistoryEvent.INSTANCE_DUPLICATE else Action.CREATE, group)

    def _deleted(self, at: datetime, group: Sequence[Instance]) -> Message:
        """Retention deleted pixels: the whole study's, or some."""
        study = group[0].study_instance_uid
        whole = all(one.standing is Standing.PURGED for one in self._journal.instances.of_study(study))
        return Message(
            event=codes.STUDY_DELETED if whole else codes.INSTANCES_ACCESSED,
            action=Action.DELETE,
            at=at,
            participants=(Participant(user_id=self._process, ae_titles=self._config.node.ae_titles, requestor=True),),
            objects=_objects(group),
        )

    # ---- what was done with it

    def _analysed(self, event: Event) -> Iterator[Message]:
        """An analysis used these images; of a comparison, those of the earlier study too."""
        used = self._journal.instances.of_job(event.subject_id)
        if not used:
            return
        job = self._journal.jobs.get(event.subject_id)
        who = Participant(user_id=f"{job.application}@{job.application_version}".rstrip("@"), roles=(codes.APPLICATION,))
        node = Participant(user_id=self._process, ae_titles=self._config.node.ae_titles, requestor=True)
        by_patient: dict[object, list[Instance]] = {}
        for one in used:
            by_patient.setdefault(patient_of(one.header), []).append(one)
        for group in by_patient.values():
            yield Message(
                event=codes.INSTANCES_ACCESSED, action=Action.READ, at=event.at, participants=(node, who), objects=_objects(group)
            )

    def _queried(self, event: Event) -> Iterator[Message]:
        """The sender, or the archive in its place, was asked how much of a study it has."""
        arrival = self._journal.arrivals.get(event.subject_id)
        peer = None if arrival is None else self._config.counting_peer(arrival.peer)
        if arrival is None or peer is None:
            return
        asked = Participant(user_id=peer.ae_title, ae_titles=(peer.ae_title,), roles=(codes.DESTINATION,), address=peer.host)
        yield Message(
            event=codes.QUERY,
            action=Action.EXECUTE,
            at=event.at,
            participants=(self._self(self._config.node.ae_titles[0], role=codes.SOURCE, requestor=True), asked),
            objects=(
                QueryObject(
                    sop_class_uid=_FIND,
                    identifier=_identifier(arrival.study_instance_uid, arrival.series_instance_uid),
                    transfer_syntax_uid=IMPLICIT_VR_LITTLE_ENDIAN,
                ),
            ),
        )

    # ---- what left

    def _sent(self, event: Event) -> Iterator[Message]:
        delivery = self._journal.deliveries.get(event.subject_id)
        sink = None if delivery is None else self._config.sinks.get(delivery.sink)
        used = [] if delivery is None else self._journal.instances.of_job(delivery.job)
        if delivery is None or sink is None or not used:
            return
        job = self._journal.jobs.get(delivery.job)
        counts: dict[str, int] = {}
        for made in self._journal.results.of_job(delivery.job):
            counts[made.sop_class_uid] = counts.get(made.sop_class_uid, 0) + 1
        current = next((one for one in used if one.series_instance_uid == job.series_instance_uid), used[0])
        objects = (StudyObject(study_instance_uid=job.study_instance_uid, sop_classes=counts), _person(current))
        outcome = _OUTCOMES.get(event.name, EventOutcome.SUCCESS)
        # code alone: a peer's own words may name the patient
        why = (event.code or "") if outcome else ""
        node = self._self(self._config.node.ae_titles[0], role=codes.SOURCE, requestor=True)
        recipient = self._recipient(sink)
        begins = event.name == HistoryEvent.DELIVERY_CLAIMED
        if recipient.on_media:
            if begins:
                return
            what, action = codes.EXPORT, Action.READ
        else:
            what = codes.BEGIN_TRANSFERRING if begins else codes.INSTANCES_TRANSFERRED
            action = Action.EXECUTE if begins else Action.READ
        yield Message(
            event=what,
            action=action,
            at=event.at,
            outcome=outcome,
            description=why,
            participants=(node, recipient.participant),
            objects=objects,
        )

    # ---- who

    def _transfer(self, at: datetime, action: Action, group: Sequence[Instance]) -> Message:
        """One sender stored these here."""
        one = group[0]
        titles = (one.calling_ae,) if one.calling_ae else ()
        sender = Participant(user_id=one.calling_ae, ae_titles=titles, requestor=True, roles=(codes.SOURCE,), address=one.address)
        who = (sender, self._self(one.called_ae))
        return Message(event=codes.INSTANCES_TRANSFERRED, action=action, at=at, participants=who, objects=_objects(group))

    def _self(self, title: str, *, role: codes.Code = codes.DESTINATION, requestor: bool = False) -> Participant:
        titles = (title,) if title else self._config.node.ae_titles
        return Participant(user_id=self._process, ae_titles=titles, requestor=requestor, roles=(role,))


def _grouped(rows: Sequence[Instance]) -> Mapping[tuple[object, ...], list[Instance]]:
    """One message is about one patient, one study, and one sender."""
    groups: dict[tuple[object, ...], list[Instance]] = {}
    for one in rows:
        key = (one.study_instance_uid, patient_of(one.header), one.calling_ae, one.called_ae, one.address)
        groups.setdefault(key, []).append(one)
    return groups


def _objects(group: Sequence[Instance]) -> tuple[Object, ...]:
    """The studies of one patient, and the patient."""
    studies: dict[str, list[Instance]] = {}
    for one in group:
        studies.setdefault(one.study_instance_uid, []).append(one)
    return (*(_study(uid, rows) for uid, rows in studies.items()), _person(group[0]))


def _study(uid: str, rows: Sequence[Instance]) -> StudyObject:
    counts: dict[str, int] = {}
    for one in rows:
        counts[one.sop_class_uid] = counts.get(one.sop_class_uid, 0) + 1
    numbers = dict.fromkeys(str(value) for one in rows for value in one.header.get("AccessionNumber", ()) if str(value).strip())
    return StudyObject(study_instance_uid=uid, sop_classes=counts, accession_numbers=tuple(numbers))


def _person(one: Instance) -> Person:
    patient = patient_of(one.header)
    name = next((str(value) for value in one.header.get("PatientName", ())), "")
    if patient is None:
        return Person(patient_id="", name=name)
    return Person(patient_id=patient.patient_id, issuer=patient.issuer, name=name)


def _identifier(study: str, series: str | None) -> bytes:
    """The C-FIND identifier of the question how many instances there are, in Implicit VR Little Endian."""
    if series is None:
        elements = {0x00080052: "STUDY", 0x0020000D: study, 0x00201208: ""}
    else:
        elements = {0x00080052: "SERIES", 0x0020000D: study, 0x0020000E: series, 0x00201209: ""}
    encoded = bytearray()
    for tag, text in elements.items():
        padding = "\0" if text[:1].isdigit() else " "  # UIDs end in a NUL (PS3.5 9.1)
        value = (text + (padding if len(text) % 2 else "")).encode("ascii")
        encoded += (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little") + len(value).to_bytes(4, "little") + value
    return bytes(encoded)
