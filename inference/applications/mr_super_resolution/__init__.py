"""Thick slices of T1 MR of the head made into thin ones, as a derived series."""

from inference.applications.mr_super_resolution.application import APPLICATION

__all__ = ["APPLICATION"]
