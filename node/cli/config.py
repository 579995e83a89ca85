"""`hilum init`: the files and folders of a new node, in a folder that has none yet. `hilum config check|schema`: refuse a bad configuration
before it runs; JSON Schema for editors.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from node.cli.ending import AlreadyThere, NotBegun, WrongWords
from node.cli.opened import ConfigOption, JsonOption
from node.domain.errors import ConfigError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from node.settings.config import Config


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


def check(path: Path | None = None, /, *, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Refuse a bad configuration before it runs, with every mistake in it.

    Parameters
    ----------
    path
        The configuration, as with --config.
    as_json
        One JSON object: `good`, `path`, `digest` (what its routes mean: other blocks are not in it), `problems` (each with `code` and
        `message`), `remarks` (what is good, and yet to be thought over).
    """
    from node.assembly.compose import demand_fit_parts, demand_fit_roles, demand_own_series_numbers
    from node.assembly.configuration import load
    from node.dimse.validity import demand_usable_tls
    from node.settings.load import find_config

    found = find_config(path or config)
    if not as_json:
        good = load(found)
        demand_usable_tls(good)
        demand_own_series_numbers(good)
        demand_fit_parts(good)
        demand_fit_roles(good)
        _show(good)
        return 0
    loaded: Config | None = None
    problems: tuple[ConfigError, ...] = ()
    try:
        loaded = load(found)
        demand_usable_tls(loaded)
        demand_own_series_numbers(loaded)
        demand_fit_parts(loaded)
        demand_fit_roles(loaded)
    except ConfigError as refused:
        problems = getattr(refused, "problems", (refused,))
    told = [{"code": problem.code, "message": str(problem)} for problem in problems]
    digest = loaded.digest if loaded is not None else None
    remarks = _remarks(loaded) if loaded is not None else []
    print(json.dumps({"good": not told, "path": str(found), "digest": digest, "problems": told, "remarks": remarks}, indent=1))
    return 1 if told else 0


def schema(file: Literal["hilum.yaml", "app.yaml"] = "hilum.yaml", /) -> None:
    """Print the JSON Schema of hilum.yaml, or of the app.yaml that describes a model, for editors.

    With the YAML language server: `hilum config schema > hilum.schema.json`, and in hilum.yaml the comment
    `# yaml-language-server: $schema=hilum.schema.json`.

    Parameters
    ----------
    file
        Which of the two.
    """
    if file == "app.yaml":
        from node.settings.app_yaml import schema as described

        print(json.dumps(described(), indent=1))
        return
    from node.assembly.configuration import schema as made

    print(json.dumps(made(), indent=1))


def _show(config: "Config") -> None:
    from node.cli import screen

    node = config.node
    called = " and ".join(node.ae_titles)
    admitted = "anyone (strangers: true)" if node.strangers else screen.joined([peer.ae_title for peer in config.peers.values()])
    console = screen.out()
    console.print(f"✓ {config.path} is good (routes {config.digest[:12]})", style="green")
    where = [f"{node.host}:{node.port}"] if node.plain else []
    where += [] if node.tls is None else [f"{node.tls.host}:{node.tls.port} (TLS)"]
    console.print(f"  {called} listen{'s' if len(node.ae_titles) == 1 else ''} on {' and '.join(where)}; admitted: {admitted}")
    routes = screen.table("  route", "from", "runs", "priority", "sends to")
    for route in config.routes:
        sender = screen.joined(route.peers) if route.peers else "all peers"
        name = f"  {route.name} (disabled)" if route.disabled else f"  {route.name}"
        routes.add_row(name, sender, screen.joined(route.run), route.priority.value, screen.joined(route.send))
    if config.routes:
        console.print()
        console.print(routes)
    else:
        console.print("  no routes: studies are received and kept, nothing runs", style="yellow")
    for remark in _remarks(config):
        console.print(f"  {remark}", style="yellow")


def _remarks(config: "Config") -> list[str]:
    """What is good, and yet to be thought over: who may send, values that no image has, definitions that no route asks for, models that are
    not there yet, and routes of which nothing can run."""
    from node.assembly.compose import route_explainer
    from node.assembly.doctor.peers import look_at_senders
    from node.cli.doctor.routes import look_at_definitions, look_at_missing_models, look_at_terms
    from node.routing.untaken import never_runs

    looks = (look_at_senders, look_at_terms, look_at_definitions, look_at_missing_models)
    found = [one for look in looks for one in look(config) if one.level != "good"]
    remarks = [f"{one.detail}{'' if one.detail.endswith('?') else '.'} {one.fix}" for one in found]
    explainer = route_explainer(config)
    unreachable = {route.name: why for route in config.routes if (why := never_runs(route, explainer.declared(route)))}
    told = "can run nothing, since no application of it takes what its conditions ask for"
    return [*remarks, *(f'route "{name}" {told}: {why}. Change `when` or `run`.' for name, why in unreachable.items())]
