"""What looks like a brain is taken; balls, halves, heads laid otherwise, negatives, noise and drawings are not."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.errors import InputError
from inference.findings import Findings
from inference.imaging.judge.errors import BeyondAnyPatient, NoAnatomy, OtherAnatomy
from inference.imaging.judge.expects import BodyPart, Expects, Form, Marked, Plausible, VolumeRange
from inference.imaging.judge.judging import Judge
from inference.translatable import say
from tests.unit.imaging.judge.made import LABEL, brain, found, pictured, volume_of

SIZES = Plausible(
    structure=say("a volume"),
    segments=(LABEL,),
    spans=(
        VolumeRange(from_years=None, possible=(150, 3000), usual=(800, 2150)),
        VolumeRange(from_years=0, possible=(150, 2500), usual=(300, 1300)),
        VolumeRange(from_years=8, possible=(500, 3000), usual=(1000, 2050)),
    ),
    source="a book",
)
HEAD = Expects(part=BodyPart.HEAD, marked=(Marked(segments=(LABEL,), form=Form.BRAIN),), plausible=(SIZES,))


def judged(
    mask: NDArray[np.bool_], voxels: NDArray[np.int16] | None = None, *, step_mm: float = 2.5, years: int | None = None
) -> tuple[str, ...]:
    """The cautions; the judge is asked before and after."""
    volume = volume_of(pictured(mask) if voxels is None else voxels, (step_mm,) * 3, years=years)
    judge = Judge(HEAD, volume, ())
    said = judge.after(found(volume, mask))
    return tuple(each.sentence for each in (*judge.before(), *said.cautions))


def test_an_adult_s_brain_is_taken_without_a_word() -> None:
    """1.6 litres, an egg with the narrower end in front."""
    assert judged(brain()) == () == judged(brain(), years=40)


@pytest.mark.parametrize("tilt", [10, 20])
def test_a_head_that_is_turned_in_the_coil_is_taken(tilt: int) -> None:
    """About the long axis of the patient, and to the side: the mirror turns with it."""
    from scipy import ndimage

    for axes in ((1, 2), (0, 2)):
        turned = ndimage.rotate(brain((88, 100, 88), lower=18).astype(np.float32), tilt, axes=axes, reshape=False, order=1) > 0.5
        assert judged(np.ascontiguousarray(turned)) == ()


def test_what_swells_or_was_taken_out_changes_nothing() -> None:
    """A tumour of 6 cm that is twice as bright, and a cavity of 5 cm that is as dark as water: the skull's form is what is judged."""
    mask = brain()
    voxels = pictured(mask)
    z, y, x = np.mgrid[: mask.shape[0], : mask.shape[1], : mask.shape[2]]
    voxels[(z - 40) ** 2 + (y - 44) ** 2 + (x - 26) ** 2 < 12**2] = 1900
    voxels[(z - 40) ** 2 + (y - 60) ** 2 + (x - 48) ** 2 < 10**2] = 250
    assert judged(mask, voxels) == ()


def test_undrained_hydrocephalus_beside_bright_fat_is_taken() -> None:
    """Two thirds of the head are water, 15 times as dark as fat and five times as bright as air: they are not air."""
    from scipy import ndimage

    mask = brain()
    voxels = pictured(mask)
    outside = 2.5 * ndimage.distance_transform_edt(~mask)
    voxels[(outside > 6) & (outside < 14)] = 2500
    water = 2.5 * ndimage.distance_transform_edt(mask) > 10
    voxels[water] = np.random.default_rng(1).normal(170, 25, int(water.sum())).astype(np.int16)
    assert water.sum() > 0.6 * mask.sum()
    assert judged(mask, voxels) == ()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("value", [np.inf, 3e38, np.nan])
def test_values_beyond_arithmetic_are_judged_or_declined(value: float) -> None:
    """Float pixel data may hold infinity, no number, or what overflows: nothing but an InputError comes of them."""
    mask = brain()
    volume = volume_of(np.where(mask, np.float32(value), np.float32(-value)), (2.5,) * 3)
    with pytest.raises(InputError):
        _asked_twice(Judge(HEAD, volume, ()), found(volume, mask))


