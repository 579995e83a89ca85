"""What the long steps of a job may take, by the size of the files that it reads; a step beyond it stands (`node.observe.pulse`).

Far more than they take on a machine that is busy: who takes so long has met a file that its decoder, or its application, never comes back
from. Sizes are those of the files: what their headers claim proves nothing.
"""

from collections.abc import Iterable
from pathlib import Path

_MIB = 1 << 20
_FETCH_S, _FETCH_S_PER_MIB = 120.0, 2.0
_DECODE_S, _DECODE_S_PER_MIB = 120.0, 5.0
_ENCODE_S, _ENCODE_S_PER_MIB = 300.0, 5.0
_BESIDE_S = 120.0
BETWEEN_S = 300.0
"""What there is to do between the long steps."""


def size_of(files: Iterable[Path]) -> int:
    """Bytes of these files."""
    return sum(file.stat().st_size for file in files)


def to_fetch_s(size: int) -> float:
    """From the bucket to this host."""
    return _FETCH_S + _FETCH_S_PER_MIB * size / _MIB


def to_decode_s(size: int) -> float:
    """Headers read, pixels decoded, volumes put together."""
    return _DECODE_S + _DECODE_S_PER_MIB * size / _MIB


def to_infer_s(timeout_s: float) -> float:
    """The analysis, whose calls of models are bounded by the application's own time-out, and what is judged before and behind it."""
    return timeout_s + _BESIDE_S


def to_encode_s(size: int) -> float:
    """Result objects made, and checked."""
    return _ENCODE_S + _ENCODE_S_PER_MIB * size / _MIB
