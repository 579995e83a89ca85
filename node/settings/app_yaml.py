"""app.yaml: what describes a model of somebody's own, beside its file; it is read with the same words and errors as hilum.yaml.

What it becomes is the noun of `inference.applications.bundle.declaring`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from inference import codes
from inference.applications.bundle.anatomy import Coded
from inference.applications.bundle.answering import AnswerChannel
from inference.applications.bundle.declaring import APP, NAME, SAFETENSORS, Declared
from inference.applications.bundle.finish import Activation, Decision, Finishing, KeepLargest, Return
from inference.applications.bundle.inferer import Inferer, SlidingWindow, Whole
from inference.applications.bundle.manifest import MIN_SLICES
from inference.applications.bundle.names import colour, known, similar
from inference.applications.bundle.network import OF_VOLUMES
from inference.applications.bundle.steps import (
    NormalizeIntensity,
    Orientation,
    Resize,
    ScaleIntensityRange,
    ScaleIntensityRangePercentiles,
    Spacing,
    Transform,
)
from inference.applications.bundle.structures import Structure
from inference.applications.manifest import is_label
from inference.applications.port import Accepts, Licences
from inference.codes import Code
from inference.imaging.judge.expects import BodyPart, Contrast, Expects
from inference.imaging.measures.measuring import KINDS
from node.domain.errors import ConfigError
from node.settings.app_measures import OF_EVERY, OF_ONE, VOLUME, Asked, applies, measures, misfit
from node.settings.app_values import (
    ANY,
    AXES,
    CHANNEL,
    CODE,
    COLOUR,
    LABEL,
    MM,
    MOST_CHANNELS,
    PROBABILITY,
    RANGE,
    SIZES,
    ModelFile,
    NetworkArguments,
    NumberRow,
    number_between,
    text_that,
)
from node.settings.blocks import Block, Items, Nodes, Values, block, needed, read_file, setting
from node.settings.kinds import SWITCH, TEXT, Choice, Several, whole
from node.settings.source import BadValue, Here, MissingKey

SIDES = {"left": codes.LEFT, "right": codes.RIGHT, "both": codes.BOTH_SIDES}
CATEGORIES = {
    "structure": codes.ANATOMICAL_STRUCTURE,
    "abnormality": codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
    "tissue": codes.TISSUE,
}


class AppRefused(ConfigError):
    """What describes a model of somebody's own (app.yaml) is wrong; `problems` holds what is, in the order of the file."""

    code = "HLM-2022"
    remedy = "Correct the lines of app.yaml, then import the folder again; docs/reference/app-yaml.md lists every key."

    def __init__(self, problems: Sequence[ConfigError]) -> None:
        super().__init__("\n".join(f"{problem} [{problem.code}]" for problem in problems))
        self.problems = tuple(problems)


# ---- keys


