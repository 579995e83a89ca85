"""Another Python process that a test talks to line by line: it does one thing at each line, so that a test decides what meets what."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]


class Other:
    """Another process, told what to do line by line; it answers each with a line."""

    def __init__(self, program: str, *arguments: str, **environment: str) -> None:
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed at the end of the block)
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            cwd=ROOT,
            env={**os.environ, **environment},
        )

    def tell(self, line: str = "go") -> None:
        """One line to it."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        """One line from it."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, line: str = "go") -> str:
        """Both."""
        self.tell(line)
        return self.hear()

    def said(self) -> str:
        """Its stderr until now: its events."""
        self._said.seek(0)
        return self._said.read()

    def close(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.communicate()
        self._said.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
