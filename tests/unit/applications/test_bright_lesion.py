"""bright-lesion: planted lesions of known place and size, contrasts that it must refuse, and both visits of a real patient."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from inference import codes
from inference.applications.accept import check
from inference.applications.bright_lesion.application import MAP, MOST, analyse
from inference.applications.bright_lesion.contrast import EDGE_MM, LesionContrast, NoBrainOnFlair, NotFlair, contrast
from inference.applications.bright_lesion.lesions import LEAST_MM3
from inference.applications.catalog import load
from inference.applications.declared import check_outputs
from inference.applications.port import Infer
from inference.findings import Box, Findings, Location, Point
from inference.imaging.assemble import assemble
from inference.imaging.volume import Volume
from inference.imaging.write_series import from_nifti, write_series
from tests.lab.planted import BRAIN_MM, LESIONS, SHAPE, SPACING, ellipsoid, head, volume
from tests.lab.visits import transform_of, visits


class NoModels:
    """bright-lesion calls none."""

    def __call__(self, *_: Any) -> Any:
        raise AssertionError("a model was called")

    at_once = call_of = __call__


INFER: Infer = NoModels()


@pytest.fixture
def looked_in(monkeypatch: pytest.MonkeyPatch) -> list[LesionContrast]:
    """What each analysis looked for lesions in: most of its time."""
    each: list[LesionContrast] = []

    def kept(volume: Volume) -> LesionContrast:
        each.append(contrast(volume))
        return each[-1]

    monkeypatch.setattr("inference.applications.bright_lesion.application.contrast", kept)
    return each


def value(findings: Findings, location: Location, name: codes.Code) -> float:
    (found,) = (one.value for one in findings.measurements if one.location == location.label and one.name == name)
    return found


def test_every_planted_lesion_is_found_and_nothing_else() -> None:
    """Place, volume and longest diameter of each are those of the ellipsoid, as far as voxels can say; largest first."""
    made = head(*LESIONS)
    findings = analyse(made, INFER)
    check_outputs(load("bright-lesion", ()), findings, made)
    assert [one.label for one in findings.locations] == ["lesion 1", "lesion 2", "lesion 3"]
    for location, (centre, half) in zip(findings.locations, LESIONS, strict=True):
        truth = ellipsoid(centre, half)
        areas = truth.sum(axis=(1, 2))
        assert areas[location.image] >= 0.8 * areas.max()
        assert isinstance(location.shape, Box)
        rows, columns = (np.flatnonzero(truth[location.image].any(axis=axis)) for axis in (1, 0))
        edges = (location.shape.top, location.shape.bottom, location.shape.left, location.shape.right)
        assert edges == pytest.approx((rows[0], rows[-1] + 1, columns[0], columns[-1] + 1), abs=1)
        volume_cm3 = truth.sum() * np.prod(SPACING) / 1000
        assert value(findings, location, codes.VOLUME) == pytest.approx(volume_cm3, rel=0.3)
        assert value(findings, location, codes.LONG_AXIS) == pytest.approx(2 * max(half[1:]), abs=2 * SPACING[1])
        assert location.finding_site == codes.BRAIN
    (said,) = findings.evaluations
    assert (said.finding, said.value, said.finding_site) == (codes.LESION, codes.PRESENT, codes.BRAIN)


def test_nothing_found_is_absent_in_the_brain_and_the_map_is_there() -> None:
    """Absent, with the searched area in words and the site in a code; the map shows that it was looked at."""
    findings = analyse(head(), INFER)
    (said,) = findings.evaluations
    assert (said.value, said.finding_site, findings.locations, findings.measurements) == (codes.ABSENT, codes.BRAIN, (), ())
    (found,) = findings.saliencies
    assert (found.label, found.quantity, str(found.values.dtype)) == (MAP, codes.SALIENCY, "float32")
    assert any("cm³ of brain" in remark for remark in findings.remarks)


def test_the_result_says_that_nothing_was_learned() -> None:
    """Remark and family of algorithm: threshold and components, not a trained detector; no model is named or called."""
    application = load("bright-lesion", ())
    assert application.models == ()
    assert application.family == codes.MORPHOLOGICAL_OPERATIONS
    assert "threshold and component analysis, not by a trained detector" in analyse(head(), INFER).remarks[0]


def test_the_map_is_highest_in_the_lesion_and_nothing_outside_the_search() -> None:
    """Scalp and skull are not searched; the map is 0 there and as deep as the margin in the brain."""
    made = head(LESIONS[0], ((0, 0, 62 + 12), (6, 8, 3)))
    findings = analyse(made, INFER)
    assert len(findings.locations) == 1
    (found,) = findings.saliencies
    truth = ellipsoid(*LESIONS[0])
    assert truth[np.unravel_index(int(found.values.argmax()), SHAPE)]
    shallow = ~ellipsoid((0, 0, 0), [mm - EDGE_MM + 3 for mm in BRAIN_MM])
    assert not found.values[shallow].any()
    assert found.values.min() == 0


def test_a_small_lesion_is_a_point_and_a_tiny_one_is_left_out() -> None:
    """What is two voxels wide gets a point, at its brightest voxel; below the least volume nothing is said."""
    image = head(noise=5.0).voxels.copy()
    image[20, 40:44, 80:82] = 600
    image[28, 70, 40] = 700
    made = volume(image)
    assert 1 * np.prod(SPACING) < LEAST_MM3 < 8 * np.prod(SPACING)
    (location,) = analyse(made, INFER).locations
    assert isinstance(location.shape, Point)
    assert location.image == 20
    assert 40 < location.shape.row < 44
    assert 80 < location.shape.column < 82
    assert (location.shape.row % 1, location.shape.column % 1) == (0.5, 0.5)


def test_of_many_the_largest_are_listed_and_the_rest_is_said() -> None:
    """A list of dozens is not read: the largest come by number, the others in one sentence."""
    places = [(z, y, x) for z in (-24, -8, 8, 24) for y in (-42, -34, 34, 42) for x in (-16, 0, 16)]
    findings = analyse(head(*((place, (4, 3, 3)) for place in places)), INFER)
    assert len(findings.locations) == MOST
    volumes = [value(findings, location, codes.VOLUME) for location in findings.locations]
    assert volumes == sorted(volumes, reverse=True)
    assert any(f"The {MOST} largest of {len(places)} are listed" in remark for remark in findings.remarks)


@pytest.mark.slow
@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_a_lesion_is_found_however_the_slices_lie(order: tuple[int, int, int]) -> None:
    """The same head, cut the other way: the same lesions, of the same volume."""
    made = head(*LESIONS)
    turned = replace(
        made,
        voxels=np.ascontiguousarray(made.voxels.transpose(order)),
        affine=made.affine[:, [*order, 3]],
        sources=made.sources[:1] * made.voxels.shape[order[0]],
    )
    straight, other = analyse(made, INFER), analyse(turned, INFER)
    assert len(other.locations) == len(straight.locations)
    for one, again in zip(straight.locations, other.locations, strict=True):
        assert value(other, again, codes.VOLUME) == pytest.approx(value(straight, one, codes.VOLUME), rel=0.25)


def test_equal_images_give_equal_findings() -> None:
    """No dice: the very same numbers."""
    first, again = (analyse(head(*LESIONS), INFER) for _ in range(2))
    assert (first.locations, first.measurements, first.remarks) == (again.locations, again.measurements, again.remarks)
    assert np.array_equal(first.saliencies[0].values, again.saliencies[0].values)


def test_another_contrast_is_refused() -> None:
    """Grey and white matter far apart (T1), or bright water (T2): an "absent" would be a lie."""
    made = head()
    rng = np.random.default_rng(1)
    lumps = ndimage.gaussian_filter(rng.normal(size=SHAPE), [4 / mm for mm in SPACING])
    uneven = np.where(made.voxels > 200, made.voxels + 55 * np.sign(lumps), made.voxels).astype(np.int16)
    with pytest.raises(NotFlair, match="differs"):
        analyse(volume(uneven), INFER)
    water = made.voxels.copy()
    for z in (-30, -10, 10, 30):
        for y in (-35, 0, 35):
            water[ellipsoid((z, y, 0), (5, 9, 30))] = 900
    with pytest.raises(NotFlair):
        analyse(volume(water), INFER)


@pytest.mark.parametrize("half_mm", [16.0, 30.0])
def test_a_large_lesion_is_measured_whole(half_mm: float) -> None:
    """17 and 113 cm³: what stands out most raises what lies around it, and of a large lesion only a rim would be left."""
    where = (5.0, -10.0, 15.0)
    made = head((where, (half_mm, half_mm, half_mm)), LESIONS[1])
    findings = analyse(made, INFER)
    truth = ellipsoid(where, (half_mm,) * 3)
    largest = findings.locations[0]
    assert value(findings, largest, codes.VOLUME) == pytest.approx(truth.sum() * np.prod(SPACING) / 1000, rel=0.1)
    assert value(findings, largest, codes.LONG_AXIS) == pytest.approx(2 * half_mm, abs=3 * SPACING[1])
    assert abs(largest.image - int(truth.sum(axis=(1, 2)).argmax())) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("thick", [False, True], ids=["1 mm", "5 mm every 6.5 mm"])
def test_a_real_glioma_against_five_other_programs(
    real: Callable[[str], list[Path]], tmp_path: Path, looked_in: list[LesionContrast], thick: bool
) -> None:
    """The consensus of five networks outlines 30 cm³; a third of it was found, in pieces. Slices of 5 mm with gaps between them are taken,
    with the remark that volumes are approximate. (Agreement between machines: no test of accuracy.) On T2 water is refused."""
    files = {path.name: path for path in real("labelled/glioma_fg6692")}
    truth = from_nifti(files["seg_consensus.nii.gz"])[0] > 0
    flair, affine = from_nifti(files["fla.nii.gz"])
    water, _ = from_nifti(files["t2.nii.gz"])
    if thick:
        slabs = [slice(round(at), round(at) + 5) for at in np.arange(0, len(flair) - 5, 6.5)]
        flair, water, truth = (np.stack([image[slab].mean(axis=0) for slab in slabs]) for image in (flair, water, truth))
        truth, affine = truth > 0.5, affine @ np.diag([6.5, 1, 1, 1])
    made, of_water = (
        assemble(write_series(np.rint(np.clip(image, 0, None)).astype(np.int16), affine, tmp_path / name, modality="MR"))
        for name, image in (("flair", flair), ("t2", water))
    )
    assert check(load("bright-lesion", ()), made) == (("Voxels are 6.5 mm apart: volumes are approximate.",) if thick else ())
    findings = analyse(made, INFER)
    true_cm3 = truth.sum() * made.voxel_volume_mm3 / 1000
    assert true_cm3 == pytest.approx(30.1, abs=0.2)
    assert value(findings, findings.locations[0], codes.VOLUME) == pytest.approx(true_cm3, rel=0.15)
    large = looked_in[0].large
    assert 2 * (large & truth).sum() / (large.sum() + truth.sum()) > 0.8
    with pytest.raises(NotFlair, match="large bright parts take"):
        analyse(of_water, INFER)


@pytest.mark.parametrize("image", [np.zeros(SHAPE), np.full(SHAPE, 77), np.indices(SHAPE)[2] % 2 * 300], ids=["air", "even", "stripes"])
def test_images_without_a_brain_are_refused(image: NDArray[Any]) -> None:
    """Nothing to look in is no "absent"."""
    with pytest.raises(NoBrainOnFlair):
        analyse(volume(image.astype(np.int16)), INFER)


def test_a_part_of_a_brain_is_refused() -> None:
    """A crop of which most brain is missing: what was not imaged cannot be called free of lesions."""
    made = head()
    with pytest.raises(NoBrainOnFlair, match="plausible"):
        analyse(replace(made, voxels=made.voxels[:16], sources=made.sources[:16]), INFER)


@pytest.mark.slow
@pytest.mark.parametrize(("visit", "large", "found_at_least"), [(0, 4, 3), (1, 5, 4)])
def test_real_visits_against_the_experts_mask(
    real: Callable[[str], list[Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    looked_in: list[LesionContrast],
    visit: int,
    large: int,
    found_at_least: int,
) -> None:
    """A patient with multiple sclerosis; the experts outlined what changed between the visits, so that what is found elsewhere is an upper
    bound of false alarms: lesions that did not change are among them. Sensitivity is printed by size, and bounded where it is known."""
    folder = visits(real, tmp_path).folders[visit]
    made = assemble(sorted(folder.iterdir()))
    application = load("bright-lesion", ())
    check(application, made)
    findings = analyse(made, INFER)
    check_outputs(application, findings, made)
    truth = _changed(real, made, visit)
    found, _ = ndimage.label(looked_in[0].values > 3, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(found.ravel()) * made.voxel_volume_mm3
    kept = np.isin(found, np.flatnonzero(sizes >= LEAST_MM3)[1:])
    lesions, number = ndimage.label(truth, structure=np.ones((3, 3, 3)))
    hit = np.array([kept[lesions == one].any() for one in range(1, number + 1)])
    volumes = np.bincount(lesions.ravel())[1:] * made.voxel_volume_mm3
    elsewhere = len(set(np.unique(found[kept])) - set(np.unique(found[truth & kept])))
    with capsys.disabled():
        by_size = ", ".join(f"{hit[volumes >= mm3].sum()} of {(volumes >= mm3).sum()} from {mm3} mm³" for mm3 in (0, 30, 100))
        print(
            f"\nbright-lesion, visit {visit + 1}: changed lesions found {by_size}; {elsewhere} marked elsewhere, unchanged lesions included"
        )
    assert (volumes >= 100).sum() == large
    assert hit[volumes >= 100].sum() >= found_at_least
    assert elsewhere <= 25
    assert findings.evaluations[0].value == codes.PRESENT


def _changed(real: Callable[[str], list[Path]], made: Volume, visit: int) -> NDArray[np.bool_]:
    """The experts' mask of the common space on the grid of one visit, by the published transform (common space to visit, LPS)."""
    files = {path.name: path for path in real("labelled/ms_longitudinal_p12")}
    mask, affine = from_nifti(files["gt.nii.gz"])
    to_visit = transform_of(files[f"study{visit + 1}_FLAIR_to_common_space.txt"])
    back = np.linalg.inv(affine) @ np.linalg.inv(to_visit) @ made.affine
    resampled: NDArray[np.float32] = ndimage.affine_transform(
        mask.astype(np.float32), back[:3, :3], back[:3, 3], output_shape=made.voxels.shape, order=1
    )
    return resampled > 0.5
