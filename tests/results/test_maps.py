"""Parametric Maps and maps drawn over images, read by dcmqi, dciodvfy and by hand: every value in its place, and what it is."""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from inference import codes
from inference.findings import Evaluation, Findings, Saliency
from inference.imaging.assemble import assemble
from inference.imaging.volume import Volume
from node.domain.profile import VIEWER, Kind, Profile
from node.results.check import check
from node.results.encode import encode
from node.results.port import Encoded, Encoding, MapDiffers, ReferencesDiffer
from node.results.sources import read_sources
from tests.lab import adapters
from tests.lab.itk import paramap2itkimage
from tests.lab.validators import dcentvfy, dciodvfy
from tests.results import made

PICTURES = Profile(name="pictures", kinds=VIEWER.kinds | {Kind.OVERLAY})


def values(volume: Volume, seed: int = 5) -> NDArray[np.float32]:
    """A map without any symmetry; no two values alike."""
    return np.random.default_rng(seed).normal(size=volume.voxels.shape).astype(np.float32)


def saliency(volume: Volume, label: str = "attention", seed: int = 5) -> Saliency:
    return Saliency(label=label, values=values(volume, seed), quantity=codes.SALIENCY, unit=codes.NO_UNITS)


def encoding_of(files: Sequence[Path], *maps: Saliency, **more: object) -> Encoding:
    return made.encoding(files, Findings(saliencies=maps), volume=assemble(files), **more)


def only(objects: Sequence[Encoded], kind: Kind) -> Encoded:
    (found,) = (one for one in objects if one.kind == kind)
    return found


def read(one: Encoded) -> Dataset:
    return pydicom.dcmread(BytesIO(one.data))


@pytest.mark.peers
@pytest.mark.parametrize("name", made.ORIENTATIONS)
def test_dcmqi_reads_every_value_where_it_was_computed(tmp_path: Path, name: str) -> None:
    """Result case 21: the map lies on the source grid however the patient lay; 3D Slicer's converter gives back the very same numbers."""
    files = made.series(tmp_path / "in", made.ORIENTATIONS[name])
    volume = assemble(files)
    found = saliency(volume)
    (path,) = made.save([only(encode(encoding_of(files, found)), Kind.MAP)], tmp_path)
    back = paramap2itkimage(path)
    assert back.values.shape == volume.voxels.shape
    for z, y, x in ((0, 0, 0), (8, 12, 10), (3, 7, 2), (5, 1, 9)):
        assert back.at((volume.affine @ (z, y, x, 1))[:3]) == found.values[z, y, x]
    assert sorted(back.values.ravel()) == sorted(found.values.ravel())
    assert dciodvfy(path) == []


def test_the_map_says_what_its_values_are(tmp_path: Path) -> None:
    """Result case 21: quantity and unit in codes, the identity as mapping over the whole range, and the source of every frame."""
    files = made.series(tmp_path)
    encoding = encoding_of(files, saliency(assemble(files)))
    dataset = read(only(encode(encoding), Kind.MAP))
    shared = dataset.SharedFunctionalGroupsSequence[0]
    (mapping,) = shared.RealWorldValueMappingSequence
    (quantity,) = mapping.QuantityDefinitionSequence
    assert (quantity.ConceptNameCodeSequence[0].CodeValue, quantity.ConceptCodeSequence[0].CodeValue) == ("246205007", "130404")
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)
    stored = np.frombuffer(dataset.FloatPixelData, dtype="<f4")
    assert mapping.DoubleFloatRealWorldValueFirstValueMapped == stored.min()
    assert mapping.DoubleFloatRealWorldValueLastValueMapped == stored.max()
    assert list(dataset.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "QUANTITY"]
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        (image,) = frame.DerivationImageSequence[0].SourceImageSequence
        header = next(one for one in encoding.sources if one.SOPInstanceUID == image.ReferencedSOPInstanceUID)
        assert [float(mm) for mm in frame.PlanePositionSequence[0].ImagePositionPatient] == [
            float(mm) for mm in header.ImagePositionPatient
        ]
        assert "ReferencedFrameNumber" not in image
    series = {one.SeriesInstanceUID for one in encoding.sources}
    assert {item.SeriesInstanceUID for item in dataset.ReferencedSeriesSequence} == series


