"""Parametric Maps as dcmqi reads them for 3D Slicer, and image series as SimpleITK does: arrays with their place in the patient."""

import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.lab.needs import python_program

_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Values (K, J, I), and where they lie: `affine` maps (k, j, i, 1) to patient LPS mm."""

    values: NDArray[Any]
    affine: NDArray[np.float64]

    def at(self, point_mm: Iterable[float]) -> float:
        """The value of the voxel that a point in the patient lies in."""
        k, j, i = np.rint(np.linalg.solve(self.affine, [*point_mm, 1.0])[:3]).astype(int)
        return float(self.values[k, j, i])


def paramap2itkimage(path: Path) -> Placed:
    """Read a Parametric Map with dcmqi; raises AssertionError when it writes no image."""
    import nibabel

    tool = python_program("paramap2itkimage", "dcmqi")
    with tempfile.TemporaryDirectory() as folder:
        command = [tool, "--inputDICOM", path, "--outputDirectory", folder, "--prefix", "m", "--outputType", "nii"]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        image = Path(folder) / "m-pmap.nii.gz"
        if done.returncode or not image.exists():
            raise AssertionError(
                f"paramap2itkimage wrote no image (exit code {done.returncode}): {done.stdout[-500:]} {done.stderr[-500:]}"
            )
        loaded = nibabel.load(image)
        # NIfTI counts from right to left and back to front (RAS), DICOM the other way round (LPS)
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(loaded.affine, dtype=np.float64)
        return Placed(values=np.asarray(loaded.dataobj).transpose(2, 1, 0), affine=affine[:, [2, 1, 0, 3]])


def read_series(folder: Path) -> Placed:
    """Read the one series in a folder with SimpleITK (GDCM): its own order, rescale and geometry."""
    import SimpleITK as sitk

    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    assert len(names) == len(list(folder.iterdir())), f"SimpleITK takes {len(names)} of the files for one series"
    return _placed(sitk.ReadImage(names))


def read_image(path: Path) -> Placed:
    """Read one multi-frame image with SimpleITK."""
    import SimpleITK as sitk

    return _placed(sitk.ReadImage(str(path)))


def _placed(image: Any) -> Placed:
    import SimpleITK as sitk

    affine = np.eye(4)
    columns = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, :3], affine[:3, 3] = columns[:, ::-1], image.GetOrigin()
    return Placed(values=sitk.GetArrayFromImage(image), affine=affine)
