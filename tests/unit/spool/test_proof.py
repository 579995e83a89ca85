"""The checksum by which a restart tells whole instances from those that a power loss cut off."""

import struct
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from node.spool.entries import WordSum


def _summed(*parts: bytes) -> int:
    check = WordSum()
    for part in parts:
        check.add(memoryview(part))
    return check.value


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_it_is_the_sum_of_the_words_however_the_stream_was_cut(data: bytes, cuts: list[int]) -> None:
    """By hand: pad with zeros to whole words, add them up, keep 64 bits."""
    padded = data + b"\0" * (-len(data) % 8)
    expected = sum(struct.unpack(f"<{len(padded) // 8}Q", padded)) % 2**64
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert _summed(*(data[first:last] for first, last in pairwise(places))) == expected


@given(st.binary(min_size=1, max_size=64), st.integers(0, 40))
def test_a_page_of_zeros_is_seen(content: bytes, pages: int) -> None:
    """What never reached the disk reads as zeros: seen wherever there was anything else."""
    page = content + bytes(4096 - len(content))
    before = bytes(range(256)) * 16 * pages
    assert (_summed(before, page) == _summed(before, bytes(4096))) == (not any(content))
