"""`store:` where the node remembers, and for how long: the journal's URL, folders, a bucket, encryption."""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from operator import itemgetter
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from ruamel.yaml.nodes import Node

from node.settings.blocks import Key, Nodes, Values, block, declared, needed, placed, setting
from node.settings.kinds import DURATION, SHARE, SIZE, SWITCH, TEXT, Choice, FilePath, Scalar, Schema, Several, whole
from node.settings.source import BadValue, Here, Refused, UnknownKey, scalar_text, suggestion

CROWDED = 1.1
"""Of `min_free`: with less no association is admitted."""
_LEAST_BYTES = 64 * 2**20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_FILES = ("password_file", "passfile", "sslrootcert", "sslcert", "sslkey")
_PARAMETERS = (*_FILES, "host", "sslmode", "channel_binding", "target_session_attrs", "connect_timeout")
_SQLITE, _SERVER = "sqlite:", "postgresql://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption:
    """How files of the store are encrypted on the disk: the first of `key_files` encrypts, all of them decrypt.

    `folder` is where what is in use lies decrypted, `memory_bytes` of it at most; None: /dev/shm. `on_disk` lets it be on a disk.
    """

    key_files: tuple[Path, ...] = field(
        metadata=needed(
            Several(of=FilePath(), bare=True, least=1),
            name="key_file",
            says="A private file of 32 random bytes (`openssl rand -out FILE 32; chmod 600 FILE`), or several: the first encrypts, all "
            "decrypt. A lost key is lost data: keep a copy elsewhere, and not with the backups.",
        )
    )
    memory_bytes: int = setting(
        SIZE,
        name="memory",
        default="4GiB",
        says="How much may lie decrypted at one time, in memory: at least the largest study, times `workers`.",
    )
    folder: Path | None = setting(
        FilePath(),
        says="Where that lies: a folder on a tmpfs; emptied when the node starts and ends. Default: one of its own in /dev/shm.",
    )
    on_disk: bool = setting(
        SWITCH,
        default="false",
        says="Let `folder` be on a disk: for one that is encrypted by other means. Decrypted files lie on it while they are in use.",
    )
    place: str = placed("key_file")


def _check_encryption(values: Values, nodes: Nodes, here: Here) -> None:
    if values["memory"] < _LEAST_BYTES:
        raise here.about("memory").refuse(BadValue, nodes["memory"], "less than 64MiB: no study of any size could be opened")
    if values["on_disk"] and values["folder"] is None:
        raise here.about("on_disk").refuse(BadValue, nodes["on_disk"], "needs the key `folder`: which folder of an encrypted disk it is")


ENCRYPTION = block(Encryption, build=Encryption, check=_check_encryption)


class BucketUrl:
    """`s3://name/prefix`; becomes (name, prefix)."""

    wants = "`s3://` and a bucket's name, and a prefix if need be: `s3://hospital/hilum`"

    def read(self, at: Node, here: Here) -> tuple[str, str]:
        text = scalar_text(at, here, self.wants)
        if not text.startswith("s3://"):
            raise here.refuse(BadValue, at, f'"{text}" does not begin with s3://')
        name, _, prefix = text.removeprefix("s3://").rstrip("/").partition("/")
        if not _NAME.fullmatch(name):
            raise here.refuse(BadValue, at, f'"{name}" is no bucket name: 3 to 63 letters, digits, dots, hyphens and underscores')
        if prefix and not _PREFIX.fullmatch(prefix):
            raise here.refuse(BadValue, at, f'"{prefix}" is no prefix: letters, digits, dots, hyphens and underscores between slashes')
        return name, prefix

    def schema(self) -> Schema:
        return {"type": "string", "pattern": "^s3://[A-Za-z0-9]"}


def _endpoint(text: str) -> str:
    # the text is not repeated: somebody may have written keys into it
    if not re.fullmatch(r"https?://[A-Za-z0-9._\[\]:-]+/?", text):
        raise ValueError("the endpoint is no URL of a server such as https://s3.hospital.example:9000 (no path, no user)")
    return text.rstrip("/")


