"""In which forms segmentations exist: which are wanted, which can be made, and how each is compressed."""

from collections.abc import Sequence

from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from node.domain.profile import Form
from node.observe.events import event
from node.results.masks.segments import Numbered, overlap
from node.results.port import Encoding

LABEL_MAP_STORAGE = UID("1.2.840.10008.5.1.4.1.1.66.7")
"""Label Map Segmentation Storage (PS3.4 B.5), which the library's dictionary does not name."""

SYNTAXES = {
    Form.BINARY_DEFLATE: DeflatedExplicitVRLittleEndian,
    Form.LABELMAP_RLE: RLELossless,
    Form.LABELMAP_JPEG_LS: JPEGLSLossless,
    Form.LABELMAP_DEFLATE: DeflatedExplicitVRLittleEndian,
}
"""The transfer syntaxes of compressed forms; of all others it is Explicit VR Little Endian.

Deflated Image Frame Compression (1.2.840.10008.1.2.8.1) would leave the header readable, but neither DCMTK 3.6 nor Orthanc 1.10 nor the
library reads it; all three inflate whole data sets.
"""
LABEL_MAPS = frozenset({Form.LABELMAP, Form.LABELMAP_RLE, Form.LABELMAP_JPEG_LS, Form.LABELMAP_DEFLATE})


def forms(encoding: Encoding, found: Sequence[Numbered]) -> list[Form]:
    """The forms to make: BINARY where anything was found, and what the profiles ask for besides.

    Voxels of several segments have no place in a label map: there, BINARY is all that can be made, and an event says so.
    """
    asked = {profile.form for profile in encoding.profiles} - {None, Form.BINARY}
    if not found:
        described = any(profile.empty_masks and profile.form is not None for profile in encoding.profiles)
        return [Form.EMPTY] if described and encoding.findings.segments else []
    besides = [form for form in Form if form in asked]
    if LABEL_MAPS.intersection(besides) and overlap(found):
        for form in sorted(LABEL_MAPS.intersection(besides)):
            event("results.form_left_out", application=encoding.application.name, form=form.value, reason="segments overlap")
        besides = [form for form in besides if form not in LABEL_MAPS]
    return [Form.BINARY, *besides]
