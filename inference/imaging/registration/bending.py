"""What is measured of a bending: how far it goes in the body, whether it fits, and whether it folds.

The numbers are of the bending, and of what a smooth warp can follow: a lesion that grew is in them only as far as it pushed what lies
around it, and a new one is not. What grows or shrinks is not measured: of heads that were moved and not bent, 3 to 10 % of the places seem
to be a tenth larger or smaller, by the noise of the bending alone.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.codes import Code
from inference.findings import Deformation, Measurement
from inference.imaging.volume import Volume

FAR_MM = 2.0
"""From which on a place counts as bent: of heads that were moved and not bent, 0.03 % of the places at most are."""

BENT_OFTEN = Code("BENT-P95", "99HILUM", "Bending in 95 % of the body, at most")
BENT_MOST = Code("BENT-MOST", "99HILUM", "Largest displacement by bending")
BENT_SHARE = Code("BENT-OVER-2MM", "99HILUM", "Body bent by more than 2 mm, share")
FOLDED_SHARE = Code("FOLDED", "99HILUM", "Moved places folded, share")
LIKE_RIGID = Code("CORR-RIGID", "99HILUM", "Correlation of grey values before bending")
LIKE_BENT = Code("CORR-BENT", "99HILUM", "Correlation of grey values after bending")

CONCEPTS = {
    BENT_OFTEN: codes.MILLIMETRE,
    BENT_MOST: codes.MILLIMETRE,
    BENT_SHARE: codes.PERCENT,
    FOLDED_SHARE: codes.PERCENT,
    LIKE_RIGID: codes.NO_UNITS,
    LIKE_BENT: codes.NO_UNITS,
}
"""With their units, in the order in which they are said."""


def measurements(deformation: Deformation, current: Volume, prior: Volume, body: NDArray[np.bool_]) -> Iterator[Measurement]:
    """The numbers of a bending, from the nodes of its grid that lie in the body on both visits' images; none where no node does.

    Parameters
    ----------
    body
        (Z, Y, X) on the current volume's grid.
    """
    # manifests name the concepts, and are read by commands that run nothing
    from inference.imaging.registration.field import folded, places_in_prior

    shape = deformation.offsets.shape[:3]
    nodes = np.indices(shape).reshape(3, -1).T
    places = nodes @ deformation.affine[:3, :3].T + deformation.affine[:3, 3]
    here, there = current.to_indices(places), prior.to_indices(places_in_prior(deformation, places))
    counts = _within(here, current) & _within(there, prior)
    counts[counts] = body[tuple(np.rint(here[counts]).astype(np.intp).T)]
    if not counts.any():
        return
    far = np.linalg.norm(deformation.offsets.reshape(-1, 3)[counts].astype(np.float64), axis=1)
    yield _of(BENT_OFTEN, float(np.percentile(far, 95)))
    most = int(far.argmax())
    yield _of(BENT_MOST, float(far[most]), round(float(here[counts][most][0])))
    yield _of(BENT_SHARE, 100 * float((far > FAR_MM).mean()))
    yield _of(FOLDED_SHARE, 100 * folded(deformation))
    now = _seen(current, here[counts])
    stiff = Deformation(matrix=deformation.matrix, offsets=np.zeros_like(deformation.offsets), affine=deformation.affine)
    for name, at in ((LIKE_RIGID, prior.to_indices(places_in_prior(stiff, places[counts]))), (LIKE_BENT, there[counts])):
        before = _seen(prior, at)
        if now.std() and before.std():
            yield _of(name, float(np.corrcoef(now, before)[0, 1]))


def _of(name: Code, value: float, *images: int) -> Measurement:
    return Measurement(name=name, value=value, unit=CONCEPTS[name], images=images)


def _within(indices: NDArray[np.float64], volume: Volume) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = np.all((indices >= -0.5) & (indices < np.array(volume.voxels.shape) - 0.5), axis=1)
    return inside


def _seen(volume: Volume, indices: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.ndimage import map_coordinates

    values: NDArray[np.float64] = map_coordinates(volume.voxels, indices.T, order=1, mode="nearest", output=np.float64)
    return values
