"""TorchScript files are read as text before anything loads them: what is refused, with its line, and that honest networks are not."""

import io
import zipfile
from pathlib import Path

import pytest
import torch
from monai.networks import nets

from inference.engines.errors import HostileModel, UnreadableModel
from inference.engines.sieve.scripted import sift_script
from inference.engines.sieve.sieve import sift
from inference.engines.sieve.walking import refuse_operators
from inference.engines.torch_model import load_scripted
from tests.unit.engines.sieve import hostile

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning", "ignore::DeprecationWarning:torch.*")

HEAD = """class Honest(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : NoneType
  def forward(self: __torch__.tests.unit.engines.sieve.hostile.Honest,
    image: Tensor) -> Tensor:
"""
"""Of the honest module; what stands behind it are the lines from 8 on."""


def test_the_hostile_models_are_hostile(tmp_path: Path) -> None:
    """Loaded by torch alone, the one writes when it is loaded and the other when it is called: what follows refuses something real."""
    loaded, called = tmp_path / "loaded", tmp_path / "called"
    torch.jit.load(io.BytesIO(hostile.scripted(hostile.Twice(str(loaded)))))  # type: ignore[no-untyped-call]
    torch.jit.load(io.BytesIO(hostile.scripted(hostile.Writes(str(called)))))(torch.zeros(hostile.IMAGE))  # type: ignore[no-untyped-call]
    assert loaded.is_file()
    assert called.is_file()


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (hostile.Twice("/tmp/never"), r"line \d+: the method __getstate__|line \d+: the method __setstate__"),
        (hostile.Writes("/tmp/never"), r"line \d+: the operator torch\.save, which is not on the list"),
        (hostile.Reads("/etc/passwd"), r"line \d+: the operator torch\.from_file, which is not on the list"),
        (hostile.Forks(), r"line \d+: (fork\(…\)|the operator torch\.wait), which is not on the list"),
    ],
    ids=["at load", "writes", "reads", "forks"],
)
def test_a_program_is_refused_with_its_line(module: torch.nn.Module, said: str) -> None:
    """The member, the line and the name stand in the sentence."""
    with pytest.raises(HostileModel, match=said) as refused:
        sift("model.pt", hostile.scripted(module), "liver.ts")
    assert "liver.ts: code/__torch__/tests/unit/engines/sieve/hostile.py" in str(refused.value)
    assert "bundle" in refused.value.remedy


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('    return ops.aten.from_file("/etc/passwd", False, 64)\n', "line 8: the operator ops.aten.from_file"),
        ("    return ops.other.run(image)\n", "line 8: the operator ops.other.run"),
        ("    return torch.jit.load(image)\n", "line 8: the operator torch.jit.load"),
        ("    x = torch.save\n    return x(image)\n", r"line 9: x\(…\), which is not on the list"),
        ("    return torch.mul(image, torch.save)\n", r"line 8: torch\.save, which is passed on"),
        ('    return ("/etc/passwd").from_file(False, 64)\n', "line 8: the method from_file"),
        ("    return __torch__.torch.classes.quantized.X.unpack(image)\n", r"line 8: __torch__\.torch\.classes\."),
        ("    return __torch__.elsewhere.f(image)\n", r"line 8: __torch__\.elsewhere\.f, which the archive does not hold"),
        ("    return unknown(image)\n", r"line 8: unknown\(…\)"),
        ("    return (lambda: image)()\n", "line 8: a call of what another call gave"),
        ("    return [x for x in image]\n", "line 8: ListComp"),
        ("    import os\n    return image\n", "line 8: Import"),
        ("    return image # fine\n", "line 8 has a comment"),
        ("    return image.__class__\n", "line 8: the attribute __class__"),
        ("    x = image.set_data\n    return image\n", "line 8: the attribute set_data"),
        ("    return image; torch.save(image)\n", "line 8 has a comment, a string or a sign"),
        ('    return torch.add(image, """\n""")\n', "line 8 has a comment, a string"),
        ("    x = rpc_async(image)\n    return image\n", "line 8: rpc_async"),
        ("    x : Future[Tensor] = image\n    return image\n", "line 8: Future"),
        (f"    return {'(' * 80}image{')' * 80}\n", "line 8 is nested deeper than 60"),
        ("    return \u0456mage\n", "a character at byte"),
        ("    return image\nclass Other(Interface):\n  pass\n", "line 9: class Other, which is an interface"),
        ("    return image\ntorch.save(1)\n", "line 9: a statement outside"),
        ("    return image\n  def __del__(self: Tensor) -> None:\n    return None\n", "line 9: a method __del__"),
    ],
)
def test_text_that_computes_nothing_is_refused(lines: str, said: str) -> None:
    """Written by hand into an archive, whatever torch itself would make of it."""
    with pytest.raises(HostileModel, match=said):
        sift("model.pt", hostile.with_code(HEAD + lines))


def test_text_that_computes_is_taken() -> None:
    """The frame of the cases above is no reason of theirs."""
    sift("model.pt", hostile.with_code(HEAD + "    return torch.mul(image, 2.)\n"))


