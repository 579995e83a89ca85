"""Bright focal lesions on FLAIR MR by threshold and component analysis: no model, nothing learned."""

from inference.applications.bright_lesion.application import APPLICATION

__all__ = ["APPLICATION"]
