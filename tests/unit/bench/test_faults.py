"""What the bench of made faults takes for a result of what came first alone."""

import pytest
from pydicom.dataset import Dataset

from bench.faults import of_first_alone

HELD = "2 of 9 instances are held and were not analysed"


def result(patient: str, study: str, *texts: str) -> Dataset:
    """An object of the folder: a report where it has texts, else a mask."""
    made = Dataset()
    made.PatientID, made.StudyInstanceUID = patient, study
    made.ContentSequence = []
    for text in texts:
        item = Dataset()
        item.ValueType, item.TextValue = "TEXT", text
        made.ContentSequence.append(item)
    return made


@pytest.mark.parametrize(
    ("results", "alone"),
    [
        pytest.param([result("P1", "1.1", HELD), result("P1", "1.1")], True, id="a report that says so, and a mask"),
        pytest.param([result("P1", "1.1", HELD), result("P1", "1.2")], False, id="the second study of the same patient has a mask"),
        pytest.param([result("P1", "1.2", HELD)], False, id="the second study's alone"),
        pytest.param([result("P1", "1.1", HELD), result("P2", "1.1")], False, id="another patient"),
        pytest.param([result("P1", "1.1", "nothing found")], False, id="nothing says what is held"),
        pytest.param([], False, id="none"),
    ],
)
def test_results_are_of_what_came_first_alone_by_patient_and_study(results: list[Dataset], alone: bool) -> None:
    """Of two studies in one series both have one Patient ID."""
    assert of_first_alone(results, patient="P1", study="1.1") == alone
