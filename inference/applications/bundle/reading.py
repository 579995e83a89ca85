"""Translates a bundle's inference configuration into transforms, an inferer and finishings that hilum computes, or refuses it by name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from inference.applications.bundle import expressions
from inference.applications.bundle.answering import Decides, Samples
from inference.applications.bundle.config import Config
from inference.applications.bundle.detecting import Detector
from inference.applications.bundle.detector import read_detector
from inference.applications.bundle.errors import HostileBundle, UnclearBundle, UnfitBundle, UnknownTransform
from inference.applications.bundle.finish import Activation, Decision, Finishing, KeepLargest, Return, order_problem
from inference.applications.bundle.inferer import PADDING, Inferer, Slices, SlidingWindow, Whole
from inference.applications.bundle.known import Found, found
from inference.applications.bundle.metadata import MOST_CHANNELS, MOST_SIDE, Network
from inference.applications.bundle.steps import (
    CropForeground,
    NormalizeIntensity,
    Orientation,
    Resize,
    ScaleIntensity,
    ScaleIntensityRange,
    ScaleIntensityRangePercentiles,
    Spacing,
    Transform,
    Transpose,
)
from inference.engines.tiling import SIGMA

_LEAST_MM = 0.05
_MOST_WINDOW = 1 << 28
_MOST_BATCH = 64
_AXES = re.compile(r"[LR][AP][IS]|[LR][IS][AP]|[AP][LR][IS]|[AP][IS][LR]|[IS][LR][AP]|[IS][AP][LR]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """From series to masks or statements, and what of it is otherwise than the bundle says.

    Attributes
    ----------
    decides, limit
        Of a network that classifies: what makes statements of its probabilities, and the probability from which on a finding is present.
    detector
        Of a network that finds boxes; `finish` is then empty.
    unsaid
        The bundle takes the largest of its network's values and does not say what they are: the softmax in `finish` is right of logits.
    """

    prepare: tuple[Transform, ...]
    inferer: Inferer
    finish: tuple[Finishing, ...]
    notes: tuple[str, ...]
    decides: Decides = Decides.LIMITS
    limit: float = 0.5
    detector: Detector | None = None
    unsaid: bool = False


def pipeline(config: Config, net: Network, orientation: str | None) -> Pipeline:
    """The steps of an inference configuration.

    Parameters
    ----------
    orientation
        The axes of the image that the network sees, where the bundle does not say them ("RAS").

    Raises
    ------
    UnknownTransform, CodeRefused, UnclearBundle, UnfitBundle, HostileBundle
    """
    notes: list[str] = []
    prepare = _prepare(_preprocessing(config, net, notes), net, orientation, config.at("preprocessing"))
    if net.detects:
        read = read_detector(config)
        notes.append("Boxes are computed as MONAI's RetinaNetDetector does; the bundle's own inferer, evaluator and writer are not run.")
        return Pipeline(prepare=prepare, inferer=_window(read.window), finish=(), notes=tuple(notes), detector=read.detector)
    finishing = _transforms(config, "postprocessing", net.output)
    finish = () if net.classifies else _finish(finishing, net, notes, config.at("postprocessing"))
    called = found(config, "inferer", "")
    if called is None:
        raise UnknownTransform(f"{config.at('inferer')} is switched off")
    if net.classifies:
        made = _classifying(config, net, called, prepare, finishing)
        if net.single and orientation is not None:
            raise UnclearBundle(f"{config.at('preprocessing')} is of single images, which lie in no patient: leave --orientation out")
        return made
    if orientation is not None and not any(isinstance(step, Orientation) for step in prepare[1:]):
        notes.append(f"The bundle does not say how the image lies; it is turned to {orientation}, as the operator said.")
    return Pipeline(prepare=prepare, inferer=_inferer(called, net.axes), finish=finish, notes=tuple(notes))


_COMPOSE = ("Compose", "monai.transforms.Compose", "monai.transforms.compose.Compose")


def _preprocessing(config: Config, net: Network, notes: list[str]) -> list[Found]:
    """The transforms of the image; of a detector with a spacing that is switched off, for files that had been brought to it before."""
    steps = _transforms(config, "preprocessing", net.input)
    if not net.detects or any(each.name == "Spacingd" for each in steps):
        return steps
    steps = _transforms(config, "preprocessing", net.input, also_off="Spacingd")
    notes += [
        f"{each.id} is switched off for files that were brought to its spacing before; series come at their own, and are brought to it "
        "here: anchors are counted in voxels."
        for each in steps
        if each.name == "Spacingd"
    ]
    return steps


def _transforms(config: Config, block: str, key: str, also_off: str = "") -> list[Found]:
    """Those of a block; `also_off` is the name of those that are taken where they are switched off, too."""
    node = config.raw(block)
    place = config.place(block)
    if not isinstance(node, Mapping) or node.get("_target_") not in _COMPOSE:
        raise UnknownTransform(f"{config.at(block)} is no Compose of transforms")
    unknown = set(node) - {"_target_", "transforms", "_desc_"}
    if unknown:
        raise UnknownTransform(f'Compose at {config.at(place)}: the setting "{min(map(str, unknown))}" is not known')
    listed = config.raw(f"{place}::transforms")
    if not isinstance(listed, list):
        raise UnknownTransform(f"{config.at(place)}::transforms is no list")
    at = config.place(f"{place}::transforms")
    each = [found(config, f"{at}::{number}", key, also_off) for number in range(len(listed))]
    return [one for one in each if one is not None]


_NOTHING = {"LoadImaged", "EnsureChannelFirstd", "AddChanneld", "EnsureTyped", "ToTensord", "ToDeviced", "CastToTyped"}


def _prepare(transforms: Sequence[Found], net: Network, orientation: str | None, at: str) -> tuple[Transform, ...]:
    steps: list[Transform] = []
    if net.single:
        # a picture's first axis is along its rows, as MONAI's readers of pictures give it
        steps.append(Transpose(indices=(0, 2, 1)))
    elif orientation is not None:
        steps.append(Orientation(axcodes=axcodes(orientation, "--orientation")))
    for each in transforms:
        if each.settings.get("channel_dim") not in ((None, "no_channel", 2, -1) if net.single else (None, "no_channel")):
            raise UnknownTransform(f"{each.name} at {each.id}: channel_dim {each.settings['channel_dim']!r} is not computed here")
        # as it is written: a name, a class, or a list of them
        if "numpyreader" in str(each.settings.get("reader", "")).lower():
            raise UnknownTransform(f"{each.id} reads arrays (NumpyReader): which axis comes first, and what values mean, its author knows")
        if each.name in _NOTHING:
            continue
        if each.name not in _STEPS:
            raise UnknownTransform(f"{each.id} is {each.name}, which is no preparation of an image")
        if net.single and each.name in _IN_PATIENT:
            raise UnknownTransform(f"{each.name} at {each.id}: a single image lies nowhere in the patient")
        if (
            net.inputs > 1
            and net.samples is not Samples.COPIED
            and (each.name == "CropForegroundd" or (each.name in _BY_IMAGE and not each.truth("channel_wise", False)))
        ):
            what = "the box of all channels" if each.name == "CropForegroundd" else "values of all channels together (channel_wise: false)"
            raise UnknownTransform(f"{each.name} at {each.id}: {what} is not computed here for {net.inputs} channels")
        if each.name == "Resized" and not net.classifies:
            raise UnknownTransform(f"{each.name} at {each.id}: it is computed for networks that classify alone")
        steps.append(_STEPS[each.name](each))
        if isinstance(steps[-1], Spacing | CropForeground) and not any(isinstance(step, Orientation) for step in steps):
            raise UnclearBundle(f"{each.id} comes before the bundle says how the image lies (Orientationd): give --orientation RAS")
    if not net.single and not any(isinstance(step, Orientation) for step in steps):
        raise UnclearBundle(f"{at} does not say how the image lies (Orientationd): give --orientation, as its training images lay: RAS")
    return tuple(steps)


_IN_PATIENT = {"Orientationd", "Spacingd", "CropForegroundd"}

_BY_IMAGE = {"ScaleIntensityd", "ScaleIntensityRangePercentilesd", "NormalizeIntensityd"}
"""What looks at the values of the whole image: of each channel alone, or of all of them."""


def axcodes(codes: Any, where: str) -> str:
    """Letters of three axes, such as "RAS"."""
    if not isinstance(codes, str) or not _AXES.fullmatch(codes):
        raise UnknownTransform(f"{where}: {codes!r} is not one letter of each of L/R, P/A, S/I")
    return codes


def _orientation(each: Found) -> Transform:
    if each.truth("as_closest_canonical", False):
        return Orientation(axcodes="RAS")
    return Orientation(axcodes=axcodes(each.settings.get("axcodes"), each.id))


def _spacing(each: Found) -> Transform:
    mode = each.settings.get("mode", "bilinear")
    mode = mode[0] if isinstance(mode, list) and len(mode) == 1 else mode
    if mode not in ("bilinear", "nearest"):
        raise UnknownTransform(f"Spacingd at {each.id}: mode {mode!r} is not computed here")
    return Spacing(pixdim=each.numbers("pixdim", None, lambda side: side <= 0 or side >= _LEAST_MM), mode=mode)


def _resize(each: Found) -> Transform:
    size, mode = each.settings.get("spatial_size"), each.settings.get("mode", "area")
    sides = size if isinstance(size, list) else []
    if len(sides) not in (2, 3) or any(type(side) is not int or not 0 < side <= MOST_SIDE for side in sides):
        raise UnknownTransform(f"{each.name} at {each.id}: spatial_size is {size!r}, not two or three sides of 1 to {MOST_SIDE} voxels")
    mode = mode[0] if isinstance(mode, list) and len(mode) == 1 else mode
    if mode not in ("area", "bilinear", "trilinear"):
        raise UnknownTransform(f"{each.name} at {each.id}: mode {mode!r} is not computed here, only 'area', 'bilinear' and 'trilinear'")
    return _sized(sides, "area" if mode == "area" else "bilinear")


def _sized(sides: Sequence[int], mode: str) -> Resize:
    first, second, third = (1, *sides) if len(sides) == 2 else sides
    return Resize(size=(first, second, third), mode=mode)


def _crop(each: Found) -> Transform:
    def whole(key: str, default: int, least: int) -> tuple[int, int, int]:
        first, second, third = each.numbers(key, default, lambda side: least <= side <= MOST_SIDE and side == int(side))
        return int(first), int(second), int(third)

    made = CropForeground(
        margin=whole("margin", 0, 0), k_divisible=whole("k_divisible", 1, 1), allow_smaller=each.truth("allow_smaller", False)
    )
    mode = each.settings.get("mode", "constant")
    inside = made.k_divisible == (1, 1, 1) and (made.allow_smaller or made.margin == (0, 0, 0))
    if mode not in ("constant", ["constant"]) and not inside:
        raise UnknownTransform(f"CropForegroundd at {each.id}: mode {mode!r} is not computed here, only 'constant'")
    return made


def _must(value: float | None, each: Found, key: str) -> float:
    if value is None:
        raise UnknownTransform(f"{each.name} at {each.id} lacks {key}")
    return value


def _range(each: Found) -> Transform:
    return ScaleIntensityRange(
        a_min=_must(each.number("a_min", None), each, "a_min"),
        a_max=_must(each.number("a_max", None), each, "a_max"),
        b_min=each.number("b_min", None),
        b_max=each.number("b_max", None),
        clip=each.truth("clip", False),
    )


def _percentiles(each: Found) -> Transform:
    lower, upper = _must(each.number("lower", None), each, "lower"), _must(each.number("upper", None), each, "upper")
    if not 0 <= lower <= upper <= 100:
        raise UnknownTransform(f"{each.name} at {each.id}: percentiles {lower:g} and {upper:g}")
    return ScaleIntensityRangePercentiles(
        lower=lower,
        upper=upper,
        b_min=each.number("b_min", None),
        b_max=each.number("b_max", None),
        clip=each.truth("clip", False),
        relative=each.truth("relative", False),
    )


def _scale(each: Found) -> Transform:
    return ScaleIntensity(minv=each.number("minv", 0.0), maxv=each.number("maxv", 1.0), factor=each.number("factor", None))


def _normalize(each: Found) -> Transform:
    return NormalizeIntensity(
        subtrahend=each.number("subtrahend", None), divisor=each.number("divisor", None), nonzero=each.truth("nonzero", False)
    )


_STEPS = {
    "Orientationd": _orientation,
    "Spacingd": _spacing,
    "Resized": _resize,
    "CropForegroundd": _crop,
    "ScaleIntensityRanged": _range,
    "ScaleIntensityRangePercentilesd": _percentiles,
    "ScaleIntensityd": _scale,
    "NormalizeIntensityd": _normalize,
}


def _classifying(config: Config, net: Network, called: Found, prepare: tuple[Transform, ...], finishing: Sequence[Found]) -> Pipeline:
    """What a network that classifies sees, in one size, and what its values say."""
    if called.name != "SimpleInferer":
        raise UnfitBundle(f"{called.id} is {called.name}, and the network says what an image shows: it sees it whole (SimpleInferer)")
    notes: list[str] = []
    sizes = [step.size for step in prepare if isinstance(step, Resize)]
    if not sizes:
        if net.sides is None or not net.single:
            raise UnclearBundle(f"{config.at('preprocessing')} does not bring images to one size (Resized), which the network needs")
        first = _sized(net.sides, "area")
        prepare, sizes = (prepare[0], first, *prepare[1:]), [first.size]
        sides = " × ".join(map(str, net.sides))
        notes.append(f"The bundle takes images of {sides} pixels; others are brought to it, each pixel the mean of those that it covers.")
    if net.samples is Samples.COPIED:
        notes.append("The network sees three channels, and the bundle names one image for them: each is the image in grey.")
    if net.single and net.samples is not Samples.RGB:
        notes.append(
            "The bundle was made for picture files: grey values are brought from the window in the image's header to 0 to 255, as such a "
            "file has them; without a window, from the image's lowest to its highest where they are not of 0 to 255 already."
        )
    if (sizes[-1][0] == 1) != net.single:
        raise UnfitBundle(f"{config.at('preprocessing')} brings images to {sizes[-1]}, and the network takes images of {net.axes} axes")
    activation, decision = _statement(finishing, net)
    unsaid = activation is None
    if activation is None and decision is None:
        what = "has neither Activationsd nor AsDiscreted: whether the network's values are probabilities is not said"
        raise UnknownTransform(f"{config.at('postprocessing')} {what}")
    if activation is None:
        if decision is not None and decision.threshold is not None:
            raise UnknownTransform(f"{config.at('postprocessing')} has a threshold for values that no Activationsd makes probabilities")
        activation = Activation(softmax=True)
    decides = Decides.LARGEST if activation.softmax else Decides.NOTHING
    if decision is not None:
        decides = Decides.LARGEST if decision.threshold is None else Decides.LIMITS
    if decides is Decides.NOTHING:
        notes.append("The bundle gives probabilities and decides nothing: no finding is called present or absent.")
    window: dict[str, Any] = {"roi_size": sizes[-1], "overlap": 0.0}
    return Pipeline(
        prepare=prepare,
        inferer=Slices(**window, axis=0) if net.single else SlidingWindow(**window),
        finish=(activation,),
        notes=tuple(notes),
        decides=decides,
        limit=0.5 if decision is None or decision.threshold is None else decision.threshold,
        unsaid=unsaid,
    )


def as_given(steps: Pipeline, probabilities: bool) -> Pipeline:
    """The steps of a bundle that does not say what its network's values are, once they were looked at."""
    if not probabilities:
        note = "The bundle looks for the largest of its network's values; told as the class's probability is their softmax."
        return replace(steps, notes=(*steps.notes, note))
    note = "The bundle looks for the largest of its network's values, which are probabilities already, and are told as such."
    return replace(steps, notes=(*steps.notes, note), finish=())


