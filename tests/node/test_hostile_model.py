"""Hostile models in the real node: laid into the repository by hand, digest and all. Their jobs end by name, the others' are done."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from inference.engines.execution import Execution, Runtime, installed
from inference.engines.measured import Measured, measured_to_json
from inference.engines.processors import machine
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import wait_until
from tests.node.test_bundle import _bundle, _series
from tests.unit.engines.sieve import hostile

pytest.importorskip("monai")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

_PATIENCE_S = 300


_LOOP = """
    most = Constant <value_int = 9223372036854775807> ()
    true = Constant <value = bool {{1}}> ()
    two = Concat <axis = 1> (INPUT__0, INPUT__0)
    OUTPUT__0 = Loop <
        body = again (int64 i, bool go, {axes} was) => (bool on, {axes} now) {{ {body} on = Identity (go) }}
    > (most, true, two)
"""
_ENDLESS = "now = Mul (was, was)"
_GREEDY = """
    half = Constant <value_ints = [536870912]> ()
    size = Add (half, i)
    much = ConstantOfShape <value = float[1] {1}> (size)
    sum = ReduceSum <keepdims = 0> (much)
    now = Add (was, sum)
"""
"""Makes 2 GiB, twice of what a model may have here, over and over."""


def _graph(body: str) -> bytes:
    """ONNX from INPUT__0 to OUTPUT__0, as the bundle's own network has them, with a loop that has no end."""
    from onnx import parser

    loop = _LOOP.format(axes="float[n, 2, z, y, x]", body=body)
    text = (
        f'<ir_version: 8, opset_import: ["" : 17]> hostile (float[n, 1, z, y, x] INPUT__0) => (float[n, 2, z, y, x] OUTPUT__0) {{{loop}}}'
    )
    return bytes(parser.parse_model(text).SerializeToString())


def _beside(honest: Path, name: str, content: bytes, runtime: Runtime) -> None:
    """A model like one that was imported, with other weights, every digest that says so, and measured to be computed by `runtime`."""
    model = honest.with_name(name)
    shutil.copytree(honest, model)
    imported = model / "1/model.pt"
    file = imported.name if runtime is Runtime.TORCH else "model.onnx"
    words = {
        hashlib.sha256(imported.read_bytes()).hexdigest(): hashlib.sha256(content).hexdigest(),
        imported.name: file,
        honest.name: name,
        honest.name.replace("_", "-"): name.replace("_", "-"),
    }
    imported.unlink()
    for path in [path for path in model.rglob("*") if path.is_file()]:
        text = path.read_text()
        for before, after in words.items():
            text = text.replace(before, after)
        path.write_text(text)
    (model / "1" / file).write_bytes(content)
    listed = json.loads((model / "hilum.json").read_text())
    entry = listed["versions"]["1"]
    # what the honest one answers
    del entry["golden"]
    entry["embedded"] = measured_to_json(
        Measured(
            execution=Execution(runtime=runtime),
            machine=machine(),
            threads=1,
            seconds={},
            difference=0.0,
            dice=None,
            versions={runtime.value: installed(runtime) or ""},
            shapes=(),
        )
    )
    (model / "hilum.json").write_text(json.dumps(listed))


def test_their_jobs_end_and_the_worker_s_next_study_is_done(tmp_path: Path) -> None:
    """One that writes, two that never end, two that eat memory, each a bundle's model, computed by torch, onnxruntime and OpenVINO: after
    them all the same worker does the honest one's job, and the next study's; what would be written is never written."""
    mark = tmp_path / "written-by-a-model"
    repository = tmp_path / "models"
    endless, greedy = ("endless-ct", "endless-vino-ct"), ("greedy-ct", "greedy-vino-ct")
    settings = configuration(
        tmp_path,
        port=0,
        repository=repository,
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(tmp_path / "results")}},
        routes=[
            {"name": "all CT", "when": {"Modality": "CT"}, "run": ["hostile-ct", "bright-ct"], "send": ["results"]},
            {"name": "the first", "when": {"PatientID": "ONE"}, "run": [*endless, *greedy], "send": ["results"]},
        ],
        engines={"default": {"memory": "1GiB"}},
        applications={**{name: {"attempts": 1, "timeout": "5s"} for name in endless}, **{name: {"attempts": 1} for name in greedy}},
    )
    node = Node(settings, tmp_path)
    said = hilum(
        "models",
        "import",
        _bundle(tmp_path / "bright_ct.zip", 0.5),
        "--repository",
        repository,
        "--licence",
        "MIT",
        "--no-tune",
    )
    assert said.code == 0, said.out + said.err
    honest = repository / "bright_ct"
    _beside(honest, "hostile_ct", hostile.scripted(hostile.Writes(str(mark))), Runtime.TORCH)
    for content, names in ((_graph(_ENDLESS), endless), (_graph(_GREEDY), greedy)):
        for name, runtime in zip(names, (Runtime.ONNXRUNTIME, Runtime.OPENVINO), strict=True):
            _beside(honest, name.replace("-", "_"), content, runtime)
    first = [("bright-ct", "done"), ("hostile-ct", "parked"), *((name, "failed") for name in (*endless, *greedy))]
    second = [("bright-ct", "done"), ("hostile-ct", "parked")]
    with node:
        for patient, expected in (("ONE", first), ("TWO", first + second)):
            said = hilum("send", _series(tmp_path / patient, patient), "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER")
            assert said.code == 0, said.out + said.err

            def ended(expected: list[tuple[str, str]] = expected) -> bool:
                return sorted((job["application"], job["state"]) for job in node.jobs()) == sorted(expected)

            wait_until(ended, _PATIENCE_S, "the honest jobs are done and the others have ended")
        codes = {job["application"]: job["code"] for job in node.jobs()}
        refused = [job["reason"] for job in node.jobs() if job["state"] == "parked"]
    assert codes["hostile-ct"] == "HLM-4111"
    assert all("torch.save, which is not on the list" in reason for reason in refused)
    # the engine's deadline, or the analysis's own
    assert {codes[name] for name in endless} <= {"HLM-4002", "HLM-4080"}
    assert {codes[name] for name in greedy} == {"HLM-4034"}
    assert not mark.exists()
