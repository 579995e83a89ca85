"""What storage commitment says, as data sets and as nouns (PS3.4 tables J.3-1 and J.3-2); no network here."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from io import BytesIO
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import decode, encode

from node.dimse.commitment_errors import BadCommitment, TooMuchToCommit
from node.domain.commitment import Asked, FailureReason, Reference, Report, Request

ASK: Final = 1
"""Action Type ID of a request (table J.3-1)."""
ALL_COMMITTED: Final = 1
SOME_FAILED: Final = 2
"""Event Type IDs of a report (table J.3-2)."""
MOST_BYTES: Final = 8 << 20
"""Of a request or a report: 50,000 instances have about as much, and as many empty elements as fit take seconds to read."""
MOST_ITEMS: Final = 50_000
"""An item without elements has eight bytes, and takes as long to read as an instance."""
_ITEM: Final = b"\xfe\xff\x00\xe0"
_UID = re.compile(r"[0-9.]{1,64}")


def asking(asked: Asked) -> Dataset:
    """The Action Information of an N-ACTION."""
    dataset = Dataset()
    dataset.TransactionUID = asked.transaction_uid
    dataset.ReferencedSOPSequence = [_item(one) for one in asked.references]
    return dataset


def reporting(transaction_uid: str, verdicts: Sequence[tuple[Reference, int]]) -> tuple[int, Dataset]:
    """The Event Type ID and the Event Information of an N-EVENT-REPORT; a verdict is 0 or a Failure Reason."""
    dataset = Dataset()
    dataset.TransactionUID = transaction_uid
    committed = [_item(one) for one, reason in verdicts if not reason]
    failed = [_item(one, reason) for one, reason in verdicts if reason]
    if committed:
        dataset.ReferencedSOPSequence = committed
    if failed:
        dataset.FailedSOPSequence = failed
    return (SOME_FAILED if failed else ALL_COMMITTED), dataset


def encoded(dataset: Dataset, syntax: str) -> bytes:
    """A data set's bytes."""
    uid = UID(syntax)
    content = encode(dataset, uid.is_implicit_VR, uid.is_little_endian)
    assert content is not None, "its elements are of this module"
    return bytes(content)


def decoded(content: bytes, syntax: str) -> Dataset:
    """The data set of some bytes.

    Raises
    ------
    TooMuchToCommit
        They are more than anybody can mean.
    """
    if len(content) > MOST_BYTES:
        raise TooMuchToCommit(f"{len(content)} bytes")
    if (items := content.count(_ITEM)) > MOST_ITEMS:
        raise TooMuchToCommit(f"{items} items")
    uid = UID(syntax)
    dataset: Dataset = decode(BytesIO(content), uid.is_implicit_VR, uid.is_little_endian)
    return dataset


def request_of(dataset: Dataset, *, peer: str, received_at: datetime) -> Request:
    """What an N-ACTION asks for; an instance that it names twice is meant once.

    Raises
    ------
    BadCommitment
        It has no Transaction UID, or no instances.
    """
    references = dict.fromkeys(_references(dataset, "ReferencedSOPSequence"))
    if not references:
        raise BadCommitment("no instances are named")
    return Request(peer=peer, transaction_uid=_transaction(dataset), references=tuple(references), received_at=received_at)


def report_of(dataset: Dataset, *, peer: str, received_at: datetime) -> Report:
    """What an N-EVENT-REPORT says. Its Event Type ID says nothing that its sequences do not.

    Raises
    ------
    BadCommitment
        It has no Transaction UID, or names what is none.
    """
    failed = tuple(
        (_uid(item, "ReferencedSOPInstanceUID"), int(item.get("FailureReason") or FailureReason.PROCESSING_FAILURE))
        for item in _items(dataset, "FailedSOPSequence")
    )
    committed = tuple(one.sop_instance_uid for one in _references(dataset, "ReferencedSOPSequence"))
    return Report(peer=peer, transaction_uid=_transaction(dataset), committed=committed, failed=failed, received_at=received_at)


def _transaction(dataset: Dataset) -> str:
    return _uid(dataset, "TransactionUID")


def _references(dataset: Dataset, keyword: str) -> Iterable[Reference]:
    for item in _items(dataset, keyword):
        yield Reference(sop_class_uid=_uid(item, "ReferencedSOPClassUID"), sop_instance_uid=_uid(item, "ReferencedSOPInstanceUID"))


def _items(dataset: Dataset, keyword: str) -> Iterable[Any]:
    return dataset.get(keyword) or ()


def _uid(dataset: Dataset, keyword: str) -> str:
    text = str(dataset.get(keyword) or "")
    if not _UID.fullmatch(text):
        raise BadCommitment(f"{keyword} is {text[:64]!a}" if text else f"{keyword} is absent")
    return text


def _item(reference: Reference, reason: int = 0) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    if reason:
        item.FailureReason = reason
    return item
