"""Commands on pages: each verb that a page names is there, and so is each of its options."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from node.cli.main import build, verb_path

from .test_links import ROOT, pages

_FENCED = re.compile(r"^ *```\w*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"^ {4}(?:\$ )?(hilum [a-z].*)$", re.MULTILINE)
_LINE = re.compile(r"^\s*(?:\$ |sudo -u \S+ )?((?:\S*/)?hilum [a-z].*)$", re.MULTILINE)
_CODE = re.compile(r"`(hilum [a-z][^`\n]*)`")
_HISTORY = {ROOT / "CHANGELOG.md"}
_NONE = ("hilum at rest,", "hilum jobs lst")
"""What begins so is no command: labels of keys; and the mistake that a page tells of."""
_GROUPS = ("jobs", "studies", "models", "routes", "config", "console", "patients", "users", "tokens")


def commands(page: Path) -> Iterator[str]:
    """What a page tells people to call: in blocks, and in running text."""
    text = page.read_text("utf-8")
    for block in _FENCED.findall(text):
        yield from (one.partition("hilum ")[1] + one.partition("hilum ")[2] for one in _LINE.findall(block))
    yield from _INDENTED.findall(text)
    yield from (one for one in _CODE.findall(_FENCED.sub("", text)) if not one.startswith(_NONE))


def _options(app: App, path: tuple[str, ...]) -> set[str]:
    verb = app
    for word in path:
        verb = verb[word]
    if verb.default_command is None:
        return {"--help"}
    return {name for argument in verb.assemble_argument_collection() for name in argument.names} | {"--help"}


def _wrong(app: App, command: str) -> str:
    """What is wrong with a command as a page writes it; nothing where all of it is there."""
    # what is said behind it (a comment, another command), and alternatives as `list|show`
    words = re.split(r"\s+#|\s+&&|\s*[;>]|\s+\|\s", command)[0].replace("\\", " ").split()[1:]
    first = [word.split("|")[0].rstrip(",.:)") for word in words]
    path = verb_path(app, first)
    if not path and not first[0].startswith("-"):
        return f"there is no verb {first[0]}"
    after = first[len(path) : len(path) + 1]
    if path and path[-1] in _GROUPS and after and re.fullmatch(r"[a-z-]+", after[0]) and not after[0].startswith("-"):
        return f"there is no verb {' '.join((*path, after[0]))}"
    known = _options(app, path) | {"--version"}
    named = {word.split("=")[0].strip("[],.)") for word in words if word.startswith(("--", "[--"))}
    missing = {one for one in named if one not in known and one != "--"}
    return f"{' '.join(path)} has no {', '.join(sorted(missing))}" if missing else ""


@pytest.fixture(scope="module")
def app() -> App:
    """The command."""
    return build()


@pytest.mark.parametrize("page", [page for page in pages() if page not in _HISTORY], ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_tells_people_to_call_is_there(app: App, page: Path) -> None:
    """Verbs that were renamed, and options that went, stay on no page."""
    assert {command: wrong for command in commands(page) if (wrong := _wrong(app, command))} == {}


def test_commands_are_found_and_mistakes_are_seen(app: App) -> None:
    """The test above would pass over pages in which it saw none."""
    assert len({one for page in pages() for one in commands(page)}) > 150
    assert _wrong(app, "hilum jobs lst") == "there is no verb jobs lst"
    assert _wrong(app, "hilum models export brain") == "there is no verb models export"
    assert _wrong(app, "hilum events --folow") == "events has no --folow"
    assert _wrong(app, "hilum jobs list|show --json && hilum jobs lst") == ""
