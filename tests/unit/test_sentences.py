"""Sentences are written for people: nothing takes one apart, or compares it, to decide by it; and nothing decides by the history.

What a sentence is handed on as is followed within a function; into other functions it is not.
"""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

_ROOT: Final = Path(__file__).parents[2]
_PROGRAMS: Final = ("node", "inference")
_SHOWN: Final = ("node/cli/", "node/console/", "node/records/")
"""What shows sentences and the history to people: it may cut them to a line's length, and set off what they say."""
_SENTENCES: Final = frozenset({"detail", "reason", "waits_for"})
"""What columns, fields, keys and variables are called that hold them."""
_TAKES_APART: Final = frozenset(
    {
        *("startswith", "endswith", "partition", "rpartition", "split", "rsplit", "splitlines", "removeprefix", "removesuffix"),
        *("find", "rfind", "index", "rindex", "count", "isdigit"),
        *("match", "fullmatch", "search", "findall", "finditer", "fnmatch", "fnmatchcase", "loads", "literal_eval", "int", "float"),
        *("like", "ilike", "not_like", "not_ilike", "contains", "icontains", "regexp_match", "in_", "not_in", "is_", "is_not"),
    }
)
"""Functions and methods, of SQLAlchemy's columns too."""
_STILL_ONE: Final = frozenset(
    {"str", "cast", "coalesce", "casefold", "encode", "lower", "lstrip", "replace", "rstrip", "strip", "trim", "upper"}
)
"""Functions and methods whose result is the sentence still."""
_IN_SQL: Final = re.compile(
    rf"\b({'|'.join(sorted(_SENTENCES))})\b['\"]?\s*(=|<>|!=|~|(NOT\s+)?(I?LIKE|GLOB|MATCH|REGEXP|SIMILAR)\b|(NOT\s+)?IN\s*\()",
    re.IGNORECASE,
)
_OTHER_THINGS: Final[dict[str, frozenset[str]]] = {
    "inference/applications/mr_denoise/preparing.py": frozenset({"detail[tuple(even)]", "detail[tuple(odd)]", "detail[flat]"}),
    "inference/imaging/stored.py": frozenset({"str(reason).strip().splitlines()"}),
    "inference/engines/triton/loading.py": frozenset({"listed.reason.split()"}),
    "node/dimse/tls.py": frozenset({"unfit.reason == 'KEY_VALUES_MISMATCH'"}),
}
"""By file, what has one of the names and is no sentence (wavelets' detail, OpenSSL's names of its errors), or is cut to a line's length."""

_HISTORY_IN_SQL: Final = re.compile(r"\b(FROM|JOIN) event\b")
_FOLLOWS: Final = frozenset({"events.behind", "events.position", "events.advance"})
_ASKS_THE_HISTORY: Final[dict[str, frozenset[str]]] = {
    "node/journal/erasure.py": frozenset({"_delete: table", "_forget_words: table"}),
    "node/journal/events.py": frozenset({"module: table", "behind: table", "of: table"}),
    "node/journal/journal.py": frozenset({"events."}),
    "node/journal/retention.py": frozenset({"prune_history: table"}),
    "node/journal/store.py": frozenset({"module: table"}),
    "node/journal/transitions.py": frozenset({"note: table"}),
    "node/upkeep/audit.py": _FOLLOWS,
    "node/upkeep/notices.py": _FOLLOWS,
    "node/upkeep/traces.py": _FOLLOWS | {"events.of"},
}
"""By file, what may ask the history, or names its table: what writes and deletes it, what tells it, and whether a journal has any row."""


def _calls(node: ast.expr) -> str:
    """What a call's function or method is called."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_nothing(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


class _Reader:
    """Finds, in one stretch of source, where a sentence is taken apart, looked into or compared; `names` are variables that hold one."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def is_sentence(self, node: ast.expr) -> bool:
        match node:
            case ast.Name(id=name):
                return name in self._names
            case ast.Attribute(attr=name):
                return name in _SENTENCES
            case ast.Subscript(slice=ast.Constant(value=str(name))):
                return name in _SENTENCES
            case ast.BoolOp(values=values) | ast.Tuple(elts=values) | ast.List(elts=values) | ast.Set(elts=values):
                return any(map(self.is_sentence, values))
            case ast.IfExp(body=body, orelse=other):
                return self.is_sentence(body) or self.is_sentence(other)
            case ast.NamedExpr(value=value):
                return self.is_sentence(value)
            case ast.Call(func=function, args=arguments) if _calls(function) in _STILL_ONE:
                return any(map(self.is_sentence, arguments)) or (isinstance(function, ast.Attribute) and self.is_sentence(function.value))
        return False

    def decides(self, node: ast.AST) -> bool:
        match node:
            case ast.Call(func=function, args=arguments, keywords=keywords) if _calls(function) in _TAKES_APART:
                if _calls(function) in ("is_", "is_not") and all(map(_is_nothing, arguments)):
                    return False
                handed = [*arguments, *(one.value for one in keywords)]
                return any(map(self.is_sentence, handed)) or (isinstance(function, ast.Attribute) and self.is_sentence(function.value))
            case ast.Compare(left=left, comparators=others):
                sides = [left, *others]
                return any(map(self.is_sentence, sides)) and not any(map(_is_nothing, sides))
            case ast.Subscript(value=value):
                return self.is_sentence(value)
            case ast.Match(subject=subject):
                return self.is_sentence(subject)
            case ast.Constant(value=str(text)):
                return _IN_SQL.search(text) is not None
        return False

    def given(self, function: ast.AST) -> frozenset[str]:
        """The variables of a function that a sentence is assigned to."""
        given = set()
        for node in ast.walk(function):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.NamedExpr(target=ast.Name(id=name), value=value):
                    if self.is_sentence(value):
                        given.add(name)
        return frozenset(given)


