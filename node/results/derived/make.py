"""Derived images as a series of their own, of the same SOP class as what they were made from (PS3.3 C.7.6.1.1.2, C.12.4).

For classic CT, MR and PET one instance a slice, all of a series written at once; of an enhanced CT or MR source one multi-frame instance of
the same class (PS3.3 A.36, A.38). A derived image need not say how it was acquired (those attributes are required of ORIGINAL and MIXED
ones): the source, which every frame refers to, says it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import BaseTag
from pydicom.uid import UID, EnhancedCTImageStorage, EnhancedMRImageStorage

from inference.codes import ANATOMICAL_STRUCTURE, Code
from inference.findings import DerivedImage
from node.dicom.elements import element_head
from node.domain.profile import Kind
from node.results.derived.image import Stored, describe, pixel_module, refer, show, source_item, stored
from node.results.derived.source import CLASSIC, Grid, Origin, acquired, grid_of, origin_of, source_slices
from node.results.identity import ResultIdentity, encoded, identify, uid_within
from node.results.kind import Making
from node.results.normalise import decimal, items_of, text
from node.results.part10 import file_head, named_series
from node.results.pixels import PIXEL_DATA
from node.results.port import Encoded, Encoding, NotDerivable
from node.results.sources import Sources, evidence, functional_group, item

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
    kind = _enhanced_image_type(origin)
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


def _enhanced_image_type(origin: Origin) -> list[str]:
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


_UTF_8 = ["utf_8"]


def instances_of(template: Dataset, own: Sequence[Dataset], pixels: NDArray[Any]) -> Iterator[bytearray]:
    """A Part 10 file for every slice, which has no name yet.

    Parameters
    ----------
    template
        What all instances have in common.
    own
        What each has of its own; it replaces what the template says.
    pixels
        (Z, Y, X) 16-bit values, little endian.
    """
    shared, head = _elements(template), file_head(template.SOPClassUID)
    for z, mine in enumerate(own):
        elements = {**shared, **_elements(mine)}
        plane = pixels[z].tobytes()
        body = b"".join(elements[tag] for tag in sorted(elements))
        yield bytearray().join((head, body, element_head(PIXEL_DATA, b"OW", len(plane)), plane))


def _elements(dataset: Dataset) -> dict[BaseTag, bytes]:
    """Every element as it is written, by its tag."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    written = {}
    for tag in sorted(dataset.keys()):
        start = buffer.tell()
        write_data_element(buffer, dataset[tag], _UTF_8)
        written[tag] = buffer.getvalue()[start:]
    return written


def make(making: Making) -> list[Encoded]:
    """Every derived image as a series of its own.

    Raises
    ------
    NotDerivable
        The source is of a class that no derived image can be of, or the new grid is sheared.
    """
    encoding, sources = making.encoding, making.sources
    return [one for image in encoding.findings.derived for one in _series(encoding, sources, image)]


def _series(encoding: Encoding, sources: Sources, image: DerivedImage) -> Iterable[Encoded]:
    origin = origin_of(encoding, sources, image)
    identity = identify(encoding, sources, Kind.DERIVED, image.label, label=image.label)
    if origin.sop_class_uid in ENHANCED:
        return [enhanced_image(encoding, sources, image, origin, identity)]
    if origin.sop_class_uid not in CLASSIC:
        raise NotDerivable(
            f'"{image.label}" was made from images of the class {origin.sop_class_uid}: derived images are of the class of their source, '
            f"and of classic or enhanced CT and MR, and of classic PET, alone"
        )
    return _classic(encoding, sources, image, origin, identity)


