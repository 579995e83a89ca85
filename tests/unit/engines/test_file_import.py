"""Model files that an operator has become versions of the repository: their tensors derived, none overwritten, served and rolled back."""

import io
import json
import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.applications.port import Accepts, Application, MeasurementOutput, ModelRef
from inference.applications.serving import as_served
from inference.codes import CUBIC_CENTIMETRE, VOLUME
from inference.engines.configtext import digests_in
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.errors import (
    AlreadyThere,
    HostileModel,
    NoSource,
    NotServable,
    OtherModel,
    Underivable,
    UnreadableModel,
    WrongTensors,
)
from inference.engines.file_import import ModelFile, import_file
from inference.engines.golden import check_golden
from inference.engines.modelconfig import parse_config
from inference.engines.port import SERVING
from inference.engines.repository import Repository
from inference.engines.serving import resolved, roll_back, served
from inference.findings import Findings
from tests.unit.engines.models import doubling_onnx, exported, scripted

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def said(name: str = "net", **more: Any) -> ModelFile:
    """What the operator says."""
    return ModelFile(name=name, licence="MIT", attribution="Nobody", **more)


def convolution(seed: int, channels: int = 2) -> Any:
    """A small network, other weights for another seed."""
    import torch

    torch.manual_seed(seed)
    return torch.nn.Conv3d(1, channels, 3, padding=1).eval()


def script(folder: Path, seed: int, channels: int = 2) -> Path:
    """It as a TorchScript file."""
    path = folder / f"net{seed}.ts"
    path.write_bytes(scripted(convolution(seed, channels)))
    return path


SHAPE = (1, 8, 8, 8)


def test_onnx_says_its_tensors_itself(tmp_path: Path) -> None:
    """Names, types and sides from the graph; a first axis of any length is the batch; what is served computes 2 x."""
    path = tmp_path / "double.onnx"
    path.write_bytes(doubling_onnx())
    model, entry = import_file(path, said(), tmp_path / "models")
    config = Repository(tmp_path / "models").config(model)
    assert [(tensor.name, tensor.dtype, tensor.dims) for tensor in config.inputs] == [("x", np.dtype("float32"), (1, 4, 4, 4))]
    assert config.max_batch_size == 8
    engine = EmbeddedEngine(tmp_path / "models")
    np.testing.assert_array_equal(engine.infer(model, {"x": np.ones((2, 1, 4, 4, 4), np.float32)})["y"], 2)
    assert entry.golden is not None
    # the golden input's mean is one half, its deviation the square root of a twelfth
    assert entry.golden.mean == pytest.approx(1.0, abs=0.05)
    check_golden(engine, Repository(tmp_path / "models"), model, entry.golden)
    engine.close()


def test_a_program_says_its_tensors_itself(tmp_path: Path) -> None:
    """torch.export: symbolic sides are open ones."""
    import torch

    path = tmp_path / "net.pt2"
    path.write_bytes(exported(convolution(0), torch.zeros(2, *SHAPE)))
    model, _ = import_file(path, said(), tmp_path / "models")
    config = parse_config(tmp_path / "models/net/config.pbtxt", "net")
    assert (config.backend, config.weights) == ("pytorch", "model.pt2")
    assert [tensor.dims for tensor in (*config.inputs, *config.outputs)] == [SHAPE, (2, 8, 8, 8)]
    assert (tmp_path / "models/net" / str(model.version) / "model.pt2").is_file()


def test_torchscript_is_asked_by_running_it(tmp_path: Path) -> None:
    """Without a shape it is refused with the option; with one that it cannot compute, with torch's word."""
    path = script(tmp_path, 0)
    with pytest.raises(Underivable, match="does not say what"):
        import_file(path, said(), tmp_path / "models")
    with pytest.raises(Underivable, match="does not compute an input of shape"):
        import_file(path, said(shape=(3, 8, 8, 8)), tmp_path / "models")
    with pytest.raises(Underivable, match="fixed sides"):
        import_file(path, said(shape=(1, 4096, 4096, 4096)), tmp_path / "models")
    assert not (tmp_path / "models").exists()
    model, _ = import_file(path, said(shape=SHAPE), tmp_path / "models")
    config = Repository(tmp_path / "models").config(model)
    assert [tensor.dims for tensor in config.outputs] == [(2, 8, 8, 8)]


def test_versions_stand_beside_each_other(tmp_path: Path) -> None:
    """The next number, the digest of each in config.pbtxt, both cards; the same file again changes nothing; another under a taken number
    is refused, and the old one is as it was."""
    repository = tmp_path / "models"
    first, one = import_file(script(tmp_path, 1), said(shape=SHAPE), repository)
    second, two = import_file(script(tmp_path, 2), said(shape=SHAPE), repository)
    assert (first.version, second.version) == (1, 2)
    text = (repository / "net/config.pbtxt").read_text()
    assert digests_in(text) == {1: one.sha256, 2: two.sha256}
    card = (repository / "net/README.md").read_text()
    assert card.index("# net, version 2") < card.index("# net, version 1")
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    assert import_file(script(tmp_path, 1), said(shape=SHAPE), repository)[0] == first
    with pytest.raises(AlreadyThere, match="version 1 already"):
        import_file(script(tmp_path, 3), said(shape=SHAPE, version=1), repository)
    assert {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()} == before
    assert Repository(repository).verify(first) == one


