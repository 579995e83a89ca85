"""Pneumonia on frontal chest radiographs of children of one to five years, present, absent or undetermined: a demonstration."""

from inference.applications.chest_xray.application import APPLICATION

__all__ = ["APPLICATION"]
