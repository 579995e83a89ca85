"""Which storage SOP classes hold images: the table against the standard's own lists, and real series that hold other objects as well."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG4HP41,
    UID,
    BasicTextSRStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    MRSpectroscopyStorage,
    RawDataStorage,
    SecondaryCaptureImageStorage,
)
from pynetdicom.sop_class import _STORAGE_CLASSES

from inference.imaging.assemble import assemble
from inference.imaging.errors import MissingAttribute, NoPixelData
from inference.imaging.sop_classes import IMAGES, WITHOUT_IMAGES, holds_image
from inference.imaging.subject import Images, Takes
from inference.imaging.subjects import subjects
from inference.imaging.volume import Volume
from node.dimse.contexts import storage_classes

from .conftest import as_a, one_instance, save

PRIVATE = "1.3.46.670589.2.4.1.1"


def other(uid: str, sop_class: str, modality: str, **attributes: object) -> Dataset:
    """An object of the series that `one_instance` makes, without pixels."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = sop_class, uid, modality
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def test_every_class_that_the_node_accepts_is_in_the_table_once() -> None:
    """None is left to be guessed at; the list itself is pynetdicom's and pydicom's."""
    assert not IMAGES & WITHOUT_IMAGES
    assert set(storage_classes()) == IMAGES | WITHOUT_IMAGES


def test_the_names_in_the_standard_say_the_same() -> None:
    """PS3.6 calls what holds images "… Image Storage", and what does not something else; but for those written out here by hand."""
    named = {uid for uid in IMAGES | WITHOUT_IMAGES if "Image Storage" in UID(uid).name}
    of_other_names = {
        "Parametric Map Storage",
        "Enhanced US Volume Storage",
        "Ophthalmic Thickness Map Storage",
        "Corneal Topography Map Storage",
        "Ophthalmic Optical Coherence Tomography B-scan Volume Analysis Storage",
    }
    assert {UID(uid).name for uid in IMAGES - named} == of_other_names
    assert not named & WITHOUT_IMAGES
    assert _STORAGE_CLASSES["RawDataStorage"] in WITHOUT_IMAGES


@pytest.mark.parametrize(
    ("sop_class", "modality", "rows", "held"),
    [
        (EnhancedMRImageStorage, "MR", True, True),
        (EnhancedMRImageStorage, "MR", False, True),  # it should have pixels: that it has none is damage, not another kind of object
        (RawDataStorage, "MR", False, False),
        (MRSpectroscopyStorage, "MR", True, False),  # a spectrum says how many rows of voxels it has
        (EnhancedMRImageStorage, "SEG", True, False),
        (PRIVATE, "MR", True, True),
        (PRIVATE, "MR", False, False),
        ("", "MR", False, True),
        ("", "SR", False, False),
    ],
)
def test_what_holds_an_image(sop_class: str, modality: str, rows: bool, held: bool) -> None:
    """By SOP class; by the pixels where that is not known; never where the modality says that nothing was seen."""
    assert holds_image(sop_class, modality, rows=rows) is held


@pytest.mark.parametrize("name", ["mr_enhanced_with_raw_data_1", "mr_enhanced_with_raw_data_2"])
def test_raw_data_beside_real_enhanced_images_are_set_aside(real: Callable[[str], list[Path]], name: str) -> None:
    """The images come out as they do alone, voxel for voxel, with a remark; it is told which object is which by pydicom."""
    files = real(f"dicom/hard/{name}.zip")
    images = [path for path in files if dcmread(path, stop_before_pixels=True).SOPClassUID == EnhancedMRImageStorage]
    assert (len(files), len(images)) == (2, 1)
    together, alone = (subjects(Takes.VOLUME, "each", chosen) for chosen in (files, images))
    for made, expected in zip(together, alone, strict=True):
        assert np.array_equal(as_a(Volume, made.subject).voxels, as_a(Volume, expected.subject).voxels)
        assert made.remarks == ("1 of 2 instances is no image and was not looked at (Raw Data Storage).", *expected.remarks)
        assert [header.SOPClassUID for header in made.headers] == [EnhancedMRImageStorage]


