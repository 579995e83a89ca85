"""Numbers of a table: what is read and refused, what is looked at, the classical baseline, and how wide a prediction interval has to be."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.applications.bundle.answering import NumberChannel
from inference.applications.bundle.manifest import application_of, from_text, to_text
from inference.applications.port import MeasurementOutput
from inference.codes import Code
from inference.engines.errors import NotFinite
from inference.findings import PredictionInterval
from training.augment import radiograph
from training.data.cases import Case
from training.errors import BrokenRun, UnfitData, UnfitSetting
from training.planning import Asked
from training.recipe import Example
from training.recipes.regression import KIND, recipe_of
from training.tabled.features import ridge
from training.tabled.held_out import outputs
from training.tabled.hygiene import Clean, clean, see
from training.tabled.labels import read_numbers
from training.tabled.plan import planned, write
from training.tabled.studies import cases_of, tabled
from training.tabled.units import begins_at_zero
from training.tasks.regression import half_width, least_patients

from .numbered_radiographs import COLUMN, width_of, write_numbered

COUNT = 24


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_numbered(tmp_path_factory.mktemp("made"), COUNT).parent


def looked_at(folder: Path, file: Path) -> Clean:
    table = read_numbers(file)
    return clean(table, tabled(folder, table), print)


def with_number(made: Path, file: Path, number: int, written: str) -> Path:
    """The table with one number written otherwise."""
    lines = (made / "numbers.csv").read_text().splitlines()
    lines[number + 1] = f"{lines[number + 1].partition(',')[0]},{written}"
    file.write_text("\n".join(lines) + "\n")
    return file


def table(file: Path, content: str) -> Path:
    file.write_text(content, encoding="utf-8")
    return file


def test_numbers_are_read_with_their_units(tmp_path: Path) -> None:
    """Two quantities, one of them a code; semicolons bring decimal commas; an empty cell leaves its line out; other columns are left."""
    file = table(tmp_path / "t.csv", "PatientID;SCT:397669002:Age (a);Ejection (%);Sex\n1;54,5;61;F\n2;;50;M\n3;60;40,25;F\n")
    read = read_numbers(file)
    assert read.channels == (Code("397669002", "SCT", "Age"), Code("EJECTION", "99HILUM", "Ejection"))
    assert read.units == (Code("a", "UCUM", "year"), Code("%", "UCUM", "Percent"))
    assert [line.labels for line in read.lines] == [(54.5, 61.0), (60.0, 40.25)]
    assert read.unlabelled == (3,)
    assert [line.labels for line in read_numbers(file, ["Ejection"]).lines] == [(61.0,), (50.0,), (40.25,)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("PatientID,Age\n1,50\n2,60\n", "none of PatientID, Age has a unit"),
        ("PatientID,Age (years)\n1,50\n2,60\n", '"years" is no code of UCUM: write "a"'),
        ("PatientID,Warmth (C)\n1,36\n2,37\n", '"C" is coulomb in UCUM: write "Cel"'),
        ("PatientID,Volume (ML)\n1,36\n2,37\n", '"ML" is megaliter in UCUM: write "mL"'),
        ("PatientID,Reader (2)\n1,36\n2,37\n", '"2" is no unit of UCUM'),
        ("PatientID,Age (furlong)\n1,50\n2,60\n", "is no unit of UCUM that is known here"),
        ("PatientID,Age (a)\n1,50\n2,old\n", 'line 3: column "Age (a)" is no number'),
        ("PatientID,Age (a)\n1,50\n2,inf\n", "is inf, with which nothing can be computed"),
        ('PatientID,Age (a)\n1,50\n2,"2,931"\n', "is no number"),
        ("PatientID,Age (a)\n1,50\n2,50\n", "the same number in every line"),
        ("PatientID,Age (a)\n1,50\n1,51\n", "lines 2 and 3 name the same case"),
        ("Name,Age (a)\n1,50\n2,51\n", "names no case"),
    ],
)
def test_tables_that_say_too_little_are_refused(tmp_path: Path, content: str, said: str) -> None:
    """A sentence that says what to write."""
    with pytest.raises(UnfitData, match=said.replace("(", "\\(").replace(")", "\\)")):
        read_numbers(table(tmp_path / "t.csv", content))


def test_a_column_without_a_unit_is_not_learned_by_its_name(tmp_path: Path) -> None:
    """Asked for by name it is refused; one that is not there too."""
    file = table(tmp_path / "t.csv", "PatientID,Age,Weight (kg)\n1,50,70\n2,60,80\n")
    with pytest.raises(UnfitData, match='column "Age" has no unit: write it'):
        read_numbers(file, ["Age"])
    with pytest.raises(UnfitSetting, match="--target Size"):
        read_numbers(file, ["Size"])


def test_a_column_that_is_there_in_two_units_is_named_in_full(tmp_path: Path) -> None:
    """Which is meant is not guessed."""
    file = table(tmp_path / "t.csv", "PatientID,Age (mo),Age (a)\n1,600,50\n2,720,60\n")
    with pytest.raises(UnfitSetting, match=r"--target Age: .* in two units"):
        read_numbers(file, ["Age"])
    assert read_numbers(file, ["Age (mo)"]).lines[0].labels == (600.0,)


def test_a_slip_of_the_point_is_named(made: Path, tmp_path: Path) -> None:
    """A hundredfold number is far from all others; sound numbers are not."""
    asked = {one.what: one.cases for one in looked_at(made, made / "numbers.csv").questions}
    assert not asked["numbers far from all others"]
    spoilt = with_number(made, tmp_path / "t.csv", 5, f"{width_of(5) * 100:g}")
    asked = {one.what: one.cases for one in looked_at(made, spoilt).questions}
    assert len(asked["numbers far from all others"]) == 1
    assert f'("Spot width" {width_of(5) * 100:g} mm)' in asked["numbers far from all others"][0]


def test_too_few_patients_are_refused(made: Path, tmp_path: Path) -> None:
    """Nineteen."""
    lines = (made / "numbers.csv").read_text().splitlines()[:20]
    with pytest.raises(UnfitData, match="19 patients, after what was left out: at least 20"):
        looked_at(made, table(tmp_path / "t.csv", "\n".join(lines) + "\n"))


def test_the_plan_has_the_numbers_scale_and_every_side_its_quarters(made: Path) -> None:
    """Median and mean distance from it by hand; the manifest is read back as it was written, and says the interval of a number."""
    read = read_numbers(made / "numbers.csv")
    studies = tabled(made, read)
    kept = clean(read, studies, print)
    plan = planned(studies, read, kept, kept.seen, Asked(), name="spots", seed=0, digest="")
    widths = [width_of(number) for number in range(COUNT)]
    middle = (sorted(widths)[11] + sorted(widths)[12]) / 2
    np.testing.assert_allclose(plan.scales, [(middle, sum(abs(width - middle) for width in widths) / COUNT)])
    assert {case.stratum for case in cases_of([one.case for one in kept.seen], kept.groups, read)} == {f"quarter {n}" for n in (1, 2, 3, 4)}
    assert from_text(to_text(plan.manifest), "") == plan.manifest
    (number,) = plan.manifest.numbers
    assert f"{number.name.meaning} ({number.unit.value})" == COLUMN
    assert application_of(plan.manifest).outputs == (MeasurementOutput(name=number.name, unit=number.unit),)
    assert number.of(2.0).interval is None


def test_the_baseline_is_ridge_regression() -> None:
    """Of a linear law with little noise nearly all is found; of many features and few cases it does not break."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 60))
    numbers = 3 + features[:, :1] * 2 - features[:, 1:2]
    fitted = ridge(features[:, :5], numbers)
    assert np.abs(fitted(features[:, :5]) - numbers).max() < 0.2
    assert np.isfinite(ridge(features, numbers)(features)).all()


