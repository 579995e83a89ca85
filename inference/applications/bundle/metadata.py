"""metadata.json of a bundle: one image in, of one series or of several; one image, boxes or values of classes out; what channels are."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.applications.bundle.answering import Samples
from inference.applications.bundle.errors import HostileBundle, UnclearBundle, UnfitBundle, UnreadableBundle
from inference.applications.bundle.names import is_background

MODALITIES = {
    "CT": "CT",
    "MR": "MR",
    "MRI": "MR",
    "T1": "MR",
    "T2": "MR",
    "FLAIR": "MR",
    "PT": "PT",
    "PET": "PT",
    "MG": "MG",
    "MAMMOGRAM": "MG",
    "MAMMOGRAPHY": "MG",
}
"""What bundles call modalities, and what DICOM does (PS3.3 C.7.3.1.1.1)."""

_FORMAT = "network_data_format"
_MOST_ROLES = 16
_COLOURS = {"0": "R", "1": "G", "2": "B"}
"""What channel_def says of colours in the order in which images have them."""
MOST_SIDE = 1024
"""Of a window, or of an image that is brought to one size."""

MOST_CHANNELS = 1000
"""More than any network of today distinguishes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What metadata.json says of the network: its one image in, what comes out.

    Attributes
    ----------
    input, output
        Keys of the two in metadata.json, which the transforms also use.
    axes
        Of an image that it takes: 3, or 2 for slices and single images.
    sides
        Of an image that it takes, where they are numbers; None where they are open.
    classifies
        Whether it gives a number for each class, where another one gives an image.
    detects
        Whether it gives boxes; `channels` are then those that metadata.json says, and what tells classes apart is the configuration's.
    samples
        What it sees of a single image.
    roles
        Of the series that are the input's channels, in their order; () where one series is.
    channels
        Of the output.
    names
        Of the output's channels that may be structures, by number; the background is not among them. "" where nothing is said.
    image_at
        Where its input stands, for messages.
    said_at
        Where the names stand, for messages.
    """

    input: str
    output: str
    modality: str | None
    axes: int
    sides: tuple[int, ...] | None
    classifies: bool
    samples: Samples
    roles: tuple[str, ...]
    channels: int
    names: Mapping[int, str]
    detects: bool = False
    image_at: str
    said_at: str

    @property
    def inputs(self) -> int:
        """How many channels it takes."""
        return max(len(self.roles), self.samples.channels)

    @property
    def single(self) -> bool:
        """Whether it takes single images, where another one takes the slices of a series."""
        return self.classifies and self.axes == 2


def network(metadata: Mapping[str, Any], at: Callable[[str], str] = str) -> Network:
    """The network's format.

    Parameters
    ----------
    at
        An id in metadata.json ("network_data_format::inputs") with its file and line, for messages.

    Raises
    ------
    UnfitBundle
        It does not take images of series, or does not give one image, or one number a class.
    UnreadableBundle, UnclearBundle, HostileBundle
    """
    said = metadata.get("network_data_format")
    if not isinstance(said, Mapping):
        raise UnreadableBundle(f"{at('network_data_format')} is missing or no mapping: it says what the network takes and gives")
    name_in, image = _only(said, "inputs", at)
    name_out, result = _only(said, "outputs", at)
    takes, gives = f"{_FORMAT}::inputs::{name_in}", f"{_FORMAT}::outputs::{name_out}"
    shape, channels = image.get("spatial_shape"), result.get("num_channels")
    classifies = result.get("type") == "probabilities" or result.get("spatial_shape") == [1, channels]
    detects = (result.get("type"), result.get("format")) == ("object", "dict")
    samples = _samples(image) if classifies and isinstance(shape, list) and len(shape) == 2 else Samples.GREY
    roles = () if samples is not Samples.GREY else _roles(image, takes, at)
    if classifies and roles:
        raise UnfitBundle(f"{at(f'{takes}::num_channels')}: the network says what {len(roles)} channels show together; one image is taken")
    if image.get("type") != "image" and samples is not Samples.RGB:
        raise UnfitBundle(f"{at(f'{takes}::type')}: the network takes {image.get('type')!r}; images are what series give")
    if detects and roles:
        raise UnfitBundle(f"{at(f'{takes}::num_channels')}: the network finds what {len(roles)} channels show together; one image is taken")
    if detects and isinstance(shape, list) and len(shape) == 2:
        raise UnfitBundle(f"{at(f'{takes}::spatial_shape')}: the detector is of two axes; detectors of volumes are taken")
    if not (classifies or detects) and (result.get("type") != "image" or result.get("format") == "magnitude"):
        what = f"{result.get('type')!r} of format {result.get('format')!r}"
        raise UnfitBundle(f"{at(f'{gives}::type')}: the network gives {what}; images whose channels are structures become segments")
    if not isinstance(shape, list) or len(shape) not in (2, 3):
        raise UnfitBundle(f"{at(f'{takes}::spatial_shape')}: the network takes images of spatial shape {shape!r}, not of two or three axes")
    if isinstance(channels, bool) or not isinstance(channels, int) or not 1 <= channels <= MOST_CHANNELS:
        raise HostileBundle(f"{at(f'{gives}::num_channels')}: the output has {channels!r} channels")
    modality = image.get("modality")
    named = f"{gives}::channel_def"
    return Network(
        input=name_in,
        output=name_out,
        modality=MODALITIES.get(modality.upper()) if isinstance(modality, str) else None,
        axes=len(shape),
        sides=tuple(shape) if all(type(side) is int and 0 < side <= MOST_SIDE for side in shape) else None,
        classifies=classifies,
        samples=samples,
        roles=roles,
        channels=channels,
        names=_names(result, channels, at(named)),
        detects=detects,
        image_at=at(takes),
        said_at=at(named),
    )


def _only(said: Mapping[str, Any], which: str, at: Callable[[str], str]) -> tuple[str, Mapping[str, Any]]:
    tensors, id = said.get(which), f"{_FORMAT}::{which}"
    if not isinstance(tensors, Mapping) or len(tensors) != 1:
        there = ", ".join(map(str, tensors)) if isinstance(tensors, Mapping) else repr(tensors)
        raise UnfitBundle(f"{at(id)}: the network's {which} are {there}; one is needed")
    ((name, tensor),) = tensors.items()
    if not isinstance(tensor, Mapping):
        raise UnreadableBundle(f"{at(f'{id}::{name}')} is no mapping")
    return str(name), tensor


def _samples(image: Mapping[str, Any]) -> Samples:
    """What a network that classifies sees of a single image: its colours, or where three channels are one image its grey value as each."""
    said = image.get("channel_def")
    named = [str(name) for name in said.values()] if isinstance(said, Mapping) else []
    if image.get("num_channels") != Samples.RGB.channels or (image.get("format") == "RGB" and len(named) == 1):
        return Samples.GREY
    if isinstance(said, Mapping) and {str(number): str(name) for number, name in said.items()} == _COLOURS:
        return Samples.RGB
    return Samples.COPIED if len(named) == 1 else Samples.GREY


def _roles(image: Mapping[str, Any], id: str, at: Callable[[str], str]) -> tuple[str, ...]:
    """A role for each of several channels, by its name as routes say it; () for one channel."""
    count, said = image.get("num_channels"), image.get("channel_def")
    named = [str(name) for name in said.values()] if isinstance(said, Mapping) else []
    if image.get("format") == "RGB" or {"R", "G", "B"} <= set(named):
        raise UnfitBundle(
            f"{at(f'{id}::num_channels')}: the network takes colour images ({', '.join(named)}); series have one value a pixel"
        )
    if count == 1:
        return ()
    if isinstance(count, bool) or not isinstance(count, int) or not 1 < count <= _MOST_ROLES:
        raise UnfitBundle(f"{at(f'{id}::num_channels')}: the network takes {count!r} channels; 1 to {_MOST_ROLES} series are taken")
    named = list(_numbered(said, at(f"{id}::channel_def")).values())
    roles = role_names(named)
    if len(roles) != count:
        what = f"the network takes {count} channels, and {', '.join(named) or 'nothing'} is all that channel_def names of them"
        raise UnclearBundle(f"{at(f'{id}::channel_def')}: {what}: which series, or what else, each of them is has to stand there")
    return roles


def role_names(channels: Sequence[str]) -> tuple[str, ...]:
    """A role for each channel, by its name as routes say it; () where two would be called alike, or one nothing."""
    roles = tuple(" ".join(re.sub(r"[^A-Za-z0-9 _+-]+", " ", name).split())[:31] for name in channels)
    return roles if len(set(roles)) == len(roles) and all(roles) else ()


def _numbered(said: Any, at: str) -> dict[int, str]:
    """What channel_def calls channels, by their numbers and in their order; {} where it says nothing."""
    if not isinstance(said, Mapping):
        return {}
    try:
        return dict(sorted((int(number), str(name)) for number, name in said.items()))
    except ValueError as broken:
        raise UnreadableBundle(f"{at} has a key that is no number: {broken}") from broken


def _names(result: Mapping[str, Any], channels: int, at: str) -> dict[int, str]:
    named = _numbered(result.get("channel_def"), at)
    if not named:
        return dict.fromkeys(range(channels), "")
    if channels == 1:
        # one channel that is a mask: what it marks is called 1 where the background is called 0
        wanted = 1 if set(named) == {0, 1} and is_background(named[0]) else 0
        named = {0: named[wanted]} if wanted in named else named
    if not set(named) <= set(range(channels)) or len(named) < channels - 1:
        raise UnreadableBundle(f"{at}: the output has {channels} channels, channel_def names {sorted(named)}")
    if any(is_background(name) for name in named.values()):
        # the one that is not named is another
        named = dict.fromkeys(range(channels), "") | named
    return {number: name for number, name in named.items() if not is_background(name)}
