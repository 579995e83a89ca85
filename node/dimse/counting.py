"""Counting a study's or series' instances at a peer by C-FIND (study root), for peers that count and for those that only list."""

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind


def count_instances(association: Association, study: str, series: str | None) -> int | None:
    """The peer's number of instances: by its own count, else by counting its matches; None when it cannot say or knows none."""
    if series is None:
        return _number(association, "STUDY", "NumberOfStudyRelatedInstances", StudyInstanceUID=study) or _by_series(association, study)
    found = _number(association, "SERIES", "NumberOfSeriesRelatedInstances", StudyInstanceUID=study, SeriesInstanceUID=series)
    return found or _by_images(association, study, series)


def _number(association: Association, level: str, keyword: str, **keys: str) -> int | None:
    matches = _find(association, level, {**keys, keyword: ""})
    numbers = [match.get(keyword) for match in matches or ()]
    return int(numbers[0]) if len(numbers) == 1 and numbers[0] else None


def _by_series(association: Association, study: str) -> int | None:
    matches = _find(association, "SERIES", {"StudyInstanceUID": study, "SeriesInstanceUID": "", "NumberOfSeriesRelatedInstances": ""})
    total = 0
    for match in matches or ():
        number = match.get("NumberOfSeriesRelatedInstances") or _by_images(association, study, str(match.get("SeriesInstanceUID", "")))
        if not number:
            return None
        total += int(number)
    return total or None


def _by_images(association: Association, study: str, series: str) -> int | None:
    keys = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": ""}
    return len(_find(association, "IMAGE", keys) or ()) or None if series else None


def _find(association: Association, level: str, keys: dict[str, str]) -> list[Dataset] | None:
    """The matches of one C-FIND; None when it did not end with success."""
    if not association.is_established:
        return None
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value or None)
    matches = []
    for status, match in association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind):
        code = status.get("Status")
        if code in (0xFF00, 0xFF01) and match is not None:
            matches.append(match)
        elif code != 0x0000:
            return None
    return matches
