"""The benchmark of learned windows in small: made arrivals through the journal, the windows and the settle stage of the node."""

from pathlib import Path
from statistics import median

import pytest

from bench.windows import Manner, simulate


@pytest.mark.slow
def test_what_a_sender_has_shown_is_waited_for_and_what_it_has_not_is_healed(tmp_path: Path) -> None:
    """Of 420 studies those behind the 300th wait for 4.5 s at most, as long as no stall is longer than 3 s; longer ones, and what comes
    minutes later, are closed early, counted apart, and whole in the end."""
    steady = Manner(name="steady", series=(1, 3), pause_s=(0.2, 1.0), stalls=0.1, stall_s=(1.0, 3.0), additions=0.05)
    done = simulate(tmp_path / "steady", [steady], 420, seed=1)
    assert (done.arrivals, done.early, done.longer, done.unhealed) == (420, 0, 0, 0)
    assert done.additions >= 5
    assert (max(done.waits_s[:300]), median(done.waits_s[310:])) == (10.0, 4.5)
    restless = Manner(name="restless", series=(1, 2), pause_s=(0.2, 1.0), stall_s=(0.9, 1.1), longer=0.05)
    done = simulate(tmp_path / "restless", [restless], 420, seed=1)
    assert (done.early, done.unhealed) == (0, 0)
    assert done.longer >= 1
