"""The pool of shared memory on a folder of the test's own; registrations are what the test remembers."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inference.engines.triton.shared_memory import PREFIX, Pool, abandoned, create, rounded, sweep

MIB = 2**20


class Server:
    """What a server would have registered, and which regions it says are in use."""

    def __init__(self) -> None:
        self.registered: list[str] = []
        self.known: set[str] = set()
        self.in_use: set[str] = set()

    def register(self, name: str, size: int) -> None:
        self.registered.append(name)
        self.known.add(name)

    def unregister(self, name: str) -> bool:
        if name in self.in_use:
            return False
        self.known.discard(name)
        return True


@pytest.fixture
def server() -> Server:
    """A server that knows no region."""
    return Server()


def open_pool(server: Server, folder: Path, limit: int = 64 * MIB, clock: list[float] | None = None) -> Pool:
    """A pool whose clock is the first number of the list."""
    return Pool(server.register, server.unregister, limit=limit, folder=folder, seconds=lambda: clock[0] if clock else 0.0)


def names(folder: Path) -> set[str]:
    """The files there."""
    return {path.name for path in folder.iterdir()}


def given_up(pool: Pool) -> str:
    """The name of a region whose call ended by its deadline."""
    found = []
    with contextlib.suppress(TimeoutError), pool.lease(MIB) as region:
        assert region is not None
        found.append(region.name)
        raise TimeoutError
    return found[0]


@pytest.mark.parametrize("size", [1, MIB, MIB + 1, 5 * MIB, 16 * MIB, 100_000_000, 2**31 + 5])
def test_a_class_is_no_smaller_and_a_quarter_larger_at_most(size: int) -> None:
    """And it is a class of its own: rounding twice changes nothing."""
    assert size <= rounded(size) <= max(MIB, size * 1.25)
    assert rounded(rounded(size)) == rounded(size)


def test_a_region_is_registered_once_and_used_again(server: Server, tmp_path: Path) -> None:
    """Thirty calls of much the same size: one file, one registration, none undone."""
    pool = open_pool(server, tmp_path)
    for number in range(30):
        with pool.lease(2 * MIB - number) as region:
            assert region is not None
            region.write(0, np.full((3, 5), number, np.int16))
            assert region.bytes(0, 30).view(np.int16).tolist() == [number] * 15
    assert len(server.registered) == 1
    assert server.known == names(tmp_path) == set(server.registered)


def test_two_calls_at_once_never_share_a_region(server: Server, tmp_path: Path) -> None:
    """Each has its own until it ends."""
    pool = open_pool(server, tmp_path)
    with pool.lease(MIB) as one, pool.lease(MIB) as other:
        assert one is not None
        assert other is not None
        assert one.name != other.name


def test_a_view_of_any_strides_is_written_in_c_order(server: Server, tmp_path: Path) -> None:
    """Reversed and transposed views arrive as they look."""
    view = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)[::-1]
    with open_pool(server, tmp_path).lease(MIB) as region:
        assert region is not None
        region.write(64, view)
        assert region.bytes(64, view.nbytes).tobytes() == view.tobytes()


def test_a_region_whose_call_was_given_up_is_never_used_again(server: Server, tmp_path: Path) -> None:
    """The server may still write to it: its file goes at once, its registration when the server has let go."""
    pool = open_pool(server, tmp_path)
    lost = given_up(pool)
    server.in_use.add(lost)
    assert names(tmp_path) == set()
    pool.tidy()
    assert server.known == {lost}
    server.in_use.clear()
    pool.tidy()
    assert server.known == set()
    with pool.lease(MIB) as region:
        assert region is not None
        assert region.name != lost


def test_after_a_restart_of_the_server_regions_are_registered_anew(server: Server, tmp_path: Path) -> None:
    """The file is the same, the server's memory of it is not."""
    pool = open_pool(server, tmp_path)
    with pool.lease(MIB):
        pass
    server.known.clear()
    pool.forget()
    with pool.lease(MIB) as region:
        assert region is not None
        assert server.known == {region.name}
    assert server.registered == [region.name] * 2


def test_there_is_never_more_than_the_limit(server: Server, tmp_path: Path) -> None:
    """What is idle makes room, the longest idle first; where everything is in use there is no region, and no exception."""
    clock = [0.0]
    pool = open_pool(server, tmp_path, limit=8 * MIB, clock=clock)
    for size in (5 * MIB, MIB):
        clock[0] += 1
        with pool.lease(size):
            pass
    assert pool.held == 6 * MIB
    with pool.lease(6 * MIB) as large:
        assert large is not None
        assert pool.held == 7 * MIB
        with pool.lease(4 * MIB) as none:
            assert none is None
        with pool.lease(MIB) as small:
            assert small is not None


def test_what_nobody_needed_for_minutes_is_let_go(server: Server, tmp_path: Path) -> None:
    """And the server is told, later than right after its use."""
    clock = [0.0]
    pool = open_pool(server, tmp_path, clock=clock)
    with pool.lease(MIB):
        pass
    clock[0] = 200
    pool.tidy()
    assert len(server.known) == 1
    clock[0] = 301
    pool.tidy()
    assert (server.known, names(tmp_path), pool.held) == (set(), set(), 0)


def test_closing_leaves_nothing_behind(server: Server, tmp_path: Path) -> None:
    """Regions that are leased follow when their calls end."""
    pool = open_pool(server, tmp_path)
    with pool.lease(MIB):
        with pool.lease(MIB):
            pass
        pool.close()
        assert len(names(tmp_path)) == 1
    assert names(tmp_path) == set()


def test_a_full_file_system_is_no_room_and_no_signal(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers have 64 MB of /dev/shm unless told otherwise; a page that is not there would end the process with SIGBUS."""

    def full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with open_pool(server, tmp_path).lease(MIB) as region:
        assert region is None
    assert names(tmp_path) == set()


_HOLDER = """
import sys, time
from pathlib import Path
from inference.engines.triton.shared_memory import create
region = create(Path(sys.argv[1]), 1 << 20)
print(region.name, flush=True)
sys.stdin.read()
"""


def test_a_sweep_removes_what_dead_processes_left_and_nothing_else(tmp_path: Path) -> None:
    """A process that was killed leaves its file; one that lives keeps it, whatever its process id; other files are not ours."""
    own = create(tmp_path, MIB)
    (tmp_path / "someone-elses").write_bytes(b"x")
    holders = [
        subprocess.Popen([sys.executable, "-c", _HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        dead, alive = (holder.stdout.readline().strip() for holder in holders if holder.stdout)
        assert sweep(tmp_path) == ()
        holders[0].send_signal(signal.SIGKILL)
        holders[0].wait()
        assert sweep(tmp_path) == (dead,)
        assert names(tmp_path) == {own.name, alive, "someone-elses"}
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()


def test_files_are_for_this_user_only_and_carry_host_and_process(tmp_path: Path) -> None:
    """They hold patients' images; an operator who finds one knows whose it is."""
    region = create(tmp_path, MIB)
    assert (tmp_path / region.name).stat().st_mode & 0o777 == 0o600
    assert region.name.startswith(PREFIX)
    assert f"-{os.getpid()}-" in region.name
    with (tmp_path / region.name).open("rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_abandoned_are_those_of_ours_that_are_no_file_any_more(tmp_path: Path) -> None:
    """Another program's registrations are none of our business."""
    kept = create(tmp_path, MIB)
    assert abandoned([kept.name, f"{PREFIX}host-1-00", "other"], tmp_path) == (f"{PREFIX}host-1-00",)
