"""Noise taken out of magnitude MR of the head, as a derived series."""

from inference.applications.mr_denoise.application import APPLICATION

__all__ = ["APPLICATION"]
