"""What the receiving benchmark reads out of a sender's log."""

import pytest

from bench.receivers import moment

_LOG = """\
1700000000.250 I: checking input files ...
1700000001.500 I: Requesting Association
1700000001.750 I: Association Accepted (Max Send PDV: 131060)
1700000003.000 I: Releasing Association
"""


def test_the_time_on_the_wire_is_from_the_request_to_the_release() -> None:
    """One and a half seconds: the sender's own start is nobody's fault."""
    assert moment(_LOG, "Releasing Association") - moment(_LOG, "Requesting Association") == pytest.approx(1.5)


def test_a_log_without_the_moment_is_an_error() -> None:
    """A sender that never released has no time; a guess would be a figure about nothing."""
    with pytest.raises(RuntimeError, match="Aborting Association"):
        moment(_LOG, "Aborting Association")
