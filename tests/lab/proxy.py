"""A hospital's way out: an HTTP proxy (tinyproxy of Debian), which writes down what it was asked for."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.loopback import free_port
from tests.lab.needs import program
from tests.lab.program import Program, wait_until

_SETTINGS = """\
Port {port}
Listen 127.0.0.1
Timeout 60
Allow 127.0.0.1
LogLevel Info
"""
_ASKED = re.compile(r"Request \(file descriptor \d+\): (\S+ \S+) HTTP/")


def named(url: str, *, past: str = "") -> dict[str, str]:
    """The environment of a machine that goes out by the proxy at `url`, and past it to the hosts `past`; each variable in both forms, for a
    machine of the tests may have the other one."""
    told = {"HTTP_PROXY": url, "HTTPS_PROXY": url, "NO_PROXY": past}
    return told | {name.lower(): value for name, value in told.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """One that runs."""

    url: str
    process: Program

    def asked(self) -> list[str]:
        """Methods and addresses, in the order in which they came: `CONNECT HOST:PORT`, or `POST http://…`."""
        return _ASKED.findall(self.process.log.read_text(encoding="utf-8", errors="replace"))


@contextmanager
def proxy(folder: Path) -> Iterator[Proxy]:
    """A proxy on this machine, which leads everybody of it everywhere."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    settings = folder / "tinyproxy.conf"
    settings.write_text(_SETTINGS.format(port=port))
    running = Program([program("tinyproxy", "tinyproxy"), "-d", "-c", settings], folder / "tinyproxy.log")
    try:
        wait_until(lambda: "Accepting connections" in running.log.read_text() or not running.running, 30, "the proxy listens")
        assert running.running, running.said()
        yield Proxy(url=f"http://127.0.0.1:{port}", process=running)
    finally:
        running.kill()
