"""Several families on one journal (PostgreSQL) and one bucket (Swift), each with a spool and copies of its own, as on as many hosts.

Two receive, two work, one flows; whatever dies in the middle, every study ends with one set of results. Each study holds a block of its own
size, so that a result under the wrong study would show in its volume. All tests have the same families: what one of them sent has its one
set of results after the others too.
"""

import contextlib
import re
import signal
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from pydicom import dcmread

from bench.soften import write_soften
from inference.codes import VOLUME
from inference.imaging.write_series import write_series
from tests.dimse.conftest import data_set_of
from tests.lab.howto import HowTo
from tests.lab.node import Node, configuration, hilum
from tests.lab.postgres import Postgres
from tests.lab.program import suspend, wait_until
from tests.lab.s3 import S3
from tests.lab.wire import Offer, Sender

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.registry, pytest.mark.timeout(900)]

_APPLICATIONS = Path(__file__).parents[2] / "bench" / "applications"
_PATIENCE_S = 240
_LAYERS = 60  # about a third of a second a study on one core
PAGE = HowTo("many-nodes.md")
_ROLES = {"in-1": "receive", "in-2": "receive", "flow": "flow", "work-1": "work", "work-2": "work"}


@dataclass(slots=True)
class Site:
    """The hosts of one hospital, and what was sent to them: the volume (cm³) that each study's report must say."""

    folder: Path
    database: str
    postgres: Postgres
    s3: S3
    hosts: dict[str, Node]
    expected: dict[str, float] = field(default_factory=dict)

    def study(self) -> list[Path]:
        """A made CT of a patient of its own with a block of 10 × 10 × (8 + number) voxels of 2 mm³."""
        number = len(self.expected)
        voxels = np.full((8 + number, 32, 32), -1000, np.int16)
        voxels[:, 10:20, 10:20] = 60
        affine = np.array([[0.0, 0, 1, -32], [0, 1, 0, -32], [2, 0, 0, 0], [0, 0, 0, 1]])
        files = write_series(voxels, affine, self.folder / "in" / f"{number}", modality="CT", patient_id=f"MANY{number}")
        self.expected[str(dcmread(files[0]).StudyInstanceUID)] = 10 * 10 * (8 + number) * 2 / 1000
        return files

    def send(self, host: str, files: Sequence[Path]) -> None:
        """Send to one of the receivers; everything is acknowledged."""
        told = hilum("send", *files, "--to", f"HILUM@127.0.0.1:{self.hosts[host].port}", "--calling", "SCANNER", "--json")
        assert told.code == 0, told.out + told.err

    def jobs(self) -> list[dict[str, Any]]:
        """As any host lists them; nothing while the database is away."""
        said = self.hosts["flow"].hilum("jobs", "list", "--json")
        return list(said.json) if said.code == 0 else []

    def routed(self) -> int:
        """How many jobs (one a study) there are by now, asked of the database itself."""
        ((count,),) = self.postgres.ask(self.database, "SELECT count(*) FROM job")
        return int(str(count))

    def done(self) -> None:
        """Wait until the job of every study sent so far is done, then look at what was delivered."""
        count = len(self.expected)
        # asked of the database itself, too; what a host lists is looked at once
        ended = "SELECT count(*) FROM job WHERE state = 'done'"
        wait_until(lambda: self.postgres.ask(self.database, ended) == [(count,)], _PATIENCE_S, f"{count} jobs are done", every_s=0.5)
        self.delivered(count)

    def delivered(self, count: int) -> None:
        """One set of results a study, each about its own study."""
        assert Counter(job["state"] for job in self.jobs()) == {"done": count}
        found = defaultdict(list)
        for path in (self.folder / "results").rglob("*.dcm"):
            dataset = dcmread(path)
            found[str(dataset.StudyInstanceUID)].append(dataset)
        assert {study: sorted(str(one.Modality) for one in objects) for study, objects in found.items()} == {
            study: ["OT", "SEG", "SR"] for study in self.expected
        }
        for study, objects in found.items():
            (report,) = [one for one in objects if one.Modality == "SR"]
            assert _volumes(report) == [pytest.approx(self.expected[study])], study

    def arrivals(self) -> list[tuple[object, ...]]:
        """Every arrival: its state, revision and number of instances."""
        return self.postgres.ask(self.database, "SELECT state, revision, instances FROM arrival ORDER BY id")

    def spooled(self, host: str) -> int:
        """How many instances wait in the spool of a host."""
        return len(list((self.folder / host / "spool" / "inbox").glob("*.dcm")))


