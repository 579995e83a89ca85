"""What an application may emit is known before anything was found: held against what the encoder really makes."""

from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from docs.example_results import examples
from inference import codes
from inference.applications.port import (
    Accepts,
    Application,
    DeformationOutput,
    DerivedOutput,
    EvaluationOutput,
    ExplanationOutput,
    LocationOutput,
    RegistrationOutput,
    SaliencyOutput,
    SegmentOutput,
    UncertaintyOutput,
)
from inference.codes import Code
from inference.findings import Findings
from node.dicom.transfer_syntax import Context
from node.domain.profile import ARCHIVE, BY_NAME_ALONE, PACS, SHIPPED, VIEWER, Compression, Form, Kind, MaskEncoding, Profile
from node.results.port import Encoded
from node.results.selection import emitted

EVERYTHING = Application(
    name="everything",
    version="1",
    title="Everything",
    accepts=Accepts(modality=("CT", "MR")),
    models=(),
    outputs=(
        SegmentOutput(label="brain", type=codes.BRAIN),
        EvaluationOutput(finding=codes.BRAIN),
        LocationOutput(finding=codes.BRAIN),
        SaliencyOutput(label="map"),
        UncertaintyOutput(label="Entropy"),
        ExplanationOutput(label="Grad-CAM", finding=codes.BRAIN),
        DerivedOutput(label="smoothed", derivation=Code("113087", "DCM", "Smoothing")),
        RegistrationOutput(),
        DeformationOutput(),
    ),
    analyse=lambda subject, infer: Findings(),
)
TRIAGE = replace(EVERYTHING, outputs=(EvaluationOutput(finding=codes.BRAIN),))


@pytest.fixture(scope="module")
def objects() -> list[Encoded]:
    """What two hospitals' studies give, of every kind and several forms."""
    return [one for example in examples() for one in example.objects]


def asks_for(one: Encoded) -> Profile:
    """A profile that gets this object."""
    masks, _, compression = one.form.partition("+") if one.kind == Kind.SEG and one.form != Form.EMPTY else ("binary", "", "")
    masks = MaskEncoding.WHOLE_BYTES if masks == Form.FRACTIONAL else masks
    return Profile(
        name="any", masks=MaskEncoding(masks), compression=Compression(compression or "none"), kinds=frozenset(Kind) - {Kind.SEG}
    )


@pytest.mark.slow
def test_every_object_goes_in_a_context_that_was_foreseen(objects: list[Encoded]) -> None:
    """SOP class and transfer syntax as they stand in the object's own meta information."""
    for one in objects:
        meta = dcmread(BytesIO(one.data), specific_tags=[]).file_meta
        own = Context(sop_class_uid=str(meta.MediaStorageSOPClassUID), transfer_syntax_uid=str(meta.TransferSyntaxUID))
        assert own in {found.wanted for found in emitted(EVERYTHING, asks_for(one)) if found.kind == one.kind}, (one.kind, one.form)
    assert {one.kind for one in objects} >= {Kind.SEG, Kind.SR, Kind.DETECTIONS, Kind.SC, Kind.MAP, Kind.DERIVED, Kind.REGISTRATION}
    assert Kind.DEFORMABLE_REGISTRATION in {one.kind for one in objects}


def test_a_triage_application_emits_reports_and_pages_only() -> None:
    """It declares no mask, no location and no map; so no peer is asked for these."""
    assert {one.kind for one in emitted(TRIAGE, ARCHIVE)} == {Kind.SR, Kind.SC, Kind.NARRATIVE, Kind.PDF}


@pytest.mark.parametrize("profile", SHIPPED.values(), ids=SHIPPED.keys())
def test_no_shipped_profile_asks_for_explanations_or_maps_of_uncertainty(profile: Profile) -> None:
    """People take a map for a place: whoever wants one says so by its own key, also for an archive of everything."""
    assert not profile.explains
    assert not profile.doubts
    assert BY_NAME_ALONE.isdisjoint(one.kind for one in emitted(EVERYTHING, profile))
    asked = replace(profile, kinds=profile.kinds | BY_NAME_ALONE)
    assert asked.explains
    assert asked.doubts
    assert BY_NAME_ALONE - {one.kind for one in emitted(EVERYTHING, asked)} == set()
    assert BY_NAME_ALONE.isdisjoint(one.kind for one in emitted(TRIAGE, asked))


def test_masks_may_go_decompressed_or_as_binary() -> None:
    """In the order in which a delivery tries them."""
    (masks,) = [one for one in emitted(EVERYTHING, ARCHIVE) if one.kind is Kind.SEG]
    label_map, binary = "1.2.840.10008.5.1.4.1.1.66.7", "1.2.840.10008.5.1.4.1.1.66.4"
    plain = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    assert masks.contexts == (
        Context(sop_class_uid=label_map, transfer_syntax_uid=RLELossless),
        *(Context(sop_class_uid=label_map, transfer_syntax_uid=syntax) for syntax in plain),
        *(Context(sop_class_uid=binary, transfer_syntax_uid=syntax) for syntax in plain),
    )


def test_derived_images_have_the_classes_of_their_sources() -> None:
    """Of the modalities that the application accepts."""
    assert {one.wanted.sop_class_uid for one in emitted(EVERYTHING, VIEWER) if one.kind is Kind.DERIVED} == {CTImageStorage, MRImageStorage}


def test_a_conservative_pacs_is_not_asked_for_maps() -> None:
    """They come as pictures, which are of the summary page's class."""
    found = {one.kind: one.wanted.sop_class_uid for one in emitted(EVERYTHING, PACS)}
    assert found[Kind.OVERLAY] == SecondaryCaptureImageStorage
    assert Kind.MAP not in found
