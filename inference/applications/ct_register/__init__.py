"""Rigid registration of the prior CT onto the current one: where it lies, and its images on the current slices."""

from inference.applications.ct_register.application import APPLICATION

__all__ = ["APPLICATION"]