def test_an_interval_holds_for_the_share_of_new_patients_that_it_says() -> None:
    """Two thousand times: 19 patients, a 20th, errors of any form. The mean coverage is the theorem's, 18 of 20."""
    rng = np.random.default_rng(1)
    errors = rng.gamma(0.7, size=(2000, 20))
    widths = np.array([half_width(row[:19], [str(n) for n in range(19)], 0.9) for row in errors])
    assert np.mean(errors[:, 19] <= widths) == pytest.approx(0.9, abs=0.02)


def test_what_is_measured_keeps_its_size_in_training() -> None:
    """A square of 20 × 20 among 64 × 64 has as many pixels after every turn and shift of it as before."""
    image = np.zeros((1, 64, 64), dtype=np.float32)
    image[:, 22:42, 22:42] = 1
    augment = partial(radiograph, scaled=0)()
    example = Example(image=image, target=np.zeros(1, dtype=np.float32))
    sizes = [float((augment(example, seed).image > 0.5).sum()) for seed in range(30)]
    np.testing.assert_allclose(sizes, 400, rtol=0.04)
    assert len(set(sizes)) > 1, "they are turned"


def test_nobody_knows_an_interval_of_patients_where_cases_name_none(made: Path, tmp_path: Path) -> None:
    """Each case counts as a patient for the split, and twelve pictures of one are no twelve patients."""
    read = read_numbers(made / "numbers.csv")
    kept = clean(read, tabled(made, read), print)
    plan = planned(tabled(made, read), read, kept, kept.seen, Asked(), name="spots", seed=0, digest="")
    told = {"within": [None], "patients": 12, "least": 9, "level": 0.9}
    for known, said in ((True, "12 patients were held out"), (False, "not all cases name a patient")):
        assert said in recipe_of(replace(plan, by_patient=known)).table({"intervals": told})


