"""The recipe left-ventricle in its tiny form: what is read, what is judged twice, and that a node marks what was evaluated."""

import csv
import json
import shlex
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import UID

from inference.applications.serving import as_served
from inference.engines.embedded.engine import EmbeddedEngine
from inference.imaging.write_series import write_series
from tests.lab.howto import HowTo
from tests.lab.node import QUIET, Node, configuration, hilum
from training import cli
from training.data.cases import split
from training.data.short_axes import BEYOND, LabelledPhases, padded, short_axes
from training.errors import UnfitData
from training.evaluation.record import EVALUATION
from training.export import PACKED
from training.infer import EngineInfer
from training.networks.over_time import SYSTOLE
from training.recipes.left_ventricle import RECIPE, grown, one_slice

from .made_short_axes import SLICES, short_axis_slices, tiny

pytestmark = pytest.mark.timeout(1500)
PAGE = HowTo("left-ventricle.md")
PHASES = 8


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return short_axis_slices(tmp_path_factory.mktemp("made") / "sunnybrook")


def loaded(folder: Path, at: int = 0) -> LabelledPhases:
    case = short_axes(folder)[at].load()
    assert isinstance(case, LabelledPhases)
    return case


def test_slices_are_read_as_a_beat_of_two_phases(data: Path) -> None:
    """End-diastole first, slices in their order, what was not drawn black and said so; the fraction is that of the pixels."""
    case = loaded(data)
    assert case.labels.shape == (2, SLICES, 180, 180)
    assert case.drawn.tolist() == [[True] * SLICES, [True] * (SLICES - 1) + [False]]
    assert not case.phases.volumes[1].voxels[-1].any()
    sizes = np.count_nonzero(case.labels, axis=(1, 2, 3))
    assert case.ejected == pytest.approx(100 * (sizes[0] - sizes[1]) / sizes[0])
    assert (np.diff(np.count_nonzero(case.labels[0], axis=(1, 2))) < 0).all()
    assert case.attributes == {"group": "N"}


