"""A segmentation of what is bright, written with pydicom alone; both made modules have it."""

from pathlib import Path

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"


def coded(value: str, scheme: str, meaning: str) -> Dataset:
    """A code as an item."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def bright(image: Dataset, limit: int) -> list[bool]:
    """Which pixels (row by row) of a 16-bit image are above a limit."""
    data, slope, intercept = image.PixelData, float(image.get("RescaleSlope", 1)), float(image.get("RescaleIntercept", 0))
    signed = bool(image.PixelRepresentation)
    size = 2 * image.Rows * image.Columns
    stored = (int.from_bytes(data[at : at + 2], "little", signed=signed) for at in range(0, size, 2))
    return [value * slope + intercept > limit for value in stored]


def segmentation(images: list[FileDataset], limit: int, code: tuple[str, str, str], label: str) -> Dataset:
    """A BINARY SEG of one segment: a frame for each image on which something is bright."""
    made, first = Dataset(), images[0]
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID"):
        if keyword in first:
            setattr(made, keyword, getattr(first, keyword))
    made.SOPClassUID, made.SOPInstanceUID, made.SeriesInstanceUID = SEGMENTATION, generate_uid(), generate_uid()
    made.Modality, made.SeriesNumber, made.InstanceNumber = "SEG", 900, 1
    made.FrameOfReferenceUID = first.FrameOfReferenceUID
    made.Rows, made.Columns, made.BitsAllocated, made.BitsStored, made.HighBit = first.Rows, first.Columns, 1, 1, 0
    made.PixelRepresentation, made.SamplesPerPixel, made.PhotometricInterpretation = 0, 1, "MONOCHROME2"
    made.SegmentationType, made.ImageType, made.LossyImageCompression = "BINARY", ["DERIVED", "PRIMARY"], "00"
    segment = Dataset()
    segment.SegmentNumber, segment.SegmentLabel, segment.SegmentAlgorithmType = 1, label, "AUTOMATIC"
    segment.SegmentAlgorithmName = "threshold"
    segment.SegmentedPropertyCategoryCodeSequence = Sequence([coded("91723000", "SCT", "Anatomical Structure")])
    segment.SegmentedPropertyTypeCodeSequence = Sequence([coded(*code)])
    made.SegmentSequence = Sequence([segment])
    series = Dataset()
    series.SeriesInstanceUID = first.SeriesInstanceUID
    made.ReferencedSeriesSequence = Sequence([series])
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = first.PixelSpacing, first.get("SliceThickness", "1")
    orientation.ImageOrientationPatient = first.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([orientation])
    made.SharedFunctionalGroupsSequence = Sequence([shared])
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


def save(made: Dataset, path: Path) -> None:
    """Write it as a file."""
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID, made.file_meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.save_as(path, enforce_file_format=True)
