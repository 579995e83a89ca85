"""Many processes on one journal: each job is claimed once, a killed writer leaves a journal that is whole, and all may start at once."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from node.domain.state import JobState
from node.journal.journal import Journal
from tests.unit.journal.story import START, Story

ROOT = Path(__file__).parents[3]

CLAIM = """
import sys, threading
from datetime import UTC, datetime, timedelta
from node.journal.journal import Journal
journal = Journal.open(sys.argv[1])
sys.stdin.readline()
def work(n):
    while (job := journal.jobs.claim(f"host:{sys.argv[2]}{n}", datetime.now(UTC), timedelta(hours=1))) is not None:
        sys.stdout.write(f"{job.id}\\n")  # one write: two threads would part a number from the end of its line
threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""

RECORD = """
import sys
from node.journal.journal import Journal
from tests.unit.journal.story import Story
story = Story(Journal.open(sys.argv[1]))
n = 0
while True:
    story.receive(*range(n, n + 50))
    n += 50
    print(n, flush=True)
"""

OPEN = "import sys; sys.stdin.readline(); from node.journal.journal import Journal; print(Journal.open(sys.argv[1]).arrivals.find())"


def _python(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.slow
def test_eight_claimers_in_four_processes_claim_each_of_100_jobs_once(tmp_path: Path) -> None:
    """The claim is one statement under the write lock: nobody gets what another has, nothing is left over."""
    url = f"sqlite:{tmp_path / 'journal.db'}"
    story = Story(Journal.open(url))
    story.receive(1)
    story.route(*(story.job_asked(application=f"application {n}") for n in range(100)))
    workers = [_python(CLAIM, url, str(n)) for n in range(4)]
    try:
        outcomes = [worker.communicate("go\n", timeout=300) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0] * 4, [errors for _, errors in outcomes]
    claimed = [int(line) for output, _ in outcomes for line in output.split()]
    assert sorted(claimed) == sorted(job.id for job in story.journal.jobs.find())
    assert {job.attempts for job in story.journal.jobs.find()} == {1}
    story.journal.close()


@pytest.mark.slow
def test_a_writer_killed_in_the_middle_leaves_whole_batches(tmp_path: Path) -> None:
    """kill -9 at any moment: what was told committed is there, of the batch at hand all or nothing, and the file is sound."""
    path = tmp_path / "journal.db"
    told = 0
    for round_ in range(3):
        writer = _python(RECORD, f"sqlite:{path}")
        assert writer.stdout is not None
        lines = [int(writer.stdout.readline()) for _ in range(2 + round_)]
        time.sleep(0.001 * (1 + 3 * round_))  # not a wait for anything: the kill falls somewhere into the next transaction
        os.kill(writer.pid, signal.SIGKILL)
        lines += [int(line) for line in writer.stdout.read().split()]
        writer.wait()
        told = max(told, *lines)
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            (instances,) = connection.execute("SELECT count(*) FROM instance").fetchone()
            (members,) = connection.execute("SELECT count(*) FROM arrival_instance").fetchone()
            (counted,) = connection.execute("SELECT instances FROM arrival").fetchone()
        assert instances % 50 == 0
        assert instances >= told
        assert instances == members == counted


@pytest.mark.slow
def test_processes_that_start_at_once_create_one_journal(tmp_path: Path) -> None:
    """The processes start together on an empty store: one migrates, the others wait for it."""
    url = f"sqlite:{tmp_path / 'journal.db'}"
    starters = [_python(OPEN, url) for _ in range(4)]
    outcomes = [starter.communicate("go\n", timeout=300) for starter in starters]
    assert [(output.strip(), errors) for output, errors in outcomes] == [("[]", "")] * 4


def test_a_job_that_kills_its_worker_is_counted(tmp_path: Path) -> None:
    """Each claim counts before the work begins, so that whoever claims next can see how often it went wrong."""
    story = Story(Journal.open(f"sqlite:{tmp_path / 'journal.db'}"))
    story.queued()
    for attempt in (1, 2, 3):
        assert story.claim("host:1").attempts == attempt
        assert story.journal.processes.release("host:1", START) == 1
    assert story.journal.jobs.find()[0].state is JobState.QUEUED
    story.journal.close()
