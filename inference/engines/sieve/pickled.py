"""Pickles read opcode by opcode, without running them: which names they ask for, and nothing that could build a name from pieces."""

import pickletools
from collections.abc import Callable, Iterator

from inference.engines.errors import HostileModel, UnreadableModel
from inference.engines.sieve.operators import named

MOST_BYTES = 256 << 20
_MOST_DEPTH = 200

_STORAGES = frozenset(
    f"torch {kind}Storage"
    for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool", "ComplexFloat", "ComplexDouble")
)
TENSORS = frozenset({"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"}) | _STORAGES
"""What pickled tensors are made of."""

_KNOWN = named(
    """
APPEND APPENDS BINFLOAT BINGET BININT BININT1 BININT2 BINPERSID BINPUT BINUNICODE BUILD EMPTY_DICT EMPTY_LIST EMPTY_TUPLE GLOBAL LONG1
LONG4 LONG_BINGET LONG_BINPUT MARK MEMOIZE NEWFALSE NEWOBJ NEWTRUE NONE POP PROTO REDUCE SETITEM SETITEMS SHORT_BINSTRING
SHORT_BINUNICODE STOP TUPLE TUPLE1 TUPLE2 TUPLE3
"""
)


def sift_pickle(content: bytes, what: str, allowed: Callable[[str], bool]) -> None:
    """Refuse a pickle that asks for a name which is not allowed.

    Parameters
    ----------
    what
        The file and the member, for sentences.
    allowed
        Says it of "MODULE NAME".

    Raises
    ------
    HostileModel, UnreadableModel
    """
    end = depth = 0
    for opcode, argument, place in _opcodes(content, what):
        end = place
        depth += opcode == "MARK"
        depth -= opcode in ("TUPLE", "APPENDS", "SETITEMS")
        if depth > _MOST_DEPTH:
            raise HostileModel(f"{what} is nested deeper than {_MOST_DEPTH} at byte {place}")
        if opcode not in _KNOWN:
            raise HostileModel(f"{what} has the opcode {opcode} at byte {place}, which no model's data needs")
        if opcode == "GLOBAL" and not allowed(argument):
            raise HostileModel(f"{what} asks for {argument.replace(' ', '.', 1)} at byte {place}, which is not on the list")
    if end != len(content) - 1:
        raise HostileModel(f"{what} goes on behind its end, at byte {end + 1}")


def is_tensor_part(name: str) -> bool:
    """Whether a name is one of those that pickled tensors need."""
    return name in TENSORS


def _opcodes(content: bytes, what: str) -> Iterator[tuple[str, str, int]]:
    try:
        for opcode, argument, place in pickletools.genops(content):
            yield opcode.name, str(argument) if opcode.name == "GLOBAL" else "", place or 0
    except (ValueError, UnicodeDecodeError, OverflowError) as broken:
        raise UnreadableModel(f"{what} is no pickle: {broken}") from broken
