"""MONAI Application Package: what app.json and pkg.json of an image say (MONAI Deploy, MAP guidelines 1.0), read as a stranger's files.

Whatever stands there, it becomes a `Packaged` that an engine can be given, or a sentence that names the field.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NoReturn

from inference.applications.container.engine import ContainerEngine
from inference.applications.container.errors import UnfitContainer
from inference.errors import quoted

_MANIFESTS = (("/etc/monai/app.json", "/etc/monai/pkg.json"), ("/etc/holoscan/app.json", "/etc/holoscan/pkg.json"))
_MOST_MANIFEST = 1 << 20
_MOST_TEXT = 32 << 10
"""Bytes of all words of a command, and of all variables: the system starts a program with no more than a few times as many."""
_SIZES = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_MOST_AMOUNT = 1e18
_MOST_PATH = 1024
_TAKEN = ("/etc", "/proc", "/sys", "/dev")
"""Folders that are the system's, with all below them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packaged:
    """What a MONAI Application Package says of itself.

    Attributes
    ----------
    command
        What to run where the image has no entry point.
    memory
        Bytes that it asks for; None where it does not say.
    """

    given_at: str
    made_at: str
    variables: dict[str, str]
    command: tuple[str, ...]
    memory: int | None
    gpu: bool


def packaged(engine: ContainerEngine, image: str) -> Packaged:
    """Read app.json and pkg.json of an image, without starting it.

    Raises
    ------
    ImageAbsent, ContainerEngineAway
    UnfitContainer
        It has none, or they do not say what has to stand there.
    """
    for app, package in _MANIFESTS:
        said = engine.file_in(image, app, _MOST_MANIFEST)
        if said is not None:
            resources = engine.file_in(image, package, _MOST_MANIFEST) or b"{}"
            has_entry = bool((engine.image(image).get("Config") or {}).get("Entrypoint"))
            return package_of(said, resources, image=image, places=(app, package), has_entry=has_entry)
    raise UnfitContainer(f"{image} has no {' and no '.join(app for app, _ in _MANIFESTS)}: it is no MONAI Application Package")


