"""`hilum peers`: who may send, when each sent last, and how long what it sends waits to be complete."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from node.cli.opened import ConfigOption, JsonOption, journal


def peers(*, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Tell of every peer when it sent last, and its quiet window: in force, learned, and what that rests on.

    A window is learned from the largest gap between two instances inside each of the last studies of a peer, from 300 studies on. It is in
    force where `settle: {learned: {use: true}}` of the peer says so; what it would have done is told in any case.
    """
    from node.cli import screen
    from node.records.peers import peer_records

    with journal(config) as (loaded, opened):
        found = peer_records(opened, loaded.peers)
    if as_json:
        screen.as_json(found)
        return 0
    console = screen.out()
    if not found:
        console.print("no peer is configured: nobody but a stranger can send; `peers:` of the configuration names them")
        return 0
    console.print(screen.listing([_row(one) for one in found], spare=("address", "sent last")))
    for one in found:
        _explain(one)
    return 0


def _row(one: Mapping[str, Any]) -> dict[str, str]:
    from node.cli import screen
    from node.records.words import lasting

    return {
        "peer": screen.visible(one["name"]),
        "AE title": screen.visible(one["ae_title"]),
        "address": screen.visible(one["address"]),
        "sent last": "–" if one["last_at"] is None else screen.when(datetime.fromisoformat(one["last_at"]))[5:16],
        "window": lasting(one["window_s"]),
        "learned": "–" if one["learned_s"] is None else lasting(one["learned_s"]) + ("" if one["uses_learned"] else ", not used"),
        "studies": str(one["studies"]),
    }


def _explain(one: Mapping[str, Any]) -> None:
    from node.cli import screen
    from node.records.peers import rests_on, would_have

    console = screen.out()
    told = [f"{screen.visible(one['name'])}: {rests_on(one)}"]
    if done := would_have(one):
        told.append(f"  {done}")
    console.print("\n".join(told), style="dim", soft_wrap=True)
