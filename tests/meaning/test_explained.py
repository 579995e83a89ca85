"""What explain says of real series is what becomes of them, application by application (bench/gate.py has all series)."""

import pytest

from bench.gate import pairs_of
from node.routing.gate import Fit
from tests.lab import needs

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "source",
    [
        *("ct_head_GE_gantrytilt.zip", "mr_enhanced_xa30_T1.zip", "mr_enhanced_xa30_BOLD4D.zip", "mr_enhanced_xa30_ADC.zip"),
        *("mr_hippocrop_Study1.zip", "ct_abdomen_TotalSeg", "xr", "xa_nm_pt_mr_misc", "hard/mr_uih_mosaic.zip"),
        *("bad_geometry/sliceincrement_001.zip", "bad_geometry/sliceorientation_001.zip", "mr_acr_phantom/GE_MR450W_1.5T_T1.zip"),
    ],
)
def test_what_is_said_of_a_real_series_is_what_becomes_of_it(source: str) -> None:
    """Every application that comes with hilum; what was left open may be either. The pairs that disagree are printed."""
    pairs = list(pairs_of(needs.data("dicom", source)))
    told = sum(pair.said is Fit.OPEN for pair in pairs)
    print(f"{source}: {len(pairs)} pairs, {sum(not pair.refused for pair in pairs)} run, {told} cannot be known")
    assert pairs
    assert [(pair.application, pair.said, pair.reason, pair.refused) for pair in pairs if pair.disagrees] == []
