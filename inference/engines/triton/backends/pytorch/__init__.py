"""The `backend: "pytorch"` of the Triton server on this machine."""