def test_several_objects_are_named_by_kind_and_localizers_are_counted_among_images(tmp_path: Path) -> None:
    """Of ten instances five are objects of three kinds; of the five images one is a localizer."""
    images = [one_instance(np.full((3, 4), n, "u2"), n) for n in range(4)]
    images.append(one_instance(np.zeros((3, 4), "u2"), 9, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    objects = [
        other("1.9.1", RawDataStorage, "MR"),
        other("1.9.2", RawDataStorage, "MR"),
        other("1.9.3", GrayscaleSoftcopyPresentationStateStorage, "PR"),
        other("1.9.4", BasicTextSRStorage, "SR"),
        other("1.9.5", MRSpectroscopyStorage, "MR", Rows=8, Columns=8),
    ]
    files = [save(each, tmp_path / f"{number}.dcm") for number, each in enumerate([*objects, *images])]
    (made,) = subjects(Takes.VOLUME, "refuse", files)
    assert as_a(Volume, made.subject).voxels[:, 0, 0].tolist() == [0, 1, 2, 3]
    kinds = ["Basic Text SR Storage", "Grayscale Softcopy Presentation State Storage", "MR Spectroscopy Storage", "Raw Data Storage"]
    assert made.remarks == (
        f"5 of 10 instances are no images and were not looked at ({', '.join(kinds)}).",
        "1 of 5 instances are localizers and were not looked at.",
    )


def capture(uid: str) -> Dataset:
    """A screenshot in colour in the series that `one_instance` makes, without a place."""
    kind = {"SOPClassUID": SecondaryCaptureImageStorage, "SOPInstanceUID": uid, "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}
    made = one_instance(np.zeros((2, 2, 3), "u1"), PlanarConfiguration=0)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "FrameOfReferenceUID"):
        delattr(made, keyword)
    for keyword, value in kind.items():
        setattr(made, keyword, value)
    return made


def test_captures_of_a_screen_among_slices_are_set_aside(tmp_path: Path) -> None:
    """They condemned the series (HLM-3006). A dose report in colour, and one as a film (MPEG-4), of which nobody looks at the pixels: the
    slices come out as they do alone."""
    slices = [save(one_instance(np.full((3, 4), n, "u2"), n), tmp_path / f"{n}.dcm") for n in range(4)]
    one = save(capture("1.9.1"), tmp_path / "first.dcm")
    film = capture("1.9.2")
    film.file_meta.TransferSyntaxUID, film.PixelData = MPEG4HP41, encapsulate([b"\0\0\1\xb3"])
    film["PixelData"].is_undefined_length = True
    (made,) = subjects(Takes.VOLUME, "refuse", [one, *slices])
    assert as_a(Volume, made.subject).voxels[:, 0, 0].tolist() == [0, 1, 2, 3]
    assert made.remarks == ("1 of 5 instances is a screen capture, no slice, and was not looked at.",)
    assert len(made.headers) == 4
    (both,) = subjects(Takes.VOLUME, "refuse", [*slices, one, save(film, tmp_path / "second.dcm")])
    assert both.remarks == ("2 of 6 instances are screen captures, no slices, and were not looked at.",)


def test_captures_are_looked_at_where_there_are_no_slices(tmp_path: Path) -> None:
    """Alone they are images, as a scanned film is. Where they say where they lie they are slices, each of them counts."""
    (made,) = subjects(Takes.IMAGES, "refuse", [save(capture("1.9.1"), tmp_path / "one.dcm")])
    assert (len(as_a(Images, made.subject).images), made.remarks) == (1, ())
    placed = [one_instance(np.full((3, 4), n, "u2"), n, SOPClassUID=SecondaryCaptureImageStorage) for n in range(4)]
    files = [save(each, tmp_path / f"{number}.dcm") for number, each in enumerate(placed)]
    (converted,) = subjects(Takes.VOLUME, "refuse", files)
    assert (len(as_a(Volume, converted.subject).voxels), converted.remarks) == (4, ())


def test_a_slice_that_lost_its_place_still_condemns_the_series(tmp_path: Path) -> None:
    """An MR image is no capture: a slice of the stack lacks its attributes, and what is left is not all of it."""
    images = [one_instance(np.full((3, 4), n, "u2"), n) for n in range(4)]
    del images[3].ImagePositionPatient, images[3].ImageOrientationPatient, images[3].PixelSpacing
    files = [save(each, tmp_path / f"{number}.dcm") for number, each in enumerate([*images, capture("1.9.1")])]
    with pytest.raises(MissingAttribute, match=r"absent in 1 of 4: 1\.2\.3\.4\.3"):
        assemble(files)


def test_an_image_that_lost_its_pixels_still_condemns_the_series(tmp_path: Path) -> None:
    """It is no other kind of object: something of the volume is missing."""
    images = [one_instance(np.full((3, 4), n, "u2"), n) for n in range(4)]
    del images[2].PixelData
    files = [save(each, tmp_path / f"{number}.dcm") for number, each in enumerate(images)]
    with pytest.raises(NoPixelData, match=r"1.2.3.4.2 .* holds no pixel data"):
        assemble(files)


def test_a_series_without_one_image_says_what_it_holds(tmp_path: Path) -> None:
    """Routing makes no job of it; who reads such files all the same is told."""
    files = [save(other(f"1.9.{n}", RawDataStorage, "MR"), tmp_path / f"{n}.dcm") for n in range(2)]
    with pytest.raises(NoPixelData, match=r"2 instances and no image among them \(Raw Data Storage\): 1.9.0, 1.9.1"):
        assemble(files)
