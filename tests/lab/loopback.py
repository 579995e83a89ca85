"""A network of its own for the tests' peers: Orthanc and DCMTK bind every address, so they run where loopback is the only one.

The calling thread, and every process that it starts, moves into a new network namespace. This needs CAP_SYS_ADMIN. Without it the peers run
in the ordinary network, on random ports, admitting known AE titles only and HTTP from this host only.
"""

import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
# of this thread, not of the process: only the thread that runs the tests moves
_NAMESPACE = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)
_home: list[int] = []


def _call(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", _IFF_UP, b""))


@contextmanager
def loopback_only() -> Iterator[bool]:
    """Move into a network with loopback only, and back at the end; False where this is not permitted."""
    if _home:
        yield True
        return
    home = os.open(_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            _call(_libc.unshare(_CLONE_NEWNET))
        except OSError as refused:
            if refused.errno != errno.EPERM:
                raise
            yield False
            return
        _raise_loopback()
        _home.append(home)
        try:
            yield True
        finally:
            _home.clear()
            _call(_libc.setns(home, _CLONE_NEWNET))
    finally:
        os.close(home)


@contextmanager
def outside() -> Iterator[None]:
    """Step back into the ordinary network for a while: to fetch something from a package registry."""
    if not _home:
        yield
        return
    inside = os.open(_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call(_libc.setns(_home[0], _CLONE_NEWNET))
        yield
    finally:
        _call(_libc.setns(inside, _CLONE_NEWNET))
        os.close(inside)


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
