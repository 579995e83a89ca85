"""An application looks at straight, even grids alone; what it says of a tilted stack lies on the slices as acquired."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference import codes
from inference.applications.analysing import analyse, uncertainties_of
from inference.applications.errors import InvalidOutput
from inference.applications.port import (
    Accepts,
    Application,
    DerivedOutput,
    EvaluationOutput,
    Infer,
    LocationOutput,
    MeasurementOutput,
    SaliencyOutput,
    SegmentOutput,
    Takes,
    UncertaintyOutput,
)
from inference.findings import (
    Box,
    DerivedImage,
    Evaluation,
    Findings,
    Line,
    Location,
    Measurement,
    Point,
    PointInSpace,
    Saliency,
    Segment,
    Shape,
    Uncertainty,
)
from inference.imaging.assemble import assemble
from inference.imaging.subject import VolumeSet, pair_of
from inference.imaging.volume import Volume
from tests.lab import tilted


class NoModel:
    """No application here calls one."""

    def __call__(self, *_: Any) -> Any:
        raise AssertionError("a model was called")

    at_once = call_of = __call__


LESION = codes.Code("52988006", "SCT", "Lesion")
FILTERED = codes.Code("113038", "DCM", "Filtered")
PROBABILITY = codes.Code("121401", "DCM", "Derivation")


def application(analysis: object, takes: Takes = Takes.VOLUME) -> Application:
    """One that may say anything that these tests say."""
    return Application(
        name="ball",
        version="1.0.0",
        title="Ball",
        accepts=Accepts(modality=("CT",), takes=takes),
        models=(),
        outputs=(
            SegmentOutput(label="ball", type=codes.LUNG),
            MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
            LocationOutput(finding=LESION),
            EvaluationOutput(finding=LESION),
            SaliencyOutput(label="heat"),
            DerivedOutput(label="soft", derivation=FILTERED),
        ),
        analyse=analysis,  # type: ignore[arg-type]
    )


def balls(volume: Volume, infer: Infer) -> Findings:
    """All that can be said, by the grid that is given and nothing else."""
    mask = volume.voxels > 0
    z, y, x = (round(float(at)) for at in np.argwhere(mask).mean(axis=0))
    middle = volume.to_patient(np.array([float(z), float(y), float(x)]))
    shapes: tuple[Shape, ...] = (
        Box(top=y - 5, left=x - 6, bottom=y + 5, right=x + 6),
        Point(row=y + 0.5, column=x + 0.5),
        Line(start=Point(row=y - 10, column=x), end=Point(row=y + 10, column=x)),
        PointInSpace(x=float(middle[0]), y=float(middle[1]), z=float(middle[2])),
    )
    return Findings(
        segments=(Segment(label="ball", mask=mask, category=codes.TISSUE, type=codes.LUNG, rgb=(1, 2, 3)),),
        measurements=(
            Measurement(
                name=codes.VOLUME, value=int(mask.sum()) * volume.voxel_volume_mm3 / 1000, unit=codes.CUBIC_CENTIMETRE, segment="ball"
            ),
        ),
        locations=tuple(Location(label=f"{n}", finding=LESION, shape=shape, image=z) for n, shape in enumerate(shapes)),
        evaluations=(Evaluation(finding=LESION, value=codes.PRESENT, images=(z, z)),),
        saliencies=(Saliency(label="heat", values=volume.voxels.astype(np.float32), quantity=PROBABILITY, unit=codes.CUBIC_CENTIMETRE),),
        derived=(DerivedImage(label="soft", voxels=volume.voxels, derivation=FILTERED),),
        remarks=("Said by the application.",),
    )


def test_everything_that_is_said_comes_back_onto_the_slices(tmp_path: Path) -> None:
    """A ball at 20 degrees: the mask is that of the slices' own pixels, places are those of its middle, values and volume stay."""
    volume = assemble(tilted.ball(tmp_path, 20))
    seen: list[Volume] = []

    def looking(given: Volume, infer: Infer) -> Findings:
        seen.append(given)
        return balls(given, infer)

    said = analyse(application(looking), volume, NoModel())
    (given,) = seen
    axes = given.affine[:3, :3]
    assert abs(axes[:, 0] @ axes[:, 1]) < 1e-9 < abs(volume.affine[:3, 0] @ volume.affine[:3, 1])
    np.testing.assert_array_equal(said.segments[0].mask, volume.voxels > 0)
    np.testing.assert_array_equal(said.saliencies[0].values, volume.voxels)
    assert said.measurements[0].value == pytest.approx(tilted.BALL_CM3, rel=0.01)
    z = said.locations[0].image
    assert {one.image for one in said.locations} == {z} == set(said.evaluations[0].images)
    box, point, line, space = (one.shape for one in said.locations)
    assert isinstance(box, Box)
    assert isinstance(point, Point)
    assert isinstance(line, Line)
    for row, column in (((box.top + box.bottom) / 2 + 0.5, (box.left + box.right) / 2 + 0.5), (point.row, point.column)):
        place = volume.to_patient(np.array([z, row - 0.5, column - 0.5]))
        # the middle of the ball is at the origin, and no slice is farther than half a step
        np.testing.assert_allclose(place, 0, atol=2.0)
    assert line.end.row - line.start.row == 20
    assert isinstance(space, PointInSpace)
    np.testing.assert_allclose((space.x, space.y, space.z), 0, atol=2.0)
    np.testing.assert_array_equal(said.derived[0].affine, given.affine)
    assert said.remarks[0].startswith("The gantry was tilted by 20.0 degrees")
    assert said.remarks[1:] == ("Said by the application.",)


