"""YAML text becomes a tree of nodes that know their line and column; what may be wrong with it is told by file:line:column (HLM-20xx).

Nothing is typed here: `NO`, `0123` and `22:30` stay text.
"""

import functools
import io
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Protocol

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from node.domain.errors import ConfigError
from node.domain.profile import Profile
from node.domain.route import Asked


class ConfigMissing(ConfigError):
    """There is no configuration file, or it cannot be read."""

    code = "HLM-2001"
    remedy = "Name a file with --config, or by HILUM_CONFIG; `hilum init` writes one to begin with."


class ConfigSyntax(ConfigError):
    """The file is not YAML."""

    code = "HLM-2002"
    remedy = "Mend the YAML at that place (indentation, brackets, quotes), then run `hilum config check`."


class UnknownKey(ConfigError):
    """A key that hilum does not know, or a DICOM keyword that does not exist."""

    code = "HLM-2003"
    remedy = "Correct the key's spelling; docs/reference/configuration.md lists every key. Then run `hilum config check`."


class DuplicateKey(ConfigError):
    """The same key stands twice in one mapping."""

    code = "HLM-2004"
    remedy = "Keep one of the two entries, then run `hilum config check`."


class WrongType(ConfigError):
    """A list, mapping or single value stands where another of them belongs."""

    code = "HLM-2005"
    remedy = "Write the value in the form that the message names, then run `hilum config check`."


class BadValue(ConfigError):
    """A value that the key does not take."""

    code = "HLM-2006"
    remedy = "Give the key a value of the kind that the message names, then run `hilum config check`."


class MissingKey(ConfigError):
    """A key that must be there is not, or has no value."""

    code = "HLM-2007"
    remedy = "Add the key, then run `hilum config check`."


class UnknownName(ConfigError):
    """A name that nothing bears: a peer, sink, engine, application or called AE title that is not configured."""

    code = "HLM-2008"
    remedy = "Correct the name, or add what it names to the configuration; then run `hilum config check`."


class DuplicateName(ConfigError):
    """Two entries that cannot be told apart."""

    code = "HLM-2009"
    remedy = "Rename or remove one of the two, then run `hilum config check`."


class UnfitCondition(ConfigError):
    """A condition that can never be asked of the keyword: its value representation has no such values."""

    code = "HLM-2010"
    remedy = "Use a condition that fits the keyword's value representation; docs/reference/configuration.md has the table."


class BadPattern(ConfigError):
    """A regular expression that does not compile, or that no search in linear time can take."""

    code = "HLM-2011"
    remedy = "Mend the regular expression (RE2's syntax) as the message says; quote it, so that YAML leaves it alone."


class SeriesNumbersClash(ConfigError):
    """Two applications that the routes run have one number in Series Numbers."""

    code = "HLM-2012"
    remedy = "Give one of them another `series` (1 to 99) in its manifest, or none: the node then gives it one that is free."


class UnfitParts(ConfigError):
    """An application is to take parts of a series that what it takes does not have."""

    code = "HLM-2013"
    remedy = "Take `parts` out of its entry in `applications`, or name what the message says: volumes have `each` and `b0`, loops `each`."


class UnfitRoles(ConfigError):
    """A route gives series roles that its application does not have, or none to a role that must be filled."""

    code = "HLM-2014"
    remedy = "Write under `roles` what the application calls them; the message says which there are, and which must be filled."


class UnservedVersion(ConfigError):
    """A route asks for a version of an application that is not the one installed, or served, here."""

    code = "HLM-2015"
    remedy = "Write the version that the message says is here, or none; or bring the other one (`hilum models rollback`, its package)."


class ConfigRefused(ConfigError):
    """Several things are wrong; `problems` holds them in the order of the file."""

    code = "HLM-2020"
    remedy = "Correct the lines and run `hilum config check`."

    def __init__(self, problems: Sequence[ConfigError]) -> None:
        super().__init__("\n".join(f"{problem} [{problem.code}]" for problem in problems))
        self.problems = tuple(problems)


class NotBlockAlone(ConfigError):
    """What is to stand in the place of a block of the file is more than that block, or less, or leans on another one."""

    code = "HLM-2021"
    remedy = "Give the block alone, its key included (`routes:`, `peers:` or `sinks:`); everything else is edited in the file itself."


class Refused(Exception):
    """Reading of one value ended; its problem is already in `Here.problems`."""


