"""NAME.container.json: a container as serving needs it, and the `Application` that it is; a file of the model repository.

It lies beside the models' folders: a Triton server looks at folders there alone.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from inference import codes
from inference.applications.bundle.expecting import expects_from
from inference.applications.bundle.manifest import DEMONSTRATION
from inference.applications.bundle.nouns import named, said_of
from inference.applications.bundle.parts import accepts_from, measure_from
from inference.applications.bundle.structures import structure_from
from inference.applications.container.described import (
    ContainerAnswer,
    ContainerManifest,
    ContainerMap,
    ContainerValue,
    Contract,
    ImageFormat,
    MarkedBy,
)
from inference.applications.container.engine import ContainerBounds
from inference.applications.container.errors import BrokenContainerManifest, UnfitContainer
from inference.applications.container.running import said_by
from inference.applications.manifest import check_manifest
from inference.applications.measured import measured_outputs
from inference.applications.port import (
    Application,
    EvaluationOutput,
    Infer,
    JobFiles,
    Licences,
    MeasurementOutput,
    Role,
    SaliencyOutput,
    SegmentOutput,
)
from inference.codes import Code
from inference.engines.writing import locked, put_in_place
from inference.findings import Findings
from inference.imaging.judge.expects import Expects
from inference.imaging.subject import Subject, Takes, VolumeSet
from inference.imaging.volume import Volume

SUFFIX = ".container.json"
FORM = 1
_PLAIN = ("name", "version", "title", "image", "given_at", "made_at", "image_file", "values_file", "noun", "volumes", "grade")


def to_text(manifest: ContainerManifest) -> bytes:
    """The file's text."""
    said = {
        "form": FORM,
        **{name: getattr(manifest, name) for name in _PLAIN},
        "contract": manifest.contract.value,
        "images": manifest.images.value,
        "accepts": said_of(manifest.accepts),
        "expects": {} if manifest.expects == Expects() else asdict(manifest.expects),
        "roles": [_said_of_role(one) for one in manifest.roles],
        "structures": [asdict(one) for one in manifest.structures],
        "marked": {label: asdict(one) for label, one in manifest.marked.items()},
        "values": [asdict(one) for one in manifest.values],
        "maps": [asdict(one) for one in manifest.maps],
        "answers": [asdict(one) for one in manifest.answers],
        "measures": [named(one) for one in manifest.measures],
        "bounds": asdict(manifest.bounds),
        "licences": asdict(manifest.licences),
        "ignored": list(manifest.ignored),
        "optional": list(manifest.optional),
        "command": list(manifest.command),
        **{name: dict(getattr(manifest, name)) for name in ("called", "found", "settings", "variables")},
    }
    return (json.dumps(said, indent=2, ensure_ascii=False) + "\n").encode()


