"""Finds applications: folders beside this file, folders that the configuration names, the entry-point group "hilum.applications".

Names are known without importing anything: an application `mr-brain` lives in a folder `mr_brain`. A model's folder with an
application.json in a version (an imported bundle) is an application, too: data, never code; the version that the repository serves runs.
So is a file NAME.container.json there: a container.
"""

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from inference.applications.errors import FOREIGN_CODE_FAILS, BrokenApplication, UnknownApplication

if TYPE_CHECKING:
    from inference.applications.port import Application

GROUP = "hilum.applications"
_BUILT_IN = Path(__file__).parent
_DATA = (_BUILT_IN / "bundle", _BUILT_IN / "container")
"""What makes applications out of data; none is one itself."""

_MANIFEST = "application.json"
_CONTAINER = ".container.json"
CONFIG = "config.pbtxt"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """Where an application is, and how its APPLICATION is got."""

    name: str
    where: str
    get: Callable[[], Any]


def names(folders: Sequence[Path] = ()) -> tuple[str, ...]:
    """The names of all applications, sorted; nothing is imported.

    Parameters
    ----------
    folders
        Folders of application folders, beside the built-in ones.
    """
    return tuple(sorted({found.name for found in _all(folders)}))


def places(name: str, folders: Sequence[Path] = ()) -> tuple[str, ...]:
    """Where applications of a name are; of two, none would be loaded. Nothing is imported."""
    return tuple(found.where for found in _all(folders) if found.name == name)


def load(name: str, folders: Sequence[Path] = ()) -> "Application":
    """The application called `name`.

    Raises
    ------
    UnknownApplication
        There is none; the message suggests the nearest name.
    BrokenApplication
        There are two, or it cannot be imported, or its manifest is wrong.
    """
    found = [each for each in _all(folders) if each.name == name]
    if not found:
        known = names(folders)
        near = get_close_matches(name, known, n=1)
        raise UnknownApplication(
            f'no application "{name}"; ' + (f'did you mean "{near[0]}"?' if near else f"there are: {', '.join(known)}")
        )
    if len(found) > 1:
        raise BrokenApplication(f'application "{name}" is there {len(found)} times: {" and ".join(each.where for each in found)}')
    return _checked(found[0])


def brought_by(model: Path, version: int) -> "Application | None":
    """The application that a version of a model brings with it, application.json beside its weights; None where it brings none.

    Parameters
    ----------
    model
        The model's folder in the repository.

    Raises
    ------
    BrokenApplication
    """
    from inference.applications.bundle.manifest import application

    file = model / str(version) / _MANIFEST
    return _checked(_Found(name=_name(model.name), where=str(file), get=partial(application, file))) if file.is_file() else None


def brought_name(model: Path) -> str:
    """The name of the application that versions of a model bring with them; "" where none does."""
    return _name(model.name) if any(model.glob(f"[0-9]*/{_MANIFEST}")) else ""


def state(name: str, folders: Sequence[Path] = ()) -> object:
    """Changes when `load` would give another application: when a model's folder serves another version, or its manifest was replaced."""
    for parent in folders:
        for folder in _model_folders(parent):
            if _name(folder.name) == name:
                file = _served_manifest(folder)
                return file, file.stat().st_mtime_ns if file.is_file() else None
        container = parent / f"{name}{_CONTAINER}"
        if container.is_file():
            return container, container.stat().st_mtime_ns
    return None


def built_in(names: Collection[str], folders: Sequence[Path] = ()) -> frozenset[str]:
    """Which of these are hilum's own applications, and there once: they stay as they are while a process runs."""
    there = [(found.name, Path(found.where).parent == _BUILT_IN) for found in _all(folders) if found.name in names]
    return frozenset(name for name, own in there if own and sum(other == name for other, _ in there) == 1)


def _all(folders: Sequence[Path]) -> Iterator[_Found]:
    for folder in _application_folders(_BUILT_IN):
        yield _Found(name=_name(folder.name), where=str(folder), get=partial(_built_in, folder))
    for parent in folders:
        for folder in _application_folders(parent):
            yield _Found(name=_name(folder.name), where=str(folder), get=partial(_from_folder, folder))
        for folder in _model_folders(parent):
            yield _Found(name=_name(folder.name), where=str(folder), get=partial(_from_model, folder))
        for file in sorted(parent.glob(f"*{_CONTAINER}")):
            yield _Found(name=file.name.removesuffix(_CONTAINER), where=str(file), get=partial(_from_container, file))
    for point in importlib.metadata.entry_points(group=GROUP):
        yield _Found(name=point.name, where=f"entry point {point.value}", get=partial(_entry, point))


def _application_folders(parent: Path) -> Iterator[Path]:
    if parent.is_dir():
        for folder in sorted(parent.iterdir()):
            # by name first: __pycache__ may be private to another user, who ran from the same place
            if not folder.name.isidentifier() or folder.name.startswith("_") or folder in _DATA:
                continue
            # a model's folder is data: nothing in it is run
            if (folder / "__init__.py").is_file() and not (folder / CONFIG).is_file():
                yield folder


def _model_folders(parent: Path) -> Iterator[Path]:
    if parent.is_dir():
        for folder in sorted(parent.iterdir()):
            if (folder / CONFIG).is_file() and brought_name(folder):
                yield folder


def _served_manifest(folder: Path) -> Path:
    from inference.engines.serving import served

    version = served(folder.parent, folder.name).version
    return folder / str(version) / _MANIFEST


def _checked(found: _Found) -> "Application":
    from inference.applications.manifest import check_manifest

    try:
        # a manifest may hold values of other types than it is typed for: a number for a title, say
        return check_manifest(found.get(), found.name, found.where)
    except FOREIGN_CODE_FAILS as failed:
        raise BrokenApplication(f'application "{found.name}" in {found.where}: {type(failed).__name__}: {failed}') from failed


def _name(folder: str) -> str:
    return folder.replace("_", "-")


def _built_in(folder: Path) -> Any:
    return importlib.import_module(f"{__package__}.{folder.name}").APPLICATION


def _entry(point: importlib.metadata.EntryPoint) -> Any:
    loaded = point.load()
    return loaded.APPLICATION if isinstance(loaded, ModuleType) else loaded


def _from_model(folder: Path) -> Any:
    from inference.applications.bundle.manifest import application

    file = _served_manifest(folder)
    if not file.is_file():
        raise BrokenApplication(
            f'model "{folder.name}" serves version {file.parent.name}, which is a model alone, without {_MANIFEST}; '
            f"`hilum models rollback {folder.name}` serves the version before"
        )
    return application(file)


def _from_container(file: Path) -> Any:
    from inference.applications.container.manifest import application

    return application(file)


def _from_folder(folder: Path) -> Any:
    """Import a folder as a package of its own; its name holds the path, so that two folders of one name do not meet."""
    package = f"hilum_application_{folder.name}_{sha256(str(folder.resolve()).encode()).hexdigest()[:8]}"
    if package not in sys.modules:
        spec = importlib.util.spec_from_file_location(package, folder / "__init__.py", submodule_search_locations=[str(folder)])
        assert spec is not None, "a .py file has a spec"
        assert spec.loader is not None, "and a loader"
        module = importlib.util.module_from_spec(spec)
        # before it runs: its own relative imports look for it here
        sys.modules[package] = module
        try:
            spec.loader.exec_module(module)
        except FOREIGN_CODE_FAILS:
            del sys.modules[package]
            raise
    return sys.modules[package].APPLICATION
