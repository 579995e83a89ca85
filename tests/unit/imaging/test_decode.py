"""Stored bytes become modality values as PS3.5 8 and PS3.3 C.7.6.3 and C.11.1 say; expected values are worked out by hand."""

import resource
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    MPEG4HP41,
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from inference.imaging.decode import decode
from inference.imaging.errors import MissingAttribute, NoPixelData, NotDicom, Truncated, UndecodablePixels, UnsupportedSyntax
from inference.imaging.header import read_dataset, read_instance
from tests.unit.flow.files import by_hand, data_set

from .conftest import enhanced, one_instance, save


def pixels(values: Iterable[int], dtype: str) -> np.ndarray:
    """A (2, N) frame whose rows are equal."""
    return np.array([values, values], dtype=dtype)


def decoded(dataset: Dataset, tmp_path: Path) -> np.ndarray:
    """The first row of the first frame."""
    row: np.ndarray = decode(save(dataset, tmp_path / "image.dcm"))[0, 0]
    return row


@pytest.mark.parametrize(
    ("stored", "dtype", "attributes", "expected", "kind"),
    [
        # value x slope + intercept
        ([0, 1024, 4095], "u2", {"RescaleSlope": 1, "RescaleIntercept": -1024}, [-1024, 0, 3071], "int16"),
        ([-2000, 0, 3000], "i2", {"RescaleSlope": 2, "RescaleIntercept": 1}, [-3999, 1, 6001], "int16"),
        # no rescale at all: the stored values
        ([0, 7, 32767], "u2", {}, [0, 7, 32767], "int16"),
        # 16 bits in full: 65535 fits no int16, so nothing may wrap
        ([0, 32768, 65535], "u2", {}, [0, 32768, 65535], "float32"),
        ([0, 1000, 65535], "u2", {"RescaleSlope": 1, "RescaleIntercept": -40000}, [-40000, -39000, 25535], "float32"),
        ([32768, 50000, 65535], "u2", {"RescaleSlope": 1, "RescaleIntercept": -32768}, [0, 17232, 32767], "int16"),
        ([0, 10, 100], "u2", {"RescaleSlope": 0.25, "RescaleIntercept": -1}, [-1, 1.5, 24], "float32"),
        ([1, 2, 3], "u2", {"RescaleSlope": -1, "RescaleIntercept": 0}, [-1, -2, -3], "int16"),
        ([0, 128, 255], "u1", {"RescaleSlope": 100, "RescaleIntercept": -5}, [-5, 12795, 25495], "int16"),
        ([-128, 0, 127], "i1", {}, [-128, 0, 127], "int16"),
        ([0, 30000, 70000], "u4", {}, [0, 30000, 70000], "float32"),
    ],
)
def test_rescale_keeps_int16_wherever_that_loses_nothing(
    stored: list[int], dtype: str, attributes: dict[str, Any], expected: list[float], kind: str, tmp_path: Path
) -> None:
    """The smallest type that holds every value; what wraps in 16 bits on the way must come out right."""
    row = decoded(one_instance(pixels(stored, dtype), **attributes), tmp_path)
    assert row.dtype == kind
    assert row.tolist() == expected


def test_stray_bits_above_the_stored_ones_are_no_pixels(tmp_path: Path) -> None:
    """Twelve bits stored, an old overlay in the upper four: 0x5001 is 1; signed, 0x5FFF is -1 and 0x0800 is -2048."""
    assert decoded(one_instance(pixels([0x5001, 0xF7FF], "u2"), BitsStored=12), tmp_path).tolist() == [1, 0x7FF]
    signed = one_instance(pixels([0x5FFF, 0x0800, 0x07FF], "u2"), BitsStored=12, PixelRepresentation=1)
    assert decoded(signed, tmp_path).tolist() == [-1, -2048, 2047]


def test_pixels_need_not_sit_in_the_lowest_bits(tmp_path: Path) -> None:
    """HighBit 15 with twelve bits stored: the value is in the upper twelve."""
    assert decoded(one_instance(pixels([0x1230, 0xFFFF], "u2"), BitsStored=12, HighBit=15), tmp_path).tolist() == [0x123, 0xFFF]