def _asked_twice(judge: Judge, said: Findings) -> None:
    judge.before()
    judge.after(said)


@pytest.mark.parametrize("lean", [-0.577, 0.577])
def test_a_tilted_gantry_does_not_change_the_form(lean: float) -> None:
    """30 degrees, a long head: as its slices lie it is a tenth longer, and too long for a head; judged is what stands in the room."""
    mask, steps = brain(), (2.5, 2.7, 2.5)
    shifts = np.round(lean * steps[0] / steps[1] * (np.arange(len(mask)) - len(mask) / 2)).astype(int)
    laid = np.stack([np.roll(plane, -shift, axis=0) for plane, shift in zip(mask, shifts, strict=True)])
    volume = volume_of(pictured(laid), steps)
    affine = volume.affine.copy()
    affine[1, 0] = lean * steps[0]
    tilted = replace(volume, affine=affine)
    assert tilted.tilt_degrees == pytest.approx(30, abs=0.1)
    assert Judge(HEAD, tilted, ()).after(found(tilted, laid)).cautions == ()


def test_unequal_steps_do_not_change_the_form() -> None:
    """Every plane of the lowest quarter of a head, every fourth one above: counted by slices it is an onion; in mm it is a head."""
    kept = np.concatenate([np.arange(24), np.arange(25, 76, 4)])
    mask = brain()[kept]
    mean_step = float(kept[-1] - kept[0]) / (len(kept) - 1)
    volume = volume_of(pictured(mask), (2.5 * mean_step, 2.5, 2.5))
    uneven = replace(volume, steps=tuple(float(at) for at in (kept - kept[0]) / mean_step))
    assert Judge(HEAD, uneven, ()).after(found(uneven, mask)).cautions == ()


WRONG: dict[str, Callable[[], NDArray[np.bool_]]] = {
    "a ball": lambda: np.sum((np.indices((70, 70, 70)) - 35.0) ** 2, axis=0) < 29**2,
    "a cylinder": lambda: np.broadcast_to(np.sum((np.indices((70, 70)) - 35.0) ** 2, axis=0) < 30**2, (60, 70, 70)) & _inner(60),
    "front to back": lambda: brain()[:, ::-1],
    "upside down": lambda: brain()[::-1],
    "on its back": lambda: brain().transpose(1, 0, 2),
    "half of one": lambda: brain() & (np.arange(76) < 36),
}


def _inner(count: int) -> NDArray[np.bool_]:
    heights = np.arange(count)
    return ((heights > 20) & (heights < 40))[:, None, None]


@pytest.mark.parametrize("wrong", WRONG)
def test_other_forms_are_declined(wrong: str) -> None:
    """The reason says in words what the form is like."""
    with pytest.raises(OtherAnatomy, match="does not look like a brain: "):
        judged(np.ascontiguousarray(WRONG[wrong]()))


def test_pixels_without_a_body_are_declined_before_the_model() -> None:
    """Noise, one even value, a negative: no network is asked."""
    mask = brain()
    rng = np.random.default_rng(1)
    for voxels, said in (
        (np.abs(rng.normal(0, 300, mask.shape)).astype(np.int16), "noise"),
        (np.full(mask.shape, 7, dtype=np.int16), "same value"),
        ((1200 - pictured(mask)).astype(np.int16), "border is bright"),
    ):
        with pytest.raises(NoAnatomy, match=said):
            Judge(HEAD, volume_of(voxels, (2.5,) * 3), ()).before()


def test_a_mask_in_the_dark_and_a_drawing_are_declined() -> None:
    """A network that marks air, and a map of labels."""
    mask = brain()
    elsewhere = np.zeros(mask.shape, dtype=np.int16)
    elsewhere[:, :, :4] = 900
    with pytest.raises(OtherAnatomy, match="as dark as air"):
        judged(mask, (elsewhere + np.random.default_rng(5).integers(0, 9, mask.shape)).astype(np.int16))
    with pytest.raises(OtherAnatomy, match="drawing"):
        judged(mask, np.where(mask, 5, 0).astype(np.int16))