def _classic(encoding: Encoding, sources: Sources, image: DerivedImage, origin: Origin, identity: ResultIdentity) -> list[Encoded]:
    modality = CLASSIC[UID(origin.sop_class_uid)]
    values, grid = stored(image.voxels), grid_of(encoding, image)
    depth = image.voxels.shape[0]
    of_source = acquired(origin.headers, modality, depth, same_grid=origin.same_grid)
    template = _template(encoding, sources, image, origin, identity, modality, values, grid)
    kept = {keyword: template[keyword] for keyword in ("SeriesDate", "SeriesTime")}
    template.update(of_source.shared)
    _measures(template, image, origin, grid, modality)
    if modality != "PT":
        template.update({element.tag: element for element in kept.values()})
    else:
        template.NumberOfSlices = depth
    numbers, normal = _numbers(origin, grid), np.cross(grid.row, grid.column)
    of_slices = source_slices(encoding, image, origin)
    own = []
    for z in range(depth):
        slice_ = of_source.each[z]
        slice_.InstanceNumber = numbers[z]
        slice_.ImagePositionPatient = [decimal(float(mm)) for mm in grid.positions[z]]
        slice_.SliceLocation = decimal(round(float(grid.positions[z] @ normal), 4))
        slice_.SourceImageSequence = [source_item(source) for source in of_slices[z]]
        refer(slice_, sources, origin, of_slices[z])
        if modality == "PT":
            slice_.ImageIndex = z + 1
        own.append(slice_)
    return [
        Encoded(
            kind=Kind.DERIVED,
            sop_instance_uid=one.sop_instance_uid,
            sop_class_uid=origin.sop_class_uid,
            series_instance_uid=one.series_instance_uid,
            description=identity.description,
            data=one.data,
            part=identity.part,
            label=identity.label,
        )
        for one in named_series([*instances_of(template, own, values.pixels)])
    ]


def _template(
    encoding: Encoding,
    sources: Sources,
    image: DerivedImage,
    origin: Origin,
    identity: ResultIdentity,
    modality: str,
    values: Stored,
    grid: Grid,
) -> Dataset:
    """All that the instances of the series share."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID, made.Modality = origin.sop_class_uid, identity.sop_instance_uid, modality
    made.ImageType = _image_type(origin.headers[0], modality)
    describe(made, encoding, sources, image, origin, identity, values.slope)
    made.PositionReferenceIndicator = text(sources.first, "PositionReferenceIndicator")
    if modality != "PT":
        # of PET the patient orientation code sequence says it, and then this must not (PS3.3 C.7.3.1.1.2)
        made.PatientPosition = text(sources.first, "PatientPosition")
    made.ImageOrientationPatient = [decimal(float(cosine)) for cosine in (*grid.row, *grid.column)]
    pixel_module(made, values)
    if modality != "MR" or values.slope != "1":
        made.RescaleIntercept, made.RescaleSlope = "0", values.slope
    if modality != "PT" and "RescaleSlope" in made:
        made.RescaleType = "HU" if modality == "CT" else "US"
    return made


def _image_type(header: Dataset, modality: str) -> list[str]:
    """Made after the examination: SECONDARY (PS3.3 C.7.6.1.1.2); of PET, value 2 has PRIMARY alone (C.8.9.4). Value 3 is the source's."""
    if modality == "PT":
        return ["DERIVED", "PRIMARY"]
    characteristic = text(header, "ImageType").split(", ")[2:3]
    return ["DERIVED", "SECONDARY", *(characteristic or ["AXIAL" if modality == "CT" else "OTHER"])]


def _measures(template: Dataset, image: DerivedImage, origin: Origin, grid: Grid, modality: str) -> None:
    """Spacing from the grid; thickness and window from the source where they still hold."""
    z, y, x = (decimal(float(f"{mm:.10g}")) for mm in grid.spacing_mm)
    template.PixelSpacing = [y, x]
    if not origin.same_grid or not text(template, "SliceThickness"):
        template.SliceThickness = z
    if modality == "MR":
        template.SpacingBetweenSlices = z
    centre, width = template.get("WindowCenter"), template.get("WindowWidth")
    low, high = (float(bound) for bound in np.percentile(image.voxels[::2, ::3, ::3], (1, 99)))
    fits = False
    if centre is not None and width is not None:
        pairs = list(zip(np.atleast_1d(centre).astype(float), np.atleast_1d(width).astype(float), strict=False))
        fits = bool(pairs) and all(c - w / 2 < high and c + w / 2 > low for c, w in pairs)
    if not fits:
        show(template, image.voxels)
        if "WindowCenterWidthExplanation" in template:
            del template.WindowCenterWidthExplanation


def _numbers(origin: Origin, grid: Grid) -> list[int]:
    """Instance numbers: the source's own on its own grid; else counted the way in which the source's run along the patient."""
    said = [text(header, "InstanceNumber") for header in origin.headers]
    counted = list(range(1, len(grid.positions) + 1))
    if len({*said}) != len(said) or not all(number.lstrip("-").isdigit() for number in said):
        return counted
    numbers = [int(number) for number in said]
    if origin.same_grid:
        return numbers
    step = origin.volume.affine[:3, 0] * (1 if numbers[-1] >= numbers[0] else -1)
    return counted if float(step @ (grid.positions[-1] - grid.positions[0])) >= 0 else counted[::-1]
