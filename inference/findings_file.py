"""Findings as bytes: what a job keeps between `inferred` and `encoded`. Standard library and numpy only.

Layout: the magic line, the length of the header (8 bytes, little endian), the header (canonical JSON: each finding under the name of its
class; in place of an array its dtype, shape, length and SHA-256), the lengths of the streams, then one zlib stream per array, in the
order in which the header names them. Masks are bits packed in C order, most significant first; other arrays are little endian, in C order.
"""

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.codes import Code
from inference.errors import HilumError
from inference.findings import (
    Box,
    Caution,
    Deformation,
    DerivedImage,
    Earlier,
    Evaluation,
    Explanation,
    Findings,
    Line,
    Location,
    Measurement,
    Point,
    PointInSpace,
    PredictionInterval,
    Quality,
    Registration,
    Saliency,
    Segment,
    SegmentPoint,
    Span,
    Uncertainty,
)
from inference.segment_mask import empty_mask, held_mask
from inference.translatable import Translatable

MAGIC = b"hilum-findings 2\n"
PACKED, RAW = 1, 0
"""zlib levels. Masks are long runs: level 1 packs them 50 to 200 times already, and the higher levels cost seconds on a whole head. Maps
and images are noise to it."""

_CLASSES = {
    one.__name__: one
    for one in (
        *(Findings, Segment, Measurement, Evaluation, Location, Quality, SegmentPoint),
        *(Box, Point, Line, PointInSpace, Span, Saliency, DerivedImage, Registration, Deformation),
        *(Explanation, Uncertainty, Caution, Earlier, PredictionInterval, Code),
    )
}
_Met: TypeAlias = Callable[[bytes, bool], None]
"""Is given the bytes of an array, and whether they are packed bits."""

_IS = "is"
_ARRAY = "array"
_SAID = "Said"
_DTYPES = frozenset({"|b1", "|u1", "<i2", "<u2", "<f4", "<f8"})


class FindingsFileDamaged(HilumError):
    """The stored findings of a job cannot be read back."""

    code = "HLM-5090"
    remedy = "Check the disk that holds the blobs, then `hilum jobs retry JOB`: the series is analysed again."


def written(findings: Findings) -> tuple[bytes, str]:
    """The bytes of findings, and their digest: each array is looked at once. Same findings, same bytes.

    Raises
    ------
    ValueError
        A number is not finite, or a mask is not (Z, Y, X).
    """
    streams: list[bytes] = []
    # as each array is met: the bits of a hundred masks are never there together
    header = _header(findings, lambda content, packed: streams.append(zlib.compress(content, PACKED if packed else RAW)))
    lengths = struct.pack(f"<{len(streams)}Q", *map(len, streams))
    return b"".join([MAGIC, struct.pack("<Q", len(header)), header, lengths, *streams]), hashlib.sha256(header).hexdigest()


def dumps(findings: Findings) -> bytes:
    """The bytes alone: `written`."""
    return written(findings)[0]


def as_stored(findings: Findings) -> Findings:
    """The findings as their file gives them back: numbers as plain ones. Arrays, which it keeps bit by bit, are those that were given."""
    bare = replace(
        findings,
        segments=tuple(replace(one, mask=np.zeros((0, *one.shape[1:]), dtype=np.bool_)) for one in findings.segments),
        saliencies=tuple(replace(one, values=one.values[:0]) for one in findings.saliencies),
        derived=tuple(replace(one, voxels=one.voxels[:0]) for one in findings.derived),
        explanations=tuple(replace(one, values=one.values[:0]) for one in findings.explanations),
        uncertainties=tuple(replace(one, values=one.values[:0]) for one in findings.uncertainties),
    )
    plain = loads(dumps(bare))
    return replace(
        plain,
        segments=tuple(replace(one, mask=held_mask(given)) for one, given in zip(plain.segments, findings.segments, strict=True)),
        saliencies=tuple(replace(one, values=given.values) for one, given in zip(plain.saliencies, findings.saliencies, strict=True)),
        derived=tuple(replace(one, voxels=given.voxels) for one, given in zip(plain.derived, findings.derived, strict=True)),
        explanations=tuple(replace(one, values=given.values) for one, given in zip(plain.explanations, findings.explanations, strict=True)),
        uncertainties=tuple(
            replace(one, values=given.values) for one, given in zip(plain.uncertainties, findings.uncertainties, strict=True)
        ),
    )


def loads(data: bytes) -> Findings:
    """The findings that `dumps` wrote; every array is checked against its SHA-256.

    Raises
    ------
    FindingsFileDamaged
        The bytes are cut off, changed, or of another format.
    """
    try:
        return _parse(memoryview(data))
    except (ValueError, KeyError, TypeError, struct.error, zlib.error) as damage:
        raise FindingsFileDamaged(f"the stored findings cannot be read: {damage}") from damage


def digest(findings: Findings) -> str:
    """SHA-256 (hex) of the header, which names every array by its own SHA-256: independent of the zlib that wrote the file."""
    header = _header(findings, lambda content, packed: None)
    return hashlib.sha256(header).hexdigest()


