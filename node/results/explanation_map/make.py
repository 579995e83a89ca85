"""Explanation of a classifier's answer as a Parametric Map of one frame, pixel on pixel with the radiograph that it explains (PS3.3 A.75).

A projection has no place in the patient. The map's frame of reference is therefore its own and relative to no patient: plane position and
orientation, which are required only where it is (A.75.5), are absent, and no viewer can lay the map into a volume. Pixels have a size where
the radiograph is calibrated; that on the detector is not the patient's (PS3.3 10.7.1.3).
"""

from collections.abc import Mapping
from dataclasses import replace

from highdicom.pm import ImageFlavorValues
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from inference.codes import NO_UNITS
from inference.findings import Explanation
from inference.imaging.subject import Images
from node.domain.profile import Kind, Language
from node.results.identity import ResultIdentity, encoded, identify, stamp, uid_within
from node.results.kind import Making
from node.results.normalise import CHARACTER_SET, decimal
from node.results.page.words import PAGE_WORDS
from node.results.parametric_map.make import LONGEST_LO, anatomy, float_pixels, library_map, mapping_of, window_of
from node.results.port import Encoded, Encoding
from node.results.sources import Sources, common_references, instances, reference

CONTENT_LABEL = "EXPLANATION"
NO_PLACE: Mapping[Language, str] = {Language.ENGLISH: "no location", Language.CHINESE: "不表示病变部位"}
"""Ends the content description of every map."""
_PARTS: Mapping[Language, str] = {Language.ENGLISH: ", parts of the log odds", Language.CHINESE: "，对数优势的组成部分"}
"""What values are, behind their label."""
_SEPARATORS: Mapping[Language, tuple[str, str]] = {Language.ENGLISH: (", ", ": "), Language.CHINESE: ("，", "：")}

_IN_STACK, _FRAME_CONTENT = 0x00209057, 0x00209111


def make(making: Making) -> list[Encoded]:
    """One Parametric Map in a series of its own for each explanation, where a profile wants them."""
    encoding, sources = making.encoding, making.sources
    if not any(Kind.EXPLANATION_MAP in profile.kinds for profile in encoding.profiles):
        return []
    made = []
    for one in encoding.findings.explanations:
        identity = identify(
            encoding, sources, Kind.EXPLANATION_MAP, f"explanation, {NO_PLACE[Language.ENGLISH]}, {one.label}", label=one.label
        )
        values = one.values[None]
        made.append(encoded(Kind.EXPLANATION_MAP, explanation_map(encoding, sources, one, identity), identity, pixels=float_pixels(values)))
    return made


def description_of(one: Explanation, language: Language) -> str:
    """Method, finding, and that it is no place: "Grad-CAM, Pneumonia: no location"."""
    words, (comma, colon) = PAGE_WORDS[language], _SEPARATORS[language]
    ending = f"{colon}{NO_PLACE[language]}"
    return f"{words.label(one.label)}{comma}{words.term(one.finding)}"[: LONGEST_LO - len(ending)] + ending


def explanation_map(encoding: Encoding, sources: Sources, one: Explanation, identity: ResultIdentity) -> Dataset:
    """Encode one map but for its values."""
    assert isinstance(encoding.subject, Images), "the gate lets explanations of single images pass alone"
    source = sources.slices[one.image]
    image = encoding.subject.images[one.image]
    plane = _stand_in(encoding, sources, one)
    label = PAGE_WORDS[encoding.language].label(one.label)
    mapping = mapping_of(one.values, one.quantity, NO_UNITS, label, f"{label}{_PARTS[encoding.language]}")
    made = library_map(
        encoding,
        identity,
        plane,
        mapping,
        window_of(one.values),
        label=CONTENT_LABEL,
        description=description_of(one, encoding.language),
        flavor=ImageFlavorValues.STATIC,
    )
    made.PositionReferenceIndicator = ""
    _without_place(made)
    if image.calibrated and image.spacing_mm is not None:
        made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [decimal(mm) for mm in image.spacing_mm]
    frame = made.PerFrameFunctionalGroupsSequence[0]
    true = reference(source)
    true.PurposeOfReferenceCodeSequence = frame.DerivationImageSequence[0].SourceImageSequence[0].PurposeOfReferenceCodeSequence
    frame.DerivationImageSequence[0].SourceImageSequence = [true]
    itself = (source.sop_class_uid, source.sop_instance_uid)
    made.SourceImageSequence = instances([itself])
    common_references(made, sources, [replace(series, instances=(itself,)) for series in sources.series if itself in series.instances])
    made.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy(encoding, sources)]
    stamp(made, encoding, sources, identity)
    return made


def _stand_in(encoding: Encoding, sources: Sources, one: Explanation) -> Dataset:
    """The radiograph as the library wants to see a source image: with a place, which is taken out again."""
    plane = Dataset(sources.base)
    plane.SpecificCharacterSet = CHARACTER_SET
    plane.SOPClassUID, plane.SOPInstanceUID = MRImageStorage, "2.25.1"
    plane.FrameOfReferenceUID = uid_within(encoding, "frame of reference", one.label, str(one.image))
    plane.PositionReferenceIndicator = ""
    plane.Rows, plane.Columns = one.values.shape
    plane.PixelSpacing = ["1", "1"]
    plane.SliceThickness, plane.ImagePositionPatient, plane.ImageOrientationPatient = "1", [0, 0, 0], [1, 0, 0, 0, 1, 0]
    return plane


def _without_place(made: Dataset) -> None:
    """Take out what the library made of the stand-in's place and size; the one frame is told by its number in a stack of one."""
    shared, frame = made.SharedFunctionalGroupsSequence[0], made.PerFrameFunctionalGroupsSequence[0]
    for group in (shared, frame):
        for keyword in ("PlanePositionSequence", "PlaneOrientationSequence"):
            group.pop(keyword, None)
    measures = shared.PixelMeasuresSequence[0]
    for keyword in ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"):
        measures.pop(keyword, None)
    made.pop("DimensionOrganizationType", None)
    index = made.DimensionIndexSequence[0]
    index.DimensionIndexPointer, index.FunctionalGroupPointer = _IN_STACK, _FRAME_CONTENT
    index.DimensionDescriptionLabel = "In-Stack Position Number"
    made.DimensionIndexSequence = [index]
    content = frame.FrameContentSequence[0]
    content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = "1", 1, [1]
