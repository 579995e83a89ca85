"""Learned quiet windows on made arrivals: how many studies they close early, whether each is healed, and how long studies wait.

The node's own journal, windows and settle stage see each study as its instances come; only the clock is made, and the times are. No
measurement of the pauses inside studies is published that we know of: the model is made, and says where its numbers are from.

- *Bursts:* an image of 512 KiB at 2 to 6 MB/s, the throughput that the sample conformance statement of PS3.2 Annex F gives for 100 Mbit/s.
- *Pauses between series*, and how often a sender stalls and for how long, are assumed for each sender (`SENDERS`): a modality that opens an
  association a series, one that sends while it reconstructs, an archive that queues, a workstation on a slow disk.
- *Stalls of the length that the sender had shown before* lie below the longest of its stalls, which its third study has. *Longer ones*,
  which nothing can know beforehand, come to one of 1,000 studies of the workstation once it is known; *additions* (a reconstruction minutes
  later) to one of 100 of every sender.
"""

import logging
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from bench.rows import Row, say
from node.dimse.port import Requestor
from node.domain.arrival import FEWEST
from node.domain.instance import Instance
from node.flow.settle import QuietWindows, SettleStage
from node.journal.journal import Journal
from node.journal.port import NewInstance
from node.observe.events import start_events
from node.settings.config import Config
from node.settings.node import Node
from node.settings.peers import Peer, Settle, WindowLearning
from node.settings.store import Store

