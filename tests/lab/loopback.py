"""A network of its own for the tests' peers: Orthanc and DCMTK bind every address, so they run where loopback is the only one.

The calling thread, and every process that it starts, moves into a new network namespace. This needs CAP_SYS_ADMIN. Without it the peers run
in the ordinary network, on random ports, admitting known AE titles only and HTTP from this host only.
"""

import ctypes
import errno
import fcntl
import os
import random
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_FIRST_PORT = 12_000
_TRIES = 200
# of this thread, not of the process: only the thread that runs the tests moves
_NAMESPACE = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)
_home: list[int] = []
_claims: list[socket.socket] = []


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
    """A TCP port that nobody listens on, and that no other test of this network is given while this process lives.

    It is none of those that the kernel gives away by itself: whoever connects to somewhere cannot take it before a program listens there.
    """
    first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.SystemRandom().sample(range(_FIRST_PORT, max(first_ephemeral, 2 * _FIRST_PORT)), k=_TRIES):
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # an abstract name: it belongs to the network namespace as ports do, and goes with the process that holds it
            claim.bind(f"\0hilum-tests-port-{port}")
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.bind(("0.0.0.0", port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port
    raise AssertionError(f"none of {_TRIES} ports is free")
