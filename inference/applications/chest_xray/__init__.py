"""Pneumonia on frontal chest radiographs, present, absent or undetermined: a demonstration at 28 × 28 pixels, never for patients."""

from inference.applications.chest_xray.application import APPLICATION

__all__ = ["APPLICATION"]
