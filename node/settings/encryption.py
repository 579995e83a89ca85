"""`store: {encryption: …}` the keys with which files are encrypted on the disk, and where those in use lie decrypted."""

from pathlib import Path

from node.settings.blocks import Block, Key, Nodes, Values
from node.settings.errors import BadValue
from node.settings.kinds import SIZE, SWITCH, FilePath, Several
from node.settings.security import Encryption
from node.settings.source import Here

_LEAST_BYTES = 64 * 2**20


def _encryption(*, key_file: tuple[Path, ...], memory: int, folder: Path | None, on_disk: bool) -> Encryption:
    return Encryption(key_files=key_file, memory_bytes=memory, folder=folder, on_disk=on_disk)


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    if values["memory"] < _LEAST_BYTES:
        raise here.about("memory").refuse(BadValue, nodes["memory"], "less than 64MiB: no study of any size could be opened")
    if values["on_disk"] and values["folder"] is None:
        raise here.about("on_disk").refuse(BadValue, nodes["on_disk"], "needs the key `folder`: which folder of an encrypted disk it is")


ENCRYPTION = Block(
    build=_encryption,
    check=_check,
    keys=(
        Key(
            name="key_file",
            kind=Several(of=FilePath(), bare=True, least=1),
            required=True,
            says="A private file of 32 random bytes (`openssl rand -out FILE 32; chmod 600 FILE`), or several: the first encrypts, all "
            "decrypt. A lost key is lost data: keep a copy elsewhere, and not with the backups.",
        ),
        Key(
            name="memory",
            kind=SIZE,
            default="4GiB",
            says="How much may lie decrypted at one time, in memory: at least the largest study, times `workers`.",
        ),
        Key(
            name="folder",
            kind=FilePath(),
            says="Where that lies: a folder on a tmpfs; emptied when the node starts and ends. Default: one of its own in /dev/shm.",
        ),
        Key(
            name="on_disk",
            kind=SWITCH,
            default="false",
            says="Let `folder` be on a disk: for one that is encrypted by other means. Decrypted files lie on it while they are in use.",
        ),
    ),
)