def test_monochrome1_turns_over_all_stored_bits(tmp_path: Path) -> None:
    """Ten bits: 0 is the brightest, 1023. Signed ten bits: -512 becomes 511."""
    image = one_instance(pixels([0, 1, 1023], "u2"), BitsStored=10, PhotometricInterpretation="MONOCHROME1")
    assert decoded(image, tmp_path).tolist() == [1023, 1022, 0]
    image = one_instance(pixels([-512, 0, 511], "i2"), BitsStored=10, PhotometricInterpretation="MONOCHROME1")
    assert decoded(image, tmp_path).tolist() == [511, -1, -512]


def test_hounsfield_units_stay_what_they_are_in_monochrome1(tmp_path: Path) -> None:
    """For CT MONOCHROME1 only says how to show the image: air stays at -1000 HU."""
    image = one_instance(
        pixels([24, 1024], "u2"),
        SOPClassUID=CTImageStorage,
        Modality="CT",
        PhotometricInterpretation="MONOCHROME1",
        RescaleSlope=1,
        RescaleIntercept=-1024,
    )
    assert decoded(image, tmp_path).tolist() == [-1000, 0]


def test_each_frame_of_an_enhanced_image_has_its_own_rescale(tmp_path: Path) -> None:
    """Three frames of the same stored values, slopes 1, 2 and 10."""
    frames = np.full((3, 2, 2), 7, dtype="u2")
    values = decode(save(enhanced(frames, np.eye(3), slopes=[1, 2, 10]), tmp_path / "e.dcm"))
    assert values.dtype == np.int16
    assert values[:, 0, 0].tolist() == [7, 14, 70]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_every_lossless_syntax_gives_the_same_values(syntax: UID, bits: int, signed: bool, tmp_path: Path) -> None:
    """Encoded by pydicom's encoders; signed values keep their sign in codecs that know none."""
    rng = np.random.default_rng(bits)
    low, high = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
    values = rng.integers(low, high, (32, 40)).astype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    plain = one_instance(values, BitsStored=bits)
    expected = decode(save(plain, tmp_path / "plain.dcm"))
    np.testing.assert_array_equal(expected[0], values)
    plain.compress(syntax, generate_instance_uid=False)
    np.testing.assert_array_equal(decode(save(plain, tmp_path / "packed.dcm"))[0], values)


@pytest.mark.parametrize(("syntax", "options"), [(JPEG2000, {"j2k_cr": [4]}), (JPEGLSNearLossless, {"jls_error": 3})])
def test_lossy_syntaxes_come_near(syntax: UID, options: dict[str, Any], tmp_path: Path) -> None:
    """A smooth ramp, twelve bits: within the codec's own error, and no bit is masked away at the top end."""
    values = np.add.outer(np.arange(64) * 40, np.arange(64) * 24).astype("u2")
    image = one_instance(values, BitsStored=12)
    image.compress(syntax, generate_instance_uid=False, **options)
    assert np.abs(decode(save(image, tmp_path / "lossy.dcm"))[0].astype(int) - values).max() <= 16


def test_implicit_deflated_and_big_endian(tmp_path: Path) -> None:
    """The three other uncompressed syntaxes; the deflated stream and the swapped bytes are made here by hand."""
    values = np.arange(-6, 6, dtype="<i2").reshape(3, 4) * 1000
    for syntax in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        np.testing.assert_array_equal(decode(save(one_instance(values, syntax=syntax), tmp_path / "a.dcm"))[0], values)
    big = one_instance(values, syntax=ExplicitVRBigEndian)
    big.PixelData = values.astype(">i2").tobytes()
    np.testing.assert_array_equal(decode(save(big, tmp_path / "b.dcm"))[0], values)


