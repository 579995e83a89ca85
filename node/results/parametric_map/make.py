"""A map over the volume as a Parametric Map of 32-bit floating point values, on the source grid (PS3.3 A.75).

The information object has no place for an algorithm identification: contributing equipment and content description name the algorithm.
"""

from dataclasses import dataclass

import highdicom as hd
import numpy as np
from highdicom.pm import DerivedPixelContrastValues, ImageFlavorValues, ParametricMap, RealWorldValueMapping
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.codes import ANATOMICAL_STRUCTURE, BOTH_SIDES, LEFT, RIGHT, SALIENCY, Code
from node.domain.profile import Kind
from node.results.identity import MANUFACTURER, ResultIdentity, encoded, identify, software_versions, stamp, uid_within
from node.results.kind import Making
from node.results.normalise import items_of, text
from node.results.page.words import PAGE_WORDS
from node.results.pixels import FLOAT_PIXEL_DATA, Pixels
from node.results.port import Encoded, Encoding
from node.results.segmentation.frames import evenly_spaced
from node.results.sources import Sources, common_references, functional_group, instances, item, reference, without_distance

LONGEST_LUT_LABEL, LONGEST_LO = 16, 64

_WINDOW_PERCENTILES = (1.0, 99.5)
_SIDES = {LEFT: "L", RIGHT: "R", BOTH_SIDES: "B"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VolumeMap:
    """What a map over the volume holds, (Z, Y, X) float32 on its grid, and what is said of it.

    Attributes
    ----------
    label
        Of the map, for people, in the language of the objects.
    content_label, description
        Content Label, and Content Description.
    kind
        Whose object it is.
    """

    values: NDArray[np.float32]
    quantity: Code
    unit: Code
    label: str
    content_label: str
    description: str
    kind: Kind


def make(making: Making) -> list[Encoded]:
    """One Parametric Map in a series of its own for each map that was found."""
    encoding, sources = making.encoding, making.sources
    made = []
    for saliency in encoding.findings.saliencies:
        identity = identify(encoding, sources, Kind.MAP, f"map {saliency.label}", label=saliency.label)
        label = PAGE_WORDS[encoding.language].label(saliency.label)
        shown = VolumeMap(
            values=saliency.values,
            quantity=saliency.quantity,
            unit=saliency.unit,
            label=label,
            content_label=_content_label(saliency.quantity),
            description=label,
            kind=Kind.MAP,
        )
        made.append(encoded(Kind.MAP, volume_map(encoding, sources, shown, identity), identity, pixels=float_pixels(saliency.values)))
    return made


def volume_map(encoding: Encoding, sources: Sources, shown: VolumeMap, identity: ResultIdentity) -> Dataset:
    """Encode one map but for its values: a frame for every slice of the volume, in its order, also where it is 0.

    OHIF's volume viewport lays the frames of a map one after the other over the volume that it built of the source's slices, sorted along
    row direction x column direction, whatever positions the frames state: a frame left out would shift all that follow, and frames in the
    library's order (against the normal) would stand on their heads. The volume's own order is the viewer's. The library makes the object
    for one frame; the others are put in place here.
    """
    words = PAGE_WORDS[encoding.language].of_quantity(shown.label, shown.quantity)
    mapping = mapping_of(shown.values, shown.quantity, shown.unit, shown.label, words)
    said = {"label": shown.content_label, "description": shown.description}
    made = library_map(encoding, identity, sources.planes[0], mapping, window_of(shown.values), **said, kind=shown.kind)
    _frames(made, sources)
    without_distance(made, encoding.volume)
    made.SourceImageSequence = instances(sources.instances)
    common_references(made, sources, sources.series)
    made.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy(encoding, sources)]
    stamp(made, encoding, sources, identity)
    return made


def _content_label(quantity: Code) -> str:
    return "SALIENCY_MAP" if quantity == SALIENCY else "PARAMETRIC_MAP"


def library_map(
    encoding: Encoding,
    identity: ResultIdentity,
    plane: Dataset,
    mapping: RealWorldValueMapping,
    window: hd.VOILUTTransformation,
    *,
    label: str,
    description: str,
    flavor: ImageFlavorValues = ImageFlavorValues.VOLUME,
    kind: Kind = Kind.MAP,
) -> Dataset:
    """The library's object for one frame over a source image, without its values."""
    made: Dataset = ParametricMap(
        source_images=[plane],
        pixel_array=np.zeros((1, plane.Rows, plane.Columns), dtype=np.float32),
        series_instance_uid=identity.series_instance_uid,
        series_number=identity.series_number,
        sop_instance_uid=identity.sop_instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=encoding.application.name,
        software_versions=software_versions(encoding),
        device_serial_number=encoding.model_digest[:16],
        # a map may show the contour of a face or not: nobody has looked
        contains_recognizable_visual_features=True,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[window],
        content_label=label,
        content_description=description[:LONGEST_LO],
        image_flavor=flavor,
        derived_pixel_contrast=DerivedPixelContrastValues.QUANTITY,
    )
    # Type 2: no person made it
    made.ContentCreatorName = ""
    # the library draws a random one
    organisation = uid_within(encoding, "dimension organization", kind)
    made.DimensionOrganizationSequence[0].DimensionOrganizationUID = organisation
    for index in made.DimensionIndexSequence:
        index.DimensionOrganizationUID = organisation
    del made.FloatPixelData
    return made


