"""Unique identifiers derived from what they identify: equal inputs give equal UIDs (PS3.5 B.2: 2.25 + UUID); and the node's own."""

import re
import uuid
from importlib.metadata import version

DERIVED_ROOT = "2.25."
"""What every derived UID begins with."""
_NAMESPACE = uuid.UUID("6f0b4ed6-6d38-5d0c-9d8f-5b5a0d6a0e51")
_LONG = 43
_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")


def derive_uid(*parts: str) -> str:
    """A UID that depends on `parts` and their order alone; parts cannot run into each other."""
    name = "".join(f"{len(part)}:{part}" for part in parts)
    return f"{DERIVED_ROOT}{uuid.uuid5(_NAMESPACE, name).int}"


def derive_long_uid(*parts: str) -> str:
    """A derived UID of 43 or 44 characters: with its padding it always fills 44 bytes of an object (PS3.5 9.4)."""
    uid = derive_uid(*parts)
    while len(uid) < _LONG:
        parts = (*parts, uid)
        uid = derive_uid(*parts)
    return uid


def device_uid(application: str, model_digest: str) -> str:
    """DeviceUID of the processing equipment: one for every application and model file, on every node (IHE AIR)."""
    return derive_uid("device", application, model_digest)


def is_uid(text: str) -> bool:
    """Whether `text` is a UID by PS3.5 9.1: digits and dots, no leading zeros, 64 characters at most."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


IMPLEMENTATION_CLASS_UID = derive_uid("hilum", "implementation")
"""What hilum calls itself on the network and in the files it writes (PS3.7 D.3.3.2, PS3.10 7.1); one for all versions."""
RELEASE = version("hilum")
"""The version of hilum, the same as long as a process runs: looking it up reads the package's metadata."""
IMPLEMENTATION_VERSION = f"HILUM_{RELEASE}"[:16]
"""Tells the versions apart."""