def from_text(content: bytes, where: str) -> ContainerManifest:
    """`to_text` the other way.

    Raises
    ------
    BrokenContainerManifest
    """
    try:
        said = json.loads(content)
        if said.pop("form") != FORM:
            raise ValueError(f"it is not of form {FORM}")
        return ContainerManifest(
            contract=Contract(said.pop("contract")),
            images=ImageFormat(said.pop("images")),
            accepts=accepts_from(said.pop("accepts")),
            expects=expects_from(said.pop("expects")),
            roles=tuple(_role(each) for each in said.pop("roles", ())),
            structures=tuple(structure_from(each) for each in said.pop("structures")),
            marked={label: MarkedBy(**one) for label, one in said.pop("marked").items()},
            values=tuple(_value(each) for each in said.pop("values")),
            maps=tuple(_map(each) for each in said.pop("maps", ())),
            answers=tuple(_answer(each) for each in said.pop("answers")),
            measures=tuple(measure_from(each) for each in said.pop("measures")),
            bounds=ContainerBounds(**said.pop("bounds")),
            licences=Licences(**said.pop("licences")),
            ignored=tuple(said.pop("ignored")),
            command=tuple(said.pop("command")),
            optional=tuple(said.pop("optional")),
            **said,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as broken:
        raise BrokenContainerManifest(f"{where}: {broken!r}") from broken


def _said_of_role(role: Role) -> dict[str, Any]:
    accepts = {} if role.accepts is None else {"accepts": said_of(role.accepts)}
    expects = {} if role.expects is None else {"expects": asdict(role.expects)}
    return {"name": role.name, "optional": role.optional, **accepts, **expects}


def _role(said: Mapping[str, Any]) -> Role:
    given = dict(said)
    accepts, expects = given.pop("accepts", None), given.pop("expects", None)
    return Role(
        **given,
        accepts=None if accepts is None else accepts_from(accepts),
        expects=None if expects is None else expects_from(expects),
    )


def _value(said: Mapping[str, Any]) -> ContainerValue:
    return ContainerValue(**{**said, "name": Code(**said["name"]), "unit": Code(**said["unit"])})


def _map(said: Mapping[str, Any]) -> ContainerMap:
    return ContainerMap(**{**said, "quantity": Code(**said["quantity"]), "unit": Code(**said["unit"])})


def _answer(said: Mapping[str, Any]) -> ContainerAnswer:
    site = said["site"]
    return ContainerAnswer(**{**said, "finding": Code(**said["finding"]), "site": None if site is None else Code(**site)})


def application(file: Path) -> Application:
    """The application of a container's file.

    Raises
    ------
    BrokenContainerManifest
    """
    return application_of(from_text(file.read_bytes(), str(file)))


def application_of(manifest: ContainerManifest) -> Application:
    """The application that a container is."""

    def analyse(subject: Subject, infer: Infer) -> Findings:
        raise AssertionError(f"{manifest.name} is a container, which analyses files and not {type(subject).__name__}")

    def of_files(subject: Volume | VolumeSet, files: JobFiles) -> Findings:
        return said_by(manifest, subject, files, remarks=(DEMONSTRATION,) if manifest.grade == "demonstration" else ())

    outputs = (
        *(SegmentOutput(label=one.label, type=one.type) for one in manifest.structures),
        *([MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE)] if manifest.structures and manifest.volumes else []),
        *measured_outputs(manifest.measures, {one.label: one.type for one in manifest.structures}, manifest.accepts.modality),
        *(MeasurementOutput(name=one.name, unit=one.unit) for one in manifest.values),
        *(SaliencyOutput(label=one.label) for one in manifest.maps),
        *(EvaluationOutput(finding=one.finding) for one in manifest.answers),
    )
    return Application(
        name=manifest.name,
        version=manifest.version,
        title=manifest.title,
        noun=manifest.noun,
        accepts=replace(manifest.accepts, takes=Takes.VOLUMES) if manifest.roles else manifest.accepts,
        roles=manifest.roles,
        expects=manifest.expects,
        models=(),
        outputs=tuple(dict.fromkeys(outputs)),
        measures=manifest.measures,
        analyse=analyse,
        of_files=of_files,
        as_acquired=True,
        grade=manifest.grade,
        licences=manifest.licences,
    )


def file_of(repository: Path, name: str) -> Path:
    """Where a container's file lies."""
    return repository / f"{name}{SUFFIX}"


def entered_in(repository: Path) -> Iterator[tuple[str, ContainerManifest | BrokenContainerManifest]]:
    """The containers of a repository by their names; of a file that is broken, why."""
    for file in sorted(repository.glob(f"*{SUFFIX}")):
        try:
            yield file.name.removesuffix(SUFFIX), from_text(file.read_bytes(), str(file))
        except BrokenContainerManifest as broken:
            yield file.name.removesuffix(SUFFIX), broken


def enter(manifest: ContainerManifest, repository: Path, named_so: Sequence[str] = ()) -> Path:
    """Write a container into the repository, in the place of an earlier version; the same once more changes nothing.

    Parameters
    ----------
    named_so
        Where applications of its name are, this one's own file perhaps among them.

    Raises
    ------
    BrokenApplication
        No node would load it.
    UnfitContainer
        This version stands there and says something else: results of both would bear one version. Or another application has its
        name: neither would be loaded.
    RepositoryNotWritten
    """
    check_manifest(application_of(manifest), manifest.name, "container.yaml")
    file, content = file_of(repository, manifest.name), to_text(manifest)
    repository.mkdir(parents=True, exist_ok=True)
    with locked(repository):
        others = [where for where in named_so if Path(where).resolve() != file.resolve()]
        if others:
            raise UnfitContainer(f'an application "{manifest.name}" is there already ({others[0]}); give the container another `name`')
        if file.is_file():
            there = from_text(file.read_bytes(), str(file))
            if there.version == manifest.version and there != manifest:
                raise UnfitContainer(
                    f"version {manifest.version} of {manifest.name} is in the repository and says something else; "
                    "give this one another `version`, so that results tell which of them made them"
                )
        put_in_place(file, content)
    return file
