"""Whether the console has what it is made of, and can ask the hospital about people: its directory and its provider, and what the settings
name there."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Final

from inference.errors import HilumError
from node.console.errors import ConsoleAbsent, DirectoryUnfit
from node.dimse.tls import web_context
from node.domain.health import FRESH_S, Answer, Area, Dependency, DependencyKind, DoctorFinding
from node.records.words import plural
from node.settings.config import Config
from node.settings.console import Console
from node.settings.hospital import LdapDirectory, OidcProvider

_REFUSED_S: Final = 900.0
"""For how long a directory that refused the node is not asked again: whoever shows an old password often has the account locked."""
_NEEDED: Final = {"fastapi": "fastapi", "uvicorn": "uvicorn", "jinja2": "jinja2", "argon2": "argon2-cffi", "markdown_it": "markdown-it-py"}
"""What pip calls that which each module comes from."""
_Found = Callable[[], Iterator[DoctorFinding]]


def demand_programs(settings: Console) -> None:
    """Refuse where what the console is made of is not installed; none of it is imported.

    Raises
    ------
    ConsoleAbsent
    """
    needed = dict(_NEEDED)
    if settings.ldap is not None:
        needed["ldap3"] = "ldap3"
    if settings.oidc is not None:
        needed["jwt"] = "PyJWT"
    absent = [name for module, name in needed.items() if find_spec(module) is None]
    if absent:
        raise ConsoleAbsent(f"the console needs {', '.join(absent)}")


def demand_console(settings: Console) -> None:
    """Refuse where what the console is made of is not installed, or where no browser could shake hands.

    Raises
    ------
    ConsoleAbsent
    NotPrivate, TlsUnusable
        Its key may be read by others; certificate and key are no pair that can be used.
    """
    demand_programs(settings)
    if settings.cert is not None and settings.key is not None:
        web_context(settings.cert, settings.key)


def look_at_logins(config: Config) -> Iterator[DoctorFinding]:
    """A finding where the console's programs are not installed; else one on directory and provider, where the configuration has them, and
    on each thing that is named and not there."""
    if config.console is None:
        return
    try:
        demand_programs(config.console)
    except HilumError as wrong:
        yield DoctorFinding(area=Area.LOGINS, subject="console", level="bad", detail=f"{wrong} [{wrong.code}]", fix=wrong.remedy)
        return
    if config.console.ldap is not None:
        yield from _or_wrong("ldap", partial(_directory, config.console.ldap))
    if config.console.oidc is not None:
        yield from _or_wrong("oidc", partial(_provider, config.console.oidc))


def logins(console: Console) -> Iterator[Dependency]:
    """Directory and provider, as what the console depends on."""
    fix = "Users of this node log in meanwhile."
    if (ldap := console.ldap) is not None:
        where = ", ".join(map(str, ldap.servers))
        words = f"directory; people under {ldap.people}"
        ask = partial(_answer, partial(_directory, ldap))
        yield Dependency(kind=DependencyKind.LOGIN, name="ldap", where=where, words=words, fix=fix, ask=ask)
    if (oidc := console.oidc) is not None:
        ask = partial(_answer, partial(_provider, oidc))
        words = f"provider; the node is its client {oidc.client_id}"
        yield Dependency(kind=DependencyKind.LOGIN, name="oidc", where=oidc.issuer, words=words, fix=fix, ask=ask)


def _or_wrong(subject: str, found: _Found) -> Iterator[DoctorFinding]:
    """What was found until something was wrong, and that."""
    try:
        yield from found()
    except HilumError as wrong:
        yield DoctorFinding(area=Area.LOGINS, subject=subject, level="bad", detail=f"{wrong} [{wrong.code}]", fix=wrong.remedy)


def _answer(found: _Found) -> Answer:
    try:
        findings = list(found())
    except HilumError as wrong:
        lasts_s = _REFUSED_S if isinstance(wrong, DirectoryUnfit) else FRESH_S
        return Answer(ready=False, detail=f"{wrong} [{wrong.code}]", fix=wrong.remedy, lasts_s=lasts_s)
    told = [one for one in findings if one.level != "good"] or findings
    return Answer(ready=told[0].level == "good", detail="; ".join(one.detail for one in told), fix=told[0].fix)


def _directory(settings: LdapDirectory) -> Iterator[DoctorFinding]:
    from node.console.directory import Directory

    server, missing = Directory(settings).examine()
    secure = "without TLS, on this machine" if settings.plaintext else "with TLS"
    detail = f"{server} answers {secure} and takes the node's login; {plural(len(settings.roles.named), 'group')} named"
    yield DoctorFinding(area=Area.LOGINS, subject="ldap", level="good", detail=detail)
    for one in missing:
        fix = "Correct `console: {ldap: …}`, or have the directory's administrator let the node's login see it."
        yield DoctorFinding(area=Area.LOGINS, subject="ldap", level="bad", detail=one, fix=fix)


def _provider(settings: OidcProvider) -> Iterator[DoctorFinding]:
    from node.console.provider import SKEW_S, Provider

    keys, ahead_s = Provider(settings).examine()
    detail = f"{settings.issuer} answers, and signs with {plural(keys, 'key')}; whether it knows the client shows at a login"
    yield DoctorFinding(area=Area.LOGINS, subject="oidc", level="good", detail=detail)
    if abs(ahead_s) > SKEW_S:
        yield DoctorFinding(
            area=Area.LOGINS,
            subject="oidc",
            level="bad",
            detail=f"its clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's: logins are refused",
            fix="Set both clocks by NTP.",
        )
    if settings.secret is not None:
        from node.settings.secrets import passcode_of

        passcode_of(settings.secret)
