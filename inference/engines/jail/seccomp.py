"""The system calls that a model's process may make (seccomp(2), mode filter): those that computing needs; all others fail.

A list of what is allowed, not of what is not: a call that a kernel learns tomorrow is refused. Files are opened for reading only (which
ones, Landlock says), threads are started and no processes, signals go to the own process alone, memory is shared through descriptors
that were given and no others are made.
"""

import ctypes
import errno
import os
import struct
from dataclasses import dataclass

from inference.engines.jail.kernel import call

_X86_64, _AARCH64 = "x86_64", "aarch64"
_AUDIT_ARCH = {_X86_64: 0xC000003E, _AARCH64: 0xC00000B7}
_SECCOMP = {_X86_64: 317, _AARCH64: 277}
_SET_MODE_FILTER = 1
_TSYNC = 1
_SPEC_ALLOW = 4
"""Kernels before 5.16 slow every process with a filter down against Spectre 4; what shares this process's memory is the model's own."""
_GET_ACTION_AVAIL = 2

ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # bytes through descriptors that are there
    "read": (0, 63),
    "write": (1, 64),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "readv": (19, 65),
    "writev": (20, 66),
    "lseek": (8, 62),
    "close": (3, 57),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "poll": (7, None),
    "ppoll": (271, 73),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "fadvise64": (221, 223),
    # names and properties of files; contents are Landlock's
    "fstat": (5, 80),
    "stat": (4, None),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getdents64": (217, 61),
    "getcwd": (79, 17),
    # memory; libraries that compile for the processor make pages to be run
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "mincore": (27, 232),
    "brk": (12, 214),
    "membarrier": (324, 283),
    # threads and their time
    "futex": (202, 98),
    "rseq": (334, 293),
    "set_robust_list": (273, 99),
    "set_tid_address": (218, 96),
    "arch_prctl": (158, None),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126),
    "getcpu": (309, 168),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "restart_syscall": (219, 128),
    "exit": (60, 93),
    "exit_group": (231, 94),
    # signals as they arrive
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    # what the process and the machine are
    "getpid": (39, 172),
    "getppid": (110, 173),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "times": (100, 153),
    "getrusage": (98, 165),
    "getrlimit": (97, 163),
    "getrandom": (318, 278),
}
"""Calls that are made as they are: number on x86_64, on aarch64 (None: that architecture has none)."""

_NEWEST = 450
"""The last call of Linux 6.6; above it, and where x86_64 keeps the calls of its 32-bit form, a library is told that there is none."""

_OPEN = {_X86_64: ((2, 1), (257, 2)), _AARCH64: ((56, 2),)}
"""open, openat: the number, and which argument holds the flags."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CLONE = {_X86_64: 56, _AARCH64: 220}
_CLONE3 = 435
_OPENAT2 = 437
_CLONE_THREAD = 0x00010000
_NEW_NAMESPACES = 0x7E020080
_TO_OWN = {_X86_64: (62, 234), _AARCH64: (129, 131)}
"""kill, tgkill: a library that gives up ends its own process."""
_SENDTO = {_X86_64: 44, _AARCH64: 206}
_PRCTL = {_X86_64: 157, _AARCH64: 167}
_NAMES = (15, 16, 0x53564D41)
"""PR_SET_NAME, PR_GET_NAME, PR_SET_VMA: what threads and mappings are called."""
_IOCTL = {_X86_64: 16, _AARCH64: 29}
_ASKING = (0x5401, 0x541B, 0x5450, 0x5451)
"""TCGETS (is it a terminal?), FIONREAD, FIONCLEX, FIOCLEX."""
_FCNTL = {_X86_64: 72, _AARCH64: 25}
_FLAGS = (0, 1, 2, 3, 4, 1030, 1034)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GET_SEALS; not F_SETOWN, which sends signals."""
_PRLIMIT = {_X86_64: 302, _AARCH64: 261}
_SETAFFINITY = {_X86_64: 203, _AARCH64: 122}

# classic BPF: load a word of seccomp_data, compare, return
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_FAIL = 0x00050000


@dataclass(frozen=True, slots=True)
class _Step:
    code: int
    value: int
    yes: int = 0
    no: int = 0


def seccomp_there() -> bool:
    """Whether this kernel filters system calls, and hilum knows their numbers on this architecture."""
    machine = os.uname().machine
    if machine not in _SECCOMP:
        return False
    try:
        call(_SECCOMP[machine], _GET_ACTION_AVAIL, 0, ctypes.byref(ctypes.c_uint32(_FAIL)))
    except OSError:
        return False
    return True


