"""What every engine keeps (inference/engines/port.py): run over each engine there is, on one repository."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.ensemble import MARKED
from inference.engines.errors import DigestMismatch, EngineTimeout, ModelMissing, NotFinite, UnreadableModel, WrongTensors
from inference.engines.port import Engine, ModelRef
from inference.engines.repository import Repository
from inference.engines.tiling import infer_tiled
from inference.engines.triton.engine import TritonEngine
from inference.engines.triton.server import LocalTriton
from inference.errors import EngineError, ModelError
from tests.lab.triton import servers
from tests.unit.engines.models import fill, put_ensemble, put_refusing

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

SHARED_MEMORY = {"triton-grpc": "off", "triton-shared-memory": "on"}
HEALTH = {"embedded": "torch 2."} | dict.fromkeys(SHARED_MEMORY, "Triton 2.51")
DOUBLES = [("double_pt", "INPUT__0", "OUTPUT__0"), ("double_pt2", "INPUT__0", "OUTPUT__0"), ("double_onnx", "x", "y")]
CUBE = np.arange(64, dtype=np.float32).reshape(1, 1, 4, 4, 4)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that the tests only read."""
    repository = tmp_path_factory.mktemp("models")
    fill(repository)
    put_ensemble(repository, "twice", TWICE)
    put_ensemble(repository, "marked", TWICE + f'parameters {{ key: "{MARKED}" value {{ string_value: "marked" }} }}')
    return repository


@pytest.fixture(params=["embedded", *(pytest.param(name, marks=[pytest.mark.slow, pytest.mark.registry]) for name in SHARED_MEMORY)])
def engine_name(request: pytest.FixtureRequest) -> str:
    """Each engine there is; Triton's tensors go over gRPC or through shared memory."""
    return str(request.param)


@pytest.fixture(scope="module")
def server_of() -> Iterator[Callable[[Path], LocalTriton]]:
    """The tritonserver over a repository, one for each; it serves what an engine has it load."""
    with servers() as start:
        started: dict[Path, LocalTriton] = {}

        def server(repository: Path) -> LocalTriton:
            if repository not in started:
                started[repository] = start(repository, models=[])
            return started[repository]

        yield server


@pytest.fixture
def open_engine(engine_name: str, request: pytest.FixtureRequest) -> Iterator[Callable[[Path], Engine]]:
    """Each engine, for tests that bring their own repository; closed at the end."""
    with ExitStack() as closing:

        def open_(repository: Path) -> Engine:
            engine: Engine
            if engine_name in SHARED_MEMORY:
                server = request.getfixturevalue("server_of")(repository)
                engine = TritonEngine(server.url, repository, shared_memory=SHARED_MEMORY[engine_name])
            else:
                engine = EmbeddedEngine(repository, threads=1)
            closing.callback(engine.close)
            return engine

        yield open_


@pytest.fixture
def engine(open_engine: Callable[[Path], Engine], models: Path) -> Engine:
    """Each engine on that repository."""
    return open_engine(models)


@pytest.mark.parametrize(("name", "input", "output"), DOUBLES)
def test_every_format_computes_the_same(engine: Engine, name: str, input: str, output: str) -> None:
    """TorchScript, torch.export and ONNX of y = 2 x give 2 x, for a batch of one and of three."""
    for batch in (CUBE, np.concatenate([CUBE, CUBE + 1, CUBE + 2])):
        answer = engine.infer(ModelRef(name=name), {input: batch})
        assert list(answer) == [output]
        np.testing.assert_array_equal(answer[output], batch * 2)


def test_names_with_an_index_decide_over_the_order_in_config_pbtxt(engine: Engine) -> None:
    """Triton's convention for its pytorch backend: NAME__<index> is the place among a model's arguments and results."""
    a, b = np.array([5, 7], dtype=np.float32), np.array([1, 2], dtype=np.float32)
    answer = engine.infer(ModelRef(name="both"), {"A__0": a, "B__1": b})
    np.testing.assert_array_equal(answer["DIFFERENCE__0"], [4, 5])
    np.testing.assert_array_equal(answer["SUM__1"], [6, 9])


STORED = (np.arange(128, dtype=np.int16) - 64).reshape(2, 1, 4, 4, 4) * np.int16(17)
RESCALED = {"SLOPE": np.array([[0.5], [2]], dtype=np.float32), "INTERCEPT": np.array([[-3], [7]], dtype=np.float32)}


