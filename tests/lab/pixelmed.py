"""PixelMed's DicomSRValidator: where a Java compiler is installed one process judges file after file, otherwise each file has its own.

Reading its style sheets is most of what a file costs, and a process reads them once.
"""

import atexit
import select
import shutil
import subprocess
import threading
from pathlib import Path

from tests.lab.needs import file, program

_TIMEOUT_S = 120
_SOURCE = Path(__file__).with_name("TemplateJudge.java")


class Judges:
    """The process, started when it is first needed; one file at a time."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    def said(self, path: Path) -> tuple[int, str]:
        """Exit code (0 of a process that goes on) and all that it prints about a file.

        Raises
        ------
        TimeoutError, subprocess.TimeoutExpired
        """
        program("DicomSRValidator", "pixelmed-apps")
        if shutil.which("javac") is None:
            done = subprocess.run(
                [*_java(), "com.pixelmed.validate.DicomSRValidator", path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_TIMEOUT_S,
                check=False,
            )
            return done.returncode, done.stdout.decode("utf-8", "replace")
        with self._turn:
            try:
                return 0, self._ask(path).decode("utf-8", "replace")
            except BaseException:
                # what it would still say is of no other file
                self.close()
                raise

    def close(self) -> None:
        """End it; the next file starts another."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.communicate()

    def _ask(self, path: Path) -> bytes:
        if self._process is None:
            self._process = subprocess.Popen([*_java(), _SOURCE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        to, back = self._process.stdin, self._process.stdout
        assert to is not None
        assert back is not None
        to.write(f"{path.absolute()}\n".encode())
        to.flush()
        if not select.select([back], [], [], _TIMEOUT_S)[0]:
            raise TimeoutError(f"DicomSRValidator {path}: not within {_TIMEOUT_S} s")
        return back.read(int(back.readline()))


def _java() -> list[str | Path]:
    return [
        program("java", "default-jre-headless"),
        # its style sheets exceed the bounds on XPath that newer Java sets, and it would say nothing, having checked nothing
        "-Djdk.xml.xpathExprOpLimit=0",
        "-Djdk.xml.xpathTotalOpLimit=0",
        "-Djdk.xml.xpathExprGrpLimit=0",
        # it lives for seconds of work: thorough compilation takes as long again
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-cp",
        file(Path("/usr/share/java/pixelmed.jar"), "pixelmed-apps"),
    ]
