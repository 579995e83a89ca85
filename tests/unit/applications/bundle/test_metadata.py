"""What metadata.json says of channels: which series is which, and which of the output are structures."""

from typing import Any

import pytest

from inference.applications.bundle.errors import UnreadableBundle
from inference.applications.bundle.metadata import network
from tests.unit.applications.bundle import made


def _inputs(names: dict[str, str]) -> dict[str, Any]:
    return made.metadata(inputs={"num_channels": len(names), "channel_def": names})


def test_series_are_channels_in_the_order_of_their_numbers() -> None:
    """Also from the eleventh on, which as a word stands before the third, and whichever stands first in the file."""
    names = {str(number): f"phase {number}" for number in (*range(11, -1, -1),)}
    assert network(_inputs(names)).roles == tuple(f"phase {number}" for number in range(12))


def test_a_series_whose_channel_has_no_number() -> None:
    """Its place is unknown: the file, the line and the key are named."""
    with pytest.raises(UnreadableBundle, match=r"channel_def has a key that is no number: .*'late'"):
        network(_inputs({"0": "early", "late": "late"}))


def test_the_background_alone_may_be_left_out() -> None:
    """Of a result that is named but for one channel, that one is background where none else is; else somebody has to say what it is."""
    three = {"num_channels": 3}
    assert network(made.metadata(outputs={**three, "channel_def": {"1": "liver", "2": "spleen"}})).names == {1: "liver", 2: "spleen"}
    assert network(made.metadata(outputs={**three, "channel_def": {"0": "background", "1": "liver"}})).names == {1: "liver", 2: ""}
