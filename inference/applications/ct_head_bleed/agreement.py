"""Whether three networks say the same: present, absent, or undetermined where they do not."""

from collections.abc import Sequence
from dataclasses import dataclass

from inference import codes
from inference.applications.ct_head_bleed.reading import HeadLesion, Reading
from inference.codes import Code

LEAST_CM3 = 0.5
"""What is less in all is taken for nothing."""
SHARE = 0.5
"""Of what all networks together mark, what each of them has to mark alone as the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the networks say of some kinds of lesions.

    Attributes
    ----------
    value
        Present: all together mark `LEAST_CM3`, and each alone a `SHARE` of that. Absent: neither all together nor any alone mark as much.
    alone_cm3
        What each of them marks.
    """

    value: Code
    alone_cm3: tuple[float, ...]


def verdict(reading: Reading, lesions: Sequence[HeadLesion]) -> Verdict:
    """Whether there are such lesions."""
    together_cm3, alone_cm3 = reading.marked_cm3(lesions), reading.alone_cm3(lesions)
    value = codes.UNDETERMINED
    if together_cm3 >= LEAST_CM3 and min(reading.shares(lesions)) >= SHARE:
        value = codes.PRESENT
    elif max(together_cm3, *alone_cm3) < LEAST_CM3:
        value = codes.ABSENT
    return Verdict(value=value, alone_cm3=alone_cm3)
