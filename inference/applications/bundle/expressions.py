"""Expressions of a bundle ("$@labels + 1") that are read: numbers, words, lists, references, arithmetic, comparison, choice, some names,
and files of values ("$torch.load(@arch_ckpt_path)").

Nothing is evaluated: what stands in an expression is walked node by node, and what is in no table here makes the whole of it code.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_LONGEST = 1000
_MOST_NODES = 200
_MOST_ITEMS = 10_000
_LARGEST = 1e12
_REFERENCE = re.compile(r"@(\w+(?:(?:::|#)\w+)*)")
_BARE = re.compile(r"\$\s*@\w+(?:(?:::|#)\w+)*\s*")
_NAME = "_reference_"

_NAMES: dict[str, Any] = {
    **{
        f"{module}.{name}": name
        for module in ("torch", "np", "numpy")
        for name in ("float16", "float32", "float64", "uint8", "int16", "int32")
    },
    **{f"monai.utils.CommonKeys.{name}": name.lower() for name in ("IMAGE", "LABEL", "PRED", "LOSS", "METADATA")},
}
"""Names with dots that are types or words and nothing else."""

_BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARED: dict[type[ast.AST], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_UNARY: dict[type[ast.AST], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}
_CALLED: dict[str, Callable[[Any], Any]] = {"len": len, "int": int, "float": float, "list": list, "tuple": list}


_OF_LOADING = {"map_location", "weights_only"}
"""What says where tensors of a file go, and how it is read: here always as data."""


class _ListedArray(list[Any]):
    """Values of a file, which its author's code adds and compares one by one, and lists as wholes: neither is done with them here."""


class Unread(Exception):
    """The expression holds what is in no table: it is code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenCall:
    """An expression that is one call and nothing else: the name of what is called ("@detector.set_target_keys"), and its arguments.

    Arguments are expressions with their "$" in front; those without a name go by their place ("0").
    """

    name: str
    arguments: Mapping[str, str]


def written_call(text: str) -> WrittenCall | None:
    """The one call that an expression is, as it is written; None for another expression."""
    if not text.startswith("$") or len(text) > _LONGEST:
        return None
    ids: list[str] = []
    try:
        tree = ast.parse(_marked(text, ids), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not isinstance(tree, ast.Call) or any(isinstance(each, ast.Starred) for each in tree.args):
        return None

    def written(node: ast.expr) -> str:
        return re.sub(rf"{_NAME}(\d+)", lambda match: f"@{ids[int(match[1])]}", ast.unparse(node))

    arguments = {str(place): f"${written(each)}" for place, each in enumerate(tree.args)}
    for keyword in tree.keywords:
        if keyword.arg is None:
            return None
        arguments[keyword.arg] = f"${written(keyword.value)}"
    return WrittenCall(name=written(tree.func), arguments=arguments)


def _marked(text: str, ids: list[str]) -> str:
    """An expression without its "$", and with a name for each reference, whose id goes to `ids`."""

    def named(match: re.Match[str]) -> str:
        ids.append(match[1])
        return f"{_NAME}{len(ids) - 1}"

    return _REFERENCE.sub(named, text[1:]).strip()


def reference(text: str) -> str | None:
    """What an expression that is a reference and nothing else refers to ("$@network_def"), as "@network_def"; None for another."""
    return text[1:].strip() if _BARE.fullmatch(text) else None


def read(text: str, value_of: Callable[[str], Any], load: Callable[[str], Any] | None = None) -> Any:
    """The value of an expression, with its "$" in front.

    Parameters
    ----------
    value_of
        The value at the id of a reference.
    load
        The values of a file, by its path; None reads none.

    Raises
    ------
    Unread
    """
    if len(text) > _LONGEST:
        raise Unread
    ids: list[str] = []
    try:
        tree = ast.parse(_marked(text, ids), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as broken:
        raise Unread from broken
    if sum(1 for _ in ast.walk(tree)) > _MOST_NODES:
        raise Unread
    try:
        return _Reader(ids, value_of, load).of(tree.body)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError, LookupError, RecursionError) as unfit:
        raise Unread from unfit


def packs(text: str) -> bool:
    """Whether a function packs masks into one image of numbers and does nothing else, as BraTS' files are written.

    That is "$lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, 0))", with any channels and numbers.
    """
    if not text.startswith("$") or len(text) > _LONGEST:
        return False
    try:
        tree = ast.parse(text[1:].strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    match tree:
        case ast.Lambda(args=ast.arguments(posonlyargs=[], args=[ast.arg(arg=name)], kwonlyargs=[], vararg=None, kwarg=None), body=body):
            rest: ast.expr = body
        case _:
            return False
    while not isinstance(rest, ast.Constant):
        match rest:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="torch"), attr="where"),
                args=[
                    ast.Compare(
                        left=ast.Subscript(value=ast.Name(id=masks), slice=ast.List(elts=[ast.Constant(value=int())])),
                        ops=[ast.Gt()],
                        comparators=[ast.Constant(value=0)],
                    ),
                    ast.Constant(value=int()),
                    otherwise,
                ],
                keywords=[],
            ) if masks == name:
                rest = otherwise
            case _:
                return False
    return tree.body is not rest and rest.value == 0


class _Reader:
    def __init__(self, ids: list[str], value_of: Callable[[str], Any], load: Callable[[str], Any] | None) -> None:
        self._ids = ids
        self._value_of = value_of
        self._load = load

    def of(self, node: ast.expr) -> Any:
        """The value of a node, bounded."""
        value = self._read(node)
        if isinstance(value, int | float) and not (math.isfinite(value) and abs(value) <= _LARGEST):
            raise Unread
        if isinstance(value, str | list) and len(value) > _MOST_ITEMS:
            raise Unread
        return value

    def _read(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() | None as value):
                return value
            case ast.Constant(value=str() as value) if _NAME not in value:
                return value
            case ast.Name(id=name) if name.startswith(_NAME):
                return self._value_of(self._ids[int(name.removeprefix(_NAME))])
            case ast.Attribute():
                return _NAMES[ast.unparse(node)]
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self.of(each) for each in items]
            case ast.IfExp(test=test, body=body, orelse=otherwise):
                return self.of(body if self.of(test) else otherwise)
            case ast.UnaryOp(op=op, operand=operand):
                return _UNARY[type(op)](self.of(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return _calculated(type(op), self.of(left), self.of(right))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                sides = self.of(left), self.of(right)
                if any(isinstance(each, _ListedArray) for each in sides):
                    raise Unread
                return _COMPARED[type(op)](*sides)
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]):
                return _CALLED[name](self.of(argument))
            case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr="from_numpy"), args=[argument], keywords=[]):
                return self.of(argument)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr="load"), args=[path], keywords=how) if (
                self._load is not None and {each.arg for each in how} <= _OF_LOADING
            ):
                return self._load(self.of(path))
            case ast.Subscript(value=mapping, slice=ast.Constant(value=str() as key)):
                values = self.of(mapping)
                if not isinstance(values, Mapping):
                    raise Unread
                value = values[key]
                return _ListedArray(value) if isinstance(value, list) else value
            case _:
                raise Unread


def _calculated(op: type[ast.operator], left: Any, right: Any) -> Any:
    numbers = all(isinstance(each, int | float) for each in (left, right))
    # words and lists are joined alone: multiplied, or filled in, they grow without a bound
    if not numbers and not (op is ast.Add and type(left) is type(right) and type(left) in (str, list)):
        raise Unread
    return _BINARY[op](left, right)
