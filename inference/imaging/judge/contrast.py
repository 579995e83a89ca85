"""MR weighting as headers say it: facts of the acquisition, never descriptions that people type."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from inference.imaging import tags
from inference.imaging.errors import MissingAttribute
from inference.imaging.judge.expects import Contrast

ECHO_TIME, INVERSION_TIME, SCANNING_SEQUENCE = 0x00180081, 0x00180082, 0x00180020
EFFECTIVE_ECHO_TIME, INVERSION_TIMES, ECHO_PLANAR = 0x00189082, 0x00189079, 0x00189018
ACQUISITION_CONTRAST = 0x00089209
MR_ECHO, MR_MODIFIER = 0x00189114, 0x00189115

LONGEST_T1_MS = 40.0
"""Echo times of T1 weighting are 2 to 25 ms; from about 60 ms on T2 sets the contrast (McRobbie and others, MRI from Picture to Proton)."""
SHORTEST_FLAIR_MS = 50.0
"""FLAIR is heavily T2 weighted, 80 to 400 ms (the same)."""
SHORTEST_FLAIR_INVERSION_MS = 1200.0
"""Water is nulled at 1,650 to 2,800 ms, by field strength and repetition time; T1 weighted inversion recovery inverts for 350 to 1,100."""

_WEIGHTED = {Contrast.T1: frozenset({"T1"}), Contrast.FLAIR: frozenset({"FLUID_ATTENUATED", "T2"})}
_OTHERWISE = frozenset(
    {"DIFFUSION", "FLOW_ENCODED", "FLUID_ATTENUATED", "PERFUSION", "PROTON_DENSITY", "STIR", "TAGGING", "TOF", "T1", "T2", "T2_STAR"}
)
"""Values of Acquisition Contrast (PS3.3 C.8.13.3.3.2) that name a weighting."""
_DERIVED = frozenset({"ADC", "FA", "TRACEW", "EADC", "PHASE MAP", "T1 MAP", "T2 MAP", "T2_STAR MAP"})
"""Image types of maps: their values are no signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighting:
    """What one header says of how its images were weighted.

    Attributes
    ----------
    image_type
        Values of ImageType (0008,0008).
    said
        Acquisition Contrast (0008,9209); "" where it is absent.
    echo_planar
        Whether Scanning Sequence (0018,0020) or Echo Planar Pulse Sequence (0018,9018) says so.
    echo_ms, inversion_ms
        Echo time and inversion time; None where they are absent.
    """

    image_type: tuple[str, ...] = ()
    said: str = ""
    echo_planar: bool = False
    echo_ms: float | None = None
    inversion_ms: float | None = None

    @property
    def silent(self) -> bool:
        """Whether it says nothing: neither a contrast nor an echo time."""
        return self.said not in _OTHERWISE and self.echo_ms is None


def weighting_of(header: Dataset) -> Weighting:
    """What a data set says, classic or enhanced."""
    planar = "EP" in tags.text(header, SCANNING_SEQUENCE).split("\\") or tags.text(header, ECHO_PLANAR) == "YES"
    return Weighting(
        image_type=tuple(tags.text(header, tags.IMAGE_TYPE).split("\\")),
        said=tags.text(header, ACQUISITION_CONTRAST),
        echo_planar=planar,
        echo_ms=_first(header, MR_ECHO, EFFECTIVE_ECHO_TIME, ECHO_TIME),
        inversion_ms=_first(header, MR_MODIFIER, INVERSION_TIMES, INVERSION_TIME),
    )


def against(wanted: Contrast, weighting: Weighting) -> str:
    """What a weighting says against a contrast, for people; "" where it says nothing."""
    maps = sorted(_DERIVED & set(weighting.image_type[2:]))
    if maps:
        return f"the images are a map ({maps[0]}) and no {wanted.value} weighted images"
    if weighting.said in _OTHERWISE - _WEIGHTED[wanted]:
        return f"AcquisitionContrast is {weighting.said}, not {wanted.value}"
    if weighting.echo_planar:
        return f"the images were made by echo planar imaging, which is not {wanted.value} weighted"
    echo_ms, inversion_ms = weighting.echo_ms, weighting.inversion_ms
    if wanted is Contrast.T1 and echo_ms is not None and echo_ms > LONGEST_T1_MS:
        return f"the echo time is {echo_ms:.0f} ms, on T1 at most {LONGEST_T1_MS:.0f} ms"
    if wanted is Contrast.FLAIR and echo_ms is not None and 0 < echo_ms < SHORTEST_FLAIR_MS:
        return f"the echo time is {echo_ms:.0f} ms, on FLAIR at least {SHORTEST_FLAIR_MS:.0f} ms"
    if wanted is Contrast.FLAIR and inversion_ms is not None and 0 < inversion_ms < SHORTEST_FLAIR_INVERSION_MS:
        return f"the inversion time is {inversion_ms:.0f} ms, on FLAIR at least {SHORTEST_FLAIR_INVERSION_MS:.0f} ms"
    return ""


def _first(header: Dataset, macro: int, in_macro: int, classic: int) -> float | None:
    """A time of a classic instance, or of the functional groups that all frames share, or of the first frame's own."""
    plain = tags.stated(header, classic, 1)
    if plain:
        return plain[0]
    for groups in (tags.SHARED_GROUPS, tags.PER_FRAME_GROUPS):
        for group in _items(header, groups)[:1]:
            for item in _items(group, macro)[:1]:
                if (found := tags.stated(item, in_macro, 1)) is not None:
                    return found[0]
    return None


def _items(holder: Dataset, tag: int) -> Sequence[Dataset]:
    try:
        return tags.items(holder, tag, "")
    except MissingAttribute:
        return ()
