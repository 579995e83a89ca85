"""What every view has at hand: journal, settings, pictures, routes, health, the node's own receiver, the audit of who looked at a study,
and how often an account tried what costs the node.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from node.console.editing import Editing
from node.console.health import Health, SharedLook
from node.console.images.gallery import Gallery
from node.domain.patient import patient_of
from node.journal.journal import Journal
from node.journal.port import Pausable
from node.observe.audit import codes
from node.observe.audit.message import Action, Message, Participant, Person, StudyObject
from node.settings.console import Console
from node.settings.peers import Peer

if TYPE_CHECKING:
    from node.console.directory import Directory
    from node.console.provider import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of one file, or of a zip's: how many instances the receiver took, of which studies; and what did not go, and why."""

    accepted: int
    studies: tuple[str, ...]
    left: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """Bytes of one uploaded file, and those that a zip may unpack to."""

    file_bytes: int = 1 << 29
    unpacked_bytes: int = 1 << 30


class OwnReceiver(Protocol):
    """The node's receiver, called as a peer would call it."""

    @property
    def listens(self) -> bool:
        """Whether it is known where it listens."""
        ...

    @property
    def titles(self) -> Sequence[str]:
        """AE titles under which it admits a caller from this machine; none: nobody."""
        ...

    def send(self, file: Path, name: str, calling: str, unpacked: Path, most: int, *, more: bool) -> Sent:
        """Send what is in a file, called `name`, or in a zip, which is unpacked into a folder, to at most so many bytes. With `more` the
        association stays open for the next file of the same upload.

        Raises
        ------
        ArchiveTooLarge
        DeliveryError
            The receiver is away, or turns the caller away.
        """
        ...


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


TRIES, TRIES_WINDOW_S = 20, 60.0  # each may load a whole configuration, which takes seconds
_MOST_KNOWN = 10_000


class RateLimit:
    """How often an account tried something in a window that slides."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, most: int = TRIES, window_s: float = TRIES_WINDOW_S) -> None:
        self._clock = clock
        self._most = most
        self._window_s = window_s
        self._guard = threading.Lock()
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, who: str) -> float:
        """Count it before it is done: what is counted afterwards is done many times at once. How long to wait instead; 0: do it."""
        with self._guard:
            times, now = self._of(who), self._clock()
            if len(times) >= self._most:
                return times[0] + self._window_s - now
            times.append(now)
            while len(self._times) > _MOST_KNOWN:
                self._times.popitem(last=False)
            return 0.0

    def _of(self, who: str) -> deque[float]:
        times = self._times.setdefault(who, deque(maxlen=self._most))
        self._times.move_to_end(who)
        while times and times[0] <= self._clock() - self._window_s:
            times.popleft()
        return times


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleContext:
    """Shared by all requests; the journal is safe in many threads. `models` is the folder of the model repository, `application_folders`
    where applications are looked for, the repository among them; `peers` tells those of the configuration by name, and `windows` the same
    with their quiet windows; `pausable` tells the names that may be paused now; `make_room` deletes the oldest pixels that nothing needs,
    and says of how many instances; `associations` are the lines that the receivers of this host keep of who called; `sinks_of` are those
    at a peer; `receiver` is the node's own, which one sends test files to while `uploading` is held; `directory` and `provider` are the
    hospital's, where the configuration has them; `logouts` bounds what is told of logouts that are none."""

    journal: Journal
    settings: Console
    gallery: Gallery
    accesses: StudyAccessAudit
    health: Health
    senders: SharedLook[list[dict[str, Any]]]
    windows: SharedLook[list[dict[str, Any]]]
    models: Path
    application_folders: Sequence[Path]
    editing: Editing
    peers: Callable[[], Mapping[str, Peer]]
    make_room: Callable[[], int]
    associations: SharedLook[list[list[dict[str, Any]]]]
    sinks_of: Callable[[str], Sequence[str]]
    pausable: Callable[[], Mapping[Pausable, Sequence[str]]]
    receiver: OwnReceiver
    upload_limits: UploadLimits = UploadLimits()
    directory: "Directory | None" = None
    provider: "Provider | None" = None
    tries: RateLimit = field(default_factory=RateLimit)
    logouts: RateLimit = field(default_factory=RateLimit)
    uploading: threading.Lock = field(default_factory=threading.Lock)

    @property
    def secure(self) -> bool:
        """Whether browsers reach us over TLS, so that cookies need not go any other way."""
        return self.settings.cert is not None or bool(self.settings.trusted_proxies)