def _header(findings: Findings, met: _Met) -> bytes:
    """The header; `met` is given the bytes of each array."""
    for segment in findings.segments:
        if len(segment.shape) != 3:
            raise ValueError(f"a mask has the axes (Z, Y, X), not the shape {segment.shape}")
    return json.dumps(_plain(findings, met), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _plain(value: Any, met: _Met) -> Any:
    """A finding, or a part of one, as JSON has it; `met` is given the bytes of arrays in the order in which they come."""
    if isinstance(value, Translatable):
        values = [[name, _plain(each, met)] for name, each in value.values.items()]
        return {_IS: _SAID, "template": value.template, **({"values": values} if values else {})}
    if isinstance(value, np.ndarray):
        little = value if value.dtype == np.bool_ else value.astype(value.dtype.newbyteorder("<"), copy=False)
        if little.dtype.str not in _DTYPES:
            raise ValueError(f"an array of {value.dtype} has no place in findings")
        content = _bytes(little)
        met(content, little.dtype == np.bool_)
        return {
            _IS: _ARRAY,
            "dtype": little.dtype.str,
            "shape": list(little.shape),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    if isinstance(value, tuple | list):
        return [_plain(each, met) for each in value]
    if is_dataclass(value):
        said = {field.name: getattr(value, field.name) for field in fields(value)}
        # what says nothing is left out: a field that a later version adds changes no digest of findings without it
        return {_IS: type(value).__name__, **{name: _plain(each, met) for name, each in said.items() if not _silent(each)}}
    return value.item() if isinstance(value, np.generic) else value


def _silent(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, tuple) and not value)


def _bytes(array: NDArray[Any]) -> bytes:
    contiguous = np.ascontiguousarray(array)
    return np.packbits(contiguous).tobytes() if contiguous.dtype == np.bool_ else contiguous.tobytes()


def _parse(data: memoryview) -> Findings:
    magic = bytes(data[: len(MAGIC)])
    if magic != MAGIC:
        raise ValueError("not a findings file of version 2")
    at = len(MAGIC) + 8
    (size,) = struct.unpack("<Q", data[len(MAGIC) : at])
    document: dict[str, Any] = json.loads(bytes(data[at : at + size]))
    at += size
    entries = list(_arrays(document))
    lengths = struct.unpack(f"<{len(entries)}Q", data[at : at + 8 * len(entries)])
    at += 8 * len(entries)
    for entry, length in zip(entries, lengths, strict=True):
        entry["stream"] = data[at : at + length]
        at += length
    if at != len(data):
        raise ValueError(f"{len(data)} bytes where {at} were written")
    findings = _read(document)
    if not isinstance(findings, Findings):
        raise TypeError(f"{document.get(_IS)} where findings belong")
    return findings


def _arrays(value: Any) -> Iterator[dict[str, Any]]:
    """The entries of arrays in a document, in the order in which the writer met them: that of the classes' fields."""
    if isinstance(value, list):
        for each in value:
            yield from _arrays(each)
    elif isinstance(value, dict):
        if value[_IS] == _ARRAY:
            yield value
        elif value[_IS] != _SAID:
            for field in fields(_CLASSES[value[_IS]]):
                yield from _arrays(value.get(field.name))


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_read(each) for each in value)
    if not isinstance(value, dict):
        return value
    if value[_IS] == _ARRAY:
        return _array(value)
    if value[_IS] == _SAID:
        return Translatable(value["template"], dict(_read(value.get("values", []))))
    return _CLASSES[value[_IS]](**{name: _read(each) for name, each in value.items() if name != _IS})


def _array(entry: dict[str, Any]) -> NDArray[Any]:
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"an array of {entry['dtype']}")
    # the stated length bounds the output: a damaged stream cannot fill the memory
    content = zlib.decompressobj().decompress(entry["stream"], entry["bytes"] + 1)
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise ValueError("an array differs from its SHA-256")
    dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
    if dtype == np.bool_:
        return _unpacked(np.frombuffer(content, dtype=np.uint8), math.prod(shape)).reshape(shape)
    # a copy: what is read back can be written to, like what was found
    return np.frombuffer(content, dtype=dtype).reshape(shape).copy()


_PAGE = 4096
"""Bytes that the system gives at a time; an eighth of it are the packed bits that fill them."""


def _unpacked(packed: NDArray[np.uint8], count: int) -> NDArray[np.bool_]:
    """`count` values of packed bits. What holds none takes no memory: the system gives pages of zeros only once they are written to."""
    made = empty_mask((count,)).view(np.uint8)
    whole = count // _PAGE
    held = packed[: whole * _PAGE // 8].reshape(whole, _PAGE // 8).any(axis=1)
    edges = np.flatnonzero(np.diff(held, prepend=False, append=False))
    for first, last in edges.reshape(-1, 2) * _PAGE:
        made[first:last] = np.unpackbits(packed[first // 8 : last // 8])
    made[whole * _PAGE :] = np.unpackbits(packed[whole * _PAGE // 8 :], count=count - whole * _PAGE)
    return made.view(np.bool_)