def blank(folder: Path, name: str) -> None:
    for side in ("images", "labels"):
        Image.new("L", (180, 180)).save(folder / side / name)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "labels").rename(folder / "truth"), "has no images/PATIENT_NNNN.png with labels/PATIENT_NNNN.png"),
        (lambda folder: (folder / "labels" / "a.png").touch(), "is not named PATIENT_NNNN.png"),
        (lambda folder: (folder / "labels" / "SC-N-01_0001.png").write_bytes(b"no picture"), "is no picture that can be read"),
        (lambda folder: (folder / "images" / "SC-N-01_0001.png").write_bytes(b"no picture"), "is no picture that can be read"),
        (lambda folder: Image.new("L", (90, 90)).save(folder / "labels" / "SC-N-01_0001.png"), "has 90 x 90 pixels, and its image 180"),
        (lambda folder: blank(folder, "SC-N-01_0004.png"), "SC-N-01 was drawn at 3 frames of the beat"),
    ],
    ids=["no labels", "name", "broken label", "broken image", "sizes", "frames"],
)
def test_data_that_do_not_fit_are_named(spoil: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    """The file or the patient, and what is wrong."""
    folder = short_axis_slices(tmp_path / "made", count=1)
    spoil(folder)
    with pytest.raises(UnfitData, match=words):
        loaded(folder)


def test_a_padded_stack_has_no_cavity_beyond_what_was_drawn(data: Path) -> None:
    """Made slices at both ends and in place of what is black; what was drawn is as it was, and the same comes out each time."""
    case = loaded(data)
    more, again = (padded(case, "one") for _ in range(2))
    assert more.labels.shape[1] == SLICES + 2 * BEYOND
    assert np.array_equal(more.labels[:, BEYOND:-BEYOND], case.labels)
    assert not more.labels[:, :BEYOND].any()
    for phase in range(2):
        there = np.flatnonzero(case.drawn[phase])
        kept = more.phases.volumes[phase].voxels[BEYOND:-BEYOND]
        assert np.array_equal(kept[there], case.phases.volumes[phase].voxels[there])
        assert kept.any(axis=(1, 2)).all()
        assert np.array_equal(more.phases.volumes[phase].voxels, again.phases.volumes[phase].voxels)
        # where the cavity of the last slice was, nothing is as bright as blood
        painted = more.phases.volumes[phase].voxels[BEYOND + there[-1] + 1]
        assert painted[case.labels[phase, there[-1]] > 0].mean() < 130
    assert more.ejected == case.ejected


def test_what_is_learned_from_is_one_slice_as_serving_shows_it(data: Path) -> None:
    """A window with its labels moved alike, mean 0 and deviation 1; the same for the same seed; some windows have no cavity."""
    example = RECIPE.example(loaded(data))  # type: ignore[arg-type]
    assert example.image.shape == example.target.shape == (1, 2 * SLICES - 1, 224, 224)
    augment = one_slice()
    shown = [augment(example, seed) for seed in range(40)]
    assert {each.image.shape for each in shown} == {(1, 128, 128)}
    assert all(abs(float(each.image.mean())) < 1e-4 and abs(float(each.image.std()) - 1) < 1e-3 for each in shown)
    assert np.array_equal(shown[3].image, augment(example, 3).image)
    targets = [each.target.astype(np.uint8) for each in shown]
    assert {int(target[0, 0, 0]) & SYSTOLE for target in targets} == {0, SYSTOLE}
    assert all((target & SYSTOLE == target[0, 0, 0] & SYSTOLE).all() for target in targets)
    cavities = [(each.image, target & 1 > 0) for each, target in zip(shown, targets, strict=True) if (target & 1).any()]
    assert 20 < len(cavities) < 40
    # the cavity is the brightest there is, wherever it was moved
    assert all(image[cavity].mean() > image[~cavity].mean() + 0.5 for image, cavity in cavities)


def test_the_classical_method_marks_the_bright_part_in_the_middle(data: Path) -> None:
    """On made slices, which are easy: the disc, and not the right ventricle beside it."""
    cases = short_axes(data)
    infer = grown(RECIPE, cases[:3])
    image = RECIPE.example(cases[4].load()).image[0, 0, 48:-48, 48:-48]
    truth = RECIPE.example(cases[4].load()).target[0, 0, 48:-48, 48:-48].astype(np.uint8) & 1 > 0
    found = infer(RECIPE.model, {"INPUT__0": image[None, None]})["OUTPUT__0"][0].argmax(axis=0) > 0
    assert 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth)) > 0.9