@pytest.mark.parametrize("last", ["94", "95", "204", "205"])
def test_pixels_that_lie_on_another_server_are_said_to(last: str, tmp_path: Path) -> None:
    """PS3.5 A.6 and A.7, and their HTJ2K twins: the data set, which .95 and .205 deflate, has an address in place of the pixels. Whose they
    are is read all the same: a note that there is no result names patient and study."""
    syntax = f"1.2.840.10008.1.2.4.{last}"
    content = data_set(one_instance(np.zeros((3, 4), dtype="<i2"), PixelData=None, PixelDataProviderURL="http://archive/1.2.3.4.1"))
    if last in ("95", "205"):
        squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        content = squeeze.compress(content) + squeeze.flush()
    path = tmp_path / "jpip.dcm"
    path.write_bytes(by_hand(content, syntax.encode() + b"\0" * (len(syntax) % 2)))
    with pytest.raises(UnsupportedSyntax, match=r"1\.2\.3\.4\.1 refers to its pixels by JPIP"):
        read_instance(path)
    header = read_dataset(path)
    assert (header.SOPInstanceUID, header.StudyInstanceUID, header.file_meta.TransferSyntaxUID) == ("1.2.3.4.1", "1.2.3", syntax)


@pytest.mark.peers
@pytest.mark.parametrize("option", ["+e1", "+el", "+eb", "+ee"])
def test_what_dcmtk_compresses_as_jpeg_is_read(option: str, tmp_path: Path) -> None:
    """JPEG lossless SV1, lossless process 14, baseline and extended with 8 bits, written by dcmcjpeg."""
    if shutil.which("dcmcjpeg") is None:
        pytest.skip("dcmcjpeg (Debian dcmtk) is not installed")
    eight = option in {"+eb", "+ee"}
    values = np.add.outer(np.arange(64), np.arange(64) * 2).astype("u1" if eight else "u2") * (1 if eight else 20)
    plain = save(one_instance(values, BitsStored=8 if eight else 12, SOPClassUID=SecondaryCaptureImageStorage), tmp_path / "plain.dcm")
    packed = tmp_path / "packed.dcm"
    subprocess.run(["dcmcjpeg", option, plain, packed], check=True, capture_output=True)
    assert pydicom.dcmread(packed).file_meta.TransferSyntaxUID.is_encapsulated
    assert np.abs(decode(packed)[0].astype(int) - values).max() <= (6 if eight else 0)


def test_rgb_stays_in_colour(tmp_path: Path) -> None:
    """Planar configuration 1 (all red, then all green …) is taken apart: (F, Y, X, 3)."""
    planes = np.stack([np.full((2, 4), value, dtype="u1") for value in (10, 20, 30)])
    image = one_instance(planes[0], SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=1)
    image.PixelData = planes.tobytes()
    values = decode(save(image, tmp_path / "rgb.dcm"))
    assert values.shape == (1, 2, 4, 3)
    assert values[0, 1, 3].tolist() == [10, 20, 30]


def test_float_pixel_data_is_read(tmp_path: Path) -> None:
    """A parametric map's floats, below the smallest step that integers know."""
    values = np.array([[0.5, 1e-6], [-3.25, 1e6]], dtype="f4")
    image = one_instance(values, PixelData=None, PixelRepresentation=0)
    image.FloatPixelData = values.tobytes()
    np.testing.assert_array_equal(decode(save(image, tmp_path / "f.dcm"))[0], values)


