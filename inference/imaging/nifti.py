"""NIfTI-1 in one file (.nii, .nii.gz): a volume is written as one, and a label map is read back onto the grid of a volume.

Header: 348 bytes (https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h). Its world is RAS, that of DICOM LPS: x and y have the other
sign. What is read is a stranger's file: it is held against the volume's grid before its voxels are unpacked, and takes no more memory than
they do.
"""

import gzip
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from inference.imaging.errors import IrregularSpacing
from inference.imaging.volume import Affine, Reals, Volume, space

_HEADER: Final = 348
_FIRST_VOXEL: Final = 352
_MAGIC: Final = b"n+1\0"
_SECOND_FORM: Final = 540
"""What stands in the place of the header's length in NIfTI-2."""
_MOST_EXTENSION: Final = 1 << 20
_TYPES: Final[Mapping[int, str]] = dict(
    zip((2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280), ("u1", "i2", "i4", "f4", "f8", "i1", "u2", "u4", "i8", "u8"), strict=True)
)
"""Of a voxel, by nifti1.h's codes; complex numbers, colours and 128 bits are none of a label map."""
_CODES: Final[Mapping[str, int]] = {name: code for code, name in _TYPES.items()}
_ORDERS: Final[tuple[Literal["<", ">"], ...]] = ("<", ">")
_SCANNER: Final = 1
_MILLIMETRE: Final = 2
_OFF: Final = 0.05
"""Share of a voxel by which a corner may lie beside the volume's: rounding to 32 bits and of decimal strings."""
_NO_SHEAR: Final = 1e-4
_MOST_LABEL: Final = 65535
_GZIP: Final = b"\x1f\x8b"
_LPS: Final = np.array([-1.0, -1.0, 1.0])
"""The signs of RAS in LPS."""

Labels = NDArray[np.uint16]


def write_nifti(path: Path, volume: Volume) -> None:
    """Write a volume with its modality values; compressed where the name ends in .gz, to the same bytes each time.

    Indices (i, j, k) are column, row and slice. The place stands in sform, exactly; in qform too where the grid is not sheared.

    Raises
    ------
    IrregularSpacing
        The slices lie in unequal steps, and a NIfTI file has one.
    """
    if volume.steps is not None:
        least, most = volume.apart_mm
        raise IrregularSpacing(f"the slices lie {least:.2f} to {most:.2f} mm apart, and a NIfTI file has one step from slice to slice")
    voxels = volume.voxels if volume.voxels.dtype.str[1:] in _CODES else volume.voxels.astype(np.float32)
    content = _header(voxels, volume.affine)
    with path.open("wb") as plain:
        if path.name.endswith(".gz"):
            with gzip.GzipFile(filename="", fileobj=plain, mode="wb", compresslevel=1, mtime=0) as packed:
                _write(packed, content, voxels)
        else:
            _write(plain, content, voxels)


def _write(file: BufferedIOBase, header: bytes, voxels: NDArray[Any]) -> None:
    file.write(header + bytes(_FIRST_VOXEL - len(header)))
    file.writelines(np.ascontiguousarray(plane, dtype=plane.dtype.newbyteorder("<")).tobytes() for plane in voxels)


def _header(voxels: NDArray[Any], affine: Affine) -> bytes:
    """The header of voxels (Z, Y, X) at an affine from (z, y, x) to LPS mm."""
    depth, rows, columns = voxels.shape
    # columns of i, j, k and of the origin
    ras = affine[:3, [2, 1, 0, 3]] * _LPS[:, None]
    steps = np.linalg.norm(ras[:, :3], axis=0)
    directions = ras[:, :3] / steps
    side = 1.0 if np.linalg.det(directions) > 0 else -1.0
    sheared = np.abs(directions.T @ directions - np.eye(3)).max() > _NO_SHEAR
    quaternion = (0.0, 0.0, 0.0) if sheared else _quaternion(directions * [1, 1, side])
    code = _CODES[voxels.dtype.str[1:]]
    return b"".join(
        [
            struct.pack("<i36x8h14x", _HEADER, 3, columns, rows, depth, 1, 1, 1, 1),
            struct.pack("<2h2x8f", code, 8 * voxels.dtype.itemsize, side, *steps, 0, 0, 0, 0),
            # no scale; millimetres; no description
            struct.pack("<3fhBB4f8x80x24x", _FIRST_VOXEL, 1, 0, 0, 0, _MILLIMETRE, 0, 0, 0, 0),
            struct.pack("<2h6f", 0 if sheared else _SCANNER, _SCANNER, *quaternion, *ras[:, 3]),
            struct.pack("<12f16x4s", *ras.ravel(), _MAGIC),
        ]
    )


