"""Wheels of all that hilum needs where it is served, for one Python: pip finds them in a folder, and neither reads an index nor fetches.

Reading the index, choosing and fetching is half of what an installation takes, and the same for every test that installs.
"""

import hashlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

from node.cli.demo_needs import HEAD_REQUIREMENT
from tests.lab.cache import alone_in
from tests.lab.installed import ROOT
from tests.lab.loopback import outside

_EXTRAS = ("embedded", "demo", "console", "postgresql", "s3", "triton")
_OF_A_BUILD = ("setuptools>=77", "wheel")


def wheelhouse(python: str | Path) -> Path:
    """The folder, filled from the package registry when it is not in the cache."""
    asked = subprocess.run([python, "-c", "import sys; print(*sys.version_info[:2], sep='.')"], capture_output=True, text=True, check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    constraints = ROOT / "constraints.txt"
    needed = [*project["dependencies"], *(one for extra in _EXTRAS for one in project["optional-dependencies"][extra]), *_OF_A_BUILD]
    stated = json.dumps([needed, HEAD_REQUIREMENT]) + constraints.read_text(encoding="utf-8")
    with alone_in(f"wheels-{asked.stdout.strip()}") as folder:
        house = folder / hashlib.sha256(stated.encode()).hexdigest()[:16]
        if not house.exists():
            part = house.with_suffix(".part")
            with outside():
                for words in ((*needed, "-c", constraints), ("--no-deps", HEAD_REQUIREMENT)):
                    _download(python, part, *words)
            part.rename(house)
    return house


def of_debian() -> Path:
    """The folder for Debian's own Python."""
    return wheelhouse("/usr/bin/python3")


def _download(python: str | Path, folder: Path, *words: str | Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "--disable-pip-version-check",
        "download",
        "--quiet",
        "--dest",
        folder,
        *words,
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1500)
    assert said.returncode == 0, said.stderr[-2000:]


def found_in(house: str | Path) -> Mapping[str, str]:
    """The environment in which pip finds what it asks for there, and nowhere else."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(house), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
