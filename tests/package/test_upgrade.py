"""docs/howto/upgrade.md as it is written, from this wheel to a made next one, on a node that has a history."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.howto import HowTo
from tests.lab.installed import ROOT, Environment, crop, install, next_wheel
from tests.lab.loopback import free_port, loopback_only
from tests.lab.program import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PAGE = HowTo("upgrade.md")
NEXT = "0.2.0"
ENDED = {"done", "parked", "failed"}
_PLACES = re.compile(r"(?<![\w./])/(?=(?:opt|etc|mnt|tmp|var)/)")
# what systemd does with the unit, without its sandbox
_SYSTEMCTL = """\
#!/bin/sh
set -e
command() { sed -n "s/^$1=//p" {root}/etc/systemd/system/hilum.service | sed -E 's#(^| )/(opt|etc)/#\\1{root}/\\2/#g'; }
case "$1" in
  start)
    eval "$(command ExecStartPre)"
    $(command ExecStart) >{root}/out 2>>{root}/events &
    echo $! >{root}/pid
    until grep -q node.ready {root}/out; do kill -0 "$(cat {root}/pid)"; sleep 0.1; done ;;
  stop)
    kill -TERM "$(cat {root}/pid)"
    while kill -0 "$(cat {root}/pid)" 2>/dev/null; do sleep 0.1; done
    rm {root}/pid ;;
esac
"""


class Host:
    """A machine below one folder: /opt/hilum, /etc/hilum, /var/lib/hilum, a `systemctl`, and pip, which has the wheels alone."""

    def __init__(self, root: Path, there: Environment) -> None:
        self.root = root
        programs = root / "programs"
        programs.mkdir()
        (programs / "systemctl").write_text(_SYSTEMCTL.replace("{root}", str(root)))
        (programs / "systemctl").chmod(0o755)
        (programs / "python3").symlink_to(sys.executable)
        # what the new environment would fetch is looked for among the libraries of the tests, last of all
        (programs / "sitecustomize.py").write_text(f"import sys\nsys.path.append({str(Path(pytest.__file__).parents[1])!r})\n")
        self._variables = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "HOME": str(there.home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(programs),
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            # what is started compiles what it imports
            "PIP_COMPILE": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def place(self, text: str) -> str:
        """Commands for this machine: every folder of the system is one below the root."""
        return _PLACES.sub(f"{self.root}/", text)

    def delivered(self) -> int:
        """How many times the node has delivered something, by its log."""
        return (self.root / "events").read_text().count('"delivery.delivered"')

    def run(self, text: str, cwd: Path) -> str:
        """Run lines of a shell to their end; the first that fails ends them."""
        script = ["sh", "-ec", self.place(text)]
        with (self.root / "said").open("w+") as said:  # a pipe would wait for the node, which outlives the shell
            ended = subprocess.run(script, cwd=cwd, env=self._variables, stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False)
            said.seek(0)
            told = said.read()
        events = self.root / "events"
        assert ended.returncode == 0, told + (events.read_text()[-2000:] if events.exists() else "")
        return told


@pytest.fixture
def host(built: Path, tmp_path: Path) -> Iterator[Host]:
    """This wheel in /opt/hilum, a node that is begun as the unit's head says, and the next wheel in the folder where the page is read."""
    there = install(built, tmp_path / "opt", ("embedded",))
    pip = there.folder / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec {there.folder}/bin/python -m pip "$@"\n')
    pip.chmod(0o755)
    next_wheel(built, tmp_path / "here", NEXT)
    shutil.copy(ROOT / "constraints.txt", tmp_path / "here")
    made = Host(tmp_path, there)
    with loopback_only():
        yield made
        if (tmp_path / "pid").exists():
            made.run("systemctl stop hilum", tmp_path)


def test_the_page_upgrades_a_node_with_its_history(host: Host, tmp_path: Path) -> None:
    """What was analysed before is listed after; the next version analyses; a backup lies where the page puts it."""
    port = free_port()
    (tmp_path / "mnt/backup").mkdir(parents=True)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / "tmp").mkdir()
    here = tmp_path / "here"
    host.run("/opt/hilum/bin/hilum init /etc/hilum --state /var/lib/hilum\ncp /etc/hilum/hilum.service /etc/systemd/system/", here)
    state = tmp_path / "var/lib/hilum"
    settings = {
        "node": {"ae_title": "HILUM", "listen": f"127.0.0.1:{port}"},
        "peers": {"send": {"ae_title": "HILUM-SEND", "address": "127.0.0.1:0", "settle": {"scope": "study", "quiet": "1s"}}},
        "store": {
            "journal": f"sqlite:{state}/hilum.db",
            "blobs": f"file:{state}/blobs",
            "min_free": "1MB",
            "high_water": 1,
        },
        "models": {"repository": f"{state}/models"},
        "sinks": {"results": {"kind": "folder", "path": f"{state}/results"}},
        "routes": [{"name": "crops", "when": {"Modality": "MR"}, "run": ["hippocampus"], "send": ["results"]}],
    }
    (tmp_path / "etc/hilum/hilum.yaml").write_text(json.dumps(settings))
    hilum = "/opt/hilum/bin/hilum"
    named = "export HILUM_CONFIG=/etc/hilum/hilum.yaml\n"
    host.run(f"{named}{hilum} models import hippocampus --no-tune\nsystemctl start hilum", here)

    def analysed(name: str, count: int) -> list[str]:
        """Send a series; the states of the jobs, once so many have ended."""
        crop(here / name)
        host.run(f"{hilum} send {name} --to HILUM@127.0.0.1:{port}", here)
        # its log is read, and then it is asked: a question takes as long as an interpreter to start
        wait_until(lambda: host.delivered() == count, 240, f"results of {count} jobs")
        wait_until(lambda: len(states()) == count and set(states()) <= ENDED, 120, f"{count} jobs", every_s=2)
        return states()

    def states() -> list[str]:
        return [job["state"] for job in json.loads(host.run(f"{named}{hilum} jobs list --json", here))]

    assert analysed("one", 1) == ["done"]
    host.run("\n".join(map(PAGE.typed, PAGE.shell())), here)
    PAGE.followed()
    assert host.run(f"{hilum} --version", here).strip() == NEXT
    assert states() == ["done"]
    assert analysed("two", 2) == ["done", "done"]
    assert list((tmp_path / "mnt/backup/hilum").iterdir())
    assert not (tmp_path / "opt/hilum-next").exists()
