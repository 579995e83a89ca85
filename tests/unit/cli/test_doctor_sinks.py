"""`hilum doctor` says of each peer what it takes, what goes in another form, and what cannot go: judged from its answers alone."""

from dataclasses import replace

from node.assembly.doctor.peers import judge
from node.dicom.transfer_syntax import Context
from node.domain.health import DoctorFinding
from node.domain.profile import ARCHIVE, PACS, VIEWER, Kind, NotTaken, Profile
from node.results.selection import Emitted

EXPLICIT, IMPLICIT, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.5"
SEG, LABEL_MAP, MAP = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7", "1.2.840.10008.5.1.4.1.1.30"


def context(sop_class: str, syntax: str = EXPLICIT) -> Context:
    return Context(sop_class_uid=sop_class, transfer_syntax_uid=syntax)


def plain(sop_class: str) -> tuple[Context, ...]:
    return context(sop_class), context(sop_class, IMPLICIT)


MASKS = Emitted(kind=Kind.SEG, wanted=context(LABEL_MAP, RLE), decompressed=plain(LABEL_MAP), instead=plain(SEG))
MAPS = Emitted(kind=Kind.MAP, wanted=context(MAP), decompressed=plain(MAP))


def said(profile: Profile, wanted: Emitted, *taken: Context) -> DoctorFinding:
    """The one finding on one kind."""
    (finding,) = judge("pacs", profile, [wanted], frozenset(taken))
    return finding


def test_what_is_taken_as_it_is_is_named() -> None:
    """SOP class and transfer syntax, by their names."""
    finding = said(ARCHIVE, MASKS, MASKS.wanted)
    assert (finding.level, finding.detail) == ("good", "profile archive; it takes Label Map Segmentation Storage in RLE Lossless")


def test_a_peer_without_the_compression_gets_them_decompressed() -> None:
    """A warning: it works, and is not what was asked for."""
    finding = said(ARCHIVE, MASKS, *plain(LABEL_MAP), *plain(SEG))
    assert finding.level == "warning"
    assert finding.detail.endswith("objects of kind seg go in Explicit VR Little Endian")


def test_a_peer_without_label_maps_gets_binary_masks() -> None:
    """As a real Orthanc 1.10 answers."""
    finding = said(ARCHIVE, MASKS, *plain(SEG))
    assert finding.level == "warning"
    assert finding.detail == "takes no Label Map Segmentation Storage in RLE Lossless: binary masks and their report go instead"
    assert "1.2.840.10008.5.1.4.1.1.66.7" in finding.fix


def test_what_cannot_go_is_bad_where_deliveries_would_be_parked() -> None:
    """And a warning where the profile does without."""
    assert (said(VIEWER, MAPS).level, "are parked" in said(VIEWER, MAPS).detail) == ("bad", True)
    content = replace(VIEWER, not_taken=NotTaken.LEAVE_OUT)
    assert (said(content, MAPS).level, "are left out" in said(content, MAPS).detail) == ("warning", True)
    assert said(PACS, MASKS).level == "warning"


def test_implicit_vr_alone_is_nothing_to_mend() -> None:
    """The same object in the other uncompressed syntax."""
    finding = said(VIEWER, MAPS, context(MAP, IMPLICIT))
    assert (finding.level, finding.fix) == ("good", "")
