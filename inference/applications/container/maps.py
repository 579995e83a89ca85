"""Maps of what a container wrote: Parametric Maps on the grid of the images, as values in the unit that was declared (PS3.3 A.75).

Stored values become real-world values by the one linear mapping of their frame, which has a range: what lies beyond has no meaning, and
what is padding has none (PS3.3 C.7.6.16.2.11, C.7.5.1.1.2).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.applications.container.described import ContainerManifest, ContainerMap
from inference.applications.container.frames import coded, demand_same_frames, slice_of
from inference.applications.container.output import ContainerOutput, refuse
from inference.errors import quoted
from inference.findings import Saliency
from inference.imaging.header import PARSE_ERRORS
from inference.imaging.volume import Volume

_PIXELS = {"FloatPixelData": "<f4", "DoubleFloatPixelData": "<f8"}
_PADDING = {"FloatPixelData": "FloatPixelPadding", "DoubleFloatPixelData": "DoubleFloatPixelPadding", "PixelData": "PixelPadding"}
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
    if any(not each.get("QuantityDefinitionSequence") for each in mappings):
        refuse(manifest, f"{shown} does not say what its values are: its Real World Value Mapping has no Quantity Definition Sequence")
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
        values[z] = _real(manifest, frame, _mapping(manifest, groups, shared, shown), shown)
    return values


def _mapping(manifest: ContainerManifest, groups: Dataset, shared: Dataset, shown: str) -> Dataset:
    """The mapping of a frame: its own, else that of all frames. Of several, for several ranges of stored values, none is read."""
    found = mappings if (mappings := groups.get("RealWorldValueMappingSequence")) is not None else shared.RealWorldValueMappingSequence
    if len(found) != 1:
        refuse(manifest, f"{shown} maps the values of a frame by {len(found)} mappings, each of a range; one is read")
    only: Dataset = found[0]
    return only


def _stored(manifest: ContainerManifest, dataset: Dataset, frames: int, shown: str) -> NDArray[Any]:
    """Stored values (frame, row, column)."""
    where = next((each for each in _PADDING if each in dataset), None)
    if where is None:
        refuse(manifest, f"{shown} has no pixels")
    kind = _PIXELS.get(where)
    all_of_it: NDArray[Any] = dataset.pixel_array if kind is None else np.frombuffer(dataset[where].value, kind)
    if (padding := dataset.get(f"{_PADDING[where]}Value")) is not None:
        low, high = sorted((padding, dataset.get(f"{_PADDING[where]}RangeLimit", padding)))
        if ((all_of_it >= low) & (all_of_it <= high)).any():
            refuse(manifest, f"{shown} has voxels that it calls padding; a map has a value for every voxel")
    return all_of_it.reshape(frames, dataset.Rows, dataset.Columns)


def _real(manifest: ContainerManifest, stored: NDArray[Any], mapping: Dataset, shown: str) -> NDArray[np.float64]:
    if "RealWorldValueSlope" not in mapping:
        refuse(manifest, f"{shown} maps its values by a table; a slope and an intercept are read")
    with np.errstate(over="ignore", invalid="ignore"):
        values = stored.astype(np.float64) * float(mapping.RealWorldValueSlope) + float(mapping.RealWorldValueIntercept)
    # asked so, what is no number is none either
    if not (np.abs(values) <= _LARGEST).all():
        refuse(manifest, f"{shown} has values that are no numbers")
    low, high = (_end(mapping, which) for which in ("First", "Last"))
    if (low is not None and (stored < low).any()) or (high is not None and (stored > high).any()):
        refuse(manifest, f"{shown} has stored values beyond the range that it maps ({low} to {high}), whose meaning it does not say")
    return values


def _end(mapping: Dataset, which: str) -> float | None:
    """The first or the last stored value that is mapped; None where it is not said."""
    said = mapping.get(f"DoubleFloatRealWorldValue{which}ValueMapped", mapping.get(f"RealWorldValue{which}ValueMapped"))
    return None if said is None else float(said)
