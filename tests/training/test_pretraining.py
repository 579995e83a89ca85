"""Pre-training without labels: what it learns of a network, where a training begins with it, who is not looked at, and what is refused."""

import shlex
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.networks.nets.unet import UNet

from tests.lab.howto import HowTo
from tests.unit.cli.conftest import Run
from tests.unit.cli.conftest import run as run
from training import cli, recipes
from training.augment import cutting
from training.checkpoint import load
from training.data.cases import Case, Split
from training.errors import OtherRun, UnfitData, UnfitSetting
from training.evaluation.record import read
from training.fit import BEST, LAST
from training.planning import Asked
from training.prepared import Prepared
from training.pretraining.beginning import PRETRAINED, Beginning, begun, begun_with, pretraining
from training.pretraining.deepest import answering, deepest, features
from training.pretraining.no_images import no_image
from training.pretraining.pretexts import COVERED, PRETEXTS, By, alike, covered
from training.pretraining.unlabelled import unlabelled
from training.progress import Silent
from training.ranks import Ranks
from training.recipe import Example, Recipe
from training.recipes.classification import network as residual
from training.recipes.hippocampus import network as unet
from training.tabled.files import volume_in

from .labelled_radiographs import radiograph, spotted, write_labelled, write_table
from .made import as_recipe, crops, tiny
from .made_radiographs import tiny as several
from .studies import write_studies, write_study

pytestmark = pytest.mark.slow

CROP = (1, 48, 64, 48)


def _untold(line: str) -> None:
    """Whatever is said."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crops(tmp_path_factory.mktemp("made"), count=16)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return tiny()


@pytest.fixture(scope="module")
def sides(data: Path, recipe: Recipe) -> Split:
    return recipe.sides(data, 0)


@pytest.fixture(scope="module", params=list(By))
def pretrained(request: pytest.FixtureRequest, recipe: Recipe, sides: Split, tmp_path_factory: pytest.TempPathFactory) -> tuple[By, Path]:
    """A run of two epochs, begun and not trained."""
    run = tmp_path_factory.mktemp("run")
    begun(recipe, sides, run, Beginning(by=request.param, epochs=2), recipe.schedule, Ranks(), Silent(), _untold)
    return request.param, run


def test_the_deepest_map_is_the_turn_of_a_u_net_and_what_a_residual_network_pools() -> None:
    """By counting the halvings: three steps of two make 6 × 8 × 6 of 48 × 64 × 48; five make 2 × 2 of 64 × 64."""
    turned = unet((8, 16, 32, 64), (2, 2, 2))
    assert features(turned, deepest(turned, CROP), torch.zeros(1, *CROP)).shape[2:] == (6, 8, 6)
    pooled = residual(2, 3)
    assert features(pooled, deepest(pooled, (1, 64, 64)), torch.zeros(1, 1, 64, 64)).shape[1:] == (128, 2, 2)
    assert answering(pooled, (1, 64, 64)) == "fc"


def test_three_fifths_of_the_blocks_are_covered_the_same_for_the_same_seed() -> None:
    image = np.ones(CROP, dtype=np.float32)
    hidden = covered(image, 3)
    assert hidden.shape == CROP
    assert hidden.mean() == pytest.approx(COVERED, abs=0.01)
    # blocks of 6 × 8 × 6: none is covered in part
    shares = hidden[0].reshape(8, 6, 8, 8, 8, 6).mean(axis=(1, 3, 5))
    assert set(np.unique(shares)) == {0.0, 1.0}
    np.testing.assert_array_equal(hidden, covered(image, 3))
    assert (hidden != covered(image, 4)).any()


def test_views_that_are_told_apart_cost_what_arithmetic_says() -> None:
    """Two images, each view the other's very direction, and the images at right angles: −log(e⁵ / (e⁵ + 2))."""
    told = torch.eye(2)[:, None].repeat(1, 2, 1)
    assert float(alike(told, torch.zeros(2, 1))) == pytest.approx(-np.log(np.exp(5) / (np.exp(5) + 2)), abs=1e-6)
    mistaken = torch.stack([torch.eye(2), torch.eye(2).flip(0)], dim=1)
    assert float(alike(mistaken, torch.zeros(2, 1))) > 4