def test_a_second_head_beside_it_is_declined_and_a_piece_of_one_is_told() -> None:
    """Two heads in one volume, of which the network marks one; a fifth of one, as it is folded over, is said first."""
    mask = brain()
    alone = np.concatenate([mask, np.zeros_like(mask)], axis=2)
    with pytest.raises(OtherAnatomy, match="beside it lies something else"):
        judged(alone, np.concatenate([pictured(mask), pictured(mask)], axis=2))
    piece = mask & (np.arange(mask.shape[2]) < 30)
    (said,) = judged(alone, np.concatenate([pictured(mask), pictured(piece)], axis=2))
    assert "beside it lies something else" in said


def test_missing_slices_are_declined() -> None:
    """A third is left out of its middle, and its neighbours are not alike; its height alone would be a patient's."""
    mask = brain()
    kept = np.r_[:34, 46:76]
    with pytest.raises(OtherAnatomy, match="some are missing"):
        judged(np.ascontiguousarray(mask[kept]), np.ascontiguousarray(_changing(mask)[kept]))


def _changing(mask: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Bright and dark waves of 60 mm, aslant: a 24th of one from slice to slice, half of one over 30 mm, and each slice as bright."""
    z, y, x = np.ogrid[: mask.shape[0], : mask.shape[1], : mask.shape[2]]
    waves = 900 + 300 * np.cos(2 * np.pi * (z + y + x) / 24)
    return np.where(mask, waves, pictured(mask)).astype(np.int16)


def test_sizes_go_by_age() -> None:
    """A newborn's 420 cm³ are taken at no years and declined at forty; 104 cm³ (a macaque's) are nobody's; hydrocephalus is said first."""
    small, tiny, large = 2.5 * (0.42 / 1.645) ** (1 / 3), 2.5 * (0.104 / 1.645) ** (1 / 3), 2.5 * (2.4 / 1.645) ** (1 / 3)
    assert judged(brain(), step_mm=small, years=0) == ()
    with pytest.raises(BeyondAnyPatient, match=r"40 years \(a book\)"):
        judged(brain(), step_mm=small, years=40)
    with pytest.raises(BeyondAnyPatient, match="unknown age"):
        judged(brain(), step_mm=tiny)
    (said,) = judged(brain(), step_mm=large, years=12)
    assert "unusual for a patient of 12 years" in said


def test_a_part_of_a_head_is_not_too_small() -> None:
    """Cut in its middle, its volume says nothing about the patient: at least what was seen."""
    mask = np.ascontiguousarray(brain()[:32])
    (said,) = judged(mask, years=40)
    assert "upper border" in said


def test_every_reason_tells_what_to_do() -> None:
    """Codes of their own, and a remedy that names the route."""
    for error in (BeyondAnyPatient, NoAnatomy, OtherAnatomy):
        assert issubclass(error, InputError)
        assert error.code.startswith("HLM-312")
        assert error.remedy
        assert not error.retry


def test_of_a_short_series_no_volume_is_told() -> None:
    """700 cm³ of an adult's head of which slices are missing are no small brain, and 80 no impossible one: nothing is known of the rest."""
    for litres in (0.08, 0.7, 2.4):
        mask = brain()
        volume = volume_of(pictured(mask), (2.5 * (litres / 1.645) ** (1 / 3),) * 3, years=40)
        assert Judge(HEAD, volume, (), whole=False).after(found(volume, mask)).cautions == ()
    with pytest.raises(BeyondAnyPatient):
        Judge(HEAD, volume_of(pictured(mask), (4.0,) * 3, years=40), (), whole=False).after(
            found(volume_of(pictured(mask), (4.0,) * 3), mask)
        )
