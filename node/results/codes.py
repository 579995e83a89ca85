"""Coded concepts in the form that highdicom takes."""

from highdicom.sr import CodedConcept

from inference.codes import Code


def item(code: Code) -> CodedConcept:
    """An item of a code sequence (PS3.3 8.8)."""
    return CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=code.meaning)
