"""A real Prometheus on loopback: it scrapes a node every second, evaluates the rules that the repository ships, and answers queries."""

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab.loopback import free_port
from tests.lab.needs import program
from tests.lab.program import Program, wait_until

_PACKAGE = "prometheus"
_START_S = 60


def promtool(*words: object) -> subprocess.CompletedProcess[str]:
    """Prometheus' own checker."""
    command = [str(program("promtool", _PACKAGE)), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


class Prometheus:
    """A server with one target, called `hilum`, and rule files."""

    def __init__(self, folder: Path, target: int, rules: Sequence[Path] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._port = free_port()
        # JSON is YAML
        settings = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rule) for rule in rules],
            "scrape_configs": [{"job_name": "hilum", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(settings))
        self._program: Program | None = None

    def __enter__(self) -> Self:
        binary = program("prometheus", _PACKAGE)
        words = [f"--config.file={self._folder / 'prometheus.yml'}", f"--storage.tsdb.path={self._folder / 'data'}"]
        self._program = Program([binary, *words, f"--web.listen-address=127.0.0.1:{self._port}"], self._folder / "log")
        wait_until(self._is_ready, _START_S, "Prometheus is ready")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._program is not None:
            self._program.kill()

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _ask(self, path: str, **words: str) -> Any:
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            raise AssertionError(f"{words}: {refused.read().decode()}") from refused

    def query(self, expression: str) -> list[dict[str, Any]]:
        """An instant query: one entry a series, with its labels and value; AssertionError with Prometheus' words if it is none."""
        found: list[dict[str, Any]] = self._ask("query", query=expression)["result"]
        return found

    def value(self, expression: str) -> float:
        """The value of a query that has one series, or the sum of several; 0 when there is none."""
        return sum(float(one["value"][1]) for one in self.query(expression))

    def targets(self) -> list[dict[str, Any]]:
        """What it scrapes, and how that went."""
        active: list[dict[str, Any]] = self._ask("targets")["activeTargets"]
        return active

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its health and its alerts."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]