class Trust(Protocol):
    """What the TLS listener of the file has that entries of peers may leave out."""

    @property
    def certificate(self) -> Path: ...

    @property
    def key(self) -> Path: ...

    @property
    def authorities(self) -> Path: ...

    @property
    def revocations(self) -> Path | None: ...
    @property
    def places(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """Where reading stands: the file, what the messages are about, which names, profiles, definitions (None: one that is wrong) and TLS
    listener exist, the problems so far."""

    file: str
    folder: Path
    subject: str = ""
    names: Mapping[str, Collection[str]] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    definitions: Mapping[str, tuple[Asked, ...] | None] = field(default_factory=dict)
    listener: Trust | None = None
    problems: list[tuple[int, int, ConfigError]] = field(default_factory=list)

    def about(self, subject: str) -> "Here":
        """The same place, one level further in."""
        return replace(self, subject=f"{self.subject}: {subject}" if self.subject else subject)

    def on(self, subject: str) -> "Here":
        """The same file, about something else."""
        return replace(self, subject=subject)

    def refuse(self, error: type[ConfigError], at: Node, says: str) -> Refused:
        """Keep a problem with its place; raise what comes back where reading cannot go on."""
        self.problems.append((at.start_mark.line + 1, at.start_mark.column + 1, error(f"{self.place(at)}{says}")))
        return Refused()

    def place(self, at: Node) -> str:
        """Where a value stands and what it is about, as a message begins."""
        about = f"{self.subject}: " if self.subject else ""
        return f"{self.file}:{at.start_mark.line + 1}:{at.start_mark.column + 1}: {about}"


def read(path: Path) -> bytes:
    """What a YAML file holds.

    Raises
    ------
    ConfigMissing
        The file is not there or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as absent:
        raise ConfigMissing(f"{path}: {absent.strerror}") from absent


def parse(data: bytes, path: Path) -> Node:
    """The tree of what was read at `path`.

    Raises
    ------
    ConfigSyntax
        It is not UTF-8, not YAML, or empty.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as broken:
        if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
            raise ConfigSyntax(f"{path}:1:1: this is UTF-16, as some editors of Windows write it; save it as UTF-8") from broken
        line = data.count(b"\n", 0, broken.start) + 1
        column = broken.start - data.rfind(b"\n", 0, broken.start)
        raise ConfigSyntax(f"{path}:{line}:{column}: byte 0x{data[broken.start]:02x} is not UTF-8") from broken
    try:
        tree = _compose(text)
    except MarkedYAMLError as broken:
        mark = broken.problem_mark or broken.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}:1:1"
        raise ConfigSyntax(f"{place}: {in_words(broken)}") from broken
    except YAMLError as broken:  # a character that YAML forbids has a position, but no mark
        raise ConfigSyntax(f"{path}:1:1: {' '.join(str(broken).split())}") from broken
    except RecursionError as deep:
        raise ConfigSyntax(f"{path}:1:1: brackets nested hundreds deep") from deep
    if tree is None:
        raise ConfigSyntax(f"{path}:1:1: the file holds no configuration; `hilum init` writes one to begin with")
    _refuse_tags(tree, path)
    _refuse_bombs(tree, path)
    return tree


def _refuse_tags(tree: Node, path: Path) -> None:
    """Refuse `!secret name` and its like, which would otherwise be read as the text `name`."""
    waiting, seen = [tree], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if str(node.tag) not in _TAGS:
            place = f"{path}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
            raise ConfigSyntax(f'{place}: the tag "{node.tag}" means nothing here')
        if isinstance(node, MappingNode):
            waiting.extend(part for pair in node.value for part in pair)
        elif isinstance(node, SequenceNode):
            waiting.extend(node.value)


_MOST_VALUES = 100_000


def _refuse_bombs(tree: Node, path: Path) -> None:
    """Refuse aliases that unfold to more than anybody wrote, or to themselves: reading them would not end."""
    sizes: dict[int, int] = {}
    waiting, open_ = [tree], set()
    while waiting:
        node = waiting[-1]
        parts = _parts(node)
        missing = [part for part in parts if id(part) not in sizes]
        if id(node) in sizes or not missing:
            waiting.pop()
            open_.discard(id(node))
            sizes[id(node)] = 1 + sum(sizes[id(part)] for part in parts)
            if sizes[id(node)] > _MOST_VALUES:
                raise _unfolds(node, path)
            continue
        open_.add(id(node))
        if any(id(part) in open_ for part in missing):
            raise _unfolds(node, path)
        waiting.extend(missing)


def _parts(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []


def _unfolds(node: Node, path: Path) -> ConfigSyntax:
    place = f"{path}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
    return ConfigSyntax(f"{place}: more than {_MOST_VALUES} values, those that aliases (`*name`) repeat counted each time")


_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "merge", "value")
)


def _compose(text: str) -> Node | None:
    tree: Node | None = YAML(typ="safe", pure=True).compose(io.StringIO(text))
    return tree


