"""Evaluations in their parts: figures of known shapes, intervals, groups, disturbed images, what a kill leaves, and the page."""

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from markupsafe import Markup
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from monai.metrics.surface_distance import compute_average_surface_distance
from numpy.typing import NDArray
from PIL import Image

from inference import codes
from inference.applications.hippocampus import application
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.errors import NotFinite
from inference.engines.port import ModelRef, Tensors
from inference.findings import Explanation
from training.card import table
from training.data.cases import Labelled
from training.data.nifti import pairs, volume_of
from training.errors import UnfitData, UnreadableEvaluation
from training.evaluation.bootstrap import interval
from training.evaluation.classification import auc
from training.evaluation.classifier import classifier, classifier_parts, roc
from training.evaluation.figures import kind_of, summary
from training.evaluation.gallery import Picture, answered, outline, planes
from training.evaluation.kept import kept
from training.evaluation.page import Gallery, Parts, page
from training.evaluation.perturb import Disturbance, Perturbation, perturbed
from training.evaluation.record import FORMAT, PAGE, read
from training.evaluation.segmentation import Masks, agreement
from training.evaluation.subgroups import groups
from training.infer import EngineInfer
from training.recipes import load
from training.tasks.segmentation import findings

from .made import crops, smallest

SHIPPED = Path(application.__file__).parent / "shipped" / "hippocampus_parts"
HEAD_BACK_LEFT = np.diag([1.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]]
"""Indices (z, y, x) run to the head, the back and the left, 1 mm a step."""


def box(low: tuple[int, int, int], high: tuple[int, int, int], shape: tuple[int, int, int] = (40, 40, 40)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))] = True
    return mask


def ball(radius: float, centre: float = 20, shape: tuple[int, int, int] = (41, 41, 41)) -> np.ndarray:
    return np.asarray(sum((axis - centre) ** 2 for axis in np.indices(shape)) <= radius**2)


def labelled(modality: str = "MR") -> Labelled:
    """A bright ball in noise, 41 slices."""
    labels = ball(8).astype(np.uint8)
    voxels = np.random.default_rng(0).normal(300, 30, labels.shape) + 300.0 * labels
    return Labelled(volume=volume_of(voxels.astype(np.float32), HEAD_BACK_LEFT, modality, "ball"), labels=labels)


def test_figures_of_shapes_that_are_known() -> None:
    """A slab moved by 3 slices of 2 mm: overlap, volume and largest distance by hand; a ball in a ball: 3 mm apart everywhere."""
    one, other = box((10, 5, 5), (20, 35, 35)), box((13, 5, 5), (23, 35, 35))
    moved = agreement(Masks(found=one, true=other), (2.0, 1.0, 1.0))
    assert moved["Dice"] == pytest.approx(0.7)
    assert moved["volume error"] == 0
    assert moved["Hausdorff 95 %"] == pytest.approx(6.0)
    nested = agreement(Masks(found=ball(12), true=ball(9)), (1.0, 1.0, 1.0))
    assert nested["surface distance"] == pytest.approx(3.0, abs=0.3)
    assert nested["Hausdorff 95 %"] == pytest.approx(3.0, abs=0.5)
    assert nested["volume error"] == pytest.approx(100 * (12**3 / 9**3 - 1), rel=0.05)
    assert nested["surface Dice"] == 0
    same = agreement(Masks(found=ball(9), true=ball(9)), (1.0, 1.0, 1.0))
    assert same == {"Dice": 1.0, "surface Dice": 1.0, "Hausdorff 95 %": 0.0, "surface distance": 0.0, "volume error": 0.0}