def _volumes(item: Any) -> list[float]:
    volume = "MeasuredValueSequence" in item and item.ConceptNameCodeSequence[0].CodeValue == VOLUME.value
    own = [float(item.MeasuredValueSequence[0].FloatingPointValue)] if volume else []
    return own + [value for child in item.get("ContentSequence", []) for value in _volumes(child)]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """One object store."""
    with S3(tmp_path_factory.mktemp("s3") / "swift") as server:
        yield server


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One database server."""
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model that takes its time and changes nothing."""
    folder = tmp_path_factory.mktemp("models")
    write_soften(folder, layers=_LAYERS)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, s3: S3, repository: Path) -> Iterator[Site]:
    """Five families, none of them started by hand: they share the journal and the bucket, nothing else."""
    # docs/howto/many-nodes.md: which stages there are, and a configuration of several hosts
    documented = re.findall(r"^\| `([a-z]+)` \| [^|]+ \| [^|]+ \|$", PAGE.text, re.MULTILINE)
    begun = [PAGE.typed(command) for command in PAGE.commands("Which stages where")]
    assert begun == [f"hilum serve --stages {stages}" for stages in documented]
    assert set(documented) == set(_ROLES.values())
    site = Site(tmp_path_factory.mktemp("site"), postgres.database(), postgres, s3, {})
    with contextlib.ExitStack() as running:
        for name, stages in _ROLES.items():
            folder = site.folder / name
            settings = configuration(
                folder,
                port=0,
                repository=repository,
                peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": "5s"}}},
                sinks={"results": {"kind": "folder", "path": str(site.folder / "results")}},
                routes=[{"name": "all CT", "when": {"Modality": "CT"}, "run": ["bench-soften"], "send": ["results"]}],
            )
            settings["models"] = {"repository": str(repository), "applications": [str(_APPLICATIONS)]}
            settings["store"] = {
                "journal": site.database,
                "bucket": s3.settings(site.folder.name, cache="64MB"),
                "blobs": f"file:{folder / 'copies'}",
                "spool": f"file:{folder / 'spool'}",
                "min_free": "100MB",
                "high_water": 1,
            }
            site.hosts[name] = running.enter_context(Node(settings, folder, stages=stages))
        yield site


def _process(node: Node, stage: str) -> psutil.Process:
    for process in psutil.process_iter(["cmdline"]):
        words: list[str] = process.info["cmdline"] or []
        if str(node.config) in words and stage in words:
            return process
    raise AssertionError(f"no {stage} process of {node.folder.name}")


def _offer(file: Path) -> Offer:
    dataset = dcmread(file)
    return Offer(
        data_set=data_set_of(file.read_bytes()),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        sop_class_uid=str(dataset.SOPClassUID),
        transfer_syntax_uid=str(dataset.file_meta.TransferSyntaxUID),
    )


def test_studies_sent_to_both_receivers_and_one_split_over_them(site: Site) -> None:
    """Each study has one arrival and one set of results, the one whose halves came to two hosts too; no spool keeps anything, and a worker
    that never received analyses what the bucket has."""
    for number in range(4):
        site.send(f"in-{number % 2 + 1}", site.study())
    halves = [_offer(file) for file in site.study()]
    # both associations stand before the first image goes: no start of a program lies between the halves
    with (
        Sender(site.hosts["in-1"].port, halves, calling="SCANNER") as one,
        Sender(site.hosts["in-2"].port, halves, calling="SCANNER") as other,
    ):
        assert [sender.store(half) for sender, part in ((one, halves[:6]), (other, halves[6:])) for half in part] == [0x0000] * len(halves)
    site.done()
    sizes = [len(list(study.iterdir())) for study in (site.folder / "in").iterdir()]
    assert sorted(site.arrivals(), key=str) == [("routed", 1, size) for size in sorted(sizes, key=str)]
    assert {host: site.spooled(host) for host in ("in-1", "in-2")} == {"in-1": 0, "in-2": 0}
    prefix = f"{site.folder.name}/instances/"
    assert len(site.s3.keys(prefix)) == sum(sizes)
    check, reload, history, doctor = (
        PAGE.typed(command).split()[1:] for command in PAGE.commands("Change the configuration of several hosts")
    )
    host = site.hosts["flow"]
    assert [host.hilum(*words).code for words in (check, reload, history)] == [0, 0, 0]
    assert {one["subject"]: one["level"] for one in host.hilum(*doctor, "--json").json["findings"]}["bucket"] == "good"
    PAGE.followed()


