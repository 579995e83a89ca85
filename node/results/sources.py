"""The source images of a result: whose they are, which series holds which, where each slice lies, and how a result refers to it: the items
of sequences that objects of every kind have.

highdicom takes source images of one frame each. Here every slice of a volume becomes such a stand-in, numbered by its place in the volume,
whatever it really was: a classic instance, or one frame of an enhanced one. Afterwards every reference is written from the slice's true
source. Projection images and cines have no place in the patient, and none is made up for them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from highdicom.sr import CodedConcept
from pydicom.datadict import dictionary_VM
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.uid import MRImageStorage

from inference.codes import Code
from inference.imaging.subject import Subject, all_sources, volume_of
from inference.imaging.volume import SliceSource, Volume
from node.dicom.uid import is_uid
from node.domain.errors import SourcesNameless, SourcesUnfit
from node.results.normalise import CHARACTER_SET, cleaned, decimal, items_of, patient_and_study, text
from node.results.port import Encoding

HALF_A_VOXEL = 0.5
"""How far from the volume's grid a source may lie, in voxels: beyond, it is another slice. The assembling room judges more finely."""

_STAND_IN = "2.25."

_SOP_INSTANCE_UID, _POSITION = Tag("SOPInstanceUID"), Tag("ImagePositionPatient")
_ORIENTATION, _SPACING, _THICKNESS = Tag("ImageOrientationPatient"), Tag("PixelSpacing"), Tag("SliceThickness")
_ROWS, _COLUMNS, _INDICATOR = Tag("Rows"), Tag("Columns"), Tag("PositionReferenceIndicator")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSeries:
    """One series of source images, as evidence and references list it: (SOP Class UID, SOP Instance UID) of each instance once."""

    study_instance_uid: str
    series_instance_uid: str
    instances: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sources:
    """What all result objects of a job share about where they come from.

    Attributes
    ----------
    first
        Header of the instance of the first slice, image or frame, as received.
    entities
        Its Patient and Study entities, made safe to copy.
    base
        What highdicom is given as the first source: the entities, identity, and the history of lossy compression.
    planes
        One stand-in per slice of the volume, in the order of its axis 0, phase after phase; none for what is not in space.
    slices
        The true source of each slice, image or frame, in the order of the subject; of several volumes, the reference's.
    headers
        Header by SOP Instance UID, of the other volumes' instances too.
    series
        The series that the subject was read from: the one that the job is for first.
    """

    first: Dataset
    entities: Dataset
    base: Dataset
    planes: tuple[Dataset, ...]
    slices: tuple[SliceSource, ...]
    headers: dict[str, Dataset]
    series: tuple[SourceSeries, ...]

    @property
    def instances(self) -> list[tuple[str, str]]:
        """(SOP Class UID, SOP Instance UID) of every source instance once, in slice order; of several volumes, the reference's."""
        return list(dict.fromkeys((source.sop_class_uid, source.sop_instance_uid) for source in self.slices))


def read_sources(encoding: Encoding) -> Sources:
    """Bring headers and subject together.

    Raises
    ------
    SourcesUnfit
        A slice has no header, no position, or another position or size than the volume says.
    SourcesNameless
        A source says of no study or no series that it belongs to it.
    """
    subject = encoding.subject
    slices = subject.sources
    every = all_sources(subject)
    used = dict.fromkeys(source.sop_instance_uid for source in every)
    headers = {uid: header for header in encoding.sources if (uid := _instance_uid(header)) in used}
    absent = sorted(used.keys() - headers.keys())
    if absent:
        raise SourcesUnfit(f"{len(absent)} source instances have no header, {absent[0]} among them")
    _named(subject.study_instance_uid, subject.series_instance_uid)
    series = _series(every, headers, subject.series_instance_uid)
    first = headers[slices[0].sop_instance_uid]
    entities = patient_and_study(first)
    entities.StudyInstanceUID = subject.study_instance_uid
    grid = volume_of(subject)
    planes: tuple[Dataset, ...] = ()
    if grid is not None:
        stand_ins = _StandIns(grid)
        planes = tuple(stand_ins.plane(headers[source.sop_instance_uid], source, image) for image, source in enumerate(slices))
    # highdicom takes patient, study and the history of lossy compression from the first image
    base = planes[0] if planes else _without_place(slices[0], subject)
    base.update(_of_one_value(entities))
    base.update(lossy_history(headers.values()))
    return Sources(first=first, entities=entities, base=base, planes=planes, slices=slices, headers=headers, series=series)


