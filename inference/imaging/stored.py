"""Frames of an instance as stored values, one at a time, whatever the transfer syntax; what the values mean is said in `decode`.

Uncompressed pixels are read straight from the file into the array that keeps them; compressed ones go through pydicom's decoders.
"""

import hashlib
import struct
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from inference.errors import quoted
from inference.imaging import tags
from inference.imaging.errors import Truncated, UndecodablePixels, UnsupportedSyntax
from inference.imaging.header import UNDEFINED_LENGTH, Instance, PixelFormat
from inference.imaging.jpeg_extended import decode_extended

Values: TypeAlias = NDArray[Any]

REVERSIBLE = frozenset(
    {RLELossless, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless, HTJ2KLosslessRPCL},
)
"""Codecs that give every bit back, the unused ones too; a lossy one may overshoot its bits and must not be masked."""

PREFERRED = {
    RLELossless: "pylibjpeg",
    JPEGLSLossless: "pyjpegls",
    JPEG2000: "gdcm",
    JPEG2000Lossless: "gdcm",
}
"""The fastest plug-in where several decode a syntax, measured on CT (ms per 512 x 512 slice: JPEG 2000 gdcm 15, openjpeg 22; JPEG-LS
pyjpegls 4, gdcm 5; RLE pylibjpeg 1, pydicom 3); the others are asked when it fails. None of them releases the interpreter lock."""

CODEC_ERRORS = (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError)
"""What pydicom and its plug-ins raise on damaged streams, by fuzzing."""

ITEM, SEQUENCE_END = 0xFFFEE000, 0xFFFEE0DD


