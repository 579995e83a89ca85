"""Two evaluations compared, on made figures: what chance makes, what a real difference looks like, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import wilcoxon

from node.cli.main import main
from training.errors import OtherCases
from training.evaluation.compare import Difference, compare
from training.evaluation.figures import kind_of
from training.evaluation.record import FORMAT


def evaluation(figures: dict[str, np.ndarray], patients: list[str] | None = None, **others: Any) -> dict[str, Any]:
    """A record of as many cases as there are values."""
    count = len(next(iter(figures.values()), ()))
    return {
        "format": FORMAT,
        **dict.fromkeys(("recipe", "model", "sha256", "run", "at"), "made"),
        "figures": {name: {"unit": kind_of(name, {}).unit, "better": kind_of(name, {}).better} for name in figures},
        "each": [
            {
                "case": f"c{case}",
                "patient": patients[case] if patients else f"p{case}",
                "figures": {name: None if np.isnan(values[case]) else float(values[case]) for name, values in figures.items()},
            }
            for case in range(count)
        ],
        **others,
    }


def only(first: dict[str, Any], second: dict[str, Any]) -> Difference:
    (found,) = compare(first, second)
    return found


def test_a_small_difference_that_every_patient_shows_is_found() -> None:
    """Patients differ by 0.1, the models by 0.01: paired, that is no chance; unpaired it would be. p is scipy's own."""
    rng = np.random.default_rng(0)
    one = rng.normal(0.8, 0.1, 40)
    two = one + rng.normal(0.01, 0.005, 40)
    found = only(evaluation({"Dice x": one}), evaluation({"Dice x": two}))
    assert found.mean == pytest.approx((two - one).mean())
    assert found.interval[0] < found.mean < found.interval[1]
    assert found.interval[0] > 0
    assert found.p == pytest.approx(float(wilcoxon(two - one).pvalue))
    assert found.p is not None
    assert found.p < 1e-4
    assert found.better == "B"
    turned = only(evaluation({"Dice x": two}), evaluation({"Dice x": one}))
    assert turned.mean == pytest.approx(-found.mean)
    assert turned.better == "A"


def test_chance_is_called_chance() -> None:
    """Of two hundred pairs of models that are equally good, about one in twenty looks different: not one in five, and not none."""
    rng = np.random.default_rng(1)
    called = 0
    for _ in range(200):
        both = rng.normal(0.8, 0.05, (2, 30))
        called += bool(only(evaluation({"Dice x": both[0]}), evaluation({"Dice x": both[1]})).better)
    assert 3 <= called <= 25
    same = only(evaluation({"Dice x": both[0]}), evaluation({"Dice x": both[0]}))
    assert (same.mean, same.p, same.better) == (0, None, "")


def test_better_is_what_the_figure_means() -> None:
    """Nearer surfaces and volumes nearer to the truth, from either side, are better; a case without the figure in one counts in neither."""
    ones = np.ones(20)
    first = evaluation({"Hausdorff 95 % x": 3 * ones, "volume error x": -5 * ones})
    second = evaluation({"Hausdorff 95 % x": np.append(2 * ones[1:], np.nan), "volume error x": 2 * ones})
    distance, volume = compare(first, second)
    assert (distance.mean, distance.cases, distance.better, distance.unit) == (-1, 19, "B", "mm")
    assert (volume.figure, volume.first, volume.second, volume.better) == ("|volume error x|", 5, 2, "B")


def test_cases_of_one_patient_count_once() -> None:
    """Ten scans of each of six patients make neither a narrower interval nor a smaller p."""
    rng = np.random.default_rng(2)
    one, two = rng.normal(0.8, 0.1, (2, 6))
    plain = only(evaluation({"Dice x": one}), evaluation({"Dice x": two}))
    patients = [f"p{number}" for number in range(6) for _ in range(10)]
    many = [evaluation({"Dice x": np.repeat(values, 10)}, patients) for values in (one, two)]
    found = only(many[0], many[1])
    assert found.interval == pytest.approx(plain.interval)
    assert found.p == pytest.approx(plain.p)


@pytest.mark.parametrize(("count", "called"), [(1, ""), (3, ""), (5, ""), (6, "B")])
def test_few_cases_make_nobody_better(count: int, called: str) -> None:
    """However large the difference: the interval of one case holds nothing but itself, and five that agree are chance in 1 of 16."""
    found = only(evaluation({"Dice x": np.linspace(0.3, 0.4, count)}), evaluation({"Dice x": np.linspace(0.8, 0.9, count) ** 2}))
    assert found.interval[0] > 0
    assert found.better == called
    several = [evaluation({"Dice x": np.repeat(value, 2 * count)}, [f"p{n // 2}" for n in range(2 * count)]) for value in (0.3, 0.8)]
    assert only(*several).better == called


