"""MONAI's transforms and inferers that hilum computes: the settings of each that are taken over, that change nothing here, or must be so.

A setting that is in no list refuses the bundle, whatever its value: what it does here would be a guess.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from inference.applications.bundle.config import Config
from inference.applications.bundle.errors import HostileBundle, UnknownTransform

_MODULE = re.compile(r"monai\.(transforms|inferers)\.([a-z_]+\.)*")
_SPECIAL = {"_target_", "_desc_", "_disabled_", "_requires_", "_mode_"}
_COMMON = frozenset({"allow_missing_keys", "lazy"})
_LARGEST = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Settings of one transform.

    Attributes
    ----------
    taken
        Those whose values decide what is computed.
    fixed
        Those that may stand there with one of these values only.
    ignored
        Those that change nothing here: devices, names of dictionary keys.
    texts
        Those that decide as they are written; functions, and readers of files.
    """

    taken: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    fixed: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()


def _of(taken: str = "", ignored: str = "", **fixed: tuple[Any, ...]) -> Known:
    return Known(taken=frozenset(taken.split()), ignored=frozenset(ignored.split()) | _COMMON, fixed=fixed)


_FLOAT = ("float32", None)
KNOWN: dict[str, Known] = {
    "LoadImaged": replace(
        _of(
            ignored="dtype meta_keys meta_key_postfix overwriting image_only ensure_channel_first simple_keys prune_meta_pattern "
            "prune_meta_sep expanduser"
        ),
        texts=frozenset({"reader"}),
        fixed={"affine_lps_to_ras": (True,)},
    ),
    "EnsureChannelFirstd": _of("channel_dim", ignored="strict_check meta_keys meta_key_postfix"),
    "AddChanneld": _of(),
    "EnsureTyped": _of(ignored="data_type device wrap_sequence track_meta", dtype=_FLOAT),
    "ToTensord": _of(ignored="device wrap_sequence track_meta", dtype=_FLOAT),
    "ToDeviced": _of(ignored="device non_blocking"),
    "CastToTyped": _of(dtype=_FLOAT),
    "Orientationd": _of("axcodes as_closest_canonical", ignored="meta_keys meta_key_postfix"),
    "Spacingd": _of(
        "pixdim mode",
        ignored="align_corners dtype meta_keys meta_key_postfix ensure_same_shape",
        padding_mode=("border", None),
        diagonal=(False,),
        scale_extent=(False,),
        recompute_affine=(False,),
        min_pixdim=(None,),
        max_pixdim=(None,),
    ),
    "Resized": _of(
        "spatial_size mode",
        dtype=_FLOAT,
        size_mode=("all",),
        align_corners=(None, False),
        anti_aliasing=(False,),
        anti_aliasing_sigma=(None,),
    ),
    "ScaleIntensityRanged": _of("a_min a_max b_min b_max clip", dtype=_FLOAT),
    "ScaleIntensityRangePercentilesd": _of("lower upper b_min b_max clip relative channel_wise", dtype=_FLOAT),
    "ScaleIntensityd": _of("minv maxv factor channel_wise", dtype=_FLOAT),
    "NormalizeIntensityd": _of("subtrahend divisor nonzero channel_wise", dtype=_FLOAT),
    "CropForegroundd": _of(
        "margin k_divisible allow_smaller mode",
        ignored="source_key start_coord_key end_coord_key",
        channel_indices=(None, 0, [0]),
        return_coords=(False,),
    ),
    "Activationsd": _of("softmax sigmoid", other=(None,)),
    "AsDiscreted": _of("argmax threshold", ignored="to_onehot", rounding=(None,), dim=(0,), keepdim=(True,)),
    "Invertd": _of(
        "nearest_interp", ignored="transform orig_keys meta_keys orig_meta_keys meta_key_postfix to_tensor device", post_func=(None,)
    ),
    "KeepLargestConnectedComponentd": _of("applied_labels independent connectivity num_components", ignored="is_onehot"),
    "Lambdad": Known(texts=frozenset({"func"}), ignored=_COMMON),
    "SaveImaged": Known(),
    "SaveClassificationd": Known(),
    "SlidingWindowInferer": _of(
        "roi_size overlap sw_batch_size mode sigma_scale padding_mode cval",
        ignored="device sw_device progress cache_roi_weight_map cpu_thresh buffer_steps buffer_dim",
        roi_weight_map=(None,),
        with_coord=(False,),
    ),
    "SliceInferer": _of(
        "roi_size spatial_dim overlap sw_batch_size mode sigma_scale padding_mode cval",
        ignored="device sw_device progress cache_roi_weight_map cpu_thresh buffer_steps buffer_dim",
        roi_weight_map=(None,),
        with_coord=(False,),
    ),
    "SimpleInferer": _of(),
}
"""What is known, by MONAI's name; what saves is left out as a whole: hilum writes its own objects."""

_SAVES = ("SaveImaged", "SaveClassificationd")
_TRUTH = "label"
"""The key of what a result is compared with in training."""
_EACH_KEY = frozenset({"mode", "softmax", "sigmoid", "argmax", "threshold", "nearest_interp"})
"""Settings that may be a list of one value for each key, of which one is looked at; a list of another one is a value as a whole."""

