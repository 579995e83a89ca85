"""Lung nodules on chest CT: where they are, how large and how dense. Trained on planted nodules; it has seen no real one."""

from inference.applications.lung_nodule.application import APPLICATION

__all__ = ["APPLICATION"]
