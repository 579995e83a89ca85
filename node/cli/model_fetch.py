"""`hilum models fetch`: a published model of the catalogue comes here, compared by digest, and is imported."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from inference.errors import ModelError
from node.cli.ending import WrongWords
from node.cli.models import RepositoryOption
from node.cli.opened import ConfigOption, JsonOption

if TYPE_CHECKING:
    from inference.engines.port import ModelRef
    from node.catalogue.fetched import FetchedFile
    from node.catalogue.published import PublishedFile, PublishedModel
    from node.cli.model_import import Entered


class NotPublished(ModelError):
    """The catalogue has no model of this name."""

    code = "HLM-4173"
    remedy = "`hilum models list --catalogue` shows what there is; a hospital's own list is named by `models: {catalogue: …}`."


class UnknownDigest(ModelError):
    """The catalogue does not know the digest of a file that came; nothing was imported."""

    code = "HLM-4174"
    remedy = (
        "Compare the digest that the message gives with what the file's publisher says, by another way than the file came, and call it "
        "again with `--accept-digest`; the file is not fetched again. Where they differ, delete the file that the message names: the next "
        "call fetches it anew."
    )


class NotServed(ModelError):
    """No import takes this model: the message says why."""

    code = "HLM-4175"
    remedy = (
        "`hilum models fetch NAME --only` fetches its files; an application of yours can use them (docs/howto/write-an-application.md)."
    )


def fetch(
    name: str,
    *,
    file: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    accept_digest: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    only: Annotated[bool, Parameter(negative="")] = False,
    allow_code: Annotated[bool, Parameter(negative="")] = False,
    tune: Annotated[bool, Parameter(negative="--no-tune")] = True,
    repository: RepositoryOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Fetch a published model of the catalogue, compare its digest, and import it; one that broke off is gone on with.

    `hilum models list --catalogue` says what there is, under which licences, and what has been fetched. Files come over HTTPS, by the proxy
    that the environment names. Where there is no way out, fetch them elsewhere and give them with --file.

    Parameters
    ----------
    name
        Its name in the catalogue.
    file
        The published files, where they are here already; nothing is fetched then.
    accept_digest
        The SHA-256 of a file whose digest the catalogue does not know: compare it with what its publisher says.
    only
        Fetch, and do not import: the files stay, and their paths are printed.
    allow_code
        As of `hilum models import`.
    tune
        As of `hilum models import`.
    """
    from node.catalogue.fetched import note_serial, noted
    from node.catalogue.fetching import fetching, keeping
    from node.cli.model_catalogue import offered_here

    offered = offered_here(repository, config)
    repository, folders = offered.repository, offered.folders
    model = _chosen(name, offered.published.models, folders)
    if model.unserved and not only:
        raise NotServed(f"{name}: {model.unserved}")
    if only and file:
        raise WrongWords("--only fetches, and --file says that nothing is to be fetched")
    folder = offered.kept / model.name
    if not as_json:
        _say_what(model)
    with fetching(folder):
        if offered.serials is not None and offered.signer is not None and offered.published.serial is not None:
            with keeping(offered.serials):
                note_serial(offered.serials, offered.signer, offered.published.serial)
        paths = _given(model, file) if file else _fetched(model, folder, quiet=as_json)
        came = _accepted(model, paths, folder, accept_digest)
        before = noted(folder)
        _remember(folder, came, () if before is None else before.models)  # an operator's word counts whatever the import says
        if only:
            _tell_files(came, paths, as_json=as_json)
            return 0
        with _gathered(model, came, paths, folder, brought=bool(file)) as compared:
            entered = _imported(model, compared, repository, folders, allow_code=allow_code, quiet=as_json)
        _remember(folder, came, tuple(one.model for one in entered))
        with keeping(folder):
            for path in [] if file else paths:  # they are in the repository now
                path.unlink(missing_ok=True)
    from node.cli.model_import import tell, tuned

    if tune:
        tuned(entered, repository, allow_code=allow_code, quiet=as_json)
    tell(entered, repository, name, as_json=as_json)
    return 0