def test_one_image_is_too_few_to_choose_by_views(recipe: Recipe, sides: Split, tmp_path: Path) -> None:
    """A view among no others costs nothing, whatever was learned: ten images, one of which would choose, are refused."""
    assert float(alike(torch.eye(2)[None], torch.zeros(1, 1))) == 0
    ten = replace(sides, train=sides.train[:10])
    with pytest.raises(UnfitSetting, match="10 images are too few"):
        begun(recipe, ten, tmp_path, Beginning(by=By.CONTRASTIVE, epochs=1), recipe.schedule, Ranks(), Silent(), _untold)
    with pytest.raises(UnfitSetting, match="1 at the least"):
        Beginning(by=By.MASKED, epochs=0).checked()


def test_labels_change_nothing_of_what_is_learned(recipe: Recipe, sides: Split, tmp_path: Path) -> None:
    """The same images with labels that are all 0 give the same weights, bit for bit; of a recipe that cuts windows around labels."""
    small = (16, 32, 16)
    recipe = replace(recipe, window=small, augment=cutting(small, recipe.augment))

    def blank(labelled: object) -> Example:
        shown = recipe.example(labelled)  # type: ignore[arg-type]  # of whatever a case loads
        return Example(image=shown.image, target=np.zeros_like(shown.target))

    found = []
    for name, one in (("with", recipe), ("without", replace(recipe, example=blank))):
        begun(one, sides, tmp_path / name, Beginning(by=By.MASKED, epochs=1), recipe.schedule, Ranks(), Silent(), _untold)
        found.append(load(tmp_path / name / PRETRAINED))
    assert found[0] is not None
    assert found[1] is not None
    for name, values in found[0]["network"].items():
        assert torch.equal(values, found[1]["network"][name]), name


def test_what_was_learned_is_what_the_training_begins_with(pretrained: tuple[By, Path], recipe: Recipe, sides: Split) -> None:
    """Covered: all but the layer that answers; views: what lies before the turn. The rest is drawn as always."""
    by, run = pretrained
    state = load(run / PRETRAINED)
    assert state is not None
    learned = state["network"]
    torch.manual_seed(0)
    drawn = recipe.network().state_dict()
    begun_so = begun_with(recipe, run / PRETRAINED, sides, lambda line: pytest.fail(line))
    torch.manual_seed(0)
    begins = begun_so.network().state_dict()
    for name, values in begins.items():
        assert torch.equal(values, learned.get(name, drawn[name])), name
    last = answering(recipe.network(), CROP)
    assert not any(name.startswith(f"{last}.") for name in learned)
    assert all(not torch.equal(values, drawn[name]) for name, values in learned.items() if name.endswith("conv.weight"))
    assert (len(learned) < len(drawn) - 2) == (by is By.CONTRASTIVE)


