"""docs/howto/back-up-and-restore.md as it is written: of a node that runs, and on the machine that has nothing left of it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.howto import HowTo
from tests.lab.node import Node
from tests.lab.program import Program, wait_until
from tests.node.test_whole_way import _block, _done, _send, _settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PAGE = HowTo("back-up-and-restore.md")
_PATH = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
_PLACE, _MOMENT = "/mnt/backup/hilum", re.compile(r"\d{4}-\d\d-\d\dT\d{6}\.\d{6}Z")


def _type(lines: str, cwd: Path) -> str:
    """Run lines of a shell; the first that fails ends them."""
    done = subprocess.run(["sh", "-ec", lines], cwd=cwd, env=_PATH, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, (lines, done.stdout, done.stderr)
    return done.stdout


def test_the_page_brings_a_lost_node_back(tmp_path: Path) -> None:
    """Its first commands while the node serves; all is lost; by the others the job stands as it stood, and the node serves the next."""
    first, second = (block.replace(_PLACE, str(tmp_path / "backup")) for block in map(PAGE.typed, PAGE.shell()))
    backup, check = first.splitlines()
    here = tmp_path / "node"
    settings = _settings(here)
    node = Node(settings, here)
    (here / "models").mkdir()
    with node:
        _send(node, _block(tmp_path / "in"))
        _done(node)
        _type(backup, here)
        (made,) = (one.name for one in (tmp_path / "backup").iterdir() if one.is_dir())
        assert "whole" in _type(_MOMENT.sub(made, check), here)
    shutil.rmtree(here)
    here.mkdir()
    *commands, serve = _MOMENT.sub(made, second).rstrip().rpartition(" && ")[::2]
    _type("\n".join(commands), here)
    served = Program(["sh", "-c", f"cd {here} && exec {serve}"], tmp_path / "events", stdout=tmp_path / "out", environment=_PATH)
    try:
        wait_until(lambda: "node.ready" in (tmp_path / "out").read_text() or not served.running, 120, "node.ready")
        assert served.running, served.said()
        assert "done" in _type("hilum jobs list", here)
    finally:
        code = served.stop(120)
    assert (serve, code) == ("hilum serve", 0), served.said()
    PAGE.followed()
    with node:
        _send(node, _block(tmp_path / "next", slices=13, patient="NEXT"))
        _done(node, 2)
