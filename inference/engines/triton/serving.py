"""How a python-based backend of the local Triton server answers requests: the same computation as the embedded engine's.

An instance of which config.pbtxt says KIND_GPU computes on its GPU: by the library that the model's format belongs to, in single
precision, and behind the golden run where the model has one. Where that library has no GPU the model is not loaded.

Imported by the server's python stubs only (`backends/<name>/model.py`), which run this interpreter's packages.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb  # type: ignore[import-not-found]

from inference.engines.choosing import Fallback, gpu_runtime, on_gpu, open_model
from inference.engines.execution import Arrays, Compute
from inference.engines.modelconfig import names_gpu
from inference.engines.port import ModelRef
from inference.engines.processors import threads_each
from inference.engines.repository import CONFIG, Repository
from inference.errors import HilumError, ModelError


class ServedModel:
    """One instance of a model in its stub; what the server's python backend looks for under the name `TritonPythonModel`."""

    def load(self, model: ModelRef, repository: Repository, threads: int, gpu: int | None) -> Compute:
        """Make a computation of the weights: on GPU number `gpu`, or in the way that the embedded engine would take on this machine."""
        file, content, _ = repository.read(model)
        entry = repository.entry(model)
        if gpu is not None:
            compute = on_gpu(
                model, repository.config(model), file, content, threads=threads, golden=entry.golden if entry else None, gpu=gpu
            )
            pb.Logger.log_info(f'model "{model.name}" version {model.version}: {gpu_runtime(file)} on GPU {gpu}')
            return compute
        chosen = open_model(
            model,
            repository.config(model),
            file,
            content,
            threads=threads,
            measured=entry.embedded if entry else None,
            golden=entry.golden if entry else None,
            tell=_tell,
        )
        pb.Logger.log_info(f'model "{model.name}" version {model.version}: {chosen.runtime}')
        return chosen.compute

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the version that the server names, with this instance's share of the machine's cores."""
        model = ModelRef(name=args["model_name"], version=int(args["model_version"]))
        repository = Repository(Path(args["model_repository"]).parent)
        instances = sum(group["count"] for group in json.loads(args["model_config"])["instance_group"])
        self._config = repository.config(model)
        # where a host has a GPU, the server says GPU of each instance whose kind was left to it
        on_its_gpu = args["model_instance_kind"] == "GPU" and names_gpu(Path(args["model_repository"]) / CONFIG)
        gpu = int(args["model_instance_device_id"]) if on_its_gpu else None
        self._compute = self.load(model, repository, threads_each(instances), gpu)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer the requests of one dynamic batch, in their order."""
        answers: list[Any] = [None] * len(requests)
        alike: dict[tuple[object, ...], list[int]] = {}
        inputs: list[Arrays] = []
        for place, request in enumerate(requests):
            inputs.append({})
            if request.is_cancelled():
                answers[place] = _refused("the caller gave up", pb.TritonError.CANCELLED)
                continue
            try:
                inputs[place] = {tensor.name(): np.from_dlpack(tensor) for tensor in request.inputs()}
                self._config.check_inputs(inputs[place])
            except HilumError as wrong:
                answers[place] = _refused(str(wrong), pb.TritonError.INVALID_ARG)
                continue
            shapes = tuple((name, array.shape[1:]) for name, array in sorted(inputs[place].items()))
            key = shapes if self._config.max_batch_size > 0 else (place,)
            alike.setdefault(key, []).append(place)
        for places in alike.values():
            for place, answer in zip(places, self._together([inputs[place] for place in places]), strict=True):
                answers[place] = answer
        return answers

    def _together(self, batch: Sequence[Arrays]) -> list[Any]:
        """Compute requests of one shape as one batch; where that fails, each by itself: one bad request fails alone."""
        if len(batch) == 1:
            return [self._alone(batch[0])]
        joined = {name: np.concatenate([inputs[name] for inputs in batch]) for name in batch[0]}
        ends = np.cumsum([next(iter(inputs.values())).shape[0] for inputs in batch])[:-1]
        try:
            outputs = self._compute(joined)
            self._config.check_outputs(outputs)
        except HilumError:
            return [self._alone(inputs) for inputs in batch]
        parts = {name: np.split(array, ends) for name, array in outputs.items()}
        return [_answer({name: pieces[place] for name, pieces in parts.items()}) for place in range(len(batch))]

    def _alone(self, inputs: Arrays) -> Any:
        try:
            outputs = self._compute(inputs)
            self._config.check_outputs(outputs)
        except HilumError as failed:
            return _refused(str(failed), pb.TritonError.INVALID_ARG if isinstance(failed, ModelError) else pb.TritonError.INTERNAL)
        return _answer(outputs)


def _tell(fallback: Fallback) -> None:
    pb.Logger.log_warn(f'model "{fallback.model.name}": computed by {fallback.used}, not by {fallback.wanted}: {fallback.reason}')


def _answer(outputs: Arrays) -> Any:
    # numpy 2 and the server's own conversion do not fit: it would send zeros. DLPack carries the memory as it lies, and hands over
    # writable, contiguous memory only.
    tensors = [pb.Tensor.from_dlpack(name, np.require(array, requirements=["C", "W"])) for name, array in outputs.items()]
    return pb.InferenceResponse(tensors)


def _refused(reason: str, code: int) -> Any:
    return pb.InferenceResponse([], pb.TritonError(reason, code))
