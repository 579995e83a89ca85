"""What a test needs from outside the repository: programs of Debian packages and the real images; absent ones are skipped loudly.

With `HILUM_PEERS=required` in the environment (continuous integration sets it) what is absent is a failure, never a skip.
"""

import os
import sys
import sysconfig
from pathlib import Path
from typing import NoReturn

import pytest

APT = (
    "orthanc orthanc-dicomweb orthanc-python orthanc-gdcm dcmtk dicom3tools pixelmed-apps libgdcm-tools chromium-headless-shell openssl "
    "postgresql prometheus systemd docker-compose nginx-light tinyproxy slapd faketime strace groff gcc libc6-dev "
    "debhelper dh-virtualenv dpkg-dev fakeroot lintian logrotate man-db zsh fish "
    "podman runc mmdebstrap"
)
"""The Debian packages of the laboratory, as .ci/run installs them."""

# absolute paths: an active virtual environment shadows DCMTK's echoscu, storescu, … with pynetdicom's
_PLACES = (Path("/usr/bin"), Path("/usr/sbin"), Path("/usr/local/bin"))


def required() -> bool:
    """Whether something absent is a failure."""
    return os.environ.get("HILUM_PEERS") == "required"


def absent(what: str, remedy: str) -> NoReturn:
    """Skip the test, or fail it where everything is required; either way say what to do."""
    message = f"{what} is absent: {remedy}"
    if required():
        pytest.fail(f"{message} (HILUM_PEERS=required)", pytrace=False)
    pytest.skip(message)


def program(name: str, package: str) -> Path:
    """Where the program `name` of the Debian package `package` is installed."""
    for place in _PLACES:
        if (place / name).exists():
            return place / name
    absent(name, f"apt-get install -y --no-install-recommends {package}")


def python_program(name: str, distribution: str) -> Path:
    """Where a program that came with a Python distribution lies: in `bin` of its package, or beside the running interpreter. What lies
    there of the former is a script that starts an interpreter to start the program.
    """
    own = Path(sysconfig.get_path("platlib"), distribution, "bin", name)
    path = own if own.exists() else Path(sys.executable).with_name(name)
    if not path.exists():
        absent(name, f"pip install {distribution}")
    return path


def file(path: Path, package: str) -> Path:
    """A file (a plug-in, an archive) of the Debian package `package`."""
    if not path.exists():
        absent(str(path), f"apt-get install -y --no-install-recommends {package}")
    return path


def data(*parts: str) -> Path:
    """A file or folder of the real images, by default in ../shared/data beside the repository; HILUM_DATA names another place."""
    root = Path(os.environ.get("HILUM_DATA") or Path(__file__).resolve().parents[2] / "../shared/data").resolve()
    if not root.is_dir():
        absent(f"the folder of real images {root}", "set HILUM_DATA to it")
    path = root.joinpath(*parts)
    if not path.exists():
        absent(f"{'/'.join(parts)} in {root}", "the folder of real images is incomplete")
    return path
