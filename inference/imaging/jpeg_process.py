"""The process that decodes 12-bit JPEG: `python -m inference.imaging.jpeg_process`. GDCM's codec ends its process on some damaged streams.

It reads requests from standard input and writes what it decoded to standard output until the input ends; what the codec has to say of a
stream goes to standard error. Request: rows, columns, length (three big-endian 32-bit numbers), then the stream. Answer: a length, then
samples of 16 bits, little endian; length 0: the codec refused it.
"""

import resource
import struct
import sys
from typing import Any, Final

import gdcm

MEMORY_BYTES: Final = 2 << 30
"""Of the whole process; who asks bounds what one answer comes to."""
REQUEST: Final = struct.Struct(">III")
ANSWER: Final = struct.Struct(">I")
BITS: Final = 12


def main() -> None:
    """Answer until there are no more requests."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    while len(head := asked.read(REQUEST.size)) == REQUEST.size:
        rows, columns, length = REQUEST.unpack(head)
        samples = _decoded(asked.read(length), rows, columns)
        answers.write(ANSWER.pack(len(samples)))
        answers.write(samples)
        answers.flush()


def _decoded(stream: bytes, rows: int, columns: int) -> bytes:
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image: Any = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    # 12 bits allocated, which GDCM keeps in 16: told 16, it asks its codec of 16 bits first, and that one complains
    image.SetPixelFormat(gdcm.PixelFormat(1, BITS, BITS, BITS - 1, 0))
    # bytes come as text, the way SWIG gives them; None: the codec refused
    text = image.GetBuffer()
    return b"" if text is None else bytes(text.encode("utf-8", "surrogateescape"))


if __name__ == "__main__":
    main()
