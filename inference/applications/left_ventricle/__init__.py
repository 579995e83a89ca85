"""Left ventricle on short-axis cine MR: its cavity over the beat, its volumes at end-diastole and end-systole, the ejection fraction."""

from inference.applications.left_ventricle.application import APPLICATION

__all__ = ["APPLICATION"]
