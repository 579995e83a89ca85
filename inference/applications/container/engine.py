"""Container engine: finds podman or Docker on this host and runs one container within its bounds; knows nothing of images' contents.

Every container has no network, a root that cannot be written, no capabilities, and a user that is not the host's root.
"""

import os
import resource
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from inference.applications.container.errors import (
    ContainerEngineAway,
    ContainerFailed,
    ContainerNotStarted,
    ContainerStopped,
    ImageAbsent,
    UnfitContainer,
)
from inference.errors import quoted

NOBODY = 65534
"""Whom a container runs as where the node itself runs as root."""
MOST_FILES = 10_000
"""That a container may write."""
_MOST_PATH = 1024
"""Bytes of the path of a folder: the system takes no more than four times as many, and what lies deeper could not be counted."""
_LOOK_S = 0.2
_ASK_S = 60.0
_OPEN_FILES = 1024
_MOST_OF_A_USER = 4096
_KEPT_BYTES = 4096
_QUOTED = 300
_ENGINE_ERRORS = (125, 126, 127)
"""Exit statuses of both engines where the container was not started; its program may end with them too."""
_OVER = (b"exited", b"stopped", b"dead")
"""How engines call a container whose program has ended."""
_KILLED = 137
_BOUNDED = {"podman": "{{.Host.CgroupsVersion}} {{.Host.CgroupControllers}}", "docker": "{{.MemoryLimit}} {{.PidsLimit}}"}
"""What an engine says of the bounds that it holds."""
_PASSED = ("PATH", "HOME", "USER", "LANG", "TMPDIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "DOCKER_HOST", "DOCKER_CONFIG")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerBounds:
    """What a container may take: bytes of memory, of its temporary folder and of all that it writes; processes, processors, and a GPU."""

    memory: int = 4 << 30
    scratch: int = 1 << 30
    output: int = 1 << 30
    processes: int = 256
    processors: float = 2.0
    gpu: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerCall:
    """One run: the image, the two folders here and in the container, variables, and what is run where the image names nothing."""

    image: str
    given: Path
    made: Path
    given_at: str
    made_at: str
    variables: Mapping[str, str]
    command: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEngine:
    """A program that runs containers. `rootless`: root in its containers is nobody in particular on this host."""

    name: str
    program: str
    rootless: bool

    def image(self, image: str) -> Mapping[str, Any]:
        """What the engine says of an image that it has: `Id`, `Config`, …

        Raises
        ------
        ImageAbsent, ContainerEngineAway
        """
        import json

        said = self._ask("image", "inspect", image)
        if said.returncode:
            self.demand_answering()
            raise ImageAbsent(f"{self.name} has no image {image}: {_words(said.stderr)}")
        (found,) = json.loads(said.stdout)
        return dict(found)

    def file_in(self, image: str, path: str, most: int) -> bytes | None:
        """A file of an image, read piece by piece and without starting anything; None where there is none.

        Raises
        ------
        ContainerEngineAway
        ContainerNotStarted
            The engine answers, and gives nothing of the image.
        UnfitContainer
            It has more than `most` bytes: no more than its size was read.
        """
        name = _fresh_name()
        made = self._ask("create", "--name", name, "--pull=never", image, "none")
        if made.returncode:
            self.demand_answering()
            raise ContainerNotStarted(f"{self.name} makes no container of {image}: {_words(made.stderr)}")
        try:
            found, why = self._copied(name, path, most)
            # engines have one status for what is not there and for all that fails: of an image that can be read, its root can
            if why and not self._copied(name, "/", most)[1]:
                return None
            if why:
                self.demand_answering()
                raise ContainerNotStarted(f"{self.name} gives no file of {image}: {why}")
            return found
        finally:
            self.remove(name)

    def _copied(self, name: str, path: str, most: int) -> tuple[bytes | None, str]:
        """A file of a container; beside it, where the engine gave nothing, what it said. What is no file has no bytes."""
        import tarfile

        process = subprocess.Popen(
            [self.program, "cp", f"{name}:{path}", "-"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
        )
        assert process.stderr is not None, "it is a pipe"
        tail = _Tail(process.stderr)
        late = threading.Timer(_ASK_S, process.kill)
        late.start()
        try:
            with suppress(tarfile.TarError), tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                member = archive.next()
                file = archive.extractfile(member) if member is not None and member.isreg() else None
                if file is None:
                    return None, ""
                assert member is not None, "it has a file"
                if member.size > most:
                    raise UnfitContainer(f"{path} of the image has {member.size} bytes; at most {most} are read")
                return file.read(), ""
            if not late.is_alive():
                raise ContainerEngineAway(f"{self.name} does not give {path} of an image within {_ASK_S:.0f} s")
            tail.end()
            return None, tail.words
        finally:
            late.cancel()
            process.kill()
            assert process.stdout is not None, "it is a pipe"
            process.stdout.close()
            process.wait()
            tail.end()

    def demand_answering(self) -> None:
        """Raise ContainerEngineAway where the engine does not answer this user."""
        said = self._ask("info", "--format", "{{.ServerVersion}}" if self.name == "docker" else "{{.Version.Version}}")
        if said.returncode:
            raise ContainerEngineAway(f"{self.name} does not answer: {_words(said.stderr)}")

    def demand_bounds(self) -> None:
        """Raise where the engine does not bound both memory and processes: it would start a container all the same, with a warning.

        Raises
        ------
        ContainerEngineAway, ContainerNotStarted
        """
        said = self._ask("info", "--format", _BOUNDED[self.name])
        if said.returncode:
            raise ContainerEngineAway(f"{self.name} does not answer: {_words(said.stderr)}")
        words = said.stdout.decode(errors="replace").translate({ord("["): None, ord("]"): None}).split()
        if self.name == "docker":
            holds = words[:2] == ["true", "true"]
        else:
            # of version 1 it has controllers, and leaves them out without root
            holds = {"memory", "pids"} <= set(words) and not (self.rootless and "v1" in words)
        if not holds:
            raise ContainerNotStarted(
                f"{self.name} does not bound both memory and processes of a container here, and none is started: without root it needs a "
                f"host with cgroup version 2, whose controllers memory and pids this user has been given; it said {_words(said.stdout)}"
            )

    def run(self, call: ContainerCall, bounds: ContainerBounds, seconds: float) -> None:
        """Run a container to its end, or to that of its bounds; it is gone afterwards.

        Raises
        ------
        ContainerEngineAway, ContainerNotStarted, ContainerFailed, ContainerStopped
        """
        self.demand_bounds()
        # what is left of a process that was killed is known by its folder
        name = call.made.parent.name
        until = time.monotonic() + seconds
        process = subprocess.Popen(
            self._command(name, call, bounds, seconds),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
            # podman's monitor leaves a file there where memory ran out
            cwd=call.made.parent,
            start_new_session=True,
        )
        assert process.stdout is not None, "it is a pipe"
        tail, guard, began = _Tail(process.stdout), self._guard(name, seconds), True
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK_S)
                    break
                if why := _beyond(call.made, bounds):
                    raise ContainerStopped(why)
                if time.monotonic() > until:
                    raise ContainerStopped(f"it did not end within {seconds:.0f} s")
            if process.returncode in _ENGINE_ERRORS:
                began = self._began(name)
        finally:
            try:
                self.remove(name)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_ASK_S)
            finally:
                process.kill()
                process.wait()
                tail.end()
                _end(guard)
        if not began:
            self.demand_answering()
            raise ContainerNotStarted(f"{self.name} did not start the container: {tail.words}")
        if time.monotonic() > until:
            raise ContainerStopped(f"it did not end within {seconds:.0f} s")
        most = f"needing more than its {bounds.memory >> 20} MiB of memory"
        if (call.made.parent / "oom").exists():
            raise ContainerStopped(f"it was killed for {most}; it said {tail.words}")
        if process.returncode == _KILLED:
            raise ContainerStopped(f"it was killed, mostly for {most}; it said {tail.words}")
        if process.returncode:
            raise ContainerFailed(f"it ended with status {process.returncode} and said {tail.words}")
        if why := _beyond(call.made, bounds):
            raise ContainerStopped(why)

    def _began(self, name: str) -> bool:
        """Whether a container that is over was started."""
        said = self._ask("container", "inspect", "--format", "{{.State.Status}}", name)
        return said.returncode == 0 and said.stdout.strip() in _OVER

    def _command(self, name: str, call: ContainerCall, bounds: ContainerBounds, seconds: float) -> list[str]:
        podman = self.name == "podman"
        # podman would copy what the image has at /tmp, and its rights
        scratch = f"/tmp:rw,size={bounds.scratch},mode=1777{',notmpcopyup' if podman else ''}"
        limited = {"nofile": _OPEN_FILES, "nproc": _at_most(resource.RLIMIT_NPROC, _MOST_OF_A_USER), "core": 0, "fsize": bounds.output}
        return [
            self.program,
            "run",
            f"--name={name}",
            "--pull=never",
            "--network=none",
            "--read-only",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            f"--memory={bounds.memory}",
            f"--memory-swap={bounds.memory}",
            f"--pids-limit={bounds.processes}",
            f"--cpus={bounds.processors:g}",
            *(f"--ulimit={kind}={most}:{most}" for kind, most in limited.items()),
            f"--tmpfs={scratch}",
            "--log-driver=none",
            # a node that is killed leaves none behind
            *([f"--timeout={int(seconds) + 1}"] if podman else []),
            *self._user(call.made),
            *self._gpu(bounds),
            f"--volume={call.given}:{call.given_at}:ro",
            f"--volume={call.made}:{call.made_at}:rw",
            *(f"--env={key}={value}" for key, value in {"HOME": "/tmp", **call.variables}.items()),
            call.image,
            *call.command,
        ]

    def _user(self, made: Path) -> list[str]:
        user, group = os.geteuid(), os.getegid()
        if user == 0:
            os.chown(made, NOBODY, NOBODY)
            return [f"--user={NOBODY}:{NOBODY}"]
        if self.name == "podman":
            return ["--userns=keep-id", f"--user={user}:{group}"]
        # of Docker without root, its root is this user
        return ["--user=0:0" if self.rootless else f"--user={user}:{group}"]

    def _gpu(self, bounds: ContainerBounds) -> list[str]:
        if not bounds.gpu:
            return []
        return ["--device=nvidia.com/gpu=0"] if self.name == "podman" else ["--gpus=device=0"]

    def _guard(self, name: str, seconds: float) -> "subprocess.Popen[bytes] | None":
        """A process that outlives this one, and removes the container when its time is over: Docker has no bound of its own on that."""
        if self.name == "podman":
            return None
        words = ["/bin/sh", "-c", 'sleep "$1" && exec "$2" rm --force --volumes "$3"', "hilum", str(int(seconds) + 1), self.program, name]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=quiet, env=_environment(), start_new_session=True)

    def remove(self, name: str) -> None:
        """End a container and remove it, where there is one.

        Raises
        ------
        ContainerEngineAway
        """
        self._ask("rm", "--force", "--volumes", name)

    def _ask(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                [self.program, *words], stdin=subprocess.DEVNULL, capture_output=True, env=_environment(), timeout=_ASK_S, check=False
            )
        except subprocess.TimeoutExpired as late:
            raise ContainerEngineAway(f"{self.name} does not answer within {_ASK_S:.0f} s") from late
        except OSError as gone:
            raise ContainerEngineAway(f"{self.program} cannot be started: {gone.strerror}") from gone


