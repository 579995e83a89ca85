"""container.yaml: what describes a container that is somebody else's program; read with the same words and errors as hilum.yaml.

What it becomes is the noun of `inference.applications.container.described`, once the image is known to be there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inference.applications.bundle.declaring import NAME
from inference.applications.bundle.given import CONTAINER
from inference.applications.container.contracts import FOLDER_PLACES, MERCURE_PLACES
from inference.applications.container.described import (
    ContainerAnswer,
    ContainerManifest,
    ContainerMap,
    ContainerValue,
    Contract,
    ImageFormat,
    MarkedBy,
)
from inference.applications.container.engine import ContainerBounds, ContainerEngine
from inference.applications.container.errors import UnfitContainer
from inference.applications.container.package import packaged
from inference.applications.manifest import is_label, is_role
from inference.applications.port import Role
from inference.codes import Code
from node.domain.errors import ConfigError
from node.settings.app_measures import OF_EVERY, VOLUME, Asked, applies, measures, misfit
from node.settings.app_values import CODE, COLOUR, LABEL, PROBABILITY, NetworkArguments, number_between, text_that
from node.settings.app_yaml import ACCEPTS, CATEGORIES, LICENCE, SIDES, accepts_of, expects_of, structure_of, uncoded
from node.settings.blocks import Block, Items, Nodes, Values, block, needed, read_file, setting
from node.settings.kinds import SIZE, SWITCH, TEXT, Choice, Several, whole
from node.settings.source import BadValue, Here, MissingKey

_DIGEST = re.compile(r"([a-z0-9][a-z0-9._/:-]*@)?sha256:([0-9a-f]{64})")
_KEY = text_that("names joined by `.`, such as `volumes.liver`", re.compile(r"[^.\s]+(\.[^.\s]+)*").fullmatch)
_FILE = text_that("the name of a file, such as `result.json`", re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.json").fullmatch)
_NIFTI = text_that("the name of a NIfTI file, such as `labels.nii.gz`", re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.nii(\.gz)?").fullmatch)
_LABEL_MAP = "labels.nii.gz"
_MOST_LABEL = 65535
_SHOWN = 12


class ContainerRefused(ConfigError):
    """What describes a container (container.yaml) is wrong; `problems` holds what is, in the order of the file."""

    code = "HLM-2026"
    remedy = "Correct the lines of container.yaml, then import the folder again; docs/reference/container-yaml.md lists every key."

    def __init__(self, problems: Sequence[ConfigError]) -> None:
        super().__init__("\n".join(f"{problem} [{problem.code}]" for problem in problems))
        self.problems = tuple(problems)


def _marked(segment: "_MarkedEntry") -> MarkedBy | None:
    """Where a NIfTI file marks a segment; None where a DICOM segmentation does."""
    if segment.value is None and segment.file is None:
        return None
    return MarkedBy(file=segment.file or _LABEL_MAP, value=segment.value or 1)


def _pinned(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class _BoundsEntry:
    memory: int = setting(SIZE, default="4GiB", says="Memory, of all its processes together; beyond it, it is killed.")
    scratch: int = setting(SIZE, default="1GiB", says="Of its /tmp, which lies in memory; nothing else but its output can be written.")
    output: int = setting(SIZE, default="1GiB", says="All that it may write; beyond it, it is killed.")
    processes: int = setting(whole(1, 4096), default="256", says="Processes and threads at once.")
    processors: float = setting(number_between(0.1, 1024, "a number of processors"), default="2", says="Processors that it may use.")
    gpu: bool = setting(SWITCH, default="false", says="Whether it gets the first GPU of the host (NVIDIA's container toolkit).")


@dataclass(frozen=True, slots=True, kw_only=True)
class _MarkedEntry:
    label: str = field(metadata=needed(LABEL, says="What viewers call it."))
    called: str | None = setting(LABEL, says="Segment Label that the container gives it, where that is another.")
    value: int | None = setting(
        whole(1, _MOST_LABEL),
        says="Its number in a NIfTI file of labels, 1 where `file` alone is given; without both, a DICOM segmentation marks it.",
    )
    file: str | None = setting(
        _NIFTI,
        says="The NIfTI file that marks it, voxel on voxel of the images: of many segments, or of its own; `labels.nii.gz` where `value` "
        "alone is given.",
    )
    code: Code | None = setting(
        CODE,
        says="What it is, `SCT:10200004:Liver`; may be left out where the label is a name that is known here. The container's must be it.",
    )
    side: str | None = setting(Choice(of=tuple(SIDES)), says="Its laterality.")
    category: str = setting(Choice(of=tuple(CATEGORIES)), default="structure", says="What kind of thing it is; with `code` alone.")
    colour: tuple[int, int, int] | None = setting(COLOUR, says="Without it, one is chosen.")
    found: str | None = setting(
        _KEY,
        says="Where it stands in `values_file` whether it was found: true, false, or an amount. False or 0 says that nothing was found; "
        "without it an empty mask does, or a finding of the same code that is absent.",
    )
    optional: bool = setting(
        SWITCH,
        default="false",
        says="Whether a segmentation of other segments may leave it out where it was not found; else a result without it is refused.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _RoleEntry:
    name: str = field(
        metadata=needed(
            text_that("1 to 31 letters, digits, blanks, and _ + -", is_role),
            says="What routes call it, and the container finds it by: `T1`, `FLAIR`.",
        )
    )
    optional: bool = setting(SWITCH, default="false", says="Whether the container runs without it, too; never of the first.")
    accepts: Any = setting(ACCEPTS, says="What its series has to be; without it, what the file's own `accepts` says.")


def _whole_series(values: Values, nodes: Nodes, here: Here) -> None:
    if values["accepts"] is not None and values["accepts"].parts != "refuse":
        raise here.about("accepts").refuse(BadValue, nodes["accepts"], "`parts` is for models; a container gets the series whole")


@dataclass(frozen=True, slots=True, kw_only=True)
class _ValueEntry:
    code: Code = field(metadata=needed(CODE, says="What is measured, `SCT:118565006:Volume`."))
    unit: Code = field(metadata=needed(CODE, says="In which unit, `UCUM:cm3:cubic centimeter`."))
    key: str | None = setting(
        _KEY, says="Where the number stands in `values_file`; without it, a measurement of its structured report has this code."
    )
    segment: str | None = setting(LABEL, says="The label of the segment that it is of; without it, of the whole.")
    optional: bool = setting(SWITCH, default="false", says="Whether it may be left out; else a result without it is refused.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _MapEntry:
    label: str = field(metadata=needed(LABEL, says="What people call it."))
    code: Code = field(
        metadata=needed(CODE, says="What its values are, `DCM:113041:Apparent Diffusion Coefficient`; the container's must be it.")
    )
    unit: Code = field(metadata=needed(CODE, says="In which unit, `UCUM:um2/s:um2/s`."))
    optional: bool = setting(SWITCH, default="false", says="Whether it may be left out; else a result without it is refused.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _AnswerEntry:
    key: str = field(metadata=needed(_KEY, says="Where its probability (or true, false) stands in `values_file`."))
    code: Code = field(metadata=needed(CODE, says="What is looked for, `SCT:233604007:Pneumonia`."))
    present: float = setting(PROBABILITY, default="0.5", says="The probability from which on it is called present.")
    absent: float | None = setting(
        PROBABILITY, says="Below it is called absent, between the two undetermined; without it, that of `present`."
    )
    site: Code | None = setting(CODE, says="Where it is looked for: absent means absent there.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerDescription:
    """The keys of container.yaml."""

    name: str = field(
        metadata=needed(
            text_that("lower-case words joined by `-`", NAME.fullmatch),
            says="Of the application, as routes run it: lower-case words joined by `-`.",
        )
    )
    title: str = field(metadata=needed(LABEL, says="What it is, for people."))
    image: str = field(
        metadata=needed(
            text_that(
                "an image by its digest, NAME@sha256:… (64 hexadecimal digits): a tag says today's image and not tomorrow's", _pinned
            ),
            says="The image by its digest, `NAME@sha256:…`, or by its own number, `sha256:…`. A tag is refused: what it names changes.",
        )
    )
    contract: str = field(
        metadata=needed(
            Choice(of=tuple(Contract)),
            says="How it is told where its folders are: `mercure` (a module of mercure), `map` (a MONAI Application Package) or `folder`.",
        )
    )
    accepts: Any = field(metadata=needed(ACCEPTS, says="What a series has to be; another is refused with the reason."))
    licence: Any = field(metadata=needed(LICENCE, says="Three licences, and what follows for commercial use."))
    version: str = setting(
        text_that("MAJOR.MINOR.PATCH", re.compile(r"\d+\.\d+\.\d+").fullmatch),
        default="1.0.0",
        says="Of this description; the image's digest is added.",
    )
    noun: str = setting(
        text_that("up to 24 characters", lambda text: is_label(text) and len(text) <= 24), says="What results are about, in a word or two."
    )
    bounds: Any = setting(
        block(_BoundsEntry, build=ContainerBounds),
        default="{}",
        says="What it may take; how long, `applications: {NAME: {timeout: …}}` of hilum.yaml says.",
    )
    settings: tuple[tuple[str, Any], ...] = setting(
        NetworkArguments(), default="{}", says="Of a mercure module: what it finds in task.json under `process`, `settings`."
    )
    segments: tuple[Any, ...] = setting(
        Items(noun="segment", of=block(_MarkedEntry, build=_MarkedEntry, check=uncoded)),
        default="[]",
        says="What its segmentations mark; a segment that does not stand here is refused.",
    )
    values: tuple[Any, ...] = setting(
        Items(noun="value", of=block(_ValueEntry, build=_ValueEntry)), default="[]", says="Numbers that it says, in JSON or in a report."
    )
    findings: tuple[Any, ...] = setting(
        Items(noun="finding", of=block(_AnswerEntry, build=_AnswerEntry)), default="[]", says="What it calls present or absent, in JSON."
    )
    roles: tuple[Any, ...] = setting(
        Items(noun="role", of=block(_RoleEntry, build=_RoleEntry, check=_whole_series)),
        default="[]",
        says="Of several series of a study that it is given together, in one frame of reference: the first is the one that its results "
        "are of, and routes say which series fills each.",
    )
    maps: tuple[Any, ...] = setting(
        Items(noun="map", of=block(_MapEntry, build=_MapEntry)),
        default="[]",
        says="Parametric Maps that it makes, with a value for every voxel of the images; one that does not stand here is refused.",
    )
    images: str = setting(
        Choice(of=tuple(ImageFormat)),
        default="dicom",
        says="What it is given: the DICOM files of the series, or one NIfTI file of its volume, of roles one of each; not beside "
        "`contract: mercure`.",
    )
    image_file: str | None = setting(_NIFTI, says="With `images: nifti`, the name of that file; `image.nii.gz` without it.")
    values_file: str = setting(_FILE, default="result.json", says="The JSON file of its numbers, in its folder.")
    ignore: tuple[str, ...] = setting(
        Several(of=TEXT),
        default="[]",
        says="Patterns of names of files that nobody needs, `*.pdf`; what is neither known nor named here is refused.",
    )
    measure: tuple[Asked, ...] = setting(
        OF_EVERY,
        default="[volume]",
        says="What the node measures of each segment ([every measure](measurements.md)); [] for nothing.",
    )
    grade: str = setting(
        Choice(of=("research", "demonstration")), default="research", says="What it is good for; of a demonstration, readers are told."
    )


def _together(values: Values, nodes: Nodes, here: Here) -> None:
    """What only the whole file shows."""
    if not (values["segments"] or values["values"] or values["findings"] or values["maps"]):
        raise here.refuse(
            MissingKey, nodes["image"], "needs `segments`, `values`, `findings` or `maps`: what of its results is meant for readers"
        )
    if values["accepts"].parts != "refuse":
        raise here.about("accepts").refuse(BadValue, nodes["accepts"], "`parts` is for models; a container gets the series whole")
    if values["settings"] and values["contract"] != Contract.MERCURE:
        raise here.about("settings").refuse(BadValue, nodes["settings"], "stands in task.json, which mercure's modules alone read")
    if values["images"] == ImageFormat.NIFTI and values["contract"] == Contract.MERCURE:
        raise here.about("images").refuse(BadValue, nodes["images"], "modules of mercure read DICOM files by their names, and no NIfTI")
    if values["image_file"] is not None and values["images"] != ImageFormat.NIFTI:
        raise here.about("image_file").refuse(BadValue, nodes["image_file"], "is the name of a NIfTI file: needs `images: nifti`")
    _roles(values, nodes, here)
    marked = [place for each in values["segments"] if (place := _marked(each)) is not None]
    if twice := next((one for one in marked if marked.count(one) > 1), None):
        raise here.about("segments").refuse(BadValue, nodes["segments"], f"two segments are {twice.value} in {twice.file}")
    for name, what in (("segments", "label"), ("values", "code"), ("findings", "code"), ("maps", "code"), ("maps", "label")):
        seen = [(getattr(one, what), getattr(one, "segment", None)) for one in values[name]]
        if twice := next((one for one, _ in seen if seen.count((one, _)) > 1), None):
            shown = twice.meaning if isinstance(twice, Code) else twice
            raise here.about(name).refuse(BadValue, nodes[name], f'{what} "{shown}" stands there twice')
    labels = {one.label for one in values["segments"]}
    if twice := next((one.label for one in values["maps"] if one.label in labels), None):
        raise here.about("maps").refuse(BadValue, nodes["maps"], f'label "{twice}" is one of `segments`, too: readers tell results by it')
    for one in values["values"]:
        if one.segment is not None and one.segment not in labels:
            raise here.about("values").refuse(BadValue, nodes["values"], f'"{one.segment}" is no label of `segments`')
    structures = [structure_of(one, place + 1, place) for place, one in enumerate(values["segments"])]
    for each in values["measure"]:
        if why := misfit(each, structures):
            raise here.about("measure").refuse(BadValue, nodes["measure"], why)
        if not applies(each, values["accepts"].modality):
            raise here.about("measure").refuse(BadValue, nodes["measure"], f'"{each.word}" is measured of no such image')


def _roles(values: Values, nodes: Nodes, here: Here) -> None:
    if not (roles := values["roles"]):
        return
    if len(roles) < 2:
        raise here.about("roles").refuse(BadValue, nodes["roles"], "names one role; a container of one series needs none")
    names = [one.name for one in roles]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise here.about("roles").refuse(BadValue, nodes["roles"], f'name "{twice}" stands there twice')
    if roles[0].optional or roles[0].accepts is not None:
        what = f'results are of "{names[0]}", the first: it has a name alone, and what its series has to be the file\'s own `accepts` says'
        raise here.about("roles").refuse(BadValue, nodes["roles"], what)
    if values["image_file"] is not None:
        what = f"names the file of one series; those of roles are called by them, `{names[0]}.nii.gz`"
        raise here.about("image_file").refuse(BadValue, nodes["image_file"], what)
    if "roles" in dict(values["settings"]):
        what = "has a key `roles`, by which task.json says which series has which role; call it otherwise"
        raise here.about("settings").refuse(BadValue, nodes["settings"], what)


WHOLE: Block[ContainerDescription] = block(ContainerDescription, build=ContainerDescription, check=_together)
"""All of container.yaml."""


def load(folder: Path) -> ContainerDescription:
    """What the container.yaml of a folder says.

    Raises
    ------
    ConfigMissing, ConfigSyntax, ContainerRefused
    """
    return read_file(WHOLE, folder / CONTAINER, ContainerRefused)


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of container.yaml, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": CONTAINER, **WHOLE.schema()}


def described(said: ContainerDescription, engine: ContainerEngine) -> ContainerManifest:
    """What a container.yaml becomes, with what its image says of itself.

    Raises
    ------
    ImageAbsent, ContainerEngineAway
    UnfitContainer
        The image is no package of its contract, or asks for more than the bounds give.
    """
    engine.image(said.image)
    structures = tuple(structure_of(one, place + 1, place) for place, one in enumerate(said.segments))
    manifest = ContainerManifest(
        name=said.name,
        version=f"{said.version}+image.{said.image.rpartition(':')[2][:_SHOWN]}",
        title=said.title,
        noun=said.noun or "",
        image=said.image,
        contract=Contract(said.contract),
        accepts=accepts_of(said.accepts),
        expects=expects_of(said.accepts),
        given_at=FOLDER_PLACES[0],
        made_at=FOLDER_PLACES[1],
        variables=_variables("HILUM_INPUT_PATH", "HILUM_OUTPUT_PATH", FOLDER_PLACES),
        structures=structures,
        roles=tuple(_role(one) for one in said.roles),
        images=ImageFormat(said.images),
        image_file=said.image_file or "image.nii.gz",
        marked={one.label: place for one in said.segments if (place := _marked(one)) is not None},
        called={one.label: one.called for one in said.segments if one.called is not None},
        found={one.label: one.found for one in said.segments if one.found is not None},
        optional=tuple(one.label for one in said.segments if one.optional),
        values=tuple(
            ContainerValue(key=one.key or "", name=one.code, unit=one.unit, segment=one.segment, optional=one.optional)
            for one in said.values
        ),
        answers=tuple(
            ContainerAnswer(
                key=one.key,
                finding=one.code,
                present=one.present,
                absent=one.present if one.absent is None else one.absent,
                site=one.site,
            )
            for one in said.findings
        ),
        maps=tuple(ContainerMap(label=one.label, quantity=one.code, unit=one.unit, optional=one.optional) for one in said.maps),
        values_file=said.values_file,
        ignored=said.ignore,
        settings=dict(said.settings),
        bounds=said.bounds,
        volumes=Asked(word=VOLUME) in said.measure,
        measures=measures(said.measure, {one.label: () for one in structures}, structures),
        licences=said.licence,
        grade=said.grade,
    )
    if manifest.contract is Contract.MERCURE:
        given_at, made_at = MERCURE_PLACES
        variables = _variables("MERCURE_IN_DIR", "MERCURE_OUT_DIR", MERCURE_PLACES)
        return replace(manifest, given_at=given_at, made_at=made_at, variables=variables)
    if manifest.contract is not Contract.MAP:
        return manifest
    package = packaged(engine, said.image)
    if package.memory is not None and package.memory > manifest.bounds.memory:
        asks, gives = package.memory >> 20, manifest.bounds.memory >> 20
        raise UnfitContainer(f"the image asks for {asks} MiB of memory, `bounds: {{memory: …}}` gives {gives} MiB")
    if package.gpu and not manifest.bounds.gpu:
        raise UnfitContainer("the image asks for a GPU: write `bounds: {gpu: true}`, or take another image")
    return replace(manifest, given_at=package.given_at, made_at=package.made_at, variables=package.variables, command=package.command)


def _role(said: _RoleEntry) -> Role:
    accepts = None if said.accepts is None else accepts_of(said.accepts)
    expects = None if said.accepts is None else expects_of(said.accepts)
    return Role(name=said.name, optional=said.optional, accepts=accepts, expects=expects)


def _variables(given: str, made: str, places: tuple[str, str]) -> Mapping[str, str]:
    return {given: places[0], made: places[1]}