def give_up_calls() -> bool:
    """Leave all threads of this process the calls that computing needs; False where the kernel or the architecture cannot.

    `PR_SET_NO_NEW_PRIVS` has to be set.
    """
    machine = os.uname().machine
    if not seccomp_there():
        return False
    steps = program(machine, os.getpid())
    code = b"".join(struct.pack("=HBBI", step.code, step.yes, step.no, step.value) for step in steps)
    held = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: a length, padding, an address
    given = struct.pack("@HxxxxxxP", len(steps), ctypes.addressof(held))
    call(_SECCOMP[machine], _SET_MODE_FILTER, _TSYNC | _SPEC_ALLOW, ctypes.create_string_buffer(given, len(given)))
    return True


def program(machine: str, pid: int) -> list[_Step]:
    """The filter, step by step, for an architecture and the process that it binds."""
    column = 0 if machine == _X86_64 else 1
    steps = [
        _Step(_LOAD, _ARCH),
        _Step(_EQUAL, _AUDIT_ARCH[machine], 1, 0),
        _Step(_RETURN, _KILL),
        _Step(_LOAD, _NUMBER),
        _Step(_AT_LEAST, _NEWEST + 1, 0, 1),
        _Step(_RETURN, _FAIL | errno.ENOSYS),
    ]
    for number in sorted(number for numbers in ALLOWED.values() if (number := numbers[column]) is not None):
        steps += [_Step(_EQUAL, number, 0, 1), _Step(_RETURN, _ALLOW)]
    # without clone3 the C library takes clone, whose flags a filter can read; without openat2 likewise
    for number in (_CLONE3, _OPENAT2):
        steps += [_Step(_EQUAL, number, 0, 1), _Step(_RETURN, _FAIL | errno.ENOSYS)]
    for number, place in _OPEN[machine]:
        steps += _where(number, [*_low(place), _Step(_ANY_BIT, _WRITING, 0, 1), _Step(_RETURN, _FAIL | errno.EACCES)])
    steps += _where(
        _CLONE[machine],
        [
            *_low(0),
            _Step(_ANY_BIT, _NEW_NAMESPACES, 0, 1),
            _Step(_RETURN, _FAIL | errno.EPERM),
            _Step(_ANY_BIT, _CLONE_THREAD, 1, 0),
            _Step(_RETURN, _FAIL | errno.EPERM),
        ],
    )
    for number in _TO_OWN[machine]:
        steps += _one_of(number, 0, (pid,))
    steps += _where(_SENDTO[machine], _zero(4))
    steps += _one_of(_PRCTL[machine], 0, _NAMES)
    steps += _one_of(_IOCTL[machine], 1, _ASKING)
    steps += _one_of(_FCNTL[machine], 1, _FLAGS)
    # limits of its own, to be read; processors of its own thread
    steps += _where(_PRLIMIT[machine], [*_zero(0), *_zero(2)])
    steps += _where(_SETAFFINITY[machine], _zero(0))
    return [*steps, _Step(_RETURN, _FAIL | errno.EPERM)]


def _where(number: int, tests: list[_Step]) -> list[_Step]:
    """Tests of one call's arguments; what passes them is allowed. The number is loaded before and after."""
    body = [*tests, _Step(_RETURN, _ALLOW)]
    return [_Step(_EQUAL, number, 0, len(body)), *body]


def _one_of(number: int, argument: int, values: tuple[int, ...]) -> list[_Step]:
    tests = _low(argument)
    for index, value in enumerate(values):
        # the one that is equal goes over the refusal behind the last
        tests.append(_Step(_EQUAL, value, len(values) - index, 0))
    return _where(number, [*tests, _Step(_RETURN, _FAIL | errno.EPERM)])


def _low(argument: int) -> list[_Step]:
    """The lower half of an argument: flags, commands and process numbers are 32 bits to the kernel, whatever stands above them."""
    return [_Step(_LOAD, _ARGUMENTS + 8 * argument)]


def _zero(argument: int) -> list[_Step]:
    """Both halves: an address."""
    refuse = _Step(_RETURN, _FAIL | errno.EPERM)
    both: list[_Step] = []
    for half in (0, 4):
        both += [_Step(_LOAD, _ARGUMENTS + 8 * argument + half), _Step(_EQUAL, 0, 1, 0), refuse]
    return both