_ALIASES = {"SlidingWindowInfererAdapt": "SlidingWindowInferer"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One transform of a configuration: MONAI's name for it, file, line and id for messages, the taken settings that stand there."""

    name: str
    id: str
    settings: Mapping[str, Any]

    def number(self, key: str, default: float | None) -> float | None:
        """A setting that is a number.

        Raises
        ------
        UnknownTransform, HostileBundle
        """
        value = self.settings.get(key, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UnknownTransform(f"{self.name} at {self.id}: {key} is {value!r}, not a number")
        if not abs(value) <= _LARGEST:
            raise HostileBundle(f"{self.name} at {self.id}: {key} is {value!r}")
        return float(value)

    def truth(self, key: str, default: bool) -> bool:
        """A setting that is yes or no; the Model Zoo also writes "True".

        Raises
        ------
        UnknownTransform
        """
        value = self.settings.get(key, default)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if value in ("True", "true"):
            return True
        if not isinstance(value, bool):
            raise UnknownTransform(f"{self.name} at {self.id}: {key} is {value!r}, not true or false")
        return value

    def numbers(self, key: str, default: Any, check: Callable[[float], bool]) -> tuple[float, float, float]:
        """A setting for three axes; one number holds for all.

        Raises
        ------
        UnknownTransform, HostileBundle
        """
        value = self.settings.get(key, default)
        listed = list(value) if isinstance(value, list | tuple) else [value] * 3
        if len(listed) == 1:
            listed *= 3
        if len(listed) != 3 or any(isinstance(each, bool) or not isinstance(each, int | float) for each in listed):
            raise UnknownTransform(f"{self.name} at {self.id}: {key} is {value!r}, not a number for each of three axes")
        if any(not abs(each) <= _LARGEST or not check(each) for each in listed):
            raise HostileBundle(f"{self.name} at {self.id}: {key} is {value!r}")
        return float(listed[0]), float(listed[1]), float(listed[2])


def found(config: Config, id: str, key: str, also_off: str = "") -> Found | None:
    """What stands at `id`; None for what is switched off, or does nothing here.

    Parameters
    ----------
    key
        The dictionary key that the transform has to work on ("image", "pred"); "" for what has none.
    also_off
        MONAI's name of what is looked at where it is switched off, too.

    Raises
    ------
    UnknownTransform, CodeRefused
    """
    node = config.raw(id)
    id = config.place(id)
    if isinstance(node, str) and node.startswith("$"):
        raise _code(config.at(id), f"it is the expression {node!r}")
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        raise UnknownTransform(f"{config.at(id)} is {_short(node)}, not a transform")
    if _is_off(config, node, id) and (not also_off or known_name(node["_target_"], config.at(id)) != also_off):
        return None
    name = known_name(node["_target_"], config.at(id))
    known = KNOWN[name]
    if name in _SAVES:
        return None
    keys = _keys(config, id) if key else []
    if key and (key not in keys or set(keys) - {key, _TRUTH}):
        raise UnknownTransform(f'{name} at {config.at(id)} works on {", ".join(map(str, keys))}, not on "{key}"')
    settings = {}
    for setting in node:
        if setting in _SPECIAL or setting in known.ignored or (setting == "keys" and key):
            continue
        if setting in known.taken:
            value = config.value(f"{id}::{setting}")
            each = setting in _EACH_KEY and isinstance(value, list) and 1 < len(keys) == len(value)
            settings[setting] = value[keys.index(key)] if each else value
        elif setting in known.texts:
            written = config.raw(f"{id}::{setting}")
            several = len(written) if isinstance(written, list) else 0
            settings[setting] = [config.raw(f"{id}::{setting}::{place}") for place in range(several)] or written
        elif setting in known.fixed:
            value = config.value(f"{id}::{setting}")
            if (value[0] if isinstance(value, list) and len(value) == 1 and setting != "channel_indices" else value) not in known.fixed[
                setting
            ]:
                raise UnknownTransform(
                    f"{name} at {config.at(id)}: {setting} {value!r} is not computed here, only {_either(known.fixed[setting])}"
                )
        else:
            raise UnknownTransform(f'{name} at {config.at(id)}: the setting "{setting}" is not known')
    return Found(name=name, id=config.at(id), settings=settings)


def known_name(target: str, id: str) -> str:
    """MONAI's short name of a `_target_`, which stands at `id`.

    Raises
    ------
    UnknownTransform
    """
    short = _MODULE.sub("", target, count=1) if _MODULE.match(target) else target
    if "." in short or short.startswith(("$", "@", "%")):
        raise _code(id, f"it builds {target!r}")
    for ending in ("Dict", "D"):
        if short.endswith(ending) and f"{short.removesuffix(ending)}d" in KNOWN:
            short = f"{short.removesuffix(ending)}d"
    short = _ALIASES.get(short, short)
    if short not in KNOWN:
        raise UnknownTransform(f"{id} is {target}, which hilum does not compute")
    return short


def _code(at: str, what: str) -> UnknownTransform:
    return UnknownTransform(f"{at} asks to run code for every study, and --allow-code lets code run at import alone: {what}")


def _is_off(config: Config, node: Mapping[str, Any], id: str) -> bool:
    for special, harmless in (("_requires_", (None, [])), ("_mode_", (None, "default"))):
        if special in node and node[special] not in harmless:
            raise _code(config.at(id), f"its {special} is {node[special]!r}")
    value = config.value(f"{id}::_disabled_") if "_disabled_" in node else False
    if not isinstance(value, bool) and value not in ("true", "True"):
        raise UnknownTransform(f"{config.at(id)}: _disabled_ is {value!r}")
    return bool(value)


def _keys(config: Config, id: str) -> list[Any]:
    keys = config.value(f"{id}::keys")
    return keys if isinstance(keys, list) else [keys]


def _either(values: tuple[Any, ...]) -> str:
    return " or ".join(repr(value) for value in values)


def _short(node: Any) -> str:
    text = repr(node)
    return text if len(text) <= 60 else f"{text[:57]}…"
