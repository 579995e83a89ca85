"""Data that lie as BIDS, BraTS or a raw folder with several channels: cases, patients, structures; and what is said of what is not read."""

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from inference.imaging.errors import OutOfReach
from inference.imaging.subject import VolumeSet
from inference.imaging.write_series import write_series
from training.data.outlined import BY_PATIENT, Layout, Roles, outlined
from training.errors import UnclearLabels, UnfitData, UnfitSetting

from .made_heads_of_brats import bids_folder, brats_folder, head, write_case, write_later_case
from .made_lidc import lidc_series
from .made_raw_folder import write_dataset, write_nifti
from .studies import write_studies

VISITS = {"sub-01": ("ses-1", "ses-2"), "sub-02": ("ses-1",), "sub-03": ("ses-1",)}


@pytest.fixture(scope="module")
def made_brats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return brats_folder(tmp_path_factory.mktemp("brats") / "data", 2)


@pytest.fixture
def brats(made_brats: Path, tmp_path: Path) -> Path:
    """A folder of one's own to spoil."""
    return Path(shutil.copytree(made_brats, tmp_path / "brats"))


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    return bids_folder(tmp_path / "bids", VISITS, "participant_id\tsex\tage\tname\nsub-01\tF\t61\tA. B.\nsub-02\tM\tn/a\tC. D.\n")


def test_a_case_of_brats_is_four_roles_and_three_structures(made_brats: Path) -> None:
    """Values and labels are those that the files' writer gave them; the structure that is number 4 there is the third here."""
    found = outlined(made_brats, (), None, over=False)
    assert (found.layout, found.modality, found.roles) == (Layout.BRATS, "MR", Roles(names=("FLAIR", "T1", "T1c", "T2")))
    assert [one.label for one in found.structures] == ["necrosis", "edema", "enhancing tumor"]
    assert "whether two are of one person" in found.split
    images, labels = head(1)
    labelled = found.cases[1].load()
    np.testing.assert_array_equal(labelled.labels, np.where(labels == 4, 3, labels))
    assert isinstance(labelled.subject, VolumeSet)
    for role, contrast in zip(("FLAIR", "T1", "T1c", "T2"), ("flair", "t1", "t1ce", "t2"), strict=True):
        np.testing.assert_array_equal(labelled.subject[role].voxels, images[contrast])


def test_some_roles_and_structures_are_learned_as_they_are_asked_for(made_brats: Path) -> None:
    """One role is one series; the first of several is the reference."""
    found = outlined(made_brats, ("enhancing tumor",), None, over=False, roles=Roles(names=("T1c", "FLAIR")))
    labelled = found.cases[0].load()
    images, labels = head(0)
    np.testing.assert_array_equal(labelled.volume.voxels, images["t1ce"])
    np.testing.assert_array_equal(labelled.labels, labels == 4)
    alone = outlined(made_brats, ("edema",), None, over=False, roles=Roles(names=("FLAIR",)))
    assert (alone.roles, type(alone.cases[0].load().subject).__name__) == (Roles(), "Volume")


def test_since_2023_names_count_the_visits_of_a_patient(tmp_path: Path) -> None:
    """Both visits of one stand on one side; labels are numbered otherwise, and mean the same."""
    for name in ("BraTS-GLI-00001-000", "BraTS-GLI-00001-001", "BraTS-GLI-00002-000"):
        write_later_case(tmp_path / "data" / name, 3)
    found = outlined(tmp_path / "data", (), None, over=False)
    assert [case.patient for case in found.cases] == ["BraTS-GLI-00001", "BraTS-GLI-00001", "BraTS-GLI-00002"]
    assert found.split == BY_PATIENT
    _, labels = head(3)
    np.testing.assert_array_equal(found.cases[0].load().labels, np.where(labels == 4, 3, labels))
    write_case(tmp_path / "data" / "BraTS20_Training_001", 0)
    with pytest.raises(UnfitData, match=r"of BraTS before 2023 and .* of a later one"):
        outlined(tmp_path / "data", (), None, over=False)


def test_a_case_without_a_role_is_left_out_or_learned_without_it(brats: Path) -> None:
    """By its name; where the role may be missing, the case is learned as it is."""
    write_case(brats / "BraTS20_Training_009", 9, ("flair", "t1", "t2"))
    found = outlined(brats, (), None, over=False)
    assert [case.name for case in found.cases] == ["BraTS20_Training_001", "BraTS20_Training_002"]
    assert found.left_out == ("BraTS20_Training_009: it has no T1c",)
    without = outlined(brats, (), None, over=False, roles=Roles(names=("FLAIR", "T1", "T1c"), optional=("T1c",)))
    subject = without.cases[2].load().subject
    assert isinstance(subject, VolumeSet)
    assert list(subject.volumes) == ["FLAIR", "T1"]


