"""Tables of outcomes whose hazard is known: exponential times by age, a grade, a gene and an image's volume; some are censored."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HAZARD = {"Age (a)": 0.05, "TP53": 0.7, "Volume (cm3)": 0.04}
"""Logarithms of the hazard ratio by one unit."""
GRADES = {"low": 0.0, "middle": 0.5, "high": 1.0}


def predictors(patients: int, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Columns of every patient; grade as the place in GRADES."""
    draw = np.random.default_rng(seed)
    return {
        "Age (a)": draw.normal(60, 10, patients).round(1),
        "TP53": (draw.random(patients) < 0.4).astype(np.float64),
        "Volume (cm3)": draw.gamma(4, 4, patients).round(2),
        "Grade": draw.integers(0, 3, patients).astype(np.float64),
    }


def outcomes(of: dict[str, NDArray[np.float64]], seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """The logarithm of everybody's hazard, times in months, and whether the event came."""
    draw = np.random.default_rng(seed + 1)
    risk = (
        sum((of[name] - of[name].mean()) * ratio for name, ratio in HAZARD.items()) + np.array([*GRADES.values()])[of["Grade"].astype(int)]
    )
    until = draw.exponential(24 * np.exp(-risk))
    censored = draw.uniform(6, 80, len(until))
    return np.asarray(risk), np.minimum(until, censored).round(3), until <= censored


def write_outcomes(file: Path, patients: int = 160, seed: int = 0, without: tuple[str, ...] = ()) -> Path:
    """A table of them, without some columns."""
    of = predictors(patients, seed)
    _, times, events = outcomes(of, seed)
    names = [name for name in of if name not in without]
    with file.open("w", newline="") as out:
        table = csv.writer(out)
        table.writerow(["PatientID", "time (mo)", "event", *names])
        for at in range(patients):
            cells = [[*GRADES][int(of[name][at])] if name == "Grade" else f"{of[name][at]:g}" for name in names]
            table.writerow([f"P{at:03}", times[at], int(events[at]), *cells])
    return file