def test_surfaces_agree_with_monais_own_figures() -> None:
    """On ragged masks and uneven voxels: the same numbers as MONAI's three functions."""
    rng = np.random.default_rng(1)
    one, other = (ball(9, centre) & (rng.random((41, 41, 41)) < 0.9) for centre in (20, 21))
    spacing = (1.5, 0.7, 1.0)
    mine = agreement(Masks(found=one, true=other), spacing)
    found, true = (torch.from_numpy(mask[None, None]) for mask in (one, other))
    terms: dict[str, Any] = {"include_background": True, "spacing": spacing}
    assert mine["surface Dice"] == pytest.approx(float(compute_surface_dice(found, true, [1.0], **terms)), abs=1e-5)
    assert mine["Hausdorff 95 %"] == pytest.approx(float(compute_hausdorff_distance(found, true, percentile=95, **terms)), abs=1e-4)
    assert mine["surface distance"] == pytest.approx(
        float(compute_average_surface_distance(found, true, symmetric=True, **terms)), abs=1e-4
    )


def test_what_was_not_found_has_no_distance() -> None:
    """Nothing found: both Dice are 0 and the distances unknown, not 0; nothing there and nothing found: nothing to say."""
    empty = np.zeros((41, 41, 41), dtype=bool)
    missed = agreement(Masks(found=empty, true=ball(5)), (1.0, 1.0, 1.0))
    assert (missed["Dice"], missed["surface Dice"], missed["volume error"]) == (0, 0, -100)
    assert math.isnan(missed["Hausdorff 95 %"])
    invented = agreement(Masks(found=ball(5), true=empty), (1.0, 1.0, 1.0))
    assert invented["Dice"] == invented["surface Dice"] == 0
    assert math.isnan(invented["volume error"])
    assert all(math.isnan(value) for value in agreement(Masks(found=empty, true=empty), (1.0, 1.0, 1.0)).values())


def test_the_interval_holds_the_mean_of_known_values() -> None:
    """Of a hundred normal values its ends lie about 1.96 standard errors from the mean; unknown values count nowhere."""
    values = np.random.default_rng(2).normal(5, 2, 100)
    patients = [f"p{number}" for number in range(100)]
    low, high = interval(values, patients)
    error = values.std() / 10
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)
    assert interval(np.append(values, np.nan), [*patients, "unknown"]) == (low, high)
    told = summary(kind_of("Hausdorff 95 % ball", {}), [1.0, math.nan, 3.0], ["a", "b", "c"])
    assert (told["mean"], told["worst"], told["count"], told["unit"]) == (2.0, 3.0, 2, "mm")
    assert summary(kind_of("Dice ball", {}), [math.nan], ["a"])["interval"] is None


def test_groups_are_what_is_known() -> None:
    """Words make groups of their own, numbers are cut into thirds, what is the same everywhere makes none."""
    found = groups([{"sex": "F" if number % 2 else "M", "age": str(30 + number), "site": "one"} for number in range(9)])
    assert found["sex"] == {"F": [1, 3, 5, 7], "M": [0, 2, 4, 6, 8]}
    assert [len(inside) for inside in found["age"].values()] == [3, 3, 3]
    assert next(iter(found["age"].values())) == [0, 1, 2]
    assert "site" not in found
    assert groups([{"sex": "F"}, {}, {}, {"sex": "F"}])["sex"] == {"F": [0, 3], "not known": [1, 2]}


def test_a_group_is_nobody() -> None:
    """A group of one case would be that person; words as many as cases are names."""
    assert groups([{"site": "one"}, {"site": "one"}, {"site": "two"}, {"site": "two"}, {"site": "Doe"}])["site"].keys() == {"one", "two"}
    assert groups([{"site": "one"}, {"site": "one"}, {"site": "Doe"}]) == {}
    assert groups([{"site": f"ward {number // 2}"} for number in range(26)]) == {}


