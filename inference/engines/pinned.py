"""Weights that built-in applications name by their SHA-256: hilum's makers have looked at these bytes, and vouch for no others.

Where a kernel cannot confine a model's process, these are computed all the same: they are as trusted as hilum's own code, which names them.
"""

import hashlib
from typing import Final

PINNED: Final = frozenset(
    {
        "39a7b2b5f799faa1391ea97bfcdc0b9299f20d84f2316a4ff8918dc4685e40aa",  # mr-brain: deepbet_bbox
        "de8ee7c69654d0dd3935dc4a5d84571d8ecf4637a6bfc01df399c4c2bc86e0fd",  # mr-brain: deepbet_brain
    }
)


def is_pinned(content: bytes) -> bool:
    """Whether a model's file is, byte by byte, one of them."""
    return hashlib.sha256(content).hexdigest() in PINNED