@pytest.mark.parametrize("name", made.ORIENTATIONS)
def test_frames_come_in_the_order_of_the_viewers_volume(tmp_path: Path, name: str) -> None:
    """Cornerstone sorts slices along row x column direction and lays the frames of a map over them one by one, also those that are 0."""
    files = made.series(tmp_path, made.ORIENTATIONS[name])
    volume = assemble(files)
    found = replace(saliency(volume), values=np.zeros(volume.voxels.shape, dtype=np.float32))
    found.values[2, 3, 4] = 1.0
    dataset = read(only(encode(encoding_of(files, found)), Kind.MAP))
    cosines = np.array(dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    normal = np.cross(cosines[:3], cosines[3:])
    along = [
        float(normal @ np.array(frame.PlanePositionSequence[0].ImagePositionPatient, dtype=float))
        for frame in dataset.PerFrameFunctionalGroupsSequence
    ]
    assert len(along) == volume.voxels.shape[0]
    assert along == sorted(along)
    indices = [frame.FrameContentSequence[0].DimensionIndexValues for frame in dataset.PerFrameFunctionalGroupsSequence]
    assert indices == list(range(1, len(along) + 1))


@pytest.mark.peers
def test_frames_of_an_enhanced_source_are_named(tmp_path: Path) -> None:
    """Frame numbers are stated for multi-frame sources, and each is the frame that the map's frame lies on."""
    (file,) = files = made.enhanced(tmp_path)
    source = pydicom.dcmread(file)
    one = only(encode(encoding_of(files, saliency(assemble(files)))), Kind.MAP)
    for frame in read(one).PerFrameFunctionalGroupsSequence:
        (image,) = frame.DerivationImageSequence[0].SourceImageSequence
        of_source = source.PerFrameFunctionalGroupsSequence[image.ReferencedFrameNumber - 1]
        there = [float(mm) for mm in of_source.PlanePositionSequence[0].ImagePositionPatient]
        assert [float(mm) for mm in frame.PlanePositionSequence[0].ImagePositionPatient] == pytest.approx(there, abs=1e-4)
    (path,) = made.save([one], tmp_path / "out")
    assert dciodvfy(path) == []
    assert paramap2itkimage(path).values.shape == assemble(files).voxels.shape


def test_probabilities_go_as_a_map_and_no_mask_is_made_of_them(tmp_path: Path) -> None:
    """Result case 13: what an application gives as probabilities stays floating point in a Parametric Map; a BINARY mask is only what it
    thresholded itself, and is then exactly that."""
    files = made.series(tmp_path)
    volume = assemble(files)
    probability = np.clip(values(volume) * 0.2 + 0.4, 0, 1)
    alone = Findings(saliencies=(Saliency(label="probability", values=probability, quantity=codes.SALIENCY, unit=codes.NO_UNITS),))
    objects = encode(made.encoding(files, alone, volume=volume))
    assert Kind.SEG not in {one.kind for one in objects}
    stored = np.frombuffer(read(only(objects, Kind.MAP)).FloatPixelData, dtype="<f4")
    assert np.array_equal(stored, probability.ravel())
    mask = probability > 0.5
    both = replace(alone, segments=(made.segment("likely", mask),))
    seg = read(only(encode(made.encoding(files, both, volume=volume)), Kind.SEG))
    assert seg.SegmentationType == "BINARY"
    bits = np.unpackbits(np.frombuffer(seg.PixelData, dtype=np.uint8), bitorder="little")
    assert int(bits.sum()) == int(mask.sum())


def test_anatomy_is_what_the_findings_looked_at(tmp_path: Path) -> None:
    """One site named by the findings is the map's anatomy; where nothing says it, the code claims no region."""
    files = made.series(tmp_path)
    encoding = encoding_of(files, saliency(assemble(files)))
    looked = Evaluation(finding=codes.LESION, value=codes.ABSENT, finding_site=codes.BRAIN)
    said = replace(encoding, findings=replace(encoding.findings, evaluations=(looked,)))
    for one, value in ((said, codes.BRAIN.value), (encoding, codes.ANATOMICAL_STRUCTURE.value)):
        (anatomy,) = read(only(encode(one), Kind.MAP)).SharedFunctionalGroupsSequence[0].FrameAnatomySequence
        assert anatomy.AnatomicRegionSequence[0].CodeValue == value


def test_equal_encodings_give_equal_bytes_and_two_maps_two_series(tmp_path: Path) -> None:
    """Nothing in a map comes from the clock or the dice; every map is a series of its own."""
    files = made.series(tmp_path)
    volume = assemble(files)
    encoding = encoding_of(files, saliency(volume), saliency(volume, "attribution", 6), profiles=(PICTURES,))
    first, again = encode(encoding), encode(encoding)
    assert [one.data for one in first] == [one.data for one in again]
    kinds = [one.kind for one in first]
    assert (kinds.count(Kind.MAP), kinds.count(Kind.OVERLAY)) == (2, 2)
    assert len({one.series_instance_uid for one in first}) == len(first)


def test_a_constant_map_is_a_map(tmp_path: Path) -> None:
    """All values alike, and all values 0: the window has a width, nothing divides by it."""
    files = made.series(tmp_path)
    volume = assemble(files)
    for value in (0.0, 2.5, -1.0):
        even = replace(saliency(volume), values=np.full(volume.voxels.shape, value, dtype=np.float32))
        objects = encode(encoding_of(files, even, profiles=(PICTURES,)))
        dataset = read(only(objects, Kind.MAP))
        assert set(np.frombuffer(dataset.FloatPixelData, dtype="<f4")) == {np.float32(value)}
        assert float(dataset.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0].WindowWidth) > 0


