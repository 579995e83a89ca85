"""`audit:` who is told what was done with whose images, in the form of PS3.15 A.5."""

import re
from datetime import timedelta
from pathlib import Path

from node.settings.blocks import Block, Key, Nodes, Values
from node.settings.config import Audit, AuditTls, Repository
from node.settings.errors import BadValue, MissingKey
from node.settings.kinds import DURATION, TEXT, FilePath, Scalar, address
from node.settings.source import Here

_URL = re.compile(r"(tls|udp)://([^/]+?)/?")
_PORTS = {"tls": 6514, "udp": 514}  # RFC 5425 4.1, RFC 5426 3.3


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


def _whole_pair(values: Values, nodes: Nodes, here: Here) -> None:
    for one, other in (("cert", "key"), ("key", "cert")):
        if values[one] is not None and values[other] is None:
            raise here.refuse(MissingKey, nodes[one], f'a "{one}" needs the "{other}" that belongs to it')


TLS = Block(
    build=AuditTls,
    check=_whole_pair,
    keys=(
        Key(
            name="ca", kind=FilePath(), says="PEM file of the authority that signed the repository's certificate; without it, the system's."
        ),
        Key(name="cert", kind=FilePath(), says="PEM file of the node's own certificate, where the repository asks for one."),
        Key(name="key", kind=FilePath(), says="PEM file of its private key."),
    ),
)


def _audit(*, folder: Path | None, keep: timedelta, send: Repository | None, tls: AuditTls, source: str | None, site: str | None) -> Audit:
    return Audit(folder=folder, keep=keep, send=send, tls=tls, source=source or "", site=site or "")


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    if values["folder"] is None and nodes:
        at = next(iter(nodes.values()))
        raise here.refuse(MissingKey, at, 'the trail needs the key "folder": messages wait there until they are sent')
    if "tls" in nodes and (values["send"] is None or not values["send"].secure):
        raise here.refuse(BadValue, nodes["tls"], '"tls" belongs to a repository behind tls://')


AUDIT = Block(
    build=_audit,
    check=_check,
    keys=(
        Key(
            name="folder",
            kind=FilePath(),
            says="Where the audit trail is written: a file a day, one DICOM audit message (PS3.15 A.5) a line. They name patients. Without "
            "it there is no trail.",
        ),
        Key(
            name="keep",
            kind=DURATION,
            default="400d",
            says="How long the files stay; what a repository has not taken stays longer.",
        ),
        Key(
            name="send",
            kind=REPOSITORY,
            says="The audit repository: syslog over TLS (`tls://host:6514`, PS3.15 A.6), or over UDP (`udp://host:514`, A.7), which loses "
            "and shows messages. While it is away, messages wait in the folder.",
        ),
        Key(name="tls", kind=TLS, default="{}", says="Whom to trust behind tls://, and who the node is there."),
        Key(name="source", kind=TEXT, says="AuditSourceID: how the repository calls this node. Default: its first AE title and host name."),
        Key(name="site", kind=TEXT, says="AuditEnterpriseSiteID: the hospital, or the part of it."),
    ),
)
