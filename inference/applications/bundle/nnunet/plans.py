"""plans.json and dataset.json: what is done to images, how the network is called, and what its channels are.

Every name in them is a key of a table here. Another one is refused by name: nothing is imported because plans name it, for a name with dots
runs what it names, as a pickle does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.applications.bundle.errors import HostileBundle, UnknownInPlans, UnreadableBundle
from inference.applications.bundle.finish import Decision, Regions
from inference.applications.bundle.metadata import MODALITIES, MOST_CHANNELS
from inference.applications.bundle.nnunet.architecture import Architecture, architecture
from inference.applications.bundle.nnunet.preparing import CropToNonzero, CtNormalization, Resample, RgbTo01, ToUnit, ZScore
from inference.applications.bundle.nnunet.reading import finite, mapping, must, positive, sides, truth, whole
from inference.applications.bundle.steps import Transform

REORIENTED = {"NibabelIOWithReorient": "RAS", "SimpleITKIOWithReorient": "RAS"}
"""Readers that turn images before they give them, and to which axes (i, j, k)."""

AS_STORED = ("SimpleITKIO", "NibabelIO")
"""Readers that give images as they lie in their files."""

_MOST_SIDE, _MOST_PATCH = 2048, 1 << 28
_ORDERS = range(6)
_MOST_LABEL = 65535
_MOST_INPUTS = 16


_SCHEMES = ("ZScoreNormalization", "CTNormalization", "NoNormalization", "RescaleTo01Normalization", "RGBTo01Normalization")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """One configuration of plans.

    Attributes
    ----------
    dataset
        Its name: "Dataset004_Hippocampus".
    transpose
        Axis i of what the network sees is axis transpose[i] of what the reader gives.
    prepare
        Of an image whose axes are the network's.
    patch
        Sides along three axes; the first is 1 for a network of slices.
    previous
        The configuration whose labels are channels of this one's input; None where it sees images alone.
    labels
        How those are resampled: order, order along the coarse axis, and whether that is resampled apart, as of `Resample`.
    """

    dataset: str
    reader: str
    transpose: tuple[int, int, int]
    prepare: tuple[Transform, ...]
    patch: tuple[int, int, int]
    architecture: Architecture
    previous: str | None = None
    labels: tuple[int, int, bool | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What dataset.json says of the network's input and output.

    Attributes
    ----------
    names
        Of labels that may be structures, by number; of regions that overlap, by their place from 1 on.
    channels
        Of the output, with the background.
    inputs
        Names of the input's channels, in their order.
    modality
        As DICOM names it; None where their names do not tell, or tell several.
    decided
        How labels come of the output.
    """

    names: Mapping[int, str]
    channels: int
    inputs: tuple[str, ...]
    modality: str | None
    decided: Decision | Regions


def read_plans(said: Mapping[str, Any], configuration: str, channels: int = 1) -> Plans:
    """The plans of one configuration.

    Parameters
    ----------
    channels
        Images of the network's input.

    Raises
    ------
    UnknownInPlans, UnreadableBundle, HostileBundle
    """
    of = _inherited(mapping(said.get("configurations"), "configurations"), configuration)
    reader = must(said, "image_reader_writer", str)
    if reader not in REORIENTED and reader not in AS_STORED:
        known = ", ".join((*AS_STORED, *REORIENTED))
        raise UnknownInPlans(f"images are read by {reader}; hilum knows the readers of volumes {known}")
    _only(of, "preprocessor_name", "DefaultPreprocessor")
    if "label_manager" in said:
        _only(said, "label_manager", "LabelManager")
    previous = None if of.get("previous_stage") is None else must(of, "previous_stage", str)
    patch = must(of, "patch_size", Sequence)
    if len(patch) not in (2, 3):
        raise UnreadableBundle(f"patch_size has {len(patch)} axes")
    found = sides(patch, len(patch), "patch_size", _MOST_SIDE)
    first, second, third = (1, *found) if len(found) == 2 else found
    if first * second * third > _MOST_PATCH:
        raise HostileBundle(f"a patch of {first} × {second} × {third} voxels")
    transpose = must(said, "transpose_forward", Sequence)
    if sorted(transpose) != [0, 1, 2]:
        raise UnreadableBundle(f"transpose_forward is {list(transpose)}, not an order of three axes")
    return Plans(
        dataset=must(said, "dataset_name", str),
        reader=reader,
        transpose=(transpose[0], transpose[1], transpose[2]),
        prepare=(CropToNonzero(), *_normalisations(said, of, channels), _resampling(of, len(found))),
        patch=(first, second, third),
        architecture=architecture(of, len(found)),
        previous=previous,
        labels=None if previous is None else _labels_resampled(of),
    )


