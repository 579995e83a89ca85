"""`hilum serve`: run the node in the foreground until SIGTERM or ^C."""

import atexit
import gc
import json
import signal
import sys
from typing import Annotated

from cyclopts import Parameter

from node.cli.ending import leave_at_once
from node.cli.opened import ConfigOption


def serve(
    *,
    config: ConfigOption = None,
    stages: Annotated[str | None, Parameter(name="--stages", show_default=False)] = None,
    new_journal: Annotated[bool, Parameter(name="--new-journal", negative="", show_default=False)] = False,
    new_blobs: Annotated[bool, Parameter(name="--new-blobs", negative="", show_default=False)] = False,
) -> int:
    """Run the node: receive, decide, analyse, deliver. SIGTERM drains and ends it.

    SIGHUP takes up the edited configuration, as `hilum config reload` does.

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
    ended: list[int] = []
    atexit.register(leave_at_once, ended)  # before what is imported registers anything
    gc.disable()  # until the template is forked: nothing of what is imported is garbage
    from node.assembly.configuration import load
    from node.assembly.roles import ALL, roles_of
    from node.assembly.supervisor import Supervisor
    from node.assembly.template import forked_template
    from node.observe.events import start_events, write_as
    from node.settings.load import find_config
    from node.store.identity import Meant

    def announce(ready: dict[str, object]) -> None:
        print(json.dumps(ready), flush=True)

    # before anything is opened, read or begun: all of this is in every stage
    with forked_template(ended) as template:
        gc.enable()
        loaded = load(find_config(config))
        start_events("supervisor")
        write_as(loaded.node.log)
        roles = ALL if stages is None else roles_of(stages)
        meant = Meant(new_journal=new_journal, new_blobs=new_blobs)
        supervisor = Supervisor(loaded, announce=announce, roles=roles, meant=meant, template=template)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stop())
        signal.signal(signal.SIGHUP, lambda *_: supervisor.reload())
        code = supervisor.run()
    sys.stdout.flush()
    return code
