"""What an association is negotiated for: a SOP class in a transfer syntax."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Context:
    """One abstract syntax with one transfer syntax, as a presentation context offers them (PS3.8 7.1.1.13)."""

    sop_class_uid: str
    transfer_syntax_uid: str
