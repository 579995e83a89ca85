"""The slices of the volume as the images they came from: where each lies, and how a result refers to it.

highdicom takes source images of one frame each. Here every slice becomes such a stand-in, numbered by its place in the volume, whatever
it really was: a classic instance, or one frame of an enhanced one. Afterwards every reference is written from the slice's true source.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import MRImageStorage

from inference.imaging.volume import SliceSource
from node.domain.uid import is_uid
from node.results.errors import SourcesNameless, SourcesUnfit
from node.results.normalise import CHARACTER_SET, cleaned, decimal, patient_and_study, text
from node.results.port import Encoding

HALF_A_VOXEL = 0.5
"""How far from the volume's grid a source may lie, in voxels: beyond, it is another slice. The assembling room judges more finely."""

_STAND_IN = "2.25."

_SOP_INSTANCE_UID, _POSITION = Tag("SOPInstanceUID"), Tag("ImagePositionPatient")
_ORIENTATION, _SPACING, _THICKNESS = Tag("ImageOrientationPatient"), Tag("PixelSpacing"), Tag("SliceThickness")
_ROWS, _COLUMNS, _INDICATOR = Tag("Rows"), Tag("Columns"), Tag("PositionReferenceIndicator")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sources:
    """What all result objects of a job share about where they come from.

    Attributes
    ----------
    first
        Header of the instance of the volume's first slice, as received.
    entities
        Its Patient and Study entities, made safe to copy.
    planes
        One stand-in per slice of the volume, in the order of its axis 0.
    slices
        The true source of each slice, in the same order.
    headers
        Header by SOP Instance UID.
    """

    first: Dataset
    entities: Dataset
    planes: tuple[Dataset, ...]
    slices: tuple[SliceSource, ...]
    headers: dict[str, Dataset]

    @property
    def instances(self) -> list[tuple[str, str]]:
        """(SOP Class UID, SOP Instance UID) of every source instance once, in slice order."""
        return list(dict.fromkeys((source.sop_class_uid, source.sop_instance_uid) for source in self.slices))


def read_sources(encoding: Encoding) -> Sources:
    """Bring headers and volume together.

    Raises
    ------
    SourcesUnfit
        A slice has no header, no position, or another position or size than the volume says.
    """
    slices = encoding.volume.sources
    used = {source.sop_instance_uid for source in slices}
    headers = {uid: header for header in encoding.sources if (uid := _instance_uid(header)) in used}
    absent = sorted(used - headers.keys())
    if absent:
        raise SourcesUnfit(f"{len(absent)} source instances have no header, {absent[0]} among them")
    if not (is_uid(encoding.volume.study_instance_uid) and is_uid(encoding.volume.series_instance_uid)):
        raise SourcesNameless("the source images name no study or no series: a result would have no place in the archive")
    first = headers[slices[0].sop_instance_uid]
    entities = patient_and_study(first)
    entities.StudyInstanceUID = encoding.volume.study_instance_uid
    stand_ins = _StandIns(encoding)
    planes = tuple(stand_ins.plane(headers[source.sop_instance_uid], source, z) for z, source in enumerate(slices))
    # highdicom takes patient, study and the history of lossy compression from the first image
    planes[0].update(entities)
    planes[0].update(_lossy(headers.values()))
    return Sources(first=first, entities=entities, planes=planes, slices=slices, headers=headers)


def slice_of_stand_in(sop_instance_uid: str) -> int:
    """The place in the volume of the slice that a stand-in stands for."""
    return int(sop_instance_uid.removeprefix(_STAND_IN)) - 1


def reference(source: SliceSource) -> Dataset:
    """An item that refers to the source of one slice (PS3.3 10.3): with a frame number for multi-frame instances, and only for those."""
    item = Dataset()
    item.ReferencedSOPClassUID = source.sop_class_uid
    item.ReferencedSOPInstanceUID = source.sop_instance_uid
    if source.frame is not None:
        item.ReferencedFrameNumber = source.frame
    return item


def functional_group(header: Dataset, frame: int | None, sequence: str) -> Dataset | None:
    """The item of a functional group macro that holds for one frame: its own, else the shared one (PS3.3 C.7.6.16)."""
    if frame is None:
        return None
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or ()
    groups = [per_frame[frame - 1]] if frame <= len(per_frame) else []
    for group in (*groups, *(header.get("SharedFunctionalGroupsSequence") or ())):
        items = group.get(sequence)
        if items:
            found: Dataset = items[0]
            return found
    return None


def _instance_uid(header: Dataset) -> str:
    """As the assembling room reads it: from the file meta information where careless de-identification emptied the data set's own."""
    meta = getattr(header, "file_meta", Dataset())
    return str(header.get("SOPInstanceUID") or meta.get("MediaStorageSOPInstanceUID") or "")


