"""Derived images of an enhanced CT or MR source: one multi-frame instance of the same class (PS3.3 A.36, A.38).

A derived image need not say how it was acquired (those attributes are required of ORIGINAL and MIXED ones): the source, which every frame
refers to, says it.
"""

from pydicom.dataset import Dataset
from pydicom.uid import UID, EnhancedCTImageStorage, EnhancedMRImageStorage

from inference.codes import ANATOMICAL_STRUCTURE, Code
from inference.findings import DerivedImage
from node.domain.profile import Kind
from node.results.derived.image import Stored, describe, pixel_module, refer, show, source_item, stored
from node.results.derived.source import Grid, Origin, grid_of, source_slices
from node.results.identity import ResultIdentity, encoded, uid_within
from node.results.items import evidence, item
from node.results.normalise import decimal, items_of, text
from node.results.port import Encoded, Encoding
from node.results.sources import Sources, functional_group

ENHANCED = {EnhancedCTImageStorage: "CT", EnhancedMRImageStorage: "MR"}

_FRAME_TYPE = {"CT": "CTImageFrameTypeSequence", "MR": "MRImageFrameTypeSequence"}
_CONTRASTS = ("ADC", "DIFFUSION", "TRACE", "FA", "NONE", "SUBTRACTION", "PERFUSION", "QUANTITY", "AVERAGE", "ADDITION", "FILTERED")
"""Value 4 of the Image Type that a derived image may take over (PS3.3 C.8.16.1.4)."""


def enhanced_image(encoding: Encoding, sources: Sources, image: DerivedImage, origin: Origin, identity: ResultIdentity) -> Encoded:
    """Encode one derived image as one instance, a frame a slice."""
    modality = ENHANCED[UID(origin.sop_class_uid)]
    values, grid = stored(image.voxels), grid_of(encoding, image)
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID, made.Modality = origin.sop_class_uid, identity.sop_instance_uid, modality
    made.InstanceNumber, made.NumberOfFrames = 1, image.voxels.shape[0]
    kind = _image_type(origin)
    made.ImageType = kind
    describe(made, encoding, sources, image, origin, identity, values.slope)
    if "BurnedInAnnotation" not in made:
        # these classes allow nothing else (PS3.3 C.8.13.1, C.8.15.2): a source that does not say it means it
        made.BurnedInAnnotation = "NO"
    made.PositionReferenceIndicator = text(sources.first, "PositionReferenceIndicator")
    made.PatientPosition = text(sources.first, "PatientPosition")
    for keyword in ("BodyPartExamined", "ProtocolName", "MagneticFieldStrength", "ApplicableSafetyStandardAgency"):
        if value := text(origin.headers[0], keyword):
            setattr(made, keyword, value)
    series = [one for one in sources.series if one.series_instance_uid == origin.volume.series_instance_uid]
    made.SourceImageEvidenceSequence = evidence(series)
    refer(made, sources, origin, origin.volume.sources)
    pixel_module(made, values)
    made.PresentationLUTShape, made.AcquisitionContextSequence = "IDENTITY", []
    _description(made, modality)
    organisation = Dataset()
    organisation.DimensionOrganizationUID = uid_within(encoding, "dimension organization", Kind.DERIVED)
    made.DimensionOrganizationSequence, made.DimensionOrganizationType = [organisation], "3D"
    made.DimensionIndexSequence = [_index(organisation.DimensionOrganizationUID)]
    made.SharedFunctionalGroupsSequence = [_shared(image, origin, grid, values, modality, kind)]
    # said of every frame, and in these classes not of the whole
    words = str(made.DerivationDescription)
    del made.DerivationDescription, made.DerivationCodeSequence
    made.PerFrameFunctionalGroupsSequence = _frames(encoding, image, origin, grid, words)
    made.add_new("PixelData", "OW", values.pixels.tobytes())
    return encoded(Kind.DERIVED, made, identity)


