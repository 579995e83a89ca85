"""Every error class of every room by its code: what a journaled code means, and what a person can do about it.

Errors stand beside what raises them, so the source of each module says which codes it defines: a code is looked up without importing a room
that has nothing to do with it.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from inference.errors import HilumError

_CODE = re.compile(r'^    code(?:: ClassVar\[str\])? = "(HLM-[0-9]{4})"$', re.MULTILINE)


def every_error() -> dict[str, type[HilumError]]:
    """Error classes by code, of all rooms.

    Raises
    ------
    ValueError
        Two classes have the same code.
    """
    for name in sorted(set(_modules().values())):
        import_module(name)
    found: dict[str, type[HilumError]] = {}
    for error in _below(HilumError):
        twin = found.setdefault(error.code, error)
        if twin is not error:
            raise ValueError(f"{error.code} is the code of {twin.__qualname__} and of {error.__qualname__}")
    return dict(sorted(found.items()))


def remedy(code: str | None) -> str:
    """What to do about a journaled code; a code that this version does not know gives a way on all the same."""
    name = _modules().get(code or "")
    if name is None:
        return "See docs/reference/errors.md of the version that wrote this code."
    return next(error.remedy for error in _defined(import_module(name)) if error.code == code)


@cache
def _modules() -> dict[str, str]:
    """The module that defines each code."""
    import inference
    import node

    found = {}
    for package in (inference, node):
        root = Path(package.__path__[0])
        for source in root.rglob("*.py"):
            for code in _CODE.findall(source.read_text(encoding="utf-8")):
                found[code] = ".".join((package.__name__, *source.relative_to(root).with_suffix("").parts))
    return found


def _defined(module: ModuleType) -> Iterator[type[HilumError]]:
    for each in vars(module).values():
        if isinstance(each, type) and issubclass(each, HilumError) and each.__module__ == module.__name__:
            yield each


def _below(error: type[HilumError]) -> Iterator[type[HilumError]]:
    yield error
    for child in error.__subclasses__():
        yield from _below(child)
