"""One tuple of records is all that the node knows of its result kinds: each has one, each is whole, and no other table of kinds exists."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    DeflatedExplicitVRLittleEndian,
    DeformableSpatialRegistrationStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    SpatialRegistrationStorage,
)

from inference.applications import port
from node.dicom.transfer_syntax import LABEL_MAP_STORAGE
from node.domain.profile import Form, Kind
from node.results.kind import Checking, Making, ResultKind
from node.results.kinds import KINDS, beginner_of, checker_of, maker_of, registered
from node.results.port import Encoded

ROOT = Path(__file__).parents[2]
PROFILES = ROOT / "node" / "domain" / "profile.py"
"""Names the kinds, and which of them each shipped profile chooses."""

CLASSES = {
    Kind.SR: Comprehensive3DSRStorage,
    Kind.DETECTIONS: Comprehensive3DSRStorage,
    Kind.SC: SecondaryCaptureImageStorage,
    Kind.OVERLAY: SecondaryCaptureImageStorage,
    Kind.MAP: ParametricMapStorage,
    Kind.REGISTRATION: SpatialRegistrationStorage,
    Kind.DEFORMABLE_REGISTRATION: DeformableSpatialRegistrationStorage,
    Kind.NARRATIVE: EnhancedSRStorage,
    Kind.PDF: EncapsulatedPDFStorage,
    Kind.EXPLANATION: SecondaryCaptureImageStorage,
    Kind.EXPLANATION_MAP: ParametricMapStorage,
    Kind.UNCERTAINTY_MAP: ParametricMapStorage,
    Kind.STATEMENT: EnhancedSRStorage,
    Kind.WITHDRAWAL: KeyObjectSelectionDocumentStorage,
}
FORMS = {
    Form.BINARY: (SegmentationStorage, ExplicitVRLittleEndian),
    Form.EMPTY: (SegmentationStorage, ExplicitVRLittleEndian),
    Form.BINARY_DEFLATE: (SegmentationStorage, DeflatedExplicitVRLittleEndian),
    Form.FRACTIONAL: (SegmentationStorage, ExplicitVRLittleEndian),
    Form.LABELMAP: (UID(LABEL_MAP_STORAGE), ExplicitVRLittleEndian),
    Form.LABELMAP_RLE: (UID(LABEL_MAP_STORAGE), RLELossless),
    Form.LABELMAP_JPEG_LS: (UID(LABEL_MAP_STORAGE), JPEGLSLossless),
    Form.LABELMAP_DEFLATE: (UID(LABEL_MAP_STORAGE), DeflatedExplicitVRLittleEndian),
}

each_kind = pytest.mark.parametrize("record", KINDS, ids=lambda record: record.kind.value)


def test_every_kind_has_exactly_one_record() -> None:
    """A kind without one would be found by whoever first makes an object of it."""
    assert sorted(one.kind for one in KINDS) == sorted(Kind)


@each_kind
def test_a_record_says_what_the_standard_calls_its_class(record: ResultKind) -> None:
    """Records hold UIDs as text, for whoever reads a configuration loads no library: here they are pydicom's."""
    if record.forms:
        assert {form: (UID(of_class), UID(syntax)) for form, (of_class, syntax) in record.forms.items()} == FORMS
    elif record.classes is None:
        assert record.sop_class_uid == CLASSES[record.kind]
        assert record.syntax_of("") == ExplicitVRLittleEndian


@each_kind
def test_a_folder_holds_make_and_check(record: ResultKind) -> None:
    """They are found by their names, so nothing but this looks at what they take and give."""
    if record.of_findings:
        assert get_type_hints(maker_of(record)) == {"making": Making, "return": list[Encoded]}
        assert get_type_hints(checker_of(record)) == {"checking": Checking, "return": type(None)}
    if record.begins:
        assert list(get_type_hints(beginner_of(record))) == ["encoding", "sources", "return"]


@each_kind
def test_what_a_record_needs_is_an_output_of_applications(record: ResultKind) -> None:
    """Named, not imported: the class would bring numpy along."""
    assert record.needs is None or getattr(port, record.needs) in port.Output.__args__


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": Kind.SEG}, "two result kinds claim the kind seg"),
        ({"switch": "maps"}, "two result kinds claim the switch maps"),
        ({"series": (1,)}, "two result kinds claim the series number 1"),
        ({"series": (90, 90)}, "two result kinds claim the series number 90"),
        ({"series": (100,)}, "series numbers of kinds are 1 to 99, not 100"),
        ({"series": (0,)}, "series numbers of kinds are 1 to 99, not 0"),
    ],
)
def test_a_clash_of_records_is_refused(change: dict[str, Any], said: str) -> None:
    """At import, so that no node starts with it."""
    with pytest.raises(ValueError, match=said):
        registered([*KINDS[:-1], replace(KINDS[-1], **change)])


def test_no_other_table_of_kinds_exists() -> None:
    """A literal that names three kinds or more is one: a new kind would be forgotten there."""
    found = [
        f"{file.relative_to(ROOT)}:{line}"
        for package in ("node", "inference", "docs")
        for file in sorted((ROOT / package).rglob("*.py"))
        if file != PROFILES
        for line in tables(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize("text", ["{Kind.SEG: 1, Kind.SR: 2, Kind.SC: 3}", "(Kind.SEG, Kind.SR, Kind.SC)", '{"seg": 1, "sr": 2, "sc": 3}'])
def test_a_table_of_kinds_is_found(text: str) -> None:
    """By members of the enumeration or by their values."""
    assert list(tables(ast.parse(text))) == [1]


def tables(tree: ast.AST) -> Iterator[int]:
    """The lines of literals that name three kinds or more."""
    values = {kind.value for kind in Kind}
    for node in ast.walk(tree):
        entries = node.keys if isinstance(node, ast.Dict) else node.elts if isinstance(node, ast.Set | ast.List | ast.Tuple) else []
        named = {one.attr for one in entries if isinstance(one, ast.Attribute) and ast.unparse(one.value) == "Kind"}
        worded = {one.value for one in entries if isinstance(one, ast.Constant)} & values
        if len(named) >= 3 or len(worded) >= 3:
            assert isinstance(node, ast.expr)
            yield node.lineno