def _chosen(name: str, models: "Mapping[str, PublishedModel]", folders: tuple[Path, ...]) -> "PublishedModel":
    if name in models:
        return models[name]
    from inference.applications import catalog
    from node.settings.source import suggestion

    if name in catalog.names(folders):
        raise NotPublished(f'"{name}" is an application; its weights come by `hilum models import {name}`')
    raise NotPublished(f'the catalogue has no "{name}"{suggestion(name, models)}')


def _say_what(model: "PublishedModel") -> None:
    from node.catalogue.shelf import licences_of
    from node.cli import screen

    said = licences_of(model)
    screen.say(f"{model.title} ({model.source})")
    texts = ", ".join(f"{called} {getattr(said, one) or 'not said'}" for one, called in _LICENCES.items())
    screen.say(f"licences: {texts}; commercial use: {said.commercial}")
    if model.note:
        screen.say(model.note)


_LICENCES = {"code": "code", "weights": "weights", "data": "training data"}


def _given(model: "PublishedModel", files: Sequence[Path]) -> "list[Path]":
    """The files that the operator has, in the order of the list: known by their digests, or where the list has none by their names.

    Raises
    ------
    NoSource, WrongWeights, WrongWords
    """
    from inference.engines.errors import NoSource
    from node.catalogue.fetching import compare, sha256_of

    absent = next((one for one in files if not one.is_file()), None)
    if absent is not None:
        raise NoSource(f"{absent} is not a file")
    digests = {path: sha256_of(path) for path in files}
    found = []
    for wanted in model.files:
        fits = [path for path in files if (digests[path] == wanted.sha256 if wanted.sha256 else path.name == wanted.name)]
        if not fits:
            named = next((path for path in files if path.name == wanted.name), None)
            if named is not None:
                compare(wanted, named, str(named))
            raise NoSource(f"{wanted.name} is missing{f' (SHA-256 {wanted.sha256})' if wanted.sha256 else ''}: it lies at {wanted.url}")
        compare(wanted, fits[0], str(fits[0]))
        found.append(fits[0])
    taken = {digests[path] for path in found}
    vain = [str(path) for path in files if digests[path] not in taken]
    if vain:
        raise WrongWords(f"--file {', '.join(vain)} is none of the files of {model.name}")
    return found


def _fetched(model: "PublishedModel", folder: Path, *, quiet: bool) -> list[Path]:
    from node.catalogue.fetching import fetch as fetch_file

    paths = []
    for file in model.files:
        with _progress(file, quiet=quiet) as told:
            paths.append(fetch_file(file, folder, told))
    return paths


@contextlib.contextmanager
def _progress(file: "PublishedFile", *, quiet: bool) -> "Iterator[Callable[[int, int | None], None]]":
    """A bar on stderr, where people read."""
    if quiet:
        yield lambda came, size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn(file.name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=file.size)
        yield lambda came, size: bar.update(task, completed=came, total=size)