def test_whoever_serves_may_read_what_somebody_else_imported(tmp_path: Path) -> None:
    """Every verb runs under a umask that hides what it writes; Triton is often another user."""
    repository = tmp_path / "models"
    os.umask(0o077)
    for seed in (1, 2):
        import_file(script(tmp_path, seed), said(shape=SHAPE), repository)
    roll_back(repository, "net")
    hidden = [path for path in (repository, *repository.rglob("*")) if path.stat().st_mode & 0o777 != (0o755 if path.is_dir() else 0o644)]
    assert hidden == []


def test_a_version_with_other_tensors_is_another_model(tmp_path: Path) -> None:
    """One config.pbtxt describes all versions; nothing is left of the attempt."""
    repository = tmp_path / "models"
    import_file(script(tmp_path, 1), said(shape=SHAPE), repository)
    with pytest.raises(OtherModel):
        import_file(script(tmp_path, 2, channels=3), said(shape=SHAPE), repository)
    assert sorted(path.name for path in repository.iterdir()) == ["net"]
    assert served(repository, "net").versions == (1,)


def test_what_an_interrupted_import_left_is_not_in_the_way(tmp_path: Path) -> None:
    """A version's folder without an entry does not count: the next import of that number takes its place."""
    repository = tmp_path / "models"
    import_file(script(tmp_path, 1), said(shape=SHAPE), repository)
    left = repository / "net/2"
    left.mkdir()
    (left / "model.pt").write_bytes(b"half of it")
    model, entry = import_file(script(tmp_path, 2), said(shape=SHAPE, version=2), repository)
    assert Repository(repository).verify(model) == entry