def _statement(transforms: Sequence[Found], net: Network) -> tuple[Activation | None, Decision | None]:
    """What makes probabilities of a network's values, and what decides by them; None where the bundle has neither."""
    activations: list[Activation] = []
    decisions: list[Decision] = []
    for each in transforms:
        if each.name in _NOTHING:
            continue
        if each.name == "Activationsd" and not decisions:
            activations += _activation(each)
            if net.channels == 1 and any(one.softmax for one in activations):
                raise UnknownTransform(f"{each.id} takes the softmax of one channel, which is 1 of every image")
        elif each.name == "AsDiscreted":
            decisions += [one for one in _decisions(each, net) if isinstance(one, Decision)]
        else:
            raise UnknownTransform(f"{each.id} is {each.name}, which is no finishing of what a network says of an image")
        if len(activations) > 1 or len(decisions) > 1 or (activations and activations[0].softmax and activations[0].sigmoid):
            raise UnknownTransform(f"{each.id} is {each.name} after another one; one makes probabilities, and one decides")
    return (activations[0] if activations else None), (decisions[0] if decisions else None)


def _activation(each: Found) -> list[Activation]:
    softmax, sigmoid = each.truth("softmax", False), each.truth("sigmoid", False)
    return [Activation(softmax=softmax, sigmoid=sigmoid)] if softmax or sigmoid else []