def test_values_and_places_that_do_not_fit_are_named(brats: Path) -> None:
    """A resection cavity has no number among the structures; a contrast that lies elsewhere is no channel of the first."""
    _, labels = head(0)
    write_nifti(brats / "BraTS20_Training_001" / "BraTS20_Training_001_seg.nii.gz", np.where(labels == 1, 3, labels).astype(np.uint8))
    image = nibabel.load(brats / "BraTS20_Training_002" / "BraTS20_Training_002_t2.nii.gz")
    moved = image.affine.copy()
    moved[2, 3] += 400
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(), moved), brats / "BraTS20_Training_002" / "BraTS20_Training_002_t2.nii.gz")
    first, second = outlined(brats, (), None, over=False).cases
    with pytest.raises(UnfitData, match="holds the value 3, which BraTS"):
        first.load()
    with pytest.raises(OutOfReach, match=r"T2, series .* covers 0 %"):
        second.load()


def test_visits_of_bids_are_cases_of_their_subject(bids: Path) -> None:
    """A subject is a patient; sex and age of participants.tsv are known of its cases, and its name is not."""
    found = outlined(bids, (), None, over=False, roles=Roles(names=("FLAIR",)))
    assert [(case.patient, case.name) for case in found.cases][:3] == [
        ("sub-01", "sub-01_ses-1"),
        ("sub-01", "sub-01_ses-2"),
        ("sub-02", "sub-02_ses-1"),
    ]
    assert (found.layout, found.modality, found.split) == (Layout.BIDS, "MR", BY_PATIENT)
    assert [one.label for one in found.structures] == ["lesion"]
    images, labels = head(1)
    labelled = found.cases[1].load()
    np.testing.assert_array_equal(labelled.volume.voxels, images["flair"])
    np.testing.assert_array_equal(labelled.labels, labels > 0)
    assert labelled.attributes == {"sex": "F", "age": "61"}
    assert found.cases[2].load().attributes == {"sex": "M"}


def test_which_image_was_drawn_on_is_asked_where_visits_have_several(bids: Path) -> None:
    """And a suffix stands for the only image that has it."""
    with pytest.raises(UnfitData, match="all have FLAIR, T1w; say which image they were drawn on, `--roles`"):
        outlined(bids, (), None, over=False)
    place = bids / "sub-02" / "ses-1" / "anat"
    (place / "sub-02_ses-1_T1w.nii.gz").rename(place / "sub-02_ses-1_acq-fast_T1w.nii.gz")
    found = outlined(bids, (), None, over=False, roles=Roles(names=("T1w",)))
    assert len(found.cases) == 4
    shutil.copy(place / "sub-02_ses-1_acq-fast_T1w.nii.gz", place / "sub-02_ses-1_acq-slow_T1w.nii.gz")
    found = outlined(bids, (), None, over=False, roles=Roles(names=("T1w",)))
    assert found.left_out == ("sub-02_ses-1: T1w may be any of acq-fast_T1w, acq-slow_T1w: say which, `--roles acq-fast_T1w`",)


def test_roles_of_bids_lie_on_the_grid_of_the_first(bids: Path) -> None:
    """Another image of the visit with other voxels is brought there as it is served: linearly, in the patient."""
    images, _ = head(0)
    place = bids / "sub-01" / "ses-1" / "anat" / "sub-01_ses-1_T1w.nii.gz"
    stored = nibabel.load(place)
    affine = stored.affine.copy()
    affine[:3, 0] *= 2
    # every second column alone
    nibabel.save(nibabel.Nifti1Image(np.asarray(stored.dataobj)[::2], affine), place)
    found = outlined(bids, (), None, over=False, roles=Roles(names=("FLAIR", "T1w")))
    subject = found.cases[0].load().subject
    assert isinstance(subject, VolumeSet)
    assert subject["T1w"].voxels.shape == subject["FLAIR"].voxels.shape
    flat = subject["T1w"].voxels.reshape(-1, images["t1"].shape[2])
    # columns run from the right to the left as they are written: those that were kept are as they were
    kept = [np.abs(flat[:, at::2] - images["t1"].reshape(flat.shape)[:, at::2]).max() for at in (0, 1)]
    assert min(kept) < 1e-2 < max(kept)


