"""Every error class of every room by its code: what a journaled code means, and what a person can do about it."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages

from inference.errors import HilumError

_ELSEWHERE = (
    "inference.findings_file",
    "node.assembly.backup_errors",
    "node.assembly.family",
    "node.cli.demo",
    "node.cli.demo_engine",
    "node.cli.demo_input",
    "node.console.editing",
)
"""Modules whose names do not end in `errors` and define one; a test searches the source for others."""


def every_error() -> dict[str, type[HilumError]]:
    """Error classes by code, of all rooms.

    Raises
    ------
    ValueError
        Two classes have the same code.
    """
    _import_error_modules()
    found: dict[str, type[HilumError]] = {}
    for error in _below(HilumError):
        twin = found.setdefault(error.code, error)
        if twin is not error:
            raise ValueError(f"{error.code} is the code of {twin.__qualname__} and of {error.__qualname__}")
    return dict(sorted(found.items()))


def remedy(code: str | None) -> str:
    """What to do about a journaled code; a code that this version does not know gives a way on all the same."""
    error = every_error().get(code or "")
    return error.remedy if error is not None else "See docs/reference/errors.md of the version that wrote this code."


def _import_error_modules() -> None:
    import inference
    import node

    for package in (inference, node):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.rpartition(".")[2].endswith("errors") or module.name in _ELSEWHERE:
                import_module(module.name)


def _below(error: type[HilumError]) -> Iterator[type[HilumError]]:
    yield error
    for child in error.__subclasses__():
        yield from _below(child)
