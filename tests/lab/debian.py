"""This machine's Debian once more, below one folder: packages are installed there for real, and its own files stay as they are.

An overlay over the root, in memory, in a mount namespace of its own, entered by `nsenter` and `chroot`. What is missing is systemd as
PID 1: units are verified by its own programs, and run as far as a mount namespace and `setpriv` do what they ask for. Needs root.
"""

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.installed import copied
from tests.lab.needs import program
from tests.lab.program import Program, wait_until
from tests.lab.wheelhouse import found_in, of_debian

_HOLD = """
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$PLACE/own"
mkdir "$PLACE/own/upper" "$PLACE/own/work"
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$PLACE/own/upper,workdir=$PLACE/own/work" "$PLACE/root"
mount --rbind /proc "$PLACE/root/proc"
mount --rbind /dev "$PLACE/root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$PLACE/root/tmp"
# each installation and removal would list all pages of this machine's manuals anew, which nobody reads
rm -f "$PLACE/root/var/lib/man-db/auto-update"
mount --bind "$PLACE/exchange" "$PLACE/root/mnt"
echo ready
exec sleep infinity
"""
_SANDBOX = """
set -eu
mount --make-rprivate /
mount --bind {state} {state}
mount -t tmpfs -o mode=1777 tmpfs /tmp
for home in /home /root; do mount -t tmpfs -o mode=000 tmpfs "$home"; done
mkdir /tmp/dev
for device in null zero full random urandom; do touch "/tmp/dev/$device"; mount --bind "/dev/$device" "/tmp/dev/$device"; done
mkdir -m 1777 /tmp/dev/shm
mount -t tmpfs -o mode=1777 tmpfs /tmp/dev/shm
mount --rbind /tmp/dev /dev
mount -t proc -o hidepid=invisible proc /proc
mount -o remount,bind,ro /
cd {state}
umask {umask}
exec setpriv --reuid={user} --regid={group} --init-groups --pdeathsig=KILL --no-new-privs --bounding-set=-all --inh-caps=-all \\
  -- env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin {environment} {words}
"""


def package(folder: Path, version: str = "") -> Path:
    """`make deb` in a copy of the working tree, with the environment of the tests."""
    for name, of in (("dh_virtualenv", "dh-virtualenv"), ("dpkg-buildpackage", "dpkg-dev"), ("dh", "debhelper"), ("fakeroot", "fakeroot")):
        program(name, of)
    tree = copied(folder, version)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": os.environ["HOME"], "LANG": "C.UTF-8"}
    environment |= found_in(of_debian())
    environment |= {"GZIP_LEVEL": "0"}  # not packed: it is read a dozen times, and kept by nobody
    ready = f"{sys.prefix}/.ready"
    command = ["make", "deb", f"VENV={sys.prefix}", f"READY={ready}", "--old-file", ready]
    built = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    (made,) = (tree / "dist").glob("hilum_*.deb")
    return made


def without_compiled(built: Path) -> Path:
    """The package that `package` made once more, of the folder that it was packed of, without the files that Python made of its sources;
    these are deleted there."""
    root = built.parents[1] / "build/deb/tree/debian/hilum"
    sums = root / "DEBIAN" / "md5sums"
    kept = [line for line in sums.read_text(encoding="utf-8").splitlines(keepends=True) if "/__pycache__/" not in line]
    sums.write_text("".join(kept), encoding="utf-8")
    for folder in [*root.rglob("__pycache__")]:
        shutil.rmtree(folder)
    return _packed(root, built.with_name(f"without_compiled_{built.name}"))


def _packed(root: Path, made: Path) -> Path:
    """A package of a folder, of no compression: nobody keeps it, and packing it takes longer than all of an upgrade."""
    words: list[str | Path] = [program("dpkg-deb", "dpkg"), "-Znone", "--root-owner-group", "--build", root, made]
    subprocess.run(words, check=True, timeout=300, capture_output=True)
    return made


def next_package(built: Path, folder: Path, version: str, change: Callable[[Path], None]) -> Path:
    """The package as a made next version of it: unpacked into `folder`, changed there, and packed again."""
    root = folder / "next"
    subprocess.run([program("dpkg-deb", "dpkg"), "--raw-extract", built, root], check=True, timeout=300)
    control = root / "DEBIAN" / "control"
    control.write_text(re.sub("^Version: .*$", f"Version: {version}", control.read_text(), flags=re.MULTILINE))
    (metadata,) = (root / "opt/hilum/lib").glob("python*/site-packages/hilum-*.dist-info/METADATA")
    metadata.write_text(re.sub("^Version: .*$", f"Version: {version}", metadata.read_text(), count=1, flags=re.MULTILINE))
    change(root)
    made = _packed(root, folder / f"hilum_{version}_amd64.deb")
    shutil.rmtree(root)
    return made


