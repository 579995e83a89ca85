"""metadata.json of a bundle: one image in, one image out, and what the output's channels are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.applications.bundle.errors import HostileBundle, UnfitBundle, UnreadableBundle
from inference.applications.bundle.names import is_background

MODALITIES = {"CT": "CT", "MR": "MR", "MRI": "MR", "T1": "MR", "T2": "MR", "FLAIR": "MR", "PT": "PT", "PET": "PT"}
"""What bundles call modalities, and what DICOM does (PS3.3 C.7.3.1.1.1)."""

MOST_CHANNELS = 1000
"""More than any network of today distinguishes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What metadata.json says of the network: its one image in, its one image out.

    Attributes
    ----------
    input, output
        Keys of the two in metadata.json, which the transforms also use.
    channels
        Of the output.
    names
        Of the output's channels that may be structures, by number; the background is not among them.
    """

    input: str
    output: str
    modality: str | None
    channels: int
    names: Mapping[int, str]


def network(metadata: Mapping[str, Any]) -> Network:
    """The network's format.

    Raises
    ------
    UnfitBundle
        It does not take one image of one channel, or does not give one image.
    UnreadableBundle, HostileBundle
    """
    said = metadata.get("network_data_format")
    if not isinstance(said, Mapping):
        raise UnreadableBundle("metadata.json has no network_data_format")
    name_in, image = _only(said, "inputs")
    name_out, result = _only(said, "outputs")
    if image.get("type") != "image" or result.get("type") != "image":
        raise UnfitBundle(f"the network takes {image.get('type')!r} and gives {result.get('type')!r}; images are what segments are made of")
    if image.get("num_channels") != 1:
        raise UnfitBundle(f"the network takes {image.get('num_channels')!r} channels; a series gives one")
    shape = image.get("spatial_shape")
    if not isinstance(shape, list) or len(shape) != 3:
        raise UnfitBundle(f"the network takes images of spatial shape {shape!r}, not of three axes")
    channels = result.get("num_channels")
    if isinstance(channels, bool) or not isinstance(channels, int) or not 1 <= channels <= MOST_CHANNELS:
        raise HostileBundle(f"metadata.json gives the output {channels!r} channels")
    modality = image.get("modality")
    return Network(
        input=name_in,
        output=name_out,
        modality=MODALITIES.get(modality.upper()) if isinstance(modality, str) else None,
        channels=channels,
        names=_names(result, channels),
    )


def _only(said: Mapping[str, Any], which: str) -> tuple[str, Mapping[str, Any]]:
    tensors = said.get(which)
    if not isinstance(tensors, Mapping) or len(tensors) != 1:
        raise UnfitBundle(f"the network's {which} are {', '.join(tensors) if isinstance(tensors, Mapping) else tensors!r}; one is needed")
    ((name, tensor),) = tensors.items()
    if not isinstance(tensor, Mapping):
        raise UnreadableBundle(f"metadata.json: {which} {name} is no mapping")
    return str(name), tensor


def _names(result: Mapping[str, Any], channels: int) -> dict[int, str]:
    said = result.get("channel_def")
    if not isinstance(said, Mapping) or not said:
        raise UnreadableBundle("metadata.json does not say what the output's channels are (channel_def)")
    try:
        named = {int(number): str(name) for number, name in said.items()}
    except ValueError as broken:
        raise UnreadableBundle(f"metadata.json: channel_def has a key that is no number: {broken}") from broken
    if channels == 1:
        # one channel that is a mask: what it marks is called 1 where the background is called 0
        wanted = 1 if set(named) == {0, 1} and is_background(named[0]) else 0
        named = {0: named[wanted]} if wanted in named else named
    if not set(named) <= set(range(channels)) or len(named) < channels - 1:
        raise UnreadableBundle(f"metadata.json: the output has {channels} channels, channel_def names {sorted(named)}")
    return {number: name for number, name in named.items() if not is_background(name)}