def test_a_map_of_labels_is_named_by_its_table(bids: Path) -> None:
    """dseg.tsv of the derivatives; a map without one is refused, as nobody could be told what a value is."""
    derivatives = bids / "derivatives"
    shutil.rmtree(derivatives / "drawn")
    _, labels = head(2)
    place = derivatives / "tumors" / "sub-02" / "ses-1" / "anat"
    place.mkdir(parents=True)
    write_nifti(place / "sub-02_ses-1_dseg.nii.gz", labels)
    with pytest.raises(UnclearLabels, match=r"has several structures, and no dseg\.tsv"):
        outlined(bids, (), None, over=False, roles=Roles(names=("FLAIR",)))
    (derivatives / "tumors" / "dseg.tsv").write_text("index\tname\n0\tbackground\n1\tnecrosis\n2\tedema\n4\tenhancing tumor\n")
    found = outlined(bids, ("enhancing tumor", "necrosis"), None, over=False, roles=Roles(names=("FLAIR",)))
    (case,) = found.cases
    expected = np.zeros_like(labels)
    expected[labels == 4] = 1
    expected[labels == 1] = 2
    np.testing.assert_array_equal(case.load().labels, expected)
    assert "sub-01_ses-1: no labels in derivatives" in found.left_out


def test_masks_that_lie_elsewhere_or_are_there_twice(bids: Path) -> None:
    """A mask in a template's space has no image here; two of one name could both be meant."""
    place = bids / "derivatives" / "drawn" / "sub-03" / "ses-1" / "anat"
    (place / "sub-03_ses-1_label-lesion_mask.nii.gz").rename(place / "sub-03_ses-1_space-MNI152_label-lesion_mask.nii.gz")
    found = outlined(bids, (), None, over=False, roles=Roles(names=("FLAIR",)))
    assert len(found.cases) == 3
    assert any("it lies in the space MNI152" in one for one in found.left_out)
    other = bids / "derivatives" / "other" / "sub-02" / "ses-1" / "anat"
    shutil.copytree(bids / "derivatives" / "drawn" / "sub-02" / "ses-1" / "anat", other)
    with pytest.raises(UnclearLabels, match='"lesion" of sub-02_ses-1 is in'):
        outlined(bids, (), None, over=False, roles=Roles(names=("FLAIR",)))


def test_channels_of_a_raw_folder_are_roles(tmp_path: Path) -> None:
    """In the order of dataset.json; a case that lacks a channel is left out by the file's name."""
    folder = tmp_path / "Dataset002_Heads"
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    write_dataset(folder, channel_names={"0": "FLAIR", "1": "T1"}, labels={"background": 0, "necrosis": 1, "edema": 2, "core": 3})
    images, labels = head(0)
    for number, contrasts in enumerate((("flair", "t1"), ("flair",))):
        for channel, contrast in enumerate(contrasts):
            write_nifti(folder / "imagesTr" / f"head_{number}_{channel:04d}.nii.gz", images[contrast])
        write_nifti(folder / "labelsTr" / f"head_{number}.nii.gz", np.where(labels == 4, 3, labels).astype(np.uint8))
    found = outlined(folder, (), None, over=False)
    (case,) = found.cases
    subject = case.load().subject
    assert isinstance(subject, VolumeSet)
    assert (found.roles.names, list(subject.volumes)) == (("FLAIR", "T1"), ["FLAIR", "T1"])
    np.testing.assert_array_equal(subject["T1"].voxels, images["t1"])
    assert "labelsTr/head_1.nii.gz: there is no imagesTr/head_1_0001.nii.gz" in found.left_out
    with pytest.raises(UnfitSetting, match=r"--roles T2: .* has the channels FLAIR, T1"):
        outlined(folder, (), None, over=False, roles=Roles(names=("T2",)))


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        (Roles(names=("FLAIR", "FLAIR")), "one is there twice"),
        (Roles(names=("FLAIR", "T1"), optional=("FLAIR",)), "--optional FLAIR"),
        (Roles(names=("FLAIR", "DWI")), "--roles DWI: BraTS has FLAIR, T1, T1c, T2"),
    ],
)
def test_roles_that_cannot_be_are_refused(made_brats: Path, roles: Roles, said: str) -> None:
    with pytest.raises(UnfitSetting) as refused:
        outlined(made_brats, (), None, over=False, roles=roles)
    assert said in str(refused.value)