def mapping_of(values: NDArray[np.float32], quantity: Code, unit: Code, label: str, words: str) -> RealWorldValueMapping:
    """Stored values are real-world values: the identity, over the range that the map holds (PS3.3 C.7.6.16.2.11)."""
    return RealWorldValueMapping(
        lut_label=label[:LONGEST_LUT_LABEL],
        lut_explanation=words[:LONGEST_LO],
        unit=item(unit),
        value_range=(float(values.min()), float(values.max())),
        slope=1.0,
        intercept=0.0,
        quantity_definition=item(quantity),
    )


def window_of(values: NDArray[np.float32]) -> hd.VOILUTTransformation:
    """From nearly the least to nearly the greatest value that is not 0: most of a map is background."""
    sample = values[::2, ::3, ::3] if values.ndim == 3 else values
    spoken = sample[sample != 0]
    low, high = (float(bound) for bound in np.percentile(spoken, _WINDOW_PERCENTILES)) if spoken.size else (0.0, 1.0)
    low = min(low, 0.0)
    return hd.VOILUTTransformation(
        window_center=float(f"{(low + high) / 2:.6g}"),
        window_width=float(f"{max(high - low, 1e-6):.6g}"),
        # the others need a width of 1 at least (PS3.3 C.11.2.1.2)
        voi_lut_function=hd.VOILUTFunctionValues.LINEAR_EXACT,
    )


def float_pixels(values: NDArray[np.float32]) -> Pixels:
    def write(out: NDArray[np.uint8]) -> None:
        out.view("<f4").reshape(values.shape)[:] = values

    return Pixels(vr=b"OF", size=values.size * 4, write=write, tag=FLOAT_PIXEL_DATA)


def _frames(made: Dataset, sources: Sources) -> None:
    """A frame for each slice, made like the library's one, that refers to the slice's true source."""
    (form,) = made.PerFrameFunctionalGroupsSequence
    derived = form.DerivationImageSequence[0]
    purpose = derived.SourceImageSequence[0].PurposeOfReferenceCodeSequence
    frames = []
    for z, (plane, source) in enumerate(zip(sources.planes, sources.slices, strict=True)):
        frame, derivation, content, place = (Dataset() for _ in range(4))
        true = reference(source)
        true.PurposeOfReferenceCodeSequence = purpose
        derivation.SourceImageSequence, derivation.DerivationCodeSequence = [true], derived.DerivationCodeSequence
        content.DimensionIndexValues = [z + 1]
        place.ImagePositionPatient = plane.ImagePositionPatient
        frame.DerivationImageSequence, frame.FrameContentSequence, frame.PlanePositionSequence = [derivation], [content], [place]
        frames.append(frame)
    made.PerFrameFunctionalGroupsSequence = frames
    made.NumberOfFrames = len(frames)
    if evenly_spaced(sources.planes, np.arange(len(frames))):
        made.DimensionOrganizationType = "3D"


def anatomy(encoding: Encoding, sources: Sources) -> Dataset:
    """What is shown (PS3.3 C.7.6.16.2.8): where the findings looked, if they name one place; else what the source's frames say.

    dcmqi, by which 3D Slicer reads maps, ends without a word when the group is absent. Where nothing says which region it is, the code
    claims none.
    """
    findings = encoding.findings
    sites = {(one.finding_site, one.laterality) for one in findings.evaluations}
    sites |= {(one.finding_site, one.laterality) for one in findings.locations}
    sites |= {(one.finding_site, one.laterality) for one in findings.segments}
    region = Dataset()
    stated = functional_group(sources.first, sources.slices[0].frame, "FrameAnatomySequence")
    said = [*items_of(stated, "AnatomicRegionSequence")] if stated is not None else []
    site, laterality = next(iter(sites)) if len(sites) == 1 else (None, None)
    if site is None and stated is not None and said:
        region.AnatomicRegionSequence = [
            item(
                Code(str(said[0].get("CodeValue", "")), str(said[0].get("CodingSchemeDesignator", "")), str(said[0].get("CodeMeaning", "")))
            )
        ]
        region.FrameLaterality = text(stated, "FrameLaterality") or "U"
        return region
    region.AnatomicRegionSequence = [item(site or ANATOMICAL_STRUCTURE)]
    region.FrameLaterality = _SIDES.get(laterality, "U") if laterality else "U"
    return region
