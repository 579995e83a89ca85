"""From the wheel and the package registry to a result, as a new operator does it: megabytes, and seconds without the download."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inference.applications.mr_brain.application import APPLICATION
from inference.engines.weights_import import import_models
from tests.lab.installed import ROOT, Environment, size, wheel

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.timeout(1800)]

MOST_BYTES = 700e6
MOST_SECONDS = 60


@dataclass(slots=True)
class Took:
    """What a step cost: by the clock, which others share, and of processors."""

    wall_s: float = 0.0
    processor_s: float = 0.0


@contextmanager
def timed() -> Iterator[Took]:
    """Measure what runs below in processes of its own."""
    took, began, before = Took(), time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    yield took
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took.wall_s = time.monotonic() - began
    took.processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh environment into which pip put the wheel with `embedded` and `demo`, in the versions of constraints.txt."""
    folder = tmp_path_factory.mktemp("fetched")
    built = wheel(folder / "dist")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "hilum")], check=True, timeout=300)
    (folder / "home").mkdir()
    there = Environment(folder=folder / "hilum", home=folder / "home")
    asked = ("install", "--quiet", "--disable-pip-version-check", f"{built}[embedded,demo]", "-c", ROOT / "constraints.txt")
    said = there.run("pip", *asked, timeout_s=1500)
    assert said.returncode == 0, said.stderr[-2000:]
    return there


def _demo(there: Environment, out: Path, *words: object) -> tuple[dict[str, Any], Took]:
    with timed() as took:
        said = there.run("hilum", "demo", "--out", out, "--json", *words, timeout_s=900)
    assert said.returncode == 0, said.stdout[-2000:] + said.stderr[-2000:]
    shown: dict[str, Any] = json.loads(said.stdout)
    return shown, took


def test_the_hippocampus_in_a_minute_and_700_megabytes(fetched: Environment, tmp_path: Path) -> None:
    """A real head's crop in, both parts and their report out, without torch; seconds of processors, for the clock is shared."""
    _, took = _demo(fetched, tmp_path / "out", "--application", "hippocampus")
    held = size(fetched.folder)
    print(f"\n{held / 1e6:.0f} MB installed; hippocampus in {took.wall_s:.0f} s, {took.processor_s:.0f} s of processors")
    assert list((tmp_path / "out").glob("seg-*.dcm"))
    assert held < MOST_BYTES
    assert took.processor_s < MOST_SECONDS
    assert fetched.run("python", "-c", "import torch").returncode == 1


def test_a_copied_repository_serves_mr_brain_without_torch(fetched: Environment, tmp_path: Path) -> None:
    """What was imported where torch is (here) is ONNX: 1.91 L for the published head, as deepbet's own program says."""
    import_models(APPLICATION, tmp_path / "models")
    shown, took = _demo(fetched, tmp_path / "out", "--application", "mr-brain", "--models", tmp_path / "models")
    print(f"\nmr-brain without torch in {took.wall_s:.0f} s, {took.processor_s:.0f} s of processors")
    (volume,) = shown["measurements"]
    assert volume["value"] == pytest.approx(1910.11, rel=1e-3)