def test_the_command_pre_trains_trains_and_goes_on_and_refuses_other_first_weights(
    data: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run says what it began with; `--from` begins another with the same; the run itself goes on with nothing else."""
    as_recipe(monkeypatch, "hippocampus", recipe)
    train = partial(cli.train, "hippocampus", data=data, epochs=1, batch=2, device="cpu")
    assert train(out=tmp_path / "one", pretrain="masked") == 0
    assert "pre-trained on 11 images, labels unread: 1 epochs" in capsys.readouterr().err
    assert train(out=tmp_path / "two", begin=tmp_path / "one" / PRETRAINED) == 0
    states = [load(tmp_path / name / LAST) for name in ("one", "two")]
    assert states[0] is not None
    assert states[1] is not None
    assert "begun with hippocampus masked" in states[0]["identity"]
    assert states[0]["identity"] == states[1]["identity"]
    for name, values in states[0]["network"].items():
        assert torch.equal(values, states[1]["network"][name]), name
    with pytest.raises(OtherRun):
        train(out=tmp_path / "one")
    # before anything is learned
    with pytest.raises(OtherRun, match="did not begin so"):
        train(out=tmp_path / "one", pretrain="contrastive")
    assert "OTHER CASES" not in capsys.readouterr().err
    # another split: those who are held out trained what it begins with, and what begins with that in its turn
    assert train(out=tmp_path / "other", begin=tmp_path / "two" / BEST, seed=1) == 0
    assert f"{tmp_path / 'two' / BEST} WAS LEARNED ON OTHER CASES" in capsys.readouterr().err
    assert train(out=tmp_path / "more", begin=tmp_path / "other" / BEST, seed=1) == 0
    assert f"{tmp_path / 'other' / BEST} WAS LEARNED ON OTHER CASES" in capsys.readouterr().err
    last = load(tmp_path / "more" / LAST)
    assert last is not None
    assert "which may know who is held out; " in last["identity"]
    with pytest.raises(UnfitSetting, match="do not go together"):
        train(out=tmp_path / "three", pretrain="masked", begin=tmp_path / "one" / PRETRAINED)
    with pytest.raises(UnfitSetting, match="go with --pretrain"):
        train(out=tmp_path / "three", unlabelled=data)


def test_images_of_a_folder_are_learned_from_and_held_out_patients_are_not(
    data: Path, recipe: Recipe, sides: Split, tmp_path: Path
) -> None:
    """Of the folder that the data themselves are, with another file besides, those who choose or are held out are left out by name."""
    folder = tmp_path / "more"
    shutil.copytree(data / "images", folder)
    (folder / "broken.nii.gz").write_bytes(b"no volume")
    radiograph(folder / "film.dcm", spotted(0, True), 0)
    apart = (*sides.validation, *sides.test)
    found = unlabelled(folder, recipe, None, apart)
    assert {case.name for case in found.cases} == {f"unlabelled {case.patient}.nii.gz" for case in sides.train}
    assert len(found.left_out) == len(apart) + 2
    for name, why in (("broken.nii.gz", "cannot be read"), ("film.dcm", "takes volume, not images")):
        assert any(reason.startswith(name) and why in reason for reason in found.left_out), found.left_out
    shown = recipe.example(found.cases[0].load())
    alike = next(case for case in sides.train if found.cases[0].name == f"unlabelled {case.patient}.nii.gz")
    np.testing.assert_array_equal(shown.image, recipe.example(alike.load()).image)
    with pytest.raises(UnfitData, match="nothing in it can be learned from"):
        unlabelled(folder, recipe, None, (*sides.train, *sides.validation, *sides.test))


def test_label_maps_and_images_of_another_modality_are_not_learned_from(data: Path, recipe: Recipe, sides: Split, tmp_path: Path) -> None:
    """A label map under any name, by its values: two structures, and a hundred in blobs; and an image in a folder of labels, or named as
    BIDS names them. A CT in HU among MR. Each with what is against it."""
    image = data / "images" / f"{sides.train[0].patient}.nii.gz"
    voxels = np.asarray(nibabel.load(image).dataobj)
    z, y, x = np.indices(voxels.shape)
    for name, values in (
        ("two", 2 * (z > 9) + (y > 20)),
        ("many", 1 + (z // 6) + 8 * (y // 6) + 64 * (x // 6)),
        ("ct", np.where(z < 4, -1000, np.random.default_rng(0).integers(-100, 300, voxels.shape))),
    ):
        nibabel.save(nibabel.Nifti1Image(values.astype(np.int16), nibabel.load(image).affine), tmp_path / f"{name}.nii.gz")
    (tmp_path / "labelsTr").mkdir()
    for name in ("labelsTr/one", "sub-01_T1w", "sub-01_desc-hand_mask"):
        shutil.copy(image, tmp_path / f"{name}.nii.gz")
    found = unlabelled(tmp_path, recipe, None, ())
    assert [case.name for case in found.cases] == ["unlabelled sub-01_T1w.nii.gz"]
    for name, why in (
        ("two", "values are those of labels"),
        ("many", "values are those of labels"),
        ("ct", "as CT in HU has"),
        ("labelsTr/one", "named as labels are"),
        ("sub-01_desc-hand_mask", "named as labels are"),
    ):
        assert any(reason.startswith(f"{name}.nii.gz: ") and why in reason for reason in found.left_out), found.left_out


def test_what_is_read_as_ct_has_values_below_water(data: Path, sides: Split) -> None:
    """An MR of a folder that is learned from as CT: its header cannot say, its values do."""
    volume = volume_in(data / "images" / f"{sides.train[0].patient}.nii.gz", "CT")
    assert "read as CT, none of its values is below 0" in no_image(Path("one.nii.gz"), volume, of_dicom=False)
    assert no_image(Path("one.nii.gz"), volume, of_dicom=True) == ""
    assert no_image(Path("one.nii.gz"), replace(volume, modality="MR"), of_dicom=False) == ""
    in_hu = replace(volume, voxels=volume.voxels.astype(np.int16) - 1000)
    assert no_image(Path("one.nii.gz"), in_hu, of_dicom=False) == ""


def test_an_example_is_the_same_whether_memory_had_room_for_it_or_not(recipe: Recipe, sides: Split) -> None:
    """Room for one of them: it is prepared once, the others each time that they are drawn; all as the recipe prepares them."""
    read: list[str] = []

    def counted(case: Case) -> Case:
        def load() -> Any:
            read.append(case.name)
            return case.load()

        return replace(case, load=load)

    cases = [counted(case) for case in sides.train[:2]]
    whole = [recipe.example(case.load()) for case in sides.train[:2]]
    prepared = Prepared(recipe, cases, most_bytes=whole[0].image.nbytes + whole[0].target.nbytes)
    for draw in (0, 1, 2, 3):
        np.testing.assert_array_equal(prepared.of(draw).image, whole[draw % 2].image)
    assert read == [cases[0].name, cases[1].name, cases[1].name]


def test_an_image_of_who_is_held_out_is_known_by_its_voxels_and_by_names_of_other_layouts(
    data: Path, recipe: Recipe, sides: Split, tmp_path: Path
) -> None:
    """As nnU-Net and BIDS would call the same files, in a folder of the patient, and under a name that says nothing."""
    rng = np.random.default_rng(0)
    for case in (*sides.train, *sides.validation, *sides.test):
        for name in (f"{case.patient}_0000", f"{case.patient}-T1w", f"other {case.patient}"):
            shutil.copy(data / "images" / f"{case.patient}.nii.gz", tmp_path / f"{name}.nii.gz")
        (tmp_path / case.patient).mkdir()
        other = rng.integers(0, 400, (32, 40, 30)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(other, np.eye(4)), tmp_path / case.patient / "second.nii.gz")
    apart = (*sides.validation, *sides.test)
    found = unlabelled(tmp_path, recipe, None, apart)
    assert len(found.cases) == 4 * len(sides.train)
    assert len(found.left_out) == 4 * len(apart)
    assert not any(case.patient in one.name for case in apart for one in found.cases)
    assert found.nameless == len(found.cases)


def _classified(folder: Path, run: Path) -> tuple[Recipe, Split]:
    asked = Asked(name="spots", labels=(str(folder / "labels.csv"),))
    recipe = recipes.begun("classification", folder, run, 0, asked, lambda _: None, None)
    return recipe, recipe.sides(folder, 0)


def test_who_is_held_out_is_known_by_each_id_with_and_without_an_issuer(tmp_path: Path) -> None:
    """Each person has two PatientIDs in the labelled folder, and the archive a third image under the second ID, or one without issuer."""
    lines = []
    for number in range(24):
        said = {"PatientName": f"Doe^{number}", "PatientBirthDate": "19500102"}
        for one, ID in ((number, f"P{number}"), (100 + number, f"Q{number}")):
            more = {"PatientID": ID, "IssuerOfPatientID": "HOSP"}
            study = radiograph(tmp_path / "labelled" / f"{one}.dcm", spotted(one, not number % 2), one, **said, **more)
            lines.append({"StudyInstanceUID": study, "Spots": ("fine", "broad")[number % 2]})
        issuer = {"IssuerOfPatientID": "HOSP"} if number % 3 else {}
        radiograph(tmp_path / "more" / f"{number}.dcm", spotted(200 + number, True), 200 + number, PatientID=f"Q{number}", **issuer)
    write_table(tmp_path / "labelled" / "labels.csv", lines)
    recipe, sides = _classified(tmp_path / "labelled", tmp_path / "run")
    trained_on = {int(case.name.split(".")[3]) % 100 for case in sides.train}
    assert 0 < len(trained_on) < 24
    found = unlabelled(tmp_path / "more", recipe, None, (*sides.validation, *sides.test))
    assert {int(case.name.removesuffix(".dcm").split()[1]) for case in found.cases} == trained_on
    assert found.nameless == 0


def test_the_very_image_of_who_is_held_out_is_known_where_no_patient_is_named(tmp_path: Path) -> None:
    """Of cases that name no patient each counts as one: that of the archive is known by its UID, and by its pixels under another."""
    lines = []
    for number in range(30):
        study = radiograph(tmp_path / "labelled" / f"{number}.dcm", spotted(number, not number % 2), number, PatientID="")
        lines.append({"StudyInstanceUID": study, "Spots": ("fine", "broad")[number % 2]})
        # the same instance with other values of its pixels, as it was processed; and the same values under another UID
        radiograph(tmp_path / "more" / f"a{number}.dcm", spotted(500 + number, True), number, PatientID="")
        radiograph(tmp_path / "more" / f"b{number}.dcm", spotted(number, not number % 2), 300 + number, PatientID="")
    write_table(tmp_path / "labelled" / "labels.csv", lines)
    recipe, sides = _classified(tmp_path / "labelled", tmp_path / "run")
    found = unlabelled(tmp_path / "more", recipe, None, (*sides.validation, *sides.test))
    trained_on = {int(case.name.split(".")[3]) for case in sides.train}
    assert {case.name for case in found.cases} == {f"unlabelled {kind}{number}.dcm" for kind in "ab" for number in trained_on}
    assert found.nameless == len(found.cases)


def test_pictures_without_a_table_pre_train_a_classifier(tmp_path: Path) -> None:
    """Radiographs (DICOM) of a folder beside labelled ones: its network begins with what it learned of both."""
    table = write_labelled(tmp_path / "labelled", count=40)
    write_labelled(tmp_path / "more", count=12)
    out = tmp_path / "run"
    done = cli.train(
        "classification",
        data=tmp_path / "labelled",
        labels=(str(table),),
        out=out,
        name="spots",
        epochs=1,
        pretrain="contrastive",
        pretrain_epochs=1,
        unlabelled=tmp_path / "more",
        device="cpu",
    )
    assert done == 0
    learned = load(out / PRETRAINED)
    assert learned is not None
    assert "conv1.weight" in learned["network"]
    assert not any(name.startswith("fc") for name in learned["network"])


def test_recipes_with_several_networks_and_weights_of_another_network_are_refused(
    pretrained: tuple[By, Path], recipe: Recipe, sides: Split
) -> None:
    _, run = pretrained
    with pytest.raises(UnfitSetting, match="networks of its own"):
        pretraining(several(), By.MASKED)
    # of five labels instead of three: all but the last layers fit
    five = partial(UNet, 3, 1, 5, (8, 16, 32), (2, 2), num_res_units=1, norm="INSTANCE")
    begun_with(replace(recipe, network=five), run / PRETRAINED, sides, _untold).network()
    with pytest.raises(UnfitSetting, match="another network"):
        begun_with(replace(recipe, network=partial(unet, (16, 32), (2,))), run / PRETRAINED, sides, _untold)


def test_every_task_without_labels_is_told_by_its_own_name() -> None:
    assert set(PRETEXTS) == set(By)
    assert len({pretext.figure for pretext in PRETEXTS.values()}) == len(By)


def test_the_page_is_followed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Learned without labels from an archive besides, evaluated with what it began with on its card; another run begins with the same."""
    monkeypatch.chdir(tmp_path)
    write_studies(tmp_path / "LABELLED", 10)
    for seed in range(20, 26):
        write_study(tmp_path / "ARCHIVE", seed)
    page = HowTo("few-labels.md")
    train, evaluate, again, choose = page.commands()
    for command in (train, evaluate, again, choose):
        program, *words = shlex.split(page.typed(command))
        assert program == "hilum"
        short = ["--epochs", "1", "--name", "balls"] if words[0] == "train" else []
        short += ["--pretrain-epochs", "1"] if "--pretrain" in words else []
        said = run(*words, *short)
        assert said.code == 0, (command, said)
    found = read(tmp_path / "var" / "training" / "segmentation")
    assert "begun with segmentation masked" in found["run"]
    page.followed()
