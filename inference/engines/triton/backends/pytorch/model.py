"""`backend: "pytorch"`: the model as the embedded engine computes it on this machine."""

from inference.engines.triton.serving import ServedModel


class TritonPythonModel(ServedModel):
    """What the server's python backend looks for in this file."""