def read_labels(said: Mapping[str, Any]) -> Labels:
    """The labels of dataset.json.

    Raises
    ------
    UnreadableBundle, HostileBundle
    """
    named = mapping(said.get("channel_names", said.get("modality")), "channel_names")
    if not 1 <= len(named) <= _MOST_INPUTS or set(named) != {str(number) for number in range(len(named))}:
        raise UnreadableBundle(f"channel_names has the channels {', '.join(map(str, named))}; they are numbered from 0, without a gap")
    inputs = tuple(str(named[str(number)]) for number in range(len(named)))
    labels = mapping(said.get("labels"), "labels")
    told = {_modality(each) for each in inputs}
    modality = told.pop() if len(told) == 1 else None
    if len(labels) > MOST_CHANNELS:
        raise HostileBundle(f"dataset.json has {len(labels)} labels")
    if any(isinstance(value, list) and len(value) > 1 for value in labels.values()):
        return _regions(labels, said.get("regions_class_order"), inputs, modality)
    numbers: dict[int, str] = {}
    for name, value in labels.items():
        if name == "ignore":
            continue
        one = value[0] if isinstance(value, list) and value else value
        if isinstance(one, bool) or not isinstance(one, int) or one in numbers:
            raise UnreadableBundle(f'labels: "{name}" is {value!r}, which is no number of its own')
        numbers[one] = str(name)
    if sorted(numbers) != list(range(len(numbers))) or numbers.get(0) != "background":
        raise UnreadableBundle(f"labels are {sorted(numbers)[:20]}; they are numbered from 0, the background, without a gap")
    names = {number: name for number, name in numbers.items() if number}
    return Labels(names=names, channels=len(numbers), inputs=inputs, modality=modality, decided=Decision())


def _regions(labels: Mapping[str, Any], order: Any, inputs: tuple[str, ...], modality: str | None) -> Labels:
    """Labels that are sets of values, each a channel; they are painted over each other in the order that dataset.json says."""
    members: dict[str, tuple[int, ...]] = {}
    for name, value in labels.items():
        if name == "ignore":
            continue
        each = tuple(value) if isinstance(value, list) else (value,)
        found = tuple(whole(one, f'labels: "{name}"', 0, _MOST_LABEL) for one in each)
        if set(found) != {0}:
            members[str(name)] = found
    if not isinstance(order, list) or len(order) != len(members):
        raise UnreadableBundle(f"regions_class_order is {order!r}; of {len(members)} regions each has a label")
    painted = tuple(whole(one, "regions_class_order", 1, _MOST_LABEL) for one in order)
    return Labels(
        names=dict(enumerate(members, start=1)),
        channels=len(members),
        inputs=inputs,
        modality=modality,
        decided=Regions(order=painted, members=tuple(members.values())),
    )


def _modality(channel: str) -> str | None:
    """The modality that a channel's name tells: "CT", "MRI", "T1w"."""
    word = channel.strip().upper()
    return MODALITIES.get(word, MODALITIES.get(word.removesuffix("W")))