def test_an_interval_without_p_is_not_enough() -> None:
    """One case far off moves the mean, and no rank: where the test does not agree with the interval, nobody is better."""
    moved = np.array([0.02, 0.02, 0.03, -0.01, -0.011, 0.04, -0.012, 0.05])
    found = only(evaluation({"Dice x": np.full(8, 0.5)}), evaluation({"Dice x": 0.5 + moved}))
    assert found.interval[0] > 0
    assert found.p is not None
    assert found.p > 0.05
    assert found.better == ""


def test_classifiers_are_compared_by_their_areas() -> None:
    """One sees the finding, the other guesses: DeLong's test says so; against itself there is nothing to test. Where a patient has two
    cases, which that test would take for two patients, p is of the bootstrap over patients, and not smaller for it."""
    rng = np.random.default_rng(3)
    positive = np.arange(60) % 2 == 0
    seen, guessed = np.clip(0.3 + 0.4 * positive + rng.normal(0, 0.1, 60), 0, 1), rng.random(60)

    def told(probabilities: np.ndarray, scans: int = 1) -> dict[str, Any]:
        rows = zip(positive, probabilities, strict=True)
        cases = [
            {"case": f"c{n}", "patient": f"p{n // scans}", "positive": bool(one), "probability": float(p)}
            for n, (one, p) in enumerate(rows)
        ]
        return evaluation({}, classification={"finding": "x", "threshold": 0.5, "cases": cases})

    found = only(told(guessed), told(seen))
    assert (found.figure, found.better, found.test) == ("AUC", "B", "DeLong")
    assert found.p is not None
    assert found.p < 1e-6
    pairs = only(told(guessed, 2), told(seen, 2))
    assert (pairs.better, pairs.test) == ("B", "paired bootstrap")
    assert pairs.p == pytest.approx(1 / 2000)
    assert only(told(seen), told(seen)).p is None
    other = told(seen)
    other["classification"]["cases"][0]["positive"] = not positive[0]
    with pytest.raises(OtherCases, match="same truth"):
        compare(told(seen), other)


def test_classifiers_whose_figures_are_of_all_cases_together_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `hilum evaluate chest-xray` writes it: figures without a value of any case. The areas are compared, nothing else is."""
    rng = np.random.default_rng(4)
    positive = np.arange(60) % 2 == 0
    for name, noise in {"a": 1.0, "b": 0.1}.items():
        probabilities = np.clip(0.3 + 0.4 * positive + rng.normal(0, noise, 60), 0, 1)
        cases = [
            {"case": f"test {n}", "positive": bool(one), "probability": float(p)}
            for n, (one, p) in enumerate(zip(positive, probabilities, strict=True))
        ]
        made = evaluation({}, classification={"finding": "x", "threshold": 0.5, "cases": cases})
        del made["each"]
        made["figures"] = {figure: {"mean": mean, "unit": "", "better": "more"} for figure, mean in (("AUC", 0.9), ("accuracy", 0.8))}
        (tmp_path / f"{name}.json").write_text(json.dumps(made))
    assert main(["models", "compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["differences"]
    assert (found["figure"], found["test"], found["better"], found["cases"]) == ("AUC", "DeLong", "B", 60)


def test_the_command_compares_folders_and_refuses_other_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table for people, JSON for programs; other patients are named and refused with a code."""
    values = np.linspace(0.7, 0.9, 20)
    for name, told in {"a": values, "b": values + 0.01, "other": values[:-1]}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "evaluation.json").write_text(json.dumps(evaluation({"Dice x": told})))
    assert main(["models", "compare", str(tmp_path / "a"), str(tmp_path / "b" / "evaluation.json")]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("Dice x"))
    assert line.split() == ["Dice", "x", "20", "0.8000", "0.8100", "+0.0100", "+0.0100", "to", "+0.0100", "<", "0.001", "B"]
    assert main(["models", "compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json"]) == 0
    (difference,) = json.loads(capsys.readouterr().out)["differences"]
    assert difference["mean"] == pytest.approx(0.01)
    assert main(["models", "compare", str(tmp_path / "a"), str(tmp_path / "other")]) == 1
    said = capsys.readouterr().err
    assert "1 of 20 cases are only in the first evaluation" in said
    assert "c19" in said
    assert "HLM-8011" in said
