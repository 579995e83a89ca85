"""TorchScript archives read as text: classes and functions of `code/`, what they call, which methods would run while they are loaded.

The text is a subset of Python's grammar and is parsed as such, never compiled. What the loader makes of it is looked at again, operator by
operator, where it is loaded (`walking`); this reading is the one that comes before any of it can run.
"""

import ast
import re
from collections.abc import Iterator

from inference.engines.errors import HostileModel, UnreadableModel
from inference.engines.sieve.operators import is_arithmetic, is_known, named
from inference.engines.sieve.pickled import MOST_BYTES, TENSORS, sift_pickle
from inference.engines.sieve.syntax import statements
from inference.engines.sieve.zipped import Archive

_MOST_SOURCE = 16 << 20
_MOST_SOURCES = 64 << 20
_MOST_LINE = 1 << 20
_MOST_BRACKETS = 60
_MOST_INDENT = 200

_PLAIN = re.compile(
    r"data\.pkl|constants\.pkl|version|byteorder|\.data/(version|serialization_id)|\.format_version|\.storage_alignment"
    r"|(data|constants|traced_inputs)/\d+|traced_inputs\.pkl|code/__torch__(/\w+)*\.py(\.debug_pkl)?|extra/[^/]+(/[^/]+)*"
)
_BUILDERS = frozenset(
    f"torch.jit._pickle {name}"
    for name in ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "build_tensor_from_id", "restore_type_tag")
)
_WORDS = named(
    "annotate unchecked_cast uninitialized getattr hasattr isinstance range int float bool complex str len min max abs round list print"
)
"""What is called by its bare name."""

_AT_LOAD = {"__setstate__": "runs while the file is loaded", "__getstate__": "belongs to a method that runs while the file is loaded"}
_METHODS = named(
    """
__add__ __bool__ __call__ __contains__ __delitem__ __enter__ __eq__ __exit__ __float__ __ge__ __getitem__ __gt__ __init__ __int__
__iter__ __le__ __len__ __lt__ __mul__ __ne__ __neg__ __next__ __setitem__ __str__ __sub__ __truediv__
"""
)
_NEVER = named(
    """
from_file save load fork wait rpc_async rpc_sync rpc_remote to_here owner set_ set_data resize_ as_strided as_strided_ exec eval open
compile __import__ __builtins__ __globals__ __subclasses__ __class__ __reduce__
"""
)
"""Names that stand for nothing a model computes, also where a class of the archive calls a method of its own so."""

_TYPES = frozenset({"Future", "Await", "RRef", "PyObject", "Capsule", "Stream", "Interface"})
_STATEMENTS = (
    *(ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.If, ast.For, ast.While, ast.Return, ast.Pass, ast.Expr),
    *(ast.Assert, ast.Raise, ast.Break, ast.Continue, ast.Delete, ast.With),
)
_EXPRESSIONS = (
    *(ast.Call, ast.Attribute, ast.Name, ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Subscript, ast.Slice, ast.BinOp, ast.UnaryOp),
    *(ast.BoolOp, ast.Compare, ast.IfExp, ast.Starred, ast.keyword, ast.arguments, ast.arg, ast.withitem, ast.expr_context, ast.operator),
    *(ast.unaryop, ast.boolop, ast.cmpop, ast.Module),
)


