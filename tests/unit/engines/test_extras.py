"""A library of an extra that is not installed is told by its name and the extra's; nothing falls over its import."""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from inference.applications.mr_denoise.preparing import head_of
from inference.applications.mr_register.application import analyse
from inference.engines.errors import LibraryNotInstalled
from inference.engines.execution import Execution, Runtime, reference
from inference.engines.exporting import convert
from inference.engines.extras import EXTRAS, demand
from inference.engines.modelconfig import parse_text
from node.cli.ending import unforeseen
from tests.unit.engines.models import CONFIG

ROOT = Path(__file__).parents[3]
_DISTRIBUTIONS = {"SimpleITK": "simpleitk", "grpc": "tritonclient[grpc]", "tritonclient": "tritonclient[grpc]"}
NET = CONFIG.format(name="net", backend="pytorch", batch=4, input="INPUT__0", output="OUTPUT__0", dims="1, 4, 4, 4")


def without(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """As if it were not installed."""
    monkeypatch.setitem(sys.modules, library, None)


def test_every_extra_brings_what_is_said_of_it() -> None:
    """By pyproject.toml; and all of them are here, so that these tests prove something."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.optional-dependencies]")[2]
    for library, extra in EXTRAS.items():
        line = re.search(rf"^{extra} = \[(.*)\]$", text, re.MULTILINE)
        assert line is not None, extra
        assert f'"{_DISTRIBUTIONS.get(library, library)}' in line[1], library
        assert find_spec(library) is not None


def test_what_is_there_is_demanded_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the absent one is told."""
    demand("this", *EXTRAS)
    without(monkeypatch, "monai")
    with pytest.raises(LibraryNotInstalled, match=r"^this needs monai, which is not installed: hilum's extra `torch` brings it$"):
        demand("this", *EXTRAS)


def test_a_registration_without_simpleitk_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine's error: the job waits, and succeeds once it is installed."""
    without(monkeypatch, "SimpleITK")
    with pytest.raises(LibraryNotInstalled, match=r"mr-register needs SimpleITK.*`register`") as absent:
        analyse(None, lambda *_: {})  # type: ignore[arg-type]
    assert absent.value.retry
    with pytest.raises(LibraryNotInstalled, match=r"mr-denoise needs SimpleITK.*`register`"):
        head_of(np.zeros((4, 4, 4)))


def test_a_conversion_says_what_writes_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.export by onnxscript, TorchScript by torch alone."""
    config = parse_text(NET, "net", "here")
    without(monkeypatch, "onnxscript")
    with pytest.raises(LibraryNotInstalled, match=r'"net" as ONNX needs onnxscript.*`torch`'):
        convert(config, ".pt2", b"", "onnx")
    without(monkeypatch, "torch")
    with pytest.raises(LibraryNotInstalled, match=r'"net" as ONNX needs torch.*`torch`'):
        convert(config, ".pt", b"", "onnx")


def test_onnx_is_onnxruntime_s_where_that_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with onnxruntime alone computes by it, and does not say that it stands in for another."""
    assert reference(Path("model.onnx")) == Execution(runtime=Runtime.OPENVINO)
    without(monkeypatch, "openvino")
    assert reference(Path("model.onnx")) == Execution(runtime=Runtime.ONNXRUNTIME)
    without(monkeypatch, "onnxruntime")
    assert reference(Path("model.onnx")) == Execution(runtime=Runtime.OPENVINO)


def test_an_import_that_nobody_foresaw_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches the end of a verb: a library of an extra is no defect of hilum's; another one is."""
    absent = unforeseen(ModuleNotFoundError("No module named 'onnx.helper'", name="onnx.helper"), ("models", "import"))
    assert (absent.code, "needs onnx" in str(absent), "`torch`" in str(absent)) == ("HLM-4001", True, True)
    assert unforeseen(ModuleNotFoundError("No module named 'oops'", name="oops"), ("models", "import")).code == "HLM-2120"
