"""`store:` where the node remembers, and for how long."""

from datetime import timedelta
from pathlib import Path

from node.settings.blocks import Block, Key, Nodes, Values
from node.settings.bucket import BUCKET
from node.settings.config import Bucket, Durability, Store
from node.settings.encryption import ENCRYPTION
from node.settings.errors import BadValue
from node.settings.journal_url import JournalUrl
from node.settings.kinds import DURATION, SHARE, SIZE, Choice, FilePath, whole
from node.settings.security import Encryption
from node.settings.source import Here


def _store(
    *,
    journal: str,
    blobs: Path,
    bucket: Bucket | None,
    spool: Path | None,
    encryption: Encryption | None,
    keep: timedelta,
    keep_headers: timedelta,
    durability: Durability,
    written_ahead: int,
    min_free: int,
    most_waiting: int,
    high_water: float,
) -> Store:
    return Store(
        journal=journal,
        blobs=blobs,
        bucket=bucket,
        spool=spool,
        encryption=encryption,
        keep=keep,
        keep_headers=keep_headers,
        durability=durability,
        written_ahead_bytes=written_ahead,
        min_free_bytes=min_free,
        most_waiting=most_waiting,
        high_water=high_water,
    )


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    if values["keep_headers"] < values["keep"]:
        at = nodes.get("keep_headers") or nodes["keep"]
        raise here.refuse(BadValue, at, "keep_headers is shorter than keep: headers stay at least as long as pixels")


STORE = Block(
    build=_store,
    check=_check,
    keys=(
        Key(
            name="journal",
            kind=JournalUrl(),
            default="sqlite:var/hilum.db",
            says="The database of everything that happened: a file of SQLite, or `postgresql://user@host/database`, which several hosts "
            "may share. The password stands in the file that `?password_file=…` names, in the environment (PGPASSWORD), or in the URL.",
        ),
        Key(name="blobs", kind=FilePath("file:"), default="file:var/blobs", says="The folder for instances, findings and result objects."),
        Key(
            name="bucket",
            kind=BUCKET,
            says="An S3-compatible bucket for instances, findings and result objects, so that several hosts share them. The "
            "folder `blobs` is then this host's own, for copies.",
        ),
        Key(
            name="spool",
            kind=FilePath("file:"),
            says="The folder of this host's own in which received instances are durable before they are in the bucket (or in a "
            "`blobs` that several hosts share) and in the journal. Default: in `blobs`.",
        ),
        Key(
            name="encryption",
            kind=ENCRYPTION,
            says="Instances, findings and result objects are encrypted on the disk and in the bucket (AES-256-GCM); what is there already "
            "is read as it is. The journal is not encrypted (docs/howto/encrypt-at-rest.md). Without it, nothing is.",
        ),
        Key(
            name="keep",
            kind=DURATION,
            default="14d",
            says="How long pixels and results stay once everything about them is done. Nothing undelivered is ever deleted for its age.",
        ),
        Key(name="keep_headers", kind=DURATION, default="400d", says="How long headers and history stay after that."),
        Key(
            name="durability",
            kind=Choice(of=Durability),
            default="each",
            says="What is on disk when a sender is told 0x0000: with `each` the instance; with `association` it follows at the end of "
            "the association or within a second; a power loss or a crash of the kernel may take it until then (docs/howto/durability.md).",
        ),
        Key(
            name="written_ahead",
            kind=SIZE,
            default="256MiB",
            says="How much disk each receive process may fill with files that are written ahead while nothing comes in, as many as the "
            "last burst had instances of up to 1 MiB: the next burst goes into them, and is durable sooner. `0MB`: none "
            "(docs/howto/durability.md).",
        ),
        Key(
            name="min_free",
            kind=SIZE,
            default="2GiB",
            says="With less free space, senders are answered 0xA700 (out of resources) and keep their instances. No association is "
            "admitted below 1.1 times of it, until 1.2 times of it are free.",
        ),
        Key(
            name="most_waiting",
            kind=whole(100, 10_000_000),
            default="100000",
            says="With more received instances that are not in the journal yet no association is admitted, until a tenth less wait.",
        ),
        Key(
            name="high_water",
            kind=SHARE,
            default="0.9",
            says="Above this share of the disk, pixels that are done with are deleted before `keep` ends, oldest first.",
        ),
    ),
)
