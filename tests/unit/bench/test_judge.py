"""The bench of wrong inputs counts by source, tells percentages from a hundred sources on, and makes what its names say."""

import numpy as np

from bench.judge import End, Judged, _rows
from bench.judge_inputs import CUT, RIGHT, WRONG, Input, changed, cropped
from tests.unit.imaging.judge.made import brain, pictured, volume_of


def judged(source: str, end: End, kind: str = WRONG) -> Judged:
    one = Input(name=source, source=source, kind=kind, change="", unseen=True, shown=True, picture=None)
    return Judged(input=one, end=end, doubt="", judge_s=0.1)


def test_a_source_fails_once_however_many_of_its_inputs_do() -> None:
    """Three inputs of two sources, of which one passes twice: one of two; told or declined is no failure of a wrong input."""
    (row,) = _rows("x", [judged("a", End.TAKEN), judged("a", End.TAKEN), judged("b", End.TOLD)])
    assert (row.value, row.unit, row.met) == (1, "of 2", None)
    (row,) = _rows("x", [judged("a", End.DECLINED, RIGHT), judged("b", End.TOLD, RIGHT)])
    assert (row.value, row.unit) == (1, "of 2")


def test_a_share_is_told_from_a_hundred_sources_on() -> None:
    """Two of a hundred are 2 %: more than 1 % of wrong inputs may pass, and no more than 2 % of right ones may be declined."""
    ends = [End.TAKEN] * 2 + [End.DECLINED] * 98
    (row,) = _rows("x", [judged(str(number), end) for number, end in enumerate(ends)])
    assert (row.value, row.unit, row.met) == (2.0, "%", False)
    ends = [End.DECLINED] * 2 + [End.TAKEN] * 98
    (row,) = _rows("x", [judged(str(number), end, RIGHT) for number, end in enumerate(ends)])
    assert (row.value, row.unit, row.met) == (2.0, "%", True)


def test_what_is_made_of_a_head() -> None:
    """Fifteen changes and twelve crops; a crop has lost the share that its name says, within a plane."""
    mask = brain()
    volume = volume_of(pictured(mask), (2.5,) * 3)
    assert len(list(changed(volume))) == 15
    crops = list(cropped(volume, mask))
    assert len(crops) == 12
    for what, kind, made in crops:
        left = np.count_nonzero(made.voxels > 500) / np.count_nonzero(volume.voxels > 500)
        assert kind == CUT
        assert abs(1 - left - float(what.split()[0]) / 100) < 0.04