@pytest.mark.peers
def test_the_drawn_map_is_made_where_a_profile_wants_it(tmp_path: Path) -> None:
    """Result case 21: an RGB Secondary Capture for viewers that show no map; it differs from one of an empty map where the map is."""
    files = made.series(tmp_path / "in")
    volume = assemble(files)
    found = replace(saliency(volume), values=np.zeros(volume.voxels.shape, dtype=np.float32))
    assert Kind.OVERLAY not in {one.kind for one in encode(encoding_of(files, found))}
    objects = encode(encoding_of(files, found, profiles=(PICTURES,)))
    one = only(objects, Kind.OVERLAY)
    dataset = read(one)
    assert (dataset.SOPClassUID, dataset.PhotometricInterpretation) == ("1.2.840.10008.5.1.4.1.1.7", "RGB")
    assert dataset.SourceImageSequence
    blank = dataset.pixel_array
    found.values[:, 4:8, 4:8] = 1.0
    hot = read(only(encode(encoding_of(files, found, profiles=(PICTURES,))), Kind.OVERLAY)).pixel_array.astype(int)
    reddened = (hot[..., 0] - hot[..., 2] > 60) & (blank[..., 0].astype(int) - blank[..., 2] <= 20)
    assert reddened.mean() > 0.01
    paths = made.save(objects, tmp_path / "out")
    assert [fault for path in paths if "overlay" in path.name or "map" in path.name for fault in dciodvfy(path)] == []
    assert dcentvfy([*files, *paths]) == []


def test_pages_keep_issuer_and_study_description(tmp_path: Path) -> None:
    """Result case 23: the library's Secondary Capture class drops both; archives match patients by the one, people find studies by the
    other. (Key object selections are not written yet.)"""
    files = made.series(tmp_path)
    objects = encode(encoding_of(files, saliency(assemble(files)), profiles=(PICTURES,)))
    pages = [read(one) for one in objects if one.sop_class_uid == SecondaryCaptureImageStorage]
    assert len(pages) == 2
    for page in pages:
        assert (page.IssuerOfPatientID, page.StudyDescription, page.PatientID) == ("HOSPITAL", "CT head", "P-1")


def test_a_map_that_was_written_otherwise_does_not_leave(tmp_path: Path) -> None:
    """One value, the order of the frames, another source: each is found when the object is read back."""
    files = made.series(tmp_path)
    encoding = encoding_of(files, saliency(assemble(files)))
    one, sources = only(encode(encoding), Kind.MAP), read_sources(encoding)
    check([one], encoding, sources)
    stored = np.frombuffer(read(one).FloatPixelData, dtype="<f4").copy()
    stored[77] += 1
    with pytest.raises(MapDiffers, match="values"):
        check([made.tampered(one, FloatPixelData=stored.tobytes())], encoding, sources)
    frames = read(one).PerFrameFunctionalGroupsSequence
    with pytest.raises(MapDiffers, match="does not lie"):
        check([made.tampered(one, PerFrameFunctionalGroupsSequence=frames[::-1])], encoding, sources)
    frames = read(one).PerFrameFunctionalGroupsSequence
    images = [frame.DerivationImageSequence[0].SourceImageSequence[0] for frame in frames]
    images[0].ReferencedSOPInstanceUID = images[1].ReferencedSOPInstanceUID
    with pytest.raises(ReferencesDiffer):
        check([made.tampered(one, PerFrameFunctionalGroupsSequence=frames)], encoding, sources)


@pytest.mark.peers
@pytest.mark.parametrize("name", made.ORIENTATIONS)
def test_the_viewer_lays_every_value_over_its_own_slice(tmp_path: Path, name: str) -> None:
    """Result case 21: OHIF's own adapter under Node, on the volume that cornerstone sorts the sources into, whatever order they came in."""
    files = made.series(tmp_path / "in", made.ORIENTATIONS[name], shape=(9, 16, 12))
    volume = assemble(files)
    found = saliency(volume)
    (path,) = made.save([only(encode(encoding_of(files, found)), Kind.MAP)], tmp_path)
    values, images = adapters.map_of(path, files[::-1])
    slices = [source.sop_instance_uid for source in volume.sources]
    assert len(values) == len(images) == len(slices)
    for shown, (uid, _) in zip(values, images, strict=True):
        assert np.array_equal(shown, found.values[slices.index(uid)])
