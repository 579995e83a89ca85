"""What images of one series say of how many there are: numbers in their headers, which may be remarked, and decide nothing.

Scanners number as they like, and count what they never send: nothing is held for it (ADR-0032).
"""

from collections.abc import Sequence

from inference.translatable import Translatable, say
from node.domain.instance import Header


def numbering_remarks(headers: Sequence[Header]) -> tuple[Translatable, ...]:
    """What numbers of the images of one series lead to expect and did not come; a sentence each.

    InstanceNumber (PS3.3 C.7.6.1.1.1): numbers missing between others, where fewer are missing than came. ImagesInAcquisition
    (C.7.6.1.1): of each AcquisitionNumber. NumberOfTemporalPositions (C.7.6.16.2.3.1), against TemporalPositionIdentifier.
    """
    return (*_gaps(headers), *_acquisitions(headers), *_positions(headers))


def _gaps(headers: Sequence[Header]) -> list[Translatable]:
    numbers = {number for one in headers if (number := _whole(one, "InstanceNumber")) is not None}
    missing = max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0
    if not 0 < missing < len(numbers):
        return []
    return [
        say(
            "Instance numbers run from {first} to {last}, and {missing} of them did not come: images may be missing.",
            first=str(min(numbers)),
            last=str(max(numbers)),
            missing=str(missing),
        )
    ]


def _acquisitions(headers: Sequence[Header]) -> list[Translatable]:
    counted: dict[int | None, tuple[int, int]] = {}
    for one in headers:
        acquisition = _whole(one, "AcquisitionNumber")
        came, listed = counted.get(acquisition, (0, 0))
        counted[acquisition] = came + 1, max(listed, _whole(one, "ImagesInAcquisition") or 0)
    short = [(came, listed) for came, listed in counted.values() if came < listed]
    return [
        say(
            "The images say that their acquisition has {listed}, and {came} came: images may be missing.",
            listed=str(listed),
            came=str(came),
        )
        for came, listed in dict.fromkeys(short)
    ]


def _positions(headers: Sequence[Header]) -> list[Translatable]:
    listed = max((_whole(one, "NumberOfTemporalPositions") or 0 for one in headers), default=0)
    came = len({position for one in headers if (position := _whole(one, "TemporalPositionIdentifier")) is not None})
    if not 0 < came < listed:
        return []
    return [
        say(
            "The images name {listed} temporal positions, and those of {came} came: images may be missing.",
            listed=str(listed),
            came=str(came),
        )
    ]


def _whole(header: Header, keyword: str) -> int | None:
    """A number without a fraction; None where there is none, or several."""
    values = header.get(keyword, ())
    (value,) = values if len(values) == 1 else (None,)
    if isinstance(value, float):
        return int(value) if value.is_integer() else None  # which an infinite one is not
    return value if isinstance(value, int) else None
