"""The `backend: "openvino"` of the Triton server on this machine."""
