"""Pictures of a pair: the current volume, the prior one as it lies in the current one's space, and both in a checkerboard."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

from inference.findings import Findings
from inference.imaging.subject import Pair
from inference.said import say
from node.results.page.figures import Crop, Figure, Pictures, by_certainty, volume_figure
from node.results.page.panels import Window, key_slices, window_of
from node.results.page.tiles import Tile

_ROWS = 2
_SQUARE_MM = 25.0


def pair_figure(pair: Pair, findings: Findings, names: Sequence[str]) -> Figure:
    """Two slices, each three times: current, prior where it belongs, checkerboard. Where nobody knows how the prior lies: the current."""
    matrix = _matrix(pair, findings)
    if matrix is None:
        alone = volume_figure(pair.current, findings, names)
        return Figure(tiles=alone.tiles, images=alone.images, notes=[*alone.notes, ("prior", "not aligned, not shown")])
    pictures = Pictures(volume=pair.current, findings=findings)
    chosen = key_slices(pair.current, findings.segments, _ROWS, by_certainty(findings.locations))
    crop = pictures.crop(chosen)
    window = window_of(pair.prior, ())
    tiles: list[Tile] = []
    for z in chosen:
        current = pictures.acquired(z, crop, say("current, {image}", image=names[z]))
        prior = _Prior(pair=pair, matrix=matrix, pictures=pictures, crop=crop, window=window)
        tiles += [
            current,
            Tile(extent=current.extent, mm=True, paint=partial(prior.aligned, z), name=say("prior, aligned"), letters=current.letters),
            Tile(
                extent=current.extent, mm=True, paint=partial(prior.checkerboard, z), name=say("current / prior"), letters=current.letters
            ),
        ]
    return Figure(tiles=tiles, images=sorted(chosen), notes=pictures.notes, columns=3)


def _matrix(pair: Pair, findings: Findings) -> NDArray[np.float64] | None:
    """From the prior's patient coordinates to the current's; None when nobody knows."""
    if findings.registration is not None:
        return findings.registration.matrix
    same = pair.current.frame_of_reference_uid == pair.prior.frame_of_reference_uid != ""
    return np.eye(4) if same else None


class _Prior:
    """The prior volume on slices of the current one."""

    def __init__(self, *, pair: Pair, matrix: NDArray[np.float64], pictures: Pictures, crop: Crop, window: Window) -> None:
        self._pair, self._pictures, self._crop, self._window = pair, pictures, crop, window
        self._back = np.linalg.inv(matrix)

    def aligned(self, z: int, size: tuple[int, int]) -> Image.Image:
        """The prior, linearly interpolated; black where it does not reach."""
        view, crop = self._pictures.view, self._crop
        grid = np.indices(self._pair.current.voxels.shape[1:])
        rows, columns = view.turn(grid[0])[crop], view.turn(grid[1])[crop]
        # array indices of the current volume to those of the prior: out to the patient, back by the registration, in again
        places = self._pair.current.to_patient(np.stack([np.full(rows.shape, z), rows, columns], axis=-1).reshape(-1, 3))
        indices = self._pair.prior.to_indices(places @ self._back[:3, :3].T + self._back[:3, 3])
        values = map_coordinates(self._pair.prior.voxels, indices.T, order=1, cval=np.nan, output=np.float32)
        beyond = np.isnan(values)
        grey = np.where(beyond, 0, self._window.grey(np.where(beyond, 0, values)))
        picture = Image.fromarray(grey.astype(np.uint8).reshape(rows.shape))
        return picture.resize(size, Image.Resampling.BICUBIC).convert("RGB")

    def checkerboard(self, z: int, size: tuple[int, int]) -> Image.Image:
        """Squares of the current and the prior in turn: edges run on across them where the two are aligned."""
        current = self._pictures.plain(z, self._crop, size)
        down, _ = self._pictures.view.spacing_mm
        side = max(round(_SQUARE_MM * size[1] / ((self._crop[0].stop - self._crop[0].start) * down)), 2)
        rows, columns = np.indices(size[::-1])
        odd = (rows // side + columns // side) % 2 == 1
        current.paste(self.aligned(z, size), (0, 0), Image.fromarray(odd.astype(np.uint8) * np.uint8(255)))
        return current
