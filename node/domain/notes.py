"""Notes are objects without an analysis: statements that an application gave no result, and why; withdrawals from an archive.

Facts; codes and sentences are made of them where the object is.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from node.domain.profile import Kind
from node.domain.shortage import Lack, Shortage


class Why(StrEnum):
    """Why a series gave no result."""

    DECLINED = "declined"  # its images are not what the application can judge
    FAILED = "failed"  # the analysis broke
    NOT_TAKEN = "not taken"  # nothing of the study is for the application, and a route expects that something is
    LATE = "late"  # it has not ended, and the route's deadline is over


class Status(StrEnum):
    """Status of results (PS3.16 CID 6042), of those that say that there is none."""

    NOT_ATTEMPTED = "111225"
    FAILED = "111224"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoResult:
    """One series of which the application gave no result: with the error code and the sentence of its job, if it has one, and how short
    it was known to be when it was looked at."""

    job: int
    series_instance_uid: str
    why: Why
    code: str
    reason: str
    shortage: Shortage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What is said of one study and application. `replaces`: an earlier result stands in an archive, and was made from other images."""

    series: tuple[NoResult, ...]
    replaces: bool = False

    @property
    def status(self) -> Status:
        """Failed where the analysis of any series broke; of what was declined, or has not ended, nothing was attempted to its end."""
        return Status.FAILED if any(one.why is Why.FAILED for one in self.series) else Status.NOT_ATTEMPTED

    @property
    def whys(self) -> tuple[Why, ...]:
        """Each once, in the order of the enumeration."""
        found = {one.why for one in self.series}
        return tuple(why for why in Why if why in found)


def statement_bytes(statement: Statement) -> bytes:
    """As the journal's blobs keep it."""
    return json.dumps(asdict(statement), ensure_ascii=False, sort_keys=True).encode()


def statement_of(data: bytes) -> Statement:
    """What `statement_bytes` wrote."""
    content = json.loads(data)
    series: Sequence[dict[str, Any]] = content["series"]
    return Statement(series=tuple(_no_result(one) for one in series), replaces=content["replaces"])


def _no_result(content: dict[str, Any]) -> NoResult:
    lacks = content["shortage"]
    return NoResult(
        job=int(content["job"]),
        series_instance_uid=content["series_instance_uid"],
        why=Why(content["why"]),
        code=content["code"],
        reason=content["reason"],
        shortage=None if lacks is None else Shortage(lack=Lack(lacks["lack"]), came=lacks["came"], expected=lacks["expected"]),
    )


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


def withdrawal_bytes(withdrawal: Withdrawal) -> bytes:
    """As the journal's blobs keep it."""
    return json.dumps(asdict(withdrawal), sort_keys=True).encode()


def withdrawal_of(data: bytes) -> Withdrawal:
    """What `withdrawal_bytes` wrote."""
    content = json.loads(data)
    objects = tuple(WithdrawnObject(**{**one, "kind": Kind(one["kind"])}) for one in content["objects"])
    return Withdrawal(rejection=Rejection(content["rejection"]), objects=objects)
