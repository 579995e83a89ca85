"""Rigid registration of an earlier MR of the head onto a CT: where it lies, and its images on the slices of the CT."""

from inference.applications.mr_ct_register.application import APPLICATION

__all__ = ["APPLICATION"]
