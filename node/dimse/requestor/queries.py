"""Asking a peer what it holds by C-FIND (study root): how many instances, for peers that count and for those that only list; and which."""

import struct
from collections.abc import Callable, Collection
from io import BytesIO
from typing import TypeAlias

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException

from node.dicom.transfer_syntax import IMPLICIT_VR_LITTLE_ENDIAN, Context
from node.dimse.requestor.association import Association, AssociationEnded

FIND = Context(sop_class_uid="1.2.840.10008.5.1.4.1.2.2.1", transfer_syntax_uid=IMPLICIT_VR_LITTLE_ENDIAN)
"""Study Root Query/Retrieve Information Model - FIND (PS3.4 C.6.2) in the default transfer syntax."""

_UNREADABLE = (
    *(AttributeError, ValueError, KeyError, NotImplementedError, EOFError, TypeError, OSError, OverflowError, struct.error),
    *(RecursionError, BytesLengthException),
)
"""What pydicom raises at a match, or at a value of one, that is none: whatever comes first."""

Find: TypeAlias = Callable[[str, dict[str, str]], list[Dataset] | None]


def finding(association: Association) -> Find:
    """C-FINDs over one association; a question that is not answered to its end has no matches, nor have those after it."""

    def find(level: str, keys: dict[str, str]) -> list[Dataset] | None:
        from pynetdicom.dsutils import decode, encode

        if not association.open or FIND not in association.contexts:
            return None
        query = Dataset()
        query.QueryRetrieveLevel = level
        for keyword, value in keys.items():
            setattr(query, keyword, value or None)
        encoded = encode(query, True, True)
        try:
            matches = association.find(association.contexts[FIND], FIND.sop_class_uid, encoded or b"")
            return None if matches is None else [decode(BytesIO(match), True, True) for match in matches]
        except AssociationEnded:
            return None
        except _UNREADABLE:
            association.abort()
            return None

    return find


def count_instances(find: Find, study: str, series: str | None) -> int | None:
    """The peer's number of instances: by its own count, else by counting its matches; None when it cannot say or knows none."""
    if series is None:
        return _number(find, "STUDY", "NumberOfStudyRelatedInstances", StudyInstanceUID=study) or _by_series(find, study)
    found = _number(find, "SERIES", "NumberOfSeriesRelatedInstances", StudyInstanceUID=study, SeriesInstanceUID=series)
    return found or _by_images(find, study, series)


def count_series(find: Find, study: str, wanted: Collection[str]) -> dict[str, int]:
    """The peer's number of instances of each of these series: one question at SERIES level, and one at IMAGE level for each whose number
    that does not answer; without those of which it knows none."""
    matches = find("SERIES", {"StudyInstanceUID": study, "SeriesInstanceUID": "", "NumberOfSeriesRelatedInstances": ""})
    said = {_uid(match, "SeriesInstanceUID"): _count(match, "NumberOfSeriesRelatedInstances") for match in matches or ()}
    counts = {series: said.get(series) or _by_images(find, study, series) or 0 for series in wanted}
    return {series: count for series, count in counts.items() if count}


def holds_instance(find: Find, study: str, series: str, instance: str) -> bool:
    """Whether the peer lists the instance; False when it cannot say.

    The keys of the levels above go along: PS3.4 C.4.1.2.2.1 has them for a peer that searches level by level.
    """
    matches = find("IMAGE", {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": instance})
    return any(_uid(match, "SOPInstanceUID") == instance for match in matches or ())


def _number(find: Find, level: str, keyword: str, **keys: str) -> int | None:
    matches = find(level, {**keys, keyword: ""})
    numbers = [_count(match, keyword) for match in matches or ()]
    return numbers[0] if len(numbers) == 1 else None


def _count(match: Dataset, keyword: str) -> int | None:
    """A number of instances above zero; None where something else stands there, or nothing."""
    try:
        number = int(match.get(keyword) or 0)
    except _UNREADABLE:
        return None
    return number if number > 0 else None


def _uid(match: Dataset, keyword: str) -> str:
    try:
        return str(match.get(keyword, ""))
    except _UNREADABLE:
        return ""


def _by_series(find: Find, study: str) -> int | None:
    matches = find("SERIES", {"StudyInstanceUID": study, "SeriesInstanceUID": "", "NumberOfSeriesRelatedInstances": ""})
    total = 0
    for match in matches or ():
        number = _count(match, "NumberOfSeriesRelatedInstances") or _by_images(find, study, _uid(match, "SeriesInstanceUID"))
        if not number:
            return None
        total += number
    return total or None


def _by_images(find: Find, study: str, series: str) -> int | None:
    keys = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": ""}
    return len(find("IMAGE", keys) or ()) or None if series else None
