"""`backend: "pytorch"`: the model as the embedded engine computes it."""

from pathlib import Path

from inference.engines.modelconfig import ModelConfig
from inference.engines.torch_model import torch_computation
from inference.engines.triton.serving import Compute, ServedModel


class TritonPythonModel(ServedModel):
    """What the server's python backend looks for in this file."""

    def load(self, config: ModelConfig, file: Path, content: bytes, threads: int) -> Compute:
        """Load the weights with pytorch."""
        return torch_computation(config, file, content, threads)
