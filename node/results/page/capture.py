"""A page as an RGB Secondary Capture: what every archive and every viewer can show (PS3.3 A.8.1)."""

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from inference.codes import Code
from inference.imaging.subject import volume_of
from node.domain.profile import Language
from node.results.identity import MANUFACTURER, ResultIdentity, local_time, model_names, software_versions, stamp
from node.results.normalise import text
from node.results.page.naming import names_of_images, series_date, series_description
from node.results.page.picture import NOTICE, Drawn, Page, counted, extent
from node.results.page.words import ENGLISH_PAGE, PAGE_WORDS, PageWords
from node.results.port import Encoding
from node.results.reports.absent import Sought, not_found
from node.results.sources import Sources, item, reference

_STANDING = {
    Language.ENGLISH: f"{NOTICE}; preliminary, not verified",
    Language.CHINESE: "研究结果，不得用于诊断；初步结果，未经核实",
}
"""What any page is worth, in the header."""
SOURCE_FOR_PROCESSING = Code("121322", "DCM", "Source image for image processing operation")


def captured(encoding: Encoding, sources: Sources, page: Drawn, identity: ResultIdentity, words: str) -> Dataset:
    """A page as a Secondary Capture; `words` say what is on it.

    The patient stands in the header and is not burned into the pixels.
    """
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
    )
    made.ConversionType = "WSD"
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.PatientOrientation = None
    burned_in = _burned_in(encoding, sources)
    if burned_in:
        made.BurnedInAnnotation = burned_in
    made.DerivationDescription = words
    made.ImageComments = _STANDING[encoding.language]
    made.SourceImageSequence = [_source(sources, z) for z in page.images]
    made.update(_lossy(sources))
    pixels = np.asarray(page.image)
    made.Rows, made.Columns = pixels.shape[:2]
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.add_new("PixelData", "OB", pixels.tobytes())
    stamp(made, encoding, sources, identity)
    return made


def page_of(encoding: Encoding, sources: Sources) -> Page:
    """The words on the page: application and model, the series they are about, and when."""
    words = PAGE_WORDS[encoding.language]
    application, subject = encoding.application, encoding.subject
    number = text(sources.first, "SeriesNumber")
    about = [
        words.series(number) if number else "",
        words.sentence(encoding.part),
        subject.modality,
        series_date(sources),
        counted(subject, words),
    ]
    # on every page, also on those that have no room for the sentences
    marks = "".join(f"{words.sentence(one.mark)}: " for one in encoding.findings.cautions if one.mark)
    return Page(
        title=f"{marks}{words.title(application.name, application.title)}",
        subtitle=f"{application.name} {application.version} · {application.manufacturer}",
        source=" · ".join(part for part in (series_description(sources) or words.no_description, *about) if part),
        provenance=(
            ("model", model_names(encoding)),
            ("software", ", ".join(software_versions(encoding)[1:])),
            ("images", extent(subject, words=words is ENGLISH_PAGE)),
            ("analysed", local_time(encoding, sources)),
        ),
        image_names=[words.image(name, len(sources.slices)) for name in names_of_images(encoding, sources)],
        absent=[(_sought(one, words), words.place(one.laterality, one.site)) for one in not_found(encoding, sources) if one.answer],
        notice=words.notice(application.qualification),
        words=words,
    )


def _burned_in(encoding: Encoding, sources: Sources) -> str:
    """What the source says of its pixels, which the page shows; "" where a single image or a loop says nothing."""
    said = {text(header, "BurnedInAnnotation") for header in sources.headers.values()}
    if "YES" in said:
        return "YES"
    return "NO" if said == {"NO"} or volume_of(encoding.subject) is not None else ""


def _sought(one: Sought, words: PageWords) -> str:
    return words.sought(one.tracked_by, one.finding, one.laterality) if one.is_segment else words.term(one.finding)


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