def _inferer(each: Found, axes: int) -> Inferer:
    if (each.name == "SliceInferer") != (axes == 2):
        raise UnfitBundle(f"{each.id} is {each.name}, and the network takes images of {axes} axes; slices go through SliceInferer")
    if each.name == "SimpleInferer":
        return Whole()
    if each.name == "SliceInferer":
        sides, axis = each.settings.get("roi_size"), each.settings.get("spatial_dim", 0)
        if not isinstance(sides, list) or len(sides) != 2 or type(axis) is not int or not 0 <= axis <= 2:
            raise UnknownTransform(f"SliceInferer at {each.id}: roi_size is {sides!r}, spatial_dim {axis!r}")
        window = _window(replace(each, settings={**each.settings, "roi_size": [*sides[:axis], 1, *sides[axis:]]}))
        return Slices(**{field.name: getattr(window, field.name) for field in fields(window)}, axis=axis)
    return _window(each)


def _window(each: Found) -> SlidingWindow:
    roi = each.numbers("roi_size", None, lambda side: side == int(side) and side <= MOST_SIDE)
    window = 1.0
    for side in roi:
        window *= max(side, 1)
    if window > _MOST_WINDOW:
        raise HostileBundle(f"{each.id}: a window of {roi} voxels")
    overlap = each.numbers("overlap", 0.25, lambda share: 0 <= share < 1)
    if len(set(overlap)) > 1:
        raise UnknownTransform(f"{each.id}: the inferer's overlap {overlap} differs between axes")
    mode, padding = each.settings.get("mode", "constant"), each.settings.get("padding_mode", "constant")
    if mode not in ("constant", "gaussian") or padding not in PADDING:
        raise UnknownTransform(f"{each.id}: the inferer's mode {mode!r} or padding_mode {padding!r} is not computed here")
    batch = _must(each.number("sw_batch_size", 1), each, "sw_batch_size")
    sigma = _must(each.number("sigma_scale", SIGMA), each, "sigma_scale")
    if not (1 <= batch <= _MOST_BATCH and batch == int(batch)) or not 0 < sigma <= MOST_SIDE:
        raise HostileBundle(f"{each.id}: the inferer's sw_batch_size is {batch:g}, its sigma_scale {sigma:g}")
    return SlidingWindow(
        roi_size=(int(roi[0]), int(roi[1]), int(roi[2])),
        overlap=overlap[0],
        sw_batch_size=int(batch),
        mode=mode,
        sigma_scale=sigma,
        padding_mode=padding,
        cval=_must(each.number("cval", 0.0), each, "cval"),
    )


