"""Sizes as people read them: comparisons of a disk with its marks, as they stood in messages that said nothing."""

import pytest

from node.settings.kinds import sizes


@pytest.mark.parametrize(
    ("of_bytes", "texts"),
    [
        ((0,), ("0 B",)),
        ((999,), ("999 B",)),
        ((100_003_840,), ("95.4 MiB",)),
        ((200 * 2**20,), ("200 MiB",)),
        ((2**30 - 1,), ("1.00 GiB",)),
        ((4 * 2**40,), ("4.00 TiB",)),
        ((5000 * 2**40,), ("5000 TiB",)),
        # a small disk: 0.1 GiB free of 0 GiB
        ((107_374_182, 209_715_200), ("102 MiB", "200 MiB")),
        # less than 100000000 of 100003840 bytes
        ((100_000_000, 100_003_840), ("95.367 MiB", "95.371 MiB")),
        # 0.10 GiB are free, and min_free is 0.09 GiB
        ((104_857_600, 100_000_000), ("100 MiB", "95.4 MiB")),
        ((2 * 2**30, 2 * 2**30), ("2.00 GiB", "2.00 GiB")),
        ((2**40, 2**40 + 1), ("1.000000000000 TiB", "1.000000000001 TiB")),
    ],
)
def test_sizes_that_differ_read_differently(of_bytes: tuple[int, ...], texts: tuple[str, ...]) -> None:
    """Three digits where they do, more where they do not; worked out by hand."""
    assert sizes(*of_bytes) == texts