@functools.cache
def snippet(text: str) -> Node:
    """The tree of a short YAML text that hilum itself wrote (a default)."""
    tree = _compose(text)
    assert tree is not None, "hilum's own defaults are not empty"
    return tree


def entries(mapping: Node) -> list[tuple[ScalarNode, Node]]:
    """The pairs of a mapping whose keys are text; nothing for any other node."""
    if not isinstance(mapping, MappingNode):
        return []
    return [(key, value) for key, value in mapping.value if isinstance(key, ScalarNode)]


def child(tree: Node, *keys: str) -> Node | None:
    """The node under a path of keys, where there is one."""
    found: Node | None = tree
    for key in keys:
        found = next((value for name, value in entries(found) if name.value == key), None) if found is not None else None
    return found


def is_empty(node: Node) -> bool:
    """Whether a key stands there with nothing behind it."""
    return isinstance(node, ScalarNode) and node.style is None and node.value in ("", "~")


def kind_of(node: Node) -> str:
    """What a node is, in words."""
    if isinstance(node, MappingNode):
        return "a mapping"
    return "a list" if isinstance(node, SequenceNode) else "a single value"


def suggestion(word: str, options: Collection[str]) -> str:
    """`; did you mean "…"?`, else the possible words where they are few, else nothing."""
    lowered = {option.lower(): option for option in sorted(options, reverse=True)}
    near = get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{lowered[near[0]]}"?'
    if not options:
        return "; there is none"
    return f"; possible: {', '.join(sorted(options))}" if len(options) <= 13 else ""


def scalar_text(at: Node, here: Here, wants: str) -> str:
    """The text of a single value, as it was written; refuses lists, mappings and a value that is absent."""
    if not isinstance(at, ScalarNode):
        raise here.refuse(WrongType, at, f"{kind_of(at)}, where {wants} belongs")
    if is_empty(at):
        raise here.refuse(MissingKey, at, f"has no value; {wants} belongs here")
    return str(at.value)


_INDENTED: Final = "this line is indented otherwise than the entries beside it"
_QUOTES: Final = 'a value that begins with "FOUND" needs quotes'
_MISTAKES: Final[Sequence[tuple[str, str, str]]] = (
    # what the parser was doing, its problem, and the words: FOUND is what the group found, BEGAN the line in which it began
    ("", r"found character '\\t' that cannot start any token", "a tab: YAML is indented with blanks alone"),
    ("", r"found character '(.)' that cannot start any token", _QUOTES),
    ("", r"found undefined alias '(.*)'", _QUOTES.replace("FOUND", "*")),
    ("alias", r"expected alphabetic or numeric character.*", _QUOTES.replace("FOUND", "*")),
    ("anchor", r"expected alphabetic or numeric character.*", _QUOTES.replace("FOUND", "&")),
    (
        "",
        r"mapping values are not allowed here",
        "a colon where no key can stand: the line is indented otherwise than the one above, or a value holds `: ` and needs quotes",
    ),
    ("flow mapping", r"expected ',' or '}', but got .*", "the { of line BEGAN is not closed with }, or a comma is missing before this"),
    ("flow sequence", r"expected ',' or '\]', but got .*", "the [ of line BEGAN is not closed with ], or a comma is missing before this"),
    ("quoted", r"found unexpected end of stream", "the quotation mark of line BEGAN is not closed"),
    ("quoted", r"found unknown escape character '(.)'", "in double quotes \\FOUND means something to YAML: take single quotes"),
    ("block", r"expected <block end>, but found '([]}])'", "a FOUND that closes nothing"),
    ("block", r"expected the node content, but found '([]}])'", "a FOUND that closes nothing"),
    ("block", r"expected <block end>, but found '<scalar>'", "a quotation mark inside quotes: write it twice, or take the other kind"),
    ("block", r"expected <block end>, but found .*", _INDENTED),
    ("simple key", r"could not find expected ':'", "line BEGAN is neither `key: value` nor a list's `- value`"),
    (
        "block scalar",
        r"expected .*, but found '(.)'",
        "text behind | or > begins in the line below; a value that begins with one of them needs quotes",
    ),
    ("single document", r"but found another document", "a second document begins here (`---`): one file is one configuration"),
)


def in_words(broken: MarkedYAMLError) -> str:
    """The mistake in words; what the table does not know, as the parser says it, without what it was doing then."""
    problem = str(broken.problem or "not YAML")
    mark = broken.context_mark or broken.problem_mark
    for context, said, words in _MISTAKES:
        if context in str(broken.context or "") and (found := re.fullmatch(said, problem, re.DOTALL)):
            words = words.replace("BEGAN", str(mark.line + 1 if mark else 1))
            return words.replace("FOUND", found[1]) if found.groups() else words
    return problem
