"""Result case 4: a tilted gantry. What others read of the objects lies on the slices as they were acquired."""

from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from inference import codes
from inference.findings import DerivedImage, Findings, Measurement, Saliency
from inference.imaging.assemble import assemble
from inference.imaging.regrid import straightened
from node.results.encode import encode
from tests.lab import tilted, validators
from tests.results import made


def _checked(files: list[Path], folder: Path, *, even: bool, above_hu: int = 0) -> None:
    """Every frame of the SEG lies, is oriented and is as large as the file that it refers to, and its pixels are those above the bound."""
    volume = assemble(files)
    mask = volume.voxels > above_hu
    cm3 = volume.volume_mm3(mask) / 1000
    findings = Findings(
        segments=(made.segment("ball", mask),),
        measurements=(Measurement(name=codes.VOLUME, value=cm3, unit=codes.CUBIC_CENTIMETRE, segment="ball"),),
        saliencies=(Saliency(label="heat", values=volume.voxels.astype(np.float32), quantity=codes.SALIENCY, unit=codes.NO_UNITS),),
    )
    objects = made.save(encode(made.encoding(files, findings, volume=volume)), folder)
    (path,) = (one for one in objects if pydicom.dcmread(one).Modality == "SEG")
    seg = hd.seg.segread(path)
    headers = {one.SOPInstanceUID: one for one in map(pydicom.dcmread, files)}
    shared = seg.SharedFunctionalGroupsSequence[0]
    referred = set()
    for frame in seg.PerFrameFunctionalGroupsSequence:
        source = headers[frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        referred.add(source.SOPInstanceUID)
        position = [float(mm) for mm in frame.PlanePositionSequence[0].ImagePositionPatient]
        assert position == pytest.approx([float(mm) for mm in source.ImagePositionPatient], abs=1e-6)
        assert (seg.Rows, seg.Columns) == (source.Rows, source.Columns)
        assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == pytest.approx(source.ImageOrientationPatient, abs=1e-6)
    measures = shared.PixelMeasuresSequence[0]
    assert measures.PixelSpacing == pytest.approx(next(iter(headers.values())).PixelSpacing, abs=1e-6)
    # OHIF shows no frame without shared measures, highdicom reads none without a thickness: of unequal slices the mean
    assert ("SpacingBetweenSlices" in measures) == even
    assert float(measures.SpacingBetweenSlices if even else measures.SliceThickness) == pytest.approx(volume.spacing_mm[0], abs=1e-6)
    assert "DimensionOrganizationType" not in seg or seg.DimensionOrganizationType != "3D"
    uids = list(headers)
    read = seg.get_pixels_by_source_instance(
        uids, combine_segments=False, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    for uid, pixels in zip(uids, read[..., 0], strict=True):
        one = headers[uid]
        above = one.pixel_array.astype(np.float64) * float(one.RescaleSlope) + float(one.RescaleIntercept) > above_hu
        np.testing.assert_array_equal(pixels.astype(bool), above)
        assert (uid in referred) == bool(above.any())
    faults = [fault for each in objects for fault in validators.faults_of(each, report=pydicom.dcmread(each).Modality == "SR")]
    # the head says that it was de-identified, and leaves empty how: what is copied of the patient says no more
    assert [fault for fault in faults if "Element=<DeidentificationMethod" not in fault] == []


@pytest.mark.slow
@pytest.mark.peers
@pytest.mark.parametrize(("name", "above_hu"), [("ct_head_GE_gantrytilt.zip", 0), ("bad_geometry/gantrytilting_001.zip", -1000)])
def test_a_mask_of_a_real_tilted_series_lies_on_its_slices(
    name: str, above_hu: int, real: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    """highdicom reads each frame at the position of its own source, in the source's rows and columns; no validator objects. The head has
    slices of 4 and of 7 mm. The other one holds little but air."""
    _checked(real(f"dicom/{name}"), tmp_path, even=name != "ct_head_GE_gantrytilt.zip", above_hu=above_hu)


@pytest.mark.slow
@pytest.mark.peers
@pytest.mark.parametrize("degrees", [4, -15])
def test_a_mask_of_a_made_tilted_series_lies_on_its_slices(degrees: float, tmp_path: Path) -> None:
    """Slightly and whole, towards the feet and towards the head."""
    _checked(tilted.ball(tmp_path / "source", degrees), tmp_path / "out", even=True)


@pytest.mark.slow
@pytest.mark.peers
def test_an_image_derived_from_a_tilted_series_is_a_straight_one(tmp_path: Path) -> None:
    """Its slices are stacked along their normal, the ball in it is where it was, and each names the slice that it was made from."""
    files = tilted.ball(tmp_path / "source", 15)
    straight = straightened(assemble(files))
    assert straight is not None
    image = DerivedImage(label="soft", voxels=straight.volume.voxels, derivation=codes.SMOOTHING, affine=straight.volume.affine)
    objects = made.save(encode(made.encoding(files, Findings(derived=(image,)), volume=straight.source)), tmp_path / "out")
    derived = [one for one in map(pydicom.dcmread, objects) if one.Modality == "CT"]
    row, column = np.array(derived[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    positions = np.array([one.ImagePositionPatient for one in derived], dtype=float)
    steps = np.diff(positions[np.argsort(positions @ np.cross(row, column))], axis=0)
    np.testing.assert_allclose(steps, np.cross(row, column) * 2.5 * np.cos(np.radians(15)) * np.ones((len(steps), 1)), atol=1e-3)
    headers = {one.SOPInstanceUID: one for one in (pydicom.dcmread(path, stop_before_pixels=True) for path in files)}
    depth = np.cross(row, column)
    for one in derived:
        (source,) = (headers[item.ReferencedSOPInstanceUID] for item in one.SourceImageSequence)
        assert np.array(source.ImagePositionPatient, dtype=float) @ depth == pytest.approx(
            np.array(one.ImagePositionPatient, dtype=float) @ depth, abs=1e-3
        )
    assert [fault for path in objects for fault in validators.faults_of(path, report=pydicom.dcmread(path).Modality == "SR")] == []
