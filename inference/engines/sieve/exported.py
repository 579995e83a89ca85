"""torch.export archives (.pt2) read as JSON: operators by name, and none of the places where torch would evaluate text or run a pickle.

A .pt2 file is not the plain data that it looks like: torch looks its operators up among everything that torch holds, evaluates the
expressions of its shapes and guards as Python, and unpickles constants that say that they are objects. Each of these is refused here
beyond the few forms that exporting a network makes.
"""

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

from inference.engines.errors import HostileModel, UnreadableModel
from inference.engines.sieve.operators import EXPORTED, is_arithmetic, named
from inference.engines.sieve.pickled import MOST_BYTES, is_tensor_part, sift_pickle
from inference.engines.sieve.syntax import expression
from inference.engines.sieve.zipped import Archive

_MOST_JSON = 256 << 20
_MOST_DEPTH = 200
_MOST_EXPRESSION = 4096

_PLAIN = re.compile(
    r"models/model\.json|archive_format|archive_version|byteorder|\.data/(version|serialization_id)|\.format_version|\.storage_alignment"
    r"|data/(weights|constants)/model_(weights|constants)_config\.json|data/weights/weight_\d+|data/constants/tensor_\d+"
    r"|data/sample_inputs/model\.pt|extra/[^/]+(/[^/]+)*"
)
_ATEN = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")
_WORD = re.compile(r"(?!__)(\w|\.(?!__))*", re.ASCII)
_REFUSED = frozenset({"as_custom_obj", "as_operator", "custom_obj"})
_TREES = frozenset({"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"})
_FUNCTIONS = named(
    """
Symbol Integer Rational Float FloorDiv ModularIndexing Where PythonMod Mod CleanDiv CeilToInt FloorToInt CeilDiv LShift RShift
PowByNatural FloatPow FloatTrueDiv IntTrueDiv TruncToFloat TruncToInt RoundToInt RoundDecimal ToFloat Identity Max Min Add Mul Pow Eq Ne
Gt Ge Lt Le And Or Not max min math.floor math.ceil math.trunc
"""
)
_SIZES = frozenset({"size", "stride", "storage_offset"})
_EXPRESSION = (
    *(
        ast.Expression,
        ast.Call,
        ast.Name,
        ast.Constant,
        ast.BinOp,
        ast.UnaryOp,
        ast.BoolOp,
        ast.Compare,
        ast.IfExp,
        ast.keyword,
        ast.Subscript,
    ),
    *(ast.Attribute, ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)


def sift_program(content: bytes, what: str) -> None:
    """Refuse a torch.export archive that holds more than a computation.

    Raises
    ------
    UnreadableModel
        It is no archive of torch.export.
    HostileModel
        With the member and what of it.
    """
    archive = Archive(content, what)
    roots = {name.split("/")[0] for name in archive.members}
    if len(roots) != 1:
        raise HostileModel(f"{what} holds {len(roots)} archives: {', '.join(sorted(roots)[:4])}")
    root = roots.pop() + "/"
    members = {name.removeprefix(root): name for name in archive.members}
    if "models/model.json" not in members:
        raise UnreadableModel(f"{what} is not a torch.export file that torch 2.8 or later wrote: it has no models/model.json")
    for name in members:
        if not _PLAIN.fullmatch(name):
            raise HostileModel(f"{what} holds {name}, which is no part of a torch.export file of weights alone")
    for name in ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json"):
        if name in members:
            _payloads(_json(archive.read(members[name], _MOST_JSON), f"{what}: {name}"), members, name, what, archive)
    if "data/sample_inputs/model.pt" in members:
        _tensors(archive.read(members["data/sample_inputs/model.pt"], MOST_BYTES), f"{what}: data/sample_inputs/model.pt")
    _program(_json(archive.read(members["models/model.json"], _MOST_JSON), f"{what}: models/model.json"), f"{what}: models/model.json")


def _json(text: bytes, what: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise HostileModel(f"{what} says something twice")
        return made

    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError) as broken:
        raise UnreadableModel(f"{what} cannot be read: {broken}") from broken


def _payloads(config: Any, members: dict[str, str], name: str, what: str, archive: Archive) -> None:
    """What a weights or constants configuration points to: plain tensors of the same folder, or pickles of nothing but a tensor."""
    folder = name.rpartition("/")[0]
    listed = config.get("config") if isinstance(config, dict) else None
    if not isinstance(listed, dict):
        raise UnreadableModel(f"{what}: {name} lists nothing")
    for key, payload in listed.items():
        place = payload.get("path_name") if isinstance(payload, dict) else None
        member = members.get(f"{folder}/{place}")
        if member is None or not re.fullmatch(r"weight_\d+|tensor_\d+", str(place)):
            raise HostileModel(f"{what}: {name} has for {key!r} the file {place!r}, which is no tensor of the archive")
        if payload.get("use_pickle") is not False:
            _tensors(archive.read(member, MOST_BYTES), f"{what}: {folder}/{place}")


def _tensors(content: bytes, what: str) -> None:
    """An archive of torch.save that holds tensors."""
    inner = Archive(content, what)
    pickles = [name for name in inner.members if name.endswith("data.pkl")]
    if len(pickles) != 1 or any(name.endswith(".py") for name in inner.members):
        raise HostileModel(f"{what} is no archive of tensors")
    sift_pickle(inner.read(pickles[0], MOST_BYTES), f"{what}: {pickles[0]}", is_tensor_part)


def _program(program: Any, what: str) -> None:
    """Every node of the JSON, wherever it stands: what is evaluated, called or looked up is one of the known forms."""
    if not isinstance(program, dict):
        raise UnreadableModel(f"{what} is no program")
    for key, value in _entries(program, what):
        if key in _REFUSED and value not in (None, "", [], {}):
            raise HostileModel(f"{what} has {key}, an object or operator outside of what a model computes with")
        if key == "target" and not _computes(value):
            raise HostileModel(f"{what} calls {value!r}, which is not on the list")
        if key == "expr_str" or key == "guards_code":
            for text in value if isinstance(value, list) else [value]:
                _expression(text, f"{what}: {key}")
        elif key in ("in_spec", "out_spec"):
            _tree(value, f"{what}: {key}")
        elif key == "treespec_namedtuple_fields" and value not in (None, {}):
            raise HostileModel(f"{what} has {key}: classes of another program")
        elif key in ("name", "graph_name", "parameter_name", "buffer_name", "tensor_constant_name") and not _is_word(value):
            raise HostileModel(f"{what} has {value!r} for a name")


def _entries(program: Any, what: str) -> Iterator[tuple[str, Any]]:
    """Each key with its value, of all objects of the JSON; what is for people (metadata of a node) is passed over."""
    waiting: list[tuple[Any, int]] = [(program, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > _MOST_DEPTH:
            raise HostileModel(f"{what} is nested deeper than {_MOST_DEPTH}")
        if isinstance(node, dict):
            yield from node.items()
            waiting += [(value, depth + 1) for key, value in node.items() if key != "metadata"]
        elif isinstance(node, list):
            waiting += [(value, depth + 1) for value in node]


def _computes(target: Any) -> bool:
    if not isinstance(target, str):
        return False
    found = _ATEN.fullmatch(target)
    return target in EXPORTED or (found is not None and is_arithmetic(found[1]) and not found[2].startswith("__"))


def _is_word(value: Any) -> bool:
    return value is None or (isinstance(value, str) and _WORD.fullmatch(value) is not None)


def _expression(text: Any, what: str) -> None:
    """An expression over sizes, as torch writes it: numbers, symbols, the lengths of inputs, and functions of arithmetic."""
    if not isinstance(text, str) or len(text) > _MOST_EXPRESSION:
        raise HostileModel(f"{what} holds an expression that is no text or longer than {_MOST_EXPRESSION}")
    try:
        tree = expression(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as unclear:
        raise HostileModel(f"{what} holds {text[:80]!r}, which is no expression over sizes") from unclear
    for node in ast.walk(tree):
        fits = isinstance(node, _EXPRESSION)
        if isinstance(node, ast.Call):
            fits = _function(node.func) in _FUNCTIONS or (isinstance(node.func, ast.Attribute) and node.func.attr in _SIZES)
        elif isinstance(node, ast.Attribute):
            fits = node.attr in _SIZES or _function(node) in _FUNCTIONS
        elif isinstance(node, ast.Name):
            fits = _is_word(node.id)
        elif isinstance(node, ast.Constant):
            fits = isinstance(node.value, int | float | bool) or (isinstance(node.value, str) and _is_word(node.value))
        if not fits:
            raise HostileModel(f"{what} holds {text[:80]!r}, which is more than an expression over sizes")


def _function(node: ast.AST) -> str:
    """A function's name, "Max" or "math.floor"; "" where it is no such name."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _tree(text: Any, what: str) -> None:
    """How inputs and outputs are nested: tuples, lists and dictionaries by keys that are words."""
    if text in (None, ""):
        return
    spec = _json(str(text).encode(), what)
    if not isinstance(spec, list) or len(spec) != 2:
        raise HostileModel(f"{what} is no nesting of inputs and outputs")
    for key, value in _entries(spec[1], what):
        if key == "type" and value is not None and value not in _TREES:
            raise HostileModel(f"{what} names {value!r}, which is no tuple, list or dictionary")
        if key == "context" and value is not None:
            inner = _json(str(value).encode(), what)
            if inner is not None and not (isinstance(inner, list) and all(isinstance(each, str | int) for each in inner)):
                raise HostileModel(f"{what} has {str(value)[:80]!r} for the keys of a dictionary")