def _of_one_value(entities: Dataset) -> Dataset:
    """With names left empty that hold several values, which the library refuses; `stamp` writes them as they are into every object."""
    several = [one.tag for one in entities if one.VR == "PN" and isinstance(one.value, MultiValue) and dictionary_VM(one.tag) == "1"]
    return Dataset({**entities, **{tag: DataElement(tag, "PN", None) for tag in several}}) if several else entities


def without_planes(encoding: Encoding, series: Sequence[SourceSeries]) -> Sources:
    """Whose a document is that shows nothing of the images: patient and study of the first header; no plane is made up.

    Parameters
    ----------
    series
        What the document is about.

    Raises
    ------
    SourcesNameless
        There is no header to take patient and study from, or nothing that the document is about.
    """
    if not encoding.sources or not series:
        raise SourcesNameless("no header is left to take patient and study from, or there is nothing that the document is about")
    first, study = encoding.sources[0], encoding.subject.study_instance_uid
    entities = patient_and_study(first)
    entities.StudyInstanceUID = study
    base = Dataset()
    base.SpecificCharacterSet = CHARACTER_SET
    base.SOPClassUID, base.SOPInstanceUID = MRImageStorage, series[0].instances[0][1]
    base.StudyInstanceUID, base.SeriesInstanceUID = study, series[0].series_instance_uid
    base.Modality = encoding.subject.modality
    base.update(_of_one_value(entities))
    headers = {_instance_uid(one): one for one in encoding.sources}
    return Sources(first=first, entities=entities, base=base, planes=(), slices=(), headers=headers, series=tuple(series))


def _series(slices: Sequence[SliceSource], headers: Mapping[str, Dataset], current: str) -> tuple[SourceSeries, ...]:
    """The series in the order of their slices, `current` first."""
    found: dict[tuple[str, str], dict[tuple[str, str], None]] = {}
    # each instance once: of its many frames all are of one series
    for source in {each.sop_instance_uid: each for each in slices}.values():
        header = headers[source.sop_instance_uid]
        uids = (str(header.get("StudyInstanceUID") or ""), str(header.get("SeriesInstanceUID") or ""))
        _named(*uids, source.sop_class_uid, source.sop_instance_uid)
        found.setdefault(uids, {})[(source.sop_class_uid, source.sop_instance_uid)] = None
    return tuple(
        SourceSeries(study_instance_uid=study, series_instance_uid=series, instances=tuple(found[study, series]))
        for study, series in sorted(found, key=lambda uids: uids[1] != current)
    )


def _named(*uids: str) -> None:
    if not all(map(is_uid, uids)):
        raise SourcesNameless("the source images name no study, no series or no instance: a result would have no place in the archive")


def _without_place(source: SliceSource, subject: Subject) -> Dataset:
    """A first source for highdicom of what is not in space; of a class that it knows, whatever class (retired, private) the source has."""
    made = Dataset()
    made.SpecificCharacterSet = CHARACTER_SET
    made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, source.sop_instance_uid
    made.StudyInstanceUID, made.SeriesInstanceUID = subject.study_instance_uid, subject.series_instance_uid
    made.Modality = subject.modality
    return made


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
        for item in items_of(group, sequence):
            return item
    return None


def _instance_uid(header: Dataset) -> str:
    """As the assembling room reads it: from the file meta information where careless de-identification emptied the data set's own."""
    meta = getattr(header, "file_meta", Dataset())
    return str(header.get("SOPInstanceUID") or meta.get("MediaStorageSOPInstanceUID") or "")


