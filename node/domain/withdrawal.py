"""Withdrawals of objects from an archive, with their reason: facts; codes and sentences are made of them where the object is."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from node.domain.profile import Kind


class Rejection(StrEnum):
    """Why objects are withdrawn."""

    WRONG = "wrong"  # they were made from wrong, mixed or incomplete images
    REPLACED = "replaced"  # a later result stands in their place, and the images were right


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawnObject:
    """One object that the archive had accepted; its study is that of its job, `blob` has its bytes."""

    kind: Kind
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    blob: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """All that one note withdraws from one archive: objects of one job."""

    rejection: Rejection
    objects: tuple[WithdrawnObject, ...]


def dumped(withdrawal: Withdrawal) -> bytes:
    """As the journal's blobs keep it."""
    return json.dumps(asdict(withdrawal), sort_keys=True).encode()


def loaded(data: bytes) -> Withdrawal:
    """What `dumped` wrote."""
    content = json.loads(data)
    objects = tuple(WithdrawnObject(**{**one, "kind": Kind(one["kind"])}) for one in content["objects"])
    return Withdrawal(rejection=Rejection(content["rejection"]), objects=objects)
