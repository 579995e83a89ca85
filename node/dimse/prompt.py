"""pynetdicom's reactors without their sleeps and with limits: PDUs are capped, bounded in time, and served by the thread that read them.

Stock pynetdicom hands each message from a thread that polls every millisecond to another one that does so too, reads 4 KiB at a time,
and believes whatever length a PDU claims. What stands here replaces the waiting and the reading, and nothing of the protocol: state
machine, codecs, negotiation and service classes stay pynetdicom's.
"""

import contextlib
import queue
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import InvalidEventError
from pynetdicom.pdu import A_ABORT_RQ
from pynetdicom.timer import Timer
from pynetdicom.transport import AssociationSocket

from node.dimse.wire.pdu import ASSOCIATE_BYTES
from node.observe.events import alarm

_LINGER_S = 0.05  # how long a peer may still say something before the connection is closed (PS3.8 Sta13)
_BEFORE = frozenset({"Sta1", "Sta2", "Sta3", "Sta4", "Sta5"})  # PS3.8 9.2.2: no association yet
_RECKON_S = 10.0  # pynetdicom's timers go by the wall clock, which somebody may set meanwhile
_INVALID_PARAMETER = 6  # PS3.8 9.3.8, reason of an abort by the service provider


class Wake:
    """A bell that `poll` can wait for beside a socket; ringing one that is closed does nothing."""

    def __init__(self) -> None:
        self._bell, self._rope = socket.socketpair()
        self._bell.setblocking(False)
        self._rope.setblocking(False)
        self.fileno = self._bell.fileno

    def ring(self) -> None:
        """Wake whoever waits; more often than it is heard is as good as once."""
        with contextlib.suppress(OSError):
            self._rope.send(b"!")

    def heard(self) -> None:
        """Forget the rings so far."""
        with contextlib.suppress(OSError):
            self._bell.recv(4096)

    def close(self) -> None:
        self._bell.close()
        self._rope.close()


class PromptSocket(AssociationSocket):  # type: ignore[misc]  # pynetdicom has no types
    """Reads a whole PDU at once, within a time, and none that is longer than `most_bytes`. `received` was read before, and comes first."""

    def __init__(self, assoc: Association, *, wake: Wake, received: bytes = b"", **given: Any) -> None:
        super().__init__(assoc, **given)
        self._received = memoryview(received)
        self.most_bytes = ASSOCIATE_BYTES
        self._wake = wake
        self._deadline = 0.0

    @property
    def pdu_timeout_s(self) -> float:
        """How long a PDU may take as a whole: the ACSE time-out until the association stands, then that of DIMSE. By the state, which the
        thread that reads changes: the peer may speak before any other has noted that the association stands."""
        standing = self.assoc.dul.state_machine.current_state not in _BEFORE
        seconds: float = self.assoc.dimse_timeout if standing else self.assoc.acse_timeout
        return seconds

    @property
    def ready(self) -> bool:
        """Wait until there is something to read, something to send, or time is up; whether there is something to read."""
        if self._received:
            return True
        if isinstance(self.socket, ssl.SSLSocket) and self._is_connected and self.socket.pending():
            return True  # decrypted already: the kernel has nothing left to report
        poll = select.poll()
        poll.register(self._wake.fileno(), select.POLLIN)
        connected = self.socket if self._is_connected else None
        if connected is not None:
            try:
                poll.register(connected.fileno(), select.POLLIN)
            except (OSError, ValueError):
                self.event_queue.put("Evt17")
                return False
        # the reactor reads before it looks at its events: it must not wait while there are any
        heard = {fd for fd, _ in poll.poll(self.assoc.dul.patience_s * 1000 if self.event_queue.empty() else 0)}
        if self._wake.fileno() in heard:
            self._wake.heard()
        return bool(heard - {self._wake.fileno()})

    def recv(self, nr_bytes: int) -> bytearray:
        """Exactly `nr_bytes`, or what came before the peer closed the connection.

        Raises
        ------
        TimeoutError
            The PDU did not come as a whole in time.
        ConnectionAbortedError
            The PDU claims to be longer than was negotiated; the association is aborted.
        """
        if nr_bytes == 6:  # the head of a PDU (a body of six bytes only starts the clock again)
            self._deadline = time.monotonic() + self.pdu_timeout_s
            self.assoc.dul.hears()
            if hasattr(socket, "TCP_QUICKACK"):
                # the kernel falls back to delayed acknowledgements; a sender with Nagle's algorithm on would wait for each of them
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        elif nr_bytes > self.most_bytes:
            self._refuse(nr_bytes)
        data = bytearray(nr_bytes)
        left = memoryview(data)
        if self._received:
            count = min(len(left), len(self._received))
            left[:count] = self._received[:count]
            left, self._received = left[count:], self._received[count:]
        while left:
            remaining_s = self._deadline - time.monotonic()
            if remaining_s <= 0:
                raise TimeoutError("the PDU did not come as a whole in time")
            self.socket.settimeout(remaining_s)
            count = self.socket.recv_into(left)
            if count == 0:
                break
            left = left[count:]
        missing = len(left)
        left.release()
        if missing:
            del data[nr_bytes - missing :]
        return data

    def send(self, bytestream: bytes) -> None:
        """Send all; a peer that does not read is given as long as one that does not write."""
        if self.socket is not None:
            self.socket.settimeout(self.pdu_timeout_s)
        super().send(bytestream)

    def _refuse(self, claimed: int) -> None:
        alarm("association.pdu_too_long", claimed_bytes=claimed, most_bytes=self.most_bytes)
        abort = A_ABORT_RQ()
        abort.source, abort.reason_diagnostic = 2, _INVALID_PARAMETER
        self.send(abort.encode())
        raise ConnectionAbortedError(f"a PDU of {claimed} bytes, where {self.most_bytes} were negotiated")


