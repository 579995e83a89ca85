"""The listening socket and its connections: options, limits, and the thread in which each association lives."""

import socket
import threading
from collections.abc import Callable
from typing import Any

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from node.dimse.prompt import ServingDimse, make_prompt
from node.observe.events import alarm

_LARGEST_DATASET = 2 << 30
_KEEPALIVE_S = 30


class Handler(RequestHandler):  # type: ignore[misc]  # pynetdicom has no types
    """Serves one connection in a thread of its own: a prompt association, and somebody told when it has ended."""

    def handle(self) -> None:
        try:
            association = self._create_association()
            evt.trigger(association, evt.EVT_CONN_OPEN, {"address": self.client_address})
            association.start()
            association.join()
            self.server.on_end(association)
        finally:
            self.server.closed()

    def _create_association(self) -> Association:
        association = super()._create_association()
        association.visit = None
        association.dimse = ServingDimse(association, most_bytes=_LARGEST_DATASET)
        # aborting waits for the reactor to end, which would wait for itself where it serves a request
        association.abort = association._abort_nonblocking
        association.set_socket(make_prompt(association, pdu_timeout_s=self.server.ae.acse_timeout, client_socket=self.request))
        return association


class Server(ThreadedAssociationServer):  # type: ignore[misc]
    """Accepts connections, and no more of them than could become associations."""

    request_queue_size = 128
    daemon_threads = True
    block_on_close = False
    on_end: Callable[[Association], None]

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._lock = threading.Lock()
        self._open = 0

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # a peer that lost its power says nothing; the kernel asks
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_S // 3)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more connection, admitted or half-open."""
        with self._lock:
            if self._open < self.ae.maximum_associations:
                self._open += 1
                return True
        alarm("association.too_many_connections", address=str(client_address[0]))
        return False

    def closed(self) -> None:
        """One connection that was verified has ended."""
        with self._lock:
            self._open -= 1
