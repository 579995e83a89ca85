"""Recipe cardiac-phase in its tiny form: the recurrent head, cines that are made, what is judged, and that a node tells the same."""

import json
import shlex
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from pydicom.uid import UID

from inference import codes
from inference.applications.serving import as_served
from inference.engines.embedded.engine import EmbeddedEngine
from inference.imaging.subject import Phases
from inference.imaging.write_series import write_series
from tests.lab.howto import HowTo
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.results.test_cardiac_phase import images_of_findings
from tests.training.made_short_axes import SLICES, one_cine_each, short_axis_slices, tiny_phases
from tests.unit.applications.test_left_ventricle import heart
from training import cli
from training.data.made_cines import DrawnBeat, around, made_beat
from training.errors import UnfitData
from training.evaluation.record import EVALUATION
from training.export import PACKED
from training.infer import EngineInfer
from training.networks.periodic import BeatPhases, PeriodicGate, phases_loss
from training.recipes.cardiac_phase import RECIPE, bright_areas, one_cine
from training.tasks.key_phases import BY_OUTLINES, NEARNESS, WITHIN, told_phases

pytestmark = pytest.mark.timeout(1500)
PAGE = HowTo("cardiac-phase.md")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return short_axis_slices(tmp_path_factory.mktemp("made") / "sunnybrook")


