"""The summary page as an RGB Secondary Capture: what every archive and every viewer can show (PS3.3 A.8.1)."""

from collections.abc import Callable

import highdicom as hd
import numpy as np
import PIL
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from inference.codes import Code
from node.results.codes import item
from node.results.faces import shown
from node.results.identity import MANUFACTURER, Identity, identify, local_time, model_names, software_versions, stamp
from node.results.normalise import text
from node.results.panels import key_slices
from node.results.picture import NOTICE, Page, draw_page
from node.results.planes import Sources, reference
from node.results.port import Encoding

SOURCE_FOR_PROCESSING = Code("121322", "DCM", "Source image for image processing operation")


def summary_identity(encoding: Encoding, sources: Sources) -> Identity:
    """The page's identity; its pixels depend on Pillow and the font in it, so its UID does too."""
    return identify(encoding, sources, "sc", "summary", f"pillow {PIL.__version__}")


def drawing(encoding: Encoding, sources: Sources) -> Callable[[], NDArray[np.uint8]]:
    """What draws the page, (row, column, RGB); it may be called in another thread: the headers have been read when it is returned."""
    page = page_of(encoding, sources)
    return lambda: np.asarray(draw_page(encoding.volume, encoding.findings, page))


def summary(encoding: Encoding, sources: Sources, pixels: NDArray[np.uint8], identity: Identity) -> Dataset:
    """Encode the page as it was drawn.

    The patient stands in the header and is not burned into the pixels.
    """
    patient = sources.entities
    made: Dataset = hd.SOPClass(
        study_instance_uid=encoding.subject.study_instance_uid,
        series_instance_uid=identity.series_instance_uid,
        series_number=identity.series_number,
        sop_instance_uid=identity.sop_instance_uid,
        sop_class_uid=SecondaryCaptureImageStorage,
        instance_number=1,
        modality="OT",
        manufacturer=MANUFACTURER,
        manufacturer_model_name=encoding.application.name,
        software_versions=software_versions(encoding),
        device_serial_number=encoding.model_digest[:16],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        patient_id=patient.PatientID,
        patient_name=patient.PatientName,
    )
    made.ConversionType = "WSD"
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.PatientOrientation = None
    made.BurnedInAnnotation = "NO"
    made.DerivationDescription = "Summary page: key slices with contours, and measurements"
    made.ImageComments = f"{NOTICE}; preliminary, not verified"
    made.SourceImageSequence = [_source(sources, z) for z in key_slices(encoding.volume, encoding.findings.segments)]
    made.update(_lossy(sources))
    made.Rows, made.Columns = pixels.shape[:2]
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.add_new("PixelData", "OB", pixels.tobytes())
    stamp(made, encoding, sources, identity)
    return made


def page_of(encoding: Encoding, sources: Sources) -> Page:
    """The words on the page: application and model, the series they are about, and when."""
    application, volume, first = encoding.application, encoding.volume, sources.first
    z, y, x = volume.voxels.shape
    dz, dy, dx = volume.spacing_mm
    number, date = text(first, "SeriesNumber"), text(first, "SeriesDate") or text(first, "StudyDate")
    description = shown(text(first, "SeriesDescription") or text(first, "ProtocolName")) or "(series without description)"
    about = [f"series {number}" if number else "", volume.modality, f"{date[:4]}-{date[4:6]}-{date[6:]}" if date else "", f"{z} slices"]
    return Page(
        title=application.title,
        subtitle=f"{application.name} {application.version} · {application.manufacturer}",
        source=" · ".join(part for part in (description, *about) if part),
        provenance=(
            ("model", model_names(encoding)),
            ("software", ", ".join(software_versions(encoding)[1:])),
            ("images", f"{x} × {y} × {z} voxels of {dx:.2f} × {dy:.2f} × {dz:.2f} mm"),
            ("analysed", local_time(encoding, sources)),
        ),
        image_names=[_image_name(sources, z) for z in range(z)],
        notice=NOTICE if application.qualification == "RESEARCH" else f"{application.qualification} - PRELIMINARY RESULT",
    )


def _image_name(sources: Sources, z: int) -> str:
    """What a viewer writes beside the slice: its instance number, or its frame."""
    source = sources.slices[z]
    if source.frame is not None:
        return f"frame {source.frame}"
    number = text(sources.headers[source.sop_instance_uid], "InstanceNumber")
    return f"image {number}" if number else f"slice {z + 1} of {len(sources.slices)}"


def _source(sources: Sources, z: int) -> Dataset:
    referenced = reference(sources.slices[z])
    referenced.PurposeOfReferenceCodeSequence = [item(SOURCE_FOR_PROCESSING)]
    return referenced


def _lossy(sources: Sources) -> Dataset:
    kept = Dataset()
    for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if keyword in sources.base:
            kept.add(sources.base[keyword])
    return kept
