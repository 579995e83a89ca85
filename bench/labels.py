"""Many labels of a large image: a network of 25 channels of random weights over 512 x 512 x 400 voxels, and the objects of 117 structures.

Each is done in a process of its own that is watched with the processes it starts: what they hold of their own, together, at the most.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.encode import encoder, memory_mib
from bench.made import series
from bench.masks import SLICES, blobs, ellipsoid
from bench.rows import Row, say

CHANNELS, STRUCTURES, PATCH = 25, 117, (128, 128, 128)
MOST_GB, MOST_MIB = 4.0, 600.0
_LOOK_EVERY_S = 0.05


def _network(folder: Path) -> None:
    """A trained-model folder of nnU-Net whose weights are random, its voxels those of the series."""
    import torch

    from inference.applications.bundle.nnunet.importing import Trained, import_nnunet
    from inference.applications.bundle.nnunet.networks import UNet
    from inference.applications.bundle.nnunet.plans import read_plans
    from tests.unit.applications.bundle.nnunet_plans import dataset, plans

    names = [f"vertebrae {level}" for level in ("C1", "C2", "C3", "C4", "C5", "C6", "C7", *(f"T{n}" for n in range(1, 13)))]
    names += [f"vertebrae L{n}" for n in range(1, 6)]
    said = plans(patch=PATCH, scheme="CTNormalization", spacing=(1.0, 0.7, 0.7))
    labels = dataset("CT", **{name: number for number, name in enumerate(names, start=1)})
    assert len(labels["labels"]) == CHANNELS, "with the background"
    torch.manual_seed(25)
    state = UNet(read_plans(said, "3d_fullres").architecture, 1, CHANNELS).state_dict()
    trained = folder / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    (trained / "fold_0").mkdir(parents=True)
    (trained / "plans.json").write_text(json.dumps(said))
    (trained / "dataset.json").write_text(json.dumps(labels))
    facts = {"trainer_name": "bench", "init_args": {"configuration": "3d_fullres"}, "inference_allowed_mirroring_axes": None}
    torch.save({"network_weights": state, **facts}, trained / "fold_0" / "checkpoint_final.pth")
    import_nnunet(trained, Trained(name="made", orientation="LPS"), folder / "models")


def _served(folder: Path) -> Callable[[], object]:
    """The analysis of the series, from its files on."""
    from bench.embedded import _Direct
    from inference.applications.bundle.manifest import FILE, application
    from inference.engines.embedded.engine import EmbeddedEngine
    from inference.imaging.assemble import assemble

    analysis = application(folder / "models" / "made" / "1" / FILE)

    def whole() -> object:
        with closing(EmbeddedEngine(folder / "models")) as engine:
            return analysis.analyse(assemble(sorted((folder / "series").iterdir())), _Direct(engine))

    return whole


def _encoded(folder: Path) -> Callable[[], object]:
    """Objects of findings that were stored, from the file of the findings on."""

    from inference import codes, findings_file
    from inference.applications.bundle.finish import masks_of
    from inference.findings import Findings, Segment
    from inference.imaging.assemble import assemble
    from node.domain.profile import ARCHIVE, VIEWER

    files = sorted((folder / "series").iterdir())
    labels = np.zeros((SLICES, *(2 * (512,))), dtype=np.uint16)
    for number, box in enumerate(blobs(STRUCTURES), start=1):
        labels[box][ellipsoid(box)] = number
    masks = masks_of(labels, range(1, STRUCTURES + 1))
    segments = [
        Segment(label=f"part {number}", mask=mask, category=codes.TISSUE, type=codes.LUNG, rgb=(200, number, 90))
        for number, mask in masks.items()
    ]
    stored = findings_file.dumps(Findings(segments=tuple(segments)))
    del masks, segments, labels
    volume = assemble(files)

    objects = encoder(files, volume, profiles=(VIEWER, ARCHIVE))

    def whole() -> object:
        findings = findings_file.loads(stored)
        return objects(findings, findings_file.digest(findings))

    return whole


_TASKS = {"served": _served, "encoded": _encoded}


class _Watch:
    """The most that this process and its children hold of their own at a time, in MiB."""

    def __init__(self) -> None:
        self.most = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        this = psutil.Process()
        while not self._over.wait(_LOOK_EVERY_S):
            self.most = max(self.most, sum(map(_own_mib, (this, *this.children(recursive=True)))))

    def close(self) -> None:
        """Watch no more."""
        self._over.set()
        self._thread.join()


def _own_mib(process: psutil.Process) -> float:
    """Its share of memory (PSS): what processes share is divided among them."""
    try:
        held = process.memory_full_info()
    except psutil.Error:
        return 0.0
    return float(held.pss) / 2**20


def alone(task: str, folder: Path) -> None:
    """Measure one task in this process; one JSON line on stdout."""
    whole = _TASKS[task](folder)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before_mib, began = memory_mib("VmRSS"), time.perf_counter()
    with closing(_Watch()) as watch:
        made = whole()
    took_s = time.perf_counter() - began
    assert made is not None
    said = {"before": before_mib, "own": memory_mib("VmHWM"), "all": max(watch.most, memory_mib("VmHWM")), "s": took_s}
    print(json.dumps(said))


def _measured(task: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.labels", task, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def measure() -> list[Row]:
    """One run of each: both are of minutes."""
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as place:
        folder = Path(place)
        (folder / "series").mkdir()
        series(folder / "series", SLICES)
        say("encoding 117 structures")
        encoded = _measured("encoded", folder)
        say("a network of 25 channels")
        _network(folder)
        served = _measured("served", folder)
    size = f"512² × {SLICES}"
    grown = encoded["own"] - encoded["before"]
    return [
        Row(
            name=f"labels: {STRUCTURES} structures of {size} encoded in two forms: memory above the volume",
            value=grown,
            unit="MiB",
            goal=f"below {MOST_MIB:.0f} MiB",
            met=grown < MOST_MIB,
        ),
        Row(name=f"labels: {STRUCTURES} structures of {size} encoded in two forms", value=encoded["s"], unit="s"),
        Row(
            name=f"labels: {CHANNELS} channels over {size}, at its own voxels: all processes",
            value=served["all"] / 1024,
            unit="GiB",
            goal=f"{MOST_GB:.0f} GB at the most",
            met=served["all"] * 2**20 <= MOST_GB * 1e9,
        ),
        Row(name=f"labels: {CHANNELS} channels over {size}: the analysis's process", value=served["own"] / 1024, unit="GiB"),
        Row(name=f"labels: {CHANNELS} channels over {size}", value=served["s"], unit="s"),
    ]


if __name__ == "__main__":
    alone(sys.argv[1], Path(sys.argv[2]))
