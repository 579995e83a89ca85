"""Brain extraction on T1 MR: one segment, the intracranial space, and its volume."""

from inference.applications.mr_brain.application import APPLICATION

__all__ = ["APPLICATION"]
