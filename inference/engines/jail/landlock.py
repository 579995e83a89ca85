"""Landlock: the calling thread gives up all files but a few, for good (Linux 5.13, landlock(7)).

The system calls have the same numbers on all architectures. What a newer kernel knows more of is given up, too. Threads that exist
before are not bound: the caller has one.
"""

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from inference.engines.jail.kernel import call

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILES = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""By ABI: all rights on files that it knows. 1: read, write, run, make, remove; 2: across folders; 3: truncate; 5: ioctl on devices."""
_TCP = 0b11
"""ABI 4: bind and connect."""
_SCOPES = 0b11
"""ABI 6: abstract sockets of, and signals to, processes outside."""


def landlock_abi() -> int:
    """The version of Landlock that this kernel has; 0 where it has none, or where it was not turned on at boot."""
    try:
        return call(_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def give_up_files(readable: Sequence[Path]) -> int:
    """Leave this thread, and all that it starts, what lies at `readable`, to be read; nothing to be written, made, removed or run.

    Where the kernel knows how, TCP, abstract sockets and signals to other processes are given up, too. A path that is not there is left
    out. `PR_SET_NO_NEW_PRIVS` has to be set.

    Returns
    -------
    int
        The version of Landlock, 0 where there is none and nothing was given up.
    """
    abi = landlock_abi()
    if abi < 1:
        return 0
    files = _FILES[max(known for known in _FILES if known <= abi)]
    # older kernels take a longer structure as long as what they do not know is zero
    handled = struct.pack("=QQQ", files, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    ruleset = call(_CREATE_RULESET, ctypes.create_string_buffer(handled, len(handled)), len(handled), 0)
    try:
        for path in readable:
            _allow(ruleset, path)
        call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return abi


def _allow(ruleset: int, path: Path) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = _READ_FILE | _READ_DIR if path.is_dir() else _READ_FILE
        # packed: the kernel's structure has no padding
        rule = struct.pack("=Qi", rights, place)
        call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.create_string_buffer(rule, len(rule)), 0)
    finally:
        os.close(place)
