"""Findings become DICOM objects: segmentation, structured report, summary page; each is re-read and checked before it may leave."""