def test_data_that_names_a_program_is_refused(tmp_path: Path) -> None:
    """A pickle of an archive may name classes of its code and tensors, and nothing else."""
    mark = tmp_path / "mark"
    content = hostile.with_member(hostile.scripted(hostile.Honest()), "/data.pkl", lambda _: hostile.malicious_pickle(mark))
    with pytest.raises(HostileModel, match=r"data\.pkl asks for .*, which is not on the list"):
        sift("model.pt", content)
    assert not mark.exists()


def test_a_checkpoint_is_told_where_it_belongs(tmp_path: Path) -> None:
    """A state dict is data, and needs its network: the sentence says where it comes in."""
    file = tmp_path / "model.pt"
    torch.save({"weight": torch.zeros(2)}, file)
    for content in (file.read_bytes(), hostile.malicious_pickle(tmp_path / "mark")):
        with pytest.raises(UnreadableModel, match=r"bring-a-model\.md"):
            sift("model.pt", content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda good: good + b"more", "bytes behind the end"),
        (
            lambda good: hostile.two_directories(good, good),
            "a central directory that does not end where|second end|bytes that belong to no file",
        ),
        (lambda good: hostile.with_members(good, ("code/__torch__.py", b""), ("CODE/__torch__.py", b"")), "two files of the name"),
        (lambda good: hostile.with_members(good, ("data.pkl", b"")), "two files of the name"),
        (lambda good: hostile.with_members(good, ("CODE/__torch__/other.py", b"")), "holds CODE/__torch__/other.py, which is no part"),
        (lambda good: hostile.with_members(good, ("model.json", b"{}")), r"holds model\.json, which is no part"),
        (lambda good: hostile.with_members(good, ("bytecode.pkl", b"")), r"holds bytecode\.pkl"),
        (lambda good: hostile.with_members(good, ("code/../../x.py", b"")), "a file with the name"),
        (lambda good: hostile.renamed_end(good, b"constants.pkl", b"constants.pkx"), "the two headers of"),
        (lambda good: hostile.lying_size(good, 1 << 31), "and would become|two sizes"),
        (lambda _: hostile.bomb(200), "and would become"),
    ],
    ids=["behind", "two directories", "case", "twice", "other case", "legacy", "bytecode", "climbs", "headers", "size", "bomb"],
)
def test_tricks_of_archives_are_refused(content: object, said: str) -> None:
    """What two readers could read in two ways is read by none."""
    assert callable(content)
    with pytest.raises(HostileModel, match=said):
        sift("model.pt", content(hostile.scripted(hostile.Honest())))


def test_every_cut_of_a_file_is_a_sentence() -> None:
    """However much of it arrived: refused, never an error of a library."""
    good = hostile.scripted(hostile.Honest())
    for end in range(0, len(good), 97):
        with pytest.raises((HostileModel, UnreadableModel)):
            sift("model.pt", good[:end])


def test_the_compiled_program_is_read_once_more() -> None:
    """Without the first sieve, the walk over what torch compiled refuses the same operators, also behind functions that are called."""
    for module, kind in (
        (hostile.Writes("/tmp/never"), "aten::save"),
        (hostile.Reads("/etc/passwd"), "aten::from_file"),
        (hostile.Forks(), "prim::fork"),
    ):
        loaded = torch.jit.load(io.BytesIO(hostile.scripted(module)))  # type: ignore[no-untyped-call]
        with pytest.raises(HostileModel, match=kind):
            refuse_operators(loaded, "it")
        with pytest.raises(HostileModel, match=kind):
            load_scripted(Path("model.pt"), hostile.scripted(module))


@pytest.mark.parametrize(
    "network",
    [
        nets.UNet(spatial_dims=3, in_channels=1, out_channels=2, channels=(4, 8), strides=(2,)),
        nets.SegResNet(spatial_dims=3, in_channels=1, out_channels=2, init_filters=8),
        nets.DynUNet(3, 1, 2, [3, 3, 3], [1, 2, 2], [2, 2], filters=[4, 8, 8]),
    ],
    ids=lambda network: type(network).__name__,
)
@pytest.mark.parametrize("way", ["script", "trace", "frozen"])
def test_honest_networks_pass_both_readings(network: torch.nn.Module, way: str) -> None:
    """Networks of the kind that bundles hold, scripted, traced and frozen: neither reading refuses one."""
    network = network.eval()
    module = torch.jit.trace(network, torch.zeros(1, 1, 32, 32, 32), check_trace=False) if way == "trace" else torch.jit.script(network)  # type: ignore[no-untyped-call]
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.freeze(module) if way == "frozen" else module, buffer)
    sift_script(buffer.getvalue(), "net.ts")
    refuse_operators(torch.jit.load(io.BytesIO(buffer.getvalue())), "net.ts")  # type: ignore[no-untyped-call]


def test_published_archives_are_read() -> None:
    """Python's own zip writer, too, with compressed members: an archive is judged by what is in it."""
    made = io.BytesIO()
    good = hostile.scripted(hostile.Honest())
    with zipfile.ZipFile(io.BytesIO(good)) as before, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            after.writestr(name, before.read(name))
    sift("model.pt", made.getvalue())
