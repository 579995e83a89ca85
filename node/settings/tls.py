"""`node: {tls: …}`, and what of `peers:` is about trust: TLS out, the certificate and user of who calls, the user that the node is.

Files are named here; `node.settings.secrets` reads those that only the node's user may read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import ip_address
from operator import attrgetter
from pathlib import Path

from ruamel.yaml.nodes import Node as YamlNode

from node.settings.blocks import Key, Nodes, Values, block, declared, needed, placed, placed_each, setting
from node.settings.kinds import ADDRESS, TEXT, Choice, FilePath, Scalar, Schema, Several
from node.settings.source import BadValue, Here, MissingKey, Refused


def _fingerprint(text: str) -> str:
    plain = text.removeprefix("sha256:").removeprefix("SHA256:").replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", plain):
        raise ValueError(f'"{text}" is no SHA-256 fingerprint: 64 hexadecimal digits, with or without colons')
    return plain


def _alternative_name(text: str) -> str:
    kind, colon, name = text.partition(":")
    if not colon or kind not in ("DNS", "IP", "URI", "EMAIL") or not name:
        raise ValueError(f'"{text}" is no subject alternative name; write DNS:ct1.hospital.example, IP:10.0.0.21, URI:… or EMAIL:…')
    if kind == "IP":
        try:
            return f"IP:{ip_address(name)}"
        except ValueError as unfit:
            raise ValueError(f'"{text}": {name} is no IP address') from unfit
    return f"DNS:{name.lower()}" if kind == "DNS" else text


def _subject(text: str) -> str:
    if not re.match(r"[A-Za-z][A-Za-z0-9]*=", text):
        raise ValueError(
            f'"{text}" is no distinguished name; write it as `openssl x509 -noout -subject -nameopt RFC2253` does: CN=ct1,O=Hospital'
        )
    return text


def _variable(text: str) -> str:
    # the text is not repeated: somebody may have written the passcode here
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError("this is no name of an environment variable (letters, digits, underscores)")
    return text


def _username(text: str) -> str:
    if len(text.encode()) > 1024:
        raise ValueError("a username is at most 1,024 bytes long")
    return text


FINGERPRINT = Scalar(wants="a SHA-256 fingerprint", parse=_fingerprint, form={"type": "string", "minLength": 64})
ALTERNATIVE_NAME = Scalar(
    wants="a subject alternative name (`DNS:…`, `IP:…`, `URI:…`, `EMAIL:…`)",
    parse=_alternative_name,
    form={"type": "string", "pattern": "^(DNS|IP|URI|EMAIL):."},
)
SUBJECT = Scalar(wants="a distinguished name (`CN=…,O=…`)", parse=_subject, form={"type": "string", "pattern": "="})
VARIABLE = Scalar(
    wants="the name of an environment variable", parse=_variable, form={"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}
)
USERNAME = Scalar(wants="a username", parse=_username, form={"type": "string", "minLength": 1})


class TlsProfile(StrEnum):
    """Which of the TLS profiles of PS3.15 is spoken: B.12 (BCP 195: RFC 8996, RFC 9325) or B.13 (the same, modified)."""

    BCP195 = "bcp195"
    MODIFIED = "modified"


class ClientCertificate(StrEnum):
    """Whether who connects with TLS must show a certificate; one that is shown is verified in either case."""

    REQUIRED = "required"
    OPTIONAL = "optional"


_AUTHORITIES = "PEM file of the authorities that sign the certificates of others; no other is trusted, the system's neither."
_REVOCATIONS = "PEM file of the authorities' revocation lists (CRLs); with it, a certificate whose issuer's list is not in it is refused."


_LISTEN = Key(
    name="listen",
    kind=ADDRESS,
    required=True,
    says="Where associations are accepted with TLS; 2762 is DICOM's registered port for it. Port 0 takes a free one.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsListener:
    """Where associations are accepted with TLS, and as whom. `certificate` is the chain, the node's own first. `revocations`: PEM CRLs."""

    host: str = field(metadata=declared(_LISTEN, attrgetter("host")))
    port: int = field(metadata=declared(_LISTEN, attrgetter("port")))
    certificate: Path = field(
        metadata=needed(
            FilePath(),
            says="PEM file of the node's certificate, then of those between it and its authority. It is read again when it changes.",
        )
    )
    key: Path = field(
        metadata=needed(FilePath(), says="PEM file of its private key, without a password; a file that others may read is refused.")
    )
    authorities: Path = field(metadata=needed(FilePath(), says=_AUTHORITIES))
    revocations: Path | None = setting(FilePath(), says=_REVOCATIONS)
    profile: TlsProfile = setting(
        Choice(of=TlsProfile),
        default="bcp195",
        says="`bcp195`: PS3.15 B.12, the suites that RFC 9325 recommends; `modified`: B.13, those that it names. Both speak TLS 1.2 "
        "and 1.3.",
    )
    client_certificate: ClientCertificate = setting(
        Choice(of=ClientCertificate),
        default="required",
        says="`required`: who shows no certificate is not spoken to; `optional`: only peers with `certificate` need one. One that is "
        "shown is always verified.",
    )
    places: Mapping[str, str] = placed_each()


LISTENER = block(TlsListener, build=TlsListener, wants="a mapping with `listen`, `certificate`, `key` and `authorities`")


