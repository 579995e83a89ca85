"""FROC by hand counts: what hits, what is an alarm, how many are found at which rate."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from training.evaluation.detection import RATES, Scan, compared, froc, matched, sensitivities
from training.evaluation.detector import detector
from training.tasks.detection import detected_table


def test_a_candidate_hits_what_it_lies_in() -> None:
    """Within half of the diameter from the centre; of two in one nodule the surer counts, and the other neither way; two alarms remain."""
    found = [((0.0, 0.0, 0.0), 0.4), ((1.0, 0.0, 0.0), 0.9), ((0.0, 3.1, 0.0), 0.8), ((50.0, 0.0, 0.0), 0.7)]
    true = [((0.0, 0.0, 0.0), 6.0), ((-40.0, 0.0, 0.0), 8.0)]
    scan = matched("one", found, true)
    assert scan.hits == (0.9, -math.inf)
    assert scan.matched == (1, None)
    assert scan.alarms == (0.8, 0.7)


def test_nothing_found_and_nothing_there() -> None:
    """No candidate misses all; a scan without a nodule has alarms alone."""
    assert matched("one", [], [((0.0, 0.0, 0.0), 6.0)]).hits == (-math.inf,)
    assert matched("one", [((0.0, 0.0, 0.0), 0.5)], []) == Scan(patient="one", hits=(), matched=(), alarms=(0.5,))


def scans() -> list[Scan]:
    """Four scans, five nodules, four alarms (0.95, 0.65, 0.5, 0.2)."""
    return [
        Scan(patient="a", hits=(0.9, 0.6), matched=(0, 1), alarms=(0.95,)),
        Scan(patient="b", hits=(0.8,), matched=(0,), alarms=(0.65, 0.2)),
        Scan(patient="c", hits=(0.3,), matched=(0,), alarms=(0.5,)),
        Scan(patient="d", hits=(-math.inf,), matched=(None,), alarms=()),
    ]


def test_sensitivity_by_hand() -> None:
    """At 0, 1, 2, 3 and 4 alarms in four scans; what no candidate hits is never found."""
    assert sensitivities(scans(), (0.0, 0.25, 0.5, 0.75, 1.0)).tolist() == [0.0, 2 / 5, 3 / 5, 4 / 5, 4 / 5]
    # an eighth of four scans is no whole alarm
    assert sensitivities(scans(), RATES).tolist() == pytest.approx([0, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8])


def test_equally_sure_alarms_and_hits() -> None:
    """A hit that is only as sure as an alarm that is not allowed is not found at that rate."""
    tied = [Scan(patient="a", hits=(0.5,), matched=(0,), alarms=(0.5,))]
    assert sensitivities(tied, (0.0, 1.0)).tolist() == [0.0, 1.0]


def test_the_interval_holds_the_figure_and_comes_out_again() -> None:
    """Mean over the seven rates, with an interval over patients around it; the same at every call; and exact where all are alike."""
    told = froc(scans())
    assert told["mean"] == pytest.approx(np.mean([0, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8]))
    assert told["interval"][0] <= told["mean"] <= told["interval"][1]
    assert told["interval"][0] < told["interval"][1]
    assert (told["scans"], told["patients"], told["things"]) == (4, 4, 5)
    assert froc(scans()) == told
    perfect = froc([Scan(patient=name, hits=(0.9,), matched=(0,), alarms=()) for name in "abc"])
    assert (perfect["mean"], perfect["interval"]) == (1.0, [1.0, 1.0])
    # scans of one patient are drawn together: nothing is left to chance
    hit, missed = (
        Scan(patient="a", hits=(1.0,), matched=(0,), alarms=()),
        Scan(patient="a", hits=(-math.inf,), matched=(None,), alarms=(0.0,)),
    )
    assert froc([hit, missed])["interval"] == pytest.approx([0.5, 0.5])


def worse() -> list[Scan]:
    """The same patients and nodules; the second and the third are not found."""
    lost = {"a": (0.9, -math.inf), "b": (-math.inf,)}
    return [replace(scan, hits=lost.get(scan.patient, scan.hits), matched=()) for scan in scans()]


def test_detectors_are_compared_on_the_same_patients() -> None:
    """The lead is the difference of the means; without any where both say the same, however wide the interval of each is."""
    both = compared(scans(), worse())
    assert both["network"] == froc(scans())
    assert both["classical"] == froc(worse())
    # (0, 0.4, 0.6, 0.8, ...) and (0, 0.2, 0.2, 0.4, ...)
    assert both["difference"]["mean"] == pytest.approx((4.2 - 2.0) / 7)
    assert both["difference"]["points"][1]["difference"] == pytest.approx(0.2)
    low, high = both["difference"]["interval"]
    assert 0 <= low < both["difference"]["mean"] < high
    same = compared(scans(), scans())
    assert same["network"]["interval"][0] < same["network"]["interval"][1]
    assert (same["difference"]["mean"], same["difference"]["interval"]) == (0, [0, 0])


def test_kinds_of_ct_stand_side_by_side() -> None:
    """Table and page have network, baseline and lead of each kind, with intervals; of a single patient there is none."""
    one = [replace(scan, patient="a") for scan in scans()]
    told: dict[str, Any] = {
        "compared": {"all": compared(scans(), worse()), "given": compared(one, one)},
        "froc": {"all": froc(scans()), "solid": froc(one)},
        "differences": {},
        "densities": {"solid": {"solid": 1}},
        "reported from": 0.5,
        "told": {"sensitivity": 0.5, "nodules": 5, "false positives a scan": 1.0},
        "setting": "as it is",
    }
    lines = detected_table({"baseline": "blobs", "detection": told}).splitlines()
    low, high = told["compared"]["all"]["difference"]["interval"]
    assert any(line.startswith("| all | mean | 0.600 | ") and line.endswith(f" | {low:+.3f} to {high:+.3f} |") for line in lines)
    assert "| given | mean | 0.600 | – | 0.600 | – | +0.000 | – |" in lines
    assert any(line.startswith("| solid | 5 | 0.600 | –") for line in lines)
    pooled, given = detector(told)["compared"]
    assert pooled["plot"].count('class="band') == 2
    assert given["plot"].count('class="band') == 0
    assert given["cells"] == ["0.600", "0.600", "+0.000"]
    assert pooled["cells"][2].startswith("+0.")
