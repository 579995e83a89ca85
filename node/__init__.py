"""The DICOM node: what talks to the PACS, and what remembers."""
