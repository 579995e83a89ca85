"""A segmentation of what is bright, and a map of values, written with pydicom alone; the made modules have them."""

import struct
from pathlib import Path

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SEGMENTATION, PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.30"


def coded(value: str, scheme: str, meaning: str) -> Dataset:
    """A code as an item."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def bright(image: Dataset, limit: int) -> list[bool]:
    """Which pixels (row by row) of a 16-bit image are above a limit."""
    return [value > limit for value in values_of(image)]


def segmentation(images: list[FileDataset], limit: int, code: tuple[str, str, str], label: str) -> Dataset:
    """A BINARY SEG of one segment: a frame for each image on which something is bright."""
    made = Dataset()
    _whose(made, images[0], SEGMENTATION, "SEG")
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 1, 1, 0, 0
    made.SegmentationType, made.ImageType, made.LossyImageCompression = "BINARY", ["DERIVED", "PRIMARY"], "00"
    segment = Dataset()
    segment.SegmentNumber, segment.SegmentLabel, segment.SegmentAlgorithmType = 1, label, "AUTOMATIC"
    segment.SegmentAlgorithmName = "threshold"
    segment.SegmentedPropertyCategoryCodeSequence = Sequence([coded("91723000", "SCT", "Anatomical Structure")])
    segment.SegmentedPropertyTypeCodeSequence = Sequence([coded(*code)])
    made.SegmentSequence = Sequence([segment])
    bits: list[bool] = []
    frames = []
    for image in images:
        marked = bright(image, limit)
        if not any(marked):
            continue
        bits += marked
        frame, place, which = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient, which.ReferencedSegmentNumber = image.ImagePositionPatient, 1
        frame.PlanePositionSequence, frame.SegmentIdentificationSequence = Sequence([place]), Sequence([which])
        frames.append(frame)
    made.PerFrameFunctionalGroupsSequence, made.NumberOfFrames = Sequence(frames), len(frames)
    bits += [False] * (-len(bits) % 16)
    made.PixelData = bytes(sum(bit << place for place, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8))
    return made


def values_of(image: Dataset) -> list[float]:
    """The pixels (row by row) of a 16-bit image, in modality values."""
    data, slope, intercept = image.PixelData, float(image.get("RescaleSlope", 1)), float(image.get("RescaleIntercept", 0))
    signed = bool(image.PixelRepresentation)
    size = 2 * image.Rows * image.Columns
    return [int.from_bytes(data[at : at + 2], "little", signed=signed) * slope + intercept for at in range(0, size, 2)]


def parametric_map(
    images: list[FileDataset], values: list[list[float]], quantity: tuple[str, str, str], unit: tuple[str, str, str]
) -> Dataset:
    """A Parametric Map of 32-bit numbers: a frame of values (row by row) for each image, stored as half of what they are."""
    made = Dataset()
    _whose(made, images[0], PARAMETRIC_MAP, "OT")
    made.BitsAllocated = 32
    made.ImageType, made.ContentLabel, made.ContentDescription = ["DERIVED", "PRIMARY"], "MADE", "of a made module"
    mapping, defined = Dataset(), Dataset()
    defined.ValueType, defined.ConceptNameCodeSequence = "CODE", Sequence([coded("246205007", "SCT", "Quantity")])
    defined.ConceptCodeSequence = Sequence([coded(*quantity)])
    mapping.QuantityDefinitionSequence, mapping.MeasurementUnitsCodeSequence = Sequence([defined]), Sequence([coded(*unit)])
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 2.0, 0.0
    made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence = Sequence([mapping])
    frames = []
    for image in images:
        frame, place, derivation, source = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = image.ImagePositionPatient
        source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
        derivation.SourceImageSequence = Sequence([source])
        frame.PlanePositionSequence, frame.DerivationImageSequence = Sequence([place]), Sequence([derivation])
        frames.append(frame)
    made.PerFrameFunctionalGroupsSequence, made.NumberOfFrames = Sequence(frames), len(frames)
    made.FloatPixelData = b"".join(struct.pack(f"<{len(one)}f", *(value / 2 for value in one)) for one in values)
    return made


def _whose(made: Dataset, first: FileDataset, sop_class: str, modality: str) -> None:
    """Patient, study, series, frame of reference, size and place of what is made of images."""
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID"):
        if keyword in first:
            setattr(made, keyword, getattr(first, keyword))
    made.SOPClassUID, made.SOPInstanceUID, made.SeriesInstanceUID = sop_class, generate_uid(), generate_uid()
    made.Modality, made.SeriesNumber, made.InstanceNumber = modality, 900, 1
    made.FrameOfReferenceUID = first.FrameOfReferenceUID
    made.Rows, made.Columns, made.SamplesPerPixel, made.PhotometricInterpretation = first.Rows, first.Columns, 1, "MONOCHROME2"
    series, shared, measures, orientation = Dataset(), Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = first.SeriesInstanceUID
    made.ReferencedSeriesSequence = Sequence([series])
    measures.PixelSpacing, measures.SliceThickness = first.PixelSpacing, first.get("SliceThickness", "1")
    orientation.ImageOrientationPatient = first.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([orientation])
    made.SharedFunctionalGroupsSequence = Sequence([shared])


def save(made: Dataset, path: Path) -> None:
    """Write it as a file."""
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID, made.file_meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.save_as(path, enforce_file_format=True)