@dataclass(frozen=True, slots=True, kw_only=True)
class _Network:
    cls: str = field(
        metadata=needed(
            Choice(of=OF_VOLUMES),
            name="class",
            says="Its class, of those that are known here; it is looked up by this name and never imported by one.",
        )
    )
    arguments: tuple[tuple[str, Any], ...] = setting(
        NetworkArguments(), default="{}", says="What the class is given, as its library has it."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _AcceptsEntry:
    modality: tuple[str, ...] = field(
        metadata=needed(
            Several(of=text_that("a modality such as `CT`", re.compile(r"[A-Z]{2,16}").fullmatch), bare=True, least=1),
            says="Modality (0008,0060) of the series, or a list of such.",
        )
    )
    orientation: str | None = setting(Choice(of=("axial", "coronal", "sagittal")), says="The plane of the slices; without it, any.")
    min_slices: int = setting(whole(1, 100_000), default=str(MIN_SLICES), says="Slices that it has at least.")
    max_spacing_mm: float | None = setting(MM, says="How far voxels may be apart at most, along any axis.")
    max_thickness_mm: float | None = setting(MM, says="How thick slices may be at most (SliceThickness).")
    min_extent_mm: float | None = setting(MM, says="How far the images have to reach at least, along every axis.")
    parts: str = setting(
        Choice(of=("refuse", "each", "b0")),
        default="refuse",
        says="Of a series of several volumes of one place: refuse it, analyse each, or of diffusion the one at b 0.",
    )
    part: str | None = setting(
        Choice(of=tuple(BodyPart)), says="The part of the body that the pixels have to show; test objects are declined then."
    )
    contrast: str | None = setting(Choice(of=tuple(Contrast)), says="The weighting of MR images.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _ValueWindow:
    low: tuple[float, float] = field(metadata=needed(RANGE, name="from", says="The two values of the images."))
    to: tuple[float, float] = setting(RANGE, default="[0, 1]", says="What they become; values beyond are cut off.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _PercentileWindow:
    low: tuple[float, float] = field(metadata=needed(RANGE, name="from", says="The two percentiles of the image, such as [0.5, 99.5]."))
    to: tuple[float, float] = setting(RANGE, default="[0, 1]", says="What the values there become; values beyond are cut off.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Normalise:
    by: str = setting(
        Choice(of=("image", "nonzero", "numbers")),
        default="image",
        says="Mean and deviation of the whole image, of what is not 0 in it, or the two numbers below.",
    )
    mean: float | None = setting(ANY, says="What is taken away, by `numbers`.")
    deviation: float | None = setting(number_between(1e-9, 1e9, "a number above 0"), says="What is divided by, by `numbers`.")


def _numbers(values: Values, nodes: Nodes, here: Here) -> None:
    for name in ("mean", "deviation"):
        if (values[name] is None) == (values["by"] == "numbers"):
            if name in nodes:
                raise here.refuse(BadValue, nodes[name], "stands beside `by: numbers` alone")
            raise here.refuse(MissingKey, nodes["by"], f'by `numbers` needs the key "{name}"')


ACCEPTS = block(_AcceptsEntry, build=_AcceptsEntry)
"""What a series has to be; `accepts_of` and `expects_of` say it in the gate's and the judge's nouns."""


def accepts_of(said: Any) -> Accepts:
    """What a series has to be by its headers."""
    return Accepts(
        modality=said.modality,
        min_slices=said.min_slices,
        max_spacing_mm=said.max_spacing_mm,
        max_thickness_mm=said.max_thickness_mm,
        min_extent_mm=said.min_extent_mm,
        orientation=cast(Literal["axial", "coronal", "sagittal"] | None, said.orientation),
        parts=cast(Literal["refuse", "each", "b0"], said.parts),
    )


def expects_of(said: Any) -> Expects:
    """What its pixels have to show."""
    return Expects(
        part=None if said.part is None else BodyPart(said.part),
        contrast=None if said.contrast is None else Contrast(said.contrast),
    )


_WINDOW = block(_ValueWindow, build=_ValueWindow)
_PERCENTILES = block(_PercentileWindow, build=_PercentileWindow)
_NORMALISE = block(_Normalise, build=_Normalise, check=_numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepare:
    orientation: str = field(
        metadata=needed(
            AXES,
            says="Where the axes of the network's image lead: `RAS` is to the right, to the front, to the head.",
        )
    )
    spacing_mm: tuple[float, ...] | None = setting(
        NumberRow(of=MM, count=3, wants="three lengths in mm, such as [1.5, 1.5, 2.0]"),
        says="Along these axes; without it, as the series has it.",
    )
    size: tuple[int, ...] | None = setting(SIZES, says="The whole image in so many voxels, along these axes; for networks that classify.")
    window: Any = setting(_WINDOW, says="Values by a window.")
    percentiles: Any = setting(_PERCENTILES, says="Values by percentiles of the image.")
    normalise: Any = setting(_NORMALISE, says="Values less a mean, over a deviation.")


def _one_way(values: Values, nodes: Nodes, here: Here) -> None:
    """Values are brought to the network's in one way."""
    given = [name for name in ("window", "percentiles", "normalise") if name in nodes]
    if len(given) > 1:
        raise here.about(given[1]).refuse(BadValue, nodes[given[1]], f"stands beside {given[0]}; one of them says how values are prepared")
    for name in ("window", "percentiles"):
        if values[name] is not None and not values[name].low[0] < values[name].low[1]:
            raise here.about(name).refuse(BadValue, nodes[name], "`from` does not rise")
    if values["percentiles"] is not None and not 0 <= values["percentiles"].low[0] < values["percentiles"].low[1] <= 100:
        raise here.about("percentiles").refuse(BadValue, nodes["percentiles"], "they are from 0 to 100")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    window: tuple[int, ...] | None = setting(
        SIZES, says="Windows of so many voxels, along the axes of `prepare`; without it, the whole image at once."
    )
    overlap: float = setting(
        number_between(0, 0.95, "a share from 0 to 0.95"), default="0.5", says="Share of a window that neighbours have in common."
    )
    blend: str = setting(Choice(of=("gaussian", "constant")), default="gaussian", says="How windows count where they overlap.")
    batch: int = setting(whole(1, 64), default="1", says="Windows to a call.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Output:
    activation: str = setting(
        Choice(of=("none", "softmax", "sigmoid")),
        default="none",
        says="What makes probabilities of what the network gives; `none` where it gives them itself.",
    )
    threshold: float | None = setting(
        ANY,
        says="Every channel that reaches it is marked, so that segments may overlap; without it, each voxel is of its largest channel.",
    )
    channels: int | None = setting(whole(1, MOST_CHANNELS), says="How many channels the network gives, where its file leaves that open.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _SegmentEntry:
    channel: int = field(metadata=needed(CHANNEL, says="The network's channel, counted from 0; the background, mostly 0, is no segment."))
    label: str = field(metadata=needed(LABEL, says="What viewers call it."))
    code: Code | None = setting(
        CODE, says="What it is, `SCT:10200004:Liver`; may be left out where the label is a name that is known here."
    )
    side: str | None = setting(Choice(of=tuple(SIDES)), says="Its laterality.")
    category: str = setting(Choice(of=tuple(CATEGORIES)), default="structure", says="What kind of thing it is; with `code` alone.")
    colour: tuple[int, int, int] | None = setting(
        COLOUR,
        says="Without it, one is chosen.",
    )
    largest: bool = setting(SWITCH, default="false", says="Keep its largest part alone.")
    measure: tuple[Asked, ...] = setting(
        OF_ONE, default="[]", says="What is measured of it besides what the file's own `measure` says of every segment."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _FindingEntry:
    channel: int = field(metadata=needed(CHANNEL, says="The network's number, counted from 0."))
    code: Code = field(metadata=needed(CODE, says="What is looked for, `SCT:233604007:Pneumonia`."))
    present: float = field(metadata=needed(PROBABILITY, says="The probability from which on it is called present."))
    absent: float | None = setting(
        PROBABILITY, says="Below it is called absent, between the two undetermined; without it, that of `present`."
    )
    site: Code | None = setting(CODE, says="Where it is looked for: absent means absent there.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _LicenceEntry:
    weights: str = field(metadata=needed(TEXT, says="Under which the weights may be used."))
    code: str = setting(TEXT, default='"not said"', says="Of the code that they were made with.")
    data: str = setting(TEXT, default='"not said"', says="Of the data that they were made from.")
    commercial: str = setting(
        Choice(of=("yes", "no", "unknown")), default="unknown", says="Whether the three together allow commercial use."
    )


LICENCE = block(_LicenceEntry, build=Licences)
"""Three licences, and what follows from them."""


def uncoded(values: Values, nodes: Nodes, here: Here) -> None:
    """No structure goes without a code, and none gets another's."""
    if values["code"] is None and known(values["label"]) is None:
        near = similar(values["label"])
        hint = f"; by name there are {', '.join(near)}" if near else ""
        what = f'no code is known for "{values["label"]}"{hint}; others: https://browser.ihtsdotools.org. Write `code: SCT:VALUE:MEANING`'
        raise here.refuse(MissingKey, nodes["label"], what)


_SEGMENT: Block[_SegmentEntry] = block(_SegmentEntry, build=_SegmentEntry, check=uncoded)
_SEGMENTS = Items(noun="segment", of=_SEGMENT)
_FINDINGS = Items(noun="finding", of=block(_FindingEntry, build=_FindingEntry))


@dataclass(frozen=True, slots=True, kw_only=True)
class _App:
    """The keys of app.yaml."""

    name: str = field(
        metadata=needed(
            text_that("lower-case words joined by `-`", NAME.fullmatch),
            says="Of the application, as routes run it: lower-case words joined by `-`.",
        )
    )
    title: str = field(metadata=needed(LABEL, says="What it is, for people."))
    model: Path = field(
        metadata=needed(ModelFile(), says="The file beside app.yaml: ONNX, torch.export, TorchScript, or safetensors with `network`.")
    )
    accepts: Any = field(metadata=needed(ACCEPTS, says="What a series has to be; another is refused with the reason."))
    prepare: Any = field(
        metadata=needed(block(_Prepare, build=_Prepare, check=_one_way), says="What is done to the images before the network sees them.")
    )
    licence: Any = field(metadata=needed(LICENCE, says="Three licences, and what follows for commercial use."))
    version: str = setting(
        text_that("MAJOR.MINOR.PATCH", re.compile(r"\d+\.\d+\.\d+").fullmatch),
        default="1.0.0",
        says="Of this description; the model's number is added.",
    )
    noun: str = setting(
        text_that("up to 24 characters", lambda text: is_label(text) and len(text) <= 24), says="What results are about, in a word or two."
    )
    network: Any = setting(block(_Network, build=_Network), says="Of weights alone (safetensors): whose they are.")
    run: Any = setting(block(_Run, build=_Run), default="{}", says="How the network is called.")
    output: Any = setting(block(_Output, build=_Output), default="{}", says="What its output means.")
    segments: tuple[Any, ...] = setting(_SEGMENTS, default="[]", says="Channels that mark structures.")
    findings: tuple[Any, ...] = setting(_FINDINGS, default="[]", says="Numbers of a network that classifies the whole image.")
    measure: tuple[Asked, ...] = setting(
        OF_EVERY, default="[volume]", says="What is measured of each segment ([every measure](measurements.md)); [] for nothing."
    )
    attribution: str = setting(TEXT, default='"not said"', says="Who made it.")
    grade: str = setting(
        Choice(of=("research", "demonstration")), default="research", says="What it is good for; of a demonstration, readers are told."
    )


def _together(values: Values, nodes: Nodes, here: Here) -> None:
    """What only the whole file shows."""
    if bool(values["segments"]) == bool(values["findings"]):
        at = nodes.get("findings", nodes["model"])
        raise here.refuse(
            MissingKey, at, "needs one of `segments` (channels that mark structures) and `findings` (a network that classifies)"
        )
    weights = values["model"].suffix.lower() == SAFETENSORS
    if weights and values["network"] is None:
        raise here.about("model").refuse(
            MissingKey, nodes["model"], "holds weights alone; say whose they are: `network: {class: UNet, arguments: {…}}`"
        )
    if not weights and values["network"] is not None:
        raise here.about("network").refuse(
            BadValue, nodes["network"], f"is for weights alone; {values['model'].name} has its network in it"
        )
    listed = values["segments"] or values["findings"]
    for name in ("channel", "label") if values["segments"] else ("channel", "code"):
        seen = [getattr(one, name) for one in listed]
        twice = next((one for one in seen if seen.count(one) > 1), None)
        if twice is not None:
            shown = twice.meaning if isinstance(twice, Code) else twice
            where = "segments" if values["segments"] else "findings"
            raise here.about(where).refuse(BadValue, nodes[where], f'{name} "{shown}" stands there twice')
    structures = [structure_of(one, one.channel, place) for place, one in enumerate(values["segments"])]
    for each in values["measure"]:
        if why := misfit(each, structures):
            raise here.about("measure").refuse(BadValue, nodes["measure"], f"{each.word}: {why}" if each.level else why)
    for name, words in (("measure", values["measure"]), *(("segments", one.measure) for one in values["segments"])):
        vain = next((each.word for each in words if not applies(each, values["accepts"].modality)), None)
        if vain is not None:
            modality = " or ".join(values["accepts"].modality)
            raise here.about(name).refuse(BadValue, nodes[name], f'"{vain}" is measured of no {modality} image: {KINDS[vain].needs}')
    if values["findings"] and values["run"].window is not None:
        raise here.about("run").refuse(
            BadValue, nodes["run"], "a network that classifies sees the whole image; `prepare: {size: …}` says in how many voxels"
        )
    if values["findings"] and values["output"].threshold is not None:
        raise here.about("output").refuse(BadValue, nodes["output"], "`threshold` makes segments; each finding has its own, `present`")
    for one in values["findings"]:
        if one.absent is not None and one.absent > one.present:
            raise here.about("findings").refuse(BadValue, nodes["findings"], f"{one.code.meaning}: `absent` is above `present`")


WHOLE: Block[Declared] = block(_App, build=lambda **said: _declared(_App(**said)), check=_together)
"""All of app.yaml."""


def load(folder: Path) -> Declared:
    """What the app.yaml of a folder says.

    Raises
    ------
    ConfigMissing, ConfigSyntax, AppRefused
    """
    return read_file(WHOLE, folder / APP, AppRefused)


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of app.yaml, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": APP, **WHOLE.schema()}


# ---- what it becomes


def _declared(said: _App) -> Declared:
    structures = tuple(structure_of(one, one.channel, place) for place, one in enumerate(said.segments))
    return Declared(
        name=said.name,
        version=said.version,
        title=said.title,
        noun=said.noun or "",
        model=said.model,
        network=None if said.network is None else {"class": said.network.cls, "arguments": dict(said.network.arguments)},
        channels=said.output.channels,
        accepts=accepts_of(said.accepts),
        expects=expects_of(said.accepts),
        prepare=_prepared(said.prepare),
        inferer=_inferer(said.run),
        finish=_finish(said),
        structures=structures,
        answers=tuple(
            AnswerChannel(
                channel=one.channel,
                finding=one.code,
                present=one.present,
                absent=one.present if one.absent is None else one.absent,
                site=one.site,
            )
            for one in said.findings
        ),
        volumes=Asked(word=VOLUME) in said.measure,
        measures=measures(said.measure, {one.label: one.measure for one in said.segments}, structures),
        licences=said.licence,
        attribution=said.attribution,
        grade=said.grade,
    )


def structure_of(said: Any, channel: int, place: int) -> Structure:
    """A segment that is declared by label, code, side, category and colour; one whose label nobody knows was refused (`uncoded`)."""
    coded = cast(Coded, known(said.label)) if said.code is None else Coded(category=CATEGORIES[said.category], type=said.code)
    return Structure(
        channel=channel,
        label=said.label,
        type=coded.type,
        category=coded.category,
        laterality=coded.laterality if said.side is None else SIDES[said.side],
        site=coded.site,
        rgb=said.colour or coded.rgb or colour(place),
    )


def _prepared(said: _Prepare) -> tuple[Transform, ...]:
    steps: list[Transform] = [Orientation(axcodes=said.orientation)]
    if said.spacing_mm is not None:
        first, second, third = said.spacing_mm
        steps.append(Spacing(pixdim=(first, second, third)))
    if said.size is not None:
        z, y, x = said.size
        steps.append(Resize(size=(z, y, x)))
    if said.window is not None:
        (a_min, a_max), (b_min, b_max) = said.window.low, said.window.to
        steps.append(ScaleIntensityRange(a_min=a_min, a_max=a_max, b_min=b_min, b_max=b_max, clip=True))
    elif said.percentiles is not None:
        (lower, upper), (b_min, b_max) = said.percentiles.low, said.percentiles.to
        steps.append(ScaleIntensityRangePercentiles(lower=lower, upper=upper, b_min=b_min, b_max=b_max, clip=True))
    elif said.normalise is not None:
        way = said.normalise
        steps.append(NormalizeIntensity(subtrahend=way.mean, divisor=way.deviation, nonzero=way.by == "nonzero"))
    return tuple(steps)


def _inferer(said: _Run) -> Inferer:
    if said.window is None:
        return Whole()
    z, y, x = said.window
    return SlidingWindow(roi_size=(z, y, x), overlap=said.overlap, sw_batch_size=said.batch, mode=said.blend)


def _finish(said: _App) -> tuple[Finishing, ...]:
    """Probabilities come back to the series' grid, then each voxel of it decides."""
    output = said.output
    active: list[Finishing] = [] if output.activation == "none" else [Activation(**{output.activation: True})]
    if said.findings:
        return tuple(active)
    largest = tuple(one.channel for one in said.segments if one.largest)
    kept: list[Finishing] = [KeepLargest(applied_labels=largest)] if largest else []
    return (*active, Return(nearest=False), Decision(threshold=output.threshold), *kept)
