"""What numbers in headers lead to expect: remarked, never more."""

from typing import Any

import pytest

from node.domain.instance import Header
from node.domain.shortage import numbering_remarks


def _images(*numbers: float | str, **header: Any) -> list[Header]:
    same = {key: (value,) for key, value in header.items()}
    return [{"InstanceNumber": (number,), **same} for number in numbers]


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (_images(1, 2, 3, 4), []),
        (_images(7, 3, 4, 6), ["Instance numbers run from 3 to 7, and 1 of them did not come: images may be missing."]),
        (_images(10, 20, 30), []),  # it counts in tens
        (_images(1, 1, 1), []),
        (_images("x", 1, 2), []),
        (_images(float("inf"), float("nan"), 1.5, 1e300, 1, 2.0), []),  # what no number of an image is
        ([{}, {"InstanceNumber": ()}, {"InstanceNumber": (1, 3)}], []),
        (
            _images(1, 2, 3, AcquisitionNumber=1, ImagesInAcquisition=5),
            ["The images say that their acquisition has 5, and 3 came: images may be missing."],
        ),
        (_images(1, 2, AcquisitionNumber=1, ImagesInAcquisition=2) + _images(3, 4, AcquisitionNumber=2, ImagesInAcquisition=2), []),
        (_images(1, 2, ImagesInAcquisition=1), []),  # fewer than came: it counts something else
        (
            _images(1, NumberOfTemporalPositions=3, TemporalPositionIdentifier=1)
            + _images(2, NumberOfTemporalPositions=3, TemporalPositionIdentifier=2),
            ["The images name 3 temporal positions, and those of 2 came: images may be missing."],
        ),
        (_images(1, 2, NumberOfTemporalPositions=3), []),  # none of them says which it is of
        ([], []),
    ],
)
def test_what_did_not_come_by_the_numbers(headers: list[Header], said: list[str]) -> None:
    """Gaps between instance numbers, images of an acquisition, temporal positions; where scanners number otherwise, nothing."""
    assert list(numbering_remarks(headers)) == said