def test_patients_and_not_images_are_counted() -> None:
    """The largest error of each patient, the ninth of nine; of eight patients, however many images, nobody knows."""
    assert half_width(np.arange(18.0), [str(n // 2) for n in range(18)], 0.9) == 17.0
    assert half_width(np.arange(18.0), [str(n % 8) for n in range(18)], 0.9) is None
    assert least_patients(0.9) == 9


def test_a_served_number_has_its_interval() -> None:
    """Around the number, in its unit."""
    one = NumberChannel(channel=0, name=Code("X", "99HILUM", "X"), unit=Code("mo", "UCUM", "month"), within=3.0).of(10.0)
    assert one.interval == PredictionInterval(low=7.0, high=13.0, level=0.9)


@pytest.mark.parametrize(("value", "low", "high"), [(10.0, 7.0, 13.0), (2.0, 0.0, 5.0), (-1.0, 0.0, 3.0)])
def test_what_cannot_be_negative_is_not_said_to_be(value: float, low: float, high: float) -> None:
    """Neither the number nor where it may be instead."""
    channel = NumberChannel(channel=0, name=Code("X", "99HILUM", "X"), unit=Code("mo", "UCUM", "month"), within=3.0, least=0.0)
    one = channel.of(value)
    assert (one.value, one.interval) == (max(value, 0.0), PredictionInterval(low=low, high=high, level=0.9))


def test_which_quantities_cannot_be_negative(made: Path, tmp_path: Path) -> None:
    """Amounts by their unit, none of which is below 0 in the table: a width is one; a change of it, a temperature and a plain number are
    not."""
    for column, shift, least in (
        (COLUMN, 0.0, 0.0),
        (COLUMN, 3.0, None),
        ("X (Cel)", 0.0, None),
        ("X (1)", 0.0, None),
        ("X (mV)", 0, None),
    ):
        lines = [line.split(",") for line in (made / "numbers.csv").read_text().splitlines()[1:]]
        rows = "".join(f"{study},{float(said) - shift:g}\n" for study, said in lines)
        read = read_numbers(table(tmp_path / "t.csv", f"StudyInstanceUID,{column}\n{rows}"))
        studies = tabled(made, read)
        seen = [see(case) for case in studies.cases]
        kept = Clean(seen=tuple(seen), groups=tuple(one.case.patient for one in seen), questions=(), by_patient=True)
        (number,) = planned(studies, read, kept, seen, Asked(), name="spots", seed=0, digest="").manifest.numbers
        assert (number.unit.value, number.least) == (read.units[0].value, least)
    assert [begins_at_zero(Code(unit, "UCUM", "")) for unit in ("kg/m2", "mL/min", "%", "mm[Hg]", "10*3/uL")] == [True] * 5
    assert [begins_at_zero(Code(unit, "UCUM", "")) for unit in ("{score}", "mCel", "deg", "[hnsf'U]", "Cel/h")] == [False] * 5


def test_a_plan_of_another_version_is_refused_with_what_to_do(made: Path, tmp_path: Path) -> None:
    """One without scales, as plans were before numbers were learned."""
    read = read_numbers(made / "numbers.csv")
    kept = clean(read, tabled(made, read), print)
    write(planned(tabled(made, read), read, kept, kept.seen, Asked(), name="spots", seed=0, digest=""), tmp_path)
    said = json.loads((tmp_path / "plan.json").read_text())
    del said["scales"]
    (tmp_path / "plan.json").write_text(json.dumps(said))
    with pytest.raises(BrokenRun, match=r"that this version of hilum reads \(KeyError\('scales'\)\): begin anew with another --out"):
        KIND.of_run(tmp_path, "", lambda _, recipe, __: recipe)


def test_a_case_of_which_a_network_says_no_number_ends_the_epoch() -> None:
    """By name: the mean over cases would be no number, no epoch the best, and the run would go on to its end for nothing."""
    cases = [Case(patient=name, name=name, load=lambda: None) for name in ("one", "two", "three")]
    shown = [(case, np.full((1, 2, 2), value, dtype=np.float32)) for case, value in zip(cases, (1.0, 2.0, -1.0), strict=True)]

    class Root(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=(1, 2, 3)).sqrt()[:, None]

    assert outputs(Root(), shown[:2])[:, 0].tolist() == pytest.approx([1, 2**0.5])
    with pytest.raises(NotFinite, match="case three: the network gives values that are no numbers"):
        outputs(Root(), shown)
