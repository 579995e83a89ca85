"""Who names a plug-in: a reading of the source, for tests that count the places that know of one."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]


def names(source: str, word: str, module: str) -> bool:
    """Whether a module has `word` as a text of its own, or imports `module`, or anything below it."""
    if word not in source and module.rpartition(".")[2] not in source:
        return False  # most files: they need not be parsed
    for node in ast.walk(ast.parse(source)):
        imported: set[str] = set()
        if isinstance(node, ast.Constant) and node.value == word:
            return True
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            imported = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        if isinstance(node, ast.Import):
            imported = {alias.name for alias in node.names}
        if any(f"{one}.".startswith(f"{module}.") for one in imported):
            return True
    return False


def naming(word: str, module: str) -> set[str]:
    """The files of node and inference that name `word`, or import `module`; without that module's own."""
    own = module.replace(".", "/")
    sources = {path.relative_to(ROOT).as_posix(): path for room in ("node", "inference") for path in (ROOT / room).rglob("*.py")}
    others = {name: path for name, path in sources.items() if name != f"{own}.py" and not name.startswith(f"{own}/")}
    assert len(others) < len(sources), f"{module} is there"
    return {name for name, path in others.items() if names(path.read_text(encoding="utf-8"), word, module)}
