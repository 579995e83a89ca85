"""Hippocampus on MR crops: its anterior and its posterior part, and their volumes."""

from inference.applications.hippocampus.application import APPLICATION

__all__ = ["APPLICATION"]
