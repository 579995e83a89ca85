"""The `backend: "onnxruntime"` of the Triton server on this machine."""
