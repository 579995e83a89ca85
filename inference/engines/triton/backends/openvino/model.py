"""`backend: "openvino"`: the model computed by OpenVINO, whatever its format."""

from inference.engines.port import ModelRef
from inference.engines.repository import Repository
from inference.engines.runtimes import computation
from inference.engines.triton.serving import ServedModel
from inference.engines.ways import Compute, Runtime, Way


class TritonPythonModel(ServedModel):
    """What the server's python backend looks for in this file."""

    def load(self, model: ModelRef, repository: Repository, threads: int) -> Compute:
        """Load the weights with OpenVINO, in single precision."""
        file, content, _ = repository.read(model)
        return computation(Way(runtime=Runtime.OPENVINO), repository.config(model), file, content, threads)