def test_a_table_of_participants_is_read(tmp_path: Path) -> None:
    """As BIDS lays it out; "n/a" is not known, names and birthdays are not read, who is not in it has nothing; a table of nobody is
    refused."""
    crops(tmp_path / "data", count=2)
    table = tmp_path / "data" / "participants.tsv"
    table.write_text("participant_id\tsex\tage\tname\tbirth\nmade_000\tF\tn/a\tDoe\t1970-01-01\nsomebody\tM\t40\tRoe\tn/a\n")
    first, second = (case.load().attributes for case in pairs(tmp_path / "data", modality="MR"))
    # what is no group is left where it lies: whatever is read comes to the page
    assert (first, second) == ({"sex": "F"}, {})
    table.write_text("name\tsex\nmade_000\tF\n")
    with pytest.raises(UnfitData, match="participant_id"):
        pairs(tmp_path / "data", modality="MR")


def test_a_model_that_gives_no_numbers_of_a_case_is_refused_and_the_case_named(tmp_path: Path) -> None:
    """Of NaN no comparison holds: the hippocampus was absent there, and that was scored. In training and as it is served."""
    cases = pairs(crops(tmp_path, count=1), modality="MR")
    told = 'case made_000: model "hippocampus_parts" gives values that are no numbers, or are infinite, in its output "OUTPUT__0"'
    network = smallest().network()
    torch.nn.init.constant_(network.bias, math.nan)
    with pytest.raises(NotFinite, match=told):
        smallest().validation(network, cases)

    class Broken(EmbeddedEngine):
        def infer(self, model: ModelRef, inputs: Tensors, **said: Any) -> dict[str, NDArray[Any]]:
            return {name: np.full_like(values, math.inf) for name, values in super().infer(model, inputs, **said).items()}

    with closing(Broken(SHIPPED.parent)) as engine, pytest.raises(NotFinite, match=told):
        list(findings(smallest(), cases, SHIPPED.parent, EngineInfer(engine)))


def test_noise_is_as_strong_as_said_and_always_the_same() -> None:
    """In CT its deviation is the share of the range; in MR it is Rice's, which lifts the dark; no call draws otherwise."""
    ct, by = labelled("CT"), Perturbation(kind=Disturbance.NOISE, level=10)
    low, high = np.percentile(ct.volume.voxels, (1, 99))
    noise = perturbed(ct, by, "case").volume.voxels - ct.volume.voxels
    assert noise.std() == pytest.approx((high - low) / 10, rel=0.02)
    assert abs(noise.mean()) < noise.std() / 50
    mr = labelled()
    lifted = perturbed(mr, by, "case").volume.voxels
    assert lifted.min() >= 0
    assert lifted.mean() > mr.volume.voxels.mean()
    assert np.array_equal(lifted, perturbed(mr, by, "case").volume.voxels)
    assert not np.array_equal(lifted, perturbed(mr, by, "other").volume.voxels)


def test_blur_is_in_millimetres() -> None:
    """A point becomes a bell of that full width at half maximum, whatever the voxels' sides."""
    voxels = np.zeros((41, 41, 41), dtype=np.float32)
    voxels[20, 20, 20] = 1
    affine = HEAD_BACK_LEFT @ np.diag([0.5, 1.0, 1.0, 1.0])
    point = Labelled(volume=volume_of(voxels, affine, "MR", "point"), labels=voxels.astype(np.uint8))
    bell = perturbed(point, Perturbation(kind=Disturbance.BLUR, level=4), "case").volume.voxels
    # half the width is 2 mm: four slices of 0.5 mm, two columns of 1 mm
    for half in (bell[24, 20, 20], bell[20, 20, 22]):
        assert half / bell[20, 20, 20] == pytest.approx(0.5, abs=0.02)


def test_absent_slices_leave_the_others_where_they_were() -> None:
    """Voxels, truth, sources and places in the patient of those that are kept are the ones they had."""
    whole = labelled()
    thin = perturbed(whole, Perturbation(kind=Disturbance.THINNED, level=2), "case")
    assert len(thin.labels) == len(thin.volume.voxels) == len(thin.volume.sources) == 21
    assert thin.volume.spacing_mm == (2.0, 1.0, 1.0)
    assert np.array_equal(thin.volume.affine @ (3, 0, 0, 1), whole.volume.affine @ (6, 0, 0, 1))
    cuts = {name: perturbed(whole, Perturbation(kind=Disturbance.CUT, level=20), name) for name in "abcdefgh"}
    firsts = set()
    for cut in cuts.values():
        assert len(cut.labels) == 33
        first = whole.volume.sources.index(cut.volume.sources[0])
        firsts.add(first)
        assert np.array_equal(cut.volume.affine @ (0, 0, 0, 1), whole.volume.affine @ (first, 0, 0, 1))
        assert np.array_equal(cut.labels, whole.labels[first : first + 33])
    assert firsts == {0, 8}


