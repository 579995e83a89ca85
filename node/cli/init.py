"""`hilum init`: the files and folders of a new node, in a folder that has none yet."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from node.cli.ending import AlreadyThere, NotBegun, WrongWords
from node.cli.opened import JsonOption

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_CONFIG, _SCHEMA = "hilum.yaml", "hilum.schema.json"
_INITIAL = (_CONFIG, "routes.test.yaml", "hilum.service", "dashboards", "examples")
"""Of the folder `config` of a checkout, in which models and a store may lie as well."""
_VAR, _MODELS = re.compile(r"(?<=[:\s])var/"), re.compile(r"(?<=repository: )models\b")
_PLAIN = re.compile(r"[\w./-]+")
"""What a path may be made of that is written, as it stands, into YAML and into a journal's URL."""


def init(folder: Path = Path(), /, *, state: Annotated[Path | None, Parameter(name="--state")] = None, as_json: JsonOption = False) -> int:
    """Begin a node: write a commented configuration, examples, dashboards, a systemd unit, and its folders.

    Nothing is written over: a hilum.yaml that is there is refused, and so is any other file that differs from what would be written.
    All of it is for you alone to read; the head of hilum.service says how a service's user gets the right to.

    Parameters
    ----------
    folder
        Where the configuration is to lie; it is made. Default: here.
    state
        Where journal, images, results and models are to lie, "/var/lib/hilum"; default: the folders `var` and `models` beside the
        configuration.
    as_json
        One JSON object: `config`, `written` (the files and folders that were made).
    """
    if state is not None and not _PLAIN.fullmatch(str(state)):
        raise WrongWords(f'--state "{state}": of letters, digits and . _ / - alone, so that it can stand in a URL')
    target = folder.absolute()
    texts = _texts(None if state is None else state.absolute())
    made: list[Path] = []
    try:
        _demand_untouched(target, texts)
        for each in (target, *((target / "var", target / "models") if state is None else (state, state / "models"))):
            made += _made(each.absolute())
        # the configuration last: who finds it finds the rest
        for place in sorted(texts, key=lambda place: place == _CONFIG):
            made += _written(target / place, texts[place])
    except OSError as failed:
        raise NotBegun(f"{failed.filename or target}: {failed.strerror or failed}") from failed
    _tell(target / _CONFIG, made, as_json=as_json)
    return 0


def _texts(state: Path | None) -> dict[str, str]:
    """What every file says, by its place in the folder."""
    from node.assembly.configuration import schema

    initial = resources.files("node") / "initial"
    texts = dict(each for name in _INITIAL for each in _below(initial / name, name))
    if state is not None:
        texts[_CONFIG] = _MODELS.sub(f"{state}/models", _VAR.sub(f"{state}/", texts[_CONFIG]))
    return {**texts, _SCHEMA: json.dumps(schema(), indent=1) + "\n"}


def _below(at: "Traversable", place: str) -> Iterator[tuple[str, str]]:
    if at.is_dir():
        for each in at.iterdir():
            yield from _below(each, f"{place}/{each.name}")
    else:
        yield place, at.read_text(encoding="utf-8")


def _demand_untouched(target: Path, texts: dict[str, str]) -> None:
    """Refuse where something would be written over; what an earlier attempt wrote is let be."""
    for place in (_CONFIG, *texts):
        file = target / place
        if os.path.lexists(file) and (place == _CONFIG or not file.is_file() or file.read_bytes() != texts[place].encode()):
            raise AlreadyThere(f"{file} is there already")


def _made(folder: Path) -> list[Path]:
    """The folder, and those above it, as far as they were not there."""
    absent = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return absent[::-1]


def _written(file: Path, text: str) -> list[Path]:
    """The file, whole or not at all, and the folders above it that were not there; nothing where it is there."""
    if file.exists():
        return []
    made = _made(file.parent)
    partial = file.with_name(f".{file.name}.part")
    try:
        with partial.open("w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        partial.rename(file)
    except OSError as failed:
        with suppress(OSError):
            partial.unlink()
        raise OSError(failed.errno, failed.strerror, str(file)) from failed
    return [*made, file]


def _tell(config: Path, made: list[Path], *, as_json: bool) -> None:
    from node.cli import screen

    if as_json:
        screen.as_json({"config": str(config), "written": [str(each) for each in made]})
        return
    at = "" if config.parent == Path.cwd() else f"cd {config.parent}"
    screen.say(f"{config} is written, and beside it:")
    screen.say("  examples/         configurations of others")
    screen.say("  routes.test.yaml  cases for `hilum routes test`")
    screen.say("  dashboards/       Grafana, Prometheus' alerts")
    screen.say("  hilum.service     a systemd unit")
    screen.say("  hilum.schema.json what an editor completes from")
    screen.say("\nIt listens on this machine alone, and runs. Next:")
    for command in (at, "hilum config check", "hilum models import mr-brain", "hilum doctor", "hilum serve"):
        if command:
            screen.say(f"  {command}")
