"""Libraries of hilum that are here in part: pip writes one file by file, and takes an old one away before it writes the new one. Where it
was ended in between, what is left may be imported, and breaks when it is used.

Nothing is imported to find that out: what lies on the disk is compared with the list of files that pip keeps. Whoever asks may do so while
pip replaces hilum itself: nothing here raises for what is missing, cut off or taken away meanwhile.
"""

import csv
import re
from collections.abc import Collection, Iterator, Mapping
from email.message import Message
from email.parser import HeaderParser
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from node.domain.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CODE = (".py", ".so")
_SPARED = frozenset({"..", "test", "tests"})
"""Who makes an image small takes tests away; what lies outside of the environment's libraries is a packager's to place."""
_KEEP_LISTS = ("pip", "uv")
"""Installers that write a list of files always. A distribution's packages, of Debian and others, have none."""


class LibraryHalfInstalled(ConfigError):
    """A library that hilum needs, or hilum itself, is here in part: its installation or upgrade was ended in the middle.

    `modules` are the names by which its parts are imported, without what stands behind a dot; none where nothing is left that tells.
    """

    code = "HLM-2126"
    remedy = "Stop the node, and call the `pip install` that was ended once more, with `--force-reinstall`."

    def __init__(self, sentence: str, modules: Collection[str] = ()) -> None:
        super().__init__(sentence)
        self.modules = frozenset(modules)


@cache
def half_installed() -> tuple[LibraryHalfInstalled, ...]:
    """What of hilum, and of what it needs, is not whole, a sentence each; extras that were never asked for are none of it.

    Looks at each file of some ten thousand, which takes a third of a second of a processor: once a process.
    """
    ours = _found("hilum")
    if ours is None:
        return (LibraryHalfInstalled("hilum is not installed, or in part"),)
    always = {_plain(name) for one in _requires(ours) if ";" not in one for name in _named(one)}
    asked = _asked(ours)
    set_aside = _set_aside(ours)
    absent = [
        LibraryHalfInstalled(f"{name} is not installed, or in part", set_aside.get(plain, ()))
        for plain, (name, found) in asked.items()
        if found is None and (plain in always or plain in set_aside)
    ]
    present = [half for name, found in (("hilum", ours), *asked.values()) if found is not None for half in _examined(name, found)]
    return (*sorted(absent, key=str), *present)


def _set_aside(ours: Distribution) -> Mapping[str, frozenset[str]]:
    """The libraries whose old version pip set aside, under a name that begins with `~`, and did not come to delete; the modules of each."""
    left = {}
    for folder in Path(str(ours.locate_file(""))).glob("~*.dist-info"):
        kept = Distribution.at(folder)
        if (headers := _headers(kept)) is not None and (name := headers.get("Name")):
            left[_plain(name)] = _modules(_listed(kept) or ())
    return left


def _asked(ours: Distribution) -> Mapping[str, tuple[str, Distribution | None]]:
    """All that a distribution asks for, with whatever extra, and what that asks for: its name, and what is installed of it."""
    ahead, asked = [ours], dict[str, tuple[str, Distribution | None]]()
    while ahead:
        for requirement in _requires(ahead.pop()):
            for name in _named(requirement):
                if _plain(name) in asked or _plain(name) == "hilum":
                    continue
                found = _found(name)
                asked[_plain(name)] = name, found
                if found is not None:
                    ahead.append(found)
    return asked


def _examined(name: str, found: Distribution) -> Iterator[LibraryHalfInstalled]:
    headers, listed = _headers(found), _listed(found)
    modules = _modules(listed or ())
    if headers is None:
        yield LibraryHalfInstalled(f"{name} is installed in part: its metadata are missing", modules)
        return
    known = f"{headers.get('Name', name)} {headers.get('Version', '')}".rstrip()
    if listed is None:
        if (_read(found, "INSTALLER") or "").strip() in _KEEP_LISTS or (_read(found, "METADATA") and not _read(found, "WHEEL")):
            yield LibraryHalfInstalled(f"{known} is installed in part: the list of its files is missing")
        return
    code = [file for file in listed if _counts(file)]
    missing = [file for file in code if not Path(str(found.locate_file(str(file)))).exists()]
    if missing:
        yield LibraryHalfInstalled(f"{known} is installed in part: {len(missing)} of its {len(code)} files are missing", modules)


def _listed(found: Distribution) -> list[PurePosixPath] | None:
    """The files of its list; `Distribution.files` leaves out those that are not there, from Python 3.12 on. None: there is no list."""
    try:
        return [PurePosixPath(row[0]) for row in csv.reader((_read(found, "RECORD") or "").splitlines()) if row] or None
    except csv.Error:
        return None


def _counts(file: PurePosixPath) -> bool:
    return file.suffix in _CODE and _SPARED.isdisjoint(file.parts)


def _modules(files: Collection[PurePosixPath]) -> frozenset[str]:
    return frozenset(file.parts[0].partition(".")[0] for file in files if _counts(file))


def _requires(found: Distribution) -> list[str]:
    return [] if _headers(found) is None else list(found.requires or ())


def _headers(found: Distribution) -> Message | None:
    """Name, version and the like: METADATA of a wheel, PKG-INFO of an egg, which may be one file alone."""
    text = _read(found, "METADATA") or _read(found, "PKG-INFO") or _read(found, "")
    return HeaderParser().parsestr(text) if text else None


def _read(found: Distribution, name: str) -> str | None:
    try:
        return found.read_text(name)
    except (OSError, UnicodeDecodeError):  # cut off within a letter
        return None


def _found(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _named(requirement: str) -> list[str]:
    """The name that a requirement begins with; none where it was cut off."""
    found = _NAME.match(requirement)
    return [] if found is None else [found[0]]


def _plain(name: str) -> str:
    """Names are the same in capitals, and with dots or underscores for hyphens (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