def test_an_evaluation_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    """What was computed is not computed again, a line that was cut is; of another model nothing is taken over."""
    path, computed = tmp_path / "begun", []

    def row(value: float) -> Mapping[str, float]:
        computed.append(value)
        return {"Dice": value}

    def killed(**values: float) -> None:
        with kept(path, {"sha256": "a"}) as rows:
            for name, value in values.items():
                rows.row(name, partial(row, value))
            raise InterruptedError

    with pytest.raises(InterruptedError):
        killed(one=math.nan, two=2)
    with path.open("a") as file:
        file.write('{"name": "three", "ro')
    with pytest.raises(InterruptedError):
        killed(one=9, three=3)
    with kept(path, {"sha256": "a"}) as rows:
        assert math.isnan(rows.row("one", lambda: row(9))["Dice"])
        assert rows.row("two", lambda: row(9)) == {"Dice": 2}
        assert rows.row("three", lambda: row(9)) == {"Dice": 3}
        with kept(path, {"sha256": "b"}) as others:
            assert others.row("two", lambda: row(4)) == {"Dice": 4}
        path.touch()
    assert computed[1:] == [2, 3, 4]
    assert not path.exists()


def test_an_outline_is_the_edge_of_its_pixels() -> None:
    """Its length is the circumference, holes included."""
    mask = np.zeros((6, 7), dtype=bool)
    mask[1:5, 2:6] = True
    mask[2:4, 3:5] = False
    runs = [int(part[1:].split("h" if "h" in part else "v")[1]) for part in outline(mask).split("M") if part for part in ["M" + part]]
    assert sum(runs) == 16 + 8
    assert outline(np.ones((2, 3), dtype=bool)) == "M0 0h3M0 2h3M0 0v2M3 0v2"


