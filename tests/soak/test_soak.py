"""The soak in short: two minutes of small studies at the rate of a busy hospital. The long form is `make soak MINUTES=…`."""

from pathlib import Path

import pytest

from tests.lab import needs
from tests.soak.day import Soak
from tests.soak.studies import SMALL_KINDS

_LIVED_S = 40.0
_MOST_MIB = 1000.0


@pytest.mark.slow
@pytest.mark.peers
@pytest.mark.timeout(900)
def test_two_minutes_of_a_hospital_lose_double_and_leak_nothing(tmp_path: Path) -> None:
    """Five modalities, senders that break off, idle associations, the archive restarted, each process killed: every acknowledged instance
    is in the journal with its bytes, every study has one set of results in the archive, and no process holds more at the end.

    Nothing here is said of speed: the machine may be busy.
    """
    needs.program("storescp", "dcmtk")
    day = Soak(tmp_path, minutes=2, per_hour=400, kinds=SMALL_KINDS, idle=6, every_s=9, keep="20s", quiet_s=8).run()
    assert {study.kind.name for study in day.studies} == {"CT", "MR", "MG", "US", "DX"}
    assert len(day.disturbances) >= 4
    assert (day.lost, day.changed, day.undelivered, day.doubled, day.left) == ([], [], [], [], [])
    assert day.watch is not None
    trends = day.watch.trends(lasted_s=_LIVED_S)
    assert trends
    assert [trend for trend in trends if trend.grew] == []
    assert [trend for trend in trends if trend.what == "rss_mib" and trend.most > _MOST_MIB] == []
