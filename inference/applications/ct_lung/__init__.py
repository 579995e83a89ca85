"""Lungs on chest CT: left and right, their volumes and mean attenuations."""

from inference.applications.ct_lung.application import APPLICATION

__all__ = ["APPLICATION"]
