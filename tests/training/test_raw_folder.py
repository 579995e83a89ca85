"""Raw folders of nnU-Net: where their voxels lie, which cases are held out, and what is said of a folder that is not as it has to be."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel.affines import apply_affine

from inference.applications.bundle.anatomy import STRUCTURES
from inference.errors import HilumError
from training import recipes
from training.data.cases import Fold, split
from training.data.coded import PRIVATE
from training.data.outlined import Layout, outlined
from training.errors import UnfitData, UnfitSetting
from training.planning import Asked

from .made_raw_folder import raw_folder, write_dataset, write_nifti
from .studies import SHAPE, thorax, write_studies

COUNT = 4


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return raw_folder(tmp_path_factory.mktemp("made") / "Dataset001_Balls", COUNT)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A folder of one's own to spoil."""
    return Path(shutil.copytree(made, tmp_path / made.name))


def said_of(folder: Path, *names: str, modality: str | None = None) -> str:
    """What is said of a folder that is refused, in reading its names or its first case."""
    with pytest.raises(HilumError) as refused:
        outlined(folder, names, modality, over=False).cases[0].load()
    return str(refused.value)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "SAL"])
def test_voxels_lie_where_nibabel_says(tmp_path: Path, axes: str) -> None:
    """However the file's axes run, the middle of the labelled voxels is where nibabel has it, with x and y the other way round (LPS)."""
    folder = raw_folder(tmp_path / axes, 1, axes)
    (case,) = outlined(folder, (), None, over=False).cases
    labelled = case.load()
    stored = nibabel.load(folder / "labelsTr" / "ball_000.nii.gz")
    middle = apply_affine(stored.affine, np.argwhere(np.asanyarray(stored.dataobj))).mean(axis=0)
    found = (labelled.volume.affine @ np.append(np.argwhere(labelled.labels).mean(axis=0), 1))[:3]
    np.testing.assert_allclose(found, middle * (-1, -1, 1), atol=1e-3)
    # and each has its own value: brighter where the ball is
    voxels, ball = thorax(0)
    assert labelled.volume.voxels[labelled.labels > 0].sum() == voxels[ball].sum()


def test_a_folder_is_what_its_names_say(folder: Path) -> None:
    """Every case by name, each a patient, and said so; a label by its code where the name is known."""
    found = outlined(folder, (), None, over=False)
    assert (found.layout, found.modality, found.left_out) == (Layout.NNUNET, "CT", ())
    assert [case.name for case in found.cases] == [f"ball_{number:03d}" for number in range(COUNT)]
    assert "whether two are of one person, they do not tell" in found.split
    (lesion,) = found.structures
    assert (lesion.label, lesion.type) == ("lesion", STRUCTURES["lesion"].of.type)


def test_files_without_their_other_half_are_told(folder: Path) -> None:
    """An image without labels, labels without an image; copies that a Mac leaves behind are neither."""
    (folder / "labelsTr" / "ball_000.nii.gz").unlink()
    (folder / "imagesTr" / "ball_001_0000.nii.gz").unlink()
    (folder / "labelsTr" / "._ball_002.nii.gz").write_bytes(b"")
    found = outlined(folder, (), None, over=False)
    assert [case.name for case in found.cases] == ["ball_002", "ball_003"]
    assert found.left_out == (
        "labelsTr/ball_001.nii.gz: there is no imagesTr/ball_001_0000.nii.gz",
        "imagesTr/ball_000_0000.nii.gz: no labels in labelsTr",
    )


def test_the_decathlon_is_read_too(folder: Path) -> None:
    """Its images have no channel in their names, its labels are the other way round, and its channels are called modality."""
    for image in (folder / "imagesTr").iterdir():
        image.rename(image.with_name(image.name.replace("_0000", "")))
    write_dataset(folder, channel_names=None, file_ending=None, modality={"0": "CT"}, labels={"0": "background", "1": "lesion"})
    assert len(outlined(folder, (), None, over=False).cases) == COUNT


def test_files_may_be_listed(folder: Path) -> None:
    """nnU-Net reads the paths of images and labels out of dataset.json where they stand there."""
    listed = {"one": {"images": ["imagesTr/ball_003_0000.nii.gz"], "label": "labelsTr/ball_003.nii.gz"}}
    write_dataset(folder, dataset={**listed, "gone": {"images": ["imagesTr/no.nii.gz"], "label": "labelsTr/ball_001.nii.gz"}})
    found = outlined(folder, (), None, over=False)
    assert [case.name for case in found.cases] == ["one"]
    assert found.left_out == (f"gone: {folder / 'imagesTr/no.nii.gz'} is not there",)
    # what two names call one image would be trained on and held out
    same = {"images": ["labelsTr/../imagesTr/ball_003_0000.nii.gz"], "label": "labelsTr/ball_003.nii.gz"}
    write_dataset(folder, dataset={**listed, "two": same})
    assert '"one" and "two" are one image' in said_of(folder)
    write_dataset(folder, dataset={"one": {"images": []}})
    assert '"one" does not name one image and its label' in said_of(folder)