ENDPOINT = Scalar(
    wants="a URL such as `https://s3.hospital.example:9000`", parse=_endpoint, form={"type": "string", "pattern": "^https?://"}
)


_URL = Key(name="url", kind=BucketUrl(), required=True, says="The bucket, and the prefix below which everything of this node lies.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """An S3-compatible bucket. `credentials` None: from the environment, or the machine's role. `cache_bytes` bounds each host's copies."""

    name: str = field(metadata=declared(_URL, itemgetter(0)))
    prefix: str = field(default="", metadata=declared(_URL, itemgetter(1)))
    endpoint: str | None = setting(ENDPOINT, says="The server; without it Amazon's of the region. Only https:// keeps pixels secret.")
    region: str = setting(TEXT, default="us-east-1", says="The bucket's region.")
    credentials: Path | None = setting(
        FilePath(),
        says="A file with `[default]`, `aws_access_key_id` and `aws_secret_access_key`, read again every few minutes. Without it the "
        "keys come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or from the machine's role.",
    )
    ca: Path | None = setting(FilePath(), says="A PEM file of certificates that sign the server's, beside those that the system trusts.")
    cache_bytes: int = setting(
        SIZE,
        name="cache",
        default="20GiB",
        says="How much of the bucket each host keeps copies of, in the folder `blobs`; what was not used for longest goes first. At "
        "least what its workers analyse at one time.",
    )

    @property
    def url(self) -> str:
        """How an operator wrote it; holds no secret."""
        return f"s3://{self.name}/{self.prefix}".rstrip("/")


BUCKET = block(Bucket, build=Bucket)


class JournalUrl:
    """`sqlite:` and a path, or `postgresql://user@host:port/database`; paths in it become absolute.

    The password stands in the URL, in the file that the parameter `password_file` names, in libpq's `passfile`, or in the environment
    (PGPASSWORD, PGPASSFILE).
    """

    def __init__(self) -> None:
        self.wants = "`sqlite:` and a path, or `postgresql://user@host/database`"
        self._path = FilePath(_SQLITE)

    def read(self, at: Node, here: Here) -> str:
        text = scalar_text(at, here, self.wants)
        if text.startswith(_SQLITE):
            return f"{_SQLITE}{self._path.read(at, here)}"
        if text.startswith(_SERVER):
            return self._server(text, at, here)
        raise here.refuse(BadValue, at, f"begins with neither {_SQLITE} nor {_SERVER}")

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^({_SQLITE}.|{_SERVER}.*/.)"}

    def _server(self, text: str, at: Node, here: Here) -> str:
        if "#" in text:
            raise here.refuse(BadValue, at, 'holds a bare "#"; in a password write %23')
        try:
            parts = urlsplit(text)
        except ValueError as unfit:
            raise here.refuse(BadValue, at, "the host in brackets is no IPv6 address") from unfit
        try:
            port = parts.port
        except ValueError as unfit:
            raise here.refuse(BadValue, at, "the port is no number up to 65535") from unfit
        if port == 0:
            raise here.refuse(BadValue, at, "port 0 is no port to connect to")
        if not re.fullmatch(r"/[^/]+", parts.path):
            raise here.refuse(BadValue, at, "names no database; write postgresql://user@host/database")
        return urlunsplit((parts.scheme, parts.netloc, parts.path, self._query(parts.query, at, here), ""))

    @staticmethod
    def _query(query: str, at: Node, here: Here) -> str:
        try:
            asked = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        except ValueError as unfit:
            raise here.refuse(BadValue, at, "has parameters that are not written name=value&name=value") from unfit
        sound = True
        found: dict[str, str] = {}
        for name, value in asked:
            if name not in _PARAMETERS:
                here.refuse(UnknownKey, at, f'unknown parameter "{name}"{suggestion(name, _PARAMETERS)}')
                sound = False
            # "system" is libpq's word for the certificates of the operating system
            is_path = name in _FILES and not (name == "sslrootcert" and value == "system")
            found[name] = str((here.folder / Path(value).expanduser()).absolute()) if is_path else value
        if not sound:
            raise Refused
        return urlencode(found, quote_via=quote, safe="/:,")


class Durability(StrEnum):
    """When what was answered with 0x0000 is on disk: before the answer, or once its association ends and within a second."""

    EACH = "each"
    ASSOCIATION = "association"


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where the node remembers. Paths are absolute (relative ones in the YAML count from the config file's folder).

    With `bucket` the folder `blobs` is this host's own and holds copies. `spool` is where this host's receiver keeps what is not yet in the
    journal; None: in `blobs`. `encryption` None: files lie there as they came.
    """

    journal: str = field(
        metadata=needed(
            JournalUrl(),
            default="sqlite:var/hilum.db",
            says="The database of everything that happened: a file of SQLite, or `postgresql://user@host/database`, which several hosts "
            "may share. The password stands in the file that `?password_file=…` names, in the environment (PGPASSWORD), or in the URL.",
        )
    )
    blobs: Path = field(
        metadata=needed(FilePath("file:"), default="file:var/blobs", says="The folder for instances, findings and result objects.")
    )
    bucket: Bucket | None = setting(
        BUCKET,
        says="An S3-compatible bucket for instances, findings and result objects, so that several hosts share them. The "
        "folder `blobs` is then this host's own, for copies.",
    )
    spool: Path | None = setting(
        FilePath("file:"),
        says="The folder of this host's own in which received instances are durable before they are in the bucket (or in a "
        "`blobs` that several hosts share) and in the journal. Default: in `blobs`.",
    )
    encryption: Encryption | None = setting(
        ENCRYPTION,
        says="Instances, findings and result objects are encrypted on the disk and in the bucket (AES-256-GCM); what is there already "
        "is read as it is. The journal is not encrypted (docs/howto/encrypt-at-rest.md). Without it, nothing is.",
    )
    keep: timedelta = setting(
        DURATION,
        default="14d",
        says="How long pixels and results stay once everything about them is done. Nothing undelivered is ever deleted for its age.",
    )
    keep_headers: timedelta = setting(DURATION, default="400d", says="How long headers stay after that.")
    keep_history: timedelta | None = setting(
        DURATION,
        says="How long the history stays: its lines say when a study came, what became of its jobs and deliveries, and why. Never "
        "shorter than `keep_headers`, which is the default. Nothing is decided by it; what the audit trail or a messenger has still to "
        "tell stays until it is told.",
    )
    durability: Durability = setting(
        Choice(of=Durability),
        default="each",
        says="What is on disk when a sender is told 0x0000: with `each` the instance; with `association` it follows at the end of "
        "the association or within a second; a power loss or a crash of the kernel may take it until then (docs/howto/durability.md).",
    )
    min_free_bytes: int = setting(
        SIZE,
        name="min_free",
        default="2GiB",
        says="With less free space, senders are answered 0xA700 (out of resources) and keep their instances. No association is "
        "admitted below 1.1 times of it, until 1.2 times of it are free.",
    )
    most_waiting: int = setting(
        whole(100, 10_000_000),
        default="100000",
        says="With more received instances that are not in the journal yet no association is admitted, until a tenth less wait.",
    )
    high_water: float = setting(
        SHARE,
        default="0.9",
        says="Above this share of the disk, pixels that are done with are deleted before `keep` ends, oldest first.",
    )

    @property
    def history_kept(self) -> timedelta:
        """How long the history stays."""
        return self.keep_headers if self.keep_history is None else self.keep_history

    @property
    def spooled(self) -> Path:
        """The folder of this host's spool, wherever it lies."""
        return self.spool or self.blobs

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders of this host that files of the store lie in."""
        return tuple(dict.fromkeys(path for path in (self.blobs, self.spool) if path is not None))


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    if values["keep_headers"] < values["keep"]:
        at = nodes.get("keep_headers") or nodes["keep"]
        raise here.refuse(BadValue, at, "keep_headers is shorter than keep: headers stay at least as long as pixels")
    if values["keep_history"] is not None and values["keep_history"] < values["keep_headers"]:
        raise here.refuse(
            BadValue, nodes["keep_history"], "keep_history is shorter than keep_headers: the history stays at least as long as headers"
        )


STORE = block(Store, build=Store, check=_check)
