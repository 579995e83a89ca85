"""`hilum config reload`: a running node takes up its configuration file; what it says of that."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from node.cli.opened import ConfigOption, JsonOption, configuration
from node.records.words import plural

if TYPE_CHECKING:
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
        screen.as_json([_record(pid, one) for pid, one in answers])
    else:
        for _, one in answers:
            print(_said(one))
    return 1 if any(one.code for _, one in answers) else 0


def _record(pid: int, one: "Reloaded") -> dict[str, object]:
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
