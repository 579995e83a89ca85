"""ONNX, TorchScript and torch.export models computed by OpenVINO; the only module of the engines that imports it.

Where there is a folder to write to (a Triton server's process), a converted model is kept in the user's cache as OpenVINO's own format, so
that a process that only computes never imports torch; a confined process has none, and converts each time that it loads a model. Compiled
models are not kept: compiling takes a tenth of a second, about as long as reading a compiled one back.
"""

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.errors import OutOfMemory, UnreadableModel, WrongTensors
from inference.engines.execution import Precision
from inference.engines.library_telemetry import openvino, quiet
from inference.engines.modelconfig import ModelConfig, positions
from inference.engines.openvino_sums import steady_normalisation
from inference.engines.program import load_program
from inference.engines.registry import user_cache

FORM = "1"
"""Of what is kept: another number makes every model be converted anew."""

_MODEL, _WEIGHTS, _DIGEST = "model.xml", "model.bin", "sha256"
_MOST_SHAPES = 64
"""Of inputs, of which it is kept whether they say the shapes of the answer."""
_OF_CONVERSION = (
    *(RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError, NotImplementedError, AssertionError, OSError),
    *(ImportError, RecursionError),
)
"""What the front ends raise on models that they do not know, beside their own classes, which share no base."""


def openvino_computation(
    config: ModelConfig, file: Path, content: bytes, threads: int, precision: Precision = Precision.F32
) -> "OpenvinoComputation":
    """Load a model from its bytes.

    Raises
    ------
    UnreadableModel
        OpenVINO does not know what the model is made of.
    WrongTensors
        It has other inputs or outputs than config.pbtxt names.
    """
    ov = openvino()
    core = ov.Core()
    model = _readable(file, lambda: _model(core, config, file, content))
    if precision is Precision.F32:
        # lower precisions lose more elsewhere; what they lose in all is for the gate to judge
        _readable(file, lambda: steady_normalisation(model))
    inputs, outputs = _places(model, config, file)
    how = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision.value,
        # two processes that pin their threads pin them to the same cores: measured, each then takes twice as long
        "ENABLE_CPU_PINNING": False,
    }
    return OpenvinoComputation(
        config, model, lambda: _readable(file, lambda: core.compile_model(model, "CPU", how)), inputs=inputs, outputs=outputs
    )