class _Announcing(queue.Queue[Any]):
    """A queue that tells somebody of each item."""

    def __init__(self, tell: Callable[[], object]) -> None:
        super().__init__()
        self._tell = tell

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._tell()


class PromptDul(DULServiceProvider):  # type: ignore[misc]
    """The upper layer's reactor: it waits on the socket and a bell, where the stock one sleeps and looks again.

    `news` is set whenever something lies ready for the association's own reactor.
    """

    def __init__(self, assoc: Association) -> None:
        super().__init__(assoc)
        self._run_loop_delay = 0  # `PromptSocket.ready` does the waiting
        self.daemon = True
        self.wake = Wake()
        self.news = threading.Event()
        self.to_user_queue = _Announcing(self.news.set)

    @property
    def patience_s(self) -> float:
        """How long the reactor may wait when nothing comes: nobody rings when a timer expires."""
        return _LINGER_S if self.state_machine.current_state == "Sta13" else _left_s(self.artim_timer)

    @property
    def idle_s(self) -> float:
        """How long the association's own reactor may wait when there is no news."""
        return _left_s(self._idle_timer)

    def hears(self) -> None:
        """A PDU has begun, which has its own time; the idle timer starts again with its end."""
        self._idle_timer.stop()

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Meanwhile the node works, and the peer is not idle."""
        self._idle_timer.stop()
        try:
            yield
        finally:
            self._idle_timer.start()

    def send_pdu(self, primitive: Any) -> None:
        """Queue a primitive for the peer."""
        super().send_pdu(primitive)
        self.wake.ring()

    def kill_dul(self) -> None:
        """Stop the reactor now."""
        super().kill_dul()
        self.wake.ring()

    def stop_dul(self) -> bool:
        """Stop the reactor if its state machine is idle."""
        if self.state_machine.current_state != "Sta1":
            return False
        self.kill_dul()
        if threading.current_thread() is not self:
            self.join()
        return True

    def run_reactor(self) -> None:
        """Run until killed; then nobody is left to hear the bell."""
        try:
            super().run_reactor()
        except InvalidEventError:
            # this side answered a request at the moment at which the peer broke the protocol and was aborted (PS3.8 9.2.3, Sta13)
            if self.socket is not None:
                self.socket.close()
        finally:
            self.wake.close()
            self.news.set()


class PromptDimse(DIMSEServiceProvider):  # type: ignore[misc]
    """A DIMSE service provider that tells the association's reactor of a message never, only when to look around.

    The stock reactor takes any message that it sees first, one that somebody else waits for among them; that one is lost.
    """

    def receive_primitive(self, primitive: Any) -> None:
        """Take a message, or a part of one. A C-CANCEL is forgotten: nothing that is served can be cancelled (PS3.7 9.3.2.3), and
        pynetdicom keeps ten and takes the eleventh for a request, which ends the association."""
        super().receive_primitive(primitive)
        self.cancel_req.clear()

    def get_msg(self, block: bool = False) -> Any:
        """The next message for a caller that waits; for the reactor never one, only the next moment at which it should look around."""
        if block:
            return super().get_msg(block=True)
        self.dul.news.wait(self.dul.idle_s)
        self.dul.news.clear()
        return None, None


def _left_s(timer: Timer) -> float:
    """Until a timer expires, or should be looked at again: one that does not run may be started at any moment."""
    running = timer._start_time is not None and timer._end_time is None
    left_s: float = timer.remaining if running else timer.timeout
    return min(max(left_s, 0.0), _RECKON_S)


def make_prompt(assoc: Association, **given: Any) -> PromptSocket:
    """Give a new association a prompt reactor; the socket for it, which is accepted as `client_socket`."""
    dul = PromptDul(assoc)
    assoc.dul = dul
    # the time-outs were set on the reactor that this one replaces
    assoc.acse_timeout = assoc.acse_timeout
    assoc.network_timeout = assoc.network_timeout
    return PromptSocket(assoc, wake=dul.wake, **given)
