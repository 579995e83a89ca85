"""Codes of the structures that bundles name: SNOMED CT by the names that the Model Zoo uses; what is not here is nobody's code.

Codes of organs are those of DICOM's context groups for segmentation (CID 7151 and others); a test compares every one with pydicom's
dictionary of SNOMED CT.
"""

import colorsys
import re
from collections.abc import Mapping, Sequence
from typing import Any

from inference import codes
from inference.applications.bundle.errors import UncodedStructure
from inference.applications.bundle.manifest import Structure
from inference.codes import Code

BACKGROUND = frozenset({"background", "bg", "other", "everything else", "unlabeled", "unlabelled"})
NONE = "none"
"""As the code of a channel: it becomes no segment."""

_SIDES = {"left": codes.LEFT, "right": codes.RIGHT}
_SPELLED = {"l": "left", "r": "right", "lt": "left", "rt": "right"}


def _anatomy(value: str, meaning: str) -> tuple[Code, Code]:
    return codes.ANATOMICAL_STRUCTURE, Code(value, "SCT", meaning)


def _lesion(value: str, meaning: str) -> tuple[Code, Code]:
    return codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE, Code(value, "SCT", meaning)


_TABLE: dict[str, tuple[Code, Code]] = {
    "spleen": _anatomy("78961009", "Spleen"),
    "liver": _anatomy("10200004", "Liver"),
    "kidney": _anatomy("64033007", "Kidney"),
    "pancreas": _anatomy("15776009", "Pancreas"),
    "gallbladder": _anatomy("28231008", "Gallbladder"),
    "esophagus": _anatomy("32849002", "Esophagus"),
    "stomach": _anatomy("69695003", "Stomach"),
    "duodenum": _anatomy("38848004", "Duodenum"),
    "colon": _anatomy("71854001", "Colon"),
    "small bowel": _anatomy("30315005", "Small Intestine"),
    "aorta": _anatomy("15825003", "Aorta"),
    "inferior vena cava": _anatomy("64131007", "Inferior vena cava"),
    "adrenal gland": _anatomy("23451007", "Adrenal gland"),
    "urinary bladder": _anatomy("89837001", "Bladder"),
    "prostate": _anatomy("41216001", "Prostate"),
    "lung": _anatomy("39607008", "Lung"),
    "heart": _anatomy("80891009", "Heart"),
    "trachea": _anatomy("44567001", "Trachea"),
    "brain": _anatomy("12738006", "Brain"),
    "hippocampus": _anatomy("5366008", "Hippocampus"),
    "thyroid gland": _anatomy("69748006", "Thyroid"),
    "rib": _anatomy("113197003", "Rib"),
    "sternum": _anatomy("56873002", "Sternum"),
    "femur": _anatomy("71341001", "Femur"),
    "humerus": _anatomy("85050009", "Humerus"),
    "scapula": _anatomy("79601000", "Scapula"),
    "clavicle": _anatomy("51299004", "Clavicle"),
    "sacrum": _anatomy("54735007", "Sacrum"),
    "vertebra": _anatomy("51282000", "Vertebra"),
    "neoplasm": _lesion("108369006", "Neoplasm"),
    "lesion": _lesion("52988006", "Lesion"),
    "edema": _lesion("79654002", "Edema"),
    "necrosis": _lesion("6574001", "Necrosis"),
}

_ALIASES = {
    "oesophagus": "esophagus",
    "tumor": "neoplasm",
    "tumour": "neoplasm",
    "ivc": "inferior vena cava",
    "bladder": "urinary bladder",
    "thyroid": "thyroid gland",
    "small intestine": "small bowel",
    "adrenal": "adrenal gland",
}


def known(name: str) -> tuple[Code, Code, Code | None] | None:
    """Category, type and laterality of a structure's name; None for a name that is not known whole.

    "left kidney", "kidney_left" and "Kidney-L" are one; "kidney tumor" is no kidney.
    """
    words = [_SPELLED.get(word, word) for word in re.split(r"[\s_\-/]+", name.strip().lower()) if word]
    sides = [word for word in words if word in _SIDES]
    rest = " ".join(word for word in words if word not in _SIDES)
    found = _TABLE.get(_ALIASES.get(rest, rest))
    if found is None or len(sides) > 1:
        return None
    return (*found, _SIDES[sides[0]] if sides else None)


def similar(name: str, most: int = 3) -> tuple[str, ...]:
    """Codes of SNOMED CT, as DICOM uses it, that have the words of a name in theirs: for people to choose from, shortest first."""
    from pydicom.sr.codedict import codes as dicom

    words = [word for word in re.split(r"[^a-z]+", name.lower()) if len(word) > 3 and word not in _SIDES]
    found = {keyword for word in words for keyword in dicom.SCT.dir(word.removesuffix("s"))}
    wanted = sorted(found, key=lambda keyword: (-sum(word[:4] in keyword.lower() for word in words), len(keyword), keyword))
    listed = [getattr(dicom.SCT, keyword) for keyword in wanted[:most]]
    return tuple(f"SCT:{each.value}:{each.meaning}" for each in listed)


def is_background(name: str) -> bool:
    """Whether a channel of this name is no structure."""
    return name.strip().lower() in BACKGROUND


def structures(channels: Mapping[int, str], given: Mapping[int, Mapping[str, Any] | None]) -> tuple[Structure, ...]:
    """The segments of an output's channels, by number.

    Parameters
    ----------
    channels
        Names of the channels that may become segments.
    given
        What the operator says of channels: `type` (a `Code`), and if need be `category`, `laterality`, `label`; None leaves one out.

    Raises
    ------
    UncodedStructure
        All channels for which there is no code; or a code for a channel that is not there.
    """
    absent = sorted(set(given) - set(channels))
    if absent:
        raise UncodedStructure(f"codes are given for the channels {_listed(absent)}, which the bundle does not have")
    made, uncoded = [], []
    for place, (channel, name) in enumerate(sorted(channels.items())):
        if channel in given:
            said = given[channel]
            if said is None:
                continue
            found = (said.get("category") or codes.ANATOMICAL_STRUCTURE, said["type"], said.get("laterality"))
            label = str(said.get("label") or name)
        else:
            table = known(name)
            if table is None:
                uncoded.append(f'{channel} ("{name}")')
                continue
            found, label = table, name
        category, type, laterality = found
        made.append(Structure(channel=channel, label=_label(label), type=type, category=category, laterality=laterality, rgb=colour(place)))
    if uncoded:
        raise UncodedStructure(f"no code is known for channel {', '.join(uncoded)}")
    if not made:
        raise UncodedStructure("no channel is left that could be reported")
    return tuple(made)


def _label(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("\\", " ").split())[:64]


def colour(place: int) -> tuple[int, int, int]:
    """Hues by the golden ratio: neighbours in the list are far apart."""
    red, green, blue = colorsys.hsv_to_rgb(place * 0.618034 % 1, 0.6, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)