def _quaternion(rotation: Reals) -> tuple[float, float, float]:
    """b, c, d of the unit quaternion of a rotation whose a is not below 0 (nifti1.h, method 2)."""
    # the eigenvector of the largest eigenvalue (Bar-Itzhack 2000, J. Guidance 23(6):1085): good where any of the four is near 0
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    matrix = np.array(
        [
            [xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, xx - yy - zz, yx + xy, zx + xz],
            [xz - zx, yx + xy, yy - xx - zz, zy + yz],
            [yx - xy, zx + xz, zy + yz, zz - xx - yy],
        ]
    )
    _, vectors = np.linalg.eigh(matrix)
    b, c, d = vectors[1:, -1] * (1 if vectors[0, -1] >= 0 else -1)
    return float(b), float(c), float(d)


# ---- reading


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What a header says: sides and affine of (i, j, k), the last to LPS mm."""

    shape: tuple[int, int, int]
    affine: Affine
    voxel: np.dtype[Any]
    begins: int
    slope: float
    intercept: float


def read_labels(path: Path, volume: Volume) -> Labels:
    """The label of each voxel of a volume (Z, Y, X), of a file that holds whole numbers from 0 to 65535 on the same grid.

    Its axes may be turned or mirrored, as tools turn them towards RAS: the voxels are the volume's.

    Raises
    ------
    ValueError
        It is no NIfTI-1 file or damaged, lies on another grid, or holds what is no label: a sentence each.
    """
    with path.open("rb") as plain:
        packed = plain.read(2) == _GZIP
        plain.seek(0)
        file: BufferedIOBase = gzip.GzipFile(fileobj=plain, mode="rb") if packed else plain
        try:
            head = _read_head(file)
            turn = _turned(head, volume)
            return turn.of(_read_voxels(file, head))
        except (EOFError, zlib.error, gzip.BadGzipFile) as broken:
            raise ValueError(f"it is packed, and damaged ({type(broken).__name__})") from broken


def _read_head(file: BufferedIOBase) -> _Head:
    content = file.read(_FIRST_VOXEL)
    if len(content) < _FIRST_VOXEL:
        raise ValueError(f"it has {len(content)} bytes, fewer than a NIfTI header")
    order = next((order for order in _ORDERS if struct.unpack_from(f"{order}i", content)[0] == _HEADER), None)
    if order is None:
        second = any(struct.unpack_from(f"{each}i", content)[0] == _SECOND_FORM for each in _ORDERS)
        raise ValueError("it is NIfTI-2; NIfTI-1 is read" if second else "it is no NIfTI file")
    if content[344:348] != _MAGIC:
        raise ValueError("it is no NIfTI-1 in one file (its magic is not n+1)")
    sides, *dims = struct.unpack_from(f"{order}8h", content, 40)
    if not 3 <= sides <= len(dims) or any(side < 1 for side in dims[:sides]) or any(side > 1 for side in dims[3:sides]):
        raise ValueError(f"it has {_by(dims[: max(0, min(sides, len(dims)))])} voxels, and is no volume")
    (code,) = struct.unpack_from(f"{order}h", content, 70)
    if code not in _TYPES:
        raise ValueError(f"its voxels are of a type ({code}) that no label has")
    begins, slope, intercept = struct.unpack_from(f"{order}3f", content, 108)
    if not _FIRST_VOXEL <= begins <= _FIRST_VOXEL + _MOST_EXTENSION:  # what is no number is in no range
        raise ValueError("it does not say where its voxels begin")
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        slope, intercept = 0.0, 0.0
    first, second_, third = dims[:3]
    return _Head(
        shape=(first, second_, third),
        affine=_place(content, order),
        voxel=np.dtype(_TYPES[code]).newbyteorder(order),
        begins=int(begins),
        slope=slope or 1.0,
        intercept=intercept if slope else 0.0,
    )


def _place(content: bytes, order: Literal["<", ">"]) -> Affine:
    """(4, 4): (i, j, k) to LPS mm, by sform, else by qform (nifti1.h, methods 3 and 2)."""
    by_quaternion, by_rows = struct.unpack_from(f"{order}2h", content, 252)
    affine = np.eye(4)
    if by_rows > 0:
        affine[:3] = np.reshape(struct.unpack_from(f"{order}12f", content, 280), (3, 4))
    elif by_quaternion > 0:
        b, c, d, *origin = struct.unpack_from(f"{order}6f", content, 256)
        side, *steps = struct.unpack_from(f"{order}4f", content, 76)
        a = math.sqrt(max(0.0, 1 - b * b - c * c - d * d))
        rotation = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
            ]
        )
        affine[:3, :3] = rotation * np.array(steps) * [1, 1, -1 if side < 0 else 1]
        affine[:3, 3] = origin
    else:
        raise ValueError("it does not say where in the patient it lies (sform_code and qform_code are 0)")
    affine[:3] *= _LPS[:, None]
    return affine


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """How axes (i, j, k) become (z, y, x): which of them each is, and whether it runs the other way."""

    axes: tuple[int, int, int]
    mirrored: tuple[bool, bool, bool]

    def of(self, labels: Labels) -> Labels:
        """Labels (I, J, K) as (Z, Y, X)."""
        turned = labels.transpose(self.axes)
        return turned[tuple(slice(None, None, -1 if each else 1) for each in self.mirrored)]


def _turned(head: _Head, volume: Volume) -> _Turn:
    """How its voxels lie on those of the volume, one on one.

    Raises
    ------
    ValueError
        They do not.
    """
    shape = volume.voxels.shape
    if not np.isfinite(head.affine).all() or volume.steps is not None:
        raise ValueError("it lies on no grid that the images have")
    # (i, j, k) to (z, y, x)
    steps = np.linalg.inv(volume.affine) @ head.affine
    axes = np.abs(steps[:3, :3]).argmax(axis=1)
    if len(set(axes.tolist())) < 3 or tuple(head.shape[axis] for axis in axes) != shape:
        raise ValueError(f"it has {_by(head.shape)} voxels, the images {_by(shape[::-1])} (columns, rows, slices)")
    mirrored = tuple(bool(steps[row, axis] < 0) for row, axis in enumerate(axes))
    corners = np.stack(np.meshgrid(*([0, side - 1] for side in head.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    there = corners @ steps[:3, :3].T + steps[:3, 3]
    wanted = np.where(mirrored, np.array(shape) - 1 - corners[:, axes], corners[:, axes])
    beside = np.abs(there - wanted).max()
    if not beside <= _OFF:  # what is no number is not within
        raise ValueError(f"it lies on another grid than the images: a corner lies {beside:.2f} voxels off")
    first, second, third = axes.tolist()
    return _Turn(axes=(first, second, third), mirrored=(mirrored[0], mirrored[1], mirrored[2]))


def _read_voxels(file: BufferedIOBase, head: _Head) -> Labels:
    """The voxels as labels (I, J, K), slice by slice."""
    if len(file.read(head.begins - _FIRST_VOXEL)) < head.begins - _FIRST_VOXEL:
        raise ValueError("it ends before its voxels begin")
    columns, rows, depth = head.shape
    labels = space((depth, rows, columns), np.dtype(np.uint16))
    size = rows * columns * head.voxel.itemsize
    for k in range(depth):
        content = file.read(size)
        if len(content) < size:
            raise ValueError(f"it ends after {k} of {depth} slices")
        plane = np.frombuffer(content, head.voxel).reshape(rows, columns)
        if (head.slope, head.intercept) != (1.0, 0.0):
            plane = plane * head.slope + head.intercept
        # asked so, what is no number is no label
        odd = ~((plane >= 0) & (plane <= _MOST_LABEL) & (plane == np.floor(plane)))
        if odd.any():
            raise ValueError(f"it has {plane[odd][0]:g} where a label belongs: a whole number from 0 to {_MOST_LABEL}")
        labels[k] = plane
    return labels.transpose(2, 1, 0)


def _by(sides: Any) -> str:
    return " × ".join(str(side) for side in sides)
