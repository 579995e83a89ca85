"""What the configuration says about trust: certificates, users, keys. Files are named here and read elsewhere; there is no secret in it."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class TlsProfile(StrEnum):
    """Which of the TLS profiles of PS3.15 is spoken: B.12 (BCP 195: RFC 8996, RFC 9325) or B.13 (the same, modified)."""

    BCP195 = "bcp195"
    MODIFIED = "modified"


class ClientCertificate(StrEnum):
    """Whether who connects with TLS must show a certificate; one that is shown is verified in either case."""

    REQUIRED = "required"
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsListener:
    """Where associations are accepted with TLS, and as whom. `certificate` is the chain, the node's own first. `revocations`: PEM CRLs."""

    host: str
    port: int
    certificate: Path
    key: Path
    authorities: Path
    revocations: Path | None = None
    profile: TlsProfile = TlsProfile.BCP195
    client_certificate: ClientCertificate = ClientCertificate.REQUIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTls:
    """How the node calls one peer with TLS. `server_name` is what the peer's certificate must bear (RFC 6125): a DNS name or an IP address.

    What `peers: {…: {tls: …}}` leaves out is the listener's (`node: {tls: …}`). `certificate` None: the node shows none.
    """

    authorities: Path
    server_name: str
    certificate: Path | None = None
    key: Path | None = None
    revocations: Path | None = None
    profile: TlsProfile = TlsProfile.BCP195


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRule:
    """What the certificate of a peer that calls must be. Of each kind that is not empty one must hold; empty kinds are not asked for.

    `fingerprints` are SHA-256, 64 hexadecimal digits in lower case; `names` are subject alternative names (`DNS:…`, `IP:…`, `URI:…`,
    `EMAIL:…`), and `subjects` distinguished names as RFC 4514 writes them.
    """

    fingerprints: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A username, and where its passcode is: a private file, or an environment variable; neither: a username alone."""

    name: str
    passcode_file: Path | None = None
    passcode_variable: str | None = None

    @property
    def has_passcode(self) -> bool:
        return self.passcode_file is not None or self.passcode_variable is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption:
    """How files of the store are encrypted on the disk: the first of `key_files` encrypts, all of them decrypt.

    `folder` is where what is in use lies decrypted, `memory_bytes` of it at most; None: /dev/shm. `on_disk` lets it be on a disk.
    """

    key_files: tuple[Path, ...]
    memory_bytes: int = 4 * 2**30
    folder: Path | None = None
    on_disk: bool = False
