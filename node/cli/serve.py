"""`hilum serve`: run the node in the foreground until SIGTERM or ^C."""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def serve(*, config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None) -> int:
    """Run the node: receive, decide, analyse, deliver. SIGTERM drains and ends it.

    Prints one JSON line with `"event": "node.ready"` on stdout as soon as it accepts associations; events go to stderr, a JSON line each.

    Parameters
    ----------
    config
        The configuration (default: ./hilum.yaml, else ./config/hilum.yaml).
    """
    from node.assembly.family import Family
    from node.observe.events import start_events
    from node.settings.find import find_config
    from node.settings.load import load

    loaded = load(find_config(config))
    start_events("supervisor")

    def announce(ready: dict[str, object]) -> None:
        print(json.dumps(ready), flush=True)

    family = Family(loaded, announce=announce)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: family.stop())
    code = family.run()
    sys.stdout.flush()
    return code
