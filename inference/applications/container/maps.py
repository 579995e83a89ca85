"""Maps of what a container wrote: Parametric Maps on the grid of the images, as values in the unit that was declared (PS3.3 A.75).

Stored values become real-world values by the one linear mapping that every map of this kind bears (PS3.3 C.7.6.16.2.11).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.applications.container.described import ContainerManifest, ContainerMap
from inference.applications.container.frames import coded, demand_same_frames, group_of, slice_of
from inference.applications.container.output import ContainerOutput, refuse
from inference.errors import quoted
from inference.findings import Saliency
from inference.imaging.header import PARSE_ERRORS
from inference.imaging.volume import Volume

_PIXELS = {"FloatPixelData": "<f4", "DoubleFloatPixelData": "<f8"}
_LARGEST = float(np.finfo(np.float32).max)


def maps_in(manifest: ContainerManifest, volume: Volume, written: ContainerOutput) -> tuple[Saliency, ...]:
    """The maps that were declared, in their order.

    Raises
    ------
    ContainerOutputRefused
        One is not what it should be, is not declared, stands there twice, or did not come.
    """
    found: dict[str, Saliency] = {}
    for name, dataset in written.maps.items():
        try:
            declared = _declared(manifest, dataset, quoted(name))
            if declared.label in found:
                refuse(manifest, f'{quoted(name)} is "{declared.label}" a second time')
            values = _values(manifest, volume, dataset, quoted(name))
        except PARSE_ERRORS as broken:
            refuse(manifest, f"{quoted(name)} is a map that cannot be read: {type(broken).__name__} ({quoted(broken)})")
        found[declared.label] = Saliency(label=declared.label, values=values, quantity=declared.quantity, unit=declared.unit)
    if absent := next((one for one in manifest.maps if one.label not in found and not one.optional), None):
        refuse(manifest, f'it made no map "{absent.label}"')
    return tuple(found[one.label] for one in manifest.maps if one.label in found)


def _declared(manifest: ContainerManifest, dataset: Dataset, shown: str) -> ContainerMap:
    """Which of the maps it is, by its quantity; its unit must be the same."""
    mappings = list(_mappings(dataset))
    if not mappings:
        refuse(manifest, f"{shown} does not say what its values are: no Real World Value Mapping is in it")
    said = {
        (coded(each.QuantityDefinitionSequence[0].ConceptCodeSequence[0]), coded(each.MeasurementUnitsCodeSequence[0])) for each in mappings
    }
    if len(said) > 1:
        refuse(manifest, f"{shown} has frames of more than one quantity")
    ((quantity, unit),) = said
    one = next((each for each in manifest.maps if (each.quantity.value, each.quantity.scheme) == quantity), None)
    if one is None:
        refuse(manifest, f"{shown} is a map of {quoted(':'.join(reversed(quantity)))}, which container.yaml does not declare")
    if unit != (one.unit.value, one.unit.scheme):
        refuse(manifest, f'{shown} has "{one.label}" in {quoted(unit[0])}, container.yaml in {one.unit.value}')
    return one


def _mappings(dataset: Dataset) -> Iterator[Dataset]:
    for groups in (dataset.SharedFunctionalGroupsSequence[0], *dataset.PerFrameFunctionalGroupsSequence):
        yield from groups.get("RealWorldValueMappingSequence", ())


def _values(manifest: ContainerManifest, volume: Volume, dataset: Dataset, shown: str) -> NDArray[np.float32]:
    """Real-world values (Z, Y, X), one for each voxel of the images."""
    if dataset.get("FrameOfReferenceUID") != volume.frame_of_reference_uid:
        refuse(manifest, f"{shown} lies in another frame of reference than the images")
    demand_same_frames(manifest, volume, dataset, shown)
    frames = dataset.PerFrameFunctionalGroupsSequence
    if len(frames) != len(volume.voxels):
        refuse(manifest, f"{shown} has {len(frames)} frames for {len(volume.voxels)} images; a map has a value for every voxel")
    stored = _stored(manifest, dataset, len(frames), shown)
    values = np.full(volume.voxels.shape, np.nan, np.float32)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for frame, groups in zip(stored, frames, strict=True):
        z = slice_of(manifest, volume, groups, shared, shown)
        if not np.isnan(values[z, 0, 0]):
            refuse(manifest, f"{shown} has two frames for one image")
        values[z] = _real(manifest, frame, group_of(groups, shared, "RealWorldValueMappingSequence"), shown)
    return values


def _stored(manifest: ContainerManifest, dataset: Dataset, frames: int, shown: str) -> NDArray[np.generic]:
    """Stored values (frame, row, column)."""
    for keyword, kind in _PIXELS.items():
        if keyword in dataset:
            return np.frombuffer(dataset[keyword].value, kind).reshape(frames, dataset.Rows, dataset.Columns)
    if "PixelData" not in dataset:
        refuse(manifest, f"{shown} has no pixels")
    stored: NDArray[np.generic] = dataset.pixel_array.reshape(frames, dataset.Rows, dataset.Columns)
    return stored


def _real(manifest: ContainerManifest, stored: NDArray[np.generic], mapping: Dataset, shown: str) -> NDArray[np.float64]:
    if "RealWorldValueSlope" not in mapping:
        refuse(manifest, f"{shown} maps its values by a table; a slope and an intercept are read")
    with np.errstate(over="ignore", invalid="ignore"):
        values = stored.astype(np.float64) * float(mapping.RealWorldValueSlope) + float(mapping.RealWorldValueIntercept)
    # asked so, what is no number is none either
    if not (np.abs(values) <= _LARGEST).all():
        refuse(manifest, f"{shown} has values that are no numbers")
    return values
