"""Tables whose lines name several series of a case: how each is found, what is said of others, and what a network makes of them."""

import csv
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom import dcmread
from pydicom.uid import UID

from inference.applications.port import ModelRef
from inference.imaging.errors import EvenRole
from inference.imaging.subject import Images, Takes, VolumeSet
from inference.imaging.subjects import subjects
from training import recipes
from training.data.outlined import Roles
from training.errors import OtherRun, UnfitData, UnfitSetting
from training.networks.late_fusion import LateFusion
from training.planning import Asked
from training.recipe import Example
from training.tabled.hygiene import clean
from training.tabled.labels import read_labels, read_numbers
from training.tabled.participants import of_participants
from training.tabled.roles import in_roles

from .labelled_radiographs import ROOT, radiograph, spotted
from .made_heads_of_brats import bids_folder
from .made_raw_folder import write_nifti
from .made_rings import NAMES, SHAPES, head, series_of, study_of, write_rings, write_study

BOTH = Roles(names=NAMES)
WITHOUT = Roles(names=NAMES, optional=("FLAIR",))


def table(file: Path, columns: Sequence[str], *rows: Sequence[str]) -> Path:
    with file.open("w", newline="") as lines:
        csv.writer(lines).writerows([columns, *rows])
    return file


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four studies of two series, and a fifth that lacks the FLAIR."""
    folder = tmp_path_factory.mktemp("studies")
    for number in range(5):
        write_study(folder, number, NAMES[:1] if number == 4 else NAMES)
    return folder


def test_a_cell_names_a_series_by_its_uid_or_its_description(studies: Path, tmp_path: Path) -> None:
    """The second series lies on the grid of the first as in serving, whoever comes first; an empty cell is a missing role."""
    read = read_labels(
        table(
            tmp_path / "t.csv",
            ("StudyInstanceUID", *NAMES, "Finding"),
            (study_of(0), "t1", "FLAIR", "normal"),
            (study_of(1), series_of(1, "T1"), series_of(1, "FLAIR"), "ring"),
            (study_of(4), "T1", "", "normal"),
        ),
        roles=NAMES,
    )
    assert [code.meaning for code in read.channels] == ["normal", "ring"], "columns of roles are no labels"
    found = in_roles(studies, read, None, WITHOUT)
    assert [(case.name, case.patient.partition("\\")[0]) for case in found.cases] == [
        (series_of(number, "T1"), f"P-{number}") for number in (0, 1, 4)
    ]
    assert not found.lost
    assert set(found.unlabelled) == {series_of(number, name) for number in (2, 3) for name in NAMES}
    both, _, alone = (case.subject() for case in found.cases)
    assert isinstance(both, VolumeSet)
    assert isinstance(alone, VolumeSet)
    assert [*both.volumes] == ["T1", "FLAIR"]
    assert [*alone.volumes] == ["T1"]
    assert both["FLAIR"].voxels.shape == SHAPES["T1"]
    np.testing.assert_array_equal(both["T1"].voxels, head(0, "T1"))
    bright = [np.argwhere(both[role].voxels > 450).mean(axis=0) for role in NAMES]
    assert np.abs(bright[0] - bright[1]).max() < 1, "the ball is in one place"


def test_roles_are_descriptions_where_no_column_is_called_so(studies: Path, tmp_path: Path) -> None:
    """A study that lacks a series is learned from where that may be missing, and else named."""
    rows = [(study_of(number), ("normal", "ring")[number % 2]) for number in range(5)]
    read = read_labels(table(tmp_path / "t.csv", ("StudyInstanceUID", "Finding"), *rows), roles=NAMES)
    assert len(in_roles(studies, read, None, WITHOUT).cases) == 5
    found = in_roles(studies, read, None, BOTH)
    assert len(found.cases) == 4
    assert found.lost == ("line 6: it has no FLAIR, and --optional does not name what may be missing",)


def test_a_radiograph_in_a_study_of_volumes_is_no_view(tmp_path: Path) -> None:
    """Roles that its volumes are called by are series, whatever else was taken in the same study."""
    for number in range(2):
        write_study(tmp_path, number, NAMES)
        radiograph(tmp_path / f"{number}.dcm", spotted(number, True), number)
        film = dcmread(tmp_path / f"{number}.dcm")
        film.StudyInstanceUID, film.PatientID = study_of(number), f"P-{number}"
        film.save_as(tmp_path / f"{number}.dcm")
    rows = [(study_of(number), "ab"[number]) for number in range(2)]
    read = read_labels(table(tmp_path / "t.csv", ("StudyInstanceUID", "Finding"), *rows), roles=NAMES)
    found = in_roles(tmp_path, read, None, BOTH)
    assert [(case.name, case.modality) for case in found.cases] == [(series_of(number, "T1"), "MR") for number in range(2)]


def test_series_that_are_not_there_are_named(studies: Path, tmp_path: Path) -> None:
    """A UID that is not here; a description that no series of the study has; a case that two lines name; a role that has to be there."""
    rows = [
        (study_of(0), "T1", "FLAIR", "normal"),
        (study_of(1), "T1", "1.2.3.4", "ring"),
        (study_of(2), "T1", "flair tra", "normal"),
        ("", series_of(0, "T1"), series_of(0, "FLAIR"), "ring"),
        (study_of(3), "T1", "n/a", "ring"),
        (study_of(4), "", "FLAIR", "normal"),
    ]
    read = read_labels(table(tmp_path / "t.csv", ("StudyInstanceUID", *NAMES, "Finding"), *rows), roles=NAMES)
    assert in_roles(studies, read, None, BOTH).lost == (
        f'line 3: no series here has the UID "1.2.3.4", and none of study {study_of(1)} is described so',
        f'line 4: no series here has the UID "flair tra", and none of study {study_of(2)} is described so',
        f"line 5: {series_of(0, 'T1')} is what line 2 names as T1, too",
        "line 6: it has no FLAIR, and --optional does not name what may be missing",
        f'line 7: no series here has the UID "FLAIR", and none of study {study_of(4)} is described so',
    )


def test_series_are_named_by_uids_alone(studies: Path, tmp_path: Path) -> None:
    """Those that are made of a UUID have two points alone, and are no files either."""
    rows = [(*(series_of(number, name) for name in NAMES), "ab"[number % 2]) for number in range(4)]
    found = in_roles(studies, read_labels(table(tmp_path / "t.csv", (*NAMES, "Finding"), *rows), roles=NAMES), None, BOTH)
    assert [case.name for case in found.cases] == [row[0] for row in rows]


def test_a_series_of_another_study_is_told(studies: Path, tmp_path: Path) -> None:
    """Beside a study, its line contradicts itself; without one, a series that may be missing is left out as in serving, and said."""
    rows = [(study_of(number), series_of(number, "T1"), series_of((number + 1) % 4, "FLAIR"), "ab"[number % 2]) for number in range(4)]
    read = read_labels(
        table(tmp_path / "t.csv", ("StudyInstanceUID", *NAMES, "Finding"), *rows[:1], (study_of(1), "T1", "", "b")), roles=NAMES
    )
    (lost,) = in_roles(studies, read, None, WITHOUT).lost
    assert lost.startswith(f"line 2: series {series_of(1, 'FLAIR')} is of study {study_of(1)}, and not of {study_of(0)}, which the line")
    alone = read_labels(table(tmp_path / "s.csv", (*NAMES, "Finding"), *(row[1:] for row in rows)), roles=NAMES)
    told: list[str] = []
    with pytest.raises(UnfitData, match="at least 10 of each are needed"):
        clean(alone, in_roles(studies, alone, None, WITHOUT), told.append)
    (line,) = [one for one in told[0].splitlines() if one.startswith("series of a role that do not fit")]
    assert line.split()[8] == "4"
    assert f"{series_of(0, 'T1')}: FLAIR" in line


def test_files_in_roles_are_nifti_or_folders_of_dicom(studies: Path, tmp_path: Path) -> None:
    """And patients stand in the table, or in the headers; what is neither is named."""
    for number in range(3):
        for name in NAMES:
            write_nifti(tmp_path / f"{number}-{name}.nii.gz", head(number, "T1"))
    (tmp_path / "note.txt").write_text("no image")
    rows = [
        ("0-T1.nii.gz", "0-FLAIR", "A", "normal"),
        ("2-T1.nii.gz", "note.txt", "B", "ring"),
        ("1-T1.nii.gz", "1-FLAIR.nii.gz", "B", "ring"),
    ]
    read = read_labels(table(tmp_path / "t.csv", (*NAMES, "patient", "Finding"), *rows), roles=NAMES)
    found = in_roles(tmp_path, read, "MR", BOTH)
    assert [(case.name, case.patient, len(case.files)) for case in found.cases] == [("0-T1.nii.gz", "A", 2), ("1-T1.nii.gz", "B", 2)]
    assert found.lost == ("line 3: some of its files are NIfTI and some are not: one kind of file a line",)
    subject = found.cases[0].subject()
    assert isinstance(subject, VolumeSet)
    np.testing.assert_array_equal(subject["FLAIR"].voxels, head(0, "T1"))
    folders = [(f"{number}-T1", f"{number}-FLAIR", ("normal", "ring")[number % 2]) for number in range(2)]
    found = in_roles(studies, read_labels(table(tmp_path / "d.csv", (*NAMES, "Finding"), *folders), roles=NAMES), None, BOTH)
    assert [case.patient.partition("\\")[0] for case in found.cases] == ["P-0", "P-1"]
    assert isinstance(found.cases[0].subject(), VolumeSet)


@pytest.mark.parametrize(
    ("columns", "roles", "said"),
    [
        (("T1", "Finding"), NAMES, "--roles FLAIR: .* has no such column, as it has of T1"),
        (("T1", "patient", "PatientID", "Finding"), ("T1",), "the columns patient, PatientID all name one thing"),
    ],
)
def test_columns_that_do_not_fit_the_roles_are_refused(tmp_path: Path, columns: Sequence[str], roles: Sequence[str], said: str) -> None:
    with pytest.raises((UnfitData, UnfitSetting), match=said):
        read_labels(table(tmp_path / "t.csv", columns, *[("a",) * len(columns)] * 2), roles=roles)


def test_settings_that_contradict_each_other_are_refused(studies: Path, tmp_path: Path) -> None:
    """One role alone, a modality beside DICOM, late fusion of outlines, roles of a table that names images."""
    read = read_labels(
        table(tmp_path / "t.csv", ("StudyInstanceUID", "T1", "Finding"), (study_of(0), "T1", "a"), (study_of(1), "T1", "b")), roles=("T1",)
    )
    with pytest.raises(UnfitSetting, match="one series a case has no role"):
        in_roles(studies, read, None, Roles(names=("T1",)))
    rows = [(study_of(number), "T1", "FLAIR", "ab"[number]) for number in range(2)]
    both = read_labels(table(tmp_path / "b.csv", ("StudyInstanceUID", *NAMES, "Finding"), *rows), roles=NAMES)
    with pytest.raises(UnfitSetting, match="--modality MR: a table that names DICOM series needs none"):
        in_roles(studies, both, "MR", BOTH)
    with pytest.raises(UnfitSetting, match="--fusion late: recipe"):
        recipes.begun("segmentation", studies, tmp_path / "run", 0, Asked(fusion="late"), print)
    labels = table(
        tmp_path / "c.csv", ("SeriesInstanceUID", "Finding"), *[(series_of(number, "T1"), "ab"[number % 2]) for number in range(4)]
    )
    with pytest.raises(UnfitSetting, match="--roles T1 FLAIR: the table names the images themselves"):
        recipes.begun("classification", studies, tmp_path / "run", 0, Asked(labels=(str(labels),), roles=NAMES), print)


def test_the_visits_of_participants_have_several_images(tmp_path: Path) -> None:
    """Contrasts of BIDS are roles; a visit without one that may be missing is a case all the same."""
    study = bids_folder(
        tmp_path / "study", {"sub-01": ("ses-1", "ses-2"), "sub-02": ("",)}, "participant_id\tgroup\nsub-01\ta\nsub-02\tb\n"
    )
    (study / "sub-02" / "anat" / "sub-02_FLAIR.nii.gz").unlink()
    read = read_labels(study / "participants.tsv", roles=("T1w", "FLAIR"))
    found = of_participants(study, read, None, Roles(names=("T1w", "FLAIR"), optional=("FLAIR",)))
    subjects = [case.subject() for case in found.cases]
    assert [[*one.volumes] for one in subjects if isinstance(one, VolumeSet)] == [["T1w", "FLAIR"], ["T1w", "FLAIR"], ["T1w"]]
    found = of_participants(study, read, None, Roles(names=("T1w", "FLAIR")))
    assert [case.name for case in found.cases] == ["sub-01_ses-1", "sub-01_ses-2"]
    assert found.lost == ("line 3: sub-02: it has no FLAIR; it has T1w",)


def test_one_series_of_two_patients_puts_them_on_one_side(tmp_path: Path) -> None:
    """A FLAIR that stands in two lines would be learned from and held out at once."""
    for number in range(24):
        for name in NAMES:
            write_nifti(
                tmp_path / f"{number}-{name}.nii.gz", head(number, name) if name == "T1" else head(max(number, 1), "T1") + np.int16(5)
            )
    rows = [(f"{number}-T1.nii.gz", f"{number}-FLAIR.nii.gz", f"P{number}", "ab"[number % 2]) for number in range(24)]
    read = read_labels(table(tmp_path / "t.csv", (*NAMES, "patient", "Finding"), *rows), roles=NAMES)
    told: list[str] = []
    kept = clean(read, in_roles(tmp_path, read, "MR", BOTH), told.append)
    assert kept.groups[0] == kept.groups[1]
    assert len(set(kept.groups)) == 23
    (line,) = [one for one in told[0].splitlines() if one.startswith("one series in two patients' cases")]
    assert "the two count as one patient" in line
    assert "0-T1.nii.gz = 1-T1.nii.gz" in line


@pytest.mark.parametrize("late", [False, True])
def test_what_is_missing_is_nothing_to_the_network(late: bool) -> None:
    """Late: what an encoder would say of an image that is not there is not averaged in; so two equal ones say what each alone says."""
    from training.recipes.classification import network

    torch.manual_seed(0)
    made = network(3, 2, 2, late).eval()
    both = torch.rand(3, 2, 8, 16, 16)
    with torch.inference_mode():
        assert made(both).shape == (3, 2)
        lacking = both.clone()
        lacking[1, 1] = 0
        found, whole = made(lacking), made(both)
    assert torch.equal(found[[0, 2]], whole[[0, 2]])
    assert not torch.equal(found[1], whole[1])


@pytest.mark.parametrize("axes", [2, 3])
def test_a_batch_may_be_of_one_image(axes: int) -> None:
    """The last one of an epoch is, where a case is left over; deep in the network such an image is one value a channel. Of it nothing is
    learned that the next batches do not see as before."""
    from training.recipes.classification import network

    made = network(axes, 2).train()
    one = torch.rand(1, 1, *(32, 32) if axes == 2 else (16, 16, 16))
    made(one).sum().backward()
    seen = [each for each in made.modules() if isinstance(each, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d)]
    assert seen
    assert all(each.training and not each.num_batches_tracked for each in seen)
    made(one.expand(2, *one.shape[1:]).contiguous())
    assert all(each.num_batches_tracked == 1 for each in seen)


def test_late_features_are_averaged_over_what_is_there() -> None:
    """By hand: encoders that give the mean of their image, twice and three times; a head that adds nothing."""

    class Mean(torch.nn.Module):
        def __init__(self, times: float) -> None:
            super().__init__()
            self._times = times

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self._times * images.flatten(1).mean(dim=1, keepdim=True) + 1

    made = LateFusion([Mean(2), Mean(3)], 1, 1)
    head_of = made.get_submodule("_head")
    with torch.no_grad():
        for parameter, value in zip(head_of.parameters(), (1.0, 0.0), strict=True):
            parameter.fill_(value)
    images = torch.ones(2, 2, 4, 4)
    images[1, 1] = 0
    with torch.inference_mode():
        np.testing.assert_allclose(made(images).ravel(), [(3 + 4) / 2, 3])


def test_a_run_of_roles_is_planned_and_goes_on(tmp_path: Path) -> None:
    """The plan names roles and fusion; a role that may be missing is 0 in a part of the examples; other roles over the run are refused."""
    labels = write_rings(tmp_path, 24, without_flair=(3, 8))
    told: list[str] = []
    asked = Asked(name="rings", labels=(str(labels),), roles=NAMES, optional=("FLAIR",), fusion="late", window=(8, 16, 16))
    recipe = recipes.begun("classification", tmp_path / "studies", tmp_path / "run", 0, asked, told.append)
    assert told[-1].startswith("24 cases of 24 patients, MR: one of 2 classes, normal")
    assert "; T1, FLAIR (may be missing), late fusion; images of 8 × 16 × 16" in told[-1]
    assert recipe.images == 2
    assert [(role.name, role.optional) for role in recipe.application.roles] == [("T1", False), ("FLAIR", True)]
    case = next(one for one in recipe.sides(tmp_path / "studies", 0).train if one.name != series_of(3, "T1"))
    example = recipe.example(case.load())
    assert example.image.shape == (2, 8, 16, 16)
    augment = recipe.augment()
    absent = [not augment(Example(image=example.image, target=example.target), seed).image[1].any() for seed in range(100)]
    assert 10 < sum(absent) < 45
    recipes.begun("classification", tmp_path / "studies", tmp_path / "run", 0, asked, told.append)
    assert len(told) == 2, "planned once"
    with pytest.raises(OtherRun):
        recipes.begun(
            "classification",
            tmp_path / "studies",
            tmp_path / "run",
            0,
            Asked(name="rings", labels=(str(labels),), roles=NAMES),
            told.append,
        )


def test_numbers_are_learned_of_roles_too(studies: Path, tmp_path: Path) -> None:
    rows = [(study_of(number), "T1", "FLAIR", str(number)) for number in range(4)]
    read = read_numbers(table(tmp_path / "t.csv", ("StudyInstanceUID", *NAMES, "Age (a)"), *rows), roles=NAMES)
    assert [line.labels for line in read.lines] == [(0.0,), (1.0,), (2.0,), (3.0,)]
    assert len(in_roles(studies, read, None, BOTH).cases) == 4


class Keeps:
    """An engine that keeps what it is asked, and answers two classes alike."""

    def __init__(self) -> None:
        self.asked: list[np.ndarray] = []

    def __call__(self, model: ModelRef, tensors: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        self.asked += tensors.values()
        return {"OUTPUT__0": np.zeros((1, 2), dtype=np.float32)}

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> None:
        return None


def write_views(folder: Path, count: int, without_lateral: Collection[int] = ()) -> Path:
    """Radiographs from the front and from the side, a series each, and the table of the studies."""
    rows = []
    for number in range(count):
        for at, view in enumerate(("PA", "LL"), start=1):
            if view == "LL" and number in without_lateral:
                continue
            file = folder / "studies" / f"{number}-{view}.dcm"
            study = radiograph(file, spotted(2 * number + at, number % 2 == 0), number, ViewPosition=view, SeriesNumber=at)
            dataset = dcmread(file)
            dataset.SeriesInstanceUID = f"{study}.{at}"
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"{study}.{at}.1")
            dataset.save_as(file)
        rows.append((study, ("fine", "broad")[number % 2]))
    return table(folder / "labels.csv", ("StudyInstanceUID", "Spots"), *rows)


def test_views_of_a_study_are_roles_by_what_headers_call_them(tmp_path: Path) -> None:
    """The application takes all images of a study, and finds its views among them; a network of two axes sees each as a channel."""
    labels = write_views(tmp_path, 22, without_lateral=(5, 20))
    told: list[str] = []
    asked = Asked(name="two-views", labels=(str(labels),), roles=("PA", "LL"), optional=("LL",), window=(1, 32, 32))
    recipe = recipes.begun("classification", tmp_path / "studies", tmp_path / "run", 0, asked, told.append)
    assert told[-1].startswith("22 cases of 22 patients, DX: one of 2 classes")
    assert "; PA, LL (may be missing), early fusion; images of 32 × 32" in told[-1]
    accepts = recipe.application.accepts
    assert (accepts.takes, accepts.whole_study, recipe.application.roles) == (Takes.IMAGES, True, ())
    sides = recipe.sides(tmp_path / "studies", 0)
    cases = {case.name: case for side in (sides.train, sides.validation, sides.test) for case in side}
    both, alone = (recipe.example(cases[f"{ROOT}.{number}"].load()).image for number in (0, 5))
    assert both.shape == alone.shape == (2, 32, 32)
    assert both[1].any()
    assert not alone[1].any()
    engine = Keeps()
    found = recipe.application.analyse(cases[f"{ROOT}.0"].load().subject, engine)
    np.testing.assert_array_equal(engine.asked[0][0], both)
    assert [one.images for one in found.evaluations] == [(0, 1), (0, 1)]
    without = recipe.application.analyse(cases[f"{ROOT}.5"].load().subject, engine)
    np.testing.assert_array_equal(engine.asked[1][0], alone)
    assert [str(one) for one in without.remarks] == ["Analysed without LL: there was no such image."]
    described = table(tmp_path / "uids.csv", ("PA", "LL", "Spots"), *[(f"{ROOT}.{n}.1", f"{ROOT}.{n}.2", "ab"[n]) for n in range(2)])
    named = in_roles(tmp_path / "studies", read_labels(described, roles=("PA", "LL")), None, Roles(names=("PA", "LL")))
    assert [case.name for case in named.cases] == [f"{ROOT}.0.1", f"{ROOT}.1.1"]
    first = named.cases[0].subject()
    assert isinstance(first, Images)
    assert [one.view for one in first.images] == ["PA", "LL"]


def test_an_image_that_is_even_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    """Both would be 0 everywhere to the network: the one is refused by name, from a table and behind a route; the other is a case."""
    labels = write_views(tmp_path, 24, without_lateral=(5,))
    even = tmp_path / "studies" / "7-LL.dcm"
    dataset = dcmread(even)
    dataset.PixelData = np.full((dataset.Rows, dataset.Columns), 100, np.dtype(f"u{dataset.BitsAllocated // 8}")).tobytes()
    dataset.save_as(even)
    told: list[str] = []
    asked = Asked(name="two-views", labels=(str(labels),), roles=("PA", "LL"), optional=("LL",), window=(1, 32, 32))
    recipe = recipes.begun("classification", tmp_path / "studies", tmp_path / "run", 0, asked, told.append)
    (line,) = [one for one in told[0].splitlines() if one.startswith("cases that cannot be read")]
    assert "LL: every value is the same, as if there were no such image [HLM-3041]" in line
    (assembled,) = subjects(Takes.IMAGES, "refuse", [tmp_path / "studies" / f"7-{view}.dcm" for view in ("PA", "LL")])
    with pytest.raises(EvenRole, match=r"^LL: every value"):
        recipe.application.analyse(assembled.subject, Keeps())


def test_views_of_two_sides_need_sides_in_their_roles(tmp_path: Path) -> None:
    """One line of a table says one thing, and each breast would get an answer."""
    for at, side in enumerate("LR"):
        for view in ("CC", "MLO"):
            file = tmp_path / f"{side}-{view}.dcm"
            study = radiograph(file, spotted(at, True), 0, Modality="MG", ViewPosition=view, ImageLaterality=side)
            dataset = dcmread(file)
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"{study}.1.{at}.{len(view)}")
            dataset.save_as(file)
    read = read_labels(table(tmp_path / "t.csv", ("StudyInstanceUID", "Finding"), (study, "a"), ("1.2.3", "b")), roles=("CC", "MLO"))
    (case,) = in_roles(tmp_path, read, None, Roles(names=("CC", "MLO"))).cases
    with pytest.raises(UnfitData, match=r'the views of 2 sides are there, .* --roles "L CC" "R CC"'):
        case.subject()
    read = read_labels(tmp_path / "t.csv", roles=("L CC", "R CC"))
    (case,) = in_roles(tmp_path, read, None, Roles(names=("L CC", "R CC"))).cases
    subject = case.subject()
    assert isinstance(subject, Images)
    assert [one.view for one in subject.images] == ["L CC", "R CC"]