def _inherited(configurations: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A configuration with what it inherits."""
    chain: list[Mapping[str, Any]] = []
    at: Any = name
    while at is not None:
        if not isinstance(at, str) or at not in configurations or len(chain) > len(configurations):
            raise UnreadableBundle(f'plans.json: {name} inherits from itself, or from a configuration that is not there ("{at}")')
        chain.append(mapping(configurations[at], at))
        at = chain[-1].get("inherits_from")
    made: dict[str, Any] = {}
    for each in reversed(chain):
        made.update(each)
    return made


def _only(said: Mapping[str, Any], key: str, known: str) -> None:
    if said.get(key) != known:
        raise UnknownInPlans(f"{key} is {said.get(key)!r}; hilum computes {known}")


def _normalisations(said: Mapping[str, Any], of: Mapping[str, Any], channels: int) -> tuple[Transform, ...]:
    """A step for each channel whose values are changed."""
    schemes, masks = must(of, "normalization_schemes", Sequence), must(of, "use_mask_for_norm", Sequence)
    if len(schemes) != channels or len(masks) != channels:
        raise UnreadableBundle(f"normalization_schemes has {len(schemes)} entries, use_mask_for_norm {len(masks)}, for {channels} channels")
    each = [_normalisation(said, scheme, mask, channel) for channel, (scheme, mask) in enumerate(zip(schemes, masks, strict=True))]
    return tuple(step for step in each if step is not None)


def _normalisation(said: Mapping[str, Any], scheme: Any, mask: Any, channel: int) -> Transform | None:
    if scheme == "ZScoreNormalization":
        return ZScore(channel=channel, masked=truth({"use_mask_for_norm": mask}, "use_mask_for_norm", False))
    if scheme == "CTNormalization":
        key = "foreground_intensity_properties_per_channel"
        properties = mapping(said.get(key, said.get("foreground_intensity_properties_by_modality")), key)
        found = mapping(properties.get(str(channel)), f"{key} of channel {channel}")
        low, high, mean, deviation = (
            finite(found.get(name), f"{key}: {name}") for name in ("percentile_00_5", "percentile_99_5", "mean", "std")
        )
        return CtNormalization(channel=channel, low=low, high=high, mean=mean, deviation=deviation)
    if scheme == "RescaleTo01Normalization":
        return ToUnit(channel=channel)
    if scheme == "RGBTo01Normalization":
        return RgbTo01(channel=channel)
    if scheme == "NoNormalization":
        return None
    raise UnknownInPlans(f"values are normalised by {scheme}, which hilum does not compute: it knows {', '.join(_SCHEMES)}")


def _resampling(of: Mapping[str, Any], axes: int) -> Resample:
    spacing = must(of, "spacing", Sequence)
    if len(spacing) != axes:
        raise UnreadableBundle(f"spacing has {len(spacing)} axes, patch_size has {axes}")
    found = [positive(each, "spacing") for each in spacing]
    # a network of slices takes them as far from each other as they lie
    first, second, third = (0.0, *found) if axes == 2 else found
    there, back = _function(of, "resampling_fn_data"), _function(of, "resampling_fn_probabilities")
    return Resample(
        spacing_mm=(first, second, third),
        order=there[0],
        order_apart=there[1],
        apart=there[2],
        order_back=back[0],
        order_back_apart=back[1],
        apart_back=back[2],
    )


def _labels_resampled(of: Mapping[str, Any]) -> tuple[int, int, bool | None]:
    order, order_apart, apart = _function(of, "resampling_fn_seg", of_labels=True)
    if order_apart != 0:
        raise UnknownInPlans(f"resampling_fn_seg_kwargs: order_z is {order_apart}; labels take the nearest slice, which is 0")
    return order, order_apart, apart


def _function(of: Mapping[str, Any], key: str, *, of_labels: bool = False) -> tuple[int, int, bool | None]:
    """Order, order along the coarse axis, and whether that is resampled apart (None: where spacings differ that much)."""
    _only(of, key, "resample_data_or_seg_to_shape")
    settings = mapping(of.get(f"{key}_kwargs", {}), f"{key}_kwargs")
    unknown = sorted(set(settings) - {"is_seg", "order", "order_z", "force_separate_z"})
    if unknown or settings.get("is_seg", False) is not of_labels:
        raise UnknownInPlans(f"{key}_kwargs: {unknown[0] if unknown else 'is_seg'} is not computed here")
    order, order_z, apart = settings.get("order", 3), settings.get("order_z", 0), settings.get("force_separate_z", False)
    if order not in _ORDERS or order_z not in _ORDERS or apart not in (None, True, False):
        raise UnknownInPlans(f"{key}_kwargs: orders are 0 to 5, force_separate_z is null, true or false")
    return int(order), int(order_z), apart
