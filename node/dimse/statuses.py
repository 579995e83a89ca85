"""What each C-STORE status means for the object that was sent."""

from enum import Enum


class Verdict(Enum):
    """What a C-STORE status says about the object."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # sending it again cannot help
    UNCLEAR = "unclear"  # try again


SOP_CLASS_NOT_SUPPORTED = 0x0122
"""What a peer answers, and what stands for a peer that accepts no presentation context for the object (PS3.7 C.5.6)."""

_AGAIN = frozenset({0x0110, 0x0210, 0x0213})
"""General failures that may pass: processing failure, duplicate invocation, resource limitation (PS3.7 C.5)."""


def verdict(status: int | None) -> Verdict:
    """Classify a C-STORE status (PS3.4 B.2.3, PS3.7 Annex C).

    Warnings (0xBxxx, 0x0001, 0x0107, 0x0116) mean that the object is stored. So does 0x0111, duplicate SOP instance: here an equal UID
    means equal bytes. 0xA7xx, out of resources, passes; 0xA8xx, 0xA9xx, 0xCxxx and the other failures (0x0122 SOP class not
    supported, 0x0124 not authorised, …) do not. No status at all, or one that the standard does not know, says nothing.
    """
    if status is None:
        return Verdict.UNCLEAR
    if status in (0x0000, 0x0001, 0x0107, 0x0111, 0x0116) or status >> 12 == 0xB:
        return Verdict.ACCEPTED
    if status >> 8 == 0xA7 or status in _AGAIN:
        return Verdict.UNCLEAR
    if status >> 12 in (0xA, 0xC) or status >> 8 in (0x01, 0x02):
        return Verdict.REFUSED
    return Verdict.UNCLEAR