_UNSAID = Path()


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTls:
    """How the node calls one peer with TLS. `server_name` is what the peer's certificate must bear (RFC 6125): a DNS name or an IP address.

    What `peers: {…: {tls: …}}` leaves out is the listener's (`node: {tls: …}`). `certificate` None: the node shows none.
    """

    authorities: Path = field(
        metadata=declared(
            Key(name="authorities", kind=FilePath(), says=f"{_AUTHORITIES} Without it, those of `node: {{tls: …}}`."),
            lambda said: said or _UNSAID,
        )
    )
    certificate: Path | None = setting(
        FilePath(), says="PEM file of the certificate that the node shows; without it, that of `node: {tls: …}`."
    )
    key: Path | None = setting(FilePath(), says="PEM file of its private key.")
    revocations: Path | None = setting(FilePath(), says=f"{_REVOCATIONS} It belongs to `authorities`.")
    server_name: str = field(
        metadata=declared(
            Key(
                name="server_name",
                kind=TEXT,
                says="The DNS name or IP address that the peer's certificate must bear, where it is not the host of `address`.",
            ),
            lambda said: said or "",
        )
    )
    profile: TlsProfile = setting(Choice(of=TlsProfile), default="bcp195", says="As in `node: {tls: …}`.")
    places: Mapping[str, str] = placed_each()


def _whole_pair(values: Values, nodes: Nodes, here: Here) -> None:
    for one, other in (("certificate", "key"), ("key", "certificate")):
        if values[one] is not None and values[other] is None:
            raise here.refuse(MissingKey, nodes[one], f'a "{one}" needs the "{other}" that belongs to it')


_SAID = block(PeerTls, build=PeerTls, check=_whole_pair)


class _Outgoing:
    """The kind of the key `tls` of a peer: what an entry leaves out is the listener's (`Here.listener`)."""

    wants = _SAID.wants
    keys = _SAID.keys

    def read(self, at: YamlNode, here: Here) -> PeerTls:
        asked = _SAID.read(at, here)
        listener = here.listener
        if listener is None:
            if asked.authorities == _UNSAID:
                raise here.refuse(MissingKey, at, 'needs the key "authorities": a path (there is no `node: {tls: …}` to take it from)')
            return asked
        own = asked.certificate is not None
        return replace(
            asked,
            authorities=listener.authorities if asked.authorities == _UNSAID else asked.authorities,
            # lists of the authorities that are trusted here
            revocations=listener.revocations if asked.authorities == _UNSAID else asked.revocations,
            certificate=asked.certificate if own else listener.certificate,
            key=asked.key if own else listener.key,
            places={**listener.places, **asked.places},
        )

    def schema(self) -> Schema:
        return _SAID.schema()


OUTGOING = _Outgoing()


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRule:
    """What the certificate of a peer that calls must be. Of each kind that is not empty one must hold; empty kinds are not asked for.

    `fingerprints` are SHA-256, 64 hexadecimal digits in lower case; `names` are subject alternative names (`DNS:…`, `IP:…`, `URI:…`,
    `EMAIL:…`), and `subjects` distinguished names as RFC 4514 writes them.
    """

    fingerprints: tuple[str, ...] = setting(
        Several(of=FINGERPRINT, bare=True),
        name="fingerprint",
        default="[]",
        says="Its SHA-256 (`openssl x509 -in FILE -noout -fingerprint -sha256`); two while it is renewed.",
    )
    names: tuple[str, ...] = setting(
        Several(of=ALTERNATIVE_NAME, bare=True),
        name="name",
        default="[]",
        says="A subject alternative name that it bears, with its kind: `DNS:ct1.hospital.example`.",
    )
    subjects: tuple[str, ...] = setting(
        Several(of=SUBJECT, bare=True),
        name="subject",
        default="[]",
        says="Its subject as RFC 4514 writes it: `CN=ct1,O=Hospital` (the other way round than `openssl` by default).",
    )


def _some_rule(values: Values, nodes: Nodes, here: Here) -> None:
    if not any(values.values()):
        raise here.refuse(MissingKey, next(iter(nodes.values())), "asks for nothing; name a fingerprint, a name or a subject")


CERTIFICATE = block(CertificateRule, build=CertificateRule, check=_some_rule, wants="a mapping with `fingerprint`, `name` or `subject`")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A username, and where its passcode is: a private file, or an environment variable; neither: a username alone.

    `place` is where the configuration says so, as a message begins.
    """

    name: str = field(metadata=needed(USERNAME, says="The username."))
    passcode_file: Path | None = setting(
        FilePath(),
        says="A file that holds the passcode and nothing else, private to the user that runs the node; read at each association.",
    )
    passcode_variable: str | None = setting(VARIABLE, says="The environment variable that holds the passcode, where it is in no file.")
    place: str = placed("passcode_file", "passcode_variable")

    @property
    def has_passcode(self) -> bool:
        return self.passcode_file is not None or self.passcode_variable is not None


def _one_source(values: Values, nodes: Nodes, here: Here) -> None:
    if values["passcode_file"] is not None and values["passcode_variable"] is not None:
        raise here.refuse(BadValue, nodes["passcode_variable"], "the passcode is in a file, or in a variable; name one of them")


USER = block(User, build=User, check=_one_source, wants="a mapping with `name`")


def listener_of(at: YamlNode | None, here: Here) -> TlsListener | None:
    """The listener, for peers that are called as it is; what is wrong with it is told when its own block is read."""
    if at is None:
        return None
    try:
        return LISTENER.read(at, Here(file=here.file, folder=here.folder))
    except Refused:
        return None
