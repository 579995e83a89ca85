"""Names of private data elements by their creator (PS3.5 7.8.1): `(0019,xx0C) SIEMENS MR HEADER` is element 0C of whichever block a data
set has reserved for that creator.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_NAME = re.compile(r"\(([0-9A-Fa-f]{4}) ?, ?([0-9A-Fa-fXx]{4})\)(?: +(.*?) *)?")
FORM = r"^\([0-9A-Fa-f]{4},[xX]{2}[0-9A-Fa-f]{2}\) .+$"
"""Of its text, for editors."""
LIKE_PRIVATE = re.compile(r"\([0-9A-F]{4},xx[0-9A-F]{2}\) ")
"""How the name of a private element begins, wherever it stands in a sentence."""
_PIXELS = 0x7FE0
_MOST_DIGITS = 10
_LONGEST_DECIMAL = 16
"""Bytes of a decimal string (PS3.5 6.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateName:
    """The name of a private element: its group, its number within the block, and the creator of the block."""

    group: int
    element: int
    creator: str

    @staticmethod
    def of(text: str) -> "PrivateName":
        """The name that a text is.

        Raises
        ------
        ValueError
            It is none; the text says what to write.
        """
        found = _NAME.fullmatch(text)
        example = 'write "(0019,xx0C) SIEMENS MR HEADER": group, xx for the block, element, and the private creator'
        if found is None:
            raise ValueError(f'"{text}" is no private element; {example}')
        group, block, number, creator = int(found[1], 16), found[2][:2], found[2][2:], found[3]
        if not group & 1 or group < 9:
            raise ValueError(f"{found[1]} is no private group, which is odd; a public element goes by its keyword")
        if group > _PIXELS:
            raise ValueError(f"{found[1]} stands behind the pixels, where no header is read")
        hexadecimal = re.fullmatch("[0-9A-Fa-f]{2}", number)
        if block.lower() != "xx" or not hexadecimal:
            last = number if hexadecimal else "0C"
            raise ValueError(f"{found[2]}: the block differs from file to file; write ({found[1]},xx{last}) and the private creator")
        if not creator:
            raise ValueError(f'"{text}" lacks the private creator; {example}')
        return PrivateName(group=group, element=int(number, 16), creator=creator)

    @property
    def text(self) -> str:
        """As headers and routes have it."""
        return f"({self.group:04X},xx{self.element:02X}) {self.creator}"


def is_private(keyword: str) -> bool:
    """Whether what a route asks for is a private element."""
    return keyword.startswith("(")


def private_of(keywords: Iterable[str]) -> frozenset[PrivateName]:
    """The private elements among what is asked for."""
    return frozenset(PrivateName.of(keyword) for keyword in keywords if is_private(keyword))


def may_count(text: str) -> bool:
    """Whether a value that is written as a number is one, in files and in what routes ask: more digits are the number of something."""
    return len(text) <= (_MOST_DIGITS if text.isdigit() else _LONGEST_DECIMAL)
