"""Reads a bundle's detector: MONAI's RetinaNetDetector with its anchors, its windows and its choice of boxes, or refuses it by its line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inference.applications.bundle.boxes import AXES, Anchors, Selection
from inference.applications.bundle.config import Called, Config
from inference.applications.bundle.detecting import Detector
from inference.applications.bundle.errors import CodeRefused, HostileBundle, UnclearBundle, UnfitBundle, UnknownTransform
from inference.applications.bundle.known import Found
from inference.applications.bundle.metadata import MOST_CHANNELS, MOST_SIDE
from inference.applications.bundle.retinanet import NAME, returned_layers
from inference.imaging.resample import Shape

_MOST_ANCHORS = 64
_MOST_BOXES = 100_000

_SETTINGS = {
    "RetinaNetInferer": {"detector", "force_sliding_window"},
    "RetinaNetDetector": {
        "network",
        "anchor_generator",
        "spatial_dims",
        "num_classes",
        "size_divisible",
        "cls_key",
        "box_reg_key",
        "debug",
    },
    "AnchorGeneratorWithAnchorShape": {"feature_map_scales", "base_anchor_shapes", "indexing"},
    NAME: {"spatial_dims", "num_classes", "num_anchors", "feature_extractor", "size_divisible", "use_list_output"},
    "set_target_keys": {"box_key", "label_key"},
    "set_box_selector_parameters": {"score_thresh", "topk_candidates_per_level", "nms_thresh", "detections_per_img", "apply_sigmoid"},
    "set_sliding_window_inferer": {
        "roi_size",
        "sw_batch_size",
        "overlap",
        "mode",
        "padding_mode",
        "cval",
        "device",
        "sw_device",
        "progress",
        "cache_roi_weight_map",
    },
    "ClipBoxToImaged": {"box_keys", "label_keys", "box_ref_image_keys", "remove_empty", "allow_missing_keys"},
    "AffineBoxToWorldCoordinated": {
        "box_keys",
        "box_ref_image_keys",
        "affine_lps_to_ras",
        "allow_missing_keys",
        "image_meta_key",
        "image_meta_key_postfix",
    },
    "ConvertBoxModed": {"box_keys", "src_mode", "dst_mode", "allow_missing_keys"},
    "DeleteItemsd": {"keys", "sep", "use_re"},
}
"""What is known of each part, by MONAI's name; a setting that is in no list refuses the bundle."""

