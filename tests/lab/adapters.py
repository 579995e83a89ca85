"""OHIF's own adapters under Node: what the viewer makes of a segmentation's frames and of a report's regions, without a browser.

The npm packages are fetched once into `.peers/` and bundled there, as a web page would be: their modules resolve in bundlers only.
`adapters.mjs` is what runs in Node: one process answers all that a process of the tests asks, for the bundle takes longer to load than what
is asked of it.
"""

import json
import os
import select
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from tests.lab.cache import alone_in
from tests.lab.loopback import outside
from tests.lab.needs import absent, program

VERSION = "5.14.0"
# the runtime is what @cornerstonejs/adapters imports without naming it among its dependencies
_ALSO = ("@babel/runtime@7.28.4", "esbuild@0.25.10")
_ENTRY = """
export * as core from '@cornerstonejs/core';
export { adaptersPMAP, adaptersSEG, adaptersSR } from '@cornerstonejs/adapters';
export { default as dcmjs } from 'dcmjs';
"""
# what a browser or a newer Node has by itself
_BANNER = (
    "import { createRequire as requiring } from 'node:module'; import { webcrypto } from 'node:crypto';"
    "const require = requiring(import.meta.url); globalThis.crypto ??= webcrypto;"
)
_SCRIPT = Path(__file__).with_name("adapters.mjs")
_TIMEOUT_S = 240
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")


class AdaptersRefused(Exception):
    """The adapters raised: the viewer would show an error, or nothing. Holds their words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """A segmentation as the viewer holds it.

    Attributes
    ----------
    masks
        Segment number → (N, rows, columns) bool, in the order of `images`.
    images
        (SOP Instance UID, frame) of each of the N images of the sources, as they were given.
    labels, tracking
        Segment number → SegmentLabel and TrackingUID, as the viewer lists them.
    overlapping
        Whether it needed more than one layer of label images.
    """

    masks: Mapping[int, NDArray[np.bool_]]
    images: Sequence[tuple[str, int]]
    labels: Mapping[int, str]
    tracking: Mapping[int, str]
    overlapping: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A measurement as the viewer holds it: `tool` is "RectangleROI", "Probe", "Length" …; `points_mm` (N, 3) in patient LPS.

    A rectangle's corners come in the tool's order (top left, top right, bottom left, bottom right). `image` is (SOP Instance UID, frame) or
    None where the report names a frame of reference only.
    """

    tool: str
    image: tuple[str, int] | None
    frame_of_reference: str
    points_mm: NDArray[np.float64]
    tracking_uid: str
    finding: tuple[str, str, str]
    """Code value, scheme, meaning."""
    sites: tuple[str, ...]


def modules() -> Path:
    """The folder that holds `lab.mjs`, fetched from npm and bundled when it is not in the cache."""
    with alone_in(f"adapters-{VERSION}") as folder:
        bundle, entry = folder / "lab.mjs", folder / "entry.mjs"
        if not bundle.exists() or entry.read_text() != _ENTRY:
            npm = program("npm", "npm")
            wanted = [f"@cornerstonejs/{name}@{VERSION}" for name in ("adapters", "core", "metadata", "tools")]
            install = [str(npm), "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", *wanted, *_ALSO]
            (folder / "package.json").write_text('{"private": true}\n')
            entry.write_text(_ENTRY)
            with outside():
                done = subprocess.run(install, cwd=folder, capture_output=True, timeout=300, check=False)
            if done.returncode:
                absent(f"@cornerstonejs/adapters@{VERSION}", f"npm install: {done.stderr.decode(errors='replace')[-500:]}")
            bundling = ["node_modules/.bin/esbuild", "entry.mjs", "--bundle", "--format=esm", "--platform=node", "--log-level=error"]
            bundling += ["--main-fields=module,main", f"--banner:js={_BANNER}", "--outfile=unfinished.mjs"]
            done = subprocess.run(bundling, cwd=folder, capture_output=True, timeout=120, check=False)
            assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
            (folder / "unfinished.mjs").rename(bundle)
    return folder


