"""Tells the audit trail who looked at a study: once when somebody opens it, and again after a while, not for every picture of it."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from node.domain.patient import patient_of
from node.journal.journal import Journal
from node.observe.audit import codes
from node.observe.audit.message import Action, Message, Participant, Person, StudyObject

AGAIN_S = 600.0
_MOST = 10_000


def _nowhere(message: Message) -> None:
    """Where the configuration has no audit trail."""


class StudyAccessAudit:
    """Who opened what.

    Parameters
    ----------
    journal
        Knows whose a study is.
    tell
        Where messages go; it must not wait.
    process, ae_titles
        The identity of this process (PS3.15 A.5.2.1), and the AE titles of this node.
    clock
        A clock that only goes forward.
    """

    def __init__(
        self,
        journal: Journal,
        tell: Callable[[Message], None] = _nowhere,
        *,
        process: str = "console",
        ae_titles: tuple[str, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._tell = tell
        self._process = process
        self._ae_titles = ae_titles
        self._clock = clock
        self._guard = threading.Lock()
        self._told: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def saw(self, account: str, key: str, address: str, study_instance_uid: str) -> None:
        """Somebody, logged in under `key`, was shown something of a study at an address (PS3.15 A.5.3.6, DICOM Instances Accessed)."""
        at, what = self._clock(), (key, address, study_instance_uid)
        with self._guard:
            before = self._told.get(what)
            if before is not None and at - before < AGAIN_S:
                return
            self._told[what] = at
            self._told.move_to_end(what)
            while len(self._told) > _MOST:
                self._told.popitem(last=False)
        node = Participant(user_id=self._process, ae_titles=self._ae_titles)
        self._tell(
            Message(
                event=codes.INSTANCES_ACCESSED,
                action=Action.READ,
                at=self._journal.now(),
                participants=(Participant(user_id=account, requestor=True, address=address), node),
                objects=(StudyObject(study_instance_uid=study_instance_uid), self._whose(study_instance_uid)),
            )
        )

    def _whose(self, study_instance_uid: str) -> Person:
        arrivals = self._journal.arrivals.find(study=study_instance_uid, newest=True)[:1]
        header = next(iter(self._journal.studies.newest_headers([one.id for one in arrivals]).values()), {})
        patient, name = patient_of(header), next((str(value) for value in header.get("PatientName", ())), "")
        return Person(patient_id=patient.patient_id if patient else "", issuer=patient.issuer if patient else "", name=name)
