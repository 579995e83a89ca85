"""Findings as bytes: what a job keeps between `inferred` and `encoded`. Standard library and numpy only.

Layout: the magic line, the length of the header (8 bytes, little endian), the header (canonical JSON: codes, numbers, sentences and, for
each mask, its shape, packed length and SHA-256), then one zlib stream per mask (bits packed in C order, most significant first).
"""

import hashlib
import json
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.codes import Code
from inference.errors import HilumError
from inference.findings import Evaluation, Findings, Measurement, Segment

MAGIC = b"hilum-findings 1\n"
COMPRESSION_LEVEL = 1
"""Masks are long runs: level 1 packs them 50 to 200 times already, and the higher levels cost seconds on a whole head."""


class FindingsFileDamaged(HilumError):
    """The stored findings of a job cannot be read back."""

    code = "HLM-5090"
    remedy = "Check the disk that holds the blobs, then `hilum jobs retry JOB`: the series is analysed again."


def dumps(findings: Findings) -> bytes:
    """Same findings, same bytes.

    Raises
    ------
    ValueError
        A measurement is not a finite number, or a mask is not (Z, Y, X).
    """
    header, packed = _header(findings)
    streams = [zlib.compress(bits, COMPRESSION_LEVEL) for bits in packed]
    lengths = struct.pack(f"<{len(streams)}Q", *map(len, streams))
    return b"".join([MAGIC, struct.pack("<Q", len(header)), header, lengths, *streams])


def loads(data: bytes) -> Findings:
    """The findings that `dumps` wrote; every mask is checked against its SHA-256.

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
    """SHA-256 (hex) of the header, which names every mask by its own SHA-256: independent of the zlib that wrote the file."""
    header, _ = _header(findings)
    return hashlib.sha256(header).hexdigest()


def _header(findings: Findings) -> tuple[bytes, list[bytes]]:
    packed = [_pack(segment.mask) for segment in findings.segments]
    document = {
        "segments": [
            {
                "label": segment.label,
                "shape": list(segment.mask.shape),
                "bytes": len(bits),
                "sha256": hashlib.sha256(bits).hexdigest(),
                "category": _code(segment.category),
                "type": _code(segment.type),
                "rgb": [int(channel) for channel in segment.rgb],
                "finding_site": _code(segment.finding_site),
                "laterality": _code(segment.laterality),
            }
            for segment, bits in zip(findings.segments, packed, strict=True)
        ],
        "measurements": [
            {
                "name": _code(measurement.name),
                "value": float(measurement.value),
                "unit": _code(measurement.unit),
                "segment": measurement.segment,
                "derivation": _code(measurement.derivation),
            }
            for measurement in findings.measurements
        ],
        "evaluations": [
            {"finding": _code(evaluation.finding), "value": _code(evaluation.value), "finding_site": _code(evaluation.finding_site)}
            for evaluation in findings.evaluations
        ],
        "remarks": list(findings.remarks),
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode(), packed


def _pack(mask: NDArray[np.bool_]) -> bytes:
    if mask.ndim != 3:
        raise ValueError(f"a mask has the axes (Z, Y, X), not the shape {mask.shape}")
    return np.packbits(np.ascontiguousarray(mask, dtype=np.bool_)).tobytes()


def _parse(data: memoryview) -> Findings:
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError("not a findings file of version 1")
    at = len(MAGIC) + 8
    (size,) = struct.unpack("<Q", data[len(MAGIC) : at])
    document: dict[str, Any] = json.loads(bytes(data[at : at + size]))
    at += size
    count = len(document["segments"])
    lengths = struct.unpack(f"<{count}Q", data[at : at + 8 * count])
    at += 8 * count
    segments = []
    for entry, length in zip(document["segments"], lengths, strict=True):
        segments.append(_segment(entry, data[at : at + length]))
        at += length
    if at != len(data):
        raise ValueError(f"{len(data)} bytes where {at} were written")
    return Findings(
        segments=tuple(segments),
        measurements=tuple(
            Measurement(
                name=_a_code(entry["name"]),
                value=entry["value"],
                unit=_a_code(entry["unit"]),
                segment=entry["segment"],
                derivation=_maybe_code(entry["derivation"]),
            )
            for entry in document["measurements"]
        ),
        evaluations=tuple(
            Evaluation(finding=_a_code(entry["finding"]), value=_a_code(entry["value"]), finding_site=_maybe_code(entry["finding_site"]))
            for entry in document["evaluations"]
        ),
        remarks=tuple(document["remarks"]),
    )


def _segment(entry: dict[str, Any], stream: memoryview) -> Segment:
    # the stated length bounds the output: a damaged stream cannot fill the memory
    inflate = zlib.decompressobj()
    bits = inflate.decompress(stream, entry["bytes"] + 1)
    if hashlib.sha256(bits).hexdigest() != entry["sha256"]:
        raise ValueError(f'the mask of "{entry["label"]}" differs from its SHA-256')
    shape = tuple(entry["shape"])
    mask = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=int(np.prod(shape))).reshape(shape).view(np.bool_)
    red, green, blue = entry["rgb"]
    return Segment(
        label=entry["label"],
        mask=mask,
        category=_a_code(entry["category"]),
        type=_a_code(entry["type"]),
        rgb=(red, green, blue),
        finding_site=_maybe_code(entry["finding_site"]),
        laterality=_maybe_code(entry["laterality"]),
    )


def _code(code: Code | None) -> list[str] | None:
    return None if code is None else [code.value, code.scheme, code.meaning]


def _a_code(entry: list[str]) -> Code:
    return Code(*entry)


def _maybe_code(entry: list[str] | None) -> Code | None:
    return None if entry is None else Code(*entry)
