"""JPEG Extended of 12 bits: real samples against DCMTK, which has a decoder of its own, and streams that are not what they say."""

import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGExtended12Bit

from inference.errors import InputError
from inference.imaging.errors import Truncated, UndecodablePixels
from inference.imaging.header import read_instance
from inference.imaging.jpeg_extended import MOST_PIXELS_A_BYTE, decode_extended
from inference.imaging.stored import StoredFrames
from tests.fuzz.targets import CORPUS
from tests.lab import needs

from .conftest import one_instance, save

SAMPLES = "dicom/hard/jpeg_extended_12_bit.zip"
ROWS, COLUMNS = 24, 32


@pytest.fixture(scope="module")
def stream() -> bytes:
    """A frame of 24 x 32 pixels that DCMTK's dcmcjpeg compressed: see `tests.fuzz.capture`."""
    return (CORPUS / "jpegs" / "whole").read_bytes()


@pytest.mark.peers
def test_real_samples_are_what_dcmtk_reads(real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """Four of four, of three vendors; one stores 10 of the 12 bits, one has a byte of padding behind the stream."""
    dcmdjpeg = needs.program("dcmdjpeg", "dcmtk")
    files = real(SAMPLES)
    assert len(files) == 4
    for number, path in enumerate(files):
        plain = tmp_path / f"{number}.dcm"
        subprocess.run([dcmdjpeg, path, plain], check=True, capture_output=True)
        expected = dcmread(plain).pixel_array
        found = StoredFrames(read_instance(path)).read(0, None)
        assert found.dtype == expected.dtype == np.uint16
        assert np.array_equal(found, expected)
        assert expected.max() > 255, "more than 8 bits are used"


def test_nothing_is_told_on_standard_error(real: Callable[[str], list[Path]], capfd: pytest.CaptureFixture[str]) -> None:
    """It holds the node's events, one JSON object a line; the codec would write into it for every frame."""
    for path in real(SAMPLES):
        StoredFrames(read_instance(path)).read(0, None)
    assert capfd.readouterr() == ("", "")


def test_several_frames(stream: bytes, tmp_path: Path) -> None:
    """Each frame of a multi-frame instance is a stream of its own."""
    image = one_instance(np.zeros((ROWS, COLUMNS), "u2"), BitsStored=12, syntax=JPEGExtended12Bit, NumberOfFrames=2)
    image.PixelData = encapsulate([stream, stream])
    frames = StoredFrames(read_instance(save(image, tmp_path / "two.dcm")))
    first, second = (frames.read(frame, None) for frame in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(first, decode_extended(stream, ROWS, COLUMNS, "it"))


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda stream: stream[: len(stream) // 2], Truncated, "ends before its image does"),
        (lambda stream: stream[:40], Truncated, "ends before its first scan"),
        (lambda stream: stream[2:], UndecodablePixels, "no JPEG stream"),
        (lambda stream: stream.replace(b"\xff\xc1", b"\xff\xc2"), UndecodablePixels, "no frame of JPEG Extended"),
        (lambda stream: stream.replace(b"\x0c\x00\x18\x00\x20", b"\x0c\x00\x18\x00\x21"), UndecodablePixels, "33 x 24 pixels"),
        (lambda stream: stream.replace(b"\x0c\x00\x18\x00\x20", b"\x08\x00\x18\x00\x20"), UndecodablePixels, "with 8 bits"),
    ],
)
def test_what_is_no_such_stream_is_refused(
    stream: bytes, change: Callable[[bytes], bytes], error: type[InputError], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Cut off, or of another process, size or precision: with what is wrong, and before a codec sees it."""
    changed = change(stream)
    assert changed != stream
    with pytest.raises(error, match=said):
        decode_extended(changed, ROWS, COLUMNS, "it")
    assert capfd.readouterr().err == ""


def test_a_stream_that_claims_more_than_it_can_hold_is_refused(stream: bytes) -> None:
    """65,535 x 65,535 pixels in some hundred bytes: 8 GiB are not asked for."""
    huge = stream.replace(b"\x0c\x00\x18\x00\x20", b"\x0c\xff\xff\xff\xff")
    assert MOST_PIXELS_A_BYTE * len(huge) < 65535**2
    with pytest.raises(Truncated, match="65535 x 65535"):
        decode_extended(huge, 65535, 65535, "it")


def test_damage_inside_the_stream_is_refused_not_filled_with_grey(stream: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    """Half of the entropy-coded data is gone, and the image ends as it should: the codec makes up the rest and only says so. Of each other
    byte that is another one the answer is the image's shape or a refusal, also where the codec ends its process; the next frame is read."""
    cut = stream[: len(stream) * 2 // 3] + stream[-2:]
    with pytest.raises(UndecodablePixels, match="its JPEG stream is damaged"):
        decode_extended(cut, ROWS, COLUMNS, "it")
    for at in range(2, len(stream) - 2, 45):
        with suppress(InputError):
            changed = decode_extended(stream[:at] + bytes((stream[at] ^ 0x5A,)) + stream[at + 1 :], ROWS, COLUMNS, "it")
            assert changed.shape == (ROWS, COLUMNS)
    assert decode_extended(stream, ROWS, COLUMNS, "it").shape == (ROWS, COLUMNS)
    assert capfd.readouterr().err == ""


def test_samples_that_the_syntax_does_not_have_are_refused(stream: bytes, tmp_path: Path) -> None:
    """PS3.5 8.2.1 gives this process unsigned samples alone."""
    image = one_instance(np.zeros((ROWS, COLUMNS), "u2"), BitsStored=12, PixelRepresentation=1, syntax=JPEGExtended12Bit)
    image.PixelData = encapsulate([stream])
    with pytest.raises(UndecodablePixels, match="without a sign"):
        StoredFrames(read_instance(save(image, tmp_path / "signed.dcm"))).read(0, None)


def test_the_kept_stream_is_of_this_kind(stream: bytes) -> None:
    """What the other tests change is a frame of 12 bits (SOF1), 24 rows and 32 columns, with one sample a pixel."""
    assert b"\xff\xc1\x00\x0b\x0c\x00\x18\x00\x20\x01" in stream
    assert next(iter(generate_frames(encapsulate([stream]), number_of_frames=1))).startswith(stream)
