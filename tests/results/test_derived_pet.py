"""Images derived from PET: what their uptake is reckoned from stays, or nothing is derived."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage

from inference.imaging.assemble import assemble
from node.results.encode import encode
from node.results.port import NotDerivable
from tests.lab.validators import dciodvfy
from tests.results import made
from tests.results.test_derived import denoised, derived, encoding_of, read


def pet(folder: Path, *, decay: bool = True) -> list[Path]:
    """PET slices, in Bq/ml, of two bed positions, which differ in their decay factors."""
    files = made.series(folder)
    for number, path in enumerate(files):
        dataset = pydicom.dcmread(path)
        dataset.SOPClassUID, dataset.Modality = PositronEmissionTomographyImageStorage, "PT"
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.RescaleSlope, dataset.RescaleIntercept = "2.5", "0"
        del dataset.RescaleType, dataset.KVP
        dataset.Units, dataset.CountsSource, dataset.SeriesType = "BQML", "EMISSION", ["WHOLE BODY", "IMAGE"]
        dataset.NumberOfSlices, dataset.ImageIndex, dataset.DecayCorrection = len(files), number + 1, "START"
        dataset.CorrectedImage, dataset.CollimatorType = ["DECY", "ATTN"], "NONE"
        dataset.FrameReferenceTime, dataset.ActualFrameDuration = "1000" if number < 5 else "181000", "180000"
        if decay:
            dataset.DecayFactor = "1.01" if number < 5 else "1.03"
        dataset.RadiopharmaceuticalInformationSequence = [Dataset()]
        dataset.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose = "370000000"
        dataset.ImageType = ["ORIGINAL", "PRIMARY"]
        dataset.PixelData = (np.abs(dataset.pixel_array.astype(np.int32)) % 1000).astype(np.int16).tobytes()
        dataset.save_as(path)
    return files


@pytest.mark.peers
def test_pet_keeps_what_its_uptake_is_reckoned_from(tmp_path: Path) -> None:
    """Decay is counted from series and acquisition times: the time of derivation in their place would show another SUV."""
    files = pet(tmp_path / "in")
    volume = assemble(files)
    encoding = encoding_of(files, denoised(volume.voxels))
    objects = derived(encoding)
    paths = made.save(objects, tmp_path / "out")
    headers = {str(one.SOPInstanceUID): one for one in encoding.sources}
    for one in objects:
        dataset = read(one)
        header = headers[dataset.SourceImageSequence[0].ReferencedSOPInstanceUID]
        for keyword in ("SeriesDate", "SeriesTime", "AcquisitionTime", "Units", "DecayCorrection", "DecayFactor", "FrameReferenceTime"):
            assert dataset[keyword].value == header[keyword].value, keyword
        assert dataset.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose == 370000000
        assert float(dataset.RescaleIntercept) == 0
    assert [fault for path in paths for fault in dciodvfy(path)] == []


def test_pet_without_its_decay_factor_is_refused(tmp_path: Path) -> None:
    """By how much a slice was corrected has to be stated of what is made from it, too (Type 1C)."""
    files = pet(tmp_path, decay=False)
    with pytest.raises(NotDerivable, match="DecayFactor"):
        encode(encoding_of(files, denoised(assemble(files).voxels)))


def test_pet_is_not_resampled_across_bed_positions(tmp_path: Path) -> None:
    """One slice made of two that were decay-corrected otherwise has no reference time: refused, not guessed."""
    files = pet(tmp_path)
    volume = assemble(files)
    image = denoised(volume.voxels, affine=volume.affine @ np.diag([1.0, 1.0, 1.0, 1.0]) + np.eye(4, k=3) * 0.4)
    with pytest.raises(NotDerivable, match="FrameReferenceTime"):
        encode(encoding_of(files, image))
