"""How serving a connection by the fast path ends."""


class HandOver(Exception):
    """The association wants more than storage: another is to serve it, to whom `received` is given first."""

    def __init__(self, received: bytes) -> None:
        super().__init__()
        self.received = received


class Ended(Exception):
    """The association is over. `last` is what the peer is still sent; `framed`: the next byte would begin a PDU."""

    def __init__(self, how: str, last: bytes = b"", *, framed: bool = True) -> None:
        super().__init__(how)
        self.how = how
        self.last = last
        self.framed = framed
