"""What `hilum doctor` says of encryption: do the keys open what lies there, and does nothing decrypted reach a disk?"""

import contextlib
from collections.abc import Iterator
from itertools import islice

from node.domain.health import Area, DoctorFinding
from node.settings.config import Config
from node.settings.kinds import sizes

_LOOKED_AT = 200
"""Files: enough to meet what is wrong with all of them."""


def look_at_encryption(config: Config) -> Iterator[DoctorFinding]:
    """The keys, a sample of what lies in the store, and the place in memory."""
    from inference.errors import HilumError
    from node.assembly.encryption import keys_of
    from node.store.decrypted_files import files_of, why_not_opened

    try:
        keys = keys_of(config)
    except HilumError as wrong:
        yield DoctorFinding(area=Area.DISK, subject="encryption", level="bad", detail=f"{wrong} [{wrong.code}]", fix=wrong.remedy)
        return
    if keys is None:
        return
    plain, broken = 0, []
    for path in islice((path for root in config.store.folders for path in files_of(root)), _LOOKED_AT):
        with contextlib.suppress(OSError):  # it went, or others may not look
            why = why_not_opened(path, keys)
            plain += why is None
            broken += [why] if why else []
    written = f"instances, findings and results are encrypted with the key {keys.first.id.hex()}"
    if broken:
        fix = "Add the key that is missing; what is damaged comes from a backup, or from its sender once more."
        yield DoctorFinding(
            area=Area.DISK, subject="encryption", level="bad", detail=f"{len(broken)} files cannot be opened: {broken[0]}", fix=fix
        )
    elif plain:
        fix = "They were written before encryption was turned on, and go with `store: {keep: …}`; nothing is to be done."
        yield DoctorFinding(
            area=Area.DISK, subject="encryption", level="warning", detail=f"{written}; {plain} of those looked at are not", fix=fix
        )
    else:
        yield DoctorFinding(area=Area.DISK, subject="encryption", level="good", detail=f"{written}; the journal is not")
    yield from _memory(config)


def _memory(config: Config) -> Iterator[DoctorFinding]:
    from node.store.decrypted_files import left_behind, memory_place

    given = config.store.encryption
    assert given is not None, "there is encryption"
    place = memory_place(config.store, given)
    folder = place.folder
    if not given.on_disk and not place.in_memory:
        fix = "Name a folder on a tmpfs: `store: {encryption: {folder: …}}`."
        yield DoctorFinding(area=Area.DISK, subject="opened files", level="bad", detail=f"{folder} lies on a disk", fix=fix)
    elif place.size_bytes < given.memory_bytes:
        room, wanted = sizes(place.size_bytes, given.memory_bytes)
        detail = f"{folder} has room for {room}, `memory` is {wanted}"
        yield DoctorFinding(
            area=Area.DISK,
            subject="opened files",
            level="bad",
            detail=detail,
            fix="Make the tmpfs larger (`--shm-size`), or `memory` smaller.",
        )
    elif place.swaps:
        fix = "Turn swap off or encrypt it: what is decrypted in memory may be written there when memory runs short."
        yield DoctorFinding(
            area=Area.DISK,
            subject="opened files",
            level="warning",
            detail=f"in memory, and the system swaps to {', '.join(place.swaps)}",
            fix=fix,
        )
    else:
        where = "on a disk, as the configuration says" if given.on_disk else "in memory, and nothing is swapped to a disk"
        yield DoctorFinding(area=Area.DISK, subject="opened files", level="good", detail=f"{folder}: {where}")
    if left := left_behind(config.store, given):
        detail = f"decrypted, of nodes that were killed: {', '.join(map(str, left))}"
        fix = "Start such a node again, which empties its folder; where it will not run again, delete the folder (`rm -r`)."
        yield DoctorFinding(area=Area.DISK, subject="left in memory", level="warning", detail=detail, fix=fix)