def test_an_ensemble_is_one_call(engine: Engine) -> None:
    """Stored int16 voxels in, two slopes for two volumes; rescaled and clipped by the first model, doubled by the second."""
    answer = engine.infer(ModelRef(name="prepared"), {"IMAGE": STORED, **RESCALED})
    values = np.concatenate([STORED[:1] * 0.5 - 3, STORED[1:] * 2.0 + 7]).clip(-1000, 1000).astype(np.float32)
    assert values.max() == 1000, "or nothing was clipped"
    assert set(answer) == {"DOUBLED", "values"}
    np.testing.assert_array_equal(answer["values"], values)
    np.testing.assert_array_equal(answer["DOUBLED"], values * 2)
    engine.check(ModelRef(name="prepared"))


TWICE = """
platform: "ensemble"
max_batch_size: 4
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 1, 4, 4, 4 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 1, 4, 4, 4 ] } ]
ensemble_scheduling { step [
  { model_name: "double_onnx" model_version: -1 input_map { key: "x" value: "IN" } output_map { key: "y" value: "once" } },
  { model_name: "double_onnx" model_version: -1 input_map { key: "x" value: "once" } output_map { key: "y" value: "OUT" } }
] }
"""


def test_no_step_of_an_ensemble_is_given_what_is_no_number(engine: Engine, models: Path) -> None:
    """A server hands it on without a word: the steps are asked one by one, unless the ensemble says that its answer tells."""
    spoiled = CUBE.copy()
    spoiled[0, 0, 1, 2, 3] = np.nan
    np.testing.assert_array_equal(engine.infer(ModelRef(name="twice"), {"IN": CUBE})["OUT"], 4 * CUBE)
    with pytest.raises(NotFinite, match='model "double_onnx" gives values that are no numbers, or are infinite, in its output "y"'):
        engine.infer(ModelRef(name="twice"), {"IN": spoiled})
    if isinstance(engine, TritonEngine):
        assert np.isnan(engine.infer(ModelRef(name="marked"), {"IN": spoiled})["OUT"]).sum() == 1


def test_what_an_ensemble_is_given_is_checked_as_a_models_inputs_are(engine: Engine) -> None:
    """float32 where int16 voxels are wanted, a slope that is left out, a batch that is too large."""
    prepared = ModelRef(name="prepared")
    for inputs, said in (
        ({"IMAGE": STORED.astype(np.float32), **RESCALED}, "IMAGE is float32, config.pbtxt says int16"),
        ({"IMAGE": STORED, "INTERCEPT": RESCALED["INTERCEPT"]}, "lacks SLOPE"),
        ({"IMAGE": np.repeat(STORED, 3, axis=0), **RESCALED}, "batch of 1 to 4"),
    ):
        with pytest.raises(WrongTensors, match=said):
            engine.infer(prepared, inputs)


def test_the_digest_of_an_ensemble_is_that_of_its_members_and_steps(engine: Engine, models: Path) -> None:
    """The same before and after it was computed; another than its members'; what changes it, test_ensemble shows."""
    digest = engine.digest(ModelRef(name="prepared"))
    engine.infer(ModelRef(name="prepared"), {"IMAGE": STORED, **RESCALED})
    assert engine.digest(ModelRef(name="prepared")) == digest == Repository(models).digest(ModelRef(name="prepared"))
    assert len({digest, engine.digest(ModelRef(name="prepare")), engine.digest(ModelRef(name="double_onnx"))}) == 3


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "lacks INPUT__0"),
        ({"INPUT__0": CUBE, "EXTRA": CUBE}, "has EXTRA"),
        ({"INPUT__0": CUBE.astype(np.float64)}, "is float64, config.pbtxt says float32"),
        ({"INPUT__0": CUBE[:, :, :3]}, r"shape \(1, 1, 3, 4, 4\), config.pbtxt says \(1, 1, 4, 4, 4\)"),
        ({"INPUT__0": CUBE[0]}, r"shape \(1, 4, 4, 4\)"),
        ({"INPUT__0": np.repeat(CUBE, 5, axis=0)}, "batch of 1 to 4"),
    ],
)
def test_inputs_that_config_pbtxt_does_not_describe_are_refused(engine: Engine, inputs: dict[str, np.ndarray], said: str) -> None:
    """Before anything is computed, with what was given and what was expected."""
    with pytest.raises(WrongTensors, match=said) as refused:
        engine.infer(ModelRef(name="double_pt"), inputs)
    assert isinstance(refused.value, ModelError)
    assert not refused.value.retry


