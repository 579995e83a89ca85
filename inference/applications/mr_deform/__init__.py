"""Deformable registration of the prior MR onto the current one: where each place lies in it, and its images bent to fit."""

from inference.applications.mr_deform.application import APPLICATION

__all__ = ["APPLICATION"]
