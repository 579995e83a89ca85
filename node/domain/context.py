"""Presentation contexts: a SOP class in a transfer syntax, and the names of both."""

from dataclasses import dataclass

LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
"""Label Map Segmentation Storage (PS3.4 B.5)."""

_NEWER = {LABEL_MAP_STORAGE: "Label Map Segmentation Storage"}
"""SOP classes that pydicom's dictionary does not have yet (PS3.6 A)."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Context:
    """One abstract syntax with one transfer syntax, as a presentation context offers them (PS3.8 7.1.1.13)."""

    sop_class_uid: str
    transfer_syntax_uid: str

    def __str__(self) -> str:
        return f"{name_of(self.sop_class_uid)} in {name_of(self.transfer_syntax_uid)}"


def name_of(uid: str) -> str:
    """The name of a SOP class or transfer syntax (PS3.6 A); the UID itself where it has none."""
    from pydicom.uid import UID

    return _NEWER.get(uid) or str(UID(uid).name)
