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
