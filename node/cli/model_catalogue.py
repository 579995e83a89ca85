"""The catalogue at the command line: what is published for this node, and where it comes to."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from node.catalogue.published import Published
    from node.catalogue.shelf import OnShelf

_SPARE = ("code", "grade", "size", "data", "weights", "digest", "commercial")
"""Columns that a narrow screen does without, the first one first; `--json` has all of it."""
_LICENCES = ("code", "weights", "data", "commercial")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What is published, and where it comes to.

    Attributes
    ----------
    kept
        Where files are kept until they are imported, and what is noted of them.
    folders
        Of applications.
    signer, serials
        The key that the hospital's own list has to be signed by, and the folder in which its serial is noted; None without one.
    """

    repository: Path
    kept: Path
    published: "Published"
    folders: tuple[Path, ...]
    signer: bytes | None
    serials: Path | None


def offered_here(repository: Path | None, config: Path | None) -> Offered:
    """The lists of the configuration, which counts also where another repository is named, and of hilum.

    Raises
    ------
    ConfigError, UnreadableSerials
    """
    from node.catalogue.fetched import folder_of, last_serial
    from node.catalogue.published import published
    from node.cli.opened import configuration_beside

    loaded = configuration_beside(repository, config)
    if loaded is None:
        assert repository is not None, "one of both is there"
        return Offered(
            repository=repository, kept=folder_of(repository, None), published=published(None), folders=(), signer=None, serials=None
        )
    signer = None if loaded.catalogue is None else loaded.catalogue.public_key
    noted = folder_of(loaded.models, loaded.fetched)
    return Offered(
        repository=repository or loaded.models,
        kept=noted if repository is None else folder_of(repository, None),
        published=published(loaded.catalogue, 0 if signer is None else last_serial(noted, signer)),
        folders=loaded.application_folders if repository is None else (),
        signer=signer,
        serials=None if signer is None else noted,
    )


def list_catalogue(repository: Path | None, config: Path | None, *, as_json: bool) -> int:
    """`hilum models list --catalogue`."""
    from inference.engines.repository import Repository
    from node.catalogue.shelf import shelf
    from node.cli import screen

    offered = offered_here(repository, config)
    rows = shelf(list(offered.published.models.values()), offered.kept, Repository(offered.repository).list())
    if as_json:
        screen.as_json([_published_record(each) for each in rows])
    else:
        screen.out().print(screen.listing([_published_row(each) for each in rows], _SPARE))
    return 0


def _published_row(each: "OnShelf") -> dict[str, str]:
    from node.cli import screen

    row = {"name": each.model.name, "state": each.state, "grade": each.grade}
    row |= {"size": "–" if each.size is None else screen.size(each.size), "digest": "not known" if each.unknown else "known"}
    row |= {one: getattr(each.licences, one) or "–" for one in _LICENCES}
    return row | {"what": each.model.title}


def _published_record(each: "OnShelf") -> dict[str, Any]:
    model = each.model
    said = {
        "name": model.name,
        "title": model.title,
        "source": model.source,
        "state": each.state,
        "models": [asdict(one) for one in each.here],
    }
    files = [{"name": one.name, "url": one.url, "size": one.size, "sha256": one.sha256} for one in model.files]
    return {**said, "grade": each.grade, "licences": asdict(each.licences), "unserved": model.unserved or None, "files": files}
