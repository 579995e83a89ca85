"""Models of the repository, computed on this machine."""
