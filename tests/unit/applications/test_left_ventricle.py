"""left-ventricle: volumes and ejection fraction of a made heart, whatever form it comes in, which slices count, and what is declined.

The network is a threshold here: blood was drawn bright. What is judged is all that stands around it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference import codes
from inference.applications.analysing import analyse
from inference.applications.catalog import load
from inference.applications.left_ventricle.cavity import cavity
from inference.applications.left_ventricle.errors import NoBeatingVentricle, NotShortAxis, VentricleCut
from inference.applications.left_ventricle.preparing import PIXEL_MM, WINDOW, prepare
from inference.applications.left_ventricle.views import mean_of_views
from inference.applications.port import ModelRef, Tensors
from inference.engines.port import Call
from inference.findings import Findings
from inference.imaging.errors import PhasesMissing
from inference.imaging.subject import Clock, Phases, Takes, Timing
from inference.imaging.subjects import subjects
from inference.imaging.volume import SliceSource, Volume
from tests.lab import cine

APPLICATION = load("left-ventricle")
OBLIQUE = cine.AFFINE[:3, :3] / np.linalg.norm(cine.AFFINE[:3, :3], axis=0)
FORMS = {"one series": cine.one_series, "a series a slice": cine.series_a_slice, "enhanced": cine.enhanced}


@dataclass(frozen=True, slots=True)
class Blood:
    """An `Infer` that takes for blood what is brighter than half-way between dark and bright, on slices that have contrast."""

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> Mapping[str, NDArray[Any]]:
        (image,) = tensors.values()
        assert image.shape == (len(image), 1, *WINDOW)
        low, high = (ends(image, axis=(1, 2, 3)).reshape(-1, 1, 1) for ends in (np.min, np.max))
        # a slice of muscle beside what is outside of the images has contrast, too
        blood = (image[:, 0] > (low + high) / 2) & (high > 3.5)
        return {"OUTPUT__0": np.stack([~blood, blood], axis=1).astype(np.float32)}

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None


def heart(
    *,
    ejected: float = 0.6,
    half_axes_mm: tuple[float, float, float] = (44.0, 27.0, 24.0),
    slices: int = 13,
    step_mm: float = 10.0,
    middle: float = 6.0,
    phases: int = 4,
    pixel_mm: float = PIXEL_MM,
    at: tuple[float, float] = (70.0, 66.0),
    axes: NDArray[np.float64] = OBLIQUE,
) -> Phases:
    """An ellipsoid of blood over the beat on oblique slices with gaps, largest in the first phase, smallest half-way.

    Its half axes run along the stack, down and across; all of them shrink alike, so that the volume is known without a voxel counted.
    """
    rows, columns = 150, 140
    affine = np.eye(4)
    affine[:3, :3] = axes * np.array((step_mm, pixel_mm, pixel_mm))
    z, y, x = np.mgrid[:slices, :rows, :columns].astype(np.float64)
    made = []
    for phase in range(phases):
        scale = (1 - ejected * (1 - abs(2 * phase / phases - 1))) ** (1 / 3)
        a, b, c = (half * scale for half in half_axes_mm)
        inside = ((z - middle) * step_mm / a) ** 2 + ((y - at[0]) * pixel_mm / b) ** 2 + ((x - at[1]) * pixel_mm / c) ** 2 <= 1
        made.append(
            Volume(
                voxels=np.where(inside, cine.BLOOD, cine.MYOCARDIUM).astype(np.int16),
                affine=affine,
                sources=tuple(SliceSource(sop_instance_uid=f"1.2.{phase}.{slice_}", sop_class_uid="1.2") for slice_ in range(slices)),
                modality="MR",
                study_instance_uid="1.2.3",
                series_instance_uid="1.2.3.4",
                frame_of_reference_uid="1.2.3.5",
            )
        )
    timing = Timing(clock=Clock.HEART, attribute="TriggerTime", unit="ms", values=tuple(80.0 * phase for phase in range(phases)))
    return Phases(volumes=tuple(made), timing=timing)


def numbers(findings: Findings) -> dict[str, float]:
    return {one.name.meaning: one.value for one in findings.measurements}


@pytest.mark.parametrize("pixel_mm", [PIXEL_MM, 0.9, 1.9])
def test_an_ellipsoid_has_the_volume_and_the_fraction_that_geometry_gives(pixel_mm: float) -> None:
    """4/3 π a b c within what discs 10 mm apart can tell; the fraction is that by which it was made to shrink, whatever the pixels."""
    phases = heart(pixel_mm=pixel_mm)
    said = numbers(analyse(APPLICATION, phases, Blood()))
    true_ml = 4 / 3 * np.pi * 44 * 27 * 24 / 1000
    assert said["Left Ventricular ED Volume"] == pytest.approx(true_ml, rel=0.03)
    assert said["Left Ventricular ES Volume"] == pytest.approx(0.4 * true_ml, rel=0.04)
    assert said["Stroke Volume"] == pytest.approx(said["Left Ventricular ED Volume"] - said["Left Ventricular ES Volume"])
    assert said["Cardiac ejection fraction"] == pytest.approx(60, abs=1.5)


def test_discs_are_as_thick_as_slices_are_apart() -> None:
    """The same masks on slices twice as far apart: twice the volume, the same fraction; gaps belong to the slices beside them."""
    near = heart()
    far = replace(near, volumes=tuple(replace(one, affine=one.affine @ np.diag((2.0, 1, 1, 1))) for one in near.volumes))
    once, twice = (numbers(analyse(APPLICATION, one, Blood())) for one in (near, far))
    assert twice["Left Ventricular ED Volume"] == pytest.approx(2 * once["Left Ventricular ED Volume"])
    assert twice["Cardiac ejection fraction"] == pytest.approx(once["Cardiac ejection fraction"])


@pytest.mark.parametrize("form", FORMS)
def test_a_heart_in_every_form_is_the_same(form: str, tmp_path: Path) -> None:
    """One series, a series a slice, one enhanced instance: the blood that was drawn, within what the window's pixels tell."""
    made = FORMS[form](tmp_path)
    uid = "1.2.826.0.1.2.2" if form == "a series a slice" else ""
    subject = subjects(Takes.PHASES, "refuse", made.files, uid)[0].subject
    assert isinstance(subject, Phases)
    findings = analyse(APPLICATION, subject, Blood())
    largest, smallest = max(made.volumes_cm3), min(made.volumes_cm3)
    said = numbers(findings)
    assert said["Left Ventricular ED Volume"] == pytest.approx(largest, rel=0.03)
    assert said["Cardiac ejection fraction"] == pytest.approx(100 * (1 - smallest / largest), abs=1.5)
    assert [one.phase for one in findings.segments] == list(range(cine.PHASES))
    disagreeing = [np.count_nonzero(one.mask != made.blood[phase]) for phase, one in enumerate(findings.segments)]
    assert max(disagreeing) < 0.06 * np.count_nonzero(made.blood[cine.SMALLEST])
    of_phase = {one.name: {image // cine.SLICES for image in one.images} for one in findings.measurements}
    assert of_phase[codes.END_DIASTOLIC_VOLUME] == {cine.LARGEST}
    assert of_phase[codes.END_SYSTOLIC_VOLUME] == {cine.SMALLEST}
    assert of_phase[codes.EJECTION_FRACTION] == {cine.LARGEST, cine.SMALLEST}


def without_slice(phases: Phases, left_out: int) -> Phases:
    """The same heart where a slice was never taken: the steps around it are twice as long."""
    at = [z for z in range(len(phases.reference.voxels)) if z != left_out]
    mean = at[-1] / (len(at) - 1)
    made = [
        replace(
            one,
            voxels=one.voxels[at],
            affine=one.affine @ np.diag((mean, 1, 1, 1)),
            sources=tuple(one.sources[z] for z in at),
            steps=tuple(z / mean for z in at),
        )
        for one in phases.volumes
    ]
    return replace(phases, volumes=tuple(made))


def test_numbers_rest_on_the_slices_of_their_phases_where_steps_are_uneven() -> None:
    """Told of the 12 slices that there are in a phase: of the phases that the masks say, also of the last."""
    whole = heart(phases=8)
    uneven = without_slice(replace(whole, volumes=(*whole.volumes[1:], whole.volumes[0])), 4)
    findings = analyse(APPLICATION, uneven, Blood())
    largest, smallest = (int(pick([np.count_nonzero(one.mask) for one in findings.segments])) for pick in (np.argmax, np.argmin))
    assert (largest, smallest) == (7, 3)
    images = {one.name: one.images for one in findings.measurements}
    assert images[codes.END_DIASTOLIC_VOLUME] == tuple(range(84, 96))
    assert images[codes.END_SYSTOLIC_VOLUME] == tuple(range(36, 48))
    assert images[codes.EJECTION_FRACTION] == (*range(36, 48), *range(84, 96))


@dataclass(frozen=True, slots=True)
class Marking:
    """An `Infer` that marks what was drawn bright, and keeps every image that it is shown."""

    shown: list[NDArray[np.float32]]

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> Mapping[str, NDArray[Any]]:
        self.shown.extend(tensors["INPUT__0"][:, 0])
        return Blood()(model, tensors)

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None


@pytest.mark.parametrize("left_out", [3, 8, 13])
def test_where_a_slice_was_never_taken_nothing_is_marked_between_its_neighbours(left_out: int) -> None:
    """The network sees the slices that were acquired, each as in the whole stack, and no plane made of two; areas count half the way to
    both neighbours; the reader is told of the gap, and slices are counted as acquired."""
    whole = heart(step_mm=6.0, slices=17, middle=8.0)
    uneven = without_slice(whole, left_out)
    of_whole, of_uneven = Marking([]), Marking([])
    expected, found = analyse(APPLICATION, whole, of_whole), analyse(APPLICATION, uneven, of_uneven)
    assert 0 < len(of_uneven.shown) < len(of_whole.shown)
    assert {image.tobytes() for image in of_uneven.shown} <= {image.tobytes() for image in of_whole.shown}
    for one, other in zip(found.segments, expected.segments, strict=True):
        np.testing.assert_array_equal(one.mask, np.delete(other.mask, left_out, axis=0))
    areas_mm2 = np.count_nonzero(found.segments[0].mask, axis=(1, 2)) * PIXEL_MM**2
    at_mm = 6.0 * np.delete(np.arange(17), left_out)
    by_hand = sum(area * (after - before) / 2 for area, before, after in zip(areas_mm2[1:-1], at_mm[:-2], at_mm[2:], strict=True))
    said = numbers(found)
    assert said["Left Ventricular ED Volume"] == pytest.approx(by_hand / 1000)
    assert said["Cardiac ejection fraction"] == pytest.approx(60, abs=2.5)
    assert any("The slices lie 6.0 to 12.0 mm apart" in one for one in found.remarks)


def test_the_reader_is_told_which_phases_and_which_slices_count() -> None:
    """Counted from 1, as people do."""
    said = " ".join(analyse(APPLICATION, heart(), Blood()).remarks)
    assert "End-diastole (the largest volume): phase 1 of 4, slices 3 to 11 of 13 count." in said
    assert "End-systole (the smallest volume): phase 3 of 4, slices 4 to 10 of 13 count." in said
    assert "at least" not in said


@pytest.mark.parametrize(
    "made",
    [
        lambda: heart(middle=7.0, slices=8),
        lambda: heart(middle=0.0, slices=8, axes=-OBLIQUE),
        lambda: heart(middle=5.0, slices=8),
    ],
    ids=["last", "first", "beyond the middle"],
)
def test_a_stack_that_begins_within_the_base_gives_volumes_of_at_least(made: Callable[[], Phases]) -> None:
    """The cavity is on the outermost slice at the base, whichever that is: what is beyond nobody sees, and the reader is told; the fraction
    is of what is there."""
    findings = analyse(APPLICATION, made(), Blood())
    at_least = {one.name.meaning: one.at_least for one in findings.measurements}
    assert at_least == {
        "Left Ventricular ED Volume": True,
        "Left Ventricular ES Volume": True,
        "Stroke Volume": False,
        "Cardiac ejection fraction": False,
    }
    (caution,) = findings.cautions
    assert "no image shows where the ventricle ends" in caution.sentence
    assert "stroke volume and ejection fraction are of what is shown" in caution.sentence


def part(rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[np.bool_]:
    """A rectangle on a slice of 40 by 40 pixels."""
    mask = np.zeros((40, 40), dtype=np.bool_)
    mask[slice(*rows), slice(*columns)] = True
    return mask


def test_what_lies_elsewhere_or_is_too_large_does_not_count() -> None:
    """An atrium that is wider than the ventricle, a stomach beside it, a speck on the ventricle's slice; the slices are named."""
    ventricle = part((10, 20), (10, 20))
    atrium, stomach, tip = part((5, 25), (5, 25)), part((30, 38), (30, 38)), part((13, 16), (13, 16))
    slices = np.stack([atrium, ventricle | part((35, 36), (0, 8)), part((9, 20), (9, 20)), ventricle, tip, stomach])
    found = cavity(slices[1:], pixel_mm2=4.0)
    assert (found.first, found.last, found.left_out) == (0, 3, (4,))
    assert np.array_equal(found.mask[0], ventricle)
    # of two chambers the wider one is the widest slice: it is what a ventricle cannot be beside its neighbour
    assert cavity(slices, pixel_mm2=4.0).left_out == (5,)
    assert cavity(np.zeros_like(slices), pixel_mm2=4.0).first == -1


def test_a_slice_that_is_smaller_than_both_its_neighbours_ends_nothing() -> None:
    """As in another breath: areas of 745, 494, 464, 370, 546 and 382 pixels are one ventricle; a part that is much wider ends it all the
    same."""
    breathing = np.stack([part((0, 20), (0, wide)) for wide in (37, 25, 23, 18, 27, 19)])
    assert (cavity(breathing, pixel_mm2=1.0).first, cavity(breathing, pixel_mm2=1.0).last) == (0, 5)
    wider = np.stack([part((0, 20), (0, wide)) for wide in (37, 20, 18, 29)])
    assert cavity(wider, pixel_mm2=1.0).left_out == (3,)


def turned(degrees_from_z: float) -> NDArray[np.float64]:
    """Axes of slices whose normal is so far from the patient's own, in the plane through the ears and the feet."""
    angle = np.radians(degrees_from_z)
    normal, down = np.array((np.sin(angle), 0, np.cos(angle))), np.array((0.0, 1.0, 0.0))
    return np.stack([normal, down, np.cross(normal, down)], axis=1)


@pytest.mark.parametrize(
    ("made", "error", "words"),
    [
        (lambda: heart(axes=turned(0)), NotShortAxis, "64 degrees from the long axis"),
        (lambda: heart(axes=turned(45)), NotShortAxis, "at most 45 are a short axis"),
        (lambda: heart(slices=6, middle=2.5, half_axes_mm=(70, 27, 24)), VentricleCut, "the stack ends before the apex"),
        (lambda: heart(middle=2.0, slices=9), VentricleCut, "the stack ends before the apex"),
        (lambda: heart(middle=6.0, slices=9, axes=-OBLIQUE), VentricleCut, "the stack ends before the apex"),
        (lambda: heart(at=(70, 20)), VentricleCut, "reaches the border of what the network sees"),
        (lambda: heart(at=(10, 66), pixel_mm=1.2), VentricleCut, "reaches the border of what the network sees"),
        (lambda: heart(ejected=0.0), NoBeatingVentricle, "nothing that is marked beats"),
        (lambda: heart(half_axes_mm=(44, 8, 6)), NoBeatingVentricle, "9 ml, and a ventricle has 15 to 700"),
        (lambda: heart(half_axes_mm=(12, 30, 30)), NoBeatingVentricle, "on 3 neighbouring slices"),
        (lambda: heart(ejected=0.9999), NoBeatingVentricle, "nothing is marked in phase 3"),
    ],
    ids=[
        "axial",
        "along the axis",
        "short",
        "no apex",
        "no apex at the end",
        "off the window",
        "off the images",
        "phantom",
        "vessel",
        "ball",
        "emptied",
    ],
)
def test_what_is_no_whole_beating_ventricle_is_declined(made: Callable[[], Phases], error: type[Exception], words: str) -> None:
    """A sentence with the reason, and no number."""
    with pytest.raises(error, match=words):
        analyse(APPLICATION, made(), Blood())


def test_a_slice_without_its_images_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    """One image of the stack did not come."""
    files = cine.one_series(tmp_path).files
    with pytest.raises(PhasesMissing, match="1 of 6 slices have not 8 images"):
        subjects(Takes.PHASES, "refuse", files[:-1], "")


def test_masks_go_through_the_window_and_back_unchanged() -> None:
    """At the window's own pixels nothing is lost; every slice has mean 0 and deviation 1, whatever its scale."""
    phases = heart()
    louder = replace(phases, volumes=tuple(replace(one, voxels=3 * one.voxels) for one in phases.volumes))
    prepared = prepare(phases)
    assert prepared.images.shape == (4, 13, *WINDOW)
    np.testing.assert_allclose(prepared.images, prepare(louder).images, atol=1e-4)
    labels = (phases.volumes[0].voxels > 500).astype(np.uint8)
    back = prepared.back(np.where(prepared.onto(labels) > 0, 1.0, -1.0).astype(np.float32)) > 0
    # a grid of even and one of odd sides lie half a pixel apart
    assert np.count_nonzero(back != (labels > 0)) <= 0.05 * np.count_nonzero(labels)


def test_an_even_slice_shows_nothing_of_its_neighbours() -> None:
    """However positions are rounded, from either side, whatever its value: what a millionth of a millionth of a neighbour would be is not
    made an image."""
    phases = heart(slices=7, phases=1, middle=3.0, axes=-OBLIQUE)
    (whole,) = phases.volumes
    for value, at, shift in product((0, 70), (0, 3, 6), np.linspace(0, 50, 12)):
        voxels, affine = whole.voxels.copy(), whole.affine.copy()
        voxels[at] = value
        affine[:3, 3] += shift * np.array((1.1, -0.7, 0.3))
        seen = prepare(replace(phases, volumes=(replace(whole, voxels=voxels, affine=affine),))).images[0]
        assert seen.any(axis=(1, 2)).tolist() == [z != at for z in range(7)]


@pytest.mark.parametrize(("turn", "mirrored"), [(0, False), (1, False), (2, True), (3, True)])
def test_the_network_sees_a_heart_as_scanners_show_it_however_it_is_stored(turn: int, mirrored: bool) -> None:
    """Rows and columns turned in steps of a quarter turn, or mirrored, with the geometry that says so: the same pixels reach the network,
    the feet below and the left of the patient on the right."""
    phases = heart(slices=7, phases=2, middle=3.0)
    stored = replace(phases, volumes=tuple(replace(one, **stored_otherwise(one, turn, mirrored)) for one in phases.volumes))
    seen, again = (prepare(one) for one in (phases, stored))
    assert seen.window.affine[2, 1] < 0 < seen.window.affine[0, 2]
    np.testing.assert_allclose(again.images, seen.images, atol=1e-4)
    np.testing.assert_allclose(again.window.affine, seen.window.affine, atol=1e-9)


def stored_otherwise(volume: Volume, turn: int, mirrored: bool) -> dict[str, Any]:
    """The voxels and the geometry of a volume whose images are stored so many quarter turns on."""
    voxels = np.rot90(volume.voxels, turn, axes=(1, 2))
    voxels = voxels[:, :, ::-1] if mirrored else voxels
    # where the first, the next row's and the next column's pixel lay before
    places = np.rot90(np.moveaxis(np.mgrid[: volume.voxels.shape[1], : volume.voxels.shape[2]], 0, -1), turn)
    places = places[:, ::-1] if mirrored else places
    corner, down, across = places[0, 0], places[1, 0] - places[0, 0], places[0, 1] - places[0, 0]
    affine = volume.affine.copy()
    affine[:3, 1], affine[:3, 2] = (volume.affine[:3, 1:3] @ step for step in (down, across))
    affine[:3, 3] = volume.affine[:3, 3] + volume.affine[:3, 1:3] @ corner
    return {"voxels": np.ascontiguousarray(voxels), "affine": affine}


def test_what_is_marked_is_the_mean_of_views_laid_back_where_they_were() -> None:
    """A function of brightness alone says the same of every view: its mean is what it says of the image, but for the edges' two pixels."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[: WINDOW[0], : WINDOW[1]].astype(np.float64)
    blob = np.hypot(y - 50, x - 70) < 20
    images = (np.stack([blob, ~blob]) + rng.normal(0, 0.05, (2, *WINDOW))).astype(np.float32)
    calls = []

    def bright(some: NDArray[np.float32]) -> NDArray[np.float32]:
        calls.append(some.copy())
        return np.where(some > 0.5, 1, -1).astype(np.float32)

    found = mean_of_views(images, bright) > 0
    assert len(calls) == 9
    np.testing.assert_array_equal(calls[0], images)
    assert np.abs(calls[1] - calls[0]).max() > 0.5
    far = np.abs(np.hypot(y - 50, x - 70) - 20) > 2
    np.testing.assert_array_equal(found[0][far], blob[far])
    np.testing.assert_array_equal(found[1][far], ~blob[far])
    assert np.count_nonzero(found[0]) == pytest.approx(np.count_nonzero(blob), rel=0.02)