def with_labels(folder: Path, *, names: dict[str, int], values: tuple[int, int]) -> None:
    """The first case with the ball's halves under two values."""
    _, ball = thorax(0)
    halves = ball * np.where(np.arange(SHAPE[0])[:, None, None] < np.argwhere(ball)[:, 0].mean(), *values)
    write_nifti(folder / "labelsTr" / "ball_000.nii.gz", halves.astype(np.uint8))
    write_dataset(folder, labels={"background": 0, **names})


def test_some_labels_are_learned_in_the_order_that_is_asked(folder: Path) -> None:
    """Those that are not named are background; names may be written as people do, or as a code says them."""
    with_labels(folder, names={"liver_tumor": 1, "SCT:23451007:Adrenal gland": 2}, values=(1, 2))
    first = outlined(folder, (), None, over=False).cases[0].load().labels
    asked = outlined(folder, ("adrenal gland", "Liver tumor"), None, over=False)
    assert [one.type.value for one in asked.structures] == ["23451007", "108369006"]
    assert asked.structures[1].site is not None, "a tumour has a place"
    np.testing.assert_array_equal(asked.cases[0].load().labels, np.choose(first, (0, 2, 1)))
    alone = outlined(folder, ("Liver tumor",), None, over=False).cases[0].load().labels
    np.testing.assert_array_equal(alone, first == 1)
    assert "has no label kidney; it has: liver_tumor, SCT:23451007:Adrenal gland" in said_of(folder, "kidney")
    with_labels(folder, names={"tumor": 1, "tumour": 2}, values=(1, 2))
    assert "two of tumor, tumour have one name or one code" in said_of(folder)
    with_labels(folder, names={"front of it": 1, "back": 2}, values=(1, 2))
    assert {one.type.scheme for one in outlined(folder, (), None, over=False).structures} == {PRIVATE}


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ({"labels": None}, "has no labels"),
        ({"labels": {"background": 0, "a": 2}}, "numbered from 0, the background, without a gap"),
        ({"labels": {"background": 0, "a": 1, "ignore": 2}}, 'has a label "ignore"'),
        ({"labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1, 2]}, "regions that overlap (whole, core)"),
        ({"labels": {"background": 0}}, "has no label beside the background"),
        ({"labels": {"background": 0, "": 1}}, "label '' is empty"),
        ({"labels": {"background": 0, "a\\b": 1}}, "has a backslash"),
        ({"labels": {"background": 0, "a\x07": 1}}, "a sign that is not printed"),
        ({"channel_names": {"0": "T1", "1": "T2"}}, "there is no imagesTr/ball_000_0001.nii.gz"),
        ({"channel_names": {"0": "photograph"}}, 'calls its channel "photograph", which is no modality of volumes'),
        ({"channel_names": None}, "channel_names"),
        ({"file_ending": ".png"}, "files end in '.png', and NIfTI is read here"),
        ({"file_ending": ".nii"}, "no NAME.nii in labelsTr has an image imagesTr/NAME_0000.nii"),
    ],
)
def test_what_is_not_learned_is_refused(folder: Path, dataset: dict[str, Any], said: str) -> None:
    """With the file, and what to do."""
    write_dataset(folder, **dataset)
    assert said in said_of(folder)


def test_a_channel_that_names_no_modality_is_told_by_an_option(folder: Path, tmp_path: Path) -> None:
    """What DICOM files say themselves is not asked for."""
    write_dataset(folder, channel_names={"0": "L1"})
    assert outlined(folder, (), "mri", over=False).modality == "MR"
    assert "--modality DX, which is no modality of volumes" in said_of(folder, modality="DX")
    with pytest.raises(UnfitSetting, match="DICOM files, which say it themselves"):
        outlined(write_studies(tmp_path / "studies", 1), (), "CT", over=False)


def broken_image(folder: Path) -> None:
    (folder / "imagesTr" / "ball_000_0000.nii.gz").write_bytes(b"no volume")


def cut_image(folder: Path) -> None:
    path = folder / "imagesTr" / "ball_000_0000.nii.gz"
    path.write_bytes(path.read_bytes()[:2000])


def another_grid(folder: Path) -> None:
    write_nifti(folder / "labelsTr" / "ball_000.nii.gz", np.zeros((5, 5, 5), dtype=np.uint8))


def another_place(folder: Path) -> None:
    path = folder / "labelsTr" / "ball_000.nii.gz"
    stored = nibabel.load(path)
    moved = stored.affine.copy()
    moved[0, 3] += 1.0
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(stored.dataobj), moved), path)


def nowhere(folder: Path) -> None:
    path = folder / "imagesTr" / "ball_000_0000.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(nibabel.load(path).dataobj), None), path)


def halves(folder: Path) -> None:
    write_nifti(folder / "labelsTr" / "ball_000.nii.gz", np.full(SHAPE, 0.5, dtype=np.float32))


def another_value(folder: Path) -> None:
    write_nifti(folder / "labelsTr" / "ball_000.nii.gz", np.full(SHAPE, 7, dtype=np.uint8))


