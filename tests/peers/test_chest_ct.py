"""The second application, on a real chest: a CT written as a series goes in; the lungs' mask, volume and attenuation come back."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest

from inference.imaging.write_series import from_nifti, write_series
from tests.lab import adapters, report, source, validators
from tests.lab.hospital import RESULTS, hospital
from tests.lab.needs import data
from tests.lab.node import models

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.timeout(600)]

ROUTE: dict[str, object] = {"name": "chest CT", "when": {"Modality": "CT"}, "run": ["ct-lung"], "send": ["archive"]}
VOLUME, ATTENUATION = "118565006", "112031"  # SCT, DCM


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """The chest, and what came back for it."""

    chest: source.Source
    files: list[Path]
    first: Path
    seg: Path
    sr: Path
    sc: Path


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory) -> Came:
    """A chest CT was stored in the PACS, forwarded by it, and its results came back."""
    folder = tmp_path_factory.mktemp("chest")
    voxels, affine = from_nifti(data("labelled", "ct_thorax_pulm", "ct_cropped.nii.gz"))
    files = write_series(voxels, affine, folder / "ct", modality="CT", extra={"BodyPartExamined": "CHEST", "StudyDescription": "CT CHEST"})
    weights = data("weights", "unet_small_lung_ct") / "UNet_wdk24.pt"
    with hospital(folder, models(("ct-lung", "--file", weights)), routes=[ROUTE]) as both:
        both.pacs.upload(folder / "ct")
        study = both.results(source.study_uid(folder / "ct"))
        paths = {}
        for modality in RESULTS:
            found = [path for series in study.of(modality) for path in both.pacs.download(series, folder / "back")]
            # the other report is of the total
            (paths[modality],) = [path for path in found if modality != "SR" or "measurements" in pydicom.dcmread(path).SeriesDescription]
    return Came(chest=source.read(folder / "ct"), files=files, first=files[0], seg=paths["SEG"], sr=paths["SR"], sc=paths["OT"])


def test_validators_find_nothing(came: Came) -> None:
    """dciodvfy, dsrdump and PixelMed on each object, dcentvfy on the study: nothing beyond the documented false alarms."""
    faults = validators.faults_of(came.seg) + validators.faults_of(came.sr, report=True) + validators.faults_of(came.sc)
    faults += validators.dcentvfy([came.first, came.seg, came.sr, came.sc])
    assert faults == []


def test_the_mask_is_the_air_in_the_chest(came: Came) -> None:
    """Against lungs found by threshold alone, darker than any tissue and denser than air. The images are cropped to the heart: nothing
    but lung is of that density there. Dice above 0.9."""
    lungs = np.zeros(came.chest.voxels.shape, dtype=bool)
    for segment in validators.segimage2itkimage(came.seg):
        lungs[tuple(came.chest.index_of(segment.points_mm()).T)] = True
    hu = came.chest.voxels - 1024  # stored values are HU + 1024
    airy = (hu > -970) & (hu < -400)
    dice = 2 * (lungs & airy).sum() / (lungs.sum() + airy.sum())
    assert dice > 0.9


def test_two_viewers_see_the_same_masks(came: Came) -> None:
    """Slicer's reader and the viewer's adapter, which share no code, voxel by voxel on the source's own slices."""
    seen = adapters.segments_of(came.seg, came.files)
    segments = validators.segimage2itkimage(came.seg)
    assert sorted(seen.masks) == sorted(segment.number for segment in segments)
    places = np.array([pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient for path in came.files], dtype=float)
    for segment in segments:
        mask = np.zeros(came.chest.voxels.shape, dtype=bool)
        mask[tuple(came.chest.index_of(segment.points_mm()).T)] = True
        order = [int(np.linalg.norm(came.chest.positions - place, axis=1).argmin()) for place in places]
        assert np.array_equal(seen.masks[segment.number], mask[order])


def test_the_report_says_what_the_mask_measures(came: Came) -> None:
    """Volume as dcmqi counts it; mean attenuation as the source's own stored values give it, under that mask."""
    segments = validators.segimage2itkimage(came.seg)
    volumes = report.numbers(came.sr, VOLUME)
    assert sum(value for value, _ in volumes) == pytest.approx(sum(segment.volume_ml for segment in segments), rel=0.01)
    means = report.numbers(came.sr, ATTENUATION)
    assert len(means) == len(segments)
    for (value, unit), segment in zip(means, segments, strict=True):
        k, row, column = came.chest.index_of(segment.points_mm()).T
        assert unit == "[hnsf'U]"
        assert value == pytest.approx(came.chest.voxels[k, row, column].mean() - 1024, abs=1)
        assert -950 < value < -600
