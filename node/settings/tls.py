"""`node: {tls: …}`, and what of `peers:` is about trust: TLS out, the certificate and user of who calls, the user that the node is."""

import re
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import Node as YamlNode

from node.settings.blocks import Block, Key, Nodes, Values
from node.settings.errors import BadValue, MissingKey
from node.settings.kinds import ADDRESS, TEXT, Address, Choice, FilePath, Scalar, Several
from node.settings.security import CertificateRule, ClientCertificate, PeerTls, TlsListener, TlsProfile, User
from node.settings.source import Here, Refused


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

_AUTHORITIES = "PEM file of the authorities that sign the certificates of others; no other is trusted, the system's neither."
_REVOCATIONS = "PEM file of the authorities' revocation lists (CRLs); with it, a certificate whose issuer's list is not in it is refused."


def _listener(
    *,
    listen: Address,
    certificate: Path,
    key: Path,
    authorities: Path,
    revocations: Path | None,
    profile: TlsProfile,
    client_certificate: ClientCertificate,
) -> TlsListener:
    return TlsListener(
        host=listen.host,
        port=listen.port,
        certificate=certificate,
        key=key,
        authorities=authorities,
        revocations=revocations,
        profile=profile,
        client_certificate=client_certificate,
    )


LISTENER = Block(
    build=_listener,
    wants="a mapping with `listen`, `certificate`, `key` and `authorities`",
    keys=(
        Key(
            name="listen",
            kind=ADDRESS,
            required=True,
            says="Where associations are accepted with TLS; 2762 is DICOM's registered port for it. Port 0 takes a free one.",
        ),
        Key(
            name="certificate",
            kind=FilePath(),
            required=True,
            says="PEM file of the node's certificate, then of those between it and its authority. It is read again when it changes.",
        ),
        Key(
            name="key",
            kind=FilePath(),
            required=True,
            says="PEM file of its private key, without a password; a file that others may read is refused.",
        ),
        Key(name="authorities", kind=FilePath(), required=True, says=_AUTHORITIES),
        Key(name="revocations", kind=FilePath(), says=_REVOCATIONS),
        Key(
            name="profile",
            kind=Choice(of=TlsProfile),
            default="bcp195",
            says="`bcp195`: PS3.15 B.12, the suites that RFC 9325 recommends; `modified`: B.13, those that it names. Both speak TLS 1.2 "
            "and 1.3.",
        ),
        Key(
            name="client_certificate",
            kind=Choice(of=ClientCertificate),
            default="required",
            says="`required`: who shows no certificate is not spoken to; `optional`: only peers with `certificate` need one. One that is "
            "shown is always verified.",
        ),
    ),
)


def _whole_pair(values: Values, nodes: Nodes, here: Here) -> None:
    for one, other in (("certificate", "key"), ("key", "certificate")):
        if values[one] is not None and values[other] is None:
            raise here.refuse(MissingKey, nodes[one], f'a "{one}" needs the "{other}" that belongs to it')


class _Outgoing(Block[PeerTls]):
    """What an entry leaves out is the listener's (`Here.listener`)."""

    def read(self, at: YamlNode, here: Here, **more: Any) -> PeerTls:
        asked = Block.read(self, at, here, **more)
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
        )


_UNSAID = Path()


def _outgoing(
    *,
    authorities: Path | None,
    certificate: Path | None,
    key: Path | None,
    revocations: Path | None,
    server_name: str | None,
    profile: TlsProfile,
) -> PeerTls:
    return PeerTls(
        authorities=authorities or _UNSAID,
        server_name=server_name or "",
        certificate=certificate,
        key=key,
        revocations=revocations,
        profile=profile,
    )


OUTGOING = _Outgoing(
    build=_outgoing,
    check=_whole_pair,
    keys=(
        Key(name="authorities", kind=FilePath(), says=f"{_AUTHORITIES} Without it, those of `node: {{tls: …}}`."),
        Key(
            name="certificate",
            kind=FilePath(),
            says="PEM file of the certificate that the node shows; without it, that of `node: {tls: …}`.",
        ),
        Key(name="key", kind=FilePath(), says="PEM file of its private key."),
        Key(name="revocations", kind=FilePath(), says=f"{_REVOCATIONS} It belongs to `authorities`."),
        Key(
            name="server_name",
            kind=TEXT,
            says="The DNS name or IP address that the peer's certificate must bear, where it is not the host of `address`.",
        ),
        Key(name="profile", kind=Choice(of=TlsProfile), default="bcp195", says="As in `node: {tls: …}`."),
    ),
)


def _certificate(*, fingerprint: tuple[str, ...], name: tuple[str, ...], subject: tuple[str, ...]) -> CertificateRule:
    return CertificateRule(fingerprints=fingerprint, names=name, subjects=subject)


def _some_rule(values: Values, nodes: Nodes, here: Here) -> None:
    if not any(values.values()):
        raise here.refuse(MissingKey, next(iter(nodes.values())), "asks for nothing; name a fingerprint, a name or a subject")


CERTIFICATE = Block(
    build=_certificate,
    check=_some_rule,
    wants="a mapping with `fingerprint`, `name` or `subject`",
    keys=(
        Key(
            name="fingerprint",
            kind=Several(of=FINGERPRINT, bare=True),
            default="[]",
            says="Its SHA-256 (`openssl x509 -in FILE -noout -fingerprint -sha256`); two while it is renewed.",
        ),
        Key(
            name="name",
            kind=Several(of=ALTERNATIVE_NAME, bare=True),
            default="[]",
            says="A subject alternative name that it bears, with its kind: `DNS:ct1.hospital.example`.",
        ),
        Key(
            name="subject",
            kind=Several(of=SUBJECT, bare=True),
            default="[]",
            says="Its subject as RFC 4514 writes it: `CN=ct1,O=Hospital` (the other way round than `openssl` by default).",
        ),
    ),
)


def _user(*, name: str, passcode_file: Path | None, passcode_variable: str | None) -> User:
    return User(name=name, passcode_file=passcode_file, passcode_variable=passcode_variable)


def _one_source(values: Values, nodes: Nodes, here: Here) -> None:
    if values["passcode_file"] is not None and values["passcode_variable"] is not None:
        raise here.refuse(BadValue, nodes["passcode_variable"], "the passcode is in a file, or in a variable; name one of them")


USER = Block(
    build=_user,
    check=_one_source,
    wants="a mapping with `name`",
    keys=(
        Key(name="name", kind=USERNAME, required=True, says="The username."),
        Key(
            name="passcode_file",
            kind=FilePath(),
            says="A file that holds the passcode and nothing else, private to the user that runs the node; read at each association.",
        ),
        Key(name="passcode_variable", kind=VARIABLE, says="The environment variable that holds the passcode, where it is in no file."),
    ),
)


def listener_of(at: YamlNode | None, here: Here) -> TlsListener | None:
    """The listener, for peers that are called as it is; what is wrong with it is told when its own block is read."""
    if at is None:
        return None
    try:
        return LISTENER.read(at, Here(file=here.file, folder=here.folder))
    except Refused:
        return None