def engine_here() -> ContainerEngine:
    """The container engine of this host: podman before Docker, for it needs no daemon with the rights of root.

    Raises
    ------
    ContainerEngineAway
        There is none.
    """
    if program := shutil.which("podman"):
        return ContainerEngine(name="podman", program=program, rootless=os.geteuid() != 0)
    if program := shutil.which("docker"):
        found = ContainerEngine(name="docker", program=program, rootless=False)
        said = subprocess.run(
            [program, "info", "--format", "{{.SecurityOptions}}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=_environment(),
            timeout=_ASK_S,
            check=False,
        )
        return ContainerEngine(name="docker", program=program, rootless=True) if b"rootless" in said.stdout else found
    raise ContainerEngineAway("neither podman nor docker is on the path of the node")


def _end(guard: "subprocess.Popen[bytes] | None") -> None:
    if guard is not None:
        # its group is its own, and the shell waits for another process
        with suppress(ProcessLookupError):
            os.killpg(guard.pid, signal.SIGKILL)
        guard.wait()


class _Tail:
    """The last words of a process, read by a thread as they come: whatever it writes, it takes no more memory than these."""

    def __init__(self, said: IO[bytes]) -> None:
        self._said = said
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._said as said:
            while piece := os.read(said.fileno(), _KEPT_BYTES):
                self._kept = (self._kept + piece)[-_KEPT_BYTES:]

    def end(self) -> None:
        self._thread.join(_ASK_S)

    @property
    def words(self) -> str:
        return _words(self._kept)


def _words(said: bytes) -> str:
    """The end of what a program said, quoted: it may be about the patient."""
    text = " ".join(said.decode(errors="replace").split())
    return f"«{ascii(text[-_QUOTED:])[1:-1]}»"


def _beyond(made: Path, bounds: ContainerBounds) -> str:
    """Which bound what was written so far is beyond, "" where none."""
    size, count, waiting = 0, 0, [str(made)]
    while waiting:
        place = waiting.pop()
        if len(os.fsencode(place)) > _MOST_PATH:
            return f"it made folders within folders, with a path of more than {_MOST_PATH} bytes"
        try:
            # it may be gone by now, or be something else
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(place) as entries:
                for entry in entries:
                    count += 1
                    if count > MOST_FILES:
                        return f"it wrote more than {MOST_FILES} files"
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                        continue
                    with suppress(FileNotFoundError):
                        size += entry.stat(follow_symlinks=False).st_size
        except PermissionError:
            return f"it closed the folder {quoted(os.path.relpath(place, made))} to the node, which cannot count what lies there"
    return f"it wrote more than the {bounds.output >> 20} MiB that it may" if size > bounds.output else ""


def _at_most(kind: int, wanted: int) -> int:
    _, hard = resource.getrlimit(kind)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _environment() -> dict[str, str]:
    """What an engine needs to know of this process: not its secrets."""
    return {key: value for key, value in os.environ.items() if key in _PASSED or key.startswith("CONTAINERS_")}


def _fresh_name() -> str:
    return f"hilum-{uuid.uuid4().hex[:16]}"
