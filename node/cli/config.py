"""`hilum config check|schema`: refuse a bad configuration before it runs; JSON Schema for editors."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from node.cli.opened import ConfigOption, JsonOption
from node.domain.errors import ConfigError

if TYPE_CHECKING:
    from node.settings.config import Config


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
