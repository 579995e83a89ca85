"""When a series was acquired and with which kernel: as its headers say it, and never guessed."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from inference.imaging.acquired import acquired_on
from inference.imaging.assemble import assemble
from inference.imaging.write_series import write_series

DAY = date(2025, 3, 4)


def header(**values: str) -> Dataset:
    one = Dataset()
    for keyword, value in values.items():
        setattr(one, keyword, value)
    return one


@pytest.mark.parametrize(
    ("headers", "day"),
    [
        ([header(AcquisitionDateTime="20250304101500.1", StudyDate="20250303")], DAY),
        ([header(AcquisitionDate="20250304", SeriesDate="20250601", StudyDate="20250304")], DAY),
        ([header(AcquisitionDate="2025.03.04")], DAY),
        ([header(StudyDate="20250304")], DAY),
        ([header(AcquisitionDate="20250304"), header(AcquisitionDate="20250305")], DAY),
        ([header(AcquisitionDate="20250304"), header(AcquisitionDate="20250307")], None),
        ([header(AcquisitionDate="20250304", StudyDate="20250304"), header(StudyDate="20250304")], DAY),
        ([header(AcquisitionDate="20250304", StudyDate="20210304")], None),
        ([header(AcquisitionDate="20250304", StudyDate="20250305")], None),
        ([header(AcquisitionDate="20250231")], None),
        ([header()], None),
    ],
)
def test_the_day_is_that_of_the_acquisition(headers: list[Dataset], day: date | None) -> None:
    """AcquisitionDateTime, else AcquisitionDate, SeriesDate, StudyDate, each where all images have it; over midnight the first day. Where
    it lies before StudyDate, or days after it, one of both was changed: then no day is known."""
    assert acquired_on(headers) == day


@pytest.mark.parametrize(("kernel", "found"), [("B31f", "B31f"), (["I31f", "2"], "I31f\\2"), ("", "")])
def test_a_volume_knows_its_kernel_and_its_day(tmp_path: Path, kernel: str | list[str], found: str) -> None:
    """From files: the kernel with all of its values."""
    extra = {"ConvolutionKernel": kernel, "AcquisitionDate": "20250304", "StudyDate": "20250304"}
    volume = assemble(write_series(np.zeros((3, 4, 4), dtype=np.int16), np.eye(4)[[2, 1, 0, 3]], tmp_path, modality="CT", extra=extra))
    assert (volume.kernel, volume.acquired_on) == (found, DAY)
