"""Segmentations alone: 512 x 512 x 400 with 1, 10 and 117 segments, against plain highdicom given a 3-D label array, its best way.

Each is made in a process of its own, from the ready masks (or labels) and headers to the bytes of the file. The pixels of both are the
same, or nothing is printed. The node has to find out what 117 masks of 105 MB hold; highdicom is given that in one array. So a label map
has no goal: it is little more than a copy of that array.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.encode import memory_mib
from bench.made import SIDE, series
from bench.rows import Row, say
from node.domain.profile import Form, Kind

SLICES = 400
ROUNDS = 3
CASES = ((1, "binary"), (10, "binary"), (117, "binary"), (117, "labelmap"), (117, "labelmap+rle"), (117, "labelmap+jpeg-ls"))
KINDS = ("hilum", "highdicom")
FASTER = 1 / 3

_TALL, _HIGH, _WIDE = 80, 120, 80
_ACROSS, _ON_A_LAYER = 6, 24


def blobs(count: int) -> list[tuple[slice, slice, slice]]:
    """Where each segment lies: boxes of 80 slices, 24 beside each other; a single one fills the body."""
    if count == 1:
        return [(slice(0, SLICES), slice(60, 450), slice(40, 470))]
    boxes = []
    for number in range(count):
        layer, cell = divmod(number, _ON_A_LAYER)
        down, right = divmod(cell, _ACROSS)
        z, y, x = layer * _TALL, down * 128 + 4, right * 85 + 2
        boxes.append((slice(z, z + _TALL), slice(y, y + _HIGH), slice(x, x + _WIDE)))
    return boxes


def ellipsoid(box: tuple[slice, slice, slice]) -> NDArray[np.bool_]:
    """What of a box the segment fills; every slice of it."""
    sides = [each.stop - each.start for each in box]
    z, y, x = np.ogrid[tuple(slice(-1.0 + 1.0 / side, 1.0, 2.0 / side) for side in sides)]
    return np.asarray(z**2 + y**2 + x**2 < 1.0 + 1e-3)


def _encoding(files: Sequence[Path], count: int) -> Any:
    """What the node encodes: masks, headers and the volume."""
    from pydicom import dcmread

    from bench.applications.bench_threshold import APPLICATION
    from inference import codes
    from inference.findings import Findings, Segment
    from inference.imaging.assemble import assemble
    from node.results.port import Encoding

    segments = []
    for number, box in enumerate(blobs(count)):
        mask = np.zeros((SLICES, SIDE, SIDE), dtype=np.bool_)
        mask[box] = ellipsoid(box)
        np.count_nonzero(mask)  # every page of it is there, as those of any mask that was computed
        segments.append(Segment(label=f"part {number}", mask=mask, category=codes.TISSUE, type=codes.LUNG, rgb=(200, number, 90)))
    return Encoding(
        application=APPLICATION,
        findings=Findings(segments=tuple(segments)),
        sources=[dcmread(path, stop_before_pixels=True) for path in files],
        subject=assemble(files),
        at=datetime(2024, 1, 2, tzinfo=UTC),
        input_digest="0" * 64,
        model_digest="1" * 64,
        findings_digest="2" * 64,
        parameters="{}",
        device_uid="2.25.1",
    )


def _hilum(files: Sequence[Path], count: int, form: str) -> Callable[[], bytes]:
    from node.results.identity import encoded, identify
    from node.results.segmentation.frames import numbered
    from node.results.segmentation.make import segmentation
    from node.results.sources import read_sources

    encoding = _encoding(files, count)

    def whole() -> bytes:
        sources = read_sources(encoding)
        identity = identify(encoding, sources, Kind.SEG, "segmentation")
        made = segmentation(encoding, sources, numbered(encoding.findings), Form(form), identity)
        return encoded(Kind.SEG, made.dataset, identity, form, pixels=made.pixels, syntax=made.syntax).data

    return whole


def _read_back(files: Sequence[Path], count: int, form: str) -> Callable[[], bytes]:
    """The node's own check of what it made, voxel by voxel."""
    from node.results.check import check
    from node.results.identity import encoded, identify
    from node.results.segmentation.frames import numbered
    from node.results.segmentation.make import segmentation
    from node.results.sources import read_sources

    encoding = _encoding(files, count)
    sources = read_sources(encoding)
    identity = identify(encoding, sources, Kind.SEG, "segmentation")
    made = segmentation(encoding, sources, numbered(encoding.findings), Form(form), identity)
    one = encoded(Kind.SEG, made.dataset, identity, form, pixels=made.pixels, syntax=made.syntax)

    def whole() -> bytes:
        check([one], encoding, sources)
        return one.data

    return whole


