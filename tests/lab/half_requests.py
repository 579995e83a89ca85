"""Who begins HTTP requests and never ends them, or breaks the rules of HTTP: hundreds of connections from addresses of loopback's own,
plain or over TLS, held for as long as the server lets them, and opened again whenever it does not."""

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.lab.flood import AGAIN_S, HALF_HEADER, ROOT, address, take_descriptors
from tests.lab.flood import HALF_HELLO as HELLO
from tests.lab.program import wait_until

_TELL_EVERY_S: Final = 0.05
_PIECE: Final = 65_536
_PATIENCE_S: Final = 120.0
_END_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """How a request stays half: what is sent at once, and what then every `every_s`. `hello`: without shaking hands, where there is TLS."""

    name: str
    begin: bytes
    drip: bytes = b""
    every_s: float = 0.5
    hello: bool = False


SILENT = Half(name="silent", begin=b"")
NO_NEWLINE = Half(name="no newline", begin=b"GET /", drip=b"a")
SLOW_HEADER = Half(name="slow header", begin=HALF_HEADER, drip=b"a")
MANY_HEADERS = Half(name="header after header", begin=b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n", drip=b"X-More: 1\r\n")
_FORM = b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
SLOW_BODY = Half(name="slow body", begin=_FORM + b"Content-Length: 10000\r\n\r\nname=", drip=b"a")
SLOW_CHUNKS = Half(name="slow chunks", begin=_FORM + b"Transfer-Encoding: chunked\r\n\r\n", drip=b"1\r\na\r\n")
PIPELINED = Half(
    name="whole ones, then half a one", begin=b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 3 + b"GET /login HT", drip=b"T"
)
UNREAD = Half(name="answers that are not read", begin=b"GET /static/htmx.min.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 200)
COSTLY = (PIPELINED, UNREAD)
"""Whole requests among them, each of which costs a page: a thousand of these are no half requests any more, but many requests."""
HALF_HELLO = Half(name="half a ClientHello", begin=HELLO, hello=True)

HALVES = (SILENT, NO_NEWLINE, SLOW_HEADER, MANY_HEADERS, SLOW_BODY, SLOW_CHUNKS, PIPELINED, UNREAD)

REFUSED = {
    "a header without end": b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 200_000,
    "a line without end": b"GET /" + b"a" * 200_000,
    "thousands of headers": b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: 1\r\n" * 20_000,
    "chunks of no length": _FORM + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nname=a\r\n0\r\n\r\n",
    "a chunk below zero": _FORM + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nname=a\r\n0\r\n\r\n",
    "two lengths": _FORM + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nname=a",
    "a length of no number": _FORM + b"Content-Length: 1e3\r\n\r\nname=a",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no HTTP": b"\x00\x01\x02\x03\r\n\r\n",
    "no Host": b"GET /login HTTP/1.1\r\n\r\n",
}
"""Requests that are whole enough to be refused: each is answered with 400 or above, or its connection is closed."""


def addresses(count: int) -> list[str]:
    """Addresses of loopback, all different."""
    return [address(number) for number in range(count)]


@dataclass(slots=True)
class Attack:
    """What has come of it so far: connections that were opened for the first time, that the server closed, and that stand."""

    opened: int = 0
    ended: int = 0
    held: int = 0


@contextlib.contextmanager
def half_requests(
    port: int, halves: Sequence[Half], senders: Sequence[str], *, authority: Path | None = None, again: bool = True
) -> Iterator[Attack]:
    """Hold a connection from each of `senders`, of the `halves` in turns, while the block lasts; entered when each was opened once.

    It is a process of its own, so that nothing is taken from the browser that is timed beside it.

    Parameters
    ----------
    authority
        Who signed the server's certificate, where there is TLS.
    again
        Open a connection again, after half a second, when the server has closed it.
    """
    named = json.dumps({"port": port, "halves": [one.name for one in halves], "senders": list(senders), "again": again})
    command = [sys.executable, "-m", "tests.lab.half_requests", named, "" if authority is None else str(authority)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    attack = Attack()
    reading = threading.Thread(target=_follow, args=(process, attack), name="half requests", daemon=True)
    reading.start()
    try:
        wait_until(lambda: attack.opened >= len(senders) or process.poll() is not None, _PATIENCE_S, "every connection was begun")
        yield attack
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(_END_S)
        reading.join(_END_S)


def _follow(process: subprocess.Popen[str], attack: Attack) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        told = json.loads(line)
        attack.opened, attack.ended, attack.held = told["opened"], told["ended"], told["held"]


class _Attacker:
    """The connections, in the process that holds them."""

    def __init__(self, port: int, trusted: ssl.SSLContext | None, *, again: bool) -> None:
        self._port = port
        self._trusted = trusted
        self._again = again
        self._counts = Attack()

    async def run(self, plan: Sequence[tuple[str, Half]]) -> None:
        """Until standard input ends."""
        tasks = [asyncio.create_task(self._hold(sender, half)) for sender, half in plan]
        over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        while not over.done():
            print(json.dumps(asdict(self._counts)), flush=True)
            await asyncio.wait([over], timeout=_TELL_EVERY_S)
        for task in tasks:
            task.cancel()

    async def _hold(self, sender: str, half: Half) -> None:
        first = True
        while first or self._again:
            opened, first = first, False
            with contextlib.suppress(OSError):  # closed while it was opened, or with a reset
                await self._once(sender, half, first=opened)
            self._counts.ended += 1
            await asyncio.sleep(AGAIN_S)

    async def _once(self, sender: str, half: Half, *, first: bool) -> None:
        tls = None if half.hello else self._trusted
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self._port, local_addr=(sender, 0), ssl=tls, server_hostname=None if tls is None else "127.0.0.1"
            )
        finally:
            self._counts.opened += first
        self._counts.held += 1
        try:
            writer.write(half.begin)
            if half is UNREAD:
                writer.transport.pause_reading()  # type: ignore[attr-defined]
            while True:
                try:
                    async with asyncio.timeout(half.every_s):
                        if await reader.read(_PIECE) == b"":
                            return
                except TimeoutError:
                    writer.write(half.drip)
                    await writer.drain()
        finally:
            self._counts.held -= 1
            writer.transport.abort()


def answer(port: int, request: bytes, *, trusted: ssl.SSLContext | None = None, timeout_s: float = 60.0) -> bytes:
    """What comes back for bytes that are sent as they are, until the server closes the connection; b"" where it closed without a word."""
    with contextlib.ExitStack() as opened:
        connection: socket.socket = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=timeout_s))
        if trusted is not None:
            connection = opened.enter_context(trusted.wrap_socket(connection, server_hostname="127.0.0.1"))
        found = b""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            connection.sendall(request)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while piece := connection.recv(65_536):
                found += piece
        return found


def main() -> None:
    """Attack, as `half_requests` asks."""
    take_descriptors()
    asked, authority = json.loads(sys.argv[1]), sys.argv[2]
    by_name = {one.name: one for one in (*HALVES, HALF_HELLO)}
    halves = [by_name[name] for name in asked["halves"]]
    plan = [(sender, halves[number % len(halves)]) for number, sender in enumerate(asked["senders"])]
    trusted = ssl.create_default_context(cafile=authority) if authority else None
    asyncio.run(_Attacker(asked["port"], trusted, again=asked["again"]).run(plan))


if __name__ == "__main__":
    main()