class System:
    """A Debian of its own. `upper` is what differs from what lies below it; `exchange` is seen as /mnt."""

    def __init__(self, place: Path, holder: int) -> None:
        self.place, self.holder = place, holder

    @property
    def upper(self) -> Path:
        return Path(f"/proc/{self.holder}/root{self.place}/own/upper")

    @property
    def exchange(self) -> Path:
        return self.place / "exchange"

    def command(self, *words: object) -> list[str]:
        """What enters it and runs `words` as root."""
        enter = ["nsenter", "--target", str(self.holder), "--mount", "--", "chroot", str(self.place / "root")]
        return [*enter, "env", "-i", "--chdir=/", *_VARIABLES, *map(str, words)]

    def run(self, *words: object, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout_s
        )

    def at_terminal(self, *words: object, question: str, answer: str, timeout_s: float = 600) -> str:
        """Run it at a terminal, whose user answers one question; what it printed. It has to succeed, and to ask."""
        child, terminal = pty.fork()
        if child == 0:
            command = self.command(*words)
            os.execvp(command[0], command)
        said, until_s, asked = "", time.monotonic() + timeout_s, False
        try:
            while select.select([terminal], [], [], max(0.0, until_s - time.monotonic()))[0]:
                try:
                    said += os.read(terminal, 65536).decode(errors="replace")
                except OSError:  # Linux says so of a terminal that nobody holds open any more
                    break
                if not asked and re.search(question, said):
                    os.write(terminal, f"{answer}\n".encode())
                    asked = True
        finally:
            os.close(terminal)  # whoever still runs there is hung up on
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert (status, asked) == (0, True), said[-3000:]
        return said

    def done(self, *words: object, timeout_s: float = 300) -> str:
        """What it printed; it has to succeed."""
        ended = self.run(*words, timeout_s=timeout_s)
        assert ended.returncode == 0, f"{words}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
        return ended.stdout

    def dpkg(self, *words: object) -> str:
        """dpkg as an operator without a screen runs it; what it and the package's scripts said."""
        ended = self.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", *words)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def started(self, unit: str, key: str) -> list[str]:
        """The command that runs the words of ExecStart (or ExecStartPre) as the unit's user, confined as the unit says, so far as that
        needs no systemd: a root that cannot be written but in its state folder, /tmp, /dev and /proc of its own, no homes, no
        capability."""
        settings: dict[str, list[str]] = {}
        for name, value in re.findall(r"^(\w+)=(.*)$", self.done("cat", unit), re.MULTILINE):
            settings.setdefault(name, []).append(value)
        (words,) = settings[key]
        confined = {
            "ProtectSystem": "strict",
            "PrivateTmp": "yes",
            "PrivateDevices": "yes",
            "ProtectHome": "yes",
            "CapabilityBoundingSet": "",
        }
        assert {name: settings[name] for name in confined} == {name: [value] for name, value in confined.items()}
        script = _SANDBOX.format(
            state=f"/var/lib/{settings['StateDirectory'][0]}",
            umask=settings["UMask"][0],
            user=settings["User"][0],
            group=settings["Group"][0],
            environment=" ".join(settings["Environment"]),
            words=shlex.join(shlex.split(words)),
        )
        return self.command("unshare", "--mount", "sh", "-c", script)


_VARIABLES = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root")


@contextmanager
def system(place: Path, over: System | Path = Path("/")) -> Iterator[System]:
    """A Debian that begins as this machine is, or as the root or the Debian is that it lies over, which is left alone from now on."""
    if os.geteuid() != 0:
        pytest.skip("a root of its own needs root")
    for name in ("unshare", "nsenter", "setpriv"):
        program(name, "util-linux")
    for name in ("own", "root", "exchange"):
        (place / name).mkdir(parents=True)
    lower, into = str(over), []
    if isinstance(over, System):
        lower, into = str(over.place / "root"), ["nsenter", "--target", str(over.holder), "--mount", "--"]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PLACE": str(place), "LOWER": lower}
    log = place / "said"
    holder = Program([*into, "unshare", "--mount", "--", "sh", "-c", _HOLD], log, environment=environment)
    try:
        wait_until(lambda: "ready" in log.read_text() or not holder.running, 30, "the root is mounted")
        assert holder.running, holder.said()
        yield System(place, holder.process.pid)
    finally:
        holder.kill()