def evaluation(**others: Any) -> dict[str, Any]:
    """A record by hand, of two cases whose names and data nobody checked."""
    names = ("Dice ball", "Hausdorff 95 % ball", "volume error ball")
    told = {
        name: {**summary(kind_of(name, {}), values, ["p", "q"]), "baseline": None}
        for name, values in zip(names, ((0.9, 0.7), (1, 4), (-3, 2)), strict=True)
    }
    return {
        "format": FORMAT,
        "recipe": "ball",
        "title": "Balls <script>alert(1)</script>",
        "application": "ball",
        "model": "ball",
        "sha256": "ab" * 32,
        "run": "made by hand",
        "at": "2026-01-02T03:04:05+00:00",
        "data": {"name": '"><img src=x onerror=alert(1)>', "licence": "CC0", "attribution": "nobody"},
        "accepts": {"modality": ["MR"], "max_spacing_mm": None},
        "cases": {"train": 1, "validation": 1, "test": 2},
        "settings": {"tolerance_mm": 1.0, "resamples": 2000, "seed": 0, "interval": [2.5, 97.5]},
        "watched": "Dice ball",
        "baseline": "mean shape",
        "figures": told,
        "subgroups": [{"attribute": "sex", "group": "</svg><script>", "cases": 2, "figures": told}],
        "disturbed": [{"kind": "noise", "level": 10, "refused": 1, "figures": told}],
        "each": [
            {
                "case": f"Doe^Jane {number}",
                "patient": f"Doe^Jane {number}",
                "attributes": {},
                "figures": dict(zip(names, values, strict=True)),
            }
            for number, values in enumerate(((0.9, 1, -3), (0.7, None, 2)))
        ],
        **others,
    }


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and those that were not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_runs_nothing() -> None:
    """No scripts, no frames, no handlers, no address but pictures in the page itself; hostile names are text, and cases have none."""
    shown = labelled()
    pictures = [Picture(number=2, why="worst", figure=0.7, planes=planes(shown.volume, [Masks(found=ball(7), true=ball(8))]))]
    probable = [{"case": "a", "patient": "a", "positive": number % 3 == 0, "probability": number / 20} for number in range(20)]
    seen = {"finding": "<b>pneumonia", "threshold": 0.5, "cases": probable}
    text = page(evaluation(classification=seen), classifier_parts(seen, pictures))
    # of a classifier alone: no structures, no groups, no disturbances
    bare = {
        name: told for name, told in evaluation(classification=seen).items() if name not in ("each", "subgroups", "disturbed", "accepts")
    }
    assert Tags(page(bare, classifier_parts(seen, ()))).open == []
    plain = Parts(gallery=Gallery(title="Worst", note=Markup("of all"), pictures=pictures))
    assert "case 2, 0.7000" in page(evaluation(), plain)
    tags = Tags(text)
    assert tags.open == []
    assert {name for name, _ in tags.found}.isdisjoint({"script", "iframe", "object", "embed", "link", "form", "base", "img", "b", "a"})
    for _, attributes in tags.found:
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
        assert (attributes.get("href") or "data:image/png;base64,").startswith("data:image/png;base64,")
    assert "http://" not in text
    assert "https://" not in text
    assert "Doe" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "case 2, 0.700<" in text
    assert "1 of 2" in text


def test_a_classifiers_plots_tell_its_figures() -> None:
    """The area under the corners of the curve is the AUC, ties and all; the table has the decisions at the threshold."""
    rng = np.random.default_rng(3)
    positive = rng.random(200) < 0.4
    scores: NDArray[np.float64] = np.round(np.clip(rng.normal(0.4 + 0.2 * positive, 0.2), 0, 1), 1).astype(np.float64)
    cases = [
        {"case": str(index), "patient": str(index), "positive": bool(one), "probability": float(score)}
        for index, (one, score) in enumerate(zip(positive, scores, strict=True))
    ]
    told = classifier({"finding": "something", "threshold": 0.5, "cases": cases})
    corners = np.array(roc(scores, positive))
    assert np.trapezoid(corners[:, 1], corners[:, 0]) == pytest.approx(auc(scores, positive))
    assert told["decided"].true_positive + told["decided"].false_negative == np.count_nonzero(positive)


def test_the_gallery_of_a_classifier_shows_what_was_right_and_wrong() -> None:
    """Of either kind the two surest hits and the two furthest misses, by the threshold; as many as there are."""
    given = [(True, 0.9), (True, 0.8), (True, 0.7), (True, 0.2), (False, 0.1), (False, 0.6), (False, 0.95), (False, 0.55)]
    cases = [{"case": str(n), "positive": real, "probability": score} for n, (real, score) in enumerate(given)]
    shown = answered([np.full((28, 28), n) for n in range(8)], {"finding": "x", "threshold": 0.5, "cases": cases})
    assert [(one.why, one.number) for one in shown] == [
        ("hit: present", 1),
        ("hit: present", 2),
        ("miss: present", 4),
        ("hit: absent", 5),
        ("miss: absent", 7),
        ("miss: absent", 6),
    ]
    told = {"finding": "x", "threshold": 0.5, "cases": cases}
    text = page(evaluation(classification=told), classifier_parts(told, shown))
    assert "Hits and misses" in text
    assert "case 7, 0.950" in text
    assert "what moved the answer" not in text