def test_dicom_studies_have_no_roles_to_choose_from(tmp_path: Path) -> None:
    """What was outlined is one series; and what the files say is not said again."""
    folder = write_studies(tmp_path / "studies", 1)
    with pytest.raises(UnfitSetting, match="of DICOM studies one series is learned"):
        outlined(folder, (), None, over=False, roles=Roles(names=("T1", "T2")))


def test_readings_of_lidc_are_nodules_of_ct_series(tmp_path: Path) -> None:
    """A nodule of three readers is one, that of two is none; files of readings lie anywhere; those of radiographs are none."""
    file, cube = lidc_series(tmp_path, 1, readers=3)
    few, _ = lidc_series(tmp_path, 2, readers=2)
    for moved in (file, few):
        shutil.move(moved, tmp_path / moved.name)
    # as an editor may have stored it anew
    again = (tmp_path / few.name).read_text().replace('encoding="UTF-8"', 'encoding="UTF-16"')
    (tmp_path / few.name).write_text(again, encoding="utf-16")
    (tmp_path / "radiograph.xml").write_text('<IdriReadMessage xmlns="http://www.nih.gov"/>')
    write_series(np.zeros((1, 8, 8), dtype=np.int16), np.eye(4), tmp_path / "radiograph", modality="MR", patient_id="LIDC-IDRI-0001")
    found = outlined(tmp_path, (), None, over=False)
    assert (found.layout, found.modality, found.split) == (Layout.LIDC, "CT", BY_PATIENT)
    assert found.left_out == ("1 series of MR: readings are of CT",)
    assert [(one.label, one.type.value) for one in found.structures] == [("Nodule", "27925004")]
    loaded = {case.patient.partition("\\")[0]: case.load().labels for case in found.cases}
    np.testing.assert_array_equal(loaded["LIDC-IDRI-0001"], cube)
    assert not loaded["LIDC-IDRI-0002"].any()
    assert outlined(tmp_path, ("nodule",), None, over=False).structures == found.structures
    with pytest.raises(UnclearLabels, match=r"no label vessel; they have: Nodule"):
        outlined(tmp_path, ("vessel",), None, over=False)


def test_what_lacks_its_readings_is_told(tmp_path: Path) -> None:
    """A series without a file, one with two that differ (twice the same is one), and a file without its series are left out, by name."""
    same, _ = lidc_series(tmp_path, 1)
    shutil.copy(same, tmp_path / "again.xml")
    lacking, _ = lidc_series(tmp_path, 2)
    lacking.unlink()
    differing, _ = lidc_series(tmp_path, 3)
    (tmp_path / "other.xml").write_text(differing.read_text().replace("<texture>5", "<texture>4"))
    (tmp_path / "gone.xml").write_text(same.read_text().replace("<SeriesInstanceUid>", "<SeriesInstanceUid>9."))
    found = outlined(tmp_path, (), None, over=False)
    assert [case.patient.partition("\\")[0] for case in found.cases] == ["LIDC-IDRI-0001"]
    gone, differ, without = found.left_out
    assert ("gone.xml: it is of series 9." in gone, "and differ: take all but one" in differ) == (True, True)
    assert "no readings (LidcReadMessage) of it" in without
    shutil.rmtree(same.parent)
    shutil.rmtree(differing.parent)
    with pytest.raises(UnfitData, match="files of readings of LIDC-IDRI, and none is of a CT series that is here"):
        outlined(tmp_path, (), None, over=False)


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("annotations/instances.json", json.dumps({"images": [], "annotations": [], "categories": []}), "COCO has it (annotations/"),
        ("VOC/Annotations/1.xml", "<annotation><object/></annotation>", "Recipe detection learns the boxes, `--labels` with the folder of"),
        ("annotations.csv", "seriesuid,coordX,coordY,coordZ,diameter_mm\n", "LUNA16 has it (annotations.csv)"),
        ("subset0/1.mhd", "ObjectType = Image\n", "MetaImage files (subset0/1.mhd)"),
    ],
)
def test_a_layout_that_is_known_and_not_read_is_named(tmp_path: Path, path: str, content: str, said: str) -> None:
    """Whoever has such data is told what is not read of them, and which way there is."""
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(content)
    with pytest.raises(UnfitData) as refused:
        outlined(tmp_path, (), None, over=False)
    assert said in str(refused.value)
