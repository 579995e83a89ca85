"""What `hilum doctor` says of encryption: do the keys open what lies there, and does nothing decrypted reach a disk?"""

import contextlib
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from node.cli.finding import Finding
from node.domain.sizes import sizes
from node.settings.config import Config

if TYPE_CHECKING:
    from node.blobs.sealing.keys import Keys

_LOOKED_AT = 200
"""Files: enough to meet what is wrong with all of them."""


def look_at_encryption(config: Config) -> Iterator[Finding]:
    """The keys, a sample of what lies in the store, and the place in memory."""
    from inference.errors import HilumError
    from node.assembly.sealing import roots
    from node.blobs.sealing.keys import read_keys
    from node.blobs.sealing.known import refuse_what_cannot_be_opened

    given = config.store.encryption
    try:
        keys = None if given is None else read_keys(given.key_files)
        for root in roots(config.store):
            refuse_what_cannot_be_opened(root, keys)
    except HilumError as wrong:
        yield Finding(subject="encryption", level="bad", detail=f"{wrong} [{wrong.code}]", fix=wrong.remedy)
        return
    if keys is None:
        return
    plain, broken = 0, []
    for path in islice((path for root in roots(config.store) for path in _files(root)), _LOOKED_AT):
        with contextlib.suppress(OSError):  # it went, or others may not look
            why = _wrong(path, keys)
            plain += why is None
            broken += [why] if why else []
    written = f"instances, findings and results are encrypted with the key {keys.first.id.hex()}"
    if broken:
        fix = "Add the key that is missing; what is damaged comes from a backup, or from its sender once more."
        yield Finding(subject="encryption", level="bad", detail=f"{len(broken)} files cannot be opened: {broken[0]}", fix=fix)
    elif plain:
        fix = "They were written before encryption was turned on, and go with `store: {keep: …}`; nothing is to be done."
        yield Finding(subject="encryption", level="warning", detail=f"{written}; {plain} of those looked at are not", fix=fix)
    else:
        yield Finding(subject="encryption", level="good", detail=f"{written}; the journal is not")
    yield from _memory(config)


def _memory(config: Config) -> Iterator[Finding]:
    from node.assembly.sealing import left_behind, memory_folder
    from node.blobs.sealing.memory import lies_in_memory, swaps, whole_memory

    given = config.store.encryption
    assert given is not None, "there is encryption"
    folder = memory_folder(config.store, given)
    while not folder.exists():
        folder = folder.parent
    if not given.on_disk and not lies_in_memory(folder):
        fix = "Name a folder on a tmpfs: `store: {encryption: {folder: …}}`."
        yield Finding(subject="opened files", level="bad", detail=f"{folder} lies on a disk", fix=fix)
    elif whole_memory(folder) < given.memory_bytes:
        room, wanted = sizes(whole_memory(folder), given.memory_bytes)
        detail = f"{folder} has room for {room}, `memory` is {wanted}"
        yield Finding(subject="opened files", level="bad", detail=detail, fix="Make the tmpfs larger (`--shm-size`), or `memory` smaller.")
    elif swap := swaps():
        fix = "Turn swap off or encrypt it: what is decrypted in memory may be written there when memory runs short."
        yield Finding(subject="opened files", level="warning", detail=f"in memory, and the system swaps to {', '.join(swap)}", fix=fix)
    else:
        where = "on a disk, as the configuration says" if given.on_disk else "in memory, and nothing is swapped to a disk"
        yield Finding(subject="opened files", level="good", detail=f"{folder}: {where}")
    if left := left_behind(config.store, given):
        detail = f"decrypted, of nodes that were killed: {', '.join(map(str, left))}"
        fix = "Start such a node again, which empties its folder; where it will not run again, delete the folder (`rm -r`)."
        yield Finding(subject="left in memory", level="warning", detail=detail, fix=fix)


def _files(root: Path) -> Iterator[Path]:
    """What holds images or results, the spool's first."""
    from node.blobs.folder import ASIDE, CACHE, INBOX

    for part in (INBOX, ASIDE, CACHE, "instances", "findings", "results"):
        for folder, _, names in os.walk(root / part):
            yield from (Path(folder) / name for name in names if not name.endswith(".txt"))


def _wrong(path: Path, keys: "Keys") -> str | None:
    """Why the beginning of a file cannot be opened, "" where it can; None: it is not encrypted."""
    from inference.errors import InputError
    from node.blobs.sealing.reader import opened

    try:
        parts = opened(path, keys)
        if parts is None:
            return None
        with contextlib.closing(parts):
            next(parts)
    except InputError as broken:
        return f"{path}: {broken} [{broken.code}]"
    return ""
