"""Gliomas on FLAIR, T1, T1 with contrast medium and T2: whole tumour, core and enhancing tumour as masks and volumes."""

from inference.applications.mr_glioma.application import APPLICATION

__all__ = ["APPLICATION"]
