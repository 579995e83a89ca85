"""`hilum models list`: what the model repository holds and serves; the other verbs of models have a file each beside this one."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from node.cli.opened import ConfigOption, JsonOption

if TYPE_CHECKING:
    from inference.engines.repository import Listed, Repository
    from inference.engines.serving import Served

RepositoryOption: TypeAlias = Annotated[
    Path | None, Parameter(name="--repository", help="The model repository's folder (default: the configuration's `models: repository`).")
]


def list_models(*, repository: RepositoryOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """List the models of the repository: version, which one is served, backend, digest, licence, where they came from."""
    from node.cli import screen

    found = opened(repository, config)
    listed = found.list()
    if as_json:
        screen.as_json([_record(each, found.path) for each in listed])
        return 0
    console = screen.out()
    if not listed:
        console.print(f"no models in {found.path}: `hilum models import APPLICATION` brings them in")
        return 0
    table = screen.table("model", "version", "serves", "backend", "sha256", "licence", "from")
    for each in listed:
        entry = each.entry
        told = each.problem or (entry.source if entry else "(no hilum.json beside it: served, but nobody wrote down what it is)")
        digest, licence = (entry.sha256[:12], entry.licence) if entry else ("", "")
        table.add_row(each.model.name, str(each.model.version), _serves(each, found.path), each.backend, digest, licence, told)
    console.print(table)
    return 0


def opened(repository: Path | None, config: Path | None) -> "Repository":
    """The repository that an option names, or the configuration's."""
    from inference.engines.repository import Repository
    from node.cli.opened import configuration

    return Repository(repository if repository is not None else configuration(config).models)


def _record(listed: "Listed", repository: Path) -> dict[str, Any]:
    from inference.engines.repository import entry_to_json

    known = {"model": listed.model.name, "version": listed.model.version, "backend": listed.backend, "problem": listed.problem}
    served = _served(listed, repository)
    serving = {"serving": served.version == listed.model.version, "history": [asdict(line) for line in served.history]} if served else {}
    return {**known, **serving, **(entry_to_json(listed.entry) if listed.entry else {})}


def _serves(listed: "Listed", repository: Path) -> str:
    """Whether the version is the one that is served, and since when where somebody chose it."""
    served = _served(listed, repository)
    if served is None or served.version != listed.model.version:
        return ""
    line = served.history[-1] if served.history else None
    return "yes" if line is None or line.why == "imported" else f"since {line.at[:16].replace('T', ' ')} UTC: {line.why} by {line.by}"


def _served(listed: "Listed", repository: Path) -> "Served | None":
    from inference.engines.errors import ModelMissing, UnreadableModel
    from inference.engines.serving import served

    try:
        return served(repository, listed.model.name)
    except (ModelMissing, UnreadableModel):  # the listing itself says what is wrong with it
        return None