def _finish(transforms: Sequence[Found], net: Network, notes: list[str], at: str) -> tuple[Finishing, ...]:
    made: list[Finishing] = []
    packed = False
    for each in transforms:
        if each.name in _NOTHING:
            continue
        if each.name == "Activationsd":
            made += _activation(each)
        elif each.name == "AsDiscreted":
            made += _decisions(each, net)
        elif each.name == "Invertd":
            made.append(Return(nearest=each.truth("nearest_interp", True)))
        elif each.name == "KeepLargestConnectedComponentd":
            if packed:
                raise UnknownTransform(f"{each.id} is {each.name} of masks that were packed into one image of numbers, not computed here")
            made.append(_keep(each))
        elif each.name == "Lambdad":
            masked = any(isinstance(one, Decision) and one.threshold is not None for one in made)
            if not masked or not expressions.packs(str(each.settings.get("func"))):
                function = each.settings.get("func")
                raise UnknownTransform(f"{each.id} is a function of its author's for every result, which hilum does not run: {function!r}")
            packed = True
            notes.append("The bundle packs its masks into one image of numbers for its file; here each mask is a segment.")
        else:
            raise UnknownTransform(f"{each.id} is {each.name}, which is no finishing of a result")
    if not any(isinstance(each, Return) for each in made):
        made.append(Return(nearest=True))
        notes.append("The bundle leaves its result on the network's grid; it is brought back to the series' grid by the nearest voxel.")
    problem = order_problem(made)
    if problem:
        raise UnknownTransform(f"{at} has {problem}")
    where = next(place for place, each in enumerate(made) if isinstance(each, Return))
    decided = any(isinstance(each, Decision) for each in made[:where])
    if decided and made[where] != Return(nearest=True):
        made[where] = Return(nearest=True)
        notes.append(
            "The bundle interpolates decided labels on their way back (nearest_interp: false), which would make one structure "
            "out of two others; the nearest voxel's label is taken."
        )
    return tuple(made)


