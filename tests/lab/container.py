"""What a container gives a program, without a container engine: a root file system of its own that cannot be written, a few places that
can, another user, no capabilities.

A mount namespace (`unshare`), a new root on a tmpfs with this system's programs and the tests' interpreter in it, `chroot`, and `setpriv`
to an unprivileged user. Needs root; nothing outside the namespace is touched.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.docker import ROOT
from tests.lab.needs import program
from tests.lab.program import Program, wait_until

USER = 1000
CONFIG = "/etc/hilum/hilum.yaml"
VARIABLES = ("HOME=/var/lib/hilum", "XDG_CACHE_HOME=/var/lib/hilum/cache", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1")
"""The environment of the image."""
READY_S = 240
"""For a program that starts: generous, because it does so beside everything else that is tested."""

_ENTER = r"""
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /mnt
cd /mnt
readable() { mkdir -p "/mnt$2"; mount --bind "$1" "/mnt$2"; mount -o remount,bind,ro "/mnt$2"; }
for link in bin lib lib32 lib64 sbin; do
  if [ -L "/$link" ]; then ln -s "$(readlink "/$link")" "$link"; elif [ -d "/$link" ]; then readable "/$link" "/$link"; fi
done
readable /usr /usr
mkdir -p etc/hilum var/lib/hilum tmp proc dev
for file in hosts nsswitch.conf ld.so.cache localtime mime.types ssl; do [ ! -e "/etc/$file" ] || cp -aL "/etc/$file" etc/; done
echo "hilum:x:$USER_ID:$USER_ID::/var/lib/hilum:/usr/sbin/nologin" > etc/passwd
echo "hilum:x:$USER_ID:" > etc/group
cp "$CONFIG" etc/hilum/hilum.yaml
# first: what is to be read may lie below /tmp
mount -t tmpfs -o mode=1777 tmpfs tmp
readable "$VENV" /opt/hilum
for place in $PLACES; do readable "$place" "$place"; done
mount --bind "$STATE" var/lib/hilum
mount --rbind /proc proc
mount --rbind /dev dev
chmod 755 /mnt
mount -o remount,ro /mnt
for place in / /usr /opt/hilum /etc /var/lib; do
  if touch "/mnt$place/written" 2>/dev/null; then echo "$place can be written" >&2; exit 99; fi
done
exec chroot /mnt setpriv --reuid="$USER_ID" --regid="$USER_ID" --clear-groups --pdeathsig=KILL \
  --no-new-privs --bounding-set=-all --inh-caps=-all -- env -i --chdir=/var/lib/hilum PATH=/opt/hilum/bin:/usr/bin:/bin "$@"
"""


def confined(words: Sequence[str], *, state: Path, config: Path, variables: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """The command, and its environment, that runs `words` as a container of the image would.

    Parameters
    ----------
    state
        What lies at /var/lib/hilum: the one place that can be written, besides /tmp and /dev/shm.
    config
        What lies at /etc/hilum/hilum.yaml.
    variables
        Of the environment, NAME=VALUE; there are no others but PATH.
    """
    if os.geteuid() != 0:
        pytest.skip("a mount namespace and another user need root")
    for name in ("unshare", "setpriv"):
        program(name, "util-linux")
    state.mkdir(parents=True, exist_ok=True)
    os.chown(state, USER, USER)
    outside_usr = [place for place in (Path(sys.base_prefix), ROOT, Path(sys.prefix)) if not place.is_relative_to("/usr")]
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "USER_ID": str(USER),
        "VENV": sys.prefix,
        "PLACES": " ".join(map(str, outside_usr)),
        "STATE": str(state),
        "CONFIG": str(config),
    }
    return ["unshare", "--mount", "--", "sh", "-c", _ENTER, "confined", *variables, *words], environment


def run_confined(*words: str, timeout_s: float = 600, **places: Any) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    command, environment = confined(words, **places)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=timeout_s)


class ConfinedNode:
    """The node as its container runs it; `state` is what lies at /var/lib/hilum."""

    def __init__(self, config: Path, state: Path, words: list[str]) -> None:
        self._config, self._state = config, state
        command, environment = confined(words, state=state, config=config, variables=VARIABLES)
        self.printed = state.with_name("stdout.jsonl")
        self.program = Program(command, state.with_name("stderr.jsonl"), stdout=self.printed, environment=environment)
        self.ready: dict[str, object] = {}
        wait_until(self._is_ready, READY_S, "node.ready")

    def _is_ready(self) -> bool:
        assert self.program.running, self.program.said()
        for line in self.printed.read_text().splitlines():
            said = json.loads(line)
            if said.get("event") == "node.ready":
                self.ready = said
        return bool(self.ready)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another program in the same container."""
        return run_confined(*words, state=self._state, config=self._config, variables=VARIABLES)

    def jobs(self) -> list[dict[str, object]]:
        """What became of what came."""
        said = self.run("hilum", "jobs", "list", "--json", "--config", CONFIG)
        assert said.returncode == 0, said.stderr
        listed: list[dict[str, object]] = json.loads(said.stdout)
        return listed


@contextmanager
def serving(config: Path, state: Path, words: list[str]) -> Iterator[ConfinedNode]:
    node = ConfinedNode(config, state, words)
    try:
        yield node
    except BaseException:
        node.program.kill()
        raise
    code = node.program.stop(180)
    assert code == 0, node.program.said()
