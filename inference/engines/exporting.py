"""A model in another format: TorchScript and torch.export to ONNX and torch.export, the difference measured before anything is written.

What can be converted: a torch.export file to ONNX; TorchScript to ONNX (torch's older exporter) and to torch.export (a converter that
torch ships and calls experimental; loops and branches on values in the script stop it). ONNX is not converted to anything: no way from
it to torch would be less than another implementation of every operator.
"""

import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.configtext import config_text
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.errors import NotConvertible, TooDifferent
from inference.engines.extras import demand
from inference.engines.golden import golden_input
from inference.engines.jail.loading import config_from_json, config_to_json
from inference.engines.jail.model import Limits, call_in_jail, carries_code, imports_of
from inference.engines.modelconfig import ANY, ModelConfig, TensorConfig, parse_text, positions
from inference.engines.port import ModelRef
from inference.engines.program import load_program
from inference.engines.repository import CONFIG, Repository
from inference.engines.sieve.sieve import sift

FORMATS = {"onnx": "model.onnx", "pt2": "model.pt2"}
"""What `hilum models convert --to` takes, and what the file is called."""

TOLERANCE = 1e-3
"""Largest absolute difference of outputs that is no difference; logits and probabilities are of the order of one."""

CONVERT_S = 1800.0
"""How long a conversion may take: it traces every operator in Python."""

_RANDOM_RUNS = 3
_OPEN_SIDE = 32
_OTHER_SIDE = 48
"""Sides at which open axes are tried: two, so that a side that the conversion took for fixed shows itself."""