def test_inputs_are_left_as_they_were(engine: Engine) -> None:
    """Read-only and reversed views, as applications give them, are taken and not written to."""
    given = CUBE.copy()
    given.setflags(write=False)
    answer = engine.infer(ModelRef(name="double_pt"), {"INPUT__0": given[:, :, ::-1]})
    np.testing.assert_array_equal(answer["OUTPUT__0"], CUBE[:, :, ::-1] * 2)
    np.testing.assert_array_equal(given, CUBE)


def test_the_same_inputs_give_the_same_bytes(engine: Engine, models: Path, open_engine: Callable[[Path], Engine]) -> None:
    """Call after call (a TorchScript model optimises itself in its first calls), and in an engine that is opened anew."""
    image = np.random.default_rng(7).random((1, 1, 24, 20, 28), dtype=np.float32)
    digests = {
        hashlib.sha256(engine.infer(ModelRef(name="conv"), {"INPUT__0": image})["OUTPUT__0"].tobytes()).hexdigest() for _ in range(4)
    }
    again = open_engine(models)
    digests.add(hashlib.sha256(again.infer(ModelRef(name="conv"), {"INPUT__0": image})["OUTPUT__0"].tobytes()).hexdigest())
    again.close()
    assert len(digests) == 1


def test_a_model_that_is_not_there(engine: Engine) -> None:
    """Absent models, absent versions and names that would leave the repository are ModelErrors that name what is there."""
    with pytest.raises(ModelMissing, match='"nobody" is not in the repository'):
        engine.infer(ModelRef(name="nobody"), {})
    with pytest.raises(ModelMissing, match=r"no version 9 .*there: 1"):
        engine.digest(ModelRef(name="double_pt", version=9))
    with pytest.raises(ModelMissing):
        engine.digest(ModelRef(name="../double_pt"))


def test_the_digest_is_that_of_the_weights(engine: Engine, models: Path) -> None:
    """It goes into the results' UIDs: SHA-256 of the file, before and after the model was loaded."""
    expected = hashlib.sha256((models / "double_pt/1/model.pt").read_bytes()).hexdigest()
    assert engine.digest(ModelRef(name="double_pt")) == expected
    engine.infer(ModelRef(name="double_pt"), {"INPUT__0": CUBE})
    assert engine.digest(ModelRef(name="double_pt")) == expected


def test_weights_that_are_not_those_of_the_entry_are_not_run(open_engine: Callable[[Path], Engine], tmp_path: Path) -> None:
    """hilum.json says what was imported; a changed file is refused with both digests, not computed with."""
    fill(tmp_path)
    weights = tmp_path / "double_pt/1/model.pt"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    fields = ("file", "source_sha256", "source", "licence", "attribution", "format")
    entry = dict.fromkeys(fields, "x") | {"sha256": "0" * 64}
    (tmp_path / "double_pt/hilum.json").write_text(json.dumps({"versions": {"1": entry}}))
    engine = open_engine(tmp_path)
    for ask in (lambda: engine.digest(ModelRef(name="double_pt")), lambda: engine.infer(ModelRef(name="double_pt"), {"INPUT__0": CUBE})):
        with pytest.raises(DigestMismatch, match=f"{digest}.*{'0' * 64}"):
            ask()


def test_weights_that_cannot_be_read(open_engine: Callable[[Path], Engine], tmp_path: Path) -> None:
    """Rubbish under each of the three names is a ModelError that names the file, not a crash."""
    fill(tmp_path)
    engine = open_engine(tmp_path)
    for name, file, input in (
        ("double_pt", "model.pt", "INPUT__0"),
        ("double_pt2", "model.pt2", "INPUT__0"),
        ("double_onnx", "model.onnx", "x"),
    ):
        (tmp_path / name / "1" / file).write_bytes(b"rubbish")
        with pytest.raises(UnreadableModel, match=file):
            engine.infer(ModelRef(name=name), {input: CUBE})


@pytest.mark.parametrize("name", ["picky", "fixed"])
def test_inputs_that_the_model_itself_refuses(open_engine: Callable[[Path], Engine], tmp_path: Path, name: str) -> None:
    """A `raise` in TorchScript, a length that torch.export was not told of: a ModelError that names the model; the next is answered."""
    put_refusing(tmp_path)
    engine = open_engine(tmp_path)
    good, bad = np.ones((1, 4), dtype=np.float32), -np.ones((1, 5), dtype=np.float32)
    with pytest.raises(ModelError, match=f'"{name}".*cannot compute these inputs'):
        engine.infer(ModelRef(name=name), {"INPUT__0": bad})
    np.testing.assert_array_equal(engine.infer(ModelRef(name=name), {"INPUT__0": good})["OUTPUT__0"], good * 2)