class _StandIns:
    """Makes the stand-ins of one volume; what its slices share, nearly all of it, is read and made once."""

    def __init__(self, encoding: Encoding) -> None:
        self._volume = encoding.volume
        self._to_indices = np.linalg.inv(encoding.volume.affine)
        self._alike: dict[tuple[object, ...], dict[BaseTag, DataElement]] = {}
        self._orientation: DataElement | None = None

    def plane(self, header: Dataset, source: SliceSource, z: int) -> Dataset:
        """The stand-in of slice `z`."""
        place = functional_group(header, source.frame, "PlanePositionSequence") or header
        sent = place.get("ImagePositionPatient")
        if not sent:
            raise SourcesUnfit(f"ImagePositionPatient is absent in {_name(source)}")
        position = [float(mm) for mm in sent]
        if np.abs(self._to_indices @ [*position, 1.0] - (z, 0, 0, 1)).max() > HALF_A_VOXEL:
            raise SourcesUnfit(f"{_name(source)} lies at {position} mm, slice {z} of the volume elsewhere")
        plane = Dataset(dict(self._shared(header, source)))
        plane.add_new(_SOP_INSTANCE_UID, "UI", f"{_STAND_IN}{z + 1}")
        plane.add_new(_POSITION, "DS", [decimal(mm) for mm in sent])
        return plane

    def _shared(self, header: Dataset, source: SliceSource) -> dict[BaseTag, DataElement]:
        """The elements that slices with the same raw values have in common."""
        orientation = functional_group(header, source.frame, "PlaneOrientationSequence") or header
        measures = functional_group(header, source.frame, "PixelMeasuresSequence") or header
        looked_at = [(orientation, (_ORIENTATION,)), (measures, (_SPACING, _THICKNESS)), (header, (_ROWS, _COLUMNS, _INDICATOR))]
        raw = tuple(str(item.get_item(tag).value) if tag in item else None for item, tags in looked_at for tag in tags)
        if raw not in self._alike:
            made = self._made(header, orientation, measures, source)
            self._alike[raw] = {element.tag: element for element in made}
        return self._alike[raw]

    def _made(self, header: Dataset, orientation: Dataset, measures: Dataset, source: SliceSource) -> Dataset:
        volume = self._volume
        for item, keyword in ((orientation, "ImageOrientationPatient"), (measures, "PixelSpacing")):
            if not item.get(keyword):
                raise SourcesUnfit(f"{keyword} is absent in {_name(source)}")
        if (header.Rows, header.Columns) != volume.voxels.shape[1:]:
            raise SourcesUnfit(f"{_name(source)} has {header.Rows} rows and {header.Columns} columns, the volume {volume.voxels.shape[1:]}")
        plane = Dataset()
        plane.SpecificCharacterSet = CHARACTER_SET
        plane.SOPClassUID = MRImageStorage
        plane.StudyInstanceUID, plane.SeriesInstanceUID = volume.study_instance_uid, volume.series_instance_uid
        plane.FrameOfReferenceUID, plane.Modality = volume.frame_of_reference_uid, volume.modality
        plane.PositionReferenceIndicator = text(header, "PositionReferenceIndicator")
        plane.Rows, plane.Columns = header.Rows, header.Columns
        plane.PixelSpacing = [decimal(mm) for mm in measures.PixelSpacing]
        plane.SliceThickness = _thickness(measures, volume.spacing_mm[0])
        plane.SpacingBetweenSlices = decimal(float(f"{volume.spacing_mm[0]:.10g}"))
        if self._orientation is None:
            plane.ImageOrientationPatient = [decimal(cosine) for cosine in orientation.ImageOrientationPatient]
            self._orientation = plane["ImageOrientationPatient"]
        # the assembling room found all slices parallel; highdicom wants to see the very same numbers: the first slice's
        plane[_ORIENTATION] = self._orientation
        return plane


def _thickness(measures: Dataset, spacing_mm: float) -> str:
    element = cleaned(measures, "SliceThickness")
    stated = decimal(element.value) if element is not None else "0"
    return stated if float(stated) > 0 else decimal(float(f"{spacing_mm:.10g}"))


def _lossy(headers: Iterable[Dataset]) -> Dataset:
    """Once lossy, for ever lossy (PS3.3 C.7.6.1.1.5): what the first lossy source says of its compression."""
    found = Dataset()
    found.LossyImageCompression = "00"
    for header in headers:
        if header.get("LossyImageCompression") == "01":
            found.LossyImageCompression = "01"
            for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
                element = cleaned(header, keyword)
                if element is not None:
                    found.add(element)
            break
    return found


def _name(source: SliceSource) -> str:
    return source.sop_instance_uid if source.frame is None else f"frame {source.frame} of {source.sop_instance_uid}"
