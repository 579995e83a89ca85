"""What storage commitment says, as data sets and as nouns (PS3.4 tables J.3-1 and J.3-2); no network here."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from io import BytesIO
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import decode, encode

from node.domain.commitment import AskedCommitment, FailureReason, InstanceReference, Report, Request
from node.domain.errors import DeliveryError, RefusedError

ASK: Final = 1
"""Action Type ID of a request (table J.3-1)."""
ALL_COMMITTED: Final = 1
SOME_FAILED: Final = 2
"""Event Type IDs of a report (table J.3-2)."""
MOST_BYTES: Final = 8 << 20
"""Of a request or a report: 50,000 instances have about as much, and as many empty elements as fit take seconds to read."""
MOST_ITEMS: Final = 50_000
"""An item without elements has eight bytes, and takes as long to read as an instance."""
_OF_COMPOSITE = 0xA000
_RESOURCE_LIMITATION = 0x0213
_ITEM: Final = b"\xfe\xff\x00\xe0"
_UID = re.compile(r"[0-9.]{1,64}")


class BadCommitment(RefusedError):
    """A request or a report of storage commitment that names no transaction, or no instances (PS3.4 tables J.3-1 and J.3-2)."""

    code = "HLM-1061"
    remedy = "Report this to the sender's vendor; nothing was committed to."
    status = 0x0115


class TooMuchToCommit(RefusedError):
    """A request of storage commitment that is longer than any study."""

    code = "HLM-1062"
    remedy = "The sender must ask in several requests, each of a study or less."
    status = 0x0213


class CommitmentFailed(DeliveryError):
    """The peer could not take the request for storage commitment now."""

    code = "HLM-6051"
    remedy = "It is asked again by itself, under another transaction."


class ReportNotTaken(DeliveryError):
    """A peer that asked this node to commit does not take the report."""

    code = "HLM-6052"
    remedy = "It is sent again by itself, for a day. Check that the peer listens at the address that the configuration has for it."


class NoCommitment(DeliveryError):
    """The peer does not offer storage commitment to this node."""

    code = "HLM-6151"
    remedy = (
        "Let the peer's administrator allow it (Storage Commitment Push Model, 1.2.840.10008.1.20.1) for this node's AE title, then `hilum "
        "jobs resend JOB`; or give the sink `commitment: wanted`, or `no`."
    )
    retry = False


def status_of(refused: RefusedError) -> int:
    """The status of a normalised operation; 0xA700, what a C-STORE is told when there is no room, has no meaning there (PS3.7 C.5)."""
    return refused.status if refused.status < _OF_COMPOSITE else _RESOURCE_LIMITATION


def asking(asked: AskedCommitment) -> Dataset:
    """The Action Information of an N-ACTION."""
    dataset = Dataset()
    dataset.TransactionUID = asked.transaction_uid
    dataset.ReferencedSOPSequence = [_item(one) for one in asked.references]
    return dataset


def reporting(transaction_uid: str, verdicts: Sequence[tuple[InstanceReference, int]]) -> tuple[int, Dataset]:
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


def _references(dataset: Dataset, keyword: str) -> Iterable[InstanceReference]:
    for item in _items(dataset, keyword):
        yield InstanceReference(sop_class_uid=_uid(item, "ReferencedSOPClassUID"), sop_instance_uid=_uid(item, "ReferencedSOPInstanceUID"))


def _items(dataset: Dataset, keyword: str) -> Iterable[Any]:
    return dataset.get(keyword) or ()


def _uid(dataset: Dataset, keyword: str) -> str:
    text = str(dataset.get(keyword) or "")
    if not _UID.fullmatch(text):
        raise BadCommitment(f"{keyword} is {text[:64]!a}" if text else f"{keyword} is absent")
    return text


def _item(reference: InstanceReference, reason: int = 0) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    if reason:
        item.FailureReason = reason
    return item
