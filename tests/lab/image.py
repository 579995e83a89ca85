"""The node's image, really built and run: podman and runc without a daemon, its storage in a folder of its own.

No image registry is asked. What docker/Dockerfile names as its base is made of Debian's packages by mmdebstrap and imported under that
name: Debian's own Python (3.13 in Debian 13) stands where the base's is. Containers run in the network of the tests. Needs root.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.cache import alone_in
from tests.lab.container import USER
from tests.lab.docker import ROOT, instructions
from tests.lab.installed import copied
from tests.lab.loopback import outside
from tests.lab.needs import program

_IN_THE_BASE = "python3-minimal,python3-venv,ca-certificates"
_MIRROR = "http://deb.debian.org/debian"
_LIMITS = ("--ulimit=nofile=8192:8192", "--ulimit=nproc=4096:4096")
"""podman's own defaults ask for more than an unprivileged machine gives."""


def _base() -> tuple[str, str]:
    """The image that the Dockerfile begins with, and its Debian."""
    (name,) = [rest.removeprefix("BASE=") for _, word, rest in instructions() if word == "ARG" and rest.startswith("BASE=")]
    return name, name.rpartition("-")[2]


def _made_base() -> Path:
    """A root of that Debian with a Python, as a tar file; made once."""
    name, suite = _base()
    with alone_in("base") as folder:
        made = folder / f"{suite}.tar"
        if not made.exists():
            part = made.with_suffix(".part")
            # by apt, which takes half of what debootstrap does, and leaves no lists in the image
            bootstrap = [str(program("mmdebstrap", "mmdebstrap")), "--mode=root", "--variant=minbase", f"--include={_IN_THE_BASE}"]
            python = '--customize-hook=ln -s python3 "$1/usr/bin/python"'
            with outside():
                words = [*bootstrap, python, "--format=tar", suite, str(part), f"deb {_MIRROR} {suite} main"]
                said = subprocess.run(words, capture_output=True, text=True, check=False, timeout=900)
            assert said.returncode == 0, f"{name}: {said.stdout[-2000:]}{said.stderr[-2000:]}"
            part.rename(made)
        return made


class Podman:
    """Images and containers of one folder."""

    def __init__(self, folder: Path) -> None:
        self._command = [
            str(program("podman", "podman")),
            f"--root={folder / 'storage'}",
            f"--runroot={folder / 'run'}",
            f"--tmpdir={folder / 'tmp'}",  # of its own, for `system reset` takes it away
            "--storage-driver=overlay",
            f"--runtime={program('runc', 'runc')}",
            "--cgroup-manager=cgroupfs",
        ]

    def __call__(self, *words: object, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run podman to its end."""
        command = [*self._command, *map(str, words)]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout_s)

    def build(self, tree: Path, name: str) -> None:
        """Build the Dockerfile of a tree: fetches from Debian and from the Python package registry."""
        base, _ = _base()
        imported = self("import", _made_base(), f"docker.io/library/{base}")
        assert imported.returncode == 0, imported.stderr
        # how packages are reached here is the machine's affair
        reached = [f"--volume={place}:{place}:ro" for place in ("/etc/ssl/certs", "/etc/pip.conf") if Path(place).exists()]
        # Docker's format, which keeps the health check; without layers of the single steps, which nobody builds on
        built_as = ("--format=docker", "--layers=false", "--network=host")
        words = ("build", *built_as, *_LIMITS, *reached, "-f", "docker/Dockerfile", "-t", name, tree)
        with outside():
            built = self(*words, timeout_s=1500)
        assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]

    def remove(self) -> None:
        """Everything that lies in its folder, mounts too."""
        self("rm", "--all", "--force", "--time", 5)
        self("system", "reset", "--force")


@contextmanager
def podman() -> Iterator[Podman]:
    """One for a while; its storage, hundreds of megabytes, goes at the end."""
    if os.geteuid() != 0:
        pytest.skip("images are built with mounts of other users' files, which need root")
    folder = Path(tempfile.mkdtemp(prefix="hilum-podman-"))
    engine = Podman(folder)
    try:
        yield engine
    finally:
        engine.remove()
        shutil.rmtree(folder, ignore_errors=True)


def source(folder: Path) -> Path:
    """A copy of the working tree with the times of its files, as a checkout has them: older than everything that the build makes."""
    tree = copied(folder)
    shutil.copy(ROOT / "docker" / "Dockerfile", tree / "docker" / "Dockerfile")
    return tree


def hardened(service: dict[str, object], *, state: Path, config: Path) -> Sequence[str]:
    """What compose says of a service, in podman's words; `state` lies at /var/lib/hilum, and is given to its user."""
    state.mkdir(parents=True, exist_ok=True)
    for place in (state, *state.rglob("*")):
        os.chown(place, USER, USER)
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    limit = str(service["mem_limit"])
    assert re.fullmatch(r"\d+[mg]", limit)
    tmpfs = service["tmpfs"]
    assert isinstance(tmpfs, list)
    return (
        "--network=host",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        f"--memory={limit}",
        *_LIMITS,
        *(f"--tmpfs={mount}" for mount in tmpfs),
        f"--volume={state}:/var/lib/hilum",
        f"--volume={config}:/etc/hilum/hilum.yaml:ro",
    )