def test_the_recurrent_head_is_what_a_loop_over_beats_comes_to() -> None:
    """Frame after frame, h = (1 - z) h + z c, both ways, over so many beats that it repeats: the closed form gives the same."""
    torch.manual_seed(0)
    layer, frames = PeriodicGate(5, 3), torch.randn(2, 7, 5)
    learned = dict(layer.named_parameters())
    gates, candidates = (frames @ learned[f"{name}.weight"].T + learned[f"{name}.bias"] for name in ("_gates", "_candidates"))
    z = torch.sigmoid(gates)
    expected = torch.zeros(2, 7, 6)
    for half, order in ((slice(0, 3), range(7)), (slice(3, 6), range(6, -1, -1))):
        h = torch.zeros(2, 3)
        for _ in range(40):
            for t in order:
                h = (1 - z[:, t, half]) * h + z[:, t, half] * candidates[:, t, half]
                expected[:, t, half] = h
    torch.testing.assert_close(layer(frames), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("frames", [8, 20, 33])
def test_whichever_frame_is_the_first_the_answer_is_the_same(frames: int) -> None:
    """Frames that are numbered from another one on: scores that are, too; any number of frames."""
    torch.manual_seed(1)
    network = BeatPhases(64, (4, 4, 8, 8), 6).eval()
    images = torch.randn(2, 1, frames, 64, 64)
    with torch.inference_mode():
        scores, later = network(images), network(images.roll(5, dims=2))
    assert scores.shape == (2, 2, frames)
    assert float(scores.std()) > 1e-3
    torch.testing.assert_close(later, scores.roll(5, dims=2), atol=1e-5, rtol=1e-4)


def test_the_loss_is_least_where_scores_are_the_shares() -> None:
    """Their entropy; more where any is moved."""
    shares = torch.tensor([[[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]])
    loss = phases_loss()
    least = float(loss(shares.log(), shares))
    assert least == pytest.approx(-float((shares * shares.log()).sum()) / 2, abs=1e-6)
    assert float(loss(shares.log().roll(1, dims=2), shares)) > least + 0.3


@pytest.mark.parametrize("frames", [8, 20, 50])
def test_a_made_beat_empties_once_and_fills_again(frames: int) -> None:
    """Least at the frame that is called end-diastole, most at end-systole, within what one frame is; shares are largest there."""
    for seed in range(40):
        beat = made_beat(frames, np.random.default_rng(seed))
        diastole, systole = beat.frames()
        assert beat.emptied[systole] > 0.55
        assert around(np.array([beat.moments[diastole]]), 1.0)[0] <= 0.6 / frames + 0.05
        assert abs(beat.emptied.argmax() - systole) % (frames - 1) <= 1
        shares = beat.shares()
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
        assert shares.argmax(axis=1).tolist() == [diastole, systole]


def test_a_made_cine_shows_what_was_drawn_at_its_two_phases(data: Path) -> None:
    """Bright where the cavity was drawn at end-diastole, in that frame; smaller at end-systole; the same comes out each time."""
    (case,) = one_cine_each(data)[:1]
    drawn = case.load()
    assert isinstance(drawn, DrawnBeat)
    cine = drawn.cine()
    # the slice at the apex was drawn at one phase; one more lies at either end
    assert [len(volume.voxels) for volume in cine.phases.volumes] == [SLICES - 1 + 2] * 20
    labels = np.count_nonzero(drawn.drawn.labels[:, : SLICES - 1], axis=(1, 2, 3))
    assert cine.areas.max() == pytest.approx(labels[0], rel=0.15)
    assert cine.areas.min() == pytest.approx(labels[1], rel=0.15)
    off = around(np.array([cine.areas.argmax() - cine.diastole, cine.areas.argmin() - cine.systole], dtype=np.float64), 20)
    assert off.max() <= 4
    for phase, frame in enumerate((cine.diastole, cine.systole)):
        voxels = cine.phases.volumes[frame].voxels[1:-1].astype(float)
        cavity = drawn.drawn.labels[phase, : SLICES - 1] > 0
        assert voxels[cavity].mean() > 1.5 * voxels[~cavity].mean()
    again = replace(drawn).cine()
    assert np.array_equal(again.phases.volumes[7].voxels, cine.phases.volumes[7].voxels)


def test_a_patient_without_a_slice_of_both_phases_is_named(tmp_path: Path) -> None:
    """Of slices that were drawn at one phase each no beat can be made."""
    folder = short_axis_slices(tmp_path / "made", count=1)
    for label in (folder / "labels").glob("*.png"):
        slice_, frame = divmod(int(label.stem[-4:]) - 1, 20)
        if (frame == 0) == (slice_ > 3):
            label.unlink()
    with pytest.raises(UnfitData, match="no slice of SC-N-01 was drawn at both end-diastole and end-systole"):
        one_cine_each(folder)[0].load()


def test_the_area_rule_is_given_what_is_bright() -> None:
    """Of a made heart without noise, threshold and region growing see the largest phase and the smallest."""
    areas = bright_areas(heart(phases=8, slices=7, middle=3.0))
    assert areas.shape == (8,)
    assert (int(areas.argmax()), int(areas.argmin())) == (0, 4)
    assert areas[4] < 0.75 * areas[0]


def test_what_is_learned_from_is_a_beat_of_one_slice(data: Path) -> None:
    """Frames as serving shows them, 1 in sum over the shares; the same for the same seed, another beat for another."""
    example = RECIPE.example(one_cine_each(data)[0].load())
    assert example.image.shape == example.target.shape == (2, SLICES - 1, 176, 176)
    augment = one_cine()
    shown = augment(example, 3)
    assert shown.image.shape == (1, 20, 64, 64)
    assert shown.target.shape == (2, 20)
    np.testing.assert_allclose(shown.image.mean(axis=(2, 3)), 0, atol=1e-3)
    assert np.array_equal(augment(example, 3).image, shown.image)
    assert not np.array_equal(augment(example, 4).target, shown.target)


@pytest.mark.slow
def test_the_page_is_followed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained, evaluated and exported by its commands, beside the largest and the smallest area. A node that serves it tells, of the cine
    of a held-out patient, what was evaluated: its report names the images of these phases."""
    recipe = tiny_phases()
    monkeypatch.setattr("training.recipes.cardiac_phase.RECIPE", recipe)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sunnybrook").symlink_to(data)
    verbs = {"train": cli.train, "evaluate": cli.evaluate, "export": cli.export}
    for command in PAGE.commands("End-diastole and end-systole on short-axis cine MR: recipe and application `cardiac-phase`"):
        program, verb, name, *words = shlex.split(PAGE.typed(command))
        assert (program, name) == ("hilum", "cardiac-phase")
        given = {key.removeprefix("--"): Path(value) for key, value in zip(words[::2], words[1::2], strict=True)}
        assert verbs[verb](name, **given) == 0  # type: ignore[operator]
    PAGE.followed()
    run = tmp_path / "var/training/cardiac-phase"
    told = json.loads((run / EVALUATION).read_text())
    assert told["baseline"] == RECIPE.area_rule
    assert {NEARNESS, WITHIN, BY_OUTLINES, "end-diastole off", "end-systole off", "declined"} == set(told["figures"])
    assert told["figures"][NEARNESS]["mean"] > 0.8
    assert told["figures"]["declined"]["mean"] == 0
    assert (run / "card.html").read_text().count("<figure>") >= 1
    cine = recipe.sides(data, 0).test[0].load().cine()
    application = as_served(recipe.application, run / PACKED)
    with closing(EmbeddedEngine(run / PACKED)) as engine:
        evaluated = told_phases(application.analyse(cine.phases, EngineInfer(engine)), len(cine.phases.reference.voxels))
    sent = files_of(cine.phases, tmp_path / "sent")
    settings = configuration(
        tmp_path,
        port=0,
        repository=tmp_path / "config/models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(tmp_path / "results")}},
        routes=[{"name": "short axes", "when": {"Modality": "MR"}, "run": ["cardiac-phase"], "send": ["results"]}],
    )
    with Node(settings, tmp_path) as node:
        said = hilum("send", sent, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER")
        assert said.code == 0, said.out + said.err
        node.wait_for_jobs(lambda jobs: [one["state"] for one in jobs] == ["done"], 300, "the phases are told")
    (report,) = (one for path in (tmp_path / "results").rglob("*.dcm") if (one := pydicom.dcmread(path)).Modality == "SR")
    # the UIDs say which phase an image is of
    phases = {code: {int(uid.split(".")[-2]) for uid in uids} for code, uids in images_of_findings(report).items()}
    assert phases == {codes.END_DIASTOLE.value: {evaluated[0]}, codes.END_SYSTOLE.value: {evaluated[1]}}


def files_of(phases: Phases, folder: Path) -> Path:
    """A cine as a scanner sends it: one series, each image with its time."""
    for phase, volume in enumerate(phases.volumes):
        into = folder / f"phase{phase}"
        files = write_series(volume.voxels, volume.affine, into, modality="MR", study_uid="1.2.826.0.1.1", series_uid="1.2.826.0.1.2")
        for z, path in enumerate(files):
            dataset = pydicom.dcmread(path)
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.826.0.1.3.{phase}.{z}")
            dataset.TriggerTime, dataset.InstanceNumber = f"{40 * phase}", str(phase * len(files) + z + 1)
            dataset.FrameOfReferenceUID, dataset.BodyPartExamined = "1.2.826.0.1.4", "HEART"
            dataset.save_as(path)
    return folder