def segments_of(seg: Path, sources: Sequence[Path]) -> Segments:
    """Masks of a segmentation on the images of its sources (in the order given), as the segmentation adapter places them.

    Raises
    ------
    AdaptersRefused
        The adapter cannot show it.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        found = _ask("segmentation", _decoded(seg, out), sources, out)
        images = [(one["instance"], one["frame"]) for one in found["images"]]
        header = pydicom.dcmread(seg, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
        shape = (len(images), int(header.Rows), int(header.Columns))
        layers = [np.frombuffer((out / f"{number}.raw").read_bytes(), dtype=np.uint8).reshape(shape) for number in range(found["layers"])]
    numbers = sorted({int(value) for layer in layers for value in np.unique(layer)} - {0})
    return Segments(
        masks={number: np.logical_or.reduce([layer == number for layer in layers]) for number in numbers},
        images=images,
        labels={one["number"]: one["label"] for one in found["segments"]},
        tracking={one["number"]: one["tracking"] or "" for one in found["segments"]},
        overlapping=found["overlapping"],
    )


def measurements_of(sr: Path, sources: Sequence[Path]) -> list[Annotation]:
    """The annotations that the measurement adapter makes of a report's groups on the images of its sources; [] of groups without a region.

    Raises
    ------
    AdaptersRefused
        The adapter cannot read the report.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = _ask("report", sr, sources, Path(folder))
    places = {one["id"]: (one["instance"], one["frame"]) for one in found["images"]}
    return [
        Annotation(
            tool=one["tool"],
            image=places[one["image"]] if one["image"] else None,
            frame_of_reference=one["frameOfReference"] or "",
            points_mm=np.asarray(one["points"], dtype=np.float64),
            tracking_uid=one["tracking"] or "",
            finding=(one["finding"]["value"], one["finding"]["scheme"], one["finding"]["meaning"]) if one["finding"] else ("", "", ""),
            sites=tuple(one["sites"]),
        )
        for one in found["annotations"]
    ]


def map_of(pmap: Path, sources: Sequence[Path]) -> tuple[NDArray[np.float32], Sequence[tuple[str, int]]]:
    """A Parametric Map as the viewer lays it over the volume of its sources: (N, rows, columns), and (SOP Instance UID, frame) of the N
    slices of that volume, in the order into which the viewer sorts them.

    Raises
    ------
    AdaptersRefused
        The adapter cannot show it.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        found = _ask("map", pmap, sources, out)
        places = {one["id"]: (one["instance"], one["frame"]) for one in found["images"]}
        header = pydicom.dcmread(pmap, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
        values = np.frombuffer((out / "map.raw").read_bytes(), dtype="<f4").reshape(-1, int(header.Rows), int(header.Columns))
    return values, [places[one] for one in found["sorted"]]


def _decoded(seg: Path, folder: Path) -> Path:
    """The viewer decodes JPEG-LS in its image loader, before the adapters: here DCMTK does."""
    syntax = pydicom.filereader.read_file_meta_info(seg).TransferSyntaxUID
    if syntax not in _JPEG_LS:
        return seg
    plain = folder / "decoded.dcm"
    command = [str(program("dcmdjpls", "dcmtk")), str(seg), str(plain)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return plain


def _ask(kind: str, subject: Path, sources: Sequence[Path], out: Path) -> dict[str, Any]:
    request = out / "request.json"
    paths = [str(path.resolve()) for path in sources]
    request.write_text(json.dumps({"object": str(subject.resolve()), "as": kind, "sources": paths, "out": str(out)}))
    said = _loaded(os.getpid()).answer(request)
    if not (out / "found.json").exists():
        raise AdaptersRefused(said[-2000:])
    found: dict[str, Any] = json.loads((out / "found.json").read_text())
    return found


@cache
def _loaded(process: int) -> "_Loaded":
    """The adapters that a process of the tests asks; a fork of it has its own."""
    return _Loaded()


class _Loaded:
    """A process of Node that has loaded the adapters; it ends with the process that asks."""

    def __init__(self) -> None:
        self._node: subprocess.Popen[bytes] | None = None

    def answer(self, request: Path) -> str:
        """Have a request answered, and return what was said beside it; where Node ends over it, the next request starts another one."""
        node = self._started()
        assert node.stdin is not None
        assert node.stdout is not None
        node.stdin.write(f"{request}\n".encode())
        node.stdin.flush()
        said = b""
        while not said.endswith(b"\nanswered\n"):
            readable, _, _ = select.select([node.stdout], [], [], _TIMEOUT_S)
            some = os.read(node.stdout.fileno(), 65536) if readable else b""
            if not some:
                self._end()
                return said.decode(errors="replace") or f"no answer within {_TIMEOUT_S} s"
            said += some
        return said.decode(errors="replace").removesuffix("\nanswered\n")

    def _started(self) -> subprocess.Popen[bytes]:
        if self._node is not None and self._node.poll() is not None:
            self._end()
        if self._node is None:
            self._node = subprocess.Popen(
                [str(program("node", "nodejs")), "--input-type=module", "--eval", _SCRIPT.read_text(encoding="utf-8")],
                cwd=modules(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        return self._node

    def _end(self) -> None:
        if self._node is not None:
            self._node.kill()
            self._node.communicate()
        self._node = None