def sift_script(content: bytes, what: str) -> None:
    """Refuse a TorchScript archive that holds more than a computation.

    Parameters
    ----------
    what
        The file, for sentences.

    Raises
    ------
    UnreadableModel
        It is no TorchScript archive.
    HostileModel
        With the member, the line and the name.
    """
    if content[:2] == b"\x80\x02" or content[:4] != b"PK\3\4":
        raise UnreadableModel(f"{what} is not a TorchScript file: {_kind(content)}")
    archive = Archive(content, what)
    roots = {name.split("/")[0] for name in archive.members}
    if len(roots) != 1:
        raise HostileModel(f"{what} holds {len(roots)} archives: {', '.join(sorted(roots)[:4])}")
    root = roots.pop() + "/"
    members = {name.removeprefix(root): name for name in archive.members}
    if "constants.pkl" not in members or not any(name.startswith("code/") for name in members):
        raise UnreadableModel(
            f"{what} is not a TorchScript file: it has no code. If it is a checkpoint of weights, bring it in a bundle "
            "(docs/howto/bring-a-model.md) with the configuration of its network"
        )
    for name in members:
        if not _PLAIN.fullmatch(name):
            raise HostileModel(f"{what} holds {name}, which is no part of a TorchScript file")
    sources = {name: place for name, place in members.items() if name.endswith(".py")}
    if sum(archive.members[place].size for place in sources.values()) > _MOST_SOURCES:
        raise HostileModel(f"{what} has more than {_MOST_SOURCES} bytes of code")
    parsed = {name: _parsed(archive.read(place, _MOST_SOURCE), f"{what}: {name}") for name, place in sources.items()}
    defined = {
        f"{_module(name)}.{each.name}": each
        for name, tree in parsed.items()
        for each in tree.body
        if isinstance(each, ast.ClassDef | ast.FunctionDef)
    }
    methods = {each.name for one in defined.values() for each in one.body if isinstance(each, ast.FunctionDef)}
    for name, tree in parsed.items():
        _ScriptReading(f"{what}: {name}", frozenset(defined), frozenset(methods)).module(tree)

    def allowed(asked: str) -> bool:
        module, _, last = asked.partition(" ")
        return asked in TENSORS or asked in _BUILDERS or f"{module}.{last}" in defined

    for name in ("data.pkl", "constants.pkl", "traced_inputs.pkl"):
        if name in members:
            sift_pickle(archive.read(members[name], MOST_BYTES), f"{what}: {name}", allowed)
    for name in (each for each in members if each.endswith(".debug_pkl")):
        sift_pickle(archive.read(members[name], MOST_BYTES), f"{what}: {name}", _BUILDERS.__contains__)


def _kind(content: bytes) -> str:
    if content[:2] == b"\x80\x02":
        return "it is a pickle of another program; weights alone (a state dict) come in a bundle (docs/howto/bring-a-model.md)"
    return "it is no archive (zip)"


def _module(member: str) -> str:
    return member.removeprefix("code/").removesuffix(".py").replace("/", ".")


