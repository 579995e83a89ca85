"""The routing header: an instance's top-level attributes as plain values, without pixels; what routes look at and retention keeps."""

from collections.abc import Mapping
from typing import TypeAlias

Value: TypeAlias = str | float | int
Header: TypeAlias = Mapping[str, tuple[Value, ...]]
"""DICOM keyword → its values: numbers for numeric VRs (DS and IS too), text for the others, DA and TM as DICOM writes them.

A keyword that is absent from the instance is absent here; one that is present without a value has an empty tuple. Of enhanced
multi-frame instances the shared functional groups' PixelSpacing, SliceThickness and ImageOrientationPatient are lifted to the top.
"""
