"""Who comes first on a busy machine, as the system has it."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.lab.loopback import free_port

_CONFIG = """\
node: {{ae_title: HILUM, listen: "127.0.0.1:0"}}
store: {{journal: "postgresql://hilum@127.0.0.1:{port}/hilum", blobs: "file:blobs"}}
models: {{repository: models}}
"""


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "more"), [("flow", 5), ("work", 10)])
def test_a_stage_that_begins_again_is_no_nicer_than_before(tmp_path: Path, stage: str, more: int) -> None:
    """The database is away, and the stage begins again and again: it yields as much after the third time as after the first."""
    (tmp_path / "models").mkdir()
    config = tmp_path / "hilum.yaml"
    config.write_text(_CONFIG.format(port=free_port()))
    command = [sys.executable, "-m", "node.assembly.process", str(config), stage]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            failed = 0
            said = []
            for line in process.stderr:
                said.append(line)
                failed += '"stage.failed"' in line
                if failed == 3:
                    break
            assert failed == 3, "".join(said)
            assert psutil.Process(process.pid).nice() == min(19, os.nice(0) + more)
        finally:
            process.kill()
