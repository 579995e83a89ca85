"""The simulated flow: some schedules hold (`make crash` plays two thousand), the same seed does the same, and stages that are broken on
purpose are found."""

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from node.flow.delivery_attempt import DeliveryAttempt
from node.flow.index import IndexStage
from tests.crash.simulation.__main__ import play

pytestmark = pytest.mark.slow
_ROOT = Path(__file__).parents[2]


def _simulated(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.crash.simulation", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=_ROOT, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False)


def test_schedules_lose_double_and_orphan_nothing() -> None:
    """Two senders, two workers, an operator, two archives that lose answers, a clock that jumps, kills between any two operations."""
    said = _simulated("--schedules", 25, "--seed", 1)
    assert said.returncode == 0, said.stdout + said.stderr
    assert " 0 kills" not in said.stdout


def test_a_seed_plays_again_the_same() -> None:
    """Turns and kills of a seed are the same in another process."""
    first, second = (_simulated("--schedules", 2, "--seed", 11) for _ in range(2))
    assert first.stdout.split(" in ")[0] == second.stdout.split(" in ")[0] != ""


def test_an_index_that_moves_files_before_it_has_rows_is_found() -> None:
    """Rows first, then files: the other way round a kill in between leaves an instance that nobody knows."""
    commit = IndexStage._commit

    def moved_first(self: IndexStage, batch: object, now: object, size: int) -> None:
        for entry, blob in batch.moves:  # type: ignore[attr-defined]
            self._inbox.move_to_blobs(entry, blob)
        batch.moves.clear()  # type: ignore[attr-defined]
        commit(self, batch, now, size)  # type: ignore[arg-type]

    with mock.patch.object(IndexStage, "_commit", moved_first), pytest.raises(AssertionError, match="taken back"):
        play(1, 60)


def test_a_delivery_that_takes_silence_for_consent_is_found() -> None:
    """No answer is no receipt: the archive may have got nothing. It takes an object that vanished for good, as in schedule 85."""

    def always_accepted(self: DeliveryAttempt, one: object, receipt: object) -> None:
        token = self._token()
        self._journal.deliveries.receipt(self._delivery.id, token, one.id, True, 0, "", self._clock())  # type: ignore[attr-defined]

    with mock.patch.object(DeliveryAttempt, "_record", always_accepted), pytest.raises(AssertionError, match=r"has not all|has no results"):
        play(84, 51)
