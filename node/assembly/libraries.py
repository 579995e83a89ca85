"""Libraries of hilum that are here in part: pip writes one file by file, and takes an old one away before it writes the new one. Where it
was ended in between, what is left may be imported, and breaks when it is used.

Nothing is imported to find that out: what lies on the disk is compared with the list of files that pip keeps.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, PackagePath, distribution
from pathlib import Path

from node.domain.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CODE = (".py", ".so")
_SPARED = frozenset({"..", "test", "tests"})
"""Who makes an image small takes tests away; what lies outside of the environment's libraries is a packager's to place."""


class LibraryHalfInstalled(ConfigError):
    """A library that hilum needs is here in part: its installation or upgrade was ended in the middle."""

    code = "HLM-2126"
    remedy = "Stop the node, and call the `pip install` that was ended once more, with `--force-reinstall`."


@cache
def half_installed() -> tuple[LibraryHalfInstalled, ...]:
    """What hilum needs that is not whole, a sentence each; extras that were never asked for are none of it.

    Looks at each file of some ten thousand, which takes a third of a second of a processor: once a process.
    """
    ours = distribution("hilum")
    wanted = {_named(one) for one in ours.requires or () if ";" not in one} | set(_taken_away(ours))
    absent = [LibraryHalfInstalled(f"{name} is not installed, or in part") for name in sorted(wanted) if _found(name) is None]
    return (*absent, *(half for found in _needed(ours) for half in _examined(found)))


def _taken_away(ours: Distribution) -> Iterator[str]:
    """The libraries whose old version pip set aside, under a name that begins with `~`, and did not come to delete."""
    for left in Path(str(ours.locate_file(""))).glob("~*.dist-info/METADATA"):
        yield from re.findall(r"^Name: (\S+)$", left.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)[:1]


def _needed(ours: Distribution) -> Iterator[Distribution]:
    """What is installed of all that a distribution asks for, with whatever extra, and of what that asks for."""
    ahead, seen = [ours], {_plain(ours.name)}
    while ahead:
        for requirement in ahead.pop().requires or ():
            name = _named(requirement)
            if _plain(name) in seen:
                continue
            seen.add(_plain(name))
            if (found := _found(name)) is not None:
                ahead.append(found)
                yield found


def _examined(found: Distribution) -> Iterator[LibraryHalfInstalled]:
    if found.files is None:
        yield LibraryHalfInstalled(f"{found.name} {found.version} is installed in part: the list of its files is missing")
        return
    code = [file for file in found.files if _counts(file)]
    missing = [file for file in code if not Path(str(found.locate_file(file))).exists()]
    if missing:
        yield LibraryHalfInstalled(
            f"{found.name} {found.version} is installed in part: {len(missing)} of its {len(code)} files are missing"
        )


def _counts(file: PackagePath) -> bool:
    return file.suffix in _CODE and _SPARED.isdisjoint(file.parts)


def _found(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _named(requirement: str) -> str:
    found = _NAME.match(requirement)
    assert found is not None, "metadata begin a requirement with a name"
    return found[0]


def _plain(name: str) -> str:
    """Names are the same in capitals, and with dots or underscores for hyphens (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
