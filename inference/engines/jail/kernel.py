"""System calls that Python has no function for, made by number through the C library."""

import ctypes
import os
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

SET_PARENT_DEATH_SIGNAL = 1
SET_NO_NEW_PRIVS = 38


def call(number: int, *arguments: Any) -> int:
    """Make a system call: integers are passed as machine words, buffers by address.

    Raises
    ------
    OSError
        The kernel refused; `errno` says why.
    """
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def prctl(option: int, value: int) -> None:
    """prctl(2) with one argument.

    Raises
    ------
    OSError
    """
    if _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
