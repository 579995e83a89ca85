"""`hilum config reload|history|diff|rollback`: a running node takes up its configuration file; the configurations that came into force,
with who wanted each, and the way back to one."""

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from node.cli.opened import ConfigOption, JsonOption, configuration, configured_store, journal
from node.records.words import plural

if TYPE_CHECKING:
    from node.domain.config_revision import ConfigRevision
    from node.journal.journal import Journal
    from node.settings.config import Config
    from node.store.in_force import Reloaded

_PATIENCE_S = 60.0


def reload(
    *,
    reason: str = "",
    yes: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Have the running node take up its configuration file: checked, and taken whole or refused with the reason.

    Peers, sinks, profiles, engines, applications, definitions, routes, schedule and notices change while a node runs. What listens, the
    store, models, the audit trail and the console need a restart: a key of theirs that differs refuses the reload and is named. Every study
    is judged by the routes before or by those behind, never by both, and keeps the digest of those; an association keeps what it was
    admitted with. SIGHUP to `hilum serve` does the same and answers in its events.

    Before, the newest studies are decided anew by the edited routes, and what differs is shown; on a terminal you are asked then. What
    came into force is kept with your name and `reason`: `hilum config history`.

    Parameters
    ----------
    reason
        Why, for those who look later.
    yes
        Decide nothing anew, and do not ask.
    config
        The configuration (default: HILUM_CONFIG, ./hilum.yaml, /etc/hilum/hilum.yaml).
    as_json
        Asks nobody. A list, an object for each supervisor of processes on this host: `pid`, `path`, `accepted`, `digest` (of what is in
        force now), `before`, `changed` (the blocks that differ), `routes`, `code`, `reason`.
    """
    from node.cli.ending import NobodyServes
    from node.cli.routes_replay import agreed
    from node.store.in_force import serving

    loaded = configuration(config)
    if not serving(loaded):
        raise NobodyServes(f"no node of this host serves {loaded.store.spooled}")
    if not (yes or as_json or agreed(loaded)):
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
        `text_digest` (SHA-256 of the whole as it is kept: without values that may be secret).
    """
    from node.cli import screen

    with journal(config, read=configured_store) as (_, opened):
        found = opened.config_revisions.find(limit=limit)
    if as_json:
        screen.as_json([_record(one) for one in found])
        return 0
    rows = [
        {
            "revision": str(one.number),
            "in force since": screen.when(one.at),
            "by": screen.visible(one.author),
            "routes": one.digest[:12],
            "host": one.host,
            "why": screen.visible(one.reason),
        }
        for one in found
    ]
    console = screen.out()
    if rows:
        console.print(screen.listing(rows, spare=("host", "routes")))
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
    with journal(config, read=configured_store) as (now, opened):
        wanted = _revision(opened, revision)
    path = find_config(config)
    nodes = serving(now)
    back = coming_back(path, wanted, load, demand_takable, nodes)
    for supervisor in nodes:
        refuse_keys(waiting_keys(load(path, text=supervisor.text()), back.config), f"from what is in force to revision {revision}")
    if not yes and not agreed(back.config):
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
