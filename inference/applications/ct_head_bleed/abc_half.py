"""ABC/2, by which readers estimate the volume of a haemorrhage from three diameters, as data and arithmetic.

Kothari RU, Brott T, Broderick JP and others: The ABCs of measuring intracerebral hemorrhage volumes. Stroke 1996;27:1304-1305,
doi 10.1161/01.STR.27.8.1304: A is the largest diameter on the slice with most haemorrhage, B the diameter across it, C the number of
slices times their distance, of which one with more than 75 % of that area counts whole, one with 25 to 75 % half, and one with less not.
"""

import numpy as np
from numpy.typing import NDArray

from inference.codes import Code
from inference.imaging.diameters import axes_mm

ABC_HALF = Code("ABC-HALF", "99HILUM", "ABC/2 of the largest part")
"""No published scheme has a code for it: it is this project's own."""

_WHOLE, _HALF = 0.75, 0.25
_TOUCHING = np.ones((3, 3, 3), dtype=np.int8)


def abc_half_cm3(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> float:
    """ABC/2 of the largest part of a mask (Z, Y, X) whose slices are its planes; 0 of an empty one."""
    from scipy import ndimage

    parts, found = ndimage.label(mask, structure=_TOUCHING)
    if not found:
        return 0.0
    largest = parts == int(np.bincount(parts.ravel())[1:].argmax()) + 1
    areas = np.count_nonzero(largest, axis=(1, 2))
    widest = int(areas.argmax())
    a_mm, b_mm = axes_mm(largest[widest], spacing_mm[1:])
    shares = areas / areas[widest]
    c_mm = spacing_mm[0] * float(np.where(shares > _WHOLE, 1.0, np.where(shares >= _HALF, 0.5, 0.0)).sum())
    return a_mm * b_mm * c_mm / 2 / 1000