def _accepted(model: "PublishedModel", paths: "list[Path]", folder: Path, said: tuple[str, ...]) -> "list[FetchedFile]":
    """The files with their digests, each of which the list knows or an operator accepts, now or when it was fetched before.

    Raises
    ------
    UnknownDigest, WrongWords
        Nothing is imported; what came stays, so that it need not be fetched again.
    """
    from node.catalogue.fetched import FetchedFile, noted
    from node.catalogue.fetching import sha256_of

    before, came, open_ = noted(folder), [], []
    said = tuple(one.lower() for one in said)
    for file, path in zip(model.files, paths, strict=True):
        digest = file.sha256 or sha256_of(path)
        known = before.accepted(file.name) if before is not None else None
        came.append(FetchedFile(name=file.name, sha256=digest, accepted=file.sha256 is None))
        if file.sha256 is None and digest not in said and digest != known:
            was = f", and it was {known} when it was accepted" if known is not None else ""
            agrees = " (its SHA-1 is the one that its publisher gives)" if file.sha1 is not None else ""
            open_.append((digest, f"{path} has SHA-256 {digest}{agrees}, {path.stat().st_size} bytes{was}"))
    if open_:
        words = " ".join(f"--accept-digest {digest}" for digest, _ in open_)
        raise UnknownDigest(
            f"the catalogue knows no digest of this: {'; '.join(text for _, text in open_)}. Compare with what {model.source} says, then: "
            f"hilum models fetch {model.name} {words}"
        )
    vain = [one for one in said if one not in {each.sha256 for each in came}]
    if vain:
        files = "; ".join(f"{path} has SHA-256 {one.sha256}" for one, path in zip(came, paths, strict=True))
        raise WrongWords(f"--accept-digest {', '.join(vain)} is of none of the files of {model.name}: {files}")
    return came


@contextlib.contextmanager
def _gathered(
    model: "PublishedModel", came: "list[FetchedFile]", paths: list[Path], folder: Path, *, brought: bool
) -> Iterator[list[Path]]:
    """The files that are imported. Those that were brought, which somebody else may write into, and those that an app.yaml belongs to lie
    in a folder of their own, under the names of the list: what is imported is what was compared, and nothing else.

    Raises
    ------
    WrongWeights, FileNotKept
    """
    if not (model.described or brought):
        yield paths
        return
    import shutil

    from inference.engines.errors import WrongWeights
    from node.catalogue.fetching import keeping, sha256_of

    inside = folder / ".import"
    shutil.rmtree(inside, ignore_errors=True)
    try:
        with keeping(folder):
            inside.mkdir(mode=0o700)
            for one, path in zip(came, paths, strict=True):
                shutil.copyfile(path, inside / one.name)
                if sha256_of(inside / one.name) != one.sha256:
                    raise WrongWeights(f"{one.name}: {path} was changed since its digest was compared")
        yield [inside / one.name for one in came]
    finally:
        shutil.rmtree(inside, ignore_errors=True)


def _imported(
    model: "PublishedModel", paths: list[Path], repository: Path, folders: tuple[Path, ...], *, allow_code: bool, quiet: bool
) -> "list[Entered]":
    from node.cli.model_import import Options, application_entered, model_entered

    if model.application:
        return application_entered(model.application, repository, folders, tuple(paths), Options(allow_code=allow_code))
    if model.described:
        (app,) = (path for path, file in zip(paths, model.files, strict=True) if file.name == "app.yaml")
        return [model_entered(app.parent, Options(allow_code=allow_code), repository, quiet=quiet)]
    assert model.licences is not None, "the list demands them"
    options = Options(
        licence=model.licences.weights,
        licences=model.licences,
        attribution=model.attribution,
        orientation=model.orientation or None,
        modality=model.modality or None,
        allow_code=allow_code,
    )
    named = [replace(options, name=file.becomes or None) for file in model.files]
    return [model_entered(path, one, repository, quiet=quiet) for path, one in zip(paths, named, strict=True)]


def _remember(folder: Path, came: "list[FetchedFile]", became: "tuple[ModelRef, ...]") -> None:
    """Note what came and what it became."""
    from node.catalogue.fetched import Fetched, note
    from node.catalogue.fetching import keeping

    with keeping(folder):
        note(folder, Fetched(at=datetime.now(UTC).isoformat(timespec="seconds"), files=tuple(came), models=became))


def _tell_files(came: "list[FetchedFile]", paths: list[Path], *, as_json: bool) -> None:
    from node.cli import screen

    if as_json:
        screen.as_json([{"file": str(path), "sha256": one.sha256} for one, path in zip(came, paths, strict=True)])
        return
    for one, path in zip(came, paths, strict=True):
        screen.say(f"{path} (SHA-256 {one.sha256})")
