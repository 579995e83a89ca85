"""The world of one schedule: a store on a memory disk, a clock that is turned, senders, archives that answer as they please."""

import hashlib
import os
import random
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian

from inference import codes
from inference.applications.port import Accepts, Application, Infer, MeasurementOutput
from inference.findings import Findings, Measurement
from node.blobs.folder import FolderBlobs
from node.dicom.transfer_syntax import Context
from node.dicom.uid import derive_uid
from node.domain.errors import DeliveryError, RefusedError
from node.domain.instance import Reception
from node.domain.job import Job
from node.domain.profile import Kind
from node.domain.route import Route
from node.flow.infer import Analysed, Inferred
from node.journal.journal import Journal
from node.results.port import Encoded, Encoding
from node.settings.config import ApplicationSettings, Config, SinkSettings
from node.settings.node import Node
from node.settings.peers import Peer, Settle
from node.settings.store import Store
from node.sinks.folder import Folder
from node.sinks.port import Parcel, Receipt
from node.spool.inbox import FolderInbox
from tests.unit.flow.files import data_set, slice_of

QUIET = timedelta(seconds=10)
SINKS = ("archive", "second")
KINDS = (Kind.SR, Kind.SC)
_ENOUGH = 1 << 20


class TurnedClock:
    """Now is what the schedule says; it begins at the real time, because files bear that, unless a time is given."""

    def __init__(self, begins: datetime | None = None) -> None:
        self.now = begins or datetime.now(UTC).replace(microsecond=0)
        self.steady_s = 0.0
        """What no hand can set."""

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)
        self.steady_s += seconds

    def jump(self, seconds: float) -> None:
        """Somebody sets the clock."""
        self.now += timedelta(seconds=seconds)


