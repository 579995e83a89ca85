"""Associations that pynetdicom asks for, and the rejection that came over the wire.

pynetdicom's own `is_rejected` does not always know: the thread that asks looks whether the connection stands before it takes the answer,
and by then the reactor may have read the A-ASSOCIATE-RJ and closed. The association counts as aborted, and the answer stays in a queue.
"""

from typing import Any
from weakref import WeakKeyDictionary

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RJ

_REJECTIONS: WeakKeyDictionary[Association, tuple[int, int, int]] = WeakKeyDictionary()


def _keep(event: evt.Event) -> None:
    if isinstance(event.pdu, A_ASSOCIATE_RJ):
        _REJECTIONS[event.assoc] = (event.pdu.result, event.pdu.source, event.pdu.reason_diagnostic)


def associate(entity: AE, port: int, *, called: str = "HILUM", **given: Any) -> Association:
    """Ask for an association here; `given` goes to pynetdicom."""
    return entity.associate("127.0.0.1", port, ae_title=called, evt_handlers=[(evt.EVT_PDU_RECV, _keep)], **given)


def rejection(association: Association) -> tuple[int, int, int]:
    """Result, source and reason of the rejection (PS3.8 table 9-21); there must have been one."""
    assert association in _REJECTIONS, "it was rejected"
    return _REJECTIONS[association]
