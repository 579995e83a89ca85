"""Phases of the beat on short-axis cine MR: which of its frames is end-diastole, and which end-systole."""

from inference.applications.cardiac_phase.application import APPLICATION

__all__ = ["APPLICATION"]
