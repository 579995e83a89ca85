"""MR weighting as headers say it: facts of the acquisition, and what people typed where it names another weighting alone."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from inference.errors import quoted
from inference.imaging import tags
from inference.imaging.errors import MissingAttribute
from inference.imaging.judge.expects import Contrast

ECHO_TIME, INVERSION_TIME, SCANNING_SEQUENCE = 0x00180081, 0x00180082, 0x00180020
EFFECTIVE_ECHO_TIME, INVERSION_TIMES, ECHO_PLANAR = 0x00189082, 0x00189079, 0x00189018
ACQUISITION_CONTRAST, REPETITION_TIME, B_VALUE = 0x00089209, 0x00180080, 0x00189087
SEQUENCE_NAME, PULSE_SEQUENCE_NAME = 0x00180024, 0x00189005
MR_ECHO, MR_MODIFIER, MR_DIFFUSION = 0x00189114, 0x00189115, 0x00189117
TYPED: Mapping[str, int] = {"SeriesDescription": 0x0008103E, "ProtocolName": 0x00181030}
"""Where people say how images are weighted."""

LONGEST_T1_MS = 40.0
"""Echo times of T1 weighting are 2 to 25 ms; from about 60 ms on T2 sets the contrast (McRobbie and others, MRI from Picture to Proton)."""
SHORTEST_FLAIR_MS = 50.0
"""FLAIR is heavily T2 weighted, 80 to 400 ms (the same)."""
SHORTEST_FLAIR_INVERSION_MS = 1200.0
"""Water is nulled at 1,650 to 2,800 ms, by field strength and repetition time; T1 weighted inversion recovery inverts for 350 to 1,100."""
LONGEST_T1_REPETITION_MS = 1800.0
"""Of spin echoes without inversion: T1 weighting repeats after 400 to 1,000 ms, proton density and T2 after 2,000 and more (the same)."""
SHORTEST_FLAIR_REPETITION_MS = 2500.0
"""FLAIR waits for water to be nulled and read: 4,000 to 12,000 ms (the same), at the lowest fields 3,500."""
SHORTEST_OTHER_MS = 10.0
"""Echo times below leave no weighting but T1, proton density or flow: what is typed of T2 there is a time point, or wrong."""

_WEIGHTED = {Contrast.T1: frozenset({"T1"}), Contrast.FLAIR: frozenset({"FLUID_ATTENUATED", "T2"})}
_OTHERWISE = frozenset(
    {"DIFFUSION", "FLOW_ENCODED", "FLUID_ATTENUATED", "PERFUSION", "PROTON_DENSITY", "STIR", "TAGGING", "TOF", "T1", "T2", "T2_STAR"}
)
"""Values of Acquisition Contrast (PS3.3 C.8.13.3.3.2) that name a weighting; those of ImageType (C.8.16.1.3) have the same names."""
_DERIVED = frozenset(
    {
        *("ADC", "EADC", "FA", "TRACEW", "DIFFUSION_ANISO", "DIFFUSION_ATTNTD", "DIFFUSION_ISO", "ASL", "PERFUSION_ASL", "FMRI", "P"),
        *("CBF", "CBV", "MTT", "TTP", "RCBF", "RCBV", "T1 MAP", "T2 MAP", "T2_STAR MAP", "R2 MAP", "R2_STAR MAP", "PHASE MAP", "B0 MAP"),
        *("VELOCITY", "VELOCITY MAP", "TEMPERATURE", "METABOLITE_MAP", "SWI", "MIP", "MNIP", "MAX_IP", "MIN_IP", "PROJECTION IMAGE"),
        *("SUB", "SUBTRACTION"),
    }
)
"""Image types of maps, phases, differences and projections, standard and vendors': their values are no signal of one weighting."""
_SEQUENCES = re.compile(
    r"\*?(?:(?P<planar>ep(?:i|se|fid|ir|\d|_|$))|(?P<swi>swi)|(?P<field>fm\dd)|(?P<asl>tgse|\w*casl)|(?P<flow>pc\dd))", re.IGNORECASE
)
"""How names of sequences begin that are no T1 and no FLAIR: echo planar, susceptibility, field maps, labelled spins, phase contrast."""
_SEQUENCE_SAYS = {
    "planar": "echo planar imaging",
    "swi": "susceptibility weighting",
    "field": "a field map",
    "asl": "arterial spin labelling",
    "flow": "phase contrast",
}
_NAMES = {
    Contrast.T1: re.compile(r"(?<![A-Z0-9])(?:[23]D)?(?:T1(?! ?MAP)|MP ?2?RAGE|F?SPGR|BRAVO|VIBE|MDEFT|TFL|TFE)"),
    Contrast.FLAIR: re.compile(r"FLAIR|DARK ?FL|(?<![A-Z])TIRM?(?![A-Z])|FLUID ATT"),
}
"""What people call them. T1 FLAIR is T1, by its echo time."""
_NEVER = re.compile(
    r"(?<![A-Z0-9])(?:E?ADC|TRACEW?|DWI|DTI|DIFF(?:USION)?|PERF(?:USION)?|(?:[23]D)?P?C?ASL|(?:R|REL)?CB[FV]|MTT|TTP|TMAX|BOLD|"
    r"F ?MRI|RS ?FMRI|SWI|SWAN|QSM|TOF|MRA|MRV|MINIP|MIP|FIELD ?MAP(?:PING)?|B0 ?MAP|T[12] ?MAP|T2 ?STAR|T2\*|R2\*)(?![A-Z0-9])"
)
"""What is neither T1 nor FLAIR, whatever its echo time is."""
_BY_ECHO = {
    Contrast.T1: re.compile(r"(?<![A-Z0-9])(?:T2(?![0-9])|STIR|PDW?(?![A-Z0-9])|PROTON ?DENS|FLAIR|TIRM)"),
    Contrast.FLAIR: re.compile(r"(?<![A-Z0-9])(?:T1(?![0-9])|MP ?2?RAGE|STIR|PDW?(?![A-Z0-9])|PROTON ?DENS)"),
}
_READ = 256
"""Characters of a description that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighting:
    """What one header says of how its images were weighted.

    Attributes
    ----------
    image_type
        Values of ImageType (0008,0008).
    said
        Acquisition Contrast (0008,9209); "" where it is absent.
    scanning
        Values of Scanning Sequence (0018,0020).
    echo_planar
        Whether Echo Planar Pulse Sequence (0018,9018) says so.
    sequence
        Sequence Name (0018,0024), or Pulse Sequence Name (0018,9005).
    described
        By keyword of `TYPED`.
    echo_ms, inversion_ms, repetition_ms
        Echo, inversion and repetition time; None where they are absent.
    b_value
        Diffusion b-value (0018,9087) in s/mm2; None where it is absent.
    """

    image_type: tuple[str, ...] = ()
    said: str = ""
    scanning: tuple[str, ...] = ()
    echo_planar: bool = False
    sequence: str = ""
    described: tuple[tuple[str, str], ...] = ()
    echo_ms: float | None = None
    inversion_ms: float | None = None
    repetition_ms: float | None = None
    b_value: float | None = None

    @property
    def silent(self) -> bool:
        """Whether it says nothing: neither a contrast nor an echo time."""
        return self.said not in _OTHERWISE and self.echo_ms is None


def weighting_of(header: Dataset) -> Weighting:
    """What a data set says, classic or enhanced."""
    return Weighting(
        image_type=tuple(tags.text(header, tags.IMAGE_TYPE).split("\\")),
        said=tags.text(header, ACQUISITION_CONTRAST),
        scanning=tuple(tags.text(header, SCANNING_SEQUENCE).split("\\")),
        echo_planar=tags.text(header, ECHO_PLANAR) == "YES",
        sequence=tags.text(header, SEQUENCE_NAME) or tags.text(header, PULSE_SEQUENCE_NAME),
        described=tuple((keyword, tags.text(header, tag)) for keyword, tag in TYPED.items()),
        echo_ms=_first(header, MR_ECHO, EFFECTIVE_ECHO_TIME, ECHO_TIME),
        inversion_ms=_first(header, MR_MODIFIER, INVERSION_TIMES, INVERSION_TIME),
        repetition_ms=(tags.stated(header, REPETITION_TIME, 1) or (None,))[0],
        b_value=_first(header, MR_DIFFUSION, B_VALUE, B_VALUE),
    )


def against(wanted: Contrast, weighting: Weighting) -> str:
    """What a weighting says against a contrast, for people, with the fact that says it; "" where it says nothing."""
    return _by_kind(wanted, weighting) or _by_times(wanted, weighting) or _by_words(wanted, weighting)


def _by_kind(wanted: Contrast, weighting: Weighting) -> str:
    others = _OTHERWISE - _WEIGHTED[wanted]
    for value in weighting.image_type[2:]:
        if value in _DERIVED or value in others:
            return f"ImageType has {value}: the images are not {wanted.value} weighted"
    if weighting.said in others:
        return f"AcquisitionContrast is {weighting.said}, not {wanted.value}"
    if weighting.echo_planar or "EP" in weighting.scanning:
        return f"the images were made by echo planar imaging, which is not {wanted.value} weighted"
    if (found := _SEQUENCES.match(weighting.sequence)) and found.lastgroup:
        return f"the sequence is {quoted(weighting.sequence)}: {_SEQUENCE_SAYS[found.lastgroup]}, which is not {wanted.value} weighted"
    if weighting.b_value:
        return f"DiffusionBValue is {weighting.b_value:.0f}: the images are weighted by diffusion, not {wanted.value}"
    return ""


def _by_times(wanted: Contrast, weighting: Weighting) -> str:
    echo_ms, inversion_ms, repetition_ms = weighting.echo_ms, weighting.inversion_ms, weighting.repetition_ms
    if wanted is Contrast.T1:
        if echo_ms is not None and echo_ms > LONGEST_T1_MS:
            return f"the echo time is {echo_ms:.0f} ms, on T1 at most {LONGEST_T1_MS:.0f} ms"
        plain = "SE" in weighting.scanning and "IR" not in weighting.scanning and not inversion_ms
        if plain and repetition_ms is not None and repetition_ms > LONGEST_T1_REPETITION_MS:
            return f"the repetition time is {repetition_ms:.0f} ms, on T1 at most {LONGEST_T1_REPETITION_MS:.0f} ms without inversion"
        return ""
    if echo_ms is not None and 0 < echo_ms < SHORTEST_FLAIR_MS:
        return f"the echo time is {echo_ms:.0f} ms, on FLAIR at least {SHORTEST_FLAIR_MS:.0f} ms"
    if inversion_ms is not None and 0 < inversion_ms < SHORTEST_FLAIR_INVERSION_MS:
        return f"the inversion time is {inversion_ms:.0f} ms, on FLAIR at least {SHORTEST_FLAIR_INVERSION_MS:.0f} ms"
    if repetition_ms is not None and 0 < repetition_ms < SHORTEST_FLAIR_REPETITION_MS:
        return f"the repetition time is {repetition_ms:.0f} ms, on FLAIR at least {SHORTEST_FLAIR_REPETITION_MS:.0f} ms"
    return ""


def _by_words(wanted: Contrast, weighting: Weighting) -> str:
    """Words decide where they name another weighting, none of them names the right one, and no other fact says that they are wrong."""
    said = {keyword: re.sub(r"[^A-Z0-9*]+", " ", value[:_READ].upper()) for keyword, value in weighting.described}
    if weighting.said in _WEIGHTED[wanted] or any(_NAMES[wanted].search(words) for words in said.values()):
        return ""
    echo_ms = weighting.echo_ms
    may_be = echo_ms is None or (wanted is Contrast.T1 and echo_ms >= SHORTEST_OTHER_MS)
    for keyword, value in weighting.described:
        words = said[keyword]
        found = _NEVER.search(words) or (_BY_ECHO[wanted].search(words) if may_be else None)
        if found:
            return f"{keyword} is {quoted(value[:_READ])}: {found[0].strip()} is not {wanted.value} weighted"
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