def no_number(folder: Path) -> None:
    voxels = np.zeros(SHAPE, dtype=np.float32)
    voxels[1, 2, 3] = np.nan
    write_nifti(folder / "imagesTr" / "ball_000_0000.nii.gz", voxels)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (broken_image, "ball_000_0000.nii.gz cannot be read as a volume"),
        (cut_image, "ball_000_0000.nii.gz cannot be read as a volume"),
        (another_grid, "is not on the grid of"),
        (another_place, "is not on the grid of"),
        (nowhere, "does not say where its axes run (sform and qform have no code)"),
        (halves, "holds other values than whole ones from 0 to 255"),
        (another_value, "holds the value 7, which dataset.json does not name"),
        (no_number, "1 voxels are no finite numbers"),
    ],
)
def test_a_case_that_cannot_be_learned_from_is_named(folder: Path, mistake: Callable[[Path], None], said: str) -> None:
    """By its file, with what is wrong with it."""
    mistake(folder)
    assert said in said_of(folder)


def splits(folder: Path, *sides: tuple[str, str]) -> Path:
    """splits_final.json in the folder: of each fold the numbers that train and that are held out, a digit each."""
    said = [{side: [f"ball_00{digit}" for digit in digits] for side, digits in zip(("train", "val"), one, strict=True)} for one in sides]
    path = folder / "splits_final.json"
    path.write_text(json.dumps(said), encoding="utf-8")
    return path


def test_folds_of_nnunet_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first holds out where none is asked for; each holds out its own, wherever nnU-Net laid the file; a case in none is left out."""
    folder = raw_folder(tmp_path / "nnUNet_raw" / "Dataset001_Balls", 6)
    parted = splits(folder, ("234", "01"), ("014", "23"))
    found = outlined(folder, (), None, over=False)
    assert found.left_out == ("ball_005: in no fold of splits_final.json",)
    assert "splits_final.json" in found.split
    for fold, held_out in ((None, "01"), (Fold(number=1, count=2), "01"), (Fold(number=2, count=2), "23")):
        sides = split(found.cases, 0, fold)
        assert [case.name[-1] for case in sides.test] == list(held_out)
        assert (len(sides.validation), len(sides.train)) == (1, 2)
    with pytest.raises(UnfitData, match="the data bring 2 folds along"):
        split(found.cases, 0, Fold(number=1, count=5))
    (tmp_path / "nnUNet_preprocessed" / folder.name).mkdir(parents=True)
    parted.rename(tmp_path / "nnUNet_preprocessed" / folder.name / parted.name)
    assert [case.part for case in outlined(folder, (), None, over=False).cases] == [1, 1, 2, 2, 0]
    monkeypatch.chdir(folder.parent)
    assert [case.part for case in outlined(Path(folder.name), (), None, over=False).cases] == [1, 1, 2, 2, 0]


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        ([("12", "01")], 'fold 1 trains on "ball_001", which fold 1 holds out'),
        ([("23", "01"), ("02", "13")], 'fold 1 holds out, too, "ball_001", which fold 2 holds out'),
        ([("12", "09")], "cases that it holds out are not in"),
        ([("2", "01"), ("01", "23")], 'fold 1 neither trains on "ball_003" nor holds it out'),
    ],
)
def test_folds_that_judge_nothing_are_refused(folder: Path, sides: list[tuple[str, str]], said: str) -> None:
    splits(folder, *sides)
    assert said in said_of(folder)


def test_files_that_are_no_json_are_named(folder: Path) -> None:
    splits(folder).write_text("{}[")
    assert "splits_final.json cannot be read as JSON" in said_of(folder)
    (folder / "splits_final.json").write_text('[{"train": []}]')
    assert 'is no list of folds with "train" and "val"' in said_of(folder)
    (folder / "dataset.json").write_text("[]")
    assert "is no object of JSON" in said_of(folder)


def test_a_run_goes_on_with_the_same_cases_alone(tmp_path: Path) -> None:
    """Its plan says how the data lie; begun again it finds the same cases, and not where another file holds out others."""
    folder = raw_folder(tmp_path / "Dataset001_Balls", 6)
    told: list[str] = []
    asked = Asked(name="balls", window=(16, 16, 16))
    first = recipes.begun("segmentation", folder, tmp_path / "run", 0, asked, told.append)
    again = recipes.begun("segmentation", folder, tmp_path / "run", 0, asked, told.append)
    assert [line.partition(":")[0] for line in told] == ["6 series of 6 patients, CT"], "planned once"
    assert told[0].endswith("split by the names of the cases; whether two are of one person, they do not tell")
    assert "a raw folder of nnU-Net" in again.data.name
    assert [case.name for case in again.sides(folder, 0).test] == [case.name for case in first.sides(folder, 0).test]
    loaded = recipes.load("segmentation", tmp_path / "run")
    assert [case.name for case in loaded.sides(folder, 0).train] == [case.name for case in first.sides(folder, 0).train]
    splits(folder, ("01234", "5"))
    with pytest.raises(HilumError, match="was planned for the training cases of seed 0"):
        recipes.begun("segmentation", folder, tmp_path / "run", 0, asked, told.append)
