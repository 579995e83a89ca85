"""The patient's age: as the header states it, else by the calendar, and never guessed."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from inference.imaging.age import years_of
from inference.imaging.assemble import assemble
from inference.imaging.write_series import write_series


@pytest.mark.parametrize(
    ("stated", "years"),
    [
        ("034Y", 34),
        ("035Y", 35),
        ("419M", 34),
        ("420M", 35),
        ("052W", 0),
        ("053W", 1),
        ("364D", 0),
        ("366D", 1),
        ("001D", 0),
        ("000D", None),
        ("9Y", 9),
        ("024m", 2),
    ],
)
def test_the_stated_age_is_believed(stated: str, years: int) -> None:
    """PatientAge in days, weeks, months and years (PS3.5 6.2, AS), whatever the date of birth says."""
    header = Dataset()
    header.PatientAge, header.PatientBirthDate, header.StudyDate = stated, "19000101", "20250304"
    assert years_of(header) == years


@pytest.mark.parametrize(
    ("born", "studied", "years"),
    [
        ("19900304", "20250304", 35),
        ("19900305", "20250304", 34),
        ("20000229", "20250228", 24),
        ("1990.03.04", "20250304", 35),
        ("19900230", "20250304", None),
        ("20260101", "20250304", None),
        ("18000101", "20250304", None),
        # the usual stand-in of those who take names out
        ("19000101", "20250304", None),
        ("", "20250304", None),
        ("19900304", "", None),
        ("1990", "20250304", None),
    ],
)
def test_without_it_the_calendar_tells(born: str, studied: str, years: int | None) -> None:
    """Until the day before the birthday a year less; a day that is none, or an age that nobody reaches, tells nothing."""
    header = Dataset()
    header.PatientBirthDate, header.StudyDate = born, studied
    header.PatientAge = "35"
    assert years_of(header) == years


@pytest.mark.parametrize(("born", "years"), [("19900304", 35), ("19000101", None), ("", None)])
def test_a_stated_age_that_nobody_reaches_tells_nothing(born: str, years: int | None) -> None:
    """999Y stands for a patient who is not to be known: the date of birth tells, or nothing does."""
    header = Dataset()
    header.PatientAge, header.PatientBirthDate, header.StudyDate = "999Y", born, "20250304"
    assert years_of(header) == years


def test_a_volume_knows_it(tmp_path: Path) -> None:
    """Read from the files of a series, which may say nothing."""
    image = np.zeros((3, 8, 8), dtype=np.int16)
    files = write_series(image, np.eye(4)[:, [2, 1, 0, 3]], tmp_path / "known", modality="CT", extra={"PatientAge": "034Y"})
    assert assemble(files).patient_years == 34
    for path in files:
        dataset = pydicom.dcmread(path)
        dataset.PatientAge, dataset.PatientBirthDate = "", ""
        dataset.save_as(path)
    assert assemble(files).patient_years is None
