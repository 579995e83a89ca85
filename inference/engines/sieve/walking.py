"""A loaded TorchScript program, operator by operator, as torch compiled it: the second reading, in the process that computes the model.

The text of `code/` says which names are called; only the compiled program says which operator each call is.
"""

from collections.abc import Iterator
from typing import Any

from inference.engines.errors import HostileModel
from inference.engines.sieve.operators import is_known


def refuse_operators(module: Any, what: str) -> None:
    """Refuse a loaded program whose methods call anything that is not on the list.

    Every method of every module is written out, with the functions and methods that it calls; a call that remains is one whose target is
    not known before it runs (an interface).

    Raises
    ------
    HostileModel
    """
    for place, each in module.named_modules():
        script = getattr(each, "_c", None)
        if script is None:
            continue
        for name in script._method_names():
            for kind in _kinds(script._get_method(name).inlined_graph):
                if not is_known(kind):
                    raise HostileModel(f"{what}: {f'{place}.' if place else ''}{name} uses {_said(kind)}, which is not on the list")


def _kinds(block: Any) -> Iterator[str]:
    for node in block.nodes():
        yield node.kind()
        for inner in node.blocks():
            yield from _kinds(inner)


def _said(kind: str) -> str:
    return "a call of an interface" if kind == "prim::CallMethod" else kind