_FINISHING = ("ClipBoxToImaged", "AffineBoxToWorldCoordinated", "ConvertBoxModed", "DeleteItemsd")
"""What becomes of boxes: they end with the image, and are written in another way, of which here is nothing left to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDetector:
    """A detector, and its windows as the setting of an inferer."""

    detector: Detector
    window: Found


def read_detector(config: Config) -> ReadDetector:
    """The detector of a configuration.

    Raises
    ------
    UnknownTransform, CodeRefused, UnclearBundle, UnfitBundle, HostileBundle
    """
    inferer = _part(config, "inferer", "RetinaNetInferer")
    detector = _part(config, f"{inferer.id}::detector", "RetinaNetDetector")
    network = _part(config, "network_def", NAME)
    generator = _part(config, f"{detector.id}::anchor_generator", "AnchorGeneratorWithAnchorShape")
    for called in (detector, network):
        if (axes := config.value_of(called, "spatial_dims")) not in (AXES, None):
            raise UnfitBundle(f"{config.at(called.id)}: the detector is of {axes!r} axes; detectors of volumes are taken")
    anchors = _anchors(config, generator)
    count, levels = config.value_of(network, "num_anchors"), len(returned_layers(config, network.id)) + 1
    if count != len(anchors.shapes) or levels != len(anchors.scales):
        what = f"{len(anchors.shapes)} anchors on {len(anchors.scales)} levels, its network {count!r} on {levels}"
        raise UnfitBundle(f"{config.at(generator.id)}: the detector has {what}")
    classes = config.value_of(network, "num_classes")
    if type(classes) is not int or not 1 <= classes <= MOST_CHANNELS:
        raise HostileBundle(f"{config.at(network.id)}: num_classes is {classes!r}")
    _finish(config)
    told = _told(config)
    windows, chosen = told["set_sliding_window_inferer"], told["set_box_selector_parameters"]
    divisible = _sides(config.value_of(network, "size_divisible") or 1, f"{config.at(network.id)}::size_divisible")
    window = _window(config, windows)
    sides = _sides(window.settings.get("roi_size"), f"{window.id}: roi_size")
    if any(side % step for side, step in zip(sides, divisible, strict=True)):
        raise UnfitBundle(f"{window.id}: roi_size is {list(sides)}, whose sides are no multiples of size_divisible {list(divisible)}")
    made = Detector(
        anchors=anchors,
        selection=_selection(config, chosen),
        divisible=divisible,
        always_windows=_truth(config, inferer, "force_sliding_window", False),
        channels=classes,
    )
    return ReadDetector(detector=made, window=window)


def _part(config: Config, id: str, name: str) -> Called:
    """What stands at an id, which has to be of this name."""
    called = config.called(id)
    if called is None:
        raise UnclearBundle(f"{config.at(id)} is missing, or is nothing that {name} could be read of")
    at = config.at(called.id)
    if called.short != name:
        raise UnknownTransform(f"{at} is {called.name}, which hilum does not compute; of detectors {name} is known")
    _refuse_unknown(called, at)
    return called


def _refuse_unknown(called: Called, at: str) -> None:
    unknown = set(called.arguments) - _SETTINGS[called.short]
    if unknown:
        raise UnknownTransform(f'{called.short} at {at}: the setting "{min(unknown)}" is not known')


def _anchors(config: Config, generator: Called) -> Anchors:
    at = config.at(generator.id)
    if config.value_of(generator, "indexing") not in (None, "ij"):
        raise UnknownTransform(f"{at}: indexing is not computed here, only 'ij'")
    scales, shapes = (config.value_of(generator, key) for key in ("feature_map_scales", "base_anchor_shapes"))
    if not isinstance(scales, list) or not 1 <= len(scales) <= _MOST_ANCHORS or not all(_is_side(each) for each in scales):
        raise HostileBundle(f"{at}: feature_map_scales is {scales!r}")
    if not isinstance(shapes, list) or not 1 <= len(shapes) <= _MOST_ANCHORS:
        raise HostileBundle(f"{at}: base_anchor_shapes is {shapes!r}")
    if any(not isinstance(each, list) or len(each) != AXES or not all(_is_side(side) for side in each) for each in shapes):
        raise UnfitBundle(f"{at}: base_anchor_shapes is {shapes!r}, not of three sides each; detectors of volumes are taken")
    return Anchors(scales=tuple(float(each) for each in scales), shapes=tuple((float(x), float(y), float(z)) for x, y, z in shapes))


def _told(config: Config) -> dict[str, Called]:
    """What the detector is told before it runs: a call of each method, by its name."""
    made: dict[str, Called] = {}
    steps = config.raw("evaluator::_requires_")
    place = config.place("evaluator::_requires_")
    for number in range(len(steps) if isinstance(steps, list) else 0):
        id = f"{place}::{number}"
        called = config.called(id)
        name = "" if called is None else called.name.removeprefix("@detector.")
        if called is None or name not in ("set_target_keys", "set_box_selector_parameters", "set_sliding_window_inferer"):
            raise CodeRefused(f"{config.at(id)} asks to run code: it is {config.raw(id)!r}, which is not known of a detector")
        _refuse_unknown(called, config.at(id))
        made[name] = called
    for name in ("set_box_selector_parameters", "set_sliding_window_inferer"):
        if name not in made:
            raise UnclearBundle(
                f"{config.at('evaluator::_requires_')} does not call the detector's {name}: which boxes are kept is not said"
            )
    return made


def _selection(config: Config, called: Called) -> Selection:
    at = config.at(called.id)
    if not _truth(config, called, "apply_sigmoid", True):
        raise UnknownTransform(f"{at}: apply_sigmoid false is not computed here")

    def number(key: str, default: float, check: Any) -> float:
        value = config.value_of(called, key) if key in called.arguments else default
        if isinstance(value, bool) or not isinstance(value, int | float) or not check(value):
            raise HostileBundle(f"{at}: {key} is {value!r}")
        return value

    def is_count(value: float) -> bool:
        return value == int(value) and 1 <= value <= _MOST_BOXES

    return Selection(
        least=float(number("score_thresh", 0.05, lambda value: 0 < value < 1)),
        candidates=int(number("topk_candidates_per_level", 1000, is_count)),
        overlap=float(number("nms_thresh", 0.5, lambda value: 0 <= value <= 1)),
        most=int(number("detections_per_img", 300, is_count)),
    )


def _window(config: Config, called: Called) -> Found:
    """The windows as the settings of SlidingWindowInferer, whose mode alone is narrower here."""
    at = config.at(called.id)
    ignored = {"device", "sw_device", "progress", "cache_roi_weight_map"}
    settings = {key: config.value_of(called, key) for key in called.arguments if key not in ignored}
    for key in ("mode", "padding_mode"):
        if settings.pop(key, "constant") != "constant":
            raise UnknownTransform(f"{at}: {key} {config.value_of(called, key)!r} is not computed here for detectors, only 'constant'")
    # what the method begins with, where SlidingWindowInferer begins with less
    return Found(name="SlidingWindowInferer", id=at, settings={"overlap": 0.5, **settings})


def _finish(config: Config) -> None:
    """Refuse what would become of boxes otherwise than here."""
    listed = config.called("postprocessing")
    steps = config.raw("postprocessing::transforms")
    if listed is None or listed.short != "Compose" or not isinstance(steps, list):
        raise UnknownTransform(f"{config.at('postprocessing')} is no Compose of transforms")
    for number in range(len(steps)):
        id = f"{config.place('postprocessing::transforms')}::{number}"
        called = config.called(id)
        if called is None or called.short not in _FINISHING:
            what = repr(config.raw(id)) if called is None else called.name
            raise UnknownTransform(f"{config.at(id)} is {what}, which is no finishing of boxes that is known")
        _refuse_unknown(called, config.at(id))
        if called.short == "ConvertBoxModed" and config.value_of(called, "src_mode") not in (None, "xyzxyz"):
            raise UnknownTransform(f"{config.at(id)}: the detector's boxes are xyzxyz, not {config.value_of(called, 'src_mode')!r}")


def _truth(config: Config, called: Called, key: str, default: bool) -> bool:
    value = config.value_of(called, key) if key in called.arguments else default
    if not isinstance(value, bool):
        raise UnknownTransform(f"{called.short} at {config.at(called.id)}: {key} is {value!r}, not true or false")
    return value


def _sides(value: Any, at: str) -> Shape:
    sides: Sequence[Any] = value if isinstance(value, list) else [value] * AXES
    if len(sides) != AXES or any(type(each) is not int or not 1 <= each <= MOST_SIDE for each in sides):
        raise HostileBundle(f"{at} is {value!r}, not three sides of 1 to {MOST_SIDE} voxels")
    return sides[0], sides[1], sides[2]


def _is_side(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and 0 < value <= MOST_SIDE
