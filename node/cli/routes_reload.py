"""`hilum routes reload`: have the running node take up the routes of its configuration file."""

import os
from typing import TYPE_CHECKING

from node.cli.opened import ConfigOption, JsonOption, configuration
from node.records.words import plural

if TYPE_CHECKING:
    from node.assembly.reload import Reloaded

_PATIENCE_S = 60.0


def reload(*, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Have the running node take up the routes of its configuration file: checked, and taken whole or refused with the reason.

    Only `routes:` can change while a node runs; anything else in the file that differs refuses the reload, and needs a restart. Every
    study is judged by the routes before or by those behind, never by both, and keeps the digest of those. SIGHUP to `hilum serve` does the
    same and answers in its events.

    Parameters
    ----------
    config
        The configuration (default: ./hilum.yaml, else ./config/hilum.yaml).
    as_json
        A list, an object for each family of processes on this host: `pid`, `path`, `accepted`, `digest` (of what is in force now),
        `before`, `routes`, `code`, `reason`.
    """
    from node.assembly.in_force import serving
    from node.assembly.reload import answer_of
    from node.cli import screen
    from node.cli.errors import NobodyServes

    loaded = configuration(config)
    who = f"uid {os.getuid()}"
    asked = [(family, family.ask(who)) for family in serving(loaded)]
    if not asked:
        raise NobodyServes(f"no node of this host serves {loaded.store.spool or loaded.store.blobs}")
    answers = [(family.pid, answer_of(family, token, _PATIENCE_S)) for family, token in asked]
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
        "routes": one.routes,
        "code": one.code or None,
        "reason": one.reason or None,
    }


def _said(one: "Reloaded") -> str:
    digest, before = one.digest[:12], one.before[:12]
    if one.code:
        return f"refused, and {before} stays in force: {one.reason} [{one.code}]"
    counted = plural(one.routes, "route")
    if digest == before:
        return f"{one.path}: in force is what was before ({counted}, {digest})"
    return f"{one.path}: {counted} in force from the next study on ({digest}; before {before})"
