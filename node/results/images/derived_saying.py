"""How a derived image came to be, in codes and in words: what derived images of every class say alike."""

from collections.abc import Sequence
from dataclasses import replace

from pydicom.dataset import Dataset

from inference.codes import Code
from inference.findings import DerivedImage
from inference.imaging.volume import SliceSource
from node.results.codes import item
from node.results.identity import Identity, stamp
from node.results.images.derived_origin import Origin
from node.results.images.derived_values import Stored
from node.results.images.references import common_references
from node.results.normalise import text
from node.results.page.summary import SOURCE_FOR_PROCESSING
from node.results.planes import Sources, lossy_history, reference
from node.results.port import Encoding

ACQUISITION_EQUIPMENT = Code("109101", "DCM", "Acquisition Equipment")
LONGEST_ST = 1024


def describe(
    made: Dataset, encoding: Encoding, sources: Sources, image: DerivedImage, origin: Origin, identity: Identity, slope: str
) -> None:
    """Identity, equipment, and how the image came to be: what derived images of every class say."""
    made.SeriesInstanceUID, made.SeriesNumber = identity.series_instance_uid, identity.series_number
    made.FrameOfReferenceUID = encoding.volume.frame_of_reference_uid
    burned_in = {text(header, "BurnedInAnnotation") for header in origin.headers}
    if "YES" in burned_in or burned_in == {"NO"}:
        made.BurnedInAnnotation = max(burned_in)
    made.DerivationDescription = _description(image, origin, slope)
    made.DerivationCodeSequence = [item(image.derivation)]
    made.update(lossy_history(origin.headers))
    stamp(made, encoding, sources, identity)
    made.ContributingEquipmentSequence = [*made.ContributingEquipmentSequence, *_scanner(origin.headers[0])]


def _description(image: DerivedImage, origin: Origin, slope: str) -> str:
    """In words: what was done, to what, and how finely it is stored."""
    first = origin.headers[0]
    date = text(first, "StudyDate")
    of = f"the prior images of {date or 'unknown date'}" if origin.of_prior else "the images"
    exact = "whole values, stored exactly" if slope == "1" else f"values stored in steps of {slope}, each off by half a step at most"
    return f"{image.label}: {image.derivation.meaning.lower()} of {of} of series {text(first, 'SeriesNumber') or '?'}; {exact}"[:LONGEST_ST]


def pixel_module(made: Dataset, values: Stored) -> None:
    """Image Pixel (PS3.3 C.7.6.3), but for the pixels."""
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = values.pixels.shape[1:]
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, int(values.signed)


def refer(made: Dataset, sources: Sources, origin: Origin, slices: Sequence[SliceSource]) -> None:
    """Write the Common Instance Reference module for the source instances that one derived instance refers to, and no others."""
    used = tuple(dict.fromkeys((one.sop_class_uid, one.sop_instance_uid) for one in slices))
    series = next(one for one in sources.series if one.series_instance_uid == origin.volume.series_instance_uid)
    common_references(made, sources, [replace(series, instances=used)])


def source_item(source: SliceSource) -> Dataset:
    """A source image with what it was for."""
    made = reference(source)
    made.PurposeOfReferenceCodeSequence = [item(SOURCE_FOR_PROCESSING)]
    return made


def _scanner(header: Dataset) -> list[Dataset]:
    """What acquired the source (PS3.3 C.12.1.1.5): the equipment of the derived image is the node."""
    made = Dataset()
    for keyword in ("Manufacturer", "ManufacturerModelName", "InstitutionName", "StationName", "DeviceSerialNumber", "SoftwareVersions"):
        if value := text(header, keyword):
            setattr(made, keyword, value.split(", ") if keyword == "SoftwareVersions" else value)
    if "Manufacturer" not in made:
        return []
    made.PurposeOfReferenceCodeSequence = [item(ACQUISITION_EQUIPMENT)]
    return [made]
