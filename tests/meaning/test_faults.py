"""Made faults in real series: none ends in a result, and what has no fault is not parked (bench/faults.py sends a thousand)."""

from pathlib import Path

import pytest

from bench.faults import ODD, Trial, rows_of
from bench.faults_made import FAULTS
from tests.lab import needs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SOURCES = ("ct_head_GE_gantrytilt.zip", "mr_hippocrop_Study1.zip", "mr_enhanced_xa30_ADC.zip")


def test_no_series_with_a_made_fault_ends_in_a_result_and_none_without_is_parked(tmp_path: Path) -> None:
    """Each of the listed faults once, in a tilted head CT, a crop of an MR and an enhanced MR, beside the same without one."""
    needs.data("dicom")
    came = Trial(len(FAULTS) + 10, faulty=len(FAULTS) / (len(FAULTS) + 10), only=SOURCES).run(tmp_path / "node")
    faulty, sound = [one for one in came if one.fault], [one for one in came if not one.fault]
    assert {one.fault.name for one in faulty if one.fault} == {one.name for one in FAULTS}
    assert [(one.where, one.fault and one.fault.name) for one in faulty if one.wrong] == []
    assert [(one.where, one.reason) for one in sound if one.parked and one.where not in ODD] == []
    assert all(one.delivered for one in sound)
    assert all(row.met is not False for row in rows_of(came))