class TestBrokenFiles:
    """Each kind of damage gives its own code, and names the instance."""

    good = pixels(range(16), "u2")

    def test_not_dicom(self, tmp_path: Path) -> None:
        """A text file."""
        (tmp_path / "x").write_bytes(b"hello" * 100)
        with pytest.raises(NotDicom, match="x cannot be read"):
            decode(tmp_path / "x")

    @pytest.mark.parametrize("keep", [0, 50, 131, 140, 300])
    def test_cut_off_in_the_header(self, keep: int, tmp_path: Path) -> None:
        """Wherever the file ends before its pixels, an input error says so."""
        path = save(one_instance(self.good), tmp_path / "x")
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises((NotDicom, MissingAttribute, NoPixelData)):
            decode(path)

    def test_cut_off_in_the_pixels(self, tmp_path: Path) -> None:
        """Ten bytes are missing at the end: the message gives both lengths."""
        path = save(one_instance(self.good), tmp_path / "x")
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(Truncated, match=r"1\.2\.3\.4\.1 holds 54 of the 64 bytes"):
            decode(path)

    def test_pixel_data_shorter_than_rows_times_columns(self, tmp_path: Path) -> None:
        """The element is whole, but too short for what Rows and Columns say; nothing of that size is allocated."""
        path = save(one_instance(self.good, Rows=65535, Columns=65535), tmp_path / "x")
        with pytest.raises(Truncated):
            decode(path)

    def test_more_compressed_frames_than_the_file_could_hold(self, tmp_path: Path) -> None:
        """Nothing is allocated for the two thousand million frames that a header claims."""
        image = one_instance(np.zeros((64, 64), "u2"))
        image.compress(JPEG2000Lossless, generate_instance_uid=False)
        image.NumberOfFrames = 2_000_000_000
        with pytest.raises(Truncated, match="2000000000 compressed frames"):
            decode(save(image, tmp_path / "x"))

    def test_zero_length(self, tmp_path: Path) -> None:
        """Pixel Data is there, without a byte in it."""
        with pytest.raises(NoPixelData, match="zero length"):
            decode(save(one_instance(self.good, PixelData=b""), tmp_path / "x"))

    def test_no_pixels(self, tmp_path: Path) -> None:
        """A report, or an image whose pixels were removed."""
        with pytest.raises(NoPixelData, match="no pixel data"):
            decode(save(one_instance(self.good, PixelData=None), tmp_path / "x"))

    def test_compressed_and_cut_off(self, tmp_path: Path) -> None:
        """The last item of the compressed stream is incomplete: no half image is decoded."""
        image = one_instance(np.random.default_rng(0).integers(0, 4096, (64, 64)).astype("u2"), BitsStored=12)
        image.compress(JPEG2000Lossless, generate_instance_uid=False)
        path = save(image, tmp_path / "x")
        path.write_bytes(path.read_bytes()[:-500])
        with pytest.raises(Truncated, match="compressed"):
            decode(path)

    def test_compressed_and_damaged(self, tmp_path: Path) -> None:
        """The codestream's first bytes are overwritten."""
        image = one_instance(self.good)
        image.compress(RLELossless, generate_instance_uid=False)
        damaged = bytearray(image.PixelData)
        damaged[20:60] = b"\xff" * 40
        image.PixelData = bytes(damaged)
        with pytest.raises((UndecodablePixels, Truncated)):
            decode(save(image, tmp_path / "x"))

    def test_a_panic_of_the_rle_codec_is_an_error_of_this_file(self, tmp_path: Path) -> None:
        """Segments that unpack to more bytes than the frame has make the codec panic, which is no Exception: the worker outlives it."""
        image = one_instance(self.good)
        image.compress(RLELossless, generate_instance_uid=False)
        # header: two segments, at bytes 64 and 84; each repeats a byte 128 times, ten times over, for a frame of 32 pixels
        frame = struct.pack("<16I", 2, 64, 84, *[0] * 13) + b"\x81\x05" * 20
        image.PixelData = encapsulate([frame])
        with pytest.raises(UndecodablePixels, match="frame 1 of 1"):
            decode(save(image, tmp_path / "x"))

    def test_video_cannot_be_decoded(self, tmp_path: Path) -> None:
        """The syntax is named in words."""
        image = one_instance(self.good)
        image.compress(RLELossless, generate_instance_uid=False)
        image.file_meta.TransferSyntaxUID = MPEG4HP41
        with pytest.raises(UnsupportedSyntax, match="MPEG-4"):
            decode(save(image, tmp_path / "x"))

    def test_a_transfer_syntax_nobody_has_heard_of(self, tmp_path: Path) -> None:
        """A private one: how its pixels are packed is not known, so nothing is guessed."""
        path = save(one_instance(self.good), tmp_path / "x")
        path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.3.99".ljust(20, b"\0"), 1))
        with pytest.raises(UnsupportedSyntax, match=r"1\.2\.3\.99"):
            decode(path)

    @pytest.mark.parametrize(
        ("attributes", "said"),
        [
            ({"Rows": None}, "Rows is absent"),
            ({"BitsAllocated": None}, "BitsAllocated is absent"),
            ({"BitsStored": 17, "HighBit": 16}, "BitsStored 17"),
            ({"HighBit": 3}, "HighBit 3"),
            ({"BitsAllocated": 12}, "BitsAllocated 12"),
            ({"RescaleSlope": 0}, "RescaleSlope of 1.2.3.4.1 is 0"),
            ({"ImagePositionPatient": [1, 2]}, "ImagePositionPatient of 1.2.3.4.1 is"),
            ({"PixelSpacing": None}, "PixelSpacing is absent"),
            ({"NumberOfFrames": 0}, "NumberOfFrames of 1.2.3.4.1 is 0"),
        ],
    )
    def test_wrong_attributes_are_named(self, attributes: dict[str, Any], said: str, tmp_path: Path) -> None:
        """Which attribute, in which instance."""
        with pytest.raises(MissingAttribute, match=said):
            decode(save(one_instance(self.good, **attributes), tmp_path / "x"))

    def test_a_number_that_is_none(self, tmp_path: Path) -> None:
        """NaN, and words, where a decimal string belongs: patched into the file, as no writer would let them pass."""
        path = save(one_instance(self.good, RescaleSlope="1.2345678", RescaleIntercept=0), tmp_path / "x")
        whole = path.read_bytes()
        for wrong in (b"nan      ", b"one half "):
            path.write_bytes(whole.replace(b"1.2345678", wrong))
            with pytest.raises(MissingAttribute, match="RescaleSlope"):
                decode(path)

    def test_a_sequence_nested_ten_thousand_deep(self, tmp_path: Path) -> None:
        """The parser's recursion ends in an error about this file, not in a dead process."""
        path = save(one_instance(self.good), tmp_path / "x")
        whole = path.read_bytes()
        # (0008,1140) SQ of undefined length, an item of undefined length, and again
        nest = bytes.fromhex("08004011 53510000 ffffffff feff00e0 ffffffff".replace(" ", "")) * 10_000
        at = whole.index(bytes.fromhex("20000d00"))
        path.write_bytes(whole[:at] + nest + whole[at:])
        with pytest.raises(NotDicom):
            decode(path)

    def test_a_deflated_bomb_is_not_inflated(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Kilobytes that would be many megabytes: refused by their length, measured in pieces, before anything holds them."""
        monkeypatch.setattr("inference.imaging.deflated.MOST_BYTES", 256 << 20)
        path = save(one_instance(self.good, syntax=DeflatedExplicitVRLittleEndian), tmp_path / "bomb")
        uid = pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID
        whole = path.read_bytes()
        start = 144 + struct.unpack_from("<I", whole, 140)[0]
        deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        zeros = bytes(1 << 24)
        head = zlib.decompress(whole[start:], -zlib.MAX_WBITS)
        stream = [deflate.compress(head), *(deflate.compress(zeros) for _ in range(17)), deflate.flush()]
        path.write_bytes(whole[:start] + b"".join(stream))
        assert path.stat().st_size < 1 << 20
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(UnsupportedSyntax, match="inflates to more than 256 MiB") as refused:
            decode(path)
        assert str(refused.value).startswith(f"{uid} is deflated")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"

    def test_a_deflated_stream_that_does_not_inflate(self, tmp_path: Path) -> None:
        """zlib's own error does not escape."""
        path = save(one_instance(self.good, syntax=DeflatedExplicitVRLittleEndian), tmp_path / "x")
        whole = bytearray(path.read_bytes())
        whole[-30:] = b"\xaa" * 30
        path.write_bytes(bytes(whole))
        with pytest.raises(NotDicom):
            decode(path)
