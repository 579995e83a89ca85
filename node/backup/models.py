"""What computes, in a backup: the model repository with its cards, the folders of applications of one's own, the hospital's own list of
published models, and what is noted of those that were fetched.

It is not part of the store: it lies where `models:` says, may be shared with Triton servers, and is often there already when a store is
restored. So what is there is compared and never overwritten.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from inference.engines.writing import locked, put_in_place
from node.backup.manifest import APPLICATIONS, CATALOGUE, FETCHED, MODELS, ROUTE_CASES, BackedUpFile, ModelsThere, OtherFolders, checksum
from node.catalogue.fetched import folder_of, notes
from node.catalogue.published import signature_of
from node.settings.config import Config

_COMPILED = "__pycache__"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolders:
    """Where the files below each name in a backup belong on this host, by the configuration."""

    repository: Path
    by_name: Mapping[str, Path]
    fetched: Path
    lists: tuple[Path, ...]

    @classmethod
    def of(cls, config: Config) -> "ModelFolders":
        """`models/` is the repository, `applications/0/` the first folder of applications, and so on."""
        own = [folder for folder in config.application_folders if folder != config.models]
        return cls(
            repository=config.models,
            by_name={MODELS: config.models, **{f"{APPLICATIONS}/{number}": folder for number, folder in enumerate(own)}},
            fetched=folder_of(config.models, config.fetched),
            lists=() if config.catalogue is None else (config.catalogue.path, signature_of(config.catalogue.path)),
        )

    def alone(self) -> AbstractContextManager[None]:
        """While it is held, no model is imported here."""
        return locked(self.repository) if self.repository.is_dir() else nullcontext()

    def files(self) -> Iterator[tuple[str, Path]]:
        """Each file by its name in a backup. Without what Python compiled and what an import has not finished."""
        for name, root in self.by_name.items():
            for path in _files(root):
                yield f"{name}/{path.relative_to(root).as_posix()}", path

    def notes(self) -> Iterator[tuple[str, Path]]:
        """The hospital's own list with its signature, and the notes of what was fetched, by their names in a backup."""
        yield from ((f"{CATALOGUE}/{path.name}", path) for path in self.lists if path.is_file())
        yield from ((f"{FETCHED}/{path.relative_to(self.fetched).as_posix()}", path) for path in notes(self.fetched))

    def note_target(self, name: str) -> Path | None:
        """Where one of `notes` belongs; None: it is none, or the configuration names no list."""
        first, *rest = PurePosixPath(name).parts
        if first == CATALOGUE:
            return next((path for path in self.lists if [path.name] == rest), None)
        return self.fetched.joinpath(*rest) if first == FETCHED and ".." not in rest else None

    def target(self, name: str) -> Path | None:
        """Where a file of a backup belongs; None: it is none of these.

        Raises
        ------
        OtherFolders
            It is of a folder of applications for which the configuration names none.
        """
        parts = PurePosixPath(name).parts
        if parts[0] == MODELS:
            return self.repository.joinpath(*parts[1:])
        if parts[0] != APPLICATIONS:
            return None
        folder = self.by_name.get("/".join(parts[:2]))
        if folder is None:
            raise OtherFolders(
                f"{name} belongs to folder number {int(parts[1]) + 1} of applications, the configuration names {len(self.by_name) - 1}"
            )
        return folder.joinpath(*parts[2:])

    def refuse_others(self, files: Mapping[str, BackedUpFile]) -> None:
        """Refuse to restore among models and applications that are not the backup's.

        Raises
        ------
        ModelsThere
            A file is there that the backup does not have, or has with other bytes.
        OtherFolders
            The configuration names fewer folders of applications than the backup has.
        """
        for name in files:
            self.target(name)
        for name, path in self.files():
            kept = files.get(name)
            if kept is None:
                raise ModelsThere(f"{path} is there, and the backup has no such file")
            if path.stat().st_size != kept.size or checksum(path) != kept.sha256:
                raise ModelsThere(f"{path} is there with other bytes than in the backup")


def application_folders(backup: Path) -> list[Path]:
    """The folders of a backup in which applications are looked for."""
    return [backup / MODELS, *sorted((backup / APPLICATIONS).glob("[0-9]*"))]


def route_cases(config: Config) -> Path:
    """The cases of `hilum routes test`, where they lie beside the configuration."""
    return config.path.parent / ROUTE_CASES


def bring(source: Path, target: Path) -> None:
    """Copy a file of a backup to its place, whole or not at all. Everybody may read it, whatever the umask: a repository is often served by
    another user than the one who restores it."""
    for folder in (one for one in reversed(target.parents) if not one.exists()):
        folder.mkdir()
        folder.chmod(0o755)
    put_in_place(target, source.read_bytes())


def _files(root: Path) -> Iterator[Path]:
    for folder, below, names in os.walk(root):
        below[:] = sorted(one for one in below if one != _COMPILED and not one.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))
