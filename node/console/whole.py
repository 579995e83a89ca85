"""A request's body, read before anything is done for it: what never comes whole costs no session, no thread and no page."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BODIES = ("POST", "PUT")


class Whole:
    """Calls the application when the body is there; never, where the connection ends before.

    Parameters
    ----------
    most
        Bytes that are kept for that; of a longer body the application reads the rest itself, and refuses it.
    """

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _BODIES:
            await self._app(scope, receive, send)
            return
        found, more = bytearray(), True
        while more and len(found) <= self._most:
            message = await receive()
            if message["type"] != "http.request":
                return  # who asked has left, or was ended
            found += message.get("body", b"")
            more = message.get("more_body", False)
        first: list[Message] = [{"type": "http.request", "body": bytes(found), "more_body": more}]

        async def again() -> Message:
            return first.pop() if first else await receive()

        await self._app(scope, again, send)
