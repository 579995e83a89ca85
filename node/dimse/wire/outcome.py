"""How serving a connection by the fast path ends."""


class HandOver(Exception):
    """The association wants more than storage: another is to serve it, to whom `received` is given first."""

    def __init__(self, received: bytes) -> None:
        super().__init__()
        self.received = received


class Ended(Exception):
    """The association is over. `last` is what the peer is still sent; `framed`: the next byte would begin a PDU; `idle`: nothing was under
    way for too long."""

    def __init__(self, how: str, last: bytes = b"", *, framed: bool = True, idle: bool = False) -> None:
        super().__init__(how)
        self.idle = idle
        self.how = how
        self.last = last
        self.framed = framed