class StoredFrames:
    """The frames of one instance as stored values, one at a time, from any number of threads.

    Stored values are what PS3.5 8.1.1 says: BitsStored bits below HighBit, sign extended; unused high bits (old overlays) are masked.

    Raises
    ------
    Truncated, UndecodablePixels, UnsupportedSyntax
        On opening: the compressed frames are not all there, or nothing here decodes the transfer syntax.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._pixels = instance.pixels
        self._encoded: list[bytes] = []
        self._inflated: bytes | None = None
        syntax = self._pixels.transfer_syntax
        if syntax.is_encapsulated:
            _decoder(syntax, instance.sop_instance_uid)
            self._encoded = self._split()
        elif syntax == DeflatedExplicitVRLittleEndian:
            self._inflated = bytes(dcmread(instance.path)[self._pixels.tag].value)

    def read(self, frame: int, out: Values | None) -> Values:
        """The stored values (Y, X) of a greyscale frame (0-based), in `out` where that is given (its dtype must be the stored one)."""
        dtype = stored_dtype(self._pixels)
        if out is None:
            out = np.empty((self._pixels.rows, self._pixels.columns), dtype=dtype)
        if self._encoded:
            out[...] = self.decoded(frame, raw=True).astype(dtype, copy=False)
        else:
            self._fill(frame, out)
        if not self._encoded or self._pixels.transfer_syntax in REVERSIBLE:
            _mask_unused_bits(out, self._pixels)
        return out

    def rgb(self, frame: int) -> Values:
        """A frame (0-based) of a colour instance as RGB, (Y, X, 3); palette indices stay what they are, (Y, X)."""
        if self._encoded:
            return self.decoded(frame, raw=False)
        raw = np.empty(self._pixels.frame_bytes, dtype=np.uint8)
        self._fill(frame, raw)
        array, _ = get_decoder(ExplicitVRLittleEndian).as_array(raw.tobytes(), index=0, **_options(self._pixels))
        return array

    def _fill(self, frame: int, out: Values) -> None:
        """Bytes of an uncompressed frame, without a copy in between."""
        pixels = self._pixels
        raw = out.reshape(-1).view(np.uint8).data
        start = frame * pixels.frame_bytes
        if self._inflated is not None:
            raw[:] = self._inflated[start : start + pixels.frame_bytes]
        else:
            with self.instance.path.open("rb", buffering=0) as file:
                file.seek(pixels.offset + start)
                got = 0
                while got < len(raw):
                    count = file.readinto(raw[got:])
                    if not count:
                        raise Truncated(f"{self.instance.sop_instance_uid} ends inside frame {frame + 1}")
                    got += count
        if pixels.big_endian and out.itemsize > 1:
            out.byteswap(inplace=True)

    def _split(self) -> list[bytes]:
        """The encoded frames; every item is checked to be complete, so that a cut-off file is not decoded in part."""
        pixels, uid = self._pixels, self.instance.sop_instance_uid
        with self.instance.path.open("rb") as file:
            file.seek(pixels.offset)
            value = file.read()
        _check_items(value, uid)
        try:
            frames = list(generate_frames(value, number_of_frames=pixels.frames))
        except (ValueError, EOFError) as broken:
            raise UndecodablePixels(f"the frames of {uid} cannot be told apart: {quoted(broken)}") from broken
        if len(frames) < pixels.frames:
            raise Truncated(f"{uid} holds {len(frames)} of {pixels.frames} frames")
        return frames

    def key(self, frame: int, *, raw: bool) -> str:
        """What a decoded frame is remembered under: a digest of its compressed bytes and of how they are decoded."""
        pixels = self._pixels
        how = f"1 {raw} {pixels.transfer_syntax} {sorted(_options(pixels).items())}"
        digest = hashlib.sha256(how.encode())
        digest.update(self._encoded[frame])
        return digest.hexdigest()

    def decoded(self, frame: int, *, raw: bool) -> Values:
        """A compressed frame as the codec gives it, remembered or decoded now; with `raw` colours stay as they were encoded."""
        memory = self.instance.decoded
        remembered = None if memory is None else memory.recall(self.key(frame, raw=raw))
        return self._decode(frame, raw=raw) if remembered is None else remembered

    def _decode(self, frame: int, *, raw: bool) -> Values:
        pixels, uid = self._pixels, self.instance.sop_instance_uid
        if pixels.transfer_syntax == JPEGExtended12Bit and pixels.bits_stored > 8:
            return self._decode_extended(frame)
        decoder = _decoder(pixels.transfer_syntax, uid)
        value = encapsulate([self._encoded[frame]], has_bot=False)
        preferred = PREFERRED.get(pixels.transfer_syntax, "")
        reason: BaseException | None = None
        for plugin in dict.fromkeys((preferred, "")):
            try:
                return decoder.as_array(value, index=0, raw=raw, decoding_plugin=plugin, **_options(pixels))[0]
            # the RLE codec is written in Rust: its panic on a damaged stream is no Exception, and has no name to import
            except BaseException as broken:
                if not isinstance(broken, CODEC_ERRORS) and type(broken).__name__ != "PanicException":
                    raise
                reason = broken
        last = (str(reason).strip().splitlines() or [type(reason).__name__])[-1].strip()
        raise UndecodablePixels(f"frame {frame + 1} of {uid} cannot be decoded: {quoted(last)}") from reason

    def _decode_extended(self, frame: int) -> Values:
        pixels, name = self._pixels, f"frame {frame + 1} of {self.instance.sop_instance_uid}"
        if pixels.signed or pixels.samples != 1 or pixels.bits_allocated != 16:
            raise UndecodablePixels(f"{name} is in JPEG Extended, which holds 12-bit samples of greyscale without a sign (PS3.5 8.2.1)")
        return decode_extended(self._encoded[frame], pixels.rows, pixels.columns, name)


def stored_dtype(pixels: PixelFormat) -> np.dtype[Any]:
    """The dtype of the stored values."""
    if pixels.tag == tags.FLOAT_PIXEL_DATA:
        return np.dtype(np.float32)
    if pixels.tag == tags.DOUBLE_FLOAT_PIXEL_DATA:
        return np.dtype(np.float64)
    return np.dtype(f"{'i' if pixels.signed else 'u'}{max(pixels.bits_allocated // 8, 1)}")


def _mask_unused_bits(values: Values, pixels: PixelFormat) -> None:
    """Drop the bits above HighBit and those below the lowest stored one; signed values are sign extended."""
    if pixels.bits_stored < pixels.bits_allocated and values.dtype.kind != "f":
        np.left_shift(values, pixels.bits_allocated - 1 - pixels.high_bit, out=values)
        np.right_shift(values, pixels.bits_allocated - pixels.bits_stored, out=values)


def _check_items(value: bytes, uid: str) -> None:
    """Walk the items of encapsulated pixel data (PS3.5 A.4): each must be whole, and the sequence must be ended."""
    at = 0
    while at + 8 <= len(value):
        group, element, length = struct.unpack_from("<HHI", value, at)
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            return
        if tag != ITEM or length == UNDEFINED_LENGTH:
            raise UndecodablePixels(f"the compressed pixel data of {uid} is not a sequence of items (byte {at})")
        at += 8 + length
    raise Truncated(f"{uid} ends inside its compressed pixel data")


def _decoder(syntax: UID, uid: str) -> Decoder:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as unknown:
        raise UnsupportedSyntax(f"{uid} is in {syntax.name}, which is not decoded here") from unknown
    if not decoder.is_available:
        raise UnsupportedSyntax(f"{uid} is in {syntax.name}, for which no decoder is installed")
    return decoder


def _options(pixels: PixelFormat) -> dict[str, Any]:
    return {
        "rows": pixels.rows,
        "columns": pixels.columns,
        "number_of_frames": 1,
        "samples_per_pixel": pixels.samples,
        "planar_configuration": pixels.planar,
        "bits_allocated": pixels.bits_allocated,
        "bits_stored": pixels.bits_stored,
        "pixel_representation": int(pixels.signed),
        "photometric_interpretation": pixels.photometric,
        "pixel_keyword": "PixelData",
        "pixel_vr": "OW" if pixels.bits_allocated > 8 else "OB",
    }
