"""`hilum health` and `hilum notify`: does the node on this machine take studies in, and can those be told who are to be told?"""

import http.client
import json
from typing import Any

from node.cli.ending import NoHealthPage
from node.cli.opened import ConfigOption, JsonOption, configuration
from node.settings.node import Node

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
