"""`hilum backup`: a whole copy of the store while the node runs; only what is new is copied again."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from node.cli.opened import ConfigOption, JsonOption, configuration


def backup(
    *,
    to: Path,
    check: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Back up the store of a running node: journal, images, results, what waits in the spool, and the configuration.

    Each call makes a folder of its own below --to, whole by itself; what an earlier one has is linked, not copied. Not in it: models (their
    digests are), keys and passwords, the audit trail, and blobs in a bucket.

    Parameters
    ----------
    to
        The folder of the backups; it is made if need be. On a disk of its own.
    check
        Read the new backup again, byte by byte.
    """
    import logging

    from node.assembly.backup import back_up
    from node.assembly.restore import check as read_again
    from node.cli import screen
    from node.observe.events import start_events

    start_events("command", logging.WARNING)
    taken = back_up(configuration(config), to.absolute())
    if check:
        read_again(taken.folder)
    if as_json:
        told = {"folder": str(taken.folder), "files": taken.files, "linked": taken.linked, "bytes_copied": taken.bytes_copied}
        screen.as_json({**told, "same_disk": taken.same_disk, "sealed": list(taken.sealed), "left_out": taken.left_out, "checked": check})
        return 0
    copied = screen.size(taken.bytes_copied)
    screen.say(
        f"{taken.folder}: {screen.plural(taken.files, 'file')}, {taken.linked} of them linked, {copied} copied"
        + (", all read again" if check else "")
    )
    for one in taken.left_out:
        screen.say(f"not in it: {one}")
    if taken.sealed:
        screen.say(
            f"encrypted with the key {', '.join(taken.sealed)}, which is not in it: nothing opens it without (the journal is not encrypted)"
        )
    if taken.same_disk:
        screen.say("it lies on the disk of the store: that guards against mistakes, not against the loss of the disk")
    return 0
