"""How a model's file and its configuration travel into a confined process, and what is said of the loaded model."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from inference.engines.choosing import Fallback, open_model
from inference.engines.execution import Compute, Execution
from inference.engines.measured import Measured, measured_from_json, measured_to_json
from inference.engines.modelconfig import ModelConfig, TensorConfig
from inference.engines.port import Golden, ModelRef
from inference.engines.runtimes import computation


def to_json(
    model: ModelRef,
    config: ModelConfig,
    file: Path,
    threads: int,
    *,
    execution: Execution | None = None,
    measured: Measured | None = None,
    golden: Golden | None = None,
) -> dict[str, Any]:
    """All that loading needs beside the file's bytes; with an `execution` that one is taken, or else none."""
    return {
        "name": model.name,
        "version": model.version,
        "config": config_to_json(config),
        "file": str(file),
        "threads": threads,
        "way": None if execution is None else str(execution),
        "measured": None if measured is None else measured_to_json(measured),
        "golden": None if golden is None else asdict(golden),
    }


def load(said: Mapping[str, Any], content: bytes) -> tuple[Compute, dict[str, Any]]:
    """The computation, and in which way it is done; `instead` says why it is not the one that was asked for."""
    model = ModelRef(name=said["name"], version=said["version"])
    config = config_from_json(said["config"])
    file, threads = Path(said["file"]), said["threads"]
    if said["way"] is not None:
        return computation(Execution.named(said["way"]), config, file, content, threads), {"way": said["way"], "instead": None}
    golden = said["golden"]
    told: list[Fallback] = []
    chosen = open_model(
        model,
        config,
        file,
        content,
        threads=threads,
        measured=None if said["measured"] is None else measured_from_json(said["measured"]),
        golden=None if golden is None else Golden(**{**golden, "shape": tuple(golden["shape"])}),
        tell=told.append,
    )
    return chosen.compute, {"way": str(chosen.execution), "instead": told[0].reason if told else None}


def config_to_json(config: ModelConfig) -> dict[str, Any]:
    """The tensors of a model, and its batches: what computing it needs of its configuration."""
    return {
        "name": config.name,
        "batch": config.max_batch_size,
        "inputs": [_tensor(tensor) for tensor in config.inputs],
        "outputs": [_tensor(tensor) for tensor in config.outputs],
    }


def config_from_json(said: Mapping[str, Any]) -> ModelConfig:
    """`config_to_json` the other way."""
    inputs, outputs = (tuple(_read(row) for row in said[kind]) for kind in ("inputs", "outputs"))
    return ModelConfig(name=said["name"], backend="", max_batch_size=said["batch"], inputs=inputs, outputs=outputs)


def _tensor(tensor: TensorConfig) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype.str, "dims": list(tensor.dims)}


def _read(row: Mapping[str, Any]) -> TensorConfig:
    return TensorConfig(name=row["name"], dtype=np.dtype(row["dtype"]), dims=tuple(row["dims"]))
