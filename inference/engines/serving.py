"""Which version of a model applications use: what the repository serves, who changed it and when, and going back.

A manifest that pins a version (`ModelRef(name="x", version=2)`) keeps it. One that follows (`version=SERVING`), and every application that
is data beside its model, uses what hilum.json says is served; the choice is made anew for every job, and holds until the job has its
findings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from inference.engines.errors import DigestMismatch, ModelMissing, NotServable, UnreadableModel
from inference.engines.port import SERVING, ModelRef
from inference.engines.repository import ENTRY, Repository
from inference.engines.writing import locked, put_in_place, read_entries, to_text, told


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of a model's history: since `at` (ISO 8601, UTC) version `serving` is used, before it was `was`."""

    serving: int
    was: int | None
    by: str
    at: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What the repository serves of one model: the version, all versions that are there, the changes so far (oldest first)."""

    version: int
    versions: tuple[int, ...]
    history: tuple[Change, ...]


def served(repository: Path, name: str) -> Served:
    """What is served of a model: the version that hilum.json names, the highest where it names none.

    Raises
    ------
    ModelMissing, UnreadableModel
    """
    folder = repository / name
    if not name or folder.parent != repository or not folder.is_dir() or name.startswith("."):
        raise ModelMissing(f'model "{name}" is not in the repository {repository}')
    there = tuple(sorted(int(each.name) for each in folder.iterdir() if each.is_dir() and each.name.isdecimal()))
    if not there:
        raise ModelMissing(f'model "{name}" has no version in {repository}')
    entries = read_entries(folder / ENTRY)
    try:
        version = int(entries.get("serving", there[-1]))
        history = tuple(Change(**line) for line in entries.get("history", []))
    except (TypeError, ValueError) as broken:
        raise UnreadableModel(f"{folder / ENTRY} does not say which version is served: {broken}") from broken
    return Served(version=version, versions=there, history=history)


def roll_back(repository: Path, name: str, to: int | None = None, *, why: str = "rolled back") -> Served:
    """Serve another version from now on; jobs that have their findings keep the version that made them.

    Parameters
    ----------
    to
        The version; None: the one that was served before the present one, so that doing it twice changes nothing in the end.

    Raises
    ------
    NotServable
        There is no such version, its weights are not those of its entry, or nothing was served before.
    """
    with locked(repository):
        now = served(repository, name)
        wanted = to if to is not None else _before(name, now)
        if wanted == now.version:
            return now
        if wanted not in now.versions:
            there = ", ".join(str(version) for version in now.versions)
            raise NotServable(f'model "{name}" has no version {wanted} in {repository} (there: {there})')
        try:
            Repository(repository).verify(ModelRef(name=name, version=wanted))
        except (DigestMismatch, ModelMissing, UnreadableModel) as unfit:
            raise NotServable(f'model "{name}" version {wanted} cannot be served: {unfit} [{unfit.code}]') from unfit
        file = repository / name / ENTRY
        entries = read_entries(file)
        told(entries, was=now.version, serving=wanted, why=why)
        put_in_place(file, to_text(entries))
    return served(repository, name)


def resolved(models: Sequence[ModelRef], repository: Path) -> dict[ModelRef, ModelRef]:
    """For each reference of a manifest the version that it means now.

    Raises
    ------
    ModelMissing, UnreadableModel
    """
    return {
        model: replace(model, version=served(repository, model.name).version) if model.version == SERVING else model for model in models
    }


def _before(name: str, now: Served) -> int:
    for change in reversed(now.history):
        if change.serving == now.version and change.was is not None:
            return change.was
    lower = [version for version in now.versions if version < now.version]
    if not lower:
        raise NotServable(f'model "{name}": nothing was served before version {now.version}')
    return lower[-1]
