"""How unsure a network is of each voxel, as a Parametric Map on the source grid: 0 (sure) to 1 (all that it decides between is as likely).

It says nothing of disease, and the object says so: a map over the images is otherwise taken for one of findings.
"""

from collections.abc import Mapping

from inference.codes import NO_UNITS
from inference.findings import Uncertainty
from node.domain.profile import Kind, Language
from node.results.identity import encoded, identify
from node.results.kind import Making
from node.results.page.words import PAGE_WORDS
from node.results.parametric_map.make import LONGEST_LO, VolumeMap, float_pixels, volume_map
from node.results.port import Encoded

CONTENT_LABEL = "UNCERTAINTY_MAP"
NO_FINDING: Mapping[Language, str] = {Language.ENGLISH: "no finding", Language.CHINESE: "不表示病变"}
_OF_NETWORK: Mapping[Language, str] = {
    Language.ENGLISH: "{label}, how unsure the network is: {ending}",
    Language.CHINESE: "{label}，网络的不确定程度：{ending}",
}


def make(making: Making) -> list[Encoded]:
    """One Parametric Map in a series of its own for each map of uncertainty, where a profile wants them."""
    encoding, sources = making.encoding, making.sources
    if not any(Kind.UNCERTAINTY_MAP in profile.kinds for profile in encoding.profiles):
        return []
    made = []
    for one in encoding.findings.uncertainties:
        # without the label, which the content description has: application and version have to fit behind it
        noun = f"uncertainty, {NO_FINDING[Language.ENGLISH]}"
        identity = identify(encoding, sources, Kind.UNCERTAINTY_MAP, noun, label=one.label)
        shown = VolumeMap(
            values=one.values,
            quantity=one.quantity,
            unit=NO_UNITS,
            label=PAGE_WORDS[encoding.language].label(one.label),
            content_label=CONTENT_LABEL,
            description=description_of(one, encoding.language),
            kind=Kind.UNCERTAINTY_MAP,
        )
        made.append(
            encoded(Kind.UNCERTAINTY_MAP, volume_map(encoding, sources, shown, identity), identity, pixels=float_pixels(one.values))
        )
    return made


def description_of(one: Uncertainty, language: Language) -> str:
    """Method, what it is of, and that it is no finding; a method whose name is too long is cut, and nothing else."""
    label = PAGE_WORDS[language].label(one.label)
    ending = _OF_NETWORK[language].format(label="", ending=NO_FINDING[language])
    return f"{label[: LONGEST_LO - len(ending)]}{ending}"
