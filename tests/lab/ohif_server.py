"""The viewer's files and the archive's DICOMweb on one origin, as a hospital's web server has them."""

import contextlib
import http.client
import http.server
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".wasm": "application/wasm",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}

EMPTY = "/empty"
"""A page with nothing on it, of the viewer's origin and as isolated: the browser goes there and back within one process."""
_KEPT_S = 3600
"""How long a browser may keep the viewer's files; it asks the archive anew each time."""

_APP_CONFIG = """
window.config = {
  routerBasename: '/',
  extensions: [],
  modes: [],
  showStudyList: true,
  disableConfirmationPrompts: true,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: false,
  investigationalUseDialog: { option: 'never' },
  maxNumberOfWebWorkers: 2,
  defaultDataSourceName: 'dicomweb',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
    sourceName: 'dicomweb',
    configuration: {
      friendlyName: 'archive', name: 'archive',
      wadoUriRoot: '/dicom-web', qidoRoot: '/dicom-web', wadoRoot: '/dicom-web',
      qidoSupportsIncludeField: false, imageRendering: 'wadors', thumbnailRendering: 'wadors',
      enableStudyLazyLoad: true, supportsFuzzyMatching: false, supportsWildcard: true,
      omitQuotationForMultipartRequest: true, bulkDataURI: { enabled: true },
    },
  }],
};
"""


def _handler(root: Path, archive: str) -> type[http.server.BaseHTTPRequestHandler]:
    upstream = urllib.parse.urlsplit(archive).netloc

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the archive keeps a log of its own."""

        def do_GET(self) -> None:
            path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
            if path.startswith("/dicom-web"):
                self._proxy()
                return
            found = (root / path.lstrip("/")).resolve()
            if path == EMPTY:
                self._answer(200, "text/html", b"<!doctype html><title>nothing</title>")
            elif path == "/app-config.js":
                self._answer(200, "text/javascript", _APP_CONFIG.encode())
            elif found.is_file() and found.is_relative_to(root):
                self._answer(200, _TYPES.get(found.suffix, "application/octet-stream"), found.read_bytes(), kept_s=_KEPT_S)
            else:
                # the viewer's own paths (/viewer?StudyInstanceUIDs=…)
                self._answer(200, "text/html", (root / "index.html").read_bytes())

        def _proxy(self) -> None:
            connection = http.client.HTTPConnection(upstream, timeout=120)
            with contextlib.closing(connection):
                # the archive writes absolute addresses into its answers: they must lead back here
                headers = {"Accept": self.headers.get("Accept", "*/*"), "Host": self.headers["Host"]}
                # Debian's DICOMweb plug-in does not decode the at sign, and finds no study of a patient whose ID has one
                connection.request("GET", self.path.replace("%40", "@"), headers=headers)
                answer = connection.getresponse()
                self._answer(answer.status, answer.getheader("Content-Type", "application/octet-stream"), answer.read())

        def _answer(self, status: int, kind: str, body: bytes, *, kept_s: int = 0) -> None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", f"max-age={kept_s}" if kept_s else "no-store")
                # without these two the browser gives no SharedArrayBuffer, which the viewer's volumes live in
                self.send_header("Cross-Origin-Opener-Policy", "same-origin")
                self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
                self.end_headers()
                self.wfile.write(body)

    return Handler


@contextlib.contextmanager
def served(root: Path, archive: str) -> Iterator[str]:
    """Serve the files of `root`, and pass `/dicom-web` on to the archive; the address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(root, archive))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