class _StandIns:
    """Makes the stand-ins of one volume; what its slices share, nearly all of it, is read and made once."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._alike: dict[tuple[object, ...], dict[BaseTag, DataElement]] = {}
        self._orientation: DataElement | None = None

    def plane(self, header: Dataset, source: SliceSource, image: int) -> Dataset:
        """The stand-in of an image: a slice, of phase after phase, which all lie alike."""
        z = image % len(self._volume.voxels)
        place = functional_group(header, source.frame, "PlanePositionSequence") or header
        sent = place.get("ImagePositionPatient")
        if not sent and not _says_once(header):
            raise SourcesUnfit(f"ImagePositionPatient is absent in {_name(source)}")
        # a tomogram of nuclear medicine gives the place of its first slice only: where the others lie, the volume knows
        sent = sent or [float(mm) for mm in self._volume.to_patient(np.array([z, 0, 0])).round(9)]
        position = [float(mm) for mm in sent]
        if np.abs(self._volume.to_indices(np.array(position)) - (z, 0, 0)).max() > HALF_A_VOXEL:
            raise SourcesUnfit(f"{_name(source)} lies at {position} mm, slice {z} of the volume elsewhere")
        plane = Dataset(dict(self._shared(header, source)))
        plane.add_new(_SOP_INSTANCE_UID, "UI", f"{_STAND_IN}{image + 1}")
        plane.add_new(_POSITION, "DS", [decimal(mm) for mm in sent])
        return plane

    def _shared(self, header: Dataset, source: SliceSource) -> dict[BaseTag, DataElement]:
        """The elements that slices with the same raw values have in common."""
        orientation = functional_group(header, source.frame, "PlaneOrientationSequence") or _says_once(header) or header
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
        between = decimal(float(f"{volume.spacing_mm[0]:.10g}"))
        if volume.steps is None:
            plane.SliceThickness, plane.SpacingBetweenSlices = _thickness(measures, between), between
        else:
            # one thickness stands for all frames, or viewers show none of them: of unequal ones the mean, and no distance
            plane.SliceThickness = between
        if self._orientation is None:
            plane.ImageOrientationPatient = [decimal(cosine) for cosine in orientation.ImageOrientationPatient]
            self._orientation = plane["ImageOrientationPatient"]
        # the assembling room found all slices parallel; highdicom wants to see the very same numbers: the first slice's
        plane[_ORIENTATION] = self._orientation
        return plane


def without_distance(made: Dataset, volume: Volume) -> None:
    """Of slices in unequal steps no distance is true for all frames (Type 1C, PS3.3 C.7.6.16.2.1); the library makes one up."""
    if volume.steps is not None:
        del made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices


def _says_once(header: Dataset) -> Dataset | None:
    """The detector that says for all frames of an NM image how they are oriented (PS3.3 C.8.4.11)."""
    detectors = items_of(header, "DetectorInformationSequence")
    return next((detector for detector in detectors if detector.get("ImageOrientationPatient")), None)


def _thickness(measures: Dataset, between: str) -> str:
    element = cleaned(measures, "SliceThickness")
    stated = decimal(element.value) if element is not None else "0"
    return stated if float(stated) > 0 else between


def lossy_history(headers: Iterable[Dataset]) -> Dataset:
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


def item(code: Code) -> CodedConcept:
    """An item of a code sequence (PS3.3 8.8)."""
    return CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=code.meaning)


def instance(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    """An item that refers to a whole instance (PS3.3 10.8)."""
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def instances(of: Iterable[tuple[str, str]]) -> list[Dataset]:
    """An item for each (SOP Class UID, SOP Instance UID)."""
    return [instance(sop_class_uid, uid) for sop_class_uid, uid in of]


def common_references(made: Dataset, sources: Sources, series: Sequence[SourceSeries]) -> None:
    """Write the Common Instance Reference module: series of the object's own study apart from those of others."""
    own = str(sources.entities.StudyInstanceUID)
    here = [_series_item(one) for one in series if one.study_instance_uid == own]
    if here:
        made.ReferencedSeriesSequence = here
    elsewhere = []
    for study in dict.fromkeys(one.study_instance_uid for one in series if one.study_instance_uid != own):
        item = Dataset()
        item.StudyInstanceUID = study
        item.ReferencedSeriesSequence = [_series_item(one) for one in series if one.study_instance_uid == study]
        elsewhere.append(item)
    if elsewhere:
        made.StudiesContainingOtherReferencedInstancesSequence = elsewhere


def lists_all(dataset: Dataset, sources: Sources) -> bool:
    """Whether that module of an object lists exactly the instances of all series that were analysed."""
    listed = list(dataset.get("ReferencedSeriesSequence", ()))
    listed += [one for of in dataset.get("StudiesContainingOtherReferencedInstancesSequence", ()) for one in of.ReferencedSeriesSequence]
    said = {str(one.SeriesInstanceUID): {str(each.ReferencedSOPInstanceUID) for each in one.ReferencedInstanceSequence} for one in listed}
    return said == {one.series_instance_uid: {uid for _, uid in one.instances} for one in sources.series}


def evidence(series: Sequence[SourceSeries]) -> list[Dataset]:
    """The instances by study and series, as evidence sequences list them (Hierarchical SOP Instance Reference, PS3.3 C.17.2.1)."""
    studies = []
    for study in dict.fromkeys(one.study_instance_uid for one in series):
        item = Dataset()
        item.StudyInstanceUID, item.ReferencedSeriesSequence = study, []
        for one in series:
            if one.study_instance_uid == study:
                of_series = Dataset()
                of_series.SeriesInstanceUID, of_series.ReferencedSOPSequence = one.series_instance_uid, instances(one.instances)
                item.ReferencedSeriesSequence.append(of_series)
        studies.append(item)
    return studies


def _series_item(one: SourceSeries) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = one.series_instance_uid
    item.ReferencedInstanceSequence = instances(one.instances)
    return item