def _image_type(origin: Origin) -> list[str]:
    """DERIVED; value 2 has PRIMARY alone in these classes (PS3.3 C.8.16.1.2); flavour and contrast are the source's."""
    said = text(origin.headers[0], "ImageType").split(", ")
    contrast = said[3] if len(said) > 3 and said[3] in _CONTRASTS else "NONE"
    return ["DERIVED", "PRIMARY", "VOLUME", contrast]


def _description(made: Dataset, modality: str) -> None:
    """The attributes that CT and MR image description have in common (PS3.3 C.8.16.2)."""
    made.PixelPresentation, made.VolumetricProperties, made.VolumeBasedCalculationTechnique = "MONOCHROME", "VOLUME", "NONE"
    if modality == "MR":
        made.ComplexImageComponent, made.AcquisitionContrast = "MAGNITUDE", "UNKNOWN"


def _index(organisation: str) -> Dataset:
    made = Dataset()
    made.DimensionOrganizationUID = organisation
    made.DimensionIndexPointer, made.FunctionalGroupPointer = 0x00200032, 0x00209113
    made.DimensionDescriptionLabel = "ImagePositionPatient"
    return made


def _shared(image: DerivedImage, origin: Origin, grid: Grid, values: Stored, modality: str, kind: list[str]) -> Dataset:
    made, measures, orientation, transform, shown, frame_type = (Dataset() for _ in range(6))
    z, y, x = (decimal(float(f"{mm:.10g}")) for mm in grid.spacing_mm)
    measures.PixelSpacing, measures.SliceThickness, measures.SpacingBetweenSlices = [y, x], z, z
    orientation.ImageOrientationPatient = [decimal(float(cosine)) for cosine in (*grid.row, *grid.column)]
    transform.RescaleIntercept, transform.RescaleSlope = "0", values.slope
    transform.RescaleType = "HU" if modality == "CT" else "US"
    show(shown, image.voxels)
    frame_type.FrameType = kind
    _description(frame_type, modality)
    made.PixelMeasuresSequence, made.PlaneOrientationSequence = [measures], [orientation]
    made.PixelValueTransformationSequence, made.FrameVOILUTSequence = [transform], [shown]
    made.FrameAnatomySequence = [_anatomy(origin)]
    setattr(made, _FRAME_TYPE[modality], [frame_type])
    return made


def _frames(encoding: Encoding, image: DerivedImage, origin: Origin, grid: Grid, words: str) -> list[Dataset]:
    frames = []
    for z, of_slice in enumerate(source_slices(encoding, image, origin)):
        frame, content, place, derivation = (Dataset() for _ in range(4))
        content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = "1", z + 1, [z + 1]
        place.ImagePositionPatient = [decimal(float(mm)) for mm in grid.positions[z]]
        derivation.DerivationDescription, derivation.DerivationCodeSequence = words, [item(image.derivation)]
        derivation.SourceImageSequence = [source_item(source) for source in of_slice]
        frame.FrameContentSequence, frame.PlanePositionSequence = [content], [place]
        frame.DerivationImageSequence = [derivation]
        frames.append(frame)
    return frames


def _anatomy(origin: Origin) -> Dataset:
    """As the source's frames say; where they say nothing, a code that claims nothing."""
    made = Dataset()
    stated = functional_group(origin.headers[0], origin.volume.sources[0].frame, "FrameAnatomySequence")
    said = [*items_of(stated, "AnatomicRegionSequence")] if stated is not None else []
    region = ANATOMICAL_STRUCTURE
    if stated is not None and said:
        value, scheme, meaning = (text(said[0], keyword) for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"))
        region = Code(value, scheme, meaning) if value and scheme and meaning else region
    made.AnatomicRegionSequence = [item(region)]
    made.FrameLaterality = (text(stated, "FrameLaterality") if stated is not None else "") or "U"
    return made
