"""Rigid registration of the prior MR onto the current one: where it lies, and its images on the current slices."""

from inference.applications.mr_register.application import APPLICATION

__all__ = ["APPLICATION"]
