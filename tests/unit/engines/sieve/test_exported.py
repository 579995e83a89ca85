"""torch.export files: the places where torch evaluates text, looks names up or unpickles, each closed before it is loaded."""

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks import nets

from inference.engines.errors import HostileModel, UnreadableModel
from inference.engines.sieve.sieve import sift
from tests.unit.engines.sieve import hostile


def guarded(mark: Path) -> bytes:
    """A program whose guard, which torch evaluates as Python, writes a file."""

    def change(program: dict[str, Any]) -> None:
        program["guards_code"] = [f"__import__('pathlib').Path({str(mark)!r}).write_text('was run') >= 0"]

    return hostile.with_program(change)


@pytest.mark.slow
def test_the_hostile_program_is_hostile(tmp_path: Path) -> None:
    """Loaded and called by torch alone, a guard runs as Python: torch.export's files are programs, whatever they are called."""
    mark = tmp_path / "mark"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.load(io.BytesIO(guarded(mark))).module()
        program(torch.zeros(2, 1, 8, 8))
    assert mark.read_text() == "was run"


def node(program: dict[str, Any]) -> dict[str, Any]:
    """The node that doubles."""
    found: dict[str, Any] = program["graph_module"]["graph"]["nodes"][-1]
    return found


def shapes(text: str) -> Callable[[dict[str, Any]], None]:
    """Puts an expression into the shape of a tensor."""

    def change(program: dict[str, Any]) -> None:
        said = json.dumps(program)
        place = said.index('"expr_str": ')
        end = said.index('"', place + len('"expr_str": "'))
        program.update(json.loads(said[:place] + f'"expr_str": {json.dumps(text)}' + said[end + 1 :]))

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda program: node(program).update(target="torch.load"), r"calls 'torch\.load'"),
        (lambda program: node(program).update(target="torch.ops.aten.from_file.default"), "from_file"),
        # aliases and lengths that torch does not check: memory beyond the tensor's
        (lambda program: node(program).update(target="torch.ops.aten._reshape_alias.default"), "_reshape_alias"),
        (lambda program: node(program).update(target="torch.ops.aten.segment_reduce.default"), "segment_reduce"),
        (lambda program: node(program).update(target="torch.ops.aten.native_batch_norm.default"), "native_batch_norm"),
        (lambda program: node(program).update(target="torch.ops.aten._native_batch_norm_legit.default"), "_native_batch_norm_legit"),
        (lambda program: node(program).update(target="torch.ops.aten.ctc_loss.IntList"), "ctc_loss"),
        (lambda program: node(program).update(target="torch.os.system"), r"calls 'torch\.os\.system'"),
        (lambda program: node(program).update(target="_operator.methodcaller"), "methodcaller"),
        (lambda program: node(program).update(target="#other:run"), "#other:run"),
        (lambda program: node(program)["inputs"][1].update(arg={"as_operator": "torch.load"}), "has as_operator"),
        (lambda program: node(program)["inputs"][1].update(arg={"as_custom_obj": {"name": "x", "class_fqn": "y"}}), "has as_custom_obj"),
        (lambda program: node(program).update(name="x\nimport os"), "for a name"),
        (lambda program: program.update(guards_code=["[x for x in ()] == 1"]), "guards_code holds"),
        (lambda program: program.update(guards_code=["L['image'].data_ptr() >= 3"]), "guards_code holds"),
        (shapes("__import__('os').system('true')"), "expr_str holds"),
        (shapes("Symbol('x').func.__globals__"), "expr_str holds"),
        # nested deeper than Python writes it out again
        (shapes("a" + "()" * 1500), "expr_str holds"),
        (shapes("a" + ".size()" * 580 + ".x"), "expr_str holds"),
        (lambda program: program["graph_module"].update(treespec_namedtuple_fields={"a": ["b"]}), "classes of another program"),
        (
            lambda program: program["graph_module"]["module_call_graph"][0]["signature"].update(
                in_spec='[1, {"type": "builtins.dict", "context": "{\\"__enum__\\": true, \\"fqn\\": \\"os:x\\"}", "children_spec": []}]'
            ),
            "keys of a dictionary",
        ),
        (
            lambda program: program["graph_module"]["module_call_graph"][0]["signature"].update(
                in_spec='[1, {"type": "collections.defaultdict", "context": "null", "children_spec": []}]'
            ),
            "no tuple, list or dictionary",
        ),
    ],
)
def test_what_torch_would_evaluate_is_refused(change: Callable[[dict[str, Any]], None], said: str) -> None:
    """Each place by itself, in a program that is honest elsewhere."""
    with pytest.raises(HostileModel, match=said):
        sift("model.pt2", hostile.with_program(change))


def test_pickled_constants_are_refused(tmp_path: Path) -> None:
    """A constant that says that it is an object is unpickled by torch: it does not come that far."""
    mark = tmp_path / "mark"

    def change(_: bytes) -> bytes:
        return json.dumps(
            {"config": {"c": {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}}}
        ).encode()

    content = hostile.with_member(hostile.exported(), "model_constants_config.json", change)
    content = hostile.with_members(content, ("data/constants/opaque_obj_0", hostile.malicious_pickle(mark)))
    with pytest.raises(HostileModel, match="opaque_obj_0, which is no part"):
        sift("model.pt2", content)
    assert not mark.exists()


def test_a_library_inside_is_refused() -> None:
    """torch.export's archives may hold compiled code: not here."""
    content = hostile.with_members(hostile.exported(), ("data/aotinductor/model/x.so", b"\x7fELF"))
    with pytest.raises(HostileModel, match=r"data/aotinductor/model/x\.so, which is no part"):
        sift("model.pt2", content)


def test_the_older_format_is_refused() -> None:
    """Archives of torch before 2.8 are read by another loader, which takes pickles: they are written anew."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("archive/version", "8.2")
        archive.writestr("archive/serialized_exported_program.json", "{}")
    with pytest.raises(UnreadableModel, match=r"torch 2\.8"):
        sift("model.pt2", made.getvalue())


def test_norms_without_running_values_pass() -> None:
    """What an instance norm is taken apart into: nothing is written but the answer."""
    sift(
        "model.pt2",
        hostile.with_program(lambda program: node(program).update(target="torch.ops.aten._native_batch_norm_legit.no_stats")),
    )


@pytest.mark.slow
def test_honest_programs_pass() -> None:
    """Networks as the export of a bundle and of a recipe writes them."""
    sift("model.pt2", hostile.exported())
    for network in (
        nets.UNet(spatial_dims=2, in_channels=1, out_channels=2, channels=(4, 8), strides=(2,)),
        nets.SegResNet(spatial_dims=2, in_channels=1, out_channels=2, init_filters=8),
        nets.BasicUNet(2, 1, 2, features=(4, 4, 8, 8, 8, 4)),
    ):
        example = torch.zeros(2, 1, 64, 64)
        axes = {0: torch.export.Dim("batch", min=1, max=4), 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
        buffer = io.BytesIO()
        torch.export.save(torch.export.export(network.eval(), (example,), dynamic_shapes=(axes,)), buffer)
        sift("model.pt2", buffer.getvalue())
