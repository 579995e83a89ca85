"""`audit:` who is told what was done with whose images, in the form of PS3.15 A.5."""

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from node.settings.blocks import Nodes, Values, block, setting
from node.settings.kinds import DURATION, TEXT, FilePath, Scalar, address
from node.settings.source import BadValue, Here, MissingKey

_URL = re.compile(r"(tls|udp)://([^/]+?)/?")
_PORTS = {"tls": 6514, "udp": 514}  # RFC 5425 4.1, RFC 5426 3.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """An audit repository: syslog over TLS, or (`secure` False) over UDP."""

    host: str
    port: int
    secure: bool = True


def _repository(text: str) -> Repository:
    found = _URL.fullmatch(text)
    if not found:
        raise ValueError(f'"{text}" is no address of a repository; write tls://host:6514, or udp://host:514')
    scheme, where = found.groups()
    named = re.search(r":[0-9]+$", where) and not where.endswith("]")
    at = address(where if named else f"{where}:{_PORTS[scheme]}")
    if at.port == 0:
        raise ValueError(f'"{text}": nobody listens on port 0')
    return Repository(host=at.host, port=at.port, secure=scheme == "tls")


REPOSITORY = Scalar(
    wants="an address `tls://host:6514` or `udp://host:514`", parse=_repository, form={"type": "string", "pattern": "^(tls|udp)://[^/]+/?$"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTls:
    """PEM files; `ca` None trusts what the system trusts."""

    ca: Path | None = setting(
        FilePath(), says="PEM file of the authority that signed the repository's certificate; without it, the system's."
    )
    cert: Path | None = setting(FilePath(), says="PEM file of the node's own certificate, where the repository asks for one.")
    key: Path | None = setting(FilePath(), says="PEM file of its private key.")


def _whole_pair(values: Values, nodes: Nodes, here: Here) -> None:
    for one, other in (("cert", "key"), ("key", "cert")):
        if values[one] is not None and values[other] is None:
            raise here.refuse(MissingKey, nodes[one], f'a "{one}" needs the "{other}" that belongs to it')


TLS = block(AuditTls, build=AuditTls, check=_whole_pair)


def _text(said: str | None) -> str:
    return said or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The audit trail. `folder` None: there is none. `source` and `site` are the audit source's names; empty: the node's own, none."""

    folder: Path | None = setting(
        FilePath(),
        says="Where the audit trail is written: a file a day, one DICOM audit message (PS3.15 A.5) a line. They name patients. Without "
        "it there is no trail.",
    )
    keep: timedelta = setting(DURATION, default="400d", says="How long the files stay; what a repository has not taken stays longer.")
    send: Repository | None = setting(
        REPOSITORY,
        says="The audit repository: syslog over TLS (`tls://host:6514`, PS3.15 A.6), or over UDP (`udp://host:514`, A.7), which loses "
        "and shows messages. While it is away, messages wait in the folder.",
    )
    tls: AuditTls = setting(TLS, default="{}", says="Whom to trust behind tls://, and who the node is there.")
    source: str = setting(
        TEXT, of=_text, says="AuditSourceID: how the repository calls this node. Default: its first AE title and host name."
    )
    site: str = setting(TEXT, of=_text, says="AuditEnterpriseSiteID: the hospital, or the part of it.")


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    if values["folder"] is None and nodes:
        at = next(iter(nodes.values()))
        raise here.refuse(MissingKey, at, 'the trail needs the key "folder": messages wait there until they are sent')
    if "tls" in nodes and (values["send"] is None or not values["send"].secure):
        raise here.refuse(BadValue, nodes["tls"], '"tls" belongs to a repository behind tls://')


AUDIT = block(Audit, build=Audit, check=_check)
