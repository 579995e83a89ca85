"""`console: {ldap: …, oidc: …}`: where the hospital vouches for people, and which of its groups has which role."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from node.domain.account import Role
from node.settings.blocks import Nodes, Values, block, needed, placed, setting
from node.settings.kinds import DURATION, SWITCH, TEXT, FilePath, Scalar, Several, is_loopback
from node.settings.source import BadValue, Here, MissingKey
from node.settings.tls import USER, User

_PORTS: Final = {"ldaps": 636, "ldap": 389}
_DN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]* *=.+")
_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_GROUPS = Several(of=TEXT, bare=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRoles:
    """Groups of the hospital by the role that their members have; who is in several has the role that may most."""

    admin: tuple[str, ...] = setting(_GROUPS, default="[]", says="Groups whose members administer.")
    operator: tuple[str, ...] = setting(_GROUPS, default="[]", says="Groups whose members operate.")
    viewer: tuple[str, ...] = setting(_GROUPS, default="[]", says="Groups whose members look.")

    @property
    def ranked(self) -> tuple[tuple[Role, tuple[str, ...]], ...]:
        """Role and groups, the role that may most first."""
        return (Role.ADMIN, self.admin), (Role.OPERATOR, self.operator), (Role.VIEWER, self.viewer)

    def of(self, groups: Collection[str]) -> Role | None:
        """The role of somebody who is in these groups; None: none."""
        return next((role for role, named in self.ranked if not frozenset(named).isdisjoint(groups)), None)

    @property
    def named(self) -> tuple[str, ...]:
        """Every group."""
        return tuple(group for _, groups in self.ranked for group in groups)


ROLES = block(GroupRoles, build=GroupRoles, wants="a mapping of `admin`, `operator`, `viewer` to groups")


def _demand_some_group(values: Values, nodes: Nodes, here: Here) -> None:
    if not values["roles"].named:
        raise here.about("roles").refuse(MissingKey, nodes["roles"], "names no group: nobody could log in")


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapServer:
    """One server of a directory; `implicit`: TLS from the first byte on (ldaps), otherwise STARTTLS is asked for."""

    host: str
    port: int
    implicit: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ldaps' if self.implicit else 'ldap'}://{host}:{self.port}"


def _server(text: str) -> LdapServer:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    fits = host is not None and port != 0 and parts.scheme in _PORTS and text.isascii() and not re.search(r"\s", text)
    if not fits or host is None or parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f'"{text}" is no directory\'s address; write ldaps://host, or ldap://host for STARTTLS, with a port or without')
    return LdapServer(host=host, port=port or _PORTS[parts.scheme], implicit=parts.scheme == "ldaps")


def _distinguished(text: str) -> str:
    if not _DN.fullmatch(text):
        raise ValueError(f'"{text}" is no distinguished name; write it as the directory does: OU=People,DC=hospital,DC=example')
    return text


def _attribute(text: str) -> str:
    if not _ATTRIBUTE.fullmatch(text):
        raise ValueError(f'"{text}" is no attribute; write uid, sAMAccountName or userPrincipalName')
    return text


def _filter(text: str) -> str:
    if not (text.startswith("(") and text.endswith(")") and text.count("(") == text.count(")")):
        raise ValueError(f'"{text}" is no filter of RFC 4515; write it with its parentheses: (objectClass=person)')
    return text


SERVER = Scalar(wants="an address `ldaps://host`", parse=_server, form={"type": "string", "pattern": "^ldaps?://."})
DISTINGUISHED_NAME = Scalar(wants="a distinguished name", parse=_distinguished, form={"type": "string", "pattern": "="})
ATTRIBUTE = Scalar(wants="the name of an attribute", parse=_attribute, form={"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9-]*$"})
FILTER = Scalar(wants="a filter such as `(objectClass=person)`", parse=_filter, form={"type": "string", "pattern": r"^\(.*\)$"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapDirectory:
    """The hospital's directory: LDAP (RFC 4511), Active Directory too. `authorities` None trusts what the system trusts."""

    servers: tuple[LdapServer, ...] = field(
        metadata=needed(
            Several(of=SERVER, bare=True, least=1),
            name="url",
            says="Its servers, the next one where one is away: `ldaps://dc1.hospital.example`, or `ldap://…`, which must offer STARTTLS.",
        )
    )
    login: User = field(
        metadata=needed(USER, says="Who the node is there (a DN; Active Directory also takes name@domain), with a passcode.")
    )
    people: str = field(metadata=needed(DISTINGUISHED_NAME, says="Under which entry people are looked for, at any depth."))
    roles: GroupRoles = field(
        metadata=needed(
            ROLES,
            says="Which groups, by their distinguished names, have which role here; who is in none is not let in. "
            "Members of members count in Active Directory.",
        )
    )
    authorities: Path | None = setting(
        FilePath(), says="PEM file of the authority that signed the servers' certificates; default: the system's."
    )
    name: str = setting(
        ATTRIBUTE,
        default="uid",
        says="The attribute that holds what people type as their name: `uid`, or `sAMAccountName` in Active Directory.",
    )
    only: str = setting(
        FILTER,
        name="filter",
        default='"(objectClass=person)"',
        says="Who is let in at all. So that those who are disabled are not, in Active Directory: "
        "`(&(objectClass=user)(!(userAccountControl:1.2.840.113556.1.4.803:=2)))`.",
    )
    ask_again: timedelta = setting(
        DURATION,
        default="10m",
        says="How often the directory is asked about those who are logged in: who is not found any more, or in no group, is logged out, "
        "and another role counts.",
    )
    plaintext: bool = setting(
        SWITCH, default="false", says="Speak to a directory on this machine without TLS. Passwords cross no network in the clear."
    )


