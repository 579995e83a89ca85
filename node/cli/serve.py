"""`hilum serve`: run the node in the foreground until SIGTERM or ^C. `hilum health` and `hilum notify`: does the node on this machine take
studies in, and can those be told who are to be told?
"""

import http.client
import json
import signal
import sys
from typing import Annotated, Any

from cyclopts import Parameter

from node.cli.ending import NoHealthPage
from node.cli.opened import ConfigOption, JsonOption, configuration
from node.settings.node import Node


def serve(
    *,
    config: ConfigOption = None,
    stages: Annotated[str | None, Parameter(name="--stages", show_default=False)] = None,
    new_journal: Annotated[bool, Parameter(name="--new-journal", negative="", show_default=False)] = False,
    new_blobs: Annotated[bool, Parameter(name="--new-blobs", negative="", show_default=False)] = False,
) -> int:
    """Run the node: receive, decide, analyse, deliver. SIGTERM drains and ends it.

    SIGHUP takes up edited routes, as `hilum routes reload` does.

    Prints one JSON line with `"event": "node.ready"` on stdout as soon as it accepts associations; events go to stderr, a JSON line
    each, or in words on a terminal (`node: {log: json}` or `people` forces either).
    Without the stage `receive` there is no listener: the line comes without a port, once every process has begun.

    Parameters
    ----------
    stages
        What this supervisor does, with commas between: `receive` (listen, and bring what came to the blobs and into the journal), `flow`
        (settle, route, deliver), `work` (analyse, encode). Default: all of it. Supervisors on several hosts share a journal on PostgreSQL,
        and a bucket or a folder.
    new_journal
        Begin a new journal over the blobs of a store that had one: it is lost for good. Without it such a start is refused.
    new_blobs
        Go on without the blobs (or the spool) of the journal's store: they are lost for good. Without it such a start is refused.
    """
    from node.assembly.configuration import load
    from node.assembly.roles import ALL, roles_of
    from node.assembly.supervisor import Supervisor
    from node.observe.events import start_events, write_as
    from node.settings.load import find_config
    from node.store.identity import Meant

    loaded = load(find_config(config))
    start_events("supervisor")
    write_as(loaded.node.log)

    def announce(ready: dict[str, object]) -> None:
        print(json.dumps(ready), flush=True)

    meant = Meant(new_journal=new_journal, new_blobs=new_blobs)
    supervisor = Supervisor(loaded, announce=announce, roles=ALL if stages is None else roles_of(stages), meant=meant)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    signal.signal(signal.SIGHUP, lambda *_: supervisor.reload())
    code = supervisor.run()
    sys.stdout.flush()
    return code


_PATIENCE_S = 8.0
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where to ask a node that listens everywhere


def health(*, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Ask the running node whether it takes studies in; exit code 0 when it does, 1 when it does not or does not answer.

    It asks the address of `node: {metrics: …}`. What is degraded (an engine, the journal, a worker that is started again) is said and does
    not count: studies are kept meanwhile. `hilum doctor` looks deeper, and from outside.

    Parameters
    ----------
    config
        The configuration (default: HILUM_CONFIG, ./hilum.yaml, /etc/hilum/hilum.yaml).
    as_json
        The node's answer as it came.
    """
    node = configuration(config).node
    if node.metrics_host is None or node.metrics_port == 0:
        raise NoHealthPage("`node: {metrics: …}` names no address at which the node could be asked")
    answer = _ask(node)
    if as_json:
        print(json.dumps(answer, indent=1))
    else:
        print(_said(answer))
    return 0 if answer["ready"] is True else 1


def _ask(node: Node) -> dict[str, Any]:
    """The node's answer; one of the same form where there is none."""
    assert node.metrics_host is not None
    host = _HERE.get(node.metrics_host, node.metrics_host)
    connection = http.client.HTTPConnection(host, node.metrics_port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", "/health/ready")
        answer = json.loads(connection.getresponse().read(1_000_000))
    except (OSError, http.client.HTTPException, ValueError) as nothing:
        return {"ready": False, "why": f"no answer at {host}:{node.metrics_port} ({nothing or type(nothing).__name__})"}
    finally:
        connection.close()
    if not isinstance(answer, dict) or not isinstance(answer.get("ready"), bool):
        return {"ready": False, "why": f"what answers at {host}:{node.metrics_port} is no hilum"}
    return answer


def _said(answer: dict[str, Any]) -> str:
    lines = ["ready" if answer["ready"] else f"not ready{': ' + answer['why'] if 'why' in answer else ''}"]
    lines += [f"  {name}: {part['why']}" for name, part in answer.get("parts", {}).items() if not part["ready"]]
    return "\n".join(lines)


def notify(*, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Send a trial message by mail and webhook, as `notify:` says; exit code 0 when each was taken.

    Parameters
    ----------
    config
        The configuration (default: HILUM_CONFIG, ./hilum.yaml, /etc/hilum/hilum.yaml).
    as_json
        JSON on stdout, for scripts.
    """
    from inference.errors import HilumError
    from node.assembly.notices import messengers, trial
    from node.cli.ending import NobodyToTell

    loaded = configuration(config)
    found = messengers(loaded)
    if not found:
        raise NobodyToTell("`notify:` names neither `mail` nor `webhook`")
    why: dict[str, HilumError | None] = {}
    for name, send in found.items():
        try:
            send(trial(loaded))
        except HilumError as failed:
            why[name] = failed
        else:
            why[name] = None
    if as_json:
        print(json.dumps({name: {"sent": one is None, "code": one and one.code, "reason": one and str(one)} for name, one in why.items()}))
    else:
        for name, one in why.items():
            print(f"{name}: sent" if one is None else f"{name}: not sent. {one} [{one.code}]\n  {one.remedy}")
    return 1 if any(why.values()) else 0
