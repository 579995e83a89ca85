"""`hilum config check|schema|reload|history|diff|rollback`: refuse a bad configuration before it runs; JSON Schema for editors; a running
node takes up its file; the configurations that came into force, with who wanted each, and the way back to one."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from node.cli.opened import ConfigOption, JsonOption, configuration, configured_store, journal
from node.domain.errors import ConfigError
from node.records.words import plural

if TYPE_CHECKING:
    from node.domain.config_revision import ConfigRevision
    from node.journal.journal import Journal
    from node.settings.config import Config
    from node.store.in_force import Reloaded

_PATIENCE_S = 60.0


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
    from node.assembly.configuration import load
    from node.settings.load import find_config

    found = find_config(path or config)
    if not as_json:
        good = load(found)
        _demand_good(good)
        _show(good)
        return 0
    loaded: Config | None = None
    problems: tuple[ConfigError, ...] = ()
    try:
        loaded = load(found)
        _demand_good(loaded)
    except ConfigError as refused:
        problems = getattr(refused, "problems", (refused,))
    told = [{"code": problem.code, "message": str(problem)} for problem in problems]
    digest = loaded.digest if loaded is not None else None
    remarks = _remarks(loaded) if loaded is not None else []
    print(json.dumps({"good": not told, "path": str(found), "digest": digest, "problems": told, "remarks": remarks}, indent=1))
    return 1 if told else 0


def _demand_good(loaded: "Config") -> None:
    """Refuse what the file alone does not show: TLS that is of no use, numbers that clash, parts, roles and versions that are not here."""
    from node.assembly.compose import demand_fit_parts, demand_fit_roles, demand_own_series_numbers, demand_pinned_versions
    from node.dimse.validity import demand_usable_tls
    from node.observe.spans import demand_tracing

    demand_usable_tls(loaded)
    if loaded.observe.traces is not None:
        demand_tracing()
    demand_own_series_numbers(loaded)
    demand_fit_parts(loaded)
    demand_fit_roles(loaded)
    demand_pinned_versions(loaded)


def schema(file: Literal["hilum.yaml", "app.yaml", "container.yaml"] = "hilum.yaml", /) -> None:
    """Print the JSON Schema of hilum.yaml, of the app.yaml that describes a model, or of a container's container.yaml, for editors.

    With the YAML language server: `hilum config schema > hilum.schema.json`, and in hilum.yaml the comment
    `# yaml-language-server: $schema=hilum.schema.json`.

    Parameters
    ----------
    file
        Which of the three.
    """
    if file == "app.yaml":
        from node.settings.app_yaml import schema as described

        print(json.dumps(described(), indent=1))
        return
    if file == "container.yaml":
        from node.settings.container_yaml import schema as of_container

        print(json.dumps(of_container(), indent=1))
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
    not there yet or not accepted, and routes of which nothing can run."""
    from node.assembly.compose import unreachable_routes
    from node.assembly.doctor.peers import look_at_senders
    from node.cli.doctor.routes import look_at_acceptances, look_at_definitions, look_at_missing_models, look_at_terms

    looks = (look_at_senders, look_at_terms, look_at_definitions, look_at_missing_models, look_at_acceptances)
    found = [one for look in looks for one in look(config) if one.level != "good"]
    return [*(f"{one.detail}{'' if one.detail.endswith('?') else '.'} {one.fix}" for one in found), *unreachable_routes(config)]


