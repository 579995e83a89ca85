"""Deep structures of the brain on T1 MR: masks with their sides, volumes, and how much the sides differ."""

from inference.applications.mr_brain_structures.application import APPLICATION

__all__ = ["APPLICATION"]