def _parsed(source: bytes, what: str) -> ast.Module:
    """The text as Python's parser sees it, where torch's own parser sees the same: plain ASCII, no comments, no continued lines."""
    try:
        text = source.decode("ascii")
    except UnicodeDecodeError as other:
        raise HostileModel(f"{what} has a character at byte {other.start} that no TorchScript code has") from other
    _refuse_odd_lines(text, what)
    try:
        return statements(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as unclear:
        line = getattr(unclear, "lineno", None)
        raise HostileModel(f"{what}{f', line {line}' if line else ''} cannot be read as TorchScript code: {unclear}") from unclear


def _refuse_odd_lines(text: str, what: str) -> None:
    """What two parsers may read in two ways, and what would exhaust one: strings over lines, comments, deep nesting."""
    if odd := re.search(r"[^\n\x20-\x7e]", text):
        raise HostileModel(f"{what} has the character {odd[0]!r} in line {text.count(chr(10), 0, odd.start()) + 1}")
    depth = 0
    for number, line in enumerate(text.split("\n"), start=1):
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', line)
        if len(line) > _MOST_LINE or len(line) - len(line.lstrip(" ")) > _MOST_INDENT:
            raise HostileModel(f"{what}, line {number} is longer or further in than code is")
        if "#" in bare or "\\" in bare or "'" in bare or '"""' in line or bare.count('"') % 2 or ";" in bare or "`" in bare or "^" in bare:
            raise HostileModel(
                f"{what}, line {number} has a comment, a string or a sign that TorchScript code does not have: {line.strip()[:80]}"
            )
        for sign in bare:
            depth += (sign in "([{") - (sign in ")]}")
            if depth > _MOST_BRACKETS:
                raise HostileModel(f"{what}, line {number} is nested deeper than {_MOST_BRACKETS}")


class _ScriptReading:
    """One file of `code/`, walked from its first statement to its last."""

    def __init__(self, what: str, defined: frozenset[str], methods: frozenset[str]) -> None:
        self._what = what
        self._defined = defined
        self._methods = methods

    def module(self, tree: ast.Module) -> None:
        for statement in tree.body:
            if isinstance(statement, ast.ClassDef):
                self._class(statement)
            elif isinstance(statement, ast.FunctionDef):
                self._function(statement)
            else:
                self._refuse(statement, "a statement outside of classes and functions")

    def _class(self, node: ast.ClassDef) -> None:
        if (
            node.decorator_list
            or node.keywords
            or [ast.unparse(each) for each in node.bases]
            not in (
                [],
                ["Module"],
                ["NamedTuple"],
                ["Enum"],
            )
        ):
            self._refuse(node, f"class {node.name}, which is an interface or of another kind than models have")
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef):
                self._function(statement)
            elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.Pass):
                self._walk(statement, {})
            else:
                self._refuse(statement, f"a statement in the class {node.name} that is no field and no method")

    def _function(self, node: ast.FunctionDef) -> None:
        name = node.name
        if name in _AT_LOAD:
            self._refuse(node, f"the method {name}, which {_AT_LOAD[name]}")
        if name in _NEVER or (name.startswith("__") and name.endswith("__") and name not in _METHODS):
            self._refuse(node, f"a method {name}")
        if node.decorator_list:
            self._refuse(node, f"a decorator of {name}")
        aliases: dict[str, str] = {}
        for each in ast.walk(node):
            if isinstance(each, ast.Assign) and len(each.targets) == 1 and isinstance(each.targets[0], ast.Name):
                path = _path(each.value)
                if path is not None and path.startswith("__torch__."):
                    aliases[each.targets[0].id] = path
        self._walk(node, aliases)

    def _walk(self, root: ast.AST, aliases: dict[str, str]) -> None:
        # without recursion: the text may be nested as deep as the parser took it
        waiting: list[ast.AST] = [root]
        while waiting:
            node = waiting.pop()
            if not isinstance(node, (*_STATEMENTS, *_EXPRESSIONS)) or (
                isinstance(node, ast.FunctionDef | ast.ClassDef) and node is not root
            ):
                self._refuse(node, f"{type(node).__name__}, which no model's code has")
            if isinstance(node, ast.Call):
                waiting += self._call(node, aliases)
            elif isinstance(node, ast.Attribute):
                waiting += self._attribute(node)
            elif isinstance(node, ast.Name):
                self._name(node)
                continue
            else:
                waiting += ast.iter_child_nodes(node)

    def _call(self, node: ast.Call, aliases: dict[str, str]) -> Iterator[ast.AST]:
        arguments: list[ast.AST] = [*node.args, *node.keywords]
        called, path = node.func, _path(node.func)
        if path is None or path.split(".")[0] not in ("torch", "ops", "__torch__"):
            if isinstance(called, ast.Name):
                if called.id not in _WORDS and aliases.get(called.id) is None:
                    self._refuse(node, f"{called.id}(…), which is not on the list or is resolved nowhere")
                return iter(arguments)
            if not isinstance(called, ast.Attribute):
                self._refuse(node, "a call of what another call gave")
            assert isinstance(called, ast.Attribute)
            known = is_arithmetic(called.attr) or called.attr in self._methods
            if called.attr in _NEVER or not known:
                self._refuse(node, f"the method {called.attr}, which is not on the list")
            return iter([*arguments, called.value])
        parts = path.split(".")
        if parts[0] == "torch" and (len(parts) != 2 or not is_arithmetic(parts[1])):
            self._refuse(node, f"the operator {path}, which is not on the list")
        if parts[0] == "ops" and not (len(parts) == 3 and is_known(f"{parts[1]}::{parts[2]}")):
            self._refuse(node, f"the operator {path}, which is not on the list")
        if parts[0] == "__torch__":
            self._own(node, path.removesuffix(".__new__"))
        return iter(arguments)

    def _attribute(self, node: ast.Attribute) -> Iterator[ast.AST]:
        path = _path(node)
        if path is not None and path.split(".")[0] in ("torch", "ops", "__torch__"):
            if not path.startswith("__torch__."):
                self._refuse(node, f"{path}, which is passed on instead of being called")
            self._own(node, path)
            return iter(())
        if node.attr in _NEVER or (node.attr.startswith("__") and node.attr != "__new__"):
            self._refuse(node, f"the attribute {node.attr}")
        return iter([node.value])

    def _own(self, node: ast.AST, path: str) -> None:
        """A class or function of the archive itself, or a member of one of its enumerations."""
        if ".torch.classes." in f"{path}.":
            self._refuse(node, f"{path}, an object that a library outside of torch's own makes")
        if path not in self._defined and path.rpartition(".")[0] not in self._defined:
            self._refuse(node, f"{path}, which the archive does not hold")

    def _name(self, node: ast.Name) -> None:
        # a field or a variable may be called anything; what it is called by is looked at where it is used
        if isinstance(node.ctx, ast.Store):
            return
        if node.id in _TYPES or node.id in _NEVER or node.id in ("torch", "ops", "__torch__"):
            self._refuse(node, f"{node.id}, which no model's code needs")

    def _refuse(self, node: ast.AST, found: str) -> None:
        raise HostileModel(f"{self._what}, line {getattr(node, 'lineno', '?')}: {found}")


def _path(node: ast.AST) -> str | None:
    """The dotted name that an expression is, "torch.add"; None where it is something else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None