class OpenvinoComputation:
    """A loaded model; call it with arrays by tensor name, from any number of threads.

    A call that fails half way, by sides that the network does not take or for want of memory, leaves shapes behind in the compiled model,
    by which OpenVINO would judge the next call: that one compiles it anew.
    """

    def __init__(
        self, config: ModelConfig, model: Any, compiled: Callable[[], Any], *, inputs: Mapping[str, int], outputs: Mapping[str, int]
    ) -> None:
        self._config = config
        self._model = model
        self._determined: dict[tuple[tuple[int, ...], ...], bool] = {}
        self._compile = compiled
        self._compiled: Any | None = compiled()
        self._inputs = inputs
        self._outputs = outputs

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        # a request of its own for every call: its outputs are handed out as they are, and no other call writes into them
        return self._infer(self._ready().create_infer_request(), inputs)

    def into(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> bool:
        """Compute into arrays that are there; False where the answer has other shapes or types, or may have, and stands nowhere.

        No reference to the arrays is left behind.
        """
        if not self._shapes_tell(inputs):
            return False
        compiled = self._ready()
        request = compiled.create_infer_request()
        for name, place in self._outputs.items():
            port, array = compiled.outputs[place], outputs[name]
            if not port.partial_shape.compatible(openvino().PartialShape(list(array.shape))) or port.element_type.to_dtype() != array.dtype:
                return False
            request.set_output_tensor(place, openvino().Tensor(array, shared_memory=True))
        answer = self._infer(request, inputs)
        # a tensor that is large enough is made smaller where the answer is
        found = [(made, outputs[name]) for name, made in answer.items()]
        return all(made.shape == array.shape and made.ctypes.data == array.ctypes.data for made, array in found)

    def _shapes_tell(self, inputs: Mapping[str, NDArray[Any]]) -> bool:
        """Whether the shapes of inputs alone say those of the answer. Where values do (boxes that are found, sides to resize to), an answer
        that is larger than the memory that is there fails; and on one thread it does not fail, and what lay there before passes for it."""
        shapes = {self._inputs[name]: array.shape for name, array in inputs.items()}
        key = tuple(shapes[place] for place in sorted(shapes))
        determined = self._determined.get(key)
        if determined is None:
            determined = self._is_static(shapes)
            if len(self._determined) >= _MOST_SHAPES:
                self._determined.clear()  # another thread may, too: what was found out here is not looked up again
            self._determined[key] = determined
        return determined

    def _is_static(self, shapes: Mapping[int, tuple[int, ...]]) -> bool:
        try:
            model = self._model.clone()
            model.reshape({place: openvino().PartialShape(list(shape)) for place, shape in shapes.items()})
        except RuntimeError:
            return False  # sides that the network does not take: computing says so
        return all(port.partial_shape.is_static for port in model.outputs)

    def _infer(self, request: Any, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        given = {self._inputs[name]: np.ascontiguousarray(array) for name, array in inputs.items()}
        try:
            return self._answer(request, given)
        except (WrongTensors, OutOfMemory):
            # not compiled at once: where memory is short, that would fail too, and the model be called unreadable
            self._compiled = None
            raise

    def _ready(self) -> Any:
        compiled = self._compiled
        if compiled is None:
            compiled = self._compiled = self._compile()
        return compiled

    def _answer(self, request: Any, given: Mapping[int, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        try:
            # not `infer`: on one thread it returns in silence from what failed, with what lay in the memory of the answer
            request.start_async(given, share_inputs=True)
            request.wait()
        except RuntimeError as failed:
            last = (str(failed).strip().splitlines() or [type(failed).__name__])[-1].strip()
            if "alloc" in str(failed):
                raise OutOfMemory(f'model "{self._config.name}": {last}') from failed
            raise WrongTensors(f'model "{self._config.name}" cannot compute these inputs: {last}') from failed
        answer = {name: request.get_output_tensor(place).data for name, place in self._outputs.items()}
        self._config.check_outputs(answer)
        return answer


def can_compute_in(precision: Precision) -> bool:
    """Whether this processor has instructions for a precision."""
    capabilities = openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return precision is Precision.F32 or precision.value.upper() in capabilities


def _readable(file: Path, step: Callable[[], Any]) -> Any:
    from openvino import frontend

    try:
        return step()
    except (*_OF_CONVERSION, frontend.OpConversionFailure, frontend.GeneralFailure, frontend.NotImplementedFailure) as unknown:
        first = next(iter(str(unknown).strip().splitlines()), type(unknown).__name__)
        raise UnreadableModel(f"{file} cannot be computed by OpenVINO: {first}") from unknown


def _model(core: Any, config: ModelConfig, file: Path, content: bytes) -> Any:
    """The model as OpenVINO computes it: from the cache, or converted and kept there."""
    kept = user_cache() / "openvino" / _key(config, file, content)
    if (found := _kept(core, kept)) is not None:
        return found
    with quiet():
        model = core.read_model(io.BytesIO(content)) if file.suffix == ".onnx" else _from_torch(config, file, content)
    _keep(model, kept)
    return model


def _key(config: ModelConfig, file: Path, content: bytes) -> str:
    """Everything that the conversion depends on."""
    said = [FORM, openvino().get_version(), file.suffix, *(str(tensor) for tensor in config.inputs), str(config.max_batch_size)]
    return hashlib.sha256(hashlib.sha256(content).digest() + "\n".join(said).encode()).hexdigest()[:32]


def _kept(core: Any, folder: Path) -> Any | None:
    """A converted model, if it lies there whole: a disk that was full, or a machine that stopped, may have left half of it."""
    try:
        if (folder / _DIGEST).read_text(encoding="ascii") != _digest(folder):
            return None
    except OSError:
        return None
    return core.read_model(str(folder / _MODEL))


def _keep(model: Any, folder: Path) -> None:
    """Keep a converted model; without a folder to write to (a read-only container) it is converted at every start."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
    except OSError:
        return
    try:
        # 16-bit weights are another model
        openvino().save_model(model, str(scratch / _MODEL), compress_to_fp16=False)
        (scratch / _DIGEST).write_text(_digest(scratch), encoding="ascii")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(scratch, folder)
    except (OSError, RuntimeError):
        # the disk is full, or another process kept the same model a moment before
        return
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in (_MODEL, _WEIGHTS):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def _from_torch(config: ModelConfig, file: Path, content: bytes) -> Any:
    """Convert TorchScript or torch.export; through the front end itself, since OpenVINO's own converter reports its use."""
    from openvino.frontend import FrontEndManager

    from inference.engines.torch_model import load_scripted

    if file.suffix == ".pt2":
        from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

        decoder = TorchFXPythonDecoder.from_exported_program(load_program(content))
    else:
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        decoder = TorchScriptPythonDecoder(load_scripted(file, content, frozen=False))
    front_end = FrontEndManager().load_by_framework("pytorch")
    loaded = front_end.load(decoder)
    if file.suffix != ".pt2":
        # an exported program knows its inputs, a script does not
        places = _numbered(config, "input")
        for tensor in config.inputs:
            place = loaded.get_place_by_input_index(places[tensor.name])
            shape = [-1, *tensor.dims] if config.max_batch_size else list(tensor.dims)
            loaded.set_partial_shape(place, openvino().PartialShape(shape))
            loaded.set_element_type(place, openvino().Type(tensor.dtype))
    model = front_end.convert(loaded)
    model.validate_nodes_and_infer_types()
    return model


def _places(model: Any, config: ModelConfig, file: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Where config.pbtxt's tensors stand among the model's inputs and outputs."""
    if file.suffix == ".onnx":
        inputs, outputs = (
            {name: place for place, port in enumerate(ports) for name in port.get_names()} for ports in (model.inputs, model.outputs)
        )
    else:
        inputs, outputs = _numbered(config, "input"), _numbered(config, "output")
    found = []
    for kind, tensors, named, count in (
        ("input", config.inputs, inputs, len(model.inputs)),
        ("output", config.outputs, outputs, len(model.outputs)),
    ):
        absent = [tensor.name for tensor in tensors if named.get(tensor.name, count) >= count]
        if absent:
            raise WrongTensors(f"{file} has no {kind} {', '.join(absent)} that its config.pbtxt names")
        found.append({tensor.name: named[tensor.name] for tensor in tensors})
    return found[0], found[1]


def _numbered(config: ModelConfig, kind: str) -> dict[str, int]:
    """The place of each tensor among a TorchScript model's arguments or results."""
    tensors = config.inputs if kind == "input" else config.outputs
    order = positions(tensors)
    if kind == "input":
        # torch's own computation passes the arguments in this order, whatever the numbers are
        ranked = sorted(order)
        return {tensor.name: ranked.index(place) for tensor, place in zip(tensors, order, strict=True)}
    return {tensor.name: place for tensor, place in zip(tensors, order, strict=True)}