def test_the_fraction_of_the_published_data_is_the_one_of_their_table(real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """Each of the 15 patients of the first part: frames and fraction as the table beside it has them, which another program counted."""
    for path in real("train/sunnybrook_lv/part1.zip"):
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        (tmp_path / path.parent.name / path.name).symlink_to(path)
    (table,) = (path for path in real("train/sunnybrook_lv") if path.name == "patients_part1.csv")
    with table.open(encoding="utf-8", newline="") as lines:
        known = {row["patient"]: row for row in csv.DictReader(lines)}
    cases = short_axes(tmp_path)
    assert [case.name for case in cases] == sorted(known)
    for case in cases:
        read, row = case.load(), known[case.name]
        assert read.ejected == pytest.approx(float(row["ef_percent"]), abs=0.01)
        assert read.drawn.sum(axis=1).tolist() == [int(row["ed_slices"]), int(row["es_slices"])]
        assert case.stratum == row["group"]
    # no patient on two sides, every group on the training side
    sides = split(cases, 0)
    assert not {one.patient for one in sides.train} & {one.patient for one in (*sides.validation, *sides.test)}


@pytest.mark.slow
def test_the_page_is_followed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained, evaluated and exported by its commands: each held-out patient is judged as drawn and padded, beside threshold and region
    growing and a constant. A node that serves it marks, on the cine of a held-out patient, what was evaluated, pixel by pixel."""
    recipe = tiny()
    monkeypatch.setattr("training.recipes.left_ventricle.RECIPE", recipe)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sunnybrook").symlink_to(data)
    verbs = {"train": cli.train, "evaluate": cli.evaluate, "export": cli.export}
    for command in PAGE.commands("Left ventricle on short-axis cine MR: recipe and application `left-ventricle`"):
        program, verb, name, *words = shlex.split(PAGE.typed(command))
        assert (program, name) == ("hilum", "left-ventricle")
        given = {key.removeprefix("--"): Path(value) for key, value in zip(words[::2], words[1::2], strict=True)}
        assert verbs[verb](name, **given) == 0  # type: ignore[operator]
    PAGE.followed()
    run = tmp_path / "var/training/left-ventricle"
    told = json.loads((run / EVALUATION).read_text())
    figures = told["figures"]
    assert told["baseline"] == RECIPE.baseline.name
    assert figures["Dice cavity"]["mean"] > 0.7
    assert figures["Dice cavity, padded"]["mean"] > 0.5
    assert {"ejection fraction error", "ejection fraction error, padded", "declined", "ejection fraction error of the median"} <= set(
        figures
    )
    case = recipe.sides(data, 0).test[0].load()
    application = as_served(recipe.application, run / PACKED)
    with closing(EmbeddedEngine(run / PACKED)) as engine:
        evaluated = application.analyse(case.phases, EngineInfer(engine))
    sent = cine_of(case, tmp_path / "sent")
    settings = configuration(
        tmp_path,
        port=0,
        repository=tmp_path / "config/models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(tmp_path / "results"), "profile": {"like": "viewer", "cine_masks": True}}},
        routes=[{"name": "short axes", "when": {"Modality": "MR"}, "run": ["left-ventricle"], "send": ["results"]}],
    )
    with Node(settings, tmp_path) as node:
        said = hilum("send", sent, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER")
        assert said.code == 0, said.out + said.err
        node.wait_for_jobs(lambda jobs: [one["state"] for one in jobs] == ["done"], 300, "the ventricle is measured")
    found = [path for path in (tmp_path / "results").rglob("*.dcm") if pydicom.dcmread(path).Modality == "SEG"]
    masks = by_phase(found[0], case)
    np.testing.assert_array_equal(masks[0], evaluated.segments[0].mask)
    np.testing.assert_array_equal(masks[PHASES // 2], evaluated.segments[1].mask)


def cine_of(case: LabelledPhases, folder: Path) -> Path:
    """The two phases as a cine of eight: those between are mixed of both."""
    first, second = (volume.voxels.astype(np.float64) for volume in case.phases.volumes)
    for phase in range(PHASES):
        share = 1 - abs(2 * phase / PHASES - 1)
        voxels = np.rint(first * (1 - share) + second * share).astype(np.int16)
        into = folder / f"phase{phase}"
        files = write_series(
            voxels, case.phases.reference.affine, into, modality="MR", study_uid="1.2.826.0.1.1", series_uid="1.2.826.0.1.2"
        )
        for z, path in enumerate(files):
            dataset = pydicom.dcmread(path)
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.826.0.1.3.{phase}.{z}")
            dataset.TriggerTime, dataset.InstanceNumber = f"{100 * phase}", str(phase * len(files) + z + 1)
            dataset.FrameOfReferenceUID, dataset.BodyPartExamined = "1.2.826.0.1.4", "HEART"
            dataset.save_as(path)
    return folder


def by_phase(path: Path, case: LabelledPhases) -> Any:
    """Masks (phase, Z, Y, X) by the images that frames refer to: their UIDs say phase and slice."""
    read = hd.seg.segread(path)
    masks = np.zeros((PHASES, *case.labels.shape[1:]), dtype=np.bool_)
    for frame, pixels in zip(read.PerFrameFunctionalGroupsSequence, read.pixel_array, strict=True):
        uid = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        phase, z = map(int, uid.split(".")[-2:])
        masks[phase, z] |= pixels.astype(np.bool_)
    return masks
