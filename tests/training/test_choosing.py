"""Whom to label next: the choices by arithmetic, and the verb on an archive of files and on one of DICOM."""

import csv
import itertools
import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.unit.cli.conftest import Run
from tests.unit.cli.conftest import run as run
from training import cli, recipes
from training.choosing.choices import core_set, most_unsure, of_patients
from training.compute import Compute
from training.errors import UnfitData, UnfitSetting
from training.fit import trained
from training.tabled.labels import read_labels
from training.tasks.answers import Answerer
from training.tasks.segmentation import Segmenter

from .labelled_radiographs import radiograph, spotted, write_labelled
from .made import as_recipe, crops, tiny
from .made_radiographs import tiny as several

pytestmark = pytest.mark.slow


def _drawn(seed: int) -> tuple[NDArray[np.float64], Mapping[str, NDArray[np.float64]]]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(3, 4)), {f"p{number}": rng.normal(size=4) for number in range(9)}


def _farthest(pool: Mapping[str, NDArray[np.float64]], centres: list[NDArray[np.float64]]) -> float:
    """How far the worst of a pool is from the nearest centre, pair by pair."""
    return max(min(float(np.sqrt(((one - centre) ** 2).sum())) for centre in centres) for one in pool.values())


@pytest.mark.parametrize("seed", range(5))
def test_a_core_set_is_the_farthest_time_after_time_and_covers_half_as_well_as_the_best(seed: int) -> None:
    """Each against all pairs; and of every three that could be chosen, the best leaves nobody nearer than half as far (Gonzalez 1985)."""
    labelled, pool = _drawn(seed)
    chosen = core_set(labelled, pool, 3)
    centres = list(labelled)
    for one in chosen:
        assert one.figure == pytest.approx(_farthest(pool, centres))
        assert one.figure == pytest.approx(_farthest({"": pool[one.patient]}, centres))
        centres.append(pool[one.patient])
    best = min(_farthest(pool, [*labelled, *(pool[one] for one in three)]) for three in itertools.combinations(pool, 3))
    assert best <= _farthest(pool, centres) <= 2 * best


def test_a_core_set_names_everybody_once_and_no_one_of_nobody() -> None:
    labelled, pool = _drawn(0)
    alike = {**pool, "twin": pool["p0"]}
    assert sorted(one.patient for one in core_set(labelled, alike, 99)) == sorted(alike)
    assert core_set(labelled, {}, 3) == []


