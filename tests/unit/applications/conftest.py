"""Volumes made by hand, in any orientation, and real ones where they are present."""

import itertools
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.imaging.volume import SliceSource, Volume

DATA = Path(os.environ.get("HILUM_DATA", Path(__file__).resolve().parents[3] / "../shared/data"))


def turned_volume(voxels: NDArray[Any], spacing_mm: float, axes: tuple[int, int, int], flips: tuple[bool, ...], modality: str) -> Volume:
    """Voxels given as (z to the head, y to the back, x to the left) from (0, 0, 0) mm, stored with axes in another order and sense."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    # identity, written out: array axis 0, 1, 2 runs along patient z, y, x
    for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
        patient = 2 - old
        affine[patient, new] = -spacing_mm if flip else spacing_mm
        if flip:
            affine[patient, 3] = spacing_mm * (voxels.shape[old] - 1)
    stored = voxels.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    sources = tuple(SliceSource(sop_instance_uid=f"1.2.{n}", sop_class_uid="1.2") for n in range(stored.shape[0]))
    return Volume(
        voxels=np.ascontiguousarray(stored),
        affine=affine,
        sources=sources,
        modality=modality,
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.4",
        frame_of_reference_uid="1.2.3.5",
    )


ORIENTATIONS = [(axes, flips) for axes in itertools.permutations(range(3)) for flips in ((False, False, False), (True, False, True))]
AXIAL = [((0, 1, 2), flips) for flips in itertools.product((False, True), repeat=3)] + [((0, 2, 1), (False, True, False))]


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Path]]:
    """`real("dicom/x.zip")` or `real("labelled/x.nii.gz")`: published files, or a loud skip."""
    unpacked: dict[str, list[Path]] = {}

    def files(name: str) -> list[Path]:
        source = DATA / name
        if not source.exists():
            pytest.skip(f"{name} is absent: HILUM_DATA names the folder of the real images and weights")
        if source.suffix != ".zip":
            return sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
        if name not in unpacked:
            folder = tmp_path_factory.mktemp(source.stem)
            with zipfile.ZipFile(source) as archive:
                archive.extractall(folder)
            unpacked[name] = sorted(path for path in folder.rglob("*") if path.is_file())
        return unpacked[name]

    return files
