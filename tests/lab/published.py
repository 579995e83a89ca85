"""Where published files lie: a web server on this machine that gives them whole, in parts, cut, slowly, for ever, or not at all."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(kw_only=True)
class Shelf:
    """What the server has, by path, and how it gives it.

    Attributes
    ----------
    ranges
        Whether it goes on from where it is asked to (RFC 9110 14.2).
    tag
        The entity tag; "" for none.
    cut
        After so many bytes of an answer the connection ends; None: never. `cuts` answers are cut so.
    length
        Whether it says how many bytes there are; `says` in place of the truth. `total` is said of a part.
    leads
        Where a path leads elsewhere.
    endless
        It gives zeros after the file, for ever.
    slow_s
        It waits so long after each `cut` bytes, in place of ending.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    tag: str = '"one"'
    cut: int | None = None
    cuts: int = 1_000_000
    length: bool = True
    says: int | str | None = None
    total: bool = True
    leads: dict[str, str] = field(default_factory=dict)
    endless: bool = False
    slow_s: float = 0.0
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    port: int = 0
    halted: threading.Event = field(default_factory=threading.Event)

    def url(self, name: str) -> str:
        """The address of a file."""
        return f"http://127.0.0.1:{self.port}/{name}"


@contextlib.contextmanager
def published_files(**files: bytes) -> Iterator[Shelf]:
    """The server; a file's name has "_" for ".", for it is a keyword here."""
    shelf = Shelf(files={name.replace("_", "."): content for name, content in files.items()})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            name = self.path.partition("?")[0].rpartition("/")[2]
            asked = self.headers.get("Range")
            shelf.asked.append((name, asked))
            self.close_connection = True
            if name in shelf.leads:
                self.send_response(302)
                self.send_header("Location", shelf.leads[name])
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif name not in shelf.files:
                self.send_error(404)
            else:
                self._give(shelf.files[name], asked)

        def _give(self, content: bytes, asked: str | None) -> None:
            begins = int(asked.removeprefix("bytes=").rstrip("-")) if asked is not None and shelf.ranges else 0
            if begins and begins >= len(content):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if self.headers.get("If-Range", shelf.tag) != shelf.tag:
                begins = 0
            self.send_response(206 if begins else 200)
            if begins:
                self.send_header("Content-Range", f"bytes {begins}-{len(content) - 1}/{len(content) if shelf.total else '*'}")
            if shelf.tag:
                self.send_header("ETag", shelf.tag)
            if shelf.length:
                self.send_header("Content-Length", str(shelf.says or len(content) - begins))
            self.send_header("Connection", "close")
            self.end_headers()
            self._body(content[begins:])

        def _body(self, body: bytes) -> None:
            cut = shelf.cut if shelf.cuts > 0 else None
            shelf.cuts -= cut is not None
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                if cut is not None and shelf.slow_s:
                    for at in range(0, len(body), cut):
                        self.wfile.write(body[at : at + cut])
                        if shelf.halted.wait(shelf.slow_s):
                            return
                    return
                self.wfile.write(body if cut is None else body[:cut])
                while shelf.endless and not shelf.halted.is_set():
                    self.wfile.write(bytes(65_536))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    shelf.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield shelf
    finally:
        shelf.halted.set()
        server.shutdown()
        server.server_close()
        thread.join()