def reload(
    *,
    reason: str = "",
    since: str = "",
    yes: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Have the running node take up its configuration file: checked, and taken whole or refused with the reason.

    Peers, sinks, profiles, engines, applications, definitions, routes, schedule and notices change while a node runs. What listens, the
    store, models, the audit trail and the console need a restart: a key of theirs that differs refuses the reload and is named. Every study
    is judged by the routes before or by those behind, never by both, and keeps the digest of those; an association keeps what it was
    admitted with. SIGHUP to `hilum serve` does the same and answers in its events.

    Before, the last studies are decided anew by the edited routes, and what differs is shown; on a terminal you are asked then. What
    came into force is kept with your name and `reason`: `hilum config history`.

    Parameters
    ----------
    reason
        Why, for those who look later.
    since
        Studies that are decided anew: those that were complete since then (`7d`, `12h`, `2026-03-01`). Default: the last 200.
    yes
        Decide nothing anew, and do not ask.
    config
        The configuration (default: HILUM_CONFIG, ./hilum.yaml, /etc/hilum/hilum.yaml).
    as_json
        Asks nobody. A list, an object for each supervisor of processes on this host: `pid`, `path`, `accepted`, `digest` (of what is in
        force now), `before`, `changed` (the blocks that differ), `routes`, `code`, `reason`.
    """
    from node.cli.ending import NobodyServes, WrongWords
    from node.cli.routes_replay import agreed
    from node.store.in_force import serving

    if since and (yes or as_json):
        raise WrongWords("--since says which studies are decided anew, and --yes and --json have none decided anew")
    loaded = configuration(config)
    if not serving(loaded):
        raise NobodyServes(f"no node of this host serves {loaded.store.spooled}")
    if not (yes or as_json or agreed(loaded, since)):
        print("nothing was changed")
        return 1
    return reloaded(loaded, reason, as_json=as_json)


def reloaded(loaded: "Config", reason: str, *, as_json: bool = False) -> int:
    """Have the supervisors of this host take up the file, and print what each says."""
    from node.assembly.audit import user_name
    from node.cli import screen
    from node.store.in_force import ReloadAsked, answer_of, serving

    asked = [(supervisor, supervisor.ask(ReloadAsked(by=user_name(), reason=reason))) for supervisor in serving(loaded)]
    answers = [(supervisor.pid, answer_of(supervisor, token, _PATIENCE_S)) for supervisor, token in asked]
    if as_json:
        screen.as_json([_answer(pid, one) for pid, one in answers])
    else:
        for _, one in answers:
            print(_said(one))
    return 1 if any(one.code for _, one in answers) else 0


def _answer(pid: int, one: "Reloaded") -> dict[str, object]:
    return {
        "pid": pid,
        "path": one.path,
        "accepted": not one.code,
        "digest": one.digest,
        "before": one.before,
        "changed": list(one.changed),
        "routes": one.routes,
        "code": one.code or None,
        "reason": one.reason or None,
    }


def _said(one: "Reloaded") -> str:
    digest, before = one.digest[:12], one.before[:12]
    if one.code:
        return f"refused, and {before} stays in force: {one.reason} [{one.code}]"
    counted = plural(one.routes, "route")
    if not one.changed:
        return f"{one.path}: in force is what was before ({counted}, {digest})"
    blocks = ", ".join(f"`{name}:`" for name in one.changed)
    return f"{one.path}: {blocks} changed, in force from now on; {counted} ({digest}; before {before})"


def history(*, limit: int = 20, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """List the configurations that came into force: who, when, why.

    Parameters
    ----------
    limit
        How many; the newest come first.
    as_json
        A list, an object each: `revision`, `at`, `author`, `reason`, `host`, `path`, `digest` (what its routes mean: studies name it),
        `text_digest` (SHA-256 of the whole as it is kept: without values that may be secret), `processes` (which go by it now).
    """
    from node.cli import screen
    from node.records.revisions import revisions_apart, running

    with journal(config, read=configured_store) as (_, opened):
        now = opened.now()
        found, processes = opened.config_revisions.find(limit=limit), running(opened, opened.processes.beats(), now)
    by = {one.number: [each.name for each in processes if each.revision and each.revision.number == one.number] for one in found}
    if as_json:
        screen.as_json([_record(one) | {"processes": by[one.number]} for one in found])
        return 0
    rows = [
        {
            "revision": str(one.number),
            "in force since": screen.when(one.at),
            "by": screen.visible(one.author),
            "routes": one.digest[:12],
            "host": one.host,
            "processes": str(len(by[one.number]) or ""),
            "why": screen.visible(one.reason),
        }
        for one in found
    ]
    console = screen.out()
    if rows:
        console.print(screen.listing(rows, spare=("host", "routes")))
        if apart := revisions_apart(processes, now):
            console.print(f"{apart}.", style="red")
    else:
        console.print("no configuration was in force yet: the journal keeps one when the node starts", style="yellow")
    return 0


def diff(before: int, after: int | None = None, /, *, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Show in what two of them differ, or one and the file.

    Parameters
    ----------
    before
        A revision's number, as `hilum config history` has it.
    after
        Another one's; without it the file as it is now. Values that may be secret are in none of them.
    as_json
        One JSON object: `before`, `after` (null: the file), `lines` (of a unified diff).
    """
    from difflib import unified_diff

    from node.cli import screen
    from node.settings.kept_text import compared
    from node.settings.source import read

    with journal(config, read=configured_store) as (loaded, opened):
        one = _revision(opened, before)
        if after is None:
            name, (old, new) = "the file", compared(one.text, read(loaded.path), loaded.path)
        else:
            (name, new), old = _named(_revision(opened, after)), one.text
    lines = list(unified_diff(old.splitlines(), new.splitlines(), _named(one)[0], name, lineterm=""))
    if as_json:
        screen.as_json({"before": before, "after": after, "lines": lines})
    else:
        print("\n".join(screen.visible(line) for line in lines) if lines else "they are the same")
    return 0


def rollback(
    revision: int,
    /,
    *,
    reason: str = "",
    since: str = "",
    yes: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Put an earlier configuration into the file and in force: checked, and taken whole or refused with the reason.

    It is refused where it would be refused as an edit: of an application, a file or a key that is gone, or where it differs in what needs a
    restart (roll back while no node runs, then start it). The file may be broken, as long as its block `store:` says where the journal
    is. What the file held is kept beside it (`.before`), and in the history. Values that may be secret, which are not kept, stay as the
    file has them.

    Parameters
    ----------
    revision
        Its number, as `hilum config history` has it.
    reason
        Why, for those who look later.
    since
        Studies that are decided anew before: those that were complete since then (`7d`, `12h`, `2026-03-01`). Default: the last 200.
    yes
        Decide nothing anew, and do not ask.
    as_json
        As of `hilum config reload`; needs --yes.
    """
    from node.assembly.compose import demand_takable
    from node.assembly.configuration import load, waiting_keys
    from node.cli.ending import WrongWords
    from node.cli.routes_replay import agreed
    from node.settings.load import find_config
    from node.store.in_force import coming_back, refuse_keys, serving

    if as_json and not yes:
        raise WrongWords("--json asks nobody: add --yes")
    if since and yes:
        raise WrongWords("--since says which studies are decided anew, and --yes has none decided anew")
    with journal(config, read=configured_store) as (now, opened):
        wanted = _revision(opened, revision)
    path = find_config(config)
    nodes = serving(now)
    back = coming_back(path, wanted, load, demand_takable, nodes)
    for supervisor in nodes:
        refuse_keys(waiting_keys(load(path, text=supervisor.text()), back.config), f"from what is in force to revision {revision}")
    if not yes and not agreed(back.config, since):
        print("nothing was changed")
        return 1
    written = back.write()
    if written is not None and written.doubt and not as_json:
        print(written.doubt)
    why = f"back to revision {revision}" + (f": {reason}" if reason else "")
    if not nodes and not as_json:
        print(f"{path} is that of revision {revision}; no node of this host runs: it holds when one starts")
    return reloaded(back.config, why, as_json=as_json)


def _revision(opened: "Journal", number: int) -> "ConfigRevision":
    from node.cli.ending import NothingFound

    found = opened.config_revisions.get(number)
    if found is None:
        raise NothingFound(f"there is no revision {number}: `hilum config history` lists them")
    return found


def _named(one: "ConfigRevision") -> tuple[str, str]:
    return f"revision {one.number}", one.text


def _record(one: "ConfigRevision") -> dict[str, Any]:
    from node.cli import screen

    return {
        "revision": one.number,
        "at": screen.stamp(one.at),
        "author": one.author,
        "reason": one.reason,
        "host": one.host,
        "path": one.path,
        "digest": one.digest,
        "text_digest": one.text_digest,
    }
