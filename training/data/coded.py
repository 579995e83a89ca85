"""Names that people give to classes, findings and structures, as codes."""

import hashlib
import re

from inference.codes import Code

PRIVATE = "99HILUM"
"""Coding scheme of what is named without a code (PS3.16 8.2: 99 begins private schemes)."""
_CODED = re.compile(r"(?P<scheme>[A-Za-z0-9]{2,16}):(?P<value>[A-Za-z0-9.-]{1,16}):(?P<meaning>[^:\\]{1,64})")
_SH = 16
"""Characters of a Code Value (PS3.5 6.2)."""


def coded(name: str) -> Code:
    """A name as a code: SCHEME:VALUE:MEANING is one; another name is its own meaning, under a value of hilum's private scheme."""
    found = _CODED.fullmatch(name.strip())
    if found:
        return Code(found["value"], found["scheme"], found["meaning"].strip())
    plain = " ".join(name.split())[:64]
    value = re.sub(r"[ _-]+", "-", plain.upper())
    if not re.fullmatch(r"[A-Z0-9-]+", value) or len(value) > _SH:
        value = hashlib.sha256(plain.lower().encode()).hexdigest()[:_SH].upper()
    return Code(value, PRIVATE, plain)