def _decisions(each: Found, net: Network) -> list[Finishing]:
    argmax, threshold = each.truth("argmax", False), each.number("threshold", None)
    if argmax and threshold is not None:
        raise UnknownTransform(f"AsDiscreted at {each.id} has both argmax and threshold")
    if argmax and net.channels == 1:
        raise UnknownTransform(f"AsDiscreted at {each.id} takes the largest of one channel")
    return [Decision(threshold=threshold)] if argmax or threshold is not None else []


def _keep(each: Found) -> Finishing:
    labels = each.settings.get("applied_labels")
    listed = labels if isinstance(labels, list) or labels is None else [labels]
    if listed is not None and (
        len(listed) > MOST_CHANNELS
        or any(isinstance(one, bool) or not isinstance(one, int) or not 0 <= one < MOST_CHANNELS for one in listed)
    ):
        raise UnknownTransform(f"{each.name} at {each.id}: applied_labels is {labels!r}")
    connectivity, count = each.number("connectivity", None), _must(each.number("num_components", 1), each, "num_components")
    if connectivity not in (None, 1.0, 2.0, 3.0) or not (1 <= count <= MOST_CHANNELS and count == int(count)):
        raise UnknownTransform(f"{each.name} at {each.id}: connectivity {connectivity!r}, num_components {count:g}")
    return KeepLargest(
        applied_labels=None if listed is None else tuple(listed),
        independent=each.truth("independent", True),
        connectivity=None if connectivity is None else int(connectivity),
        num_components=int(count),
    )