def package_of(app: bytes, package: bytes, *, image: str, places: tuple[str, str], has_entry: bool) -> Packaged:
    """What the two files say; `places` are where they lie in the image, `has_entry` whether it names a program itself.

    Raises
    ------
    UnfitContainer
    """
    told = _ManifestFile(where=f"{places[0]} of {image}", said=_mapping(app, f"{places[0]} of {image}"))
    asked = _ManifestFile(where=f"{places[1]} of {image}", said=_mapping(package, f"{places[1]} of {image}"))
    command = told.command()
    given_at, made_at = told.folder("input"), told.folder("output")
    if f"{given_at}/".startswith(f"{made_at}/") or f"{made_at}/".startswith(f"{given_at}/"):
        raise UnfitContainer(f"{told.where} has one folder within the other: {given_at} for images, {made_at} for results")
    own = {"HOLOSCAN_INPUT_PATH": given_at, "HOLOSCAN_OUTPUT_PATH": made_at, "MONAI_INPUTPATH": given_at, "MONAI_OUTPUTPATH": made_at}
    return Packaged(
        given_at=given_at,
        made_at=made_at,
        variables={**told.variables(), **own},
        command=() if has_entry else command,
        memory=asked.memory(),
        gpu=asked.gpu(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _ManifestFile:
    """One of the two files; each of its fields as what it is for, or a sentence."""

    where: str
    said: Mapping[str, Any]

    def command(self) -> tuple[str, ...]:
        """The words that are run; a text that is no list of words is a shell's."""
        said = self.said.get("command")
        words = said
        if isinstance(said, str) and said.startswith("["):
            words = _read(said.encode("utf-8", "replace"), self.where)
        words = ["/bin/sh", "-c", words] if isinstance(words, str) else words
        if not isinstance(words, list) or not words or not all(_plain(word) and word for word in words):
            self._unfit("command", said, "words of a program, as a text or a list, have to stand there")
        if sum(len(word.encode()) for word in words) > _MOST_TEXT:
            self._unfit("command", said, f"it has more than {_MOST_TEXT >> 10} KiB")
        return tuple(words)

    def folder(self, key: str) -> str:
        """Where a folder lies in the container; relative ones in the working directory."""
        root = self.said.get("workingDirectory") or self.said.get("working-directory") or "/var/monai"
        at = self.said.get(key)
        path = at.get("path") if isinstance(at, dict) else None
        if not isinstance(path, str) or not _plain(root) or not _plain(path):
            self._unfit(f"{key}, path", at if _plain(root) else root, "the path of a folder has to stand there")
        place = str(PurePosixPath(root) / path)
        # of a volume's two sides the engine tells by the colon
        odd = ":" in place or not place.isprintable() or ".." in place or not place.startswith("/") or place.startswith("//")
        if odd or len(place) > _MOST_PATH or place in ("/", "/tmp") or any(f"{place}/".startswith(f"{one}/") for one in _TAKEN):
            self._unfit(f"{key}, path", place, "it has to be a folder of its own, not one of the system's")
        return place

    def variables(self) -> dict[str, str]:
        """The environment that it wants."""
        said = self.said.get("environment")
        said = {} if said is None else said
        if not isinstance(said, dict) or not all(isinstance(value, str | int | float) for value in said.values()):
            self._unfit("environment", said, "names with texts or numbers have to stand there")
        variables = {key: str(value) for key, value in said.items()}
        for key, value in variables.items():
            if not _plain(key) or not key or "=" in key or not _plain(value):
                self._unfit("environment", key, "no variable can be called or hold that")
        if sum(len(f"{key}{value}".encode()) for key, value in variables.items()) > _MOST_TEXT:
            self._unfit("environment", sorted(variables), f"it has more than {_MOST_TEXT >> 10} KiB")
        return variables

    def memory(self) -> int | None:
        """Bytes of memory that it asks for."""
        said = self._resources().get("memory")
        if said is None:
            return None
        text = str(said)
        digits = text.rstrip("KMGTik")
        amount = _amount(digits) if text[len(digits) :] in _SIZES and not isinstance(said, bool) else None
        if amount is None:
            self._unfit("resources, memory", said, "an amount such as 8Gi has to stand there")
        return int(amount * _SIZES[text[len(digits) :]])

    def gpu(self) -> bool:
        """Whether it asks for one."""
        said = self._resources().get("gpu")
        number = 0.0 if said is None else _amount(str(int(said) if isinstance(said, bool) else said))
        if number is None:
            self._unfit("resources, gpu", said, "a number has to stand there")
        return number > 0

    def _resources(self) -> Mapping[str, Any]:
        said = self.said.get("resources")
        said = {} if said is None else said
        if not isinstance(said, dict):
            self._unfit("resources", said, "names with amounts have to stand there")
        return said

    def _unfit(self, key: str, said: object, wanted: str) -> NoReturn:
        shown = "nothing" if said is None else quoted(said)
        raise UnfitContainer(f"{self.where} has {shown} as its {key}: {wanted}")


def _mapping(content: bytes, where: str) -> Mapping[str, Any]:
    said = _read(content, where)
    if not isinstance(said, dict):
        raise UnfitContainer(f"{where} holds no names with values, as a MONAI Application Package does")
    return said


def _read(content: bytes, where: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as broken:
        raise UnfitContainer(f"{where} is no JSON: {type(broken).__name__}") from broken


def _plain(said: object) -> bool:
    """Whether it is a text that a program can be given: no zero in it, and no half of a character."""
    if not isinstance(said, str) or "\0" in said:
        return False
    try:
        said.encode()
    except UnicodeEncodeError:
        return False
    return True


def _amount(text: str) -> float | None:
    """A number that is none below 0 and has an end; None of anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < _MOST_AMOUNT else None