def test_the_most_unsure_are_named_by_the_mean_of_their_images() -> None:
    """One image of 0.9 beside one of 0.1 is 0.5: less than two of 0.6."""
    means = of_patients(["a", "b", "a", "b", "c"], np.array([0.9, 0.6, 0.1, 0.6, 0.2]))
    chosen = most_unsure({one: float(value) for one, value in means.items()}, 2)
    assert [one.patient for one in chosen] == ["b", "a"]
    assert [one.figure for one in chosen] == pytest.approx([0.6, 0.5])


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_files_that_are_not_labelled_are_named_the_least_sure_first(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The images of the labelled patients lie in the archive too, under other names, and one that is none: neither is proposed, both are
    told. Entropies as torch has them, over the network's answers on the grid of the crop."""
    data, recipe = crops(tmp_path / "data"), tiny()
    as_recipe(monkeypatch, "hippocampus", recipe)
    archive = crops(tmp_path / "more", count=4, seed=9) / "images"
    for at, path in enumerate(sorted((data / "images").iterdir())):
        shutil.copy(path, archive / f"again-{at}.nii.gz")
    for path in sorted(archive.glob("made_*")):
        path.rename(archive / path.name.replace("made", "new"))
    (archive / "broken.nii.gz").write_bytes(b"no volume")
    out = tmp_path / "run"
    assert cli.train("hippocampus", data=data, out=out, epochs=1, device="cpu") == 0
    capsys.readouterr()
    asked = ("choose", "hippocampus", "--data", str(data), "--out", str(out), "--unlabelled", str(archive), "--device", "cpu")
    said = run(*asked, "--number", "3")
    assert said.code == 0, said
    assert "left out: broken.nii.gz" in said.err
    assert "16 images, or series, of those who are labelled already" in said.err
    assert "of 4 of 4 images" in said.err
    rows = _rows(out / "label-next.csv")
    assert list(rows[0]) == ["path", "patient", "chosen because"]
    network, _ = trained(recipe, out)
    sure = {path.name: _entropy(recipe, network, path) for path in archive.glob("new_*")}
    assert [row["path"] for row in rows] == sorted(sure, key=lambda name: -sure[name])[:3]
    for row in rows:
        assert float(row["chosen because"].split()[1].rstrip(",")) == pytest.approx(sure[row["path"]], abs=2e-3)
    # somebody may have labelled in it
    refused = run(*asked, "--number", "3")
    assert refused.code == 1
    assert "HLM-8022" in refused.err
    found = json.loads(run(*asked, "--number", "9", "--by", "core-set", "--to", str(tmp_path / "core.csv"), "--json").out)
    assert (found["patients"], found["nameless"], len(found["proposed"])) == (4, 4, 4)
    apart = [one["patient"]["figure"] for one in found["proposed"]]
    assert apart == sorted(apart, reverse=True)
    assert [row["path"] for row in _rows(tmp_path / "core.csv")] == [one["image"]["name"] for one in found["proposed"]]


def _entropy(recipe: Segmenter, network: torch.nn.Module, path: Path) -> float:
    from inference.applications.hippocampus.preparing import prepare
    from training.tabled.files import volume_in

    crop = prepare(volume_in(path, "MR"))
    with torch.inference_mode():
        logits = network(torch.from_numpy(crop.image[None, None])).movedim(1, -1)
    return float(crop.laid_back(_surprise(logits)[0].numpy().astype(np.float32)).mean())


def _surprise(logits: torch.Tensor) -> torch.Tensor:
    """Of answers (…, K) the entropy as a share of log K, as torch has it."""
    found: torch.Tensor = torch.distributions.Categorical(logits=logits).entropy()  # type: ignore[no-untyped-call]  # torch's own
    return found / float(np.log(logits.shape[-1]))


def test_radiographs_are_named_by_uid_all_of_a_patient_in_a_table_that_recipes_take(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the archive's patients one has two films, one is labelled, and two have no PatientID: those are two. With labels beside, the table
    is one of labels."""
    table = write_labelled(tmp_path / "labelled", count=40)
    out, archive = tmp_path / "run", tmp_path / "more"
    film = partial(radiograph, PatientSex="O")
    for number, said in ((100, {}), (101, {"PatientID": "P100"}), (102, {}), (7, {}), (103, {"PatientID": ""}), (104, {"PatientID": ""})):
        film(archive / f"{number}.dcm", spotted(number + 500, True), number, **said)
    short = {"epochs": 1, "window": (1, 32, 32), "name": "spots", "device": "cpu"}
    assert cli.train("classification", data=tmp_path / "labelled", labels=(str(table),), out=out, **short) == 0  # type: ignore[arg-type]
    asked = ("choose", "classification", "--data", str(tmp_path / "labelled"), "--out", str(out), "--unlabelled", str(archive))
    found = json.loads(run(*asked, "--number", "9", "--json").out)
    assert (found["patients"], found["images"], found["nameless"], len(found["labelled"])) == (4, 5, 2, 1)
    rows = _rows(out / "label-next.csv")
    assert list(rows[0]) == ["SOPInstanceUID", "PatientID", "chosen because"]
    whose = [row["PatientID"] for row in rows]
    assert sorted(whose) == ["", "", "P100", "P100", "P102"]
    assert whose.index("P100") + 1 == len(whose) - 1 - whose[::-1].index("P100"), "both films of a patient stand together"
    recipe = recipes.load("classification", out)
    assert isinstance(recipe, Answerer)
    by_uid = {row["SOPInstanceUID"]: float(row["chosen because"].split()[1].rstrip(",")) for row in rows}
    network, _ = trained(recipe, out)
    from training.pretraining.unlabelled import unlabelled

    cases = unlabelled(archive, recipe, None, ()).cases
    for case, value in zip(cases, _surprise(torch.from_numpy(recipe.logits(network, cases))).tolist(), strict=True):
        uid = case.load().subject.sources[0].sop_instance_uid
        assert uid not in by_uid or by_uid[uid] == pytest.approx(value, abs=1e-3)
    with (out / "label-next.csv").open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, [*rows[0], "Spots"])
        writer.writeheader()
        writer.writerows({**row, "Spots": ("fine", "broad")[at % 2]} for at, row in enumerate(rows))
    read = read_labels(out / "label-next.csv")
    assert (read.identifier, [code.meaning for code in read.channels], len(read.lines)) == ("SOPInstanceUID", ["broad", "fine"], 5)


def test_what_cannot_be_chosen_from_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No patient; a task that does not tell how unsure it is; an archive of labelled patients alone."""
    from training.choosing.choices import Choice
    from training.choosing.proposing import propose
    from training.choosing.seen import NetworkView

    data, recipe = crops(tmp_path / "data"), tiny()
    as_recipe(monkeypatch, "hippocampus", recipe)
    out = tmp_path / "run"
    assert cli.train("hippocampus", data=data, out=out, epochs=1, device="cpu") == 0
    ask = partial(propose, recipe, out, recipe.sides(data, 0), data / "images", Choice.ENTROPY)
    with pytest.raises(UnfitSetting, match="1 at the least"):
        ask(0, None, Compute())
    with pytest.raises(UnfitData, match="labelled already"):
        ask(1, None, Compute())
    with pytest.raises(UnfitSetting, match="how unsure its network is of an image is not known"):
        NetworkView(several(), None, Compute())
