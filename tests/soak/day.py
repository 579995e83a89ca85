"""A day of the soak: the node, its archive, modalities that come and go, what is killed and restarted, and the count at the end."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
from pydicom import dcmread

from node.journal.journal import Journal
from tests.crash.reading import Reading
from tests.lab.dcmtk import StoreScp
from tests.lab.node import Node, configuration
from tests.lab.program import Late, wait_until
from tests.lab.spool import half_written
from tests.soak.count import RESULTS, count
from tests.soak.happened import Day, Disturbance
from tests.soak.modality import CALLING, Association, Gone, Manners
from tests.soak.studies import KINDS, Kind, Study, studies
from tests.soak.watch import Watch

_APPLICATIONS = Path(__file__).with_name("applications")
_ROUTES = {"soak-volume": ["CT", "MR"], "soak-views": ["MG", "DX"], "soak-loop": ["US"]}
_SENDERS = 4
_ABORTING = 0.08
"""The share of studies of which the first association ends in the middle of an instance."""
_DRAIN_S = 300.0
STILL_S = 3.0
"""What the senders slept for longer than they asked, to be called standing still."""
_LOOK_STILL_S = 0.25
_AGAIN_S = 0.5


class Soak:
    """One node and its hospital.

    Parameters
    ----------
    per_hour
        Studies an hour.
    every_s
        Pause between two disturbances, which fall into the middle third.
    keep
        For how long the node keeps pixels: a short time makes retention a part of the load.
    encrypted
        As in the configuration; what is encrypted is so with a key of the day.
    """

    def __init__(
        self,
        folder: Path,
        *,
        minutes: float,
        per_hour: float = 400,
        kinds: tuple[Kind, ...] = KINDS,
        idle: int = 20,
        every_s: float = 45,
        keep: str = "2m",
        quiet_s: int = 8,
        encrypted: bool = False,
    ) -> None:
        self._folder = folder
        self._seconds = minutes * 60
        self._pause_s = 3600 / per_hour
        self._kinds = kinds
        self._idle = idle
        self._every_s = every_s
        self._chance = random.Random(4711)
        self.day = Day(quiet_s=quiet_s)
        self._sink = StoreScp(folder / "archive", options=("--unique-filenames",))
        self._node = Node(self._configuration(keep, quiet_s, encrypted=encrypted), folder / "node", interpreter=True)
        self._over = threading.Event()
        self._seen: dict[str, float] = {}

    def _configuration(self, keep: str, quiet_s: int, *, encrypted: bool) -> dict[str, object]:
        store = self._folder / "store"
        (self._folder / "models").mkdir(parents=True, exist_ok=True)
        routes = [
            {"name": name, "when": {"Modality": {"in": modalities}} if len(modalities) > 1 else {"Modality": modalities[0]}, "run": [name],
             "send": ["archive"]}
            for name, modalities in _ROUTES.items()
        ]  # fmt: skip
        settings = configuration(
            store,
            port=0,
            repository=self._folder / "models",
            peers={
                "modality": {
                    "ae_title": CALLING,
                    "address": "127.0.0.1:0",
                    "limits": {"associations": 64},
                    "settle": {"quiet": f"{quiet_s}s", "short": "run"},  # as in the crash matrix: torn by kills, and not sent again
                },
                "archive": {"ae_title": self._sink.aet, "address": f"127.0.0.1:{self._sink.port}"},
            },
            sinks={"archive": {"kind": "dimse", "peer": "archive", "retry": {"first": "500ms", "most": "2s"}}},
            routes=routes,
            applications={name: {"attempts": 20} for name in _ROUTES},
        )
        settings["models"] = {"repository": str(self._folder / "models"), "applications": [str(_APPLICATIONS)]}
        settings["store"] = {**settings["store"], "keep": keep}  # type: ignore[dict-item]
        settings["node"] = {**settings["node"], "max_associations": 64}  # type: ignore[dict-item]
        if encrypted:
            key = self._folder / "at-rest.key"
            Reading.with_key(key)
            settings["store"] = {**settings["store"], "encryption": {"key_file": str(key)}}  # type: ignore[dict-item]
        return settings

    def run(self) -> Day:
        """Live through the day, drain, count."""
        began = time.monotonic()
        with contextlib.ExitStack() as opened:
            opened.callback(self._sink.stop)
            self._sink.start()
            opened.enter_context(self._node)
            self.day.watch = opened.enter_context(Watch(lambda: self._node.pid if self._node.running else None))
            for task in (self._idle_associations, self._disturb, self._look, self._notice_stillness):
                thread = threading.Thread(target=task)
                thread.start()
                opened.callback(thread.join)
            opened.callback(self._over.set)
            self._send(began)
            self._drain()
            self._over.set()
            self._count()
        blobs = self._folder / "store" / "blobs"
        self.day.left = half_written(blobs) + sorted(path.name for path in (blobs / "inbox").iterdir())
        self.day.took_s = time.monotonic() - began
        return self.day

    # ---- the modalities
    def _send(self, began: float) -> None:
        with ThreadPoolExecutor(_SENDERS, thread_name_prefix="modality") as senders:
            for study in studies(self._kinds):
                due = began + len(self.day.studies) * self._pause_s
                if due - began > self._seconds:
                    break
                self._over.wait(max(0.0, due - time.monotonic()))
                self.day.studies.append(study)
                senders.submit(self._send_study, study)

    def _send_study(self, study: Study) -> None:
        leaves: Manners | None = self._chance.choice(list(Manners)) if self._chance.random() < _ABORTING else None
        at = self._chance.randrange(study.kind.instances)
        while len(study.acknowledged) < study.kind.instances and not self._over.is_set():
            try:
                with Association(self._node.port, study.kind.sop_class_uid) as association:
                    for index in range(study.kind.instances):
                        uid = study.instance_uid(index)
                        if uid in study.acknowledged:
                            continue
                        going, leaves = (leaves, None) if index >= at else (None, leaves)
                        if association.store(study.kind.sop_class_uid, uid, study.instance(index), leaves=going) == 0:
                            study.acknowledged[uid] = study.digest(index)
                            study.answers.append(time.time())
                        else:
                            self.day.refused += 1
                            self._over.wait(_AGAIN_S)
            except Gone as ended:
                self.day.aborted += 1
                if str(ended) not in {manner.value for manner in Manners}:
                    self._over.wait(_AGAIN_S)
        study.last_answer = time.time()

    def _idle_associations(self) -> None:
        """Associations that are opened and say nothing; lost ones are opened again."""
        held: list[Association] = []
        while not self._over.wait(1.0):
            standing = [one for one in held if one.stands]
            self.day.idle_lost += len(held) - len(standing)
            held = standing
            with contextlib.suppress(Gone):
                while len(held) < self._idle:
                    held.append(Association(self._node.port))
        for one in held:
            one.release()

    # ---- what goes wrong
    def _disturb(self) -> None:
        """Kill and restart in the middle third of the day, so that its first and its last can be compared."""
        acts: list[tuple[str, str | None, Callable[[], None]]] = [
            ("the archive is restarted", None, self._restart_sink),
            *((f"{stage} is killed", stage, partial(self._kill, stage)) for stage in ("receive", "flow", "work")),
        ]
        if self._over.wait(self._seconds / 3):
            return
        until = time.monotonic() + self._seconds / 3
        number = 0
        while time.monotonic() < until:
            name, stage, act = acts[number % len(acts)]
            self._mark()
            self.day.disturbances.append(Disturbance(name=name, stage=stage, at=time.time()))
            act()
            self._mark()
            number += 1
            if self._over.wait(self._every_s):
                return
        # the archive would be killed with the thread that started it
        self._over.wait()

    def _mark(self) -> None:
        """What is on its way now takes longer for it, and is not compared."""
        for study in list(self.day.studies):
            if not study.delivered:
                study.disturbed = True

    def _restart_sink(self) -> None:
        self._sink.stop()
        self._over.wait(5.0)
        self._sink.start()

    def _kill(self, stage: str) -> None:
        for child in psutil.Process(self._node.pid).children():
            with contextlib.suppress(psutil.Error):
                if stage in child.cmdline():
                    os.kill(child.pid, signal.SIGKILL)
                    return

    def _notice_stillness(self) -> None:
        """Note when nothing here came to run, the senders among it."""
        before = time.time()
        while not self._over.wait(_LOOK_STILL_S):
            now = time.time()
            if now - before > STILL_S:
                self.day.still.append((before, now))
                self._mark()
            before = now

    # ---- what came out
    def _look(self) -> None:
        """Note when results came."""
        by_uid: dict[str, Study] = {}
        while not self._over.wait(0.5):
            by_uid |= {study.uid: study for study in list(self.day.studies) if study.uid not in by_uid}
            self._new_results(by_uid)

    def _new_results(self, by_uid: dict[str, Study]) -> None:
        for path in self._received():
            if path.name in self._seen:
                continue
            try:
                header = dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID", "SOPInstanceUID"])
                came = path.stat().st_mtime
                uid = str(header.SOPInstanceUID)
            except Exception:  # noqa: BLE001  (it is being written, or was cut off when the archive was stopped)
                continue
            self._seen[path.name] = came
            of_study = self.day.objects.setdefault(str(header.StudyInstanceUID), set())
            self.day.copies += uid in of_study
            of_study.add(uid)
            study = by_uid.get(str(header.StudyInstanceUID))
            if study is not None:
                study.delivered = max(study.delivered, came)

    def _received(self) -> Iterator[Path]:
        for entry in os.scandir(self._sink.folder):
            if entry.is_file():
                yield Path(entry.path)

    def _drain(self) -> None:
        with contextlib.suppress(Late):  # what is lacking then is told by the verdict
            wait_until(lambda: not any(self._waits(study) for study in self.day.studies), _DRAIN_S, "every result is there", every_s=1.0)

    def _waits(self, study: Study) -> bool:
        return len(self.day.objects.get(study.uid, ())) < RESULTS

    def _count(self) -> None:
        self._new_results({study.uid: study for study in self.day.studies})
        with contextlib.closing(Journal.open(f"sqlite:{self._folder / 'store' / 'hilum.db'}")) as journal:
            count(self.day, journal)