def _highdicom(files: Sequence[Path], count: int, form: str) -> Callable[[], bytes]:
    import highdicom as hd
    from pydicom import dcmread, uid
    from pydicom.sr.codedict import codes

    from inference.imaging.assemble import assemble

    headers = {header.SOPInstanceUID: header for header in (dcmread(path, stop_before_pixels=True) for path in files)}
    images = [headers[source.sop_instance_uid] for source in assemble(files).sources]
    labels = np.zeros((SLICES, SIDE, SIDE), dtype=np.uint8)
    for number, box in enumerate(blobs(count), 1):
        labels[box][ellipsoid(box)] = number
    syntaxes = {"labelmap+rle": uid.RLELossless, "labelmap+jpeg-ls": uid.JPEGLSLossless}

    def whole() -> bytes:
        algorithm = hd.AlgorithmIdentificationSequence(name="bench", version="1", family=codes.DCM.ArtificialIntelligence)
        made = hd.seg.Segmentation(
            source_images=images,
            pixel_array=labels,
            segmentation_type="BINARY" if form == "binary" else "LABELMAP",
            segment_descriptions=[
                hd.seg.SegmentDescription(
                    segment_number=number,
                    segment_label=f"part {number}",
                    segmented_property_category=codes.SCT.Tissue,
                    segmented_property_type=codes.SCT.Lung,
                    algorithm_type="AUTOMATIC",
                    algorithm_identification=algorithm,
                )
                for number in range(1, count + 1)
            ],
            series_instance_uid=hd.UID(),
            series_number=1,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="bench",
            manufacturer_model_name="bench",
            software_versions="1",
            device_serial_number="1",
            transfer_syntax_uid=syntaxes.get(form, uid.ExplicitVRLittleEndian),
        )
        file = BytesIO()
        made.save_as(file)
        return file.getvalue()

    return whole


_TASKS = {"hilum": _hilum, "highdicom": _highdicom, "read back": _read_back}


def _pixels(data: bytes, form: str) -> str:
    """SHA-256 of the pixels, without whatever makes their number even."""
    from pydicom import dcmread

    seg = dcmread(BytesIO(data))
    if form in ("labelmap+rle", "labelmap+jpeg-ls"):
        return hashlib.sha256(seg.pixel_array.tobytes()).hexdigest()
    bits = seg.Rows * seg.Columns * seg.NumberOfFrames * seg.BitsAllocated
    return hashlib.sha256(seg.PixelData[: bits // 8]).hexdigest()


def alone(kind: str, count: int, form: str, folder: Path) -> None:
    """Measure one task in this process; one JSON line on stdout."""
    warnings.simplefilter("ignore")
    files = sorted(folder.iterdir())
    _TASKS[kind](files, 1, "binary")()  # imports, and whatever the libraries keep
    task = _TASKS[kind](files, count, form)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak: assembling has one too
    before_mib = memory_mib("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    data = task()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    grew_mib = memory_mib("VmHWM") - before_mib
    said = {"wall": wall, "cpu": cpu, "grew_mib": grew_mib, "mib": len(data) / 2**20, "pixels": _pixels(data, form)}
    print(json.dumps(said))


def _measured(kind: str, count: int, form: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.masks", kind, str(count), form, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def measure() -> list[Row]:
    """Medians over rounds in which the two take turns."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as place:
        folder = Path(place)
        series(folder, SLICES)
        for count, form in CASES:
            say(f"{count} segments, {form}")
            rounds = [{kind: _measured(kind, count, form, folder) for kind in KINDS} for _ in range(ROUNDS)]
            assert len({one[kind]["pixels"] for one in rounds for kind in KINDS}) == 1, "the two wrote other pixels"
            rows += _rows(f"SEG, {count} segment{'s' if count > 1 else ''}, {form}", rounds, of_bits=form == "binary")
        checked = [_measured("read back", 117, "binary", folder) for _ in range(ROUNDS)]
        name = "SEG, 117 segments, binary: read back and compared, voxel by voxel"
        rows.append(Row(name=name, value=median(one["wall"] for one in checked), unit="s"))
    return rows


def _rows(what: str, rounds: Sequence[dict[str, dict[str, Any]]], *, of_bits: bool) -> list[Row]:
    def both(figure: str) -> tuple[float, float]:
        ours, plain = (median(one[kind][figure] for one in rounds) for kind in KINDS)
        return ours, plain

    (wall, plain_wall), (cpu, plain_cpu), (grew, plain_grew) = both("wall"), both("cpu"), both("grew_mib")
    size = rounds[0]["hilum"]["mib"]
    return [
        Row(
            name=f"{what}: wall",
            value=wall,
            unit="s",
            baseline=plain_wall,
            goal="a third of highdicom alone" if of_bits else "",
            met=wall <= FASTER * plain_wall if of_bits else None,
        ),
        Row(name=f"{what}: CPU", value=cpu, unit="s", baseline=plain_cpu),
        Row(name=f"{what}: memory at the peak, for {size:.1f} MiB", value=grew, unit="MiB", baseline=plain_grew),
    ]


if __name__ == "__main__":
    alone(sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
