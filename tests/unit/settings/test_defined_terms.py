"""Defined terms: those of the list are the standard's, as other programs have them."""

import json
from importlib import resources

from node.cli.doctor.routes import DEFINED
from node.dicom.vr import REPRESENTATIONS


def test_body_parts_are_those_of_another_program() -> None:
    """highdicom's table of PS3.16 Annex L."""
    table = json.loads(resources.files("highdicom").joinpath("_standard/anatomic_regions.json").read_text())
    assert DEFINED["BodyPartExamined"].terms == set(table)


def test_terms_are_code_strings_and_streets_lead_to_terms() -> None:
    """CS: 16 characters at most, capitals (PS3.5 6.2)."""
    assert b"CS" in REPRESENTATIONS
    for known in DEFINED.values():
        assert all(len(term) <= 16 and term == term.upper() for term in known.terms)
        assert set(known.street.values()) <= known.terms
        assert not set(known.street) & known.terms
