"""What the Triton server on this machine computes with: python-based backends under the names of NVIDIA's own."""
