"""What the receive processes of one node share: the listening sockets, and the count of what stands."""

from collections.abc import Iterator

from node.dimse.sockets import bind
from node.dimse.standing import Standing
from node.domain.errors import ConfigError
from node.settings.config import Config


class NotReady(ConfigError):
    """The listener did not come up: the port is taken, or the process died."""

    code = "HLM-2091"
    remedy = "See the events above: mostly another program listens on the port (`node: {listen: …}`)."


class Entrance:
    """The supervisor's: bound before the first receive process starts, and lent to each. One that dies refuses nobody.

    Raises
    ------
    NotReady
        A port is taken.
    """

    def __init__(self, config: Config) -> None:
        node = config.node
        try:
            self.sockets = bind(node)
        except OSError as failed:
            raise NotReady(f"the listener on {node.host}:{node.port} cannot be bound: {failed.strerror or failed}") from failed
        self.standing = Standing.make(config, rows=node.receivers)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a receive process inherits."""
        return (*(one.fileno() for one in self.sockets.all), self.standing.descriptor)

    def arguments(self, row: int) -> Iterator[str]:
        """How it is told so; `row` is the number of the receive process."""
        if self.sockets.plain is not None:
            yield from ("--listen", str(self.sockets.plain.fileno()))
        if self.sockets.secure is not None:
            yield from ("--listen-tls", str(self.sockets.secure.fileno()))
        yield from ("--standing", str(self.standing.descriptor), "--row", str(row))

    def close(self) -> None:
        """Refuse connections from now on, as soon as the receive processes do so too."""
        self.sockets.close()