def test_how_unsure_a_network_is_is_asked_of_the_straight_grid_too(tmp_path: Path) -> None:
    """It sees what its answer saw, and the values are those of the slices' own pixels."""
    volume = assemble(tilted.ball(tmp_path, 20))
    seen: list[Volume] = []

    def unsure(given: Volume, infer: Infer) -> tuple[Uncertainty, ...]:
        seen.append(given)
        return (Uncertainty(label="Entropy", values=(given.voxels > 0).astype(np.float32), quantity=codes.NORMALISED_ENTROPY),)

    asked = replace(application(balls), outputs=(*application(balls).outputs, UncertaintyOutput(label="Entropy")), unsure=unsure)
    (found,) = uncertainties_of(asked, volume, NoModel())
    (given,) = seen
    assert abs(given.affine[:3, 0] @ given.affine[:3, 1]) < 1e-9
    np.testing.assert_array_equal(found.values, volume.voxels > 0)
    assert uncertainties_of(application(balls), volume, NoModel()) == ()


def test_of_several_series_it_is_asked_on_one_grid(tmp_path: Path) -> None:
    """One of coarser slices: on the reference's grid, as the answer had it; else channels of other places would lie on each other."""
    first = assemble(tilted.ball(tmp_path / "a", 0))
    coarse = replace(first, voxels=first.voxels[:, ::2, ::2], affine=first.affine * [[1, 2, 2, 1]], series_instance_uid="1.2.9")

    def unsure(given: VolumeSet, infer: Infer) -> tuple[Uncertainty, ...]:
        values = np.stack([each.voxels > 0 for each in given.volumes.values()]).mean(axis=0, dtype=np.float32)
        return (Uncertainty(label="Entropy", values=values, quantity=codes.NORMALISED_ENTROPY),)

    asked = replace(application(balls, Takes.VOLUMES), outputs=(UncertaintyOutput(label="Entropy"),), unsure=unsure)
    subject = VolumeSet(volumes={"T1": first, "FLAIR": coarse}, motions={"FLAIR": np.eye(4)})
    (found,) = uncertainties_of(asked, subject, NoModel())
    assert found.values.shape == first.voxels.shape
    assert (found.values[first.voxels > 0] >= 0.5).all()


def test_volumes_of_slices_in_blocks_are_those_of_the_mask_that_is_delivered(tmp_path: Path) -> None:
    """The application counts voxels of its even grid; told is area times what each slice stands for."""
    along = np.concatenate([-52 + 4.0 * np.arange(13), 1.5 + 7.0 * np.arange(8)])
    volume = assemble(tilted.ball(tmp_path, 0, along_mm=list(along), thickness_mm=[4.0] * 13 + [7.0] * 8))
    said = analyse(application(balls), volume, NoModel())
    half = np.diff(along) / 2
    stands_for = np.append(half[0], half) + np.append(half, half[-1])
    by_hand = float((volume.voxels > 0).sum(axis=(1, 2)) @ stands_for) * 0.8 * 0.8 / 1000
    assert said.measurements[0].value == pytest.approx(by_hand, rel=1e-6)
    assert said.measurements[0].value == pytest.approx(tilted.BALL_CM3, rel=0.01)
    np.testing.assert_array_equal(said.segments[0].mask, volume.voxels > 0)
    assert "4.0 to 7.0 mm apart" in said.remarks[0]


