"""What runs on a real tritonserver of this machine."""
