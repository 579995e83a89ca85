"""A Debian with nothing in it but what every Debian has, apt, and a few packages by name: the files of this machine's own packages.

What debootstrap would fetch and unpack in minutes lies here already. The root holds what dpkg lists of those packages and of all that they
depend on, the entries of dpkg's database, the links of update-alternatives, and the users that Debian begins with.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lab.needs import absent, program

_DPKG = Path("/var/lib/dpkg")
_FIELDS = "${binary:Package}\t${Package}\t${Priority}\t${Pre-Depends}, ${Depends}\t${Provides}\n"
_MADE_BY_BASE_FILES = ("media", "mnt", "opt", "srv", "var/mail")
_MADE_AT_INSTALLATION = ("nsswitch.conf", "pam.d/common-account", "pam.d/common-auth", "pam.d/common-password", "pam.d/common-session")


def empty_debian(folder: Path, *more: str) -> Path:
    """A root of the packages that Debian requires, apt, and `more` with what they need; `folder` is made."""
    if os.geteuid() != 0:
        pytest.skip("a root of its own needs root")
    names = _closure({"apt", *more})
    folder.mkdir()
    for link in (place for place in Path("/").iterdir() if place.is_symlink()):
        (folder / str(link.resolve()).lstrip("/")).mkdir(parents=True, exist_ok=True)
        (folder / link.name).symlink_to(link.readlink())  # /bin and the like, of no package
    listed = folder.with_suffix(".list")
    listed.write_text("".join((_DPKG / "info" / f"{name}.list").read_text() for name in sorted(names)))
    taken = f"tar -C / -c --no-recursion --ignore-failed-read -T {listed} 2>/dev/null | tar -C {folder} -xp --keep-directory-symlink"
    subprocess.run([str(program("sh", "dash")), "-c", taken], check=True, timeout=300)
    for name in _MADE_BY_BASE_FILES:
        (folder / name).mkdir(exist_ok=True)
    _entries(folder, names)
    _alternatives(folder)
    etc = folder / "etc"
    for of in ("passwd", "group"):
        shutil.copy(folder / "usr/share/base-passwd" / f"{of}.master", etc / of)
    for name in _MADE_AT_INSTALLATION:
        shutil.copy(Path("/etc") / name, etc / name)
    subprocess.run([str(program("ldconfig", "libc-bin")), "-r", str(folder)], check=True, timeout=60)
    return folder


def _closure(asked: set[str]) -> set[str]:
    """The installed packages, as dpkg's files name them, that are required, asked for, or needed by one of these."""
    told = subprocess.run([program("dpkg-query", "dpkg"), "-W", "-f", _FIELDS], capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in told.splitlines()]
    needs = {full: depends for full, _, _, depends, _ in rows}
    called: dict[str, str] = {}
    for full, _, _, _, provides in rows:
        called |= {re.split(r"[ (:]", one.strip())[0]: full for one in provides.split(",") if one.strip()}
    called |= {name: full for full, name, *_ in rows}
    for name in asked - set(called):
        absent(name, f"apt-get install -y --no-install-recommends {name}")
    ahead, found = [called[name] for name in asked] + [full for full, _, priority, *_ in rows if priority == "required"], set()
    while ahead:
        full = ahead.pop()
        if full in found:
            continue
        found.add(full)
        for one in needs[full].split(","):
            either = [re.split(r"[ (:]", name.strip())[0] for name in one.split("|")]
            ahead += [called[name] for name in either if name in called][:1]
    return found


def _entries(folder: Path, names: set[str]) -> None:
    """What dpkg knows of these packages."""
    into = folder / "var/lib/dpkg"
    for name in ("info", "updates", "triggers", "alternatives"):
        (into / name).mkdir(parents=True, exist_ok=True)
    stanzas = (_DPKG / "status").read_text(encoding="utf-8").split("\n\n")
    plain = {name.partition(":")[0] for name in names}
    kept = [one for one in stanzas if one.startswith("Package: ") and one.splitlines()[0].removeprefix("Package: ") in plain]
    (into / "status").write_text("\n\n".join(kept) + "\n\n", encoding="utf-8")
    for file in (_DPKG / "info").iterdir():
        if file.stem in names or file.name == "format":
            shutil.copy(file, into / "info" / file.name)


def _alternatives(folder: Path) -> None:
    """The links that packages' scripts made: `awk` and the like."""
    for known in (_DPKG / "alternatives").iterdir():
        chosen = Path("/etc/alternatives") / known.name
        place = folder / known.read_text().splitlines()[1].lstrip("/")
        if chosen.is_symlink() and (folder / str(chosen.readlink()).lstrip("/")).exists() and not place.is_symlink():
            (folder / "etc/alternatives").mkdir(exist_ok=True)
            (folder / "etc/alternatives" / known.name).symlink_to(chosen.readlink())
            place.symlink_to(chosen)
            shutil.copy(known, folder / "var/lib/dpkg/alternatives" / known.name)
