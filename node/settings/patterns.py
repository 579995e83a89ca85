"""Regular expressions of routes: those that some text of a sender could keep busy for ever."""

import re
from collections.abc import Iterable
from re import _constants, _parser  # type: ignore[attr-defined]  # the standard library's own parser has no public name
from typing import Any

_GREEDY_AND_LAZY = (_constants.MAX_REPEAT, _constants.MIN_REPEAT)
_FEW = 10  # rounds of a repetition that do no harm, whatever is in it


def may_run_away(pattern: str) -> bool:
    """Whether something that is there more or fewer times is repeated without much of a bound, as in `(a+)+b` or `(ab?)*c`.

    The time for a text of n characters that does not match can then grow as 2^n, and Python's engine knows no time limit. Possessive
    repetitions and atomic groups (`a++`, `(?>a+)`) give nothing back, so what they hold is no danger. Alternatives that begin alike,
    `(a|ab)*`, are not looked into.

    Raises
    ------
    re.error
        It is no regular expression.
    """
    re.compile(pattern)
    return _deep(_parser.parse(pattern), inside=False)


def _deep(part: Any, *, inside: bool) -> bool:
    """Whether one of the parsed operations below is a repetition of no fixed count; `inside` says that `part` is repeated itself."""
    if isinstance(part, _parser.SubPattern):
        return any(_deep(operation, inside=inside) for operation in part)
    if not isinstance(part, Iterable) or isinstance(part, str):
        return False
    items = list(part)
    if len(items) == 2 and items[0] in (_constants.POSSESSIVE_REPEAT, _constants.ATOMIC_GROUP):
        return False
    if len(items) == 2 and items[0] in _GREEDY_AND_LAZY:
        least, most, repeated = items[1]
        return (inside and least != most) or _deep(repeated, inside=inside or most > _FEW)
    return any(_deep(item, inside=inside) for item in items)