def test_no_study_settles_while_a_receiver_still_has_a_part_of_it(site: Site) -> None:
    """The index of one receiver stands still with half a study in its spool: the other half is overdue, and waits for it. One arrival."""
    before = len(site.arrivals())
    halves = site.study()
    stalled = _process(site.hosts["in-1"], "index")
    suspend(stalled)
    site.send("in-1", halves[:5])
    site.send("in-2", halves[5:])
    overdue = "SELECT count(*) FROM arrival WHERE state = 'received' AND due_at < (extract(epoch FROM clock_timestamp()) - 5) * 1000000"
    wait_until(lambda: site.postgres.ask(site.database, overdue) == [(1,)], 60, "the arrival of the other half is overdue")
    assert site.arrivals()[before:] == [("received", 1, len(halves) - 5)]
    stalled.resume()
    site.done()
    assert site.arrivals()[before:] == [("routed", 1, len(halves))]


def test_a_bucket_that_is_away_stops_no_receiver(site: Site) -> None:
    """It is killed while a job runs, and a study comes meanwhile: that is acknowledged and waits in the spool, doctor says so; when the
    bucket is back both are done, once."""
    before = site.routed()
    site.send("in-1", site.study())
    wait_until(lambda: site.routed() > before, 60, "there is a job", every_s=0.02)
    site.s3.kill()
    second = site.study()
    try:
        site.send("in-2", second)
        assert site.spooled("in-2") == len(second)
        findings = {one["subject"]: one for one in site.hosts["in-2"].doctor()["findings"]}
        assert findings["bucket"]["level"] == "bad"
        assert "HLM-7052" in findings["bucket"]["detail"]
        assert findings["spool"]["level"] == "warning"
    finally:
        site.s3.start()
    site.done()
    assert site.spooled("in-2") == 0


def test_a_database_that_is_away_stops_no_receiver(site: Site) -> None:
    """Network case 23: It crashes in the middle of the work, a study comes while it is away, and it returns: everything is done, once."""
    before = site.routed()
    for _ in range(3):
        site.send("in-1", site.study())
    wait_until(lambda: site.routed() > before, 60, "the first study is routed", every_s=0.02)
    site.postgres.stop(signal.SIGQUIT)
    late = site.study()
    try:
        site.send("in-2", late)
        assert site.spooled("in-2") == len(late)
    finally:
        site.postgres.start()
    site.done()


def test_a_worker_that_is_killed_in_a_job_is_followed_by_another(site: Site) -> None:
    """SIGKILL to its whole family, not started again before that is seen: when its lease has run out the other worker has the job."""
    victim, other = site.hosts["work-1"], _process(site.hosts["work-2"], "work")
    suspend(other)  # so that the victim has a job
    for _ in range(3):
        site.send("in-1", site.study())
    held = "SELECT count(*) FROM job WHERE lease LIKE %s"
    host = (site.folder / "work-1" / "spool.run" / "host").read_text()
    working = _process(victim, "work")

    def is_stopped_in_a_job() -> bool:
        suspend(working)
        if site.postgres.ask(site.database, held, [f"%-{host}:%"]) == [(1,)]:
            return True
        working.resume()
        return False

    wait_until(is_stopped_in_a_job, 120, "the victim has a job", every_s=0.02)
    victim.kill()
    other.resume()
    assert site.postgres.ask(site.database, held, [f"%-{host}:%"]) == [(1,)], "it died with its lease"
    site.done()
    victim.start()


def test_a_receiver_that_is_killed_with_instances_in_its_spool_loses_none(site: Site) -> None:
    """They were acknowledged and not yet journaled; nobody else sees them, and they are analysed when the host is back."""
    receiver = site.hosts["in-1"]
    suspend(_process(receiver, "index"))
    before = site.routed()
    files = site.study()
    site.send("in-1", files)
    receiver.kill()
    assert site.spooled("in-1") == len(files)
    assert site.routed() == before
    receiver.start()
    site.done()
    assert site.spooled("in-1") == 0
