"""The code of a bundle's author, run at import in a confined process: values come back as data, the network it builds as a model's file.

A process computes one thing and ends. It reaches no file, no network and no other process (docs/adr/ADR-0046-a-model-in-its-jail.md): the
bundle's scripts are imported from memory, and what they read from the disk fails.
"""

import importlib.abc
import importlib.util
import io
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from pydoc import ErrorDuringImport
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from inference.applications.bundle.config import NO_DATA, parse, plain
from inference.applications.bundle.errors import UnfitBundle
from inference.applications.errors import FOREIGN_CODE_FAILS
from inference.engines.exporting import CONVERT_S
from inference.engines.jail.messages import MOST_TEXT
from inference.engines.jail.model import Limits, call_in_jail
from inference.engines.safetensors import read_safetensors, safetensors_of
from inference.engines.sieve.sieve import sift

_NETWORK = "network_def"
_STATE, _INPUT = "state.safetensors", "input.safetensors"
_FILES = "bundle/"
_MODULE = "inference.applications.bundle.author"


class Author:
    """A bundle's own code, for what an operator allowed to run.

    Parameters
    ----------
    what
        What the bundle is called, to begin sentences with.
    files
        Of the bundle, by their paths: its Python, and the configuration.
    place
        Which of them is the inference configuration.
    """

    def __init__(self, what: str, files: Mapping[str, bytes], place: str) -> None:
        self._what = what
        self._files = {f"{_FILES}{name}": content for name, content in files.items()}
        self._place = place
        self._limits = Limits.usual(allow_code=True)

    def value(self, id: str) -> Any:
        """What stands at an id as MONAI computes it, plain data; NO_DATA for a function or an object.

        Raises
        ------
        UnfitBundle
            The code failed.
        EngineError, ModelError
            Its process was ended.
        """
        said, _ = self._call("value", {"id": id}, {})
        return said.get("value", NO_DATA)

    def convert(
        self, state: Mapping[str, Any], window: Sequence[int], open_sides: bool, batch: int, to: str, channels: int
    ) -> tuple[str, bytes]:
        """The network with a checkpoint's weights as a model of the repository, as `network.convert`.

        Raises
        ------
        UnfitBundle, EngineError, ModelError
        """
        settings = {"window": list(window), "open_sides": open_sides, "batch": batch, "to": to, "channels": channels}
        said, content = self._call("converted", settings, {_STATE: safetensors_of(state, self._what)})
        file = {"onnx": "model.onnx", "pt2": "model.pt2"}[to]
        if said.get("file") != file:
            raise UnfitBundle(f"{self._what}: its own code gives {said.get('file')!r}, not {file}")
        sift(file, content, f"{self._what}, as its own code builds it")
        return file, content

    def answers(self, state: Mapping[str, Any]) -> Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]:
        """The network before it was converted, called with arrays, each call in a process of its own."""
        import torch

        weights = safetensors_of(state, self._what)

        def compute(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            given = safetensors_of({name: torch.from_numpy(array) for name, array in inputs.items()}, self._what)
            _, content = self._call("answered", {}, {_STATE: weights, _INPUT: given})
            return {name: tensor.numpy() for name, tensor in read_safetensors(content, self._what).items()}

        return compute

    def _call(self, function: str, settings: Mapping[str, Any], beside: Mapping[str, bytes]) -> tuple[Mapping[str, Any], bytes]:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as packed:
            for name, content in {**self._files, **beside}.items():
                packed.writestr(name, content)
        said, made = call_in_jail(
            self._what,
            f"{_MODULE}:{function}",
            buffer.getvalue(),
            {"place": self._place, **settings},
            limits=self._limits,
            carries_code=True,
            imports=("torch", "monai"),
            seconds=CONVERT_S,
        )
        if not isinstance(said, Mapping):
            raise UnfitBundle(f"{self._what}: its own code gives nothing")
        if "failed" in said:
            why = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(said["failed"])[:MOST_TEXT])
            raise UnfitBundle(f"{self._what}: its own code failed: {why}")
        return said, made


# ---- in the confined process


def value(content: bytes, *, place: str, id: str) -> dict[str, Any]:
    """As `Author.value`, without the key "value" for what is no data."""

    def run(parser: Any, _: Mapping[str, bytes]) -> tuple[dict[str, Any], bytes]:
        computed = plain(parser.get_parsed_content(id))
        return ({} if computed is NO_DATA else {"value": computed}), b""

    return _run(content, place, id, run)[0]


def converted(
    content: bytes, *, place: str, window: Sequence[int], open_sides: bool, batch: int, to: str, channels: int
) -> tuple[dict[str, Any], bytes]:
    """As `Author.convert`; what the file is called, and its bytes."""

    def run(parser: Any, members: Mapping[str, bytes]) -> tuple[dict[str, Any], bytes]:
        from inference.applications.bundle.network import convert

        file, made = convert(_loaded(parser, members), window, open_sides, batch, to, channels)
        return {"file": file}, made

    return _run(content, place, _NETWORK, run)


def answered(content: bytes, *, place: str) -> tuple[dict[str, Any], bytes]:
    """What the network says of an input."""

    def run(parser: Any, members: Mapping[str, bytes]) -> tuple[dict[str, Any], bytes]:
        import torch

        from inference.applications.bundle.network import answers

        given = {name: tensor.numpy() for name, tensor in read_safetensors(members[_INPUT], _INPUT).items()}
        found = answers(_loaded(parser, members))(given)
        return {}, safetensors_of({name: torch.from_numpy(array) for name, array in found.items()}, _INPUT)

    return _run(content, place, _NETWORK, run)


def _run(
    content: bytes, place: str, id: str, run: Callable[[Any, Mapping[str, bytes]], tuple[dict[str, Any], bytes]]
) -> tuple[dict[str, Any], bytes]:
    from monai.bundle import ConfigParser

    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    files = {name.removeprefix(_FILES): each for name, each in members.items() if name.startswith(_FILES)}
    sys.meta_path.append(_InMemory(files))
    config = parse(place, files[place])
    parser = ConfigParser({**config, "bundle_root": "."})
    try:
        if "imports" in config:
            parser.get_parsed_content("imports")
        return run(parser, members)
    except (*FOREIGN_CODE_FAILS, ErrorDuringImport) as failed:
        return {"failed": f"{id}: {type(failed).__name__}: {failed}"}, b""
    except UnfitBundle as unfit:
        return {"failed": str(unfit)}, b""


def _loaded(parser: Any, members: Mapping[str, bytes]) -> Any:
    from inference.applications.bundle.network import load

    return load(parser.get_parsed_content(_NETWORK), read_safetensors(members[_STATE], _STATE), _NETWORK)


class _InMemory(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The bundle's Python files as modules, by their paths within it."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        folder = fullname.replace(".", "/")
        if f"{folder}.py" in self._files:
            return importlib.util.spec_from_loader(fullname, self, origin=f"{folder}.py")
        if any(name.startswith(f"{folder}/") for name in self._files):
            return importlib.util.spec_from_loader(fullname, self, origin=f"{folder}/__init__.py", is_package=True)
        return None

    def exec_module(self, module: ModuleType) -> None:
        origin = str(module.__spec__ and module.__spec__.origin)
        exec(compile(self._files.get(origin, b""), origin, "exec"), module.__dict__)