def _check_ldap(values: Values, nodes: Nodes, here: Here) -> None:
    _demand_some_group(values, nodes, here)
    for group in values["roles"].named:
        if not _DN.fullmatch(group):
            why = f'"{group}" is no distinguished name; write the group as the directory does: CN=admins,OU=Groups,DC=hospital,DC=example'
            raise here.about("roles").refuse(BadValue, nodes["roles"], why)
    if not values["login"].has_passcode:
        raise here.about("login").refuse(MissingKey, nodes["login"], 'needs "passcode_file" or "passcode_variable"')
    if values["plaintext"] and not all(is_loopback(one.host) and not one.implicit for one in values["url"]):
        why = "passwords would cross the network in the clear; `plaintext` is for `ldap://localhost` alone"
        raise here.about("plaintext").refuse(BadValue, nodes["plaintext"], why)
    if values["ask_again"] < timedelta(seconds=1):
        raise here.about("ask_again").refuse(BadValue, nodes["ask_again"], "a second is the least")


LDAP = block(LdapDirectory, build=LdapDirectory, check=_check_ldap)


def _issuer(text: str) -> str:
    try:
        parts = urlsplit(text)
        fits = (
            parts.port != 0
            and text.isascii()
            and not re.search(r"\s", text)
            and not parts.query
            and not parts.fragment
            and bool(parts.hostname)
        )
    except ValueError:
        fits = False
    if not fits or parts.scheme not in ("https", "http"):
        raise ValueError(f'"{text}" is no issuer; write it as the provider does: https://login.hospital.example/realms/hospital')
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError(
            f'"{text}" is open to the network: who reads it logs in as anybody; only on this machine an issuer is behind http://'
        )
    return text


def _word(text: str) -> str:
    if not text or re.search(r"[\s\"\\]", text):
        raise ValueError(f'"{text}" is no scope or claim: it has no blanks')
    return text


ISSUER = Scalar(wants="an address `https://…`", parse=_issuer, form={"type": "string", "pattern": "^https?://."})
CLAIM = Scalar(wants="the name of a claim", parse=_word, form={"type": "string", "minLength": 1})
SCOPE = Scalar(wants="a scope", parse=_word, form={"type": "string", "minLength": 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcProvider:
    """The hospital's provider: OpenID Connect. `authorities` None trusts what the system trusts."""

    issuer: str = field(metadata=needed(ISSUER, says="What the provider calls itself (`issuer` of its discovery document), to the letter."))
    client_id: str = field(metadata=needed(TEXT, says="What the provider calls this node."))
    roles: GroupRoles = field(
        metadata=needed(ROLES, says="Which groups, as the claim `groups` has them, have which role here; who is in none is not let in.")
    )
    secret_file: Path | None = setting(
        FilePath(), says="A private file with the secret that the provider gave this node; without it the node is a public client."
    )
    authorities: Path | None = setting(
        FilePath(), says="PEM file of the authority that signed the provider's certificate; default: the system's."
    )
    scopes: tuple[str, ...] = setting(Several(of=SCOPE, bare=True), default="[openid, profile]", says="What the provider is asked for.")
    name: str = setting(CLAIM, default="preferred_username", says="The claim that holds the user's name.")
    groups: str = setting(
        CLAIM, default="groups", says="The claim that holds the groups; dots lead into objects, as in Keycloak's `realm_access.roles`."
    )
    place: str = placed("secret_file")

    @property
    def secret(self) -> User | None:
        """What the node shows, as a user whose name is not used."""
        return None if self.secret_file is None else User(name="oidc", passcode_file=self.secret_file, place=self.place)


def _check_oidc(values: Values, nodes: Nodes, here: Here) -> None:
    _demand_some_group(values, nodes, here)
    if "openid" not in values["scopes"]:
        raise here.about("scopes").refuse(BadValue, nodes["scopes"], "`openid` is needed: the provider says who somebody is only then")
    if values["authorities"] is not None and values["issuer"].startswith("http:"):
        raise here.refuse(BadValue, nodes["authorities"], '"authorities" belong to an issuer behind https://')


OIDC = block(OidcProvider, build=OidcProvider, check=_check_oidc)
