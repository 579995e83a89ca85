"""The three layouts of a bundle (MONAI Bundle Specification: "Directory Structure", "Archive Format"): a folder, a zip of it, TorchScript.

    NAME/configs/metadata.json, configs/inference.json or .yaml, models/model.safetensors or model.pt (state dict), model.onnx, model.ts
    NAME.zip with NAME/configs/…, as the Model Zoo's releases are
    NAME.ts, a TorchScript file with metadata.json and inference.json among its extra files, as `monai.bundle ckpt_export` writes

Nothing is unpacked here, no name leads out of the bundle, and nothing is read that is larger than it may be.
"""

import stat
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path, PurePosixPath

from inference.applications.bundle.errors import UnreadableBundle

METADATA = "configs/metadata.json"
INFERENCE = ("configs/inference.json", "configs/inference.yaml", "configs/inference.yml")
WEIGHTS = ("models/model.onnx", "models/model.safetensors", "models/model.ts", "models/model.pt")
"""Looked for in this order: a graph of operators, then weights that can be nothing else."""

LARGE = ("large_files.yml", "large_files.yaml", "large_file.yml")
MOST_CONFIG_BYTES = 1 << 24
MOST_WEIGHTS_BYTES = 1 << 34
_MOST_MEMBERS = 10_000
_EXTRA = "extra/"
TORCHSCRIPT_METADATA = f"/{_EXTRA}metadata.json"
"""How the name of that member ends in a TorchScript file."""


class Layout(Enum):
    """How a bundle lies on the disk."""

    FOLDER = "a folder"
    ARCHIVE = "a zip"
    TORCHSCRIPT = "a TorchScript file with its metadata inside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle's files by their path within it. `root` is the folder itself, None where there is none on the disk."""

    name: str
    layout: Layout
    path: Path
    root: Path | None
    members: Mapping[str, Callable[[int], bytes]]

    def read(self, member: str, most: int = MOST_CONFIG_BYTES) -> bytes:
        """The bytes of a member.

        Raises
        ------
        UnreadableBundle
        """
        if member not in self.members:
            raise UnreadableBundle(f"{self.path} has no {member}")
        return self.members[member](most)

    def first(self, *members: str) -> str | None:
        """The first of these that is there."""
        return next((member for member in members if member in self.members), None)


def open_bundle(path: Path) -> Bundle:
    """Look what is in a bundle; nothing of it is read yet but names.

    Raises
    ------
    UnreadableBundle
        It is none of the three layouts, or a name in it leads out of it.
    """
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise UnreadableBundle(f"{path} is neither a folder nor a file")
    if not zipfile.is_zipfile(path):
        raise UnreadableBundle(f"{path} is none of a bundle's layouts: a folder, a zip, or a TorchScript file")
    return _zipped(path)


def _folder(path: Path) -> Bundle:
    members = files_of(path)
    if METADATA not in members:
        raise UnreadableBundle(f"{path} has no {METADATA}: it is no bundle")
    root = path.resolve()
    return Bundle(name=root.name, layout=Layout.FOLDER, path=path, root=root, members=members)


def files_of(path: Path) -> dict[str, Callable[[int], bytes]]:
    """What reads each file of a folder or a zip, by its path within it; nothing is read yet.

    Raises
    ------
    UnreadableBundle
        A name or a link leads out of it.
    """
    if path.is_dir():
        return _files_in(path)
    return {name: partial(_read_member, path, name) for name in _members(path)}


def _files_in(path: Path) -> dict[str, Callable[[int], bytes]]:
    root = path.resolve()
    members: dict[str, Callable[[int], bytes]] = {}
    for file in sorted(path.rglob("*")):
        if len(members) > _MOST_MEMBERS:
            raise UnreadableBundle(f"{path} holds more than {_MOST_MEMBERS} files")
        if not file.is_file():
            continue
        if not file.resolve().is_relative_to(root):
            raise UnreadableBundle(f"{file} is a link that leads out of the bundle, to {file.resolve()}")
        members[file.relative_to(path).as_posix()] = partial(read_file, file)
    return members


def read_file(file: Path, most: int) -> bytes:
    """The bytes of a file, of `most` at most.

    Raises
    ------
    UnreadableBundle
    """
    size = file.stat().st_size
    if size > most:
        raise UnreadableBundle(f"{file} has {size} bytes, more than the {most} that are read")
    return file.read_bytes()


def _members(path: Path) -> list[str]:
    """The names in a zip, once it is sure that they stay inside."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, OSError) as broken:
        raise UnreadableBundle(f"{path} is a damaged zip: {broken}") from broken
    if len(infos) > _MOST_MEMBERS:
        raise UnreadableBundle(f"{path} holds more than {_MOST_MEMBERS} files")
    return [_safe(path, info) for info in infos if not info.is_dir()]


def _zipped(path: Path) -> Bundle:
    names = _members(path)
    metadata = [name for name in names if name == METADATA or name.endswith(f"/{METADATA}")]
    if len(metadata) == 1:
        root = metadata[0].removesuffix(METADATA)
        inside = {name.removeprefix(root): partial(_read_member, path, name) for name in names if name.startswith(root)}
        return Bundle(name=root.strip("/").split("/")[-1] or path.stem, layout=Layout.ARCHIVE, path=path, root=None, members=inside)
    extras = [name for name in names if name.endswith(TORCHSCRIPT_METADATA)]
    if len(extras) == 1:
        root = extras[0].removesuffix("metadata.json")
        inside = {f"configs/{name.removeprefix(root)}": partial(_read_member, path, name) for name in names if name.startswith(root)}
        inside["models/model.ts"] = partial(read_file, path)
        return Bundle(name=path.stem, layout=Layout.TORCHSCRIPT, path=path, root=None, members=inside)
    if len(metadata) > 1:
        raise UnreadableBundle(f"{path} holds {len(metadata)} bundles: {', '.join(metadata)}")
    raise UnreadableBundle(f"{path} has neither {METADATA} nor a TorchScript file's {_EXTRA}metadata.json: it is no bundle")


def _safe(path: Path, info: zipfile.ZipInfo) -> str:
    """The member's name, once it is sure that it stays inside."""
    name = info.orig_filename
    parts = PurePosixPath(name).parts
    if "\\" in name or "\0" in name or name.startswith("/") or ".." in parts or (parts and ":" in parts[0]):
        raise UnreadableBundle(f"{path}: the member {name!r} leads out of the bundle")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise UnreadableBundle(f"{path}: the member {name!r} is a link")
    return info.filename


def _read_member(path: Path, name: str, most: int) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as member:
            content = member.read(most + 1)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, KeyError, OSError) as broken:
        raise UnreadableBundle(f"{path}: {name} cannot be read: {broken}") from broken
    # what a member says of its own size may be false; what was read is not
    if len(content) > most:
        raise UnreadableBundle(f"{path}: {name} has more than the {most} bytes that are read")
    return content
