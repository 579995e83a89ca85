"""README's first hour by its own commands: from an empty Debian, a checkout and the package registry to results in Orthanc, without torch.

What pip fetches is fetched beforehand: the Debian has no network but loopback, and its seconds are those without the download.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from inference.applications.mr_brain.application import APPLICATION
from tests.lab.debian import System, system
from tests.lab.empty_debian import empty_debian
from tests.lab.installed import ROOT, copied, placed, size
from tests.lab.loopback import loopback_only
from tests.lab.node import models
from tests.lab.orthanc import Orthanc
from tests.lab.program import Program, wait_until
from tests.lab.took import timed
from tests.lab.wheelhouse import of_debian

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.registry, pytest.mark.timeout(1800)]

MOST_BYTES = 700e6
MOST_SECONDS = 60
_PORT = 11112
_CHECKOUT = "/mnt/tree"
_PIP = "export PIP_NO_INDEX=1 PIP_FIND_LINKS=/mnt/house PIP_DISABLE_PIP_VERSION_CHECK=1"
_ACTIVATE = ". hilum/bin/activate"


def _step(number: int) -> str:
    """A numbered step of README's first hour."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^\*\*{number}\. .*?(?=^\*\*\d\. |^## )", text, re.MULTILINE | re.DOTALL)
    return str(found)


def _block(number: int, language: str = "") -> str:
    """The first block of a step."""
    found = re.search(rf"^```{language}\n(.*?)^```", _step(number), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


class Reader:
    """Somebody who types what README says into one shell of an empty Debian."""

    def __init__(self, debian: System) -> None:
        self.debian = debian
        self.before = [_PIP, f"cd {_CHECKOUT}"]

    def type(self, *lines: str) -> str:
        """What the commands printed; the first that fails ends them."""
        return self.debian.done("sh", "-ec", "\n".join((*self.before, *lines)), timeout_s=900)

    def words(self, *line: str) -> list[str]:
        """What runs a last command that does not end by itself."""
        return self.debian.command("sh", "-ec", "\n".join((*self.before, *line)))


def _fetch(exchange: Path) -> None:
    """A checkout, and beside it what pip and the demo would fetch, for the Python of Debian."""
    copied(exchange)
    shutil.copytree(of_debian(), exchange / "house", copy_function=placed)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """In a Debian of its essential packages, apt and python3-venv, step 1 of README is done but for its demo."""
    folder = tmp_path_factory.mktemp("hour")
    with system(folder / "debian", empty_debian(folder / "root", "python3-venv")) as debian, loopback_only():
        _fetch(debian.exchange)
        there = Reader(debian)
        # of several names dash looks for the first alone
        assert debian.run("sh", "-c", "for name in gcc sudo curl orthanc pip; do command -v $name; done").stdout == ""
        *installing, _ = _block(1).splitlines()
        with timed() as took:
            there.type(*installing)
        held = size(debian.exchange / "tree" / "hilum")
        print(f"\ninstalled in {took}: {held / 1e6:.0f} MB")
        assert held < MOST_BYTES
        assert took.processor_s < MOST_SECONDS
        there.before.append(_ACTIVATE)
        yield there


@pytest.fixture(scope="module")
def study(reader: Reader) -> str:
    """The demo of step 1 was run; the folder of the images that it sent."""
    command = _block(1).splitlines()[-1].partition("#")[0]
    with timed() as took:
        reader.type(command)
    print(f"\n{command}: {took}")
    assert took.processor_s < MOST_SECONDS
    assert list((reader.debian.exchange / "tree" / "hilum-demo").glob("seg-*.dcm"))
    assert reader.debian.run(f"{_CHECKOUT}/hilum/bin/python", "-c", "import torch").returncode == 1
    return f"{_CHECKOUT}/hilum-demo/input"


def _configure(file: Path, pacs: Orthanc) -> None:
    """Steps 2, 3 and 5 with the addresses of this place, and the application that needs no torch in the route."""
    yaml = YAML(typ="safe")
    settings: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"))
    for number in (2, 3, 5):
        settings |= yaml.load(_block(number, "yaml"))
    settings["peers"]["pacs"] |= {"ae_title": pacs.aet, "address": f"127.0.0.1:{pacs.dicom_port}"}
    (route,) = settings["routes"]
    route["run"] = ["hippocampus"]
    with file.open("w", encoding="utf-8") as written:
        yaml.dump(settings, written)


def test_steps_2_to_8_end_with_results_in_orthanc(reader: Reader, study: str, tmp_path: Path) -> None:
    """A node of one's own: made, configured, given its model, checked, served; a study sent; mask, report and page in the archive."""
    (made,) = re.findall(r"`(hilum init [^`]+)`", _step(2))
    (bring,) = re.findall(r"`(hilum models import hippocampus)`", _step(4))
    checks = _block(7).replace("/path/to/a/study", study).splitlines()
    serve, send, *looks = _block(8).replace("/path/to/a/study", study).splitlines()
    assert (serve, len(checks), len(looks)) == ("hilum serve", 3, 2)
    with Orthanc(tmp_path / "pacs", node_port=_PORT) as pacs, timed() as took:
        reader.type(made)
        reader.before.append(f"cd {made.rpartition(' ')[2]}")
        _configure(reader.debian.exchange / "tree" / "mynode" / "hilum.yaml", pacs)
        reader.type(bring, *checks)
        out = tmp_path / "out"
        node = Program(reader.words(f"exec {serve}"), tmp_path / "events", stdout=out)
        try:
            wait_until(lambda: "node.ready" in out.read_text() or not node.running, 240, "node.ready")
            assert node.running, node.said()
            reader.type(send)
            pacs.wait_for(
                lambda studies: {"SEG", "SR", "OT"} <= {series.modality for one in studies for series in one.series}, 240, "results"
            )
            wait_until(lambda: "done" in reader.type(*looks), 60, "the job is done", every_s=2)
        finally:
            code = node.stop(180)
    print(f"\nfrom `hilum init` to results in Orthanc: {took}")
    assert code == 0, node.said()


def test_a_copied_repository_serves_mr_brain_without_torch(reader: Reader, study: str) -> None:
    """What was imported where torch is (here) is ONNX: 1.91 L for the published head, as deepbet's own program says."""
    assert study
    repository = models(("mr-brain",))
    for model in APPLICATION.models:
        shutil.copytree(repository / model.name, reader.debian.exchange / "models" / model.name)
    with timed() as took:
        said = reader.type(f"cd {_CHECKOUT}", "hilum demo --application mr-brain --out /mnt/brain --json --models /mnt/models")
    print(f"\nmr-brain without torch: {took}")
    shown: dict[str, Any] = YAML(typ="safe").load(said)
    (volume,) = shown["measurements"]
    assert volume["value"] == pytest.approx(1910.11, rel=1e-3)