ARRIVALS = 10_000
MOST_EARLY = 5
_SEED = 18
_QUIET = timedelta(seconds=10)
_BEGIN = datetime(2026, 1, 5, 7, 0, tzinfo=UTC)
_IMAGE_MB = 0.524
_MB_PER_S = (2.0, 6.0)
_ADDITION_S = (120.0, 3600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a sender sends: series a study, pauses between them, how many studies stall and for how long; of how many the stall is up to six
    times longer than any before."""

    name: str
    series: tuple[int, int]
    pause_s: tuple[float, float]
    stalls: float = 0.02
    stall_s: tuple[float, float] = (1.0, 2.0)
    longer: float = 0.0
    additions: float = 0.01


SENDERS = (
    Manner(name="ct", series=(1, 3), pause_s=(0.2, 0.8)),
    Manner(name="mr", series=(3, 6), pause_s=(0.5, 2.5), stall_s=(1.5, 3.0)),
    Manner(name="archive", series=(1, 6), pause_s=(0.1, 0.6), stalls=0.05, stall_s=(1.0, 3.0)),
    Manner(name="reconstructing", series=(2, 4), pause_s=(0.8, 2.0), stalls=0.01, stall_s=(2.0, 3.2)),
    Manner(name="workstation", series=(1, 2), pause_s=(0.2, 1.0), stalls=0.01, stall_s=(2.0, 4.0), longer=0.001),
)


@dataclass(slots=True)
class Outcome:
    """What became of the arrivals of a run.

    Attributes
    ----------
    early
        Closed early, though the sender had paused for so long before.
    longer
        Closed early by a pause longer than any before, within what a window may be; counted apart, as are `additions` behind that.
    unhealed
        Of all these, those whose last revision has not all instances.
    waits_s
        Of each study: the last instance to completeness.
    """

    arrivals: int = 0
    early: int = 0
    longer: int = 0
    additions: int = 0
    unhealed: int = 0
    waits_s: list[float] = field(default_factory=list)


def measure() -> list[Row]:
    """Ten thousand arrivals of five senders, with learned windows from the beginning: the configured one until 300 studies are known."""
    with tempfile.TemporaryDirectory() as folder:
        done = simulate(Path(folder), SENDERS, ARRIVALS // len(SENDERS), seed=_SEED)
    say(f"{done.arrivals} arrivals, {done.longer} closed early by a longer pause than any before, {done.additions} with an addition")
    today_s = _QUIET.total_seconds()
    waited_s = median(done.waits_s)
    few, half = f"at most {MOST_EARLY}", "at most half of the configured window"
    return [
        Row(name="closed early after a pause shown before", value=done.early, unit="arrivals", goal=few, met=done.early <= MOST_EARLY),
        Row(name="closed early by a longer pause than any", value=done.longer, unit="arrivals"),
        Row(name="not healed by a revision", value=done.unhealed, unit="arrivals", goal="none", met=done.unhealed == 0),
        Row(name="median wait", value=waited_s, unit="s", baseline=today_s, goal=half, met=waited_s <= today_s / 2),
    ]


def simulate(folder: Path, senders: Sequence[Manner], each: int, *, seed: int) -> Outcome:
    """Let `each` studies of every sender come, one after another, to a journal in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = _config(folder, senders)
    journal = Journal.open(config.store.journal)
    total = Outcome()
    start_events("bench", logging.WARNING)  # a line for each arrival is no figure
    try:
        for place, sender in enumerate(senders):
            _Hospital(journal, config, sender, f"2.25.{place + 1}", random.Random(seed + place)).run(each, total)
    finally:
        journal.close()
    return total


class _Hospital:
    """One sender, and the node's windows and settle stage on a clock that is put forward."""

    def __init__(self, journal: Journal, config: Config, sender: Manner, root: str, chance: random.Random) -> None:
        self._journal = journal
        self._sender = sender
        self._root = root
        self._chance = chance
        self._now = _BEGIN
        self._windows = QuietWindows(journal, config, lambda: self._now)
        self._settle = SettleStage(journal, config, lambda: self._now, _nobody)
        self._longest_s = 0.0

    def run(self, studies: int, total: Outcome) -> None:
        for number in range(studies):
            self._study(number, total)
            self._now += timedelta(seconds=self._chance.uniform(60, 600))

    def _study(self, number: int, total: Outcome) -> None:
        """One study comes, is closed as often as a window passes, and is counted."""
        study = f"{self._root}.{number}"
        gaps_s = list(self._gaps_s(number))
        count, at = 0, self._now
        came = [self._instance(study, count, at)]
        early = longer = added = False
        for gap_s in gaps_s:
            window = self._windows.of(self._sender.name)
            if timedelta(seconds=gap_s) > window:
                self._close(came, window)
                came = []
                added |= gap_s > _QUIET.total_seconds()
                longer |= self._longest_s < gap_s <= _QUIET.total_seconds()
                early |= gap_s <= self._longest_s
            if gap_s <= _QUIET.total_seconds():
                self._longest_s = max(self._longest_s, gap_s)
            at += timedelta(seconds=gap_s)
            self._now = max(self._now, at)
            count += 1
            came.append(self._instance(study, count, at))
        total.waits_s.append(self._close(came, self._windows.of(self._sender.name)))
        total.arrivals += 1
        total.early += early
        total.longer += longer and not early
        total.additions += added and not early and not longer
        latest = self._journal.arrivals.latest(study, None, self._sender.name)
        revised = latest is not None and (latest.revision > 1) == (early or longer or added)
        total.unhealed += latest is None or latest.instances != len(gaps_s) + 1 or not revised

    def _close(self, came: Sequence[Instance], window: timedelta) -> float:
        """The instances are journaled, nothing comes until the window is over, and the node says that the study is complete; how long it
        waited."""
        last = came[-1].received_at
        due = last + window
        news = [NewInstance(instance=one, opens=True, scope_series=False, due_at=due) for one in came]
        self._journal.instances.record(news, last)
        self._now = due - timedelta(milliseconds=1)
        too_soon = self._settle.step()
        self._now = due + timedelta(milliseconds=1)
        if too_soon or self._settle.step() != 1:
            raise RuntimeError("the node did not close the study when its window was over")
        return window.total_seconds()

    def _gaps_s(self, number: int) -> Iterator[float]:
        """The pauses of a study: within each series, between two of them, a stall, an addition."""
        chance, sender = self._chance, self._sender
        gaps = list[float]()
        for series in range(chance.randint(*sender.series)):
            if series:
                gaps.append(chance.uniform(*sender.pause_s))
            gaps += [_IMAGE_MB / chance.uniform(*_MB_PER_S) for _ in range(chance.randint(1, 3))]
        where = chance.randrange(len(gaps))
        if number == 2:
            gaps[where] = sender.stall_s[1]
        elif number >= FEWEST and chance.random() < sender.longer:
            gaps[where] = self._longest_s * chance.uniform(1.5, 6)
        elif chance.random() < sender.stalls:
            gaps[where] = chance.uniform(*sender.stall_s)
        if chance.random() < sender.additions:
            gaps.append(chance.uniform(*_ADDITION_S))
        yield from gaps

    def _instance(self, study: str, number: int, at: datetime) -> Instance:
        uid = f"{study}.1.{number}"
        return Instance(
            sop_instance_uid=uid,
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            study_instance_uid=study,
            series_instance_uid=f"{study}.1",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            blob=f"instances/{uid}.dcm",
            size=1,
            digest=uid,
            calling_ae=self._sender.name.upper(),
            called_ae="HILUM",
            address="127.0.0.1",
            peer=self._sender.name,
            received_at=at,
            header={"Modality": ("CT",)},
        )


def _config(folder: Path, senders: Sequence[Manner]) -> Config:
    settle = Settle(quiet=_QUIET, learned=WindowLearning(use=True))
    peers = {one.name: Peer(name=one.name, ae_title=one.name.upper(), host="127.0.0.1", port=0, settle=settle) for one in senders}
    store = Store(journal=f"sqlite:{folder}/hilum.db", blobs=folder / "blobs")
    return Config(path=folder / "hilum.yaml", digest="made", node=Node(), store=store, models=folder, peers=peers)


def _nobody(peer: Peer) -> Requestor:
    raise RuntimeError(f"{peer.name} cannot be asked")
