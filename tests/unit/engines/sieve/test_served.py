"""Hostile models where models come in and are used: import, a repository that was filled by hand, bundles. Others compute on."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from inference.applications.bundle.importing import Wanted, import_bundle
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.errors import HostileModel, UnreadableModel
from inference.engines.file_import import ModelFile, import_file
from inference.engines.jail import model as jail
from inference.engines.jail.errors import ModelHung
from inference.engines.port import ModelRef
from tests.unit.applications.bundle import made
from tests.unit.engines.jail.test_model import looping_onnx
from tests.unit.engines.models import CONFIG, doubling_onnx, put
from tests.unit.engines.sieve import hostile
from tests.unit.engines.sieve.test_exported import guarded
from tests.unit.engines.sieve.test_graphs import DOUBLE, external, model

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning", "ignore::DeprecationWarning")

GIVEN = {"x": np.arange(64, dtype=np.float32).reshape(1, 1, 4, 4, 4)}


def said(name: str = "net") -> ModelFile:
    return ModelFile(name=name, licence="", attribution="", shape=(1, 8, 8))


def hostile_files(mark: Path) -> dict[str, bytes]:
    """By the name of the file: one for each format, and what each would do to `mark`."""
    return {
        "loads.ts": hostile.scripted(hostile.Twice(str(mark))),
        "writes.pt": hostile.scripted(hostile.Writes(str(mark))),
        "guards.pt2": guarded(mark),
        "reads.onnx": model(DOUBLE, initializers=(external("/etc/passwd"),)).SerializeToString(),
    }


def test_an_import_writes_nothing_and_enters_nothing(tmp_path: Path) -> None:
    """Each format, refused with its sentence before it is loaded."""
    mark, repository = tmp_path / "mark", tmp_path / "models"
    for name, content in hostile_files(mark).items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(HostileModel, match=name):
            import_file(tmp_path / name, said(), repository)
    assert not mark.exists()
    assert not repository.exists()


def test_what_was_put_there_by_hand_is_not_served_and_others_are(tmp_path: Path) -> None:
    """A repository is a folder: the sieve stands before the engine too, and the next model's answer is what it was."""
    mark = tmp_path / "mark"
    repository = tmp_path / "models"
    put(repository, "double", "model.onnx", doubling_onnx(), _config("double", "onnxruntime", "x", "y", "1, -1, -1, -1"))
    for name, content in hostile_files(mark).items():
        file = {"ts": "model.pt", "pt": "model.pt", "pt2": "model.pt2", "onnx": "model.onnx"}[name.split(".")[1]]
        names = ("x", "y") if file == "model.onnx" else ("INPUT__0", "OUTPUT__0")
        put(repository, name.split(".")[0], file, content, _config(name.split(".")[0], "pytorch", *names, "1, 8, 8"))
    with closing(EmbeddedEngine(repository, threads=1)) as engine:
        before = engine.infer(ModelRef(name="double"), GIVEN)["y"].tobytes()
        for name in hostile_files(mark):
            key = "x" if name.endswith("onnx") else "INPUT__0"
            with pytest.raises(HostileModel):
                engine.infer(ModelRef(name=name.split(".")[0]), {key: np.zeros(hostile.IMAGE, np.float32)})
            assert engine.infer(ModelRef(name="double"), GIVEN)["y"].tobytes() == before
    assert not mark.exists()


def test_a_loop_without_end_does_not_hang_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No reading finds out whether a condition ever fails; the jail's time does, and the sentence says so."""
    monkeypatch.setattr(jail, "CALL_S", 1.0)
    (tmp_path / "loop.onnx").write_bytes(looping_onnx())
    with pytest.raises(ModelHung, match=r"no answer within [0-9]+ s, which is more than the size of its input explains"):
        import_file(tmp_path / "loop.onnx", said(), tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_links_and_paths_lead_nowhere(tmp_path: Path) -> None:
    """Weights that are a link out of the repository, or a path in config.pbtxt, are no weights."""
    repository = tmp_path / "models"
    (tmp_path / "secret.onnx").write_bytes(doubling_onnx())
    put(repository, "link", "other", b"", _config("link", "onnxruntime", "x", "y", "1, -1, -1, -1"))
    (repository / "link/1/model.onnx").symlink_to(tmp_path / "secret.onnx")
    climbing = _config("climbs", "onnxruntime", "x", "y", "1, -1, -1, -1") + 'default_model_filename: "../../../secret.onnx"\n'
    put(repository, "climbs", "model.onnx", doubling_onnx(), climbing)
    with closing(EmbeddedEngine(repository, threads=1)) as engine:
        for name, told in (
            ("link", "is a link that leads out of the repository"),
            ("climbs", "names '../../../secret.onnx' for its weights"),
        ):
            with pytest.raises(UnreadableModel, match=told):
                engine.infer(ModelRef(name=name), GIVEN)


@pytest.mark.parametrize("allow", [False, True])
def test_a_bundle_s_program_is_refused_with_and_without_its_code(tmp_path: Path, allow: bool) -> None:
    """--allow-code is for what a configuration asks for; a TorchScript file that writes is refused all the same."""
    mark = tmp_path / "mark"
    bundle = made.folder(tmp_path / "bundle", {"model.ts": hostile.scripted(hostile.Writes(str(mark)))})
    with pytest.raises(HostileModel, match=r"models/model\.ts: code/.*torch\.save"):
        import_bundle(bundle, Wanted(allow_code=allow), tmp_path / "models")
    assert not mark.exists()
    assert not (tmp_path / "models").exists()


def _config(name: str, backend: str, input: str, output: str, dims: str) -> str:
    return CONFIG.format(name=name, backend=backend, batch=4, input=input, output=output, dims=dims)
