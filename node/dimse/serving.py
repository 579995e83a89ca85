"""DIMSE messages of an association that pynetdicom serves: taken in by the thread that read them, data sets passed on as they come."""

import queue
import threading
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage

from node.dimse.prompt import PromptDimse
from node.dimse.visit import Storing
from node.observe.events import alarm

_MOST_BYTES: Final = 64 << 20
"""Of a message that is held in memory: any but a C-STORE, whose data set is not."""
_SMALL_BYTES: Final = 1 << 20
"""What a message holds without being counted: requests of commitment to thousands of instances are smaller."""
_MOST_IN_ALL: Final = 256 << 20


class Held:
    """What the large messages of all associations of one listener hold in memory, together."""

    def __init__(self, most_bytes: int = _MOST_IN_ALL) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Hold so many more, if there is room."""
        with self._lock:
            if self._bytes + size > self._most_bytes:
                return False
            self._bytes += size
            return True

    def give(self, size: int) -> None:
        """Hold so many less."""
        with self._lock:
            self._bytes -= size


class ServingDimse(PromptDimse):
    """The DIMSE service provider of an acceptor: requests are served by the thread that read them.

    Nothing else can come in meanwhile: asynchronous operations are never negotiated. `begin` is called when the data set of a C-STORE
    begins, with its presentation context, SOP class and instance; fragments go to what it returns. None: they are dropped.
    """

    def __init__(self, assoc: Association, *, begin: Callable[[int, str, str], Storing | None], held: Held) -> None:
        super().__init__(assoc)
        self._held = held
        self._counted_bytes = 0
        self.begin = begin
        self.established = threading.Event()
        self.msg_queue = _Served(self)
        self.message: DIMSEMessage | None = None
        self._data_set = _DataSet(None, begin)
        self._held_bytes = 0

    def receive_primitive(self, primitive: Any) -> None:
        """Take in fragments; serve the message when it is whole. The peer waits meanwhile, however long that takes."""
        with self.dul.busy():
            self._take(primitive)

    def _take(self, primitive: Any) -> None:
        if self.message is None:
            self.message = DIMSEMessage()
            self.message.data_set = self._data_set = _DataSet(self.message, self.begin)
            self._held_bytes = 0
        if not self._data_set.passes_on:
            self._held_bytes += sum(len(fragment) for _, fragment in primitive.presentation_data_value_list)
        if self._held_bytes > _MOST_BYTES or not self._count():
            alarm("association.message_too_long", most_bytes=_MOST_BYTES, held_bytes=self._held_bytes)
            self.dul.event_queue.put("Evt19")
            return
        try:
            super().receive_primitive(primitive)
        except Exception as unreadable:  # noqa: BLE001
            # the reactor's thread would end, and the association hang, over a command set that is none
            alarm("association.unreadable", error=type(unreadable).__name__)
            self.dul.event_queue.put("Evt19")
        if self.message is None:
            self.let_go()

    def let_go(self) -> None:
        """The message is served, or will never be whole."""
        counted, self._counted_bytes = self._counted_bytes, 0
        self._held.give(counted)

    def _count(self) -> bool:
        """Whether there is room in memory for what this message has come to."""
        more = self._held_bytes - self._counted_bytes if self._held_bytes > _SMALL_BYTES else 0
        if more > 0 and not self._held.take(more):
            return False
        self._counted_bytes += more
        return True


class _DataSet(BytesIO):
    """What pynetdicom takes for the buffer of a message's data set: a C-STORE's is passed on fragment by fragment, others are held."""

    def __init__(self, message: DIMSEMessage | None, begin: Callable[[int, str, str], Storing | None]) -> None:
        super().__init__()
        self._message = message
        self._begin = begin
        self._storing: Storing | None = None
        self.passes_on = False

    def write(self, fragment: Any) -> int:
        """Take one fragment."""
        if not self.passes_on and isinstance(self._message, C_STORE_RQ):
            self.passes_on = True
            named = self._message.command_set
            self._storing = self._begin(
                self._message.context_id, str(named.get("AffectedSOPClassUID", "")), str(named.get("AffectedSOPInstanceUID", ""))
            )
        if self._storing is not None:
            self._storing.write(fragment)
        elif not self.passes_on:
            super().write(fragment)
        return len(fragment)


class _Served(queue.Queue[Any]):
    """Where the DIMSE service provider puts a message: it is served at once."""

    def __init__(self, dimse: ServingDimse) -> None:
        super().__init__()
        self._dimse = dimse

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        context_id, message = item
        if message is None:
            return  # how the state machine wakes those that wait for an answer when the association ends
        assoc = self._dimse.assoc
        # the peer may speak before the thread that accepted it has noted so
        if not self._dimse.established.wait(assoc.acse_timeout):
            return
        if not message.is_valid_request:
            # neither a request that can be answered nor an answer that anybody waits for
            assoc.abort(block=False)
            return
        assoc._serve_request(message, context_id)