class Memory:
    """What never crashes: what senders were told, and what the archives got."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, str] = {}
        """SOP Instance UID → SHA-256 of the data set."""
        self.studies: set[str] = set()
        self.got: dict[str, dict[str, list[tuple[str, bytes]]]] = {sink: {} for sink in SINKS}
        """By sink and SOP Instance UID: study and bytes, once for every time it came."""


class Archive:
    """A sink that takes, refuses, loses its answer, or is away, as the draw says."""

    def __init__(self, name: str, memory: Memory, draw: random.Random, troubled: "Trouble") -> None:
        self._name = name
        self._memory = memory
        self._draw = draw
        self._trouble = troubled

    def accepts(self, contexts: Collection[Context]) -> frozenset[Context]:
        return frozenset(contexts)

    def send(self, parcels: Sequence[Parcel]) -> list[Receipt]:
        if self._trouble.happens("away"):
            raise DeliveryError("nobody answers")
        return [self._take(parcel) for parcel in parcels]

    def _take(self, parcel: Parcel) -> Receipt:
        uid = parcel.sop_instance_uid
        if self._trouble.happens("busy"):
            return Receipt(sop_instance_uid=uid, accepted=False, status=0xA700)
        if self._trouble.happens("refused"):
            return Receipt(sop_instance_uid=uid, accepted=False, refused=True, status=0xC000)
        if not self._trouble.happens("vanished"):
            data = parcel.path.read_bytes()
            self._memory.got[self._name].setdefault(uid, []).append((data.split(b"|")[0].decode(), data))
        elif not self._trouble.on:
            raise AssertionError("nothing vanishes without trouble")
        else:
            return Receipt(sop_instance_uid=uid, accepted=False, status=None, detail="no answer, and it never came")
        if self._trouble.happens("unknown"):
            return Receipt(sop_instance_uid=uid, accepted=False, status=None, detail="no answer, though it came")
        return Receipt(sop_instance_uid=uid, accepted=True, status=0x0000)

    def health(self) -> tuple[bool, str]:
        return True, "simulated"


class Trouble:
    """How often what goes wrong; nothing once it is over."""

    def __init__(self, draw: random.Random) -> None:
        self.on = True
        self._draw = draw
        level = draw.choice([0.0, 0.02, 0.1])
        self.rates = {
            "journal": level,
            "disk": level,
            "away": draw.choice([0.0, 0.3]),
            "busy": draw.choice([0.0, 0.2]),
            "refused": draw.choice([0.0, 0.0, 0.1]),
            "unknown": draw.choice([0.0, 0.2]),
            "vanished": draw.choice([0.0, 0.1]),
            "engine": draw.choice([0.0, 0.2]),
            "jump": draw.choice([0.0, 0.0, 0.01]),
            "kill": draw.choice([0.0, 0.01, 0.03]),
        }

    def happens(self, what: str) -> bool:
        return self.on and self._draw.random() < self.rates[what]


def analyse(_volume: object, _infer: Infer) -> Findings:
    raise AssertionError("the analyst of the simulation does not ask the application")


APPLICATION = Application(
    name="count",
    version="1.0.0",
    title="Counts (simulation)",
    accepts=Accepts(modality=("CT",)),
    models=(),
    outputs=(MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),),
    analyse=analyse,
)


def analyst(job: Job, files: Sequence[Path]) -> Inferred:
    """Findings that depend on the bytes of all files, in whatever order."""
    digests = sorted(hashlib.sha256(path.read_bytes().partition(b"DICM")[2][200:]).hexdigest() for path in files)
    value = int(hashlib.sha256("".join(digests).encode()).hexdigest()[:6], 16) / 1000
    findings = Findings(measurements=(Measurement(name=codes.VOLUME, value=value, unit=codes.CUBIC_CENTIMETRE),))
    return Inferred(
        parts=(Analysed(assembled=whole(), findings=findings),),
        model_digest="0" * 64,
        made_by=f"{APPLICATION.name} {APPLICATION.version}",
        took_s={"assemble": 0.0, "infer": 0.0},
    )


def whole() -> Any:
    """What was assembled, as far as anybody looks at it here."""
    return SimpleNamespace(part="", headers=(), subject=None)


def encode(study: str, encoding: Encoding) -> list[Encoded]:
    """Two objects whose UIDs depend on inputs and findings, and whose bytes on the time of the findings too, as real ones do."""
    seed = "|".join([encoding.input_digest, encoding.model_digest, encoding.findings_digest])
    made = []
    for kind in KINDS:
        uid = derive_uid(seed, kind)
        data = f"{study}|{kind}|{encoding.input_digest}|{encoding.at.isoformat()}|{encoding.findings_digest}".encode()
        made.append(
            Encoded(
                kind=kind, sop_instance_uid=uid, sop_class_uid="1.2.840.10008.5.1.4.1.1.7", series_instance_uid=derive_uid(seed, "series"),
                description=kind, data=data,
            )
        )  # fmt: skip
    return made


@dataclass(slots=True)
class World:
    """Everything of one schedule that outlives processes. The journal is the file `hilum.db` in `folder`, or where `journal_url` says."""

    folder: Path
    draw: random.Random
    journal_url: str = ""
    begins: datetime | None = None
    config: Config = field(init=False)
    clock: TurnedClock = field(init=False)
    memory: Memory = field(init=False)
    trouble: Trouble = field(init=False)
    journal: Journal = field(init=False)
    images: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock, self.memory, self.trouble = TurnedClock(self.begins), Memory(), Trouble(self.draw)
        self.config = Config(
            path=self.folder / "hilum.yaml",
            digest="0" * 64,
            node=Node(),
            store=Store(journal=self.journal_url or f"sqlite:{self.folder}/hilum.db", blobs=self.folder / "blobs", high_water=1),
            models=self.folder / "models",
            peers={"ct1": Peer(name="ct1", ae_title="CT1AE", host="127.0.0.1", port=104, settle=Settle(quiet=QUIET))},
            sinks={name: SinkSettings(name=name, destination=Folder(path=self.folder / name)) for name in SINKS},
            applications={"count": replace(ApplicationSettings(name="count"), attempts=30)},
            routes=(Route(name="all", run=("count",), send=SINKS),),
        )
        self.journal = Journal.open(self.config.store.journal)

    def blobs(self) -> FolderBlobs:
        return FolderBlobs(self.config.store.blobs)

    def inbox(self) -> FolderInbox:
        return FolderInbox(self.config.store.blobs, min_free_bytes=_ENOUGH)

    def at(self, timestamp: float) -> datetime:
        """The clock's time of a file: files are dated by `date`."""
        return min(self.clock(), datetime.fromtimestamp(timestamp, UTC))

    def date(self, entry: Path) -> None:
        """Files come at the time that the clock shows."""
        os.utime(entry, (self.clock().timestamp(),) * 2)

    def image(self, study: int, number: int) -> tuple[str, bytes]:
        """The SOP Instance UID and the data set of one image; half of the studies share their bytes' length, none their bytes."""
        uid = f"1.2.9.{study}.{number}"
        if uid not in self.images:
            self.images[uid] = data_set(
                slice_of(
                    number,
                    pixel=(study * 97 + number) % 4096,
                    StudyInstanceUID=study_uid(study),
                    SeriesInstanceUID=f"1.2.7.{study}",
                    SOPInstanceUID=uid,
                    PatientID=f"P{study}",
                )
            )
        return uid, self.images[uid]

    def receive(self, inbox: FolderInbox, study: int, number: int, association: str) -> bool:
        """A sender sends one image; whether it was told 0x0000."""
        uid, dataset = self.image(study, number)
        reception = Reception(
            sop_instance_uid=uid, sop_class_uid="1.2.840.10008.5.1.4.1.1.2", transfer_syntax_uid=str(ExplicitVRLittleEndian),
            calling_ae="CT1AE", called_ae="HILUM", address="127.0.0.1", association=association, received_at=self.clock(),
        )  # fmt: skip
        before = set(inbox.waiting(10_000))
        try:
            incoming = inbox.begin(reception)
            incoming.write(dataset)
            incoming.keep()
        except RefusedError:
            return False
        for entry in set(inbox.waiting(10_000)) - before:
            self.date(entry)
        self.memory.acknowledged[uid] = hashlib.sha256(dataset).hexdigest()
        self.memory.studies.add(study_uid(study))
        return True

    def close(self) -> None:
        self.journal.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def study_uid(study: int) -> str:
    return f"1.2.8.{study}"