def test_many_import_at_once(tmp_path: Path) -> None:
    """Four writers of four models and four of one: every version is whole, every entry there."""
    repository = tmp_path / "models"
    files = [script(tmp_path, seed) for seed in range(4)]
    failed: list[BaseException] = []

    def bring(number: int, name: str, version: int) -> None:
        try:
            import_file(files[number], said(name, shape=SHAPE, version=version), repository)
        except AssertionError as error:
            failed.append(error)

    writers = [threading.Thread(target=bring, args=(number, "shared", number + 1)) for number in range(4)]
    writers += [threading.Thread(target=bring, args=(number, f"own{number}", 1)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failed
    opened = Repository(repository)
    listed = opened.list()
    assert len(listed) == 8
    for each in listed:
        assert opened.verify(each.model) is not None


@pytest.mark.parametrize("name", ["../net", "net/x", "", ".hidden", "net."])
def test_names_that_are_none(name: str, tmp_path: Path) -> None:
    """A model is one folder below the repository."""
    with pytest.raises(NoSource, match="is no name for a model"):
        import_file(script(tmp_path, 0), said(name, shape=SHAPE), tmp_path / "models")


def test_files_that_are_no_models(tmp_path: Path) -> None:
    """Rubbish under each ending, an unknown ending, a folder: said, nothing written."""
    for ending, kind in ((".onnx", UnreadableModel), (".pt2", UnreadableModel), (".ts", UnreadableModel), (".bin", NoSource)):
        path = tmp_path / f"net{ending}"
        path.write_bytes(b"rubbish")
        with pytest.raises(kind):
            import_file(path, said(shape=SHAPE), tmp_path / "models")
    with pytest.raises(NoSource, match="is not a file"):
        import_file(tmp_path, said(), tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_config_of_the_operators(tmp_path: Path) -> None:
    """It is taken as it is; one that describes another model is found when the golden input runs."""
    config = (
        'backend: "pytorch" max_batch_size: 2\ninput [ {{ name: "IN" data_type: TYPE_FP32 dims: [ 1, -1, -1, -1 ] }} ]\n'
        'output [ {{ name: "OUT" data_type: TYPE_FP32 dims: [ {channels}, -1, -1, -1 ] }} ]\n'
    )
    with pytest.raises(WrongTensors, match="OUT"):
        import_file(script(tmp_path, 0), said(config=config.format(channels=5)), tmp_path / "models")
    model, entry = import_file(script(tmp_path, 0), said(config=config.format(channels=2)), tmp_path / "models")
    assert entry.golden is not None
    assert entry.golden.shape == (1, 1, 32, 32, 32)
    assert (tmp_path / "models/net/config.pbtxt").read_text().startswith(config.format(channels=2))
    assert model.version == 1


def test_rolling_back_and_forth(tmp_path: Path) -> None:
    """What was served before, then again what was; a version by number; the history keeps who, when and why."""
    repository = tmp_path / "models"
    for seed in (1, 2, 3):
        import_file(script(tmp_path, seed), said(shape=SHAPE), repository)
    assert served(repository, "net").version == 3
    assert roll_back(repository, "net").version == 2
    assert roll_back(repository, "net").version == 3
    after = roll_back(repository, "net", 1, why="misses the spleen")
    assert (after.version, after.history[-1].was, after.history[-1].why) == (1, 3, "misses the spleen")
    assert [change.serving for change in after.history] == [1, 2, 3, 2, 3, 1]
    assert roll_back(repository, "net", 1) == after
    with pytest.raises(NotServable, match="no version 9"):
        roll_back(repository, "net", 9)
    with (repository / "net/2/model.pt").open("ab") as file:
        file.write(b"!")
    with pytest.raises(NotServable, match="HLM-4102"):
        roll_back(repository, "net", 2)
    assert served(repository, "net").version == 1


def test_an_application_that_follows_and_one_that_pins(tmp_path: Path) -> None:
    """`SERVING` means what the repository serves when the job begins, and stays that for the job; a pinned version is not moved."""
    repository = tmp_path / "models"
    for seed in (1, 2):
        import_file(script(tmp_path, seed), said(shape=SHAPE), repository)
    follows, pins = ModelRef(name="net", version=SERVING), ModelRef(name="net", version=1)
    assert resolved([follows, pins], repository) == {follows: ModelRef(name="net", version=2), pins: pins}
    called: list[ModelRef] = []

    class Recorder:
        def __call__(self, model: ModelRef, tensors: Any, /) -> dict[str, Any]:
            called.append(model)
            return {}

        def at_once(self, model: ModelRef) -> int:
            return 1

        def call_of(self, model: ModelRef) -> None:
            return None

    def application(model: ModelRef) -> Application:
        def analyse(volume: Any, infer: Any) -> Findings:
            infer(model, {})
            return Findings()

        outputs = (MeasurementOutput(name=VOLUME, unit=CUBIC_CENTIMETRE),)
        return Application(
            name="ct-x", version="1.0.0", title="X", accepts=Accepts(modality=("CT",)), models=(model,), outputs=outputs, analyse=analyse
        )

    job = as_served(application(follows), repository)
    assert (job.models, job.version) == ((ModelRef(name="net", version=2),), "1.0.0+model.2")
    roll_back(repository, "net")
    job.analyse(None, Recorder())
    assert called == [ModelRef(name="net", version=2)]
    assert as_served(application(follows), repository).models == (ModelRef(name="net", version=1),)
    pinned = application(pins)
    assert as_served(pinned, repository) is pinned


def test_a_history_that_cannot_be_read(tmp_path: Path) -> None:
    """hilum.json with nonsense about what is served is a ModelError that names it."""
    repository = tmp_path / "models"
    import_file(script(tmp_path, 1), said(shape=SHAPE), repository)
    file = repository / "net/hilum.json"
    content = json.loads(file.read_text())
    for broken in ({"serving": "x"}, {"history": [{"who": 1}]}):
        file.write_text(json.dumps({**content, **broken}))
        with pytest.raises(UnreadableModel, match=r"hilum.json"):
            served(repository, "net")


class Malice:
    """A pickle that runs something when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def test_a_program_with_code_in_its_pickles_is_not_run(tmp_path: Path) -> None:
    """torch reads a .pt2 file's pickles as data and, where that fails, runs them: refused by import and by the engine, nothing ran."""
    import torch

    good = exported(convolution(0), torch.zeros(2, *SHAPE))
    mark = tmp_path / "was-run"
    poison = io.BytesIO()
    torch.save({"x": Malice(mark)}, poison)
    poisoned, found = io.BytesIO(), 0
    with zipfile.ZipFile(io.BytesIO(good)) as before, zipfile.ZipFile(poisoned, "w") as after:
        for member in before.namelist():
            pickled = member.endswith(".pt")
            found += pickled
            after.writestr(member, poison.getvalue() if pickled else before.read(member))
    assert found, "the format holds pickles"
    path = tmp_path / "net.pt2"
    path.write_bytes(poisoned.getvalue())
    with pytest.raises(HostileModel, match="which is not on the list"):
        import_file(path, said(), tmp_path / "models")
    assert not mark.exists()
    path.write_bytes(good)
    model, _ = import_file(path, said(), tmp_path / "models")
    (tmp_path / "models/net/1/model.pt2").write_bytes(poisoned.getvalue())
    (tmp_path / "models/net/hilum.json").unlink()
    engine = EmbeddedEngine(tmp_path / "models")
    with pytest.raises(HostileModel, match="which is not on the list"):
        engine.infer(model, {"INPUT__0": np.zeros((1, *SHAPE), np.float32)})
    engine.close()
    assert not mark.exists()
