"""Whether the console has what it is made of, and can ask the hospital about people: its directory and its provider, and what the settings
name there."""

from collections.abc import Iterator

from inference.errors import HilumError
from node.domain.health import Area, DoctorFinding
from node.records.words import plural
from node.settings.config import Config
from node.settings.hospital import LdapDirectory, OidcProvider


def look_at_logins(config: Config) -> Iterator[DoctorFinding]:
    """A finding where the console's programs are not installed; else one on directory and provider, where the configuration has them, and
    on each thing that is named and not there."""
    from node.assembly.console import demand_programs

    if config.console is None:
        return
    try:
        demand_programs(config.console)
    except HilumError as wrong:
        yield DoctorFinding(area=Area.LOGINS, subject="console", level="bad", detail=f"{wrong} [{wrong.code}]", fix=wrong.remedy)
        return
    if config.console.ldap is not None:
        try:
            yield from _directory(config.console.ldap)
        except HilumError as wrong:
            yield DoctorFinding(area=Area.LOGINS, subject="ldap", level="bad", detail=f"{wrong} [{wrong.code}]", fix=wrong.remedy)
    if config.console.oidc is not None:
        try:
            yield from _provider(config.console.oidc)
        except HilumError as wrong:
            yield DoctorFinding(area=Area.LOGINS, subject="oidc", level="bad", detail=f"{wrong} [{wrong.code}]", fix=wrong.remedy)


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