def test_a_total_is_the_sum_of_its_parts_on_slices_in_blocks(tmp_path: Path) -> None:
    """The volumes of both are brought back onto the slices, and so is that of both together."""
    along = np.concatenate([-52 + 4.0 * np.arange(13), 1.5 + 7.0 * np.arange(8)])
    volume = assemble(tilted.ball(tmp_path, 0, along_mm=list(along), thickness_mm=[4.0] * 13 + [7.0] * 8))

    def with_total(given: Volume, infer: Infer) -> Findings:
        said = balls(given, infer)
        (one,) = said.measurements
        return replace(said, measurements=(one, replace(one, segment=None, total=codes.LUNGS, parts=("ball",))))

    one, both = analyse(application(with_total), volume, NoModel()).measurements
    assert both.value == pytest.approx(one.value, rel=1e-12)


def test_a_straight_stack_is_given_as_it_is(tmp_path: Path) -> None:
    """The very same object, no remark, nothing brought back."""
    volume = assemble(tilted.ball(tmp_path, 0))
    seen: list[Volume] = []

    def looking(given: Volume, infer: Infer) -> Findings:
        seen.append(given)
        return balls(given, infer)

    said = analyse(application(looking), volume, NoModel())
    assert seen[0] is volume
    assert said.remarks == ("Said by the application.",)
    assert said.derived[0].affine is None


def test_what_is_found_where_no_image_reaches_is_refused(tmp_path: Path) -> None:
    """The straight grid is larger than the slices: a place in its empty corner is none in the patient."""
    volume = assemble(tilted.ball(tmp_path, 25))

    def corner(given: Volume, infer: Infer) -> Findings:
        # of the first plane, the first row that its slice does not reach
        (empty,) = {0.5, given.voxels.shape[1] - 0.5} - {0.5 if _reaches_the_top(volume) else given.voxels.shape[1] - 0.5}
        return Findings(locations=(Location(label="1", finding=LESION, shape=Point(row=empty, column=0.5), image=0),))

    with pytest.raises(InvalidOutput, match="outside of its image"):
        analyse(application(corner), volume, NoModel())


def _reaches_the_top(volume: Volume) -> bool:
    """Whether the first slice lies at the top of the straight grid: where slices shift to higher rows on their way."""
    return float(volume.affine[:3, 0] @ volume.affine[:3, 1]) > 0


def test_what_is_on_no_straight_grid_is_refused_before_it_is_brought_back(tmp_path: Path) -> None:
    """A mask of the source's shape, which the application never saw."""
    volume = assemble(tilted.ball(tmp_path, 20))

    def cropped(given: Volume, infer: Infer) -> Findings:
        segment = Segment(label="ball", mask=volume.voxels > 0, category=codes.TISSUE, type=codes.LUNG, rgb=(1, 2, 3))
        return Findings(segments=(segment,))

    with pytest.raises(InvalidOutput, match="its mask has shape"):
        analyse(application(cropped), volume, NoModel())


def test_both_volumes_of_a_pair_are_straight(tmp_path: Path) -> None:
    """Findings lie on the current one; a prior that alone was tilted changes nothing of them."""
    leaning, upright = assemble(tilted.ball(tmp_path / "a", 20)), assemble(tilted.ball(tmp_path / "b", 0))
    seen: list[VolumeSet] = []

    def looking(given: VolumeSet, infer: Infer) -> Findings:
        seen.append(given)
        return balls(given.reference, infer)

    app = application(looking, Takes.PAIR)
    for current, prior in ((leaning, upright), (upright, leaning), (leaning, leaning)):
        said = analyse(app, pair_of(current=current, prior=replace(prior, study_instance_uid="1.2.9")), NoModel())
        np.testing.assert_array_equal(said.segments[0].mask, current.voxels > 0)
        assert all(one.tilt_degrees < 1e-6 for one in seen[-1].volumes.values())
    assert seen[1].reference is upright
