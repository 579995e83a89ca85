"""How a training computes: parts of a batch, bf16, too little memory, a disk that fills, several processes and one that is killed.

Nothing here has a GPU: what is CUDA's own is tried as far as tensors without values go.
"""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from inference.imaging.errors import EvenRole
from training import cli
from training.checkpoint import load, save
from training.compute import Compute, Device, Precision, chosen, device_of, is_out_of_memory
from training.data.cases import Split
from training.errors import FullDisk, LossNotFinite, OutOfMemory, UnfitSetting
from training.fit import BEST, LAST, fit
from training.infer import mean_score
from training.networks.over_time import mask_and_phase_loss
from training.networks.periodic import BeatPhases, phases_loss
from training.progress import Silent
from training.ranks import Ranks
from training.recipe import Example
from training.recipes import chest_xray, classification, hippocampus, left_ventricle, restore, segmentation
from training.tasks.segmentation import Segmenter

from .made import crops, noisy, smallest
from .torchrun import two_processes

pytestmark = pytest.mark.timeout(1500)
"""Trainings on a loaded machine."""

ROOT = Path(__file__).parents[2]
ROUNDING = 2e-5
"""Of weights after some steps of AdamW, in whatever order their gradients were added up."""


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def said(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crops(tmp_path_factory.mktemp("made"), count=8)


def four(recipe: Segmenter, data: Path) -> Split:
    """Four cases to learn from: batches of two and four come out even."""
    sides = recipe.sides(data, 0)
    return replace(sides, train=sides.train[:4])


@pytest.fixture(scope="module")
def recipe() -> Segmenter:
    """Two epochs of one batch of four."""
    made = smallest()
    return replace(made, schedule=replace(made.schedule, epochs=2, batch=4))


@pytest.fixture(scope="module")
def sides(recipe: Segmenter, data: Path) -> Split:
    return four(recipe, data)


@pytest.fixture(scope="module")
def whole(recipe: Segmenter, sides: Split, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights that nothing disturbed."""
    return trained(recipe, sides, tmp_path_factory.mktemp("whole"))


def trained(
    recipe: Segmenter, sides: Split, run: Path, compute: Compute | None = None, heard: Silent | None = None
) -> dict[str, torch.Tensor]:
    fit(recipe, sides, run, recipe.schedule, Ranks(compute=compute or Compute()), heard or Silent())
    return weights(run)


def weights(run: Path) -> dict[str, torch.Tensor]:
    state = load(run / LAST)
    assert state is not None
    network: dict[str, torch.Tensor] = state["network"]
    return network


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference of a weight."""
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.slow
def test_parts_of_a_batch_learn_what_the_batch_does(
    recipe: Segmenter, sides: Split, whole: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """One image at a time, and three parts of unlike size: the weights of the whole batch. Two cases less are others: the comparison can
    tell."""
    for parts in (3, 4):
        assert apart(trained(recipe, sides, tmp_path / str(parts), Compute(parts=parts)), whole) < ROUNDING
    fewer = replace(recipe, schedule=replace(recipe.schedule, batch=2))
    assert apart(trained(fewer, sides, tmp_path / "two"), whole) > 10 * ROUNDING
    # parts are no part of what a run is: it is gone on with in others
    fit(recipe, sides, tmp_path / "4", recipe.schedule, Ranks(), Silent())


@pytest.mark.slow
def test_bf16_is_computed_here_and_kept_in_32_bits(recipe: Segmenter, sides: Split, whole: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """On the processor, for real: the convolution gives bf16, the weights stay 32-bit and lie near those of 32-bit arithmetic; and it is
    another run than that."""
    seen: set[torch.dtype] = set()

    class Watched(torch.nn.Conv3d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            answer = super().forward(input)
            if self.training:
                seen.add(answer.dtype)
            return answer

    watched = replace(recipe, network=lambda: Watched(1, 3, 1))
    got = trained(watched, sides, tmp_path, Compute(precision=Precision.BF16))
    assert seen == {torch.bfloat16}
    assert {each.dtype for each in got.values()} == {torch.float32}
    assert 0 < apart(got, whole) < 0.01
    with pytest.raises(Exception, match="bf16"):
        fit(watched, sides, tmp_path, recipe.schedule, Ranks(), Silent())


def short_of_memory(failure: Callable[[], None], fits: Callable[[torch.Size], bool]) -> Callable[[], torch.nn.Module]:
    """A network that fails as memory does, at its own call and in training alone, where an image or a batch is too large."""

    class Short(torch.nn.Conv3d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            if self.training and not fits(input.shape):
                failure()
            return super().forward(input)

    return lambda: Short(1, 3, 1)


def on_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has a total capacity of …")


def of_python() -> None:
    raise MemoryError


def of_the_host() -> None:
    """What torch really says where the host has too little."""
    torch.empty(1 << 60)


@pytest.mark.slow
@pytest.mark.parametrize("failure", [on_a_gpu, of_python, of_the_host])
def test_too_little_memory_is_answered_by_parts(
    failure: Callable[[], None], recipe: Segmenter, sides: Split, whole: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """A batch of four does not fit, two parts do not, four do: said twice, and the weights are those of the whole batch."""
    heard = Heard()
    short = replace(recipe, network=short_of_memory(failure, lambda shape: shape[0] == 1))
    assert apart(trained(short, sides, tmp_path, heard=heard), whole) < ROUNDING
    assert [line.partition("): ")[2] for line in heard.lines] == [f"batches of 4 go in {parts} parts from here on" for parts in (2, 4)]
    assert all("\n" not in line and "()" not in line for line in heard.lines)


@pytest.mark.slow
def test_memory_that_fails_on_the_way_back_is_answered(
    recipe: Segmenter, sides: Split, whole: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """Half of the gradient is there when memory ends: it is begun anew, and counts once."""

    class Short(torch.nn.Conv3d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            answer = super().forward(input)
            if self.training and input.shape[0] > 2:
                answer.register_hook(lambda gradient: on_a_gpu())  # type: ignore[no-untyped-call]
            return answer

    heard = Heard()
    assert apart(trained(replace(recipe, network=lambda: Short(1, 3, 1)), sides, tmp_path, heard=heard), whole) < ROUNDING
    assert len(heard.lines) == 1


@pytest.mark.slow
def test_one_image_that_is_too_large_is_cut_where_the_recipe_may(recipe: Segmenter, sides: Split, tmp_path: Path) -> None:
    """Windows of half the longest side, again and again, until one fits: trained to the end, and said. Where images may not be cut, or
    nothing is left to cut, it ends with HLM-8006 and the run before is whole."""
    heard = Heard()
    short = replace(recipe, network=short_of_memory(on_a_gpu, lambda shape: shape[0] * shape[2:].numel() <= 20_000), cut_by=8)
    trained(short, sides, tmp_path / "cut", heard=heard)
    assert "windows of 24 × 32 × 24 are learned from here on; what is served keeps its own" in heard.lines[-1]
    state = load(tmp_path / "cut" / LAST)
    assert state is not None
    assert state["epoch"] == 2
    for name, by in (("never", 8), ("uncut", 0)):
        run = tmp_path / name
        trained(replace(recipe, schedule=replace(recipe.schedule, epochs=1)), sides, run)
        before = (run / LAST).read_bytes()
        never = replace(short, cut_by=by, network=short_of_memory(on_a_gpu, lambda shape: False))
        with pytest.raises(OutOfMemory, match=r"one image of (16 × 16 × 16|48 × 64 × 48)") as said:
            trained(never, sides, tmp_path / name / "new")
        assert said.value.code == "HLM-8006"
        assert not (run / "new" / LAST).exists()
        assert (run / LAST).read_bytes() == before


@pytest.mark.parametrize(
    "said",
    [
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
    ids=["the CUDA runtime", "cuBLAS", "cuDNN"],
)
def test_what_libraries_of_a_gpu_say_is_a_lack_of_memory(said: Exception) -> None:
    """Workspaces of cuBLAS and cuDNN, and what the CUDA runtime itself allocates, do not come out of torch's own allocator."""
    assert is_out_of_memory(said)


def test_other_errors_are_no_lack_of_memory() -> None:
    """A defect of a network must not be tried again in parts."""
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("can't allocate memory"))
    assert not is_out_of_memory(torch.AcceleratorError("CUDA error: an illegal memory access was encountered"))
    assert not is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(handle)`"))
    with pytest.raises(RuntimeError) as host:
        of_the_host()
    assert is_out_of_memory(host.value)


def test_a_case_that_shows_nothing_of_a_role_is_named(recipe: Segmenter, sides: Split, tmp_path: Path) -> None:
    """Of hundreds of cases the reason named the role alone, in training and where a trained network is asked."""

    def even(*_: Any) -> NoReturn:
        raise EvenRole("FLAIR: every value is the same, as if there were no such image")

    with pytest.raises(EvenRole, match=r"^case made_\d+: FLAIR: every value"):
        trained(replace(recipe, example=even), sides, tmp_path / "run")
    with pytest.raises(EvenRole, match=r"^case made_\d+: FLAIR: every value"):
        mean_score(replace(recipe.application, analyse=even), lambda found, case: {}, "", torch.nn.Identity(), sides.validation)


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_it_and_it_goes_on(
    recipe: Segmenter, sides: Split, whole: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """In the second epoch a case has a voxel without a value: HLM-8007 names it, the epoch before is whole, and mended it ends with the
    weights of a run that nothing disturbed. An exploded loss over sound images is told apart."""
    ill = {"voxel": False}

    def augment(example: Example, seed: int) -> Example:
        made = noisy(example, seed)
        if ill["voxel"]:
            made.image[0, 0, 0, 0] = np.nan
        ill["voxel"] = False
        return made

    class Second(Silent):
        def begun(self, epoch: int, epochs: int, batches: int) -> None:
            ill["voxel"] = epoch == 1

    with pytest.raises(LossNotFinite, match=r"epoch 2, batch 1 of 1: images with values that are no finite numbers, in made_\d+$") as said:
        trained(replace(recipe, augment=lambda: augment), sides, tmp_path / "run", heard=Second())
    assert said.value.code == "HLM-8007"
    state = load(tmp_path / "run" / LAST)
    assert state is not None
    assert state["epoch"] == 1
    assert apart(trained(recipe, sides, tmp_path / "run"), whole) == 0
    steep = replace(recipe, loss=lambda: lambda answer, target: (answer * 0).sum().sqrt())
    with pytest.raises(LossNotFinite, match="epoch 1: the last loss was a finite number, and the weights behind its step are not"):
        trained(steep, sides, tmp_path / "steep")
    assert not (tmp_path / "steep" / LAST).exists()
    exploded = replace(recipe, loss=lambda: lambda answer, target: (answer * 1e38).square().sum())
    with pytest.raises(LossNotFinite, match=r"epoch 1, batch 1 of 1: the loss of made_\d+, .* and their images are"):
        trained(exploded, sides, tmp_path / "exploded")
    assert not (tmp_path / "exploded" / LAST).exists()


FULL = """
import resource, sys
from dataclasses import replace
from pathlib import Path
from tests.training.test_compute import four, smallest
from training.errors import FullDisk
from training.fit import fit
from training.progress import Silent, shown
from training.networks.over_time import mask_and_phase_loss
from training.networks.periodic import BeatPhases, phases_loss
from training.ranks import Ranks
made = smallest()
recipe = replace(made, schedule=replace(made.schedule, epochs=2, batch=4))
run = Path(sys.argv[2])
class Filling(Silent):
    def begun(self, epoch, epochs, batches):
        if epoch == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    fit(recipe, four(recipe, Path(sys.argv[1])), run, recipe.schedule, Ranks(), Filling())
except FullDisk as full:
    print(full.code, full)
try:
    with shown(run / "tensorboard") as progress:
        for epoch in range(200):
            progress.epoch(epoch, {"loss": 1.0}, False)
except FullDisk as full:
    print(full.code, full)
"""


@pytest.mark.slow
def test_a_disk_that_fills_leaves_the_epoch_before(
    data: Path, recipe: Segmenter, sides: Split, whole: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """The kernel takes no more of a file in the second epoch, neither of a checkpoint nor of TensorBoard's: HLM-8008 with the file's name,
    nothing half written is left, and with room again it ends with the weights of a run that nothing disturbed."""
    run = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(data), str(run)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=1200
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 2
    assert all(line.endswith(" could not be written: File too large; what lay there before is whole") for line in said)
    assert said[0].startswith((f"HLM-8008 {run / BEST}", f"HLM-8008 {run / LAST}"))
    assert said[1].startswith(f"HLM-8008 {run / 'tensorboard'}")
    assert {each.name for each in run.iterdir()} == {BEST, LAST, "tensorboard"}
    state = load(run / LAST)
    assert state is not None
    assert state["epoch"] == 1
    assert apart(trained(recipe, sides, run), whole) == 0


def test_other_failures_of_a_file_stay_what_they_are(tmp_path: Path) -> None:
    """A folder that nobody may write into is no full disk."""
    (tmp_path / "run").write_text("a file")
    with pytest.raises(OSError) as failed:
        save(tmp_path / "run" / LAST, {"epoch": 1})
    assert not isinstance(failed.value, FullDisk)


def test_a_checkpoint_of_a_gpu_is_read_without_one(tmp_path: Path) -> None:
    """Its tensors name cuda:0, as those of a run on a GPU do; they come to the processor."""
    save(tmp_path / "cpu.pt", {"network": {"weight": torch.arange(6.0)}, "epoch": 3})
    with zipfile.ZipFile(tmp_path / "cpu.pt") as made, zipfile.ZipFile(tmp_path / "gpu.pt", "w", zipfile.ZIP_STORED) as written:
        for each in made.namelist():
            content = made.read(each)
            if each.endswith("data.pkl"):
                assert b"X\x03\x00\x00\x00cpu" in content
                content = content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            written.writestr(each, content)
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(tmp_path / "gpu.pt", weights_only=True)
    state = load(tmp_path / "gpu.pt")
    assert state is not None
    assert torch.equal(state["network"]["weight"], torch.arange(6.0))


def test_a_step_is_computed_where_the_network_is() -> None:
    """On a device without values that refuses to be mixed with the processor ("meta"): way there, loss, way back and step. lung-nodule's
    loss goes through numpy, and MONAI's discriminator through names of types, which it has none of. Without CUDA one comes no nearer."""
    elsewhere = Compute(device=torch.device("meta"))
    small = (1, 1, 16, 16, 16)
    steps: list[tuple[torch.nn.Module, Any, tuple[int, ...], tuple[int, ...], type[np.generic]]] = [
        (hippocampus.network(), hippocampus.loss(), small, small, np.uint8),
        (segmentation.network(2), segmentation.loss(), small, small, np.uint8),
        (chest_xray.resnet(), chest_xray.loss(), (2, 1, 224, 224), (2, 1), np.uint8),
        (restore.Residual(4), restore.distance(), (2, 1, 5, 16, 16), (2, 1, 1, 16, 16), np.float32),
        (classification.network(2, 3), classification.loss((1.0, 2.0, 3.0), False), (2, 1, 32, 32), (2, 3), np.float32),
        (classification.network(2, 2, 3, late=True), torch.nn.SmoothL1Loss(), (2, 3, 32, 32), (2, 2), np.float32),
        (left_ventricle.network((4, 8, 16)), mask_and_phase_loss(), (2, 1, 64, 64), (2, 1, 64, 64), np.uint8),
        (BeatPhases(32, (4, 8), 6), phases_loss(), (2, 1, 5, 32, 32), (2, 2, 5), np.float32),
    ]
    for network, loss, of_images, of_targets, kind in steps:
        network.to(elsewhere.device)
        optimizer = torch.optim.AdamW(network.parameters())
        answer = network(elsewhere.tensor(np.zeros(of_images, dtype=np.float32)))
        said = loss(answer, elsewhere.tensor(np.zeros(of_targets, dtype=kind)))
        said.backward()
        optimizer.step()
        assert said.device == device_of(network) == elsewhere.device
    with pytest.raises(RuntimeError, match="device"):
        hippocampus.loss()(torch.zeros(1, 3, 8, 8, 8, device="meta"), torch.zeros(1, 1, 8, 8, 8))


def test_arrays_come_to_the_gpu_that_was_chosen() -> None:
    """As far as tensors without values go here: their torch has no CUDA to compute with."""
    with FakeTensorMode():
        assert Compute(device=torch.device("cuda", 1)).tensor(np.zeros((2, 3), dtype=np.float32)).device == torch.device("cuda", 1)


def test_what_cannot_be_computed_here_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU, no parts; and where GPUs are fewer than processes, or without bf16."""
    assert chosen(Device.AUTO, Precision.BF16, 2) == Compute(precision=Precision.BF16, parts=2)
    with pytest.raises(UnfitSetting, match="`--device cpu` trains here"):
        cli.train("hippocampus", data=tmp_path, device="cuda")
    with pytest.raises(UnfitSetting, match="--accumulate 0: a batch has one part at least"):
        cli.train("hippocampus", data=tmp_path, accumulate=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UnfitSetting, match="2 processes and 1 GPUs"):
        chosen(Device.CUDA, Precision.FLOAT32, 1, place=1, places=2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda place: None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: "Tesla P100")
    with pytest.raises(UnfitSetting, match="Tesla P100 has no bf16"):
        chosen(Device.AUTO, Precision.BF16, 1)
    assert chosen(Device.AUTO, Precision.FLOAT32, 1).device == torch.device("cuda", 0)


RANKS = """
import os, signal, sys, time
from dataclasses import replace
from pathlib import Path
from tests.training.test_compute import four, smallest
from training.errors import LostProcess
from training.fit import LAST, fit
from training.progress import Silent
from training.ranks import ranks
data, run, killed = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] == ["killed"]
made = smallest()
recipe = replace(made, schedule=replace(made.schedule, epochs=2, batch=4))
def tell(line):
    # in one go: torchrun's processes write unbuffered to one pipe, and print writes piece by piece
    os.write(1, f"{line}\\n".encode())
class Watching(Silent):
    def __init__(self, here):
        self.here = here
    def begun(self, epoch, epochs, batches):
        if killed and epoch == 1 and self.here.rank == 1:
            # the other one, which torchrun ends as soon as this one has ended, may still be writing what the first epoch learned
            while not (run / LAST).exists():
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
try:
    with ranks() as here:
        tell(f"process {here.rank} {os.getpid()}")
        fit(recipe, four(recipe, data), run, recipe.schedule, here, Watching(here))
except LostProcess as lost:
    # torchrun's signal, which may come as late as this
    os.kill(os.getpid(), signal.SIGTERM)
    tell(f"rank {os.environ['RANK']}: {lost.code} {lost}")
    sys.exit(1)
"""


def test_gradients_are_averaged_however_they_lie_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of convolutions over volumes lie channels last; the other of two processes has gradients three times as large."""
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda together: together.mul_(4))
    network: Any = torch.nn.Conv3d(2, 3, 3)  # torch's types know no memory_format of a module
    network = network.to(memory_format=torch.channels_last_3d)
    network(torch.randn(1, 2, 4, 4, 4).to(memory_format=torch.channels_last_3d)).square().sum().backward()
    before = [each.grad.clone() for each in network.parameters() if each.grad is not None]
    assert not all(each.is_contiguous() for each in before)
    Ranks(rank=0, size=2).average(network.parameters())
    after = [each.grad for each in network.parameters() if each.grad is not None]
    assert all(torch.equal(now, 2 * each) for now, each in zip(after, before, strict=True))


@pytest.mark.slow
def test_a_killed_process_ends_all_and_the_run_goes_on(
    data: Path, recipe: Segmenter, whole: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """One of two is killed in the second epoch: the other one says so with HLM-8009 and ends, nobody is left, the first epoch is whole.
    Called again, two processes of two images end with the weights of one process with four."""
    run = tmp_path / "run"
    done = two_processes(run.parent / "ranks.py", RANKS, data, run, "killed")
    assert done.returncode != 0
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("rank 0: HLM-8009 ")], done.stdout + done.stderr
    processes = [int(line.split()[2]) for line in lines if line.startswith("process ")]
    assert len(processes) == 2
    assert not [number for number in processes if Path(f"/proc/{number}").exists()]
    state = load(run / LAST)
    assert state is not None
    assert state["epoch"] == 1
    done = two_processes(run.parent / "ranks.py", RANKS, data, run)
    assert done.returncode == 0, done.stderr
    assert apart(weights(run), whole) < ROUNDING


def test_float32_on_a_gpu_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions would otherwise be computed with ten bits of mantissa, which torch has as its default."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda place: None)
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    # attributes of torch that cannot be deleted, as monkeypatch would
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    try:
        assert chosen(Device.CUDA, Precision.FLOAT32, 1).device.type == "cuda"
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
