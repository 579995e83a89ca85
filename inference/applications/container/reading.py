"""Findings of what a container wrote: segments of its segmentations on the grid of the images, its maps, numbers and answers of its files.

Segmentation: PS3.3 A.51 and C.8.20; of reports, the numbers of their content (PS3.3 C.18.1).
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference import codes
from inference.applications.bundle.structures import Structure, not_found, segment_of
from inference.applications.container.described import ContainerAnswer, ContainerManifest, ContainerValue
from inference.applications.container.frames import coded, demand_same_frames, group_of, slice_of
from inference.applications.container.maps import maps_in
from inference.applications.container.output import ContainerOutput, number, refuse, said_at
from inference.codes import Code
from inference.errors import quoted
from inference.findings import Evaluation, Findings, Measurement
from inference.imaging.header import PARSE_ERRORS
from inference.imaging.nifti import read_labels
from inference.imaging.volume import Volume
from inference.segment_mask import empty_mask
from inference.translatable import Translatable

_SIDES = {(one.value, one.scheme): one for one in (codes.LEFT, codes.RIGHT, codes.BOTH_SIDES)}
_MOST_ITEMS = 100_000

Mask = NDArray[np.bool_]


def found_in(manifest: ContainerManifest, volume: Volume, written: ContainerOutput, remarks: Sequence[Translatable]) -> Findings:
    """What was written, as findings about the volume.

    Raises
    ------
    ContainerOutputRefused
    """
    masks: dict[str, Mask] = {}
    for name, dataset in written.segmentations.items():
        try:
            read = _segments(manifest, volume, dataset, quoted(name))
        except PARSE_ERRORS as broken:
            refuse(manifest, f"{quoted(name)} is a segmentation that cannot be read: {type(broken).__name__} ({quoted(broken)})")
        if twice := sorted(masks.keys() & read.keys()):
            refuse(manifest, f'{quoted(name)} marks "{twice[0]}" a second time')
        masks |= read
    for name, path in written.label_maps.items():
        read = _labelled(manifest, volume, name, path)
        if twice := sorted(masks.keys() & read.keys()):
            refuse(manifest, f'{quoted(name)} marks "{twice[0]}" a second time')
        masks |= read
    there = [one for one in manifest.structures if one.label in masks and masks[one.label].any()]
    values = tuple(_values(manifest, written, {one.label for one in there}))
    evaluations = tuple(_evaluation(manifest, one, written) for one in manifest.answers)
    for one in manifest.structures:
        _demand_told(manifest, one, written, masks, evaluations)
    measurements = [
        Measurement(name=codes.VOLUME, value=volume.volume_mm3(masks[one.label]) / 1000, unit=codes.CUBIC_CENTIMETRE, segment=one.label)
        for one in there
        if manifest.volumes
    ]
    if manifest.structures and manifest.volumes and not there:
        measurements.append(Measurement(name=codes.VOLUME, value=0.0, unit=codes.CUBIC_CENTIMETRE))
    absent = [one for one in manifest.structures if one not in there]
    return Findings(
        segments=tuple(segment_of(one, masks[one.label]) for one in there),
        measurements=(*measurements, *values),
        evaluations=evaluations,
        saliencies=maps_in(manifest, volume, written),
        remarks=(*remarks, *not_found(absent)),
    )


# ---- what did not come


def _demand_told(
    manifest: ContainerManifest,
    structure: Structure,
    written: ContainerOutput,
    masks: Mapping[str, Mask],
    evaluations: Sequence[Evaluation],
) -> None:
    """Refuse silence: a structure without a mask counts as not found where the container says that, and nowhere else.

    It says so by an empty mask, by `found` of the segment, by a finding of the structure's code that is absent; of one that may be left out
    (`optional`), by a segmentation of others.
    """
    label, key, file = structure.label, manifest.found.get(structure.label, ""), manifest.values_file
    found = _found(manifest, label, said_at(written.values, key)) if key else None
    if label in masks:
        marked = bool(masks[label].any())
        if found is not None and found != marked:
            says, marks = ("found", "nothing marks it") if found else ("not found", "a segmentation marks it")
            refuse(manifest, f'{file} says at {key} that "{label}" was {says}, and {marks}')
        return
    # an answer about a paired organ says nothing of one side
    answered = structure.laterality is None and any(
        one.value == codes.ABSENT and (one.finding.value, one.finding.scheme) == (structure.type.value, structure.type.scheme)
        for one in evaluations
    )
    if found is True:
        refuse(manifest, f'{file} says at {key} that "{label}" was found, and no segmentation came of it')
    if found is None and not answered and not (masks and label in manifest.optional):
        where = f"{file} has nothing at {key}" if key else f"{file} does not say that it was not found"
        refuse(manifest, f'it made no segmentation of "{label}", and {where}: that may be a failure as well as a healthy patient')


def _found(manifest: ContainerManifest, label: str, said: object) -> bool | None:
    """What stands in JSON about whether a structure was found: true, false, or an amount; None where nothing does."""
    if said is None:
        return None
    amount = number(said)
    if amount is None or amount < 0:
        refuse(
            manifest,
            f'{manifest.values_file} has {quoted(said)} where it says whether "{label}" was found: true, false or an amount is read',
        )
    return amount > 0


# ---- segmentations


def _segments(manifest: ContainerManifest, volume: Volume, dataset: Dataset, shown: str) -> dict[str, Mask]:
    """The masks of one segmentation, by the labels of the manifest."""
    if dataset.get("FrameOfReferenceUID") != volume.frame_of_reference_uid:
        refuse(manifest, f"{shown} lies in another frame of reference than the images")
    series = {str(one.SeriesInstanceUID) for one in dataset.get("ReferencedSeriesSequence", [])}
    if series and volume.series_instance_uid not in series:
        refuse(manifest, f"{shown} is of another series of the study")
    kind = dataset.SegmentationType
    if kind not in ("BINARY", "LABELMAP"):
        refuse(manifest, f"{shown} is a segmentation of type {quoted(kind)}; BINARY and LABELMAP ones say of each voxel whether it belongs")
    numbers = {int(one.SegmentNumber): _structure(manifest, one, shown) for one in dataset.SegmentSequence if not _background(one)}
    labels = [one.label for one in numbers.values()]
    if len(set(labels)) < len(labels):
        refuse(manifest, f"{shown} has two segments of one label")
    frames, slices = int(dataset.get("NumberOfFrames") or 0), len(volume.voxels)
    if not (frames or dataset.get("PixelData") or dataset.get("PerFrameFunctionalGroupsSequence")):
        return {one.label: empty_mask(volume.voxels.shape) for one in numbers.values()}
    demand_same_frames(manifest, volume, dataset, shown)
    if frames > slices * max(1, len(numbers)):
        refuse(manifest, f"{shown} has {frames} frames for {slices} images and {len(numbers)} segments")
    marked = dataset.pixel_array.reshape(frames, dataset.Rows, dataset.Columns)
    masks = {one.label: empty_mask(volume.voxels.shape) for one in numbers.values()}
    for frame, groups in zip(marked, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        z = slice_of(manifest, volume, groups, dataset.SharedFunctionalGroupsSequence[0], shown)
        if kind == "LABELMAP":
            if unknown := set(np.unique(frame).tolist()) - numbers.keys() - {0}:
                refuse(manifest, f"{shown} marks a segment {min(unknown)} that it does not describe")
            for number, structure in numbers.items():
                masks[structure.label][z] |= frame == number
            continue
        number = int(group_of(groups, dataset.SharedFunctionalGroupsSequence[0], "SegmentIdentificationSequence").ReferencedSegmentNumber)
        if number not in numbers:
            refuse(manifest, f"{shown} marks a segment {number} that it does not describe")
        masks[numbers[number].label][z] |= frame.astype(np.bool_)
    return masks


def _labelled(manifest: ContainerManifest, volume: Volume, name: str, path: Path) -> dict[str, Mask]:
    """The masks of a NIfTI file of labels, by the labels of the manifest: of each voxel it says which of them it is, or none."""
    declared = {label: one.value for label, one in manifest.marked.items() if one.file == name}
    try:
        labels = read_labels(path, volume)
    except ValueError as unfit:
        refuse(manifest, f"{quoted(name)} is no label map of these images: {unfit}")
    seen = np.zeros(np.iinfo(labels.dtype).max + 1, np.bool_)
    for plane in labels:
        seen[plane] = True
    if unknown := set(np.flatnonzero(seen).tolist()) - {0, *declared.values()}:
        refuse(manifest, f"{quoted(name)} marks {min(unknown)}, which container.yaml does not declare")
    return {label: labels == value for label, value in declared.items()}


def _background(segment: Dataset) -> bool:
    """What a label map calls 0 (PS3.3 C.8.20.2): no segment."""
    return int(segment.SegmentNumber) == 0


def _structure(manifest: ContainerManifest, segment: Dataset, shown: str) -> Structure:
    """The structure that a segment is, by its label; its code must be the same, and its side no other."""
    label = str(segment.SegmentLabel).strip()
    names = {manifest.called.get(one.label, one.label): one for one in manifest.structures}
    if label not in names:
        refuse(manifest, f"{shown} has a segment {quoted(label)}, which container.yaml does not declare")
    structure, (code,) = names[label], segment.SegmentedPropertyTypeCodeSequence
    said = (str(code.CodeValue), str(code.CodingSchemeDesignator))
    if said != (structure.type.value, structure.type.scheme):
        declared = f"{structure.type.scheme}:{structure.type.value}"
        refuse(manifest, f'{shown} codes "{structure.label}" as {quoted(":".join(reversed(said)))}, container.yaml as {declared}')
    if structure.laterality is not None and (other := _sides(segment, code) - {structure.laterality}):
        said_side, side = other.pop().meaning, structure.laterality.meaning
        refuse(manifest, f'{shown} codes "{structure.label}" as {said_side}, container.yaml as {side}')
    return structure


def _sides(segment: Dataset, code: Dataset) -> set[Code]:
    """The sides that a segment says it is of: modifiers of what it is (PS3.3 C.8.20.2), and of its region (PS3.3 10.5)."""
    regions = [one.get("AnatomicRegionModifierSequence") or () for one in segment.get("AnatomicRegionSequence") or ()]
    modifiers = [*(code.get("SegmentedPropertyTypeModifierCodeSequence") or ()), *chain.from_iterable(regions)]
    return {_SIDES[coded(one)] for one in modifiers if coded(one) in _SIDES}


# ---- numbers and answers


def _values(manifest: ContainerManifest, written: ContainerOutput, marked: set[str]) -> Iterator[Measurement]:
    reported = _reported(manifest, written.reports)
    for one in manifest.values:
        said = said_at(written.values, one.key) if one.key else reported.pop((one.name.value, one.name.scheme), None)
        value = None if isinstance(said, bool) else number(said)
        if said is not None and value is None:
            refuse(manifest, f'"{one.name.meaning}" is no number: {manifest.values_file} has {quoted(said)} at {one.key}')
        if value is None and not one.optional and (one.segment is None or one.segment in marked):
            where = f"{manifest.values_file} has no number at {one.key}" if one.key else "no report has it"
            refuse(manifest, f'it does not say "{one.name.meaning}": {where}')
        # of a segment that is not there nothing is measured
        if value is not None and (one.segment is None or one.segment in marked):
            yield Measurement(name=one.name, value=value, unit=one.unit, segment=one.segment)


def _reported(manifest: ContainerManifest, reports: Mapping[str, Dataset]) -> dict[tuple[str, str], float]:
    """The numbers of all reports by their concepts, in the units that were declared."""
    declared = {(one.name.value, one.name.scheme): one for one in manifest.values if not one.key}
    found: dict[tuple[str, str], float] = {}
    for name, report in reports.items():
        try:
            for item in _numbers(report):
                concept = coded(item.ConceptNameCodeSequence[0])
                if concept not in declared:
                    meaning = quoted(item.ConceptNameCodeSequence[0].get("CodeMeaning", concept[0]))
                    refuse(manifest, f"{quoted(name)} measures {meaning}, which container.yaml does not declare")
                if concept in found:
                    refuse(manifest, f'{quoted(name)} says "{declared[concept].name.meaning}" more than once')
                found[concept] = _number(manifest, item, declared[concept], quoted(name))
        except PARSE_ERRORS as broken:
            refuse(manifest, f"{quoted(name)} is a report that cannot be read: {type(broken).__name__} ({quoted(broken)})")
    return found


def _numbers(report: Dataset) -> Iterator[Dataset]:
    """Every NUM item of a content tree."""
    waiting, seen = [report], 0
    while waiting:
        for item in waiting.pop().get("ContentSequence", []):
            seen += 1
            if seen > _MOST_ITEMS:
                raise ValueError(f"it has more than {_MOST_ITEMS} items")
            if item.ValueType == "NUM":
                yield item
            waiting.append(item)


def _number(manifest: ContainerManifest, item: Dataset, declared: ContainerValue, shown: str) -> float:
    (measured,) = item.MeasuredValueSequence
    unit = coded(measured.MeasurementUnitsCodeSequence[0])
    if unit != (declared.unit.value, declared.unit.scheme):
        wanted = declared.unit.value
        refuse(manifest, f'{shown} measures "{declared.name.meaning}" in {quoted(unit[0])}, container.yaml in {wanted}')
    value = float(measured.NumericValue)
    if not np.isfinite(value):
        raise ValueError("a number is none")
    return value


def _evaluation(manifest: ContainerManifest, one: ContainerAnswer, written: ContainerOutput) -> Evaluation:
    said = number(said_at(written.values, one.key))
    if said is None or not 0 <= said <= 1:
        refuse(manifest, f'it does not say "{one.finding.meaning}": {manifest.values_file} has no probability at {one.key}')
    value = codes.PRESENT if said >= one.present else codes.ABSENT if said < one.absent else codes.UNDETERMINED
    return Evaluation(finding=one.finding, value=value, finding_site=one.site, probability=said)
