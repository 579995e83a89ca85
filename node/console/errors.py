"""What ends the console, and what it answers instead of a page."""

from http import HTTPStatus

from node.domain.errors import ConfigError


class ConsoleAbsent(ConfigError):
    """The programs that the console is made of are not installed."""

    code = "HLM-2110"
    remedy = (
        "Install them: `pip install 'PATH[console]'`, with the PATH of hilum's wheel or checkout; or take the block `console` out of the "
        "configuration."
    )


class ConsoleCannotListen(ConfigError):
    """The console's address is taken, or its certificate cannot be used."""

    code = "HLM-2111"
    remedy = "Give `console: {listen: …}` an address of this machine that is free, and `tls` a certificate with its key."


class NotAdmitted(ConfigError):
    """The hospital knows a person whom this node does not let in: no group of theirs has a role here, or an admin disabled them here."""

    code = "HLM-2140"
    remedy = (
        "Have the person put into a group that `roles:` of the console's `ldap` or `oidc` names, or name one of theirs there; "
        "`hilum console users enable NAME` lets in again whom an admin disabled."
    )

    def __init__(self, words: str, name: str) -> None:
        super().__init__(words)
        self.name = name
        """Who it is, as the hospital has it."""


class NameTaken(NotAdmitted):
    """Somebody else has the name here already: a user of this node, or one who had the name at the hospital before."""

    code = "HLM-2141"
    remedy = "`hilum console users list` says whose it is; `hilum console users remove NAME` frees it."


class DirectoryAway(ConfigError):
    """No server of the hospital's directory can be reached with TLS, or none answers in time."""

    code = "HLM-2142"
    remedy = "See the reason: the address, a firewall, the authority of its certificate. Users of this node log in meanwhile."
    retry = True


class DirectoryUnfit(ConfigError):
    """The hospital's directory answers, and does not let the node look: its login is not taken, or a place or group is not there."""

    code = "HLM-2143"
    remedy = (
        "Correct `console: {ldap: …}`: `login`, `people`, `filter`, `roles`; `hilum doctor` asks for each. "
        "Users of this node log in meanwhile."
    )


class HospitalRefuses(ConfigError):
    """The hospital itself does not let the person in until something is done there: disabled, locked, a password that has expired."""

    code = "HLM-2144"
    remedy = "Ask the hospital's service desk; nothing need be done at the node."


class ProviderAway(ConfigError):
    """The hospital's provider cannot be reached, or does not answer in time."""

    code = "HLM-2145"
    remedy = "See the reason: the address, a firewall, a proxy, the authority of its certificate. Users of this node log in meanwhile."
    retry = True


class ProviderUnfit(ConfigError):
    """The hospital's provider answers otherwise than the configuration has it: another issuer, a client or secret that it does not know."""

    code = "HLM-2146"
    remedy = (
        "Compare `console: {oidc: …}` with what the provider has of this node; `hilum doctor` asks it. Users of this node log in meanwhile."
    )


class TokenRefused(ConfigError):
    """What came back from a login is not the provider's word for it: forged, expired, for another program, or of another login."""

    code = "HLM-2147"
    remedy = (
        "Begin the login again. Where it stays: compare the clocks, and `issuer` and `client_id` with the provider's; `hilum doctor` does."
    )


class LoginLost(ConfigError):
    """A login came back that did not begin in this browser within the last ten minutes, or whose person logged out at the provider
    before it was done."""

    code = "HLM-2148"
    remedy = "Begin the login again, from this page; the browser must take cookies of it."


class RequestRefused(Exception):
    """A request that is not done; `words` are for the person who made it."""

    def __init__(self, status: HTTPStatus, words: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.retry_after_s = retry_after_s


class NotLoggedIn(RequestRefused):
    """Nobody is logged in: pages lead to the login, programs are told."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.UNAUTHORIZED, "log in first, or send a token: `Authorization: Bearer …`")
