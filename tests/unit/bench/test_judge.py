"""The bench of wrong inputs counts by source, tells percentages from a hundred sources on, and makes what its names say."""

import numpy as np

from bench.judge import SHOWN, End, Judged, shares, worst
from bench.judge_inputs import Input, changed, cropped
from bench.judge_made import CUT, RIGHT, WRONG, acquired, ailing, ellipsoids, from_labels
from tests.unit.imaging.judge.made import brain, pictured, volume_of


def judged(source: str, end: End, kind: str = WRONG, change: str = "") -> Judged:
    one = Input(name=source, source=source, kind=kind, change=change, unseen=True, shown=True, picture=None)
    return Judged(input=one, end=end, doubt="", judge_s=0.1)


def test_a_source_fails_once_however_many_of_its_inputs_do() -> None:
    """Three inputs of two sources, of which one passes twice: one of two; told or declined is no failure of a wrong input."""
    (row,) = shares("x", [judged("a", End.TAKEN), judged("a", End.TAKEN), judged("b", End.TOLD)])
    assert (row.value, row.unit, row.met) == (1, "of 2", None)
    (row,) = shares("x", [judged("a", End.DECLINED, RIGHT), judged("b", End.TOLD, RIGHT)])
    assert (row.value, row.unit) == (1, "of 2")


def test_a_share_is_told_from_a_hundred_sources_on() -> None:
    """Two of a hundred are 2 %: more than 1 % of wrong inputs may pass, and no more than 2 % of right ones may be declined."""
    ends = [End.TAKEN] * 2 + [End.DECLINED] * 98
    (row,) = shares("x", [judged(str(number), end) for number, end in enumerate(ends)])
    assert (row.value, row.unit, row.met) == (2.0, "%", False)
    ends = [End.DECLINED] * 2 + [End.TAKEN] * 98
    (row,) = shares("x", [judged(str(number), end, RIGHT) for number, end in enumerate(ends)])
    assert (row.value, row.unit, row.met) == (2.0, "%", True)


def test_the_worst_are_shown_by_source() -> None:
    """However many children's chests pass that were cut in one way, one of them is shown before one of each other source that is told."""
    chests = [judged(str(number), End.TAKEN, change="upper half") for number in range(SHOWN)]
    others = [judged("T2", End.TOLD), judged("FLAIR", End.AT_LEAST), judged("head", End.DECLINED), judged("right", End.TAKEN, RIGHT)]
    assert [each.input.source for each in worst([*others, *chests])] == ["0", "T2", "FLAIR", *map(str, range(1, SHOWN - 2))]


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


def test_disease_changes_the_inside_of_a_head_alone() -> None:
    """A cavity, oedema and hydrocephalus are right heads: outside of the brain every voxel stays, inside some do not."""
    inside = brain()
    voxels = pictured(inside)
    made = list(ailing(voxels, np.diag([2.5, 2.5, 2.5, 1.0]), inside))
    assert [one.what for one in made] == ["a cavity after surgery", "oedema", "hydrocephalus"]
    for one in made:
        assert one.kind == RIGHT
        assert np.array_equal(one.voxels[~inside], voxels[~inside])
        assert not np.array_equal(one.voxels[inside], voxels[inside])


def test_what_senders_make_of_a_head_is_right_or_not() -> None:
    """Four ways that change no head, six that leave none or no whole one, and one that folds it over a border."""
    inside = brain()
    made = {one.what: one for one in acquired(pictured(inside), np.diag([2.5, 2.5, 2.5, 1.0]), inside)}
    assert sorted(one.kind for one in made.values()) == sorted([RIGHT] * 4 + [WRONG] * 6 + [CUT])
    assert len(made["slices of 5 mm"].voxels) == len(inside) // 2
    assert made["without its skull"].voxels[~inside].max() == pictured(inside).min()
    assert made["two beside each other"].voxels.shape[2] == 2 * inside.shape[2]


def test_a_map_of_labels_is_drawn_in_the_order_of_its_contrast() -> None:
    """White, grey matter and water (labels 2, 3 and 4 of FreeSurfer) from bright to dark on T1, from dark to bright on T2."""
    labels = np.zeros((30, 30, 30), np.int16)
    labels[5:25, 5:11], labels[5:25, 11:18], labels[5:25, 18:25] = 2, 3, 4
    made = {one.what: one for one in from_labels(labels, np.diag([2.0, 2.0, 2.0, 1.0]))}
    for contrast, order in (("T1", 1), ("T2", -1)):
        drawn = made[f"drawn as {contrast}"].voxels
        means = [float(drawn[labels == label].mean()) for label in (2, 3, 4)]
        assert means == sorted(means, reverse=order == 1)
    assert {one.years for one in made.values()} == {None, 0, 2}
    assert made["drawn as T1"].kind == RIGHT
    assert made["drawn as T2"].kind == WRONG


def test_ellipsoids_are_as_large_as_a_head() -> None:
    """Shepp and Logan's largest ellipsoid is 1.62 of 2 high, 1.84 deep and 1.38 wide, in a cube of 200 mm."""
    voxels, affine = ellipsoids(80, 2.5)
    places = np.argwhere(voxels > 500)
    extent_mm = (np.ptp(places, axis=0) + 1) * np.linalg.norm(affine[:3, :3], axis=0)
    assert np.allclose(extent_mm, (162, 184, 138), atol=5)
