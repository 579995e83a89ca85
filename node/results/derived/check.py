"""Reads derived images back: every value within half a step, every slice where it was computed, every reference to a source."""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.findings import DerivedImage
from inference.imaging.subject import prior_in
from node.results.derived.image import beginning
from node.results.kind import Checking
from node.results.port import DerivedDiffers, Encoding, ReferencesDiffer, ResultMalformed

_HALF = 0.5 + 1e-6
_OFF_MM = 1e-3


def check(checking: Checking) -> None:
    """All instances of one derived series together are one of the derived images.

    Raises
    ------
    ResultMalformed, DerivedDiffers, ReferencesDiffer
    """
    series, encoding = [each.dataset for each in checking.series], checking.encoding
    image = _meant(series[0], encoding)
    frames = [(one, frame) for one in series for frame in range(int(one.get("NumberOfFrames", 1)))]
    if len(frames) != image.voxels.shape[0]:
        raise DerivedDiffers(f'"{image.label}" has {len(frames)} slices, not {image.voxels.shape[0]}')
    affine = encoding.volume.affine if image.affine is None else image.affine
    of = (prior_in(encoding.subject) if image.of_prior else None) or encoding.volume
    known = {(source.sop_class_uid, source.sop_instance_uid, source.frame) for source in of.sources}
    pixels = [_pixels(one) for one in series]
    numbers = set()
    for z, (one, frame) in enumerate(frames):
        _common(one, encoding, of.sources[0].sop_class_uid)
        groups = _groups(one, frame)
        values = pixels[z if len(series) > 1 else 0][frame].astype(np.float64)
        slope, intercept = (float(groups["transform"].get(keyword, at)) for keyword, at in (("RescaleSlope", 1), ("RescaleIntercept", 0)))
        off = np.abs(values * slope + intercept - image.voxels[z]).max() if values.shape == image.voxels[z].shape else np.inf
        if off > _HALF * slope:
            raise DerivedDiffers(f'slice {z} of "{image.label}" is off by {off:g}, more than half a step of {slope:g}')
        _place(image, groups, affine, z)
        numbers.add((int(one.InstanceNumber), frame))
        said = {
            (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID), _number(item))
            for item in groups["derivation"].SourceImageSequence
        }
        if not said or not said <= known:
            raise ReferencesDiffer(f'slice {z} of "{image.label}" refers to {sorted(map(str, said - known))[:1]}, which is no source of it')
    if len(numbers) != len(frames):
        raise ResultMalformed(f'two slices of "{image.label}" have the same number')


def _meant(dataset: Dataset, encoding: Encoding) -> DerivedImage:
    """Which of the images this one is, by its description, which begins with the label."""
    words = dataset.get("DerivationDescription") or _groups(dataset, 0)["derivation"].DerivationDescription
    found = [one for one in encoding.findings.derived if words.startswith(beginning(one, encoding.language))]
    if not found:
        raise DerivedDiffers(f'"{words}" is none of the images that were derived')
    # a label may begin with another, and then with what follows that one here
    return max(found, key=lambda one: len(one.label))


def _common(dataset: Dataset, encoding: Encoding, sop_class_uid: str) -> None:
    if dataset.SOPClassUID != sop_class_uid:
        raise ResultMalformed(f"the derived image is of class {dataset.SOPClassUID}, its source of {sop_class_uid}")
    if dataset.ImageType[0] != "DERIVED" or dataset.FrameOfReferenceUID != encoding.volume.frame_of_reference_uid:
        raise ResultMalformed("the derived image does not say that it is derived, or lies in another frame of reference")
    if (dataset.BitsAllocated, dataset.BitsStored, dataset.SamplesPerPixel, dataset.LossyImageCompression) not in {
        (16, 16, 1, "00"),
        (16, 16, 1, "01"),
    }:
        raise ResultMalformed("the pixels of the derived image are described otherwise than they are written")


def _pixels(dataset: Dataset) -> NDArray[np.integer]:
    """(frames, rows, columns) stored values."""
    dtype = "<i2" if dataset.PixelRepresentation == 1 else "<u2"
    values = np.frombuffer(dataset.PixelData, dtype=dtype)
    return values.reshape(int(dataset.get("NumberOfFrames", 1)), dataset.Rows, dataset.Columns)


def _groups(dataset: Dataset, frame: int) -> dict[str, Dataset]:
    """Where one frame's place, measures, rescale and derivation stand: in the instance, or in its functional groups."""
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        return dict.fromkeys(("place", "orientation", "measures", "transform", "derivation"), dataset)
    own, shared = dataset.PerFrameFunctionalGroupsSequence[frame], dataset.SharedFunctionalGroupsSequence[0]
    return {
        "place": own.PlanePositionSequence[0],
        "orientation": shared.PlaneOrientationSequence[0],
        "measures": shared.PixelMeasuresSequence[0],
        "transform": shared.PixelValueTransformationSequence[0],
        "derivation": own.DerivationImageSequence[0],
    }


def _place(image: DerivedImage, groups: dict[str, Dataset], affine: NDArray[np.float64], z: int) -> None:
    """First and last pixel of the slice, from position, orientation and spacing (PS3.3 C.7.6.2.1.1)."""
    position = np.array(groups["place"].ImagePositionPatient, dtype=np.float64)
    cosines = np.array(groups["orientation"].ImageOrientationPatient, dtype=np.float64)
    down, right = (float(mm) for mm in groups["measures"].PixelSpacing)
    rows, columns = image.voxels.shape[1:]
    for y, x in ((0, 0), (rows - 1, columns - 1)):
        stated = position + cosines[:3] * right * x + cosines[3:] * down * y
        if np.abs(stated - (affine @ (z, y, x, 1))[:3]).max() > _OFF_MM:
            raise DerivedDiffers(f'slice {z} of "{image.label}" does not lie where it was computed')


def _number(item: Dataset) -> int | None:
    number = item.get("ReferencedFrameNumber")
    return None if number is None else int(number)