_FAILS = (RuntimeError, ValueError, TypeError, NotImplementedError, AssertionError, LookupError, AttributeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionDifference:
    """How far a converted model's outputs are from the original's, over the golden and random inputs.

    `argmax_agreement` is the share of places whose largest channel is the same; None for outputs of one channel.
    """

    largest: float
    mean: float
    argmax_agreement: float | None
    inputs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A converted model: its file, the config.pbtxt for it, the difference."""

    file: str
    content: bytes
    config: str
    difference: ConversionDifference


def export_model(repository: Path, model: ModelRef, to: str, *, tolerance: float = TOLERANCE) -> Exported:
    """A model of the repository in another format, measured against itself on the embedded engine.

    Raises
    ------
    NotConvertible, TooDifferent, ModelError
    """
    opened = Repository(repository)
    config = opened.config(model)
    file, content, _ = opened.read(model)
    made = convert(config, file.suffix, content, to)
    text = config_text(
        model.name, "onnxruntime" if to == "onnx" else "pytorch", config.max_batch_size, config.inputs, config.outputs, FORMATS[to]
    )
    with closing(EmbeddedEngine(repository)) as engine:
        difference = difference_from(lambda inputs: engine.infer(model, inputs), model.name, text, FORMATS[to], made)
    refuse_different(f'"{model.name}" version {model.version} as {to}', difference, tolerance)
    return Exported(file=FORMATS[to], content=made, config=text, difference=difference)


def refuse_different(what: str, difference: ConversionDifference, tolerance: float = TOLERANCE) -> None:
    """Refuse a conversion that is further from the original than is tolerated.

    Raises
    ------
    TooDifferent
    """
    if not difference.largest <= tolerance:
        raise TooDifferent(
            f"{what} differs by {difference.largest:.3g} (mean {difference.mean:.3g}) from the original over {difference.inputs} inputs; "
            f"{tolerance:g} is tolerated"
        )


def convert(config: ModelConfig, suffix: str, content: bytes, to: str, *, limits: Limits | None = None) -> bytes:
    """The bytes of a model in another format, converted in a confined process; axes that config.pbtxt leaves open stay open.

    Raises
    ------
    NotConvertible, Unconfined
    """
    if suffix == ".onnx":
        raise NotConvertible(f'"{config.name}" is ONNX, which is converted to nothing')
    if suffix == f".{to}":
        raise NotConvertible(f'"{config.name}" is {to} already')
    what = f'"{config.name}"'
    if to == "onnx":
        demand(f"{what} as ONNX", "torch", *(("onnx", "onnxscript") if suffix == ".pt2" else ()))
    _, made = call_in_jail(
        what,
        "inference.engines.exporting:converted",
        content,
        {"config": config_to_json(config), "suffix": suffix, "to": to},
        limits=limits or Limits.usual(),
        carries_code=carries_code(f"model{suffix}", content),
        imports=imports_of(f"model{suffix}"),
        seconds=CONVERT_S,
    )
    return made


def converted(content: bytes, *, config: Mapping[str, Any], suffix: str, to: str) -> tuple[None, bytes]:
    """As `convert`, in the process that loads the model."""
    return None, _converted(config_from_json(config), suffix, content, to)


def _converted(config: ModelConfig, suffix: str, content: bytes, to: str) -> bytes:
    import torch

    from inference.engines.torch_model import load_scripted

    sift(f"model{suffix}", content, f'the file of "{config.name}"')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if suffix == ".pt2":
                return onnx_of(load_program(content), _names(config.inputs), _names(config.outputs))
            module = load_scripted(Path(f"model{suffix}"), content, frozen=False)
            examples = tuple(torch.from_numpy(array) for array in _inputs(config, 2, _OPEN_SIDE, None))
            return _script_to_onnx(config, module, examples) if to == "onnx" else _script_to_program(module, examples)
    except _FAILS as failed:
        said = str(failed).strip().splitlines()
        raise NotConvertible(f'torch cannot convert "{config.name}" to {to}: {said[0] if said else type(failed).__name__}') from failed


def onnx_of(program: Any, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """An exported program as one ONNX file.

    Raises
    ------
    NotConvertible
    """
    import torch

    # it warns of an optional package's operators, which no network here has
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    try:
        made = torch.onnx.export(
            program, (), None, input_names=list(inputs), output_names=list(outputs), dynamo=True, external_data=False, verbose=False
        )
    except torch.onnx.errors.OnnxExporterError as failed:
        raise NotConvertible(f"torch cannot write ONNX: {str(failed).strip().splitlines()[0]}") from failed
    assert made is not None, "the exporter of exported programs gives a program"
    # in memory: where a model is converted there is no folder
    return bytes(made.model_proto.SerializeToString())


def program_bytes(program: Any) -> bytes:
    """An exported program as a .pt2 file."""
    import torch

    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def _script_to_onnx(config: ModelConfig, module: Any, examples: tuple[Any, ...]) -> bytes:
    """By torch's older exporter: the newer one takes no ScriptModule."""
    import torch

    inputs, outputs = _names(config.inputs), _names(config.outputs)
    axes = {name: _open_axes(config, tensor) for tensor, name in (*_ordered(config.inputs), *_ordered(config.outputs))}
    made = io.BytesIO()
    torch.onnx.export(
        module,
        examples,
        made,  # type: ignore[arg-type]
        input_names=inputs,
        output_names=outputs,
        dynamic_axes={name: places for name, places in axes.items() if places},
        dynamo=False,
    )
    return made.getvalue()


def _script_to_program(module: Any, examples: tuple[Any, ...]) -> bytes:
    """By the converter that torch ships for its old format; it finds by itself which sides may differ."""
    from torch._export.converter import TS2EPConverter

    return program_bytes(TS2EPConverter(module, examples).convert())


def _ordered(tensors: Sequence[TensorConfig]) -> list[tuple[TensorConfig, str]]:
    """Tensors with their names, in the order of a model's arguments or results."""
    return [(tensor, tensor.name) for _, tensor in sorted(zip(positions(tuple(tensors)), tensors, strict=True), key=lambda pair: pair[0])]


def _names(tensors: Sequence[TensorConfig]) -> list[str]:
    return [name for _, name in _ordered(tensors)]


def _open_axes(config: ModelConfig, tensor: TensorConfig) -> dict[int, str]:
    lead = 1 if config.max_batch_size > 0 else 0
    axes = {place + lead: f"{tensor.name}_{place}" for place, side in enumerate(tensor.dims) if side == ANY}
    return {0: "batch", **axes} if lead else axes


def _inputs(config: ModelConfig, batch: int, side: int, seed: int | None) -> list[NDArray[Any]]:
    """One array for each input in the order of the arguments: the golden input, or noise."""
    made = []
    for tensor, _ in _ordered(config.inputs):
        shape = tuple(side if each == ANY else each for each in tensor.dims)
        shape = (min(batch, config.max_batch_size), *shape) if config.max_batch_size > 0 else shape
        if seed is None:
            made.append(golden_input(shape, tensor.dtype))
        else:
            made.append((np.random.default_rng(seed).standard_normal(shape) * 3).astype(tensor.dtype))
    return made


@contextmanager
def on_trial(
    name: str, text: str, file: str, content: bytes, *, allow_code: bool = False
) -> Iterator[Callable[[dict[str, NDArray[Any]]], dict[str, NDArray[Any]]]]:
    """A model on the embedded engine before it is in the repository: all inputs by name to its outputs by name.

    Parameters
    ----------
    name, text, file, content
        What it is called, its config.pbtxt, what its file is called, and the bytes.
    allow_code
        As `ModelFile`.
    """
    model = ModelRef(name=name)
    with tempfile.TemporaryDirectory(prefix="hilum-trial-") as folder:
        trial = Path(folder)
        (trial / model.name / str(model.version)).mkdir(parents=True)
        (trial / model.name / CONFIG).write_text(text, encoding="utf-8")
        (trial / model.name / str(model.version) / file).write_bytes(content)
        with closing(EmbeddedEngine(trial, limits=Limits.usual(allow_code=allow_code))) as engine:
            yield lambda inputs: engine.infer(model, inputs)


def difference_from(
    before: Callable[[dict[str, NDArray[Any]]], Mapping[str, NDArray[Any]]], name: str, text: str, file: str, content: bytes
) -> ConversionDifference:
    """How far a converted model is from what `before` computes.

    Over the golden input and noise, with one and two in the batch, and with other sides where config.pbtxt leaves them open.

    Parameters
    ----------
    before
        The original: all inputs by name to its outputs by name.
    name, text, file, content
        Of the converted model: its name, its config.pbtxt, what its file is called, and the bytes.
    """
    config = parse_text(text, name, f'the configuration of "{name}"')
    tried = [(1, _OPEN_SIDE, None), *((1 + seed % 2, _OTHER_SIDE if seed == 1 else _OPEN_SIDE, seed) for seed in range(_RANDOM_RUNS))]
    largest, total, count, same, places = 0.0, 0.0, 0, 0, 0
    channels = 1 if config.max_batch_size > 0 else 0
    with on_trial(name, text, file, content) as after:
        for batch, side, seed in tried:
            given = dict(zip(_names(config.inputs), _inputs(config, batch, side, seed), strict=True))
            one, other = before(given), after(given)
            for name, array in other.items():
                far = np.abs(one[name].astype(np.float32, copy=False) - array.astype(np.float32, copy=False))
                most = float(far.max(initial=0.0)) if np.isfinite(far).all() else float("inf")
                largest, total, count = max(largest, most), total + float(far.sum(dtype=np.float64)), count + far.size
                if array.ndim > channels and array.shape[channels] > 1:
                    agree = array.argmax(axis=channels) == one[name].argmax(axis=channels)
                    same, places = same + int(agree.sum()), places + agree.size
    return ConversionDifference(
        largest=largest, mean=total / max(count, 1), argmax_agreement=same / places if places else None, inputs=len(tried)
    )
