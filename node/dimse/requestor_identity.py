"""Requestor identity: the titles, address, certificate and user that come with a request for an association. Nothing is checked here."""

from dataclasses import dataclass, field
from typing import Any, Final

USERNAME: Final = 1
USERNAME_AND_PASSCODE: Final = 2
APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
"""The DICOM application context name, of which there is one (PS3.7 A.2.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What of a peer's X.509 certificate tells who it is, once TLS has verified its chain and that the peer has the key.

    Attributes
    ----------
    subject, issuer
        Distinguished names as RFC 4514 writes them, the most special part first: `CN=pacs,O=Hospital`.
    alternative_names
        Subject alternative names with their kind (RFC 5280 4.2.1.6): `DNS:pacs.hospital`, `IP:10.0.0.5`, `URI:urn:x`, `EMAIL:a@b`.
    fingerprint
        SHA-256 of the certificate's DER form: 64 hexadecimal digits in lower case.
    """

    subject: str
    alternative_names: tuple[str, ...]
    issuer: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserIdentity:
    """The User Identity sub-item of an A-ASSOCIATE-RQ (PS3.7 D.3.3.7): `kind` 1 is a username, 2 a username and a passcode.

    Kinds 3 to 5 (Kerberos, SAML, JWT) are carried as a number alone: they can be refused where an identity is asked for. The passcode
    stays out of every text that is made of it.
    """

    kind: int
    username: str = ""
    passcode: bytes = field(default=b"", repr=False)
    wants_response: bool = False

    @classmethod
    def of(cls, item: Any) -> "UserIdentity | None":
        """From pynetdicom's `UserIdentityNegotiation` (the A-ASSOCIATE primitive's item); None where the sender gave none."""
        if item is None:
            return None
        kind, wants = int(item.user_identity_type or 0), bool(item.positive_response_requested)
        if kind not in (USERNAME, USERNAME_AND_PASSCODE):
            return cls(kind=kind, wants_response=wants)
        # PS3.7 table D.3-14: the username is UTF-8
        username = bytes(item.primary_field or b"").decode("utf-8", "replace")
        passcode = bytes(item.secondary_field or b"") if kind == USERNAME_AND_PASSCODE else b""
        return cls(kind=kind, username=username, passcode=passcode, wants_response=wants)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestorIdentity:
    """The requestor of an association, as its request and its connection tell it. `certificate` None: without TLS, or none was shown.

    `behind_proxy`: `address` is a trusted proxy's, which does not tell from where the sender called it.
    """

    called: str
    calling: str
    address: str
    application_context: str = APPLICATION_CONTEXT
    certificate: Certificate | None = None
    identity: UserIdentity | None = None
    behind_proxy: bool = False
