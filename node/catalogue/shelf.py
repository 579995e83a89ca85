"""The catalogue as people look at it: each published model with its licences, its grade, and whether it is here."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.applications import catalog
from inference.applications.port import Licences
from inference.engines.port import ModelRef
from inference.engines.repository import Listed
from node.catalogue.fetched import noted, there
from node.catalogue.published import PublishedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class OnShelf:
    """One published model.

    Attributes
    ----------
    state
        Whether it is here, in words.
    here
        The versions in the repository that it became.
    size
        Of all its files, bytes; None where the list does not say that of each.
    unknown
        The names of files whose digest the list does not know.
    """

    model: PublishedModel
    licences: Licences
    grade: str
    state: str
    here: tuple[ModelRef, ...]
    size: int | None
    unknown: tuple[str, ...]


def shelf(models: Sequence[PublishedModel], folder: Path, listed: Sequence[Listed]) -> list[OnShelf]:
    """The models of the catalogue, in the order of their names.

    Parameters
    ----------
    folder
        Where files are kept until they are imported (`fetched.folder_of`).
    listed
        What the repository holds.
    """
    return [_on_shelf(model, folder, listed) for model in sorted(models, key=lambda one: one.name)]


def licences_of(model: PublishedModel) -> Licences:
    """Of an application, as it says itself and as its weights do; else as the list says."""
    if model.licences is not None:
        return model.licences
    application = catalog.load(model.application)
    weights = dict.fromkeys(source.licence for source in application.sources if source.sha256)
    said = application.licences
    return Licences(code=said.code, weights=said.weights or "; ".join(weights), data=said.data, commercial=said.commercial)


def _on_shelf(model: PublishedModel, folder: Path, listed: Sequence[Listed]) -> OnShelf:
    sizes = [file.size for file in model.files]
    here = there(model, folder, listed)
    return OnShelf(
        model=model,
        licences=licences_of(model),
        grade=catalog.load(model.application).grade if model.application else "research",
        state=_state(model, folder, here),
        here=here,
        size=sum(one for one in sizes if one is not None) if None not in sizes else None,
        unknown=tuple(file.name for file in model.files if file.sha256 is None),
    )


def _state(model: PublishedModel, folder: Path, here: Sequence[ModelRef]) -> str:
    if here:
        said = noted(folder / model.name)
        when = "imported" if said is None else f"fetched {said.at[:10]}"
        more = f" and {len(here) - 1} more" if len(here) > 1 else ""
        return f"{when}: {here[0].name} {here[0].version}{more}"
    kept = folder / model.name
    if os.path.isdir(kept) and not os.access(kept, os.R_OK | os.X_OK):
        return "not known: another user fetched it"
    if all(os.path.isfile(kept / file.name) for file in model.files):
        return "fetched; hilum cannot serve it" if model.unserved else "fetched, not imported"
    return "not fetched; hilum cannot serve it" if model.unserved else "not fetched"
