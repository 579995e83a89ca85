"""Reads a Parametric Map back, value by value, and the map that was drawn over the images."""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.codes import Code
from inference.findings import Saliency
from node.results.kind import Checking
from node.results.page.words import PAGE_WORDS
from node.results.parametric_map.make import LONGEST_LO
from node.results.port import Encoding, MapDiffers, ReferencesDiffer, ResultMalformed
from node.results.sources import HALF_A_VOXEL, lists_all


def check(checking: Checking) -> None:
    """The object holds one of the maps exactly, every frame on its source slice, in the order of the volume.

    Raises
    ------
    ResultMalformed, MapDiffers, ReferencesDiffer
    """
    meant = _meant(checking.dataset, checking.encoding)
    compared(checking, meant.label, meant.values, meant.quantity, meant.unit)


def compared(checking: Checking, label: str, meant: NDArray[np.float32], quantity: Code, unit: Code) -> None:
    """The object holds these values (Z, Y, X), which are such a quantity, every frame on its source slice, in the order of the volume.

    Raises
    ------
    ResultMalformed, MapDiffers, ReferencesDiffer
    """
    dataset, encoding, sources = checking.dataset, checking.encoding, checking.sources
    shape = encoding.volume.voxels.shape
    if (int(dataset.NumberOfFrames), dataset.Rows, dataset.Columns) != shape:
        raise MapDiffers(f"the map has {dataset.NumberOfFrames} frames of {dataset.Rows} x {dataset.Columns}, its volume is {shape}")
    if dataset.BitsAllocated != 32 or "PixelData" in dataset:
        raise ResultMalformed("the map is not of 32-bit floating point values")
    values = np.frombuffer(dataset.FloatPixelData, dtype="<f4")
    if values.size != meant.size or not np.array_equal(values, meant.reshape(-1)):
        raise MapDiffers(f'the values of "{label}" were written otherwise than they were computed')
    _mapping(dataset, label, meant, quantity, unit)
    for z, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        position = np.array([*map(float, frame.PlanePositionSequence[0].ImagePositionPatient)])
        if np.abs(encoding.volume.to_indices(position) - (z, 0, 0)).max() > HALF_A_VOXEL:
            raise MapDiffers(f"frame {z + 1} of the map does not lie where slice {z} of its source lies")
        (image,) = frame.DerivationImageSequence[0].SourceImageSequence
        number = image.get("ReferencedFrameNumber")
        source = sources.slices[z]
        if (str(image.ReferencedSOPInstanceUID), None if number is None else int(number)) != (source.sop_instance_uid, source.frame):
            raise ReferencesDiffer(
                f"frame {z + 1} of the map refers to {image.ReferencedSOPInstanceUID} (frame {number}), not to its source"
            )
    series = dataset.ReferencedSeriesSequence[0]
    said = [(one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID) for one in series.ReferencedInstanceSequence]
    if (
        said != sources.instances
        or not lists_all(dataset, sources)
        or dataset.FrameOfReferenceUID != encoding.volume.frame_of_reference_uid
    ):
        raise ReferencesDiffer("the map's references are not exactly its source instances, or it lies in another frame of reference")


def _meant(dataset: Dataset, encoding: Encoding) -> Saliency:
    """Which of the maps this one is, by its content description."""
    words = PAGE_WORDS[encoding.language]
    found = [one for one in encoding.findings.saliencies if words.label(one.label)[:LONGEST_LO] == dataset.ContentDescription]
    if len(found) != 1:
        raise MapDiffers(f'"{dataset.ContentDescription}" is {"none" if not found else "more than one"} of the maps that were found')
    return found[0]


def _mapping(dataset: Dataset, label: str, meant: NDArray[np.float32], of: Code, in_unit: Code) -> None:
    (mapping,) = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    unit, quantity = mapping.MeasurementUnitsCodeSequence[0], mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0]
    if (_code(unit), _code(quantity)) != (_of(in_unit), _of(of)):
        raise MapDiffers(f'"{label}" states the quantity {_code(quantity)} in {_code(unit)}')
    if (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) != (1.0, 0.0):
        raise MapDiffers(f'"{label}" maps its stored values to other real-world values')
    first, last = mapping.DoubleFloatRealWorldValueFirstValueMapped, mapping.DoubleFloatRealWorldValueLastValueMapped
    if not first <= float(meant.min()) <= float(meant.max()) <= last:
        raise MapDiffers(f'"{label}" holds values outside the range that it maps')


def _code(item: Dataset) -> tuple[str, str]:
    return str(item.CodeValue), str(item.CodingSchemeDesignator)


def _of(code: Code) -> tuple[str, str]:
    return code.value, code.scheme