def test_a_deadline_that_has_passed(engine: Engine) -> None:
    """Nothing is begun; the error says that a retry helps."""
    with pytest.raises(EngineTimeout) as late:
        engine.infer(ModelRef(name="double_pt"), {"INPUT__0": CUBE}, deadline_s=0)
    assert late.value.retry
    assert isinstance(late.value, EngineError)


def test_health_names_what_computes(engine: Engine, engine_name: str) -> None:
    """The sentence that `hilum doctor` prints."""
    health = engine.health()
    assert health.ready
    assert HEALTH[engine_name] in health.detail


def test_tiles_of_a_model_that_changes_nothing_give_the_image_back(engine: Engine) -> None:
    """Whatever the overlap and however the image's sides divide: doubled by the model, halved here, it is the image."""
    generator = np.random.default_rng(3)
    double = ModelRef(name="double_pt")
    for shape, overlap in (((4, 4, 4), 0.5), ((9, 5, 4), 0.5), ((7, 11, 6), 0.25), ((2, 3, 9), 0.0)):
        image = generator.random((1, *shape), dtype=np.float32)
        tiled = infer_tiled(
            engine.infer,
            double,
            image,
            input="INPUT__0",
            output="OUTPUT__0",
            window=(4, 4, 4),
            overlap=overlap,
            batch=3,
        )
        assert tiled.shape == image.shape
        np.testing.assert_allclose(tiled / 2, image, rtol=1e-6)


def test_tiles_under_way_do_not_change_the_bytes(engine: Engine) -> None:
    """1, 2, 4 and 8 calls under way at a time, of one window each and of two: the blended sums are made in one order."""
    image = np.random.default_rng(9).random((1, 26, 20, 18), dtype=np.float32)
    for batch in (1, 2):
        digests = {
            hashlib.sha256(
                infer_tiled(
                    engine.infer,
                    ModelRef(name="conv"),
                    image,
                    input="INPUT__0",
                    output="OUTPUT__0",
                    window=(12, 12, 12),
                    batch=batch,
                    at_once=at_once,
                ).tobytes()
            ).hexdigest()
            for at_once in (1, 2, 4, 8)
        }
        assert len(digests) == 1, f"windows of {batch}"


def test_tiles_of_a_convolution_agree_with_the_whole(engine: Engine) -> None:
    """Two 3 × 3 × 3 convolutions see two voxels far: further than that from every window's border nothing may differ."""
    image = np.random.default_rng(5).random((1, 40, 36, 32), dtype=np.float32)
    conv = ModelRef(name="conv")
    whole = engine.infer(conv, {"INPUT__0": image[None]})["OUTPUT__0"][0]
    tiled = infer_tiled(engine.infer, conv, image, input="INPUT__0", output="OUTPUT__0", window=(24, 36, 32), overlap=0.5, batch=4)
    # windows are slices 0-23, 12-35 and 16-39: their inner borders, two slices deep
    borders = [22, 23, 12, 13, 34, 35, 16, 17]
    inside = [z for z in range(40) if z not in borders]
    np.testing.assert_allclose(tiled[:, inside], whole[:, inside], atol=1e-6)
    # and at the borders the other windows, whose middle is nearer, have the say
    assert 0 < np.abs(tiled - whole)[:, borders].max() < 0.5 * np.abs(whole).max()


def test_tiles_agree_with_monai(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same windows and the same blending, by another program; with a Gaussian so wide that MONAI's least weight is not met."""
    monkeypatch.setattr("inference.engines.tiling.SIGMA", 0.5)
    torch = pytest.importorskip("torch")
    from monai.inferers.utils import sliding_window_inference

    image = np.random.default_rng(5).random((1, 24, 20, 16), dtype=np.float32)
    conv = ModelRef(name="conv")

    def model(tiles: object) -> object:
        return torch.from_numpy(engine.infer(conv, {"INPUT__0": tiles.numpy()})["OUTPUT__0"])  # type: ignore[attr-defined]

    theirs = sliding_window_inference(torch.from_numpy(image[None]), (8, 8, 8), 4, model, overlap=0.5, mode="gaussian", sigma_scale=0.5)
    ours = infer_tiled(engine.infer, conv, image, input="INPUT__0", output="OUTPUT__0", window=(8, 8, 8), overlap=0.5, batch=4)
    np.testing.assert_allclose(ours, theirs[0].numpy(), atol=1e-6)
