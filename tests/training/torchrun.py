"""A script that two processes of torchrun run together on this machine's processors."""

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def two_processes(script: Path, text: str, *said: object) -> subprocess.CompletedProcess[str]:
    """Write the script and run it twice at once, one network interface between them; what both said and how torchrun ended.

    What a script says it writes in one go (os.write): both write to one pipe, unbuffered.
    """
    script.write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script), *map(str, said)],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
