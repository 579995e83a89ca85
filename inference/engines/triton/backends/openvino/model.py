"""`backend: "openvino"`: the model computed by OpenVINO, whatever its format."""

from inference.engines.execution import Compute, Execution, Runtime
from inference.engines.port import ModelRef
from inference.engines.repository import Repository
from inference.engines.runtimes import computation
from inference.engines.triton.serving import ServedModel


class TritonPythonModel(ServedModel):
    """What the server's python backend looks for in this file."""

    def load(self, model: ModelRef, repository: Repository, threads: int, gpu: int | None) -> Compute:
        """Load the weights with OpenVINO, in single precision; it computes on processors."""
        file, content, _ = repository.read(model)
        return computation(Execution(runtime=Runtime.OPENVINO), repository.config(model), file, content, threads, gpu)