def test_the_gallery_shows_what_moved_each_answer() -> None:
    """Beside the image one picture for each map, see-through where it is 0 or speaks against; its words say that it is no location."""
    cases = [{"case": str(n), "positive": real, "probability": 0.9} for n, real in enumerate((True, False))]
    values = np.zeros((28, 28), dtype=np.float32)
    values[4:8, 16:20], values[20:, :4] = 1.5, -1.5
    why = Explanation(label="Occlusion", values=values, image=0, finding=codes.PNEUMONIA, quantity=codes.SALIENCY)
    told = {"finding": "x", "threshold": 0.5, "cases": cases}
    shown = answered([np.full((28, 28), n) for n in range(2)], told, lambda _: (why,))
    assert [len(one.planes) for one in shown] == [2, 2]
    text = page(evaluation(classification=told), classifier_parts(told, shown))
    assert "what moved the answer: Occlusion, in log odds. They explain the network and are no location" in text
    _, drawn = re.findall(r'href="data:image/png;base64,([^"]+)"', str(shown[0].planes[1]))
    alpha = np.asarray(Image.open(BytesIO(base64.b64decode(drawn))))[..., 3]
    assert np.array_equal(alpha > 0, values > 0)


def test_only_evaluations_of_this_form_are_read(tmp_path: Path) -> None:
    """From the folder or the file; an older form, other JSON or none says what to do."""
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation()))
    assert read(tmp_path)["model"] == read(tmp_path / "evaluation.json")["model"] == "ball"
    alone = {"format": FORMAT, "figures": {}, "classification": {"cases": [{"case": "a"}]}}
    (tmp_path / "evaluation.json").write_text(json.dumps(alone))
    assert read(tmp_path)["each"] == [{"case": "a", "patient": "a", "figures": {}}]
    for content in ("[]", "{}", "not JSON", json.dumps({"format": FORMAT}), json.dumps({**evaluation(), "each": [1]})):
        (tmp_path / "evaluation.json").write_text(content)
        with pytest.raises(UnreadableEvaluation):
            read(tmp_path)
    with pytest.raises(UnreadableEvaluation):
        read(tmp_path / "absent")


def test_the_page_says_by_what_cases_were_split() -> None:
    """ "Patients" stands there only where the data name them; an evaluation that does not tell claims nothing."""
    told = evaluation()
    assert "split" not in page(told)
    assert "resamples of cases" in page(told)
    told["data"]["split"] = "by its makers"
    told["each"] = [{**each, "patient": "p"} for each in told["each"]]
    assert "made every figure on this page; split by its makers<" in page(told)
    assert "resamples of patients" in page(told)


def test_a_figure_that_only_a_disturbed_image_has() -> None:
    """Undisturbed, the structure was nowhere; under noise something was found: the plot begins there. And where neither has one."""
    told = evaluation()
    told["figures"]["Dice ball"] = {**summary(kind_of("Dice ball", {}), [math.nan], ["p"]), "baseline": None}
    assert Tags(page(told)).open == []
    blurred = {"kind": "blur", "level": 1, "refused": 2, "figures": told["figures"]}
    told["disturbed"] = [{**told["disturbed"][0], "figures": evaluation()["figures"]}, blurred]
    assert "Blur" in page(told)


def test_a_bar_in_a_label_begins_no_column() -> None:
    """Labels are anybody's: every row of the card's table has as many columns as its head."""
    told = evaluation()
    told["figures"] = {"Dice a|b": told["figures"]["Dice ball"]}
    head, _, row = table(told).splitlines()
    assert row.startswith("| Dice a\\|b |")
    assert row.replace("\\|", "").count("|") == head.count("|")


def test_the_shipped_page_is_that_of_the_shipped_evaluation() -> None:
    """By its digest; crops name nobody, and neither page nor card says that patients were kept apart."""
    told = read(SHIPPED / "1")
    content = (SHIPPED / "1" / PAGE).read_bytes()
    assert hashlib.sha256(content).hexdigest() == told["card_sha256"]
    for text in (content.decode(), (SHIPPED / "README.md").read_text(encoding="utf-8")):
        assert f"split {load('hippocampus').data.split}" in text
        assert "patient" not in text
