"""One target under atheris: `python -m tests.fuzz.guided TARGET FOLDER [libFuzzer options]`. A process for itself: libFuzzer ends it.

What an input takes is counted as CPU time, so that a machine that is busy with other things finds no hangs that are none.
"""

import sys
import time
from pathlib import Path
from typing import Final

import atheris

from tests.fuzz.bounds import HANG_S, MODULES

_WARMING: Final = 3
_TOLD: Final = 1.5  # a slowest input is written down only when it is slower than the last by this factor


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    with atheris.instrument_imports(include=list(MODULES[name])):
        from tests.fuzz.targets import CORPUS, TARGETS
    check = TARGETS[name]
    for path in sorted((CORPUS / name).glob("[0-9a-f]*"))[:_WARMING]:
        check(path.read_bytes())  # what is made once and kept is no input's time
    slowest = 0

    def one(data: bytes) -> None:
        nonlocal slowest
        began = time.thread_time_ns()
        check(data)
        took = time.thread_time_ns() - began
        if took > slowest * _TOLD:
            slowest = took
            (folder / "slowest").write_bytes(data)
            (folder / "slowest_us").write_text(str(took // 1000))
            if took > HANG_S * 1e9:
                raise TimeoutError(f"{took / 1e9:.1f} s for {len(data)} bytes")

    atheris.Setup([sys.argv[0], *sys.argv[3:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