def _deciding(source: str) -> frozenset[str]:
    """The expressions of a file that decide by a sentence."""
    tree, found = ast.parse(source), set()
    stretches: list[tuple[ast.AST, frozenset[str]]] = [(tree, _SENTENCES)]
    plain = _Reader(_SENTENCES)
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    stretches += [(function, _SENTENCES | more) for function in functions if (more := plain.given(function) - _SENTENCES)]
    for stretch, names in stretches:
        reader = _Reader(names)
        for node in ast.walk(stretch):
            if reader.decides(node):
                found.add(ast.unparse(node.subject if isinstance(node, ast.Match) else node))
    return frozenset(found)


def _sources() -> dict[str, str]:
    files = sorted(path for package in _PROGRAMS for path in (_ROOT / package).rglob("*.py"))
    assert len(files) > 400, "the sources are where they are looked for"
    named = {path.relative_to(_ROOT).as_posix(): path for path in files}
    return {name: path.read_text(encoding="utf-8") for name, path in named.items() if not name.startswith(_SHOWN)}


def test_no_sentence_decides() -> None:
    """Outside of what shows them none is taken apart, looked into or compared; a line above that nothing needs is a failure too."""
    found = {file: _deciding(source) for file, source in _sources().items() if any(name in source for name in _SENTENCES)}
    assert {file: what for file, what in found.items() if what} == _OTHER_THINGS


def _asked_of_the_history(source: str) -> frozenset[str]:
    """What a file asks of the history: of the journal's `events`, handed on or not; and where it names the table, as SQL does."""
    tree = ast.parse(source)
    within: dict[ast.AST, str] = {}
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
        within |= dict.fromkeys(ast.walk(function), function.name)
    methods = {id(node.value): node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    asked = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr="events"):
                asked.add(f"events.{methods.get(id(node), '')}")
            case ast.Attribute(value=ast.Name(id="schema"), attr="event"):
                asked.add(f"{within.get(node, 'module')}: table")
            case ast.ImportFrom(module=str(module), names=names) if module.startswith("node.journal.schema"):
                asked |= {f"{within.get(node, 'module')}: table" for one in names if one.name == "event"}
            case ast.Constant(value=str(text)) if _HISTORY_IN_SQL.search(text):
                asked.add(f"{within.get(node, 'module')}: SQL")
    return frozenset(asked)


def test_nothing_asks_the_history() -> None:
    """The events of a job, a delivery or an arrival are read to be shown. Audit and notices follow all events, by their names and codes."""
    found = {file: _asked_of_the_history(source) - {"events.note"} for file, source in _sources().items() if "event" in source}
    assert {file: asked for file, asked in found.items() if asked} == _ASKS_THE_HISTORY


@pytest.mark.parametrize(
    "source",
    [
        'journal.events.of("job", 1)',
        "self._journal.events.behind(0, now)",
        "lines = journal.events",
        "def f(connection):\n    return connection.execute(select(schema.event))",
        "from node.journal.schema import arrival, event",
        "text('SELECT count(*) FROM event WHERE subject_id = 1')",
    ],
)
def test_what_would_ask_the_history_is_found(source: str) -> None:
    """By the journal's port, by the table, and in SQL."""
    assert _asked_of_the_history(source)


@pytest.mark.parametrize(
    "source",
    [
        'line.detail.startswith("HLM-4003")',
        'event.detail.partition(" ")[0]',
        "receipt.c.detail.startswith(LEFT_OUT, autoescape=True)",
        'row.detail.like("left out: %")',
        "text(\"accepted AND NOT detail LIKE 'left out: %'\")",
        're.match("waits", decision.reason or "")',
        "_WAITS.match(string=decision.reason)",
        'json.loads(line.detail)["application"]',
        "(row.state, row.code, row.reason) == (state, code, reason)",
        'reason == "tilted"',
        'job.reason.strip().lower() == "tilted"',
        '"parked" in decision.reason',
        'said["reason"] in ("parked", "tilted")',
        "detail[:8]",
        "match reason:\n    case 'tilted': pass",
        "def f(job):\n    why = job.reason or ''\n    return why.endswith('again')",
        "def f(job):\n    if (why := job.reason) and 'again' in why:\n        return 1",
    ],
)
def test_what_would_decide_is_found(source: str) -> None:
    """Every way in which the node once did, and some others."""
    assert _deciding(source)


@pytest.mark.parametrize(
    "source",
    [
        'f"{code} {reason}"',
        "job.reason is None",
        "_job.reason.is_(None)",
        "note(detail=reason)",
        '"; ".join(reason)',
        'Column("detail", Words, comment="the reason, in words")',
        "why = job.reason\ndef f(why): return why.endswith('again')",
    ],
)
def test_what_hands_a_sentence_on_is_not(source: str) -> None:
    """It may be written, kept, handed on, and be missing."""
    assert not _deciding(source)
