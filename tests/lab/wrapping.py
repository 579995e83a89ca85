"""Modules of a node that are changed as soon as a process has imported them, by the sitecustomize.py of a test.

The PYTHONPATH of such a process names the folder of its sitecustomize.py, and `ROOT`, where this is found; it imports nothing of node/.
"""

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, wrapped: Mapping[str, Callable[[Any], None]]) -> None:
        self._wrapped = wrapped

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in self._wrapped:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            self._wrapped[name](module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def path_of(inside: Path) -> str:
    """The PYTHONPATH of a process that reads the sitecustomize.py in `inside`, and what the tests' own names."""
    return os.pathsep.join([str(inside), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def wrap(wrapped: Mapping[str, Callable[[Any], None]]) -> None:
    """Call each of `wrapped`, by the name of a module, with that module when it is imported."""
    sys.meta_path.insert(0, _Finder(wrapped))
