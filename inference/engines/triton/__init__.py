"""Models of the repository on a Triton Inference Server: the engine that asks one, and one that runs on this machine."""
