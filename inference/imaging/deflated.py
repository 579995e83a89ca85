"""Deflated data sets: how large they become, before anybody holds them in memory."""

import struct
import zlib
from collections.abc import Callable
from typing import BinaryIO, Final

from inference.imaging.errors import UnsupportedSyntax

JPIP: Final = frozenset({"1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.204", "1.2.840.10008.1.2.4.205"})
"""Transfer syntaxes whose pixels are elsewhere: the data set has an address of them (0028,7FE0) (PS3.5 A.6, A.7)."""
DEFLATED: Final = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
"""Transfer syntaxes whose data set is deflated as a whole (PS3.5 A.5, A.7); two of them refer to their pixels by JPIP."""
MOST_BYTES = 1 << 30
"""What a deflated data set may inflate to; it is held in memory as a whole, and a few kilobytes can claim all there is."""
_CHUNK = 1 << 20
_HEAD = 1024


def refuse_bomb(file: BinaryIO, name: Callable[[], str]) -> None:
    """Inflate a deflated data set for its length alone; the file stands at its beginning afterwards. Of others only the head is read.

    Parameters
    ----------
    name
        What people know the file by, where it is refused.

    Raises
    ------
    UnsupportedSyntax
        It inflates to more than `MOST_BYTES`.
    zlib.error
        The stream is damaged.
    """
    head = file.read(_HEAD)
    if len(head) > 144 and any(syntax.encode() in head for syntax in DEFLATED):
        # behind the meta information, which begins with its own length (PS3.10 7.1)
        file.seek(144 + struct.unpack_from("<I", head, 140)[0])
        inflate, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
        deflated = file.read(_CHUNK)
        while deflated and not inflate.eof:
            size += len(inflate.decompress(deflated, _CHUNK))
            if size > MOST_BYTES:
                raise UnsupportedSyntax(f"{name()} is deflated, and inflates to more than {MOST_BYTES >> 20} MiB")
            deflated = inflate.unconsumed_tail or file.read(_CHUNK)
    file.seek(0)
