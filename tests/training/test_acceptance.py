"""Acceptance tests of an application on labelled DICOM studies: by `hilum evaluate` as a hospital calls it, compared with arithmetic on the
same voxels.
"""

import base64
import json
import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import UID

from inference.applications.acceptance import UnreadableCard, accept, keep_evaluation, read_card, why_not_accepted
from inference.applications.catalog import load
from inference.applications.port import Application
from inference.codes import LEFT, RIGHT, Code
from inference.errors import EngineError
from inference.findings import Findings
from inference.imaging.subject import Subject
from tests.lab.howto import HowTo
from tests.unit.cli.conftest import Run
from tests.unit.cli.conftest import run as run
from training.acceptance.cells import AGE, SCANNER, SEX, THICKNESS, attributes, cells
from training.acceptance.judging import evaluate
from training.acceptance.port import UnderTest
from training.acceptance.record import Compared, Comparison, record, without_identity
from training.acceptance.reference import Drawn
from training.acceptance.structures import references
from training.data.dicom import LabelledSeries, Segment, Segmentation
from training.errors import UnclearLabels, UnfitSetting

from .applications.bright_ball import THRESHOLD_HU
from .studies import SPACING, thorax, write_seg, write_study

_OWN = Path(__file__).parent / "applications"
_COUNT = 12


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve labelled patients; an MR series, one without labels, and one whose labels lie in another space."""
    folder = tmp_path_factory.mktemp("hospital") / "studies"
    for seed in range(_COUNT):
        scanner: dict[str, Any] = {"Manufacturer": "ACME", "ManufacturerModelName": "ACME One" if seed else "Two"}
        write_study(folder, seed, PatientSex="F" if seed else "M", PatientAge="050Y", SliceThickness="2", **scanner)
    write_study(folder, 20, Modality="MR")
    write_study(folder, 21)
    (folder / "p021" / "drawn" / "ball.dcm").unlink()
    write_study(folder, 22)
    elsewhere = folder / "p022" / "drawn" / "ball.dcm"
    moved = dcmread(elsewhere)
    moved.FrameOfReferenceUID = UID("1.2.3.4")
    moved.save_as(elsewhere)
    return folder


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the hospital's operator types."""
    (tmp_path / "models").mkdir()
    (tmp_path / "hilum.yaml").write_text(f"models: {{repository: models, applications: [{_OWN}]}}\naudit: {{folder: audit}}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def by_hand(seed: int) -> dict[str, float]:
    """Dice and volumes of one patient, from the voxels that were written."""
    voxels, ball = thorax(seed)
    found = voxels > THRESHOLD_HU
    ml = float(np.prod(SPACING)) / 1000
    overlap, both = int((found & ball).sum()), int(found.sum()) + int(ball.sum())
    return {"Dice bright": 2 * overlap / both, "volume difference bright": (int(found.sum()) - int(ball.sum())) * ml}


@pytest.mark.slow
def test_the_figures_are_those_of_the_voxels(run: Run, hospital: Path, studies: Path) -> None:
    """Each case, the mean, the limits of agreement and the cells are what arithmetic on the written voxels says; a series that the gate
    refuses, labels in another space and images without labels are told with their reasons, and are in no figure."""
    told = run("evaluate", "bright-ball", "--data", str(studies), "--json").json
    truth = [by_hand(seed) for seed in range(_COUNT)]
    for name in truth[0]:
        values = np.array([one[name] for one in truth])
        found = sorted(one["figures"][name] for one in told["each"])
        assert found == pytest.approx(sorted(values))
        assert told["figures"][name]["mean"] == pytest.approx(values.mean())
    difference = np.array([one["volume difference bright"] for one in truth])
    spread = 1.96 * difference.std(ddof=1)
    assert told["figures"]["volume difference bright"]["limits"] == pytest.approx([difference.mean() - spread, difference.mean() + spread])
    assert told["counts"] == {"compared": _COUNT, "patients": _COUNT, "refused": 1, "unusable": 1, "unlabelled": 1}
    assert told["refused"][0]["code"] == "HLM-3101"
    assert "modality is MR, not CT" in told["refused"][0]["reason"]
    assert told["unusable"][0]["code"] == "HLM-8020"
    by_scanner = {one["cell"]: one for one in told["cells"] if one["attribute"] == SCANNER}
    assert by_scanner["ACME Two"] == {"attribute": SCANNER, "cell": "ACME Two", "cases": 1, "patients": 1, "figures": None}
    of_one = [one["Dice bright"] for one in truth[1:]]
    assert by_scanner["ACME One"]["figures"]["Dice bright"]["mean"] == pytest.approx(np.mean(of_one))


@pytest.mark.slow
def test_what_was_tested_is_accepted_by_name_and_for_that_digest_alone(run: Run, hospital: Path, studies: Path) -> None:
    """Nothing is accepted that was not tested; the card says by whom and why, and nothing of a patient; the audit trail is told; a
    second test leaves the acceptance with the figures that it was of; it can be taken back; another version has no card."""
    means = {"ct-lung": "bright-ball", "studies": str(studies)}
    page = HowTo("acceptance-test.md")
    tested, asked = ([means.get(word, word) for word in shlex.split(page.typed(line))[1:]] for line in page.commands())
    early = run(*asked)
    assert (early.code, "HLM-4160" in early.err) == (1, True)
    assert run(*tested).code == 0
    digest = run(*asked, "--json").json["sha256"]
    page.followed()
    models = hospital / "models"
    assert why_not_accepted(models, "bright-ball", "1.0.0", digest) == ""
    assert "was not tested" in why_not_accepted(models, "bright-ball", "1.0.1", digest)
    (file,) = models.glob("*.acceptance.json")
    written = file.read_text() + file.with_suffix(".html").read_text()
    assert "Dr Ada Roe" in written
    uids = {one["case"] for one in json.loads((hospital / "var/evaluations/bright-ball/evaluation.json").read_text())["each"]}
    assert not any(hidden in written for hidden in (*uids, "P001", str(studies), "data:image"))
    audit = "".join(one.read_text() for one in (hospital / "audit").glob("*.xml"))
    told = [base64.b64decode(value).decode() for value in re.findall(r'<ParticipantObjectDetail [^>]*value="([^"]*)"', audit)]
    assert any(f"by Dr Ada Roe: {asked[-1]}" in one for one in told)
    before = read_card(models, "bright-ball", "1.0.0", digest)
    run(*tested)
    after = read_card(models, "bright-ball", "1.0.0", digest)
    assert before is not None
    assert after is not None
    assert after.accepted == before.accepted
    assert run(*asked[:-1], "a scanner was changed", "--withdraw").code == 0
    assert "nobody has accepted it" in why_not_accepted(models, "bright-ball", "1.0.0", digest)
    file.write_text("{")
    assert "HLM-4161" in why_not_accepted(models, "bright-ball", "1.0.0", digest)
    with pytest.raises(UnreadableCard):
        read_card(models, "bright-ball", "1.0.0", digest)


@pytest.mark.slow
def test_a_route_that_asks_for_accepted_applications_says_so_everywhere(run: Run, hospital: Path, studies: Path) -> None:
    """Before: the check of the configuration and what explains routes say why its jobs would be parked; afterwards neither has a word."""
    (hospital / "hilum.yaml").write_text(
        f"models: {{repository: models, applications: [{_OWN}]}}\n"
        'node: {ae_title: HILUM, listen: "127.0.0.1:0"}\n'
        'peers: {ct: {ae_title: CT, address: "127.0.0.1:104"}}\n'
        "sinks: {copies: {kind: folder, path: out}}\n"
        + HowTo("acceptance-test.md").blocks("yaml")[0].replace("ct-lung", "bright-ball").replace("archive", "copies")
    )

    def said() -> tuple[str, dict[str, Any]]:
        remarks = " ".join(run("config", "check", "--json").json["remarks"])
        explained = run("routes", "explain", str(studies / "p000" / "ct"), "--json").json
        (one,) = explained["routes"][0]["series"][0]["applications"]
        return remarks, one

    remarks, before = said()
    assert 'route "chest CT": bright-ball 1.0.0' in remarks
    assert before["answer"] == "does not take it"
    assert "was not tested on studies of this hospital, and the route asks for an accepted one" in before["reason"]
    run("evaluate", "bright-ball", "--data", str(studies))
    assert "nobody has accepted it" in said()[0]
    run("models", "accept", "bright-ball", "--by", "Dr Ada", "--reason", "good")
    remarks, after = said()
    assert "accept" not in remarks
    assert after["answer"] != "does not take it"


@pytest.mark.slow
def test_the_list_of_models_says_what_is_accepted_here(run: Run, hospital: Path) -> None:
    """The version that an accepted application calls as it is served, and no longer once another version of the application is."""
    assert run("models", "import", "hippocampus", "--no-tune").code == 0
    (listed,) = run("models", "list", "--json").json
    assert (listed["grade"], listed["accepted"]) == ("research", [])
    told = {"application": "hippocampus", "version": "1.0.0+model.1", "sha256": listed["sha256"], "at": "2026-01-02T03:04:05+00:00"}
    keep_evaluation(hospital / "models", told)
    accept(hospital / "models", "hippocampus", "1.0.0+model.1", listed["sha256"], by="Dr Ada", reason="good")
    (listed,) = run("models", "list", "--json").json
    assert listed["accepted"] == ["hippocampus"]
    assert "accepted here" in run("models", "list").out


@pytest.mark.slow
def test_a_test_that_was_ended_goes_on(tmp_path: Path, studies: Path) -> None:
    """An engine that goes away stops it; called again it asks for the rest, and says of the whole what one that was never stopped says."""
    application = load("bright-ball", (_OWN,))
    tested = UnderTest(application=application, sha256="0" * 64, engine="default")
    asked: list[str] = []

    def analyse(files: Sequence[Path], series_instance_uid: str, /) -> tuple[Subject, Findings]:
        from inference.applications.admitting import admitted
        from inference.imaging.subjects import subjects

        asked.append(series_instance_uid)
        if len(asked) == 6:
            raise EngineError("it is away")
        (assembled,) = subjects(application.accepts.takes, "refuse", files)
        given = admitted(application, assembled).assembled
        return given.subject, application.analyse(given.subject, None)  # type: ignore[arg-type]

    with pytest.raises(EngineError):
        evaluate(tested, analyse, studies, tmp_path / "a", {})
    before = len(asked)
    told = evaluate(tested, analyse, studies, tmp_path / "a", {})
    again = asked[before:]
    assert not {one["case"] for one in told["each"]} - set(asked)
    # those of the first five that have figures are not asked again, but for pictures at the end
    assert again[0] == asked[5] or again[0] in {one["what"] for one in (*told["refused"], *told["unusable"])}
    whole = evaluate(tested, analyse, studies, tmp_path / "b", {})
    assert [one["figures"] for one in whole["each"]] == [one["figures"] for one in told["each"]]


@pytest.mark.slow
def test_series_without_references_give_no_evaluation(run: Run, hospital: Path, tmp_path: Path) -> None:
    """A folder in which nothing is labelled, or labels that mean nothing that the application marks, is refused with what was found."""
    files, ball = write_study(tmp_path / "plain", 1)
    seg = tmp_path / "plain" / "p001" / "drawn" / "ball.dcm"
    seg.unlink()
    assert "HLM-8002" in run("evaluate", "bright-ball", "--data", str(tmp_path / "plain")).err
    write_seg(seg, files, {"Knot": ball})
    other = run("evaluate", "bright-ball", "--data", str(tmp_path / "plain"))
    assert "HLM-8021" in other.err
    assert '--same "THEIR LABEL=bright"' in other.err
    assert run("evaluate", "bright-ball", "--data", str(tmp_path / "plain"), "--same", "knot=bright").code == 0
    assert "HLM-8022" in run("evaluate", "bright-ball", "--data", str(tmp_path / "plain"), "--same", "knot=dark").err
    assert "HLM-2064" in run("evaluate", "bright-ball", "--data", str(tmp_path / "plain"), "--same", "knot").err


def _series(*segments: tuple[str, str, Code | None], files: int = 1) -> LabelledSeries:
    made = tuple(
        Segment(number=number, label=label, type=Code(code, "SCT", label), category=Code("1", "SCT", "x"), laterality=side)
        for number, (label, code, side) in enumerate(segments, start=1)
    )
    paths = [Path(f"{number}.dcm") for number in range(files)]
    drawn = tuple(Segmentation(path=path, segments=made, series=frozenset(), instances=frozenset()) for path in paths)
    return LabelledSeries(uid="1.2", patient="P", modality="CT", files=(), segmentations=drawn)


def _lungs() -> Application:
    return load("ct-lung")


def test_segments_are_told_by_label_then_by_code_and_side() -> None:
    """ct-lung has two structures of one code, right and left: a code with a side is one of them, without a side neither."""
    lung = next(one for one in _lungs().outputs if getattr(one, "label", "") == "lung right")
    code = lung.type.value  # type: ignore[union-attr]
    told = references(_lungs(), [_series(("A", code, RIGHT), ("B", code, LEFT), ("C", code, None))], {})
    assert told.numbers["lung right"] == {Path("0.dcm"): (1,)}
    assert told.numbers["lung left"] == {Path("0.dcm"): (2,)}
    assert told.unknown == {"C": 1}
    assert references(_lungs(), [_series(("LUNG LEFT", "0", None))], {}).unmarked == ("lung right", "lungs")


def test_a_segment_of_one_side_is_no_structure_of_the_other() -> None:
    """The only structure of a code may be one side: what is drawn on the other side is not it, alone or beside it."""
    lungs = _lungs()
    right = replace(lungs, outputs=tuple(one for one in lungs.outputs if getattr(one, "label", "") == "lung right"))
    code = right.outputs[0].type.value  # type: ignore[union-attr]
    told = references(right, [_series(("A", code, RIGHT), ("B", code, LEFT))], {})
    assert told.numbers == {"lung right": {Path("0.dcm"): (1,)}}
    assert told.unknown == {"B": 1}


def test_what_a_reader_called_a_segment_is_not_on_the_card() -> None:
    """Free text may be a name; the evaluation, which lies with the images, says it."""
    told = references(_lungs(), [_series(("lung right", "0", None), ("nodule of Doe^John 1.2.3.4", "0", None))], {})
    notes = Drawn(meant=told).notes
    assert any("nodule of Doe^John" in note for note in notes)
    card = without_identity({"notes": notes, "refused": [], "unusable": []})
    assert card["notes"][-1].endswith("has no structure for: «…» (1).")
    assert "lungs" in card["notes"][0]


def test_two_drawings_of_one_structure_are_refused_and_two_sides_are_one() -> None:
    """Nobody could say which of two readers is right; the two sides of what an application marks as one are that one."""
    ball = load("bright-ball", (_OWN,))
    with pytest.raises(UnclearLabels, match=r"twice, in 0\.dcm and in 1\.dcm"):
        references(ball, [_series(("bright", "0", None), files=2)], {})
    with pytest.raises(UnclearLabels, match="as 1 and 2"):
        references(ball, [_series(("bright", "0", None), ("Bright", "0", None))], {})
    sides = references(ball, [_series(("bright", "0", LEFT), ("Bright", "0", RIGHT))], {})
    assert sides.numbers == {"bright": {Path("0.dcm"): (1, 2)}}
    with pytest.raises(UnfitSetting, match='names "knot"'):
        references(ball, [_series(("bright", "0", None))], {"knot": "bright"})


def test_ten_series_of_one_patient_are_no_cell() -> None:
    """They would say more of that patient than of the model; ten patients are one, of whom ten have a value."""
    tested = UnderTest(application=load("bright-ball", (_OWN,)), sha256="0" * 64, engine="default")

    def told(patients: int, without: int = 0) -> Any:
        same = {SCANNER: "ACME One", THICKNESS: "from 1 to below 2 mm", SEX: "F", AGE: "below 18 years"}
        rows = [{"Dice bright": math.nan if n < without else 0.5} for n in range(12)]
        each = [Compared(series=f"1.{n}", patient=f"P{n % patients}", attributes=same, row=row) for n, row in enumerate(rows)]
        made = record(tested, Comparison(compared=each, refused=(), unusable=(), unlabelled=()), {}, "Dice bright")["cells"][0]
        return made["cases"], made["patients"], made["figures"] is not None

    assert told(9) == (12, 9, False)
    assert told(10) == (12, 10, True)
    assert (told(12, without=2), told(12, without=3)) == ((12, 12, True), (12, 12, False))


def test_cells_are_bands_that_every_test_shares(tmp_path: Path) -> None:
    """A bound belongs to the band above it; bands stand in the order of their numbers, what is not known last; an ending in months counts
    in years."""
    files, _ = write_study(tmp_path, 3, PatientAge="018M", Manufacturer="ACME", ManufacturerModelName="One")
    header = dcmread(files[0], stop_before_pixels=True)
    child = attributes(header, 3.0)
    assert (child[SCANNER], child[THICKNESS], child[AGE]) == ("ACME One", "from 3 to below 5 mm", "below 18 years")
    assert attributes(header, None)[THICKNESS] == "not known"
    bands = [attributes(header, mm) for mm in (8.0, 0.6, 1.0)]
    assert [cell for name, cell, _ in cells([child, *bands]) if name == THICKNESS] == [
        "below 1 mm",
        "from 1 to below 2 mm",
        "from 3 to below 5 mm",
        "from 5 mm",
    ]
