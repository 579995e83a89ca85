"""Points of segments: SciPy's and SimpleITK's centroids, the farthest vertices of scikit-image's mesh, and pixels counted by hand."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass
from scipy.spatial.distance import cdist
from skimage.measure import marching_cubes

from inference.findings import Findings, Location, PointInSpace, Segment
from inference.imaging.measures.lengths import AxialDiameter, LongestDiameter
from inference.imaging.measures.measure import Measure
from inference.imaging.measures.measuring import measured
from inference.imaging.measures.points import AxialDiameterEnds, Centroid, DiameterEnds
from inference.imaging.volume import Volume
from tests.unit.applications.bundle.images import blobs, volume
from tests.unit.imaging.measures.segments import refusal, results, segment

SHAPE, SPACING = (16, 44, 40), (2.5, 0.7, 0.9)
ONE = ("a",)


def parts() -> NDArray[np.bool_]:
    """Several parts without any symmetry."""
    mask = np.zeros(SHAPE, np.bool_)
    mask[2:-2, 3:-3, 3:-3] = blobs(SHAPE, seed=4)[2:-2, 3:-3, 3:-3] > 260
    return mask


def tilted() -> Volume:
    """Anisotropic slices of a turned patient."""
    return volume(np.zeros(SHAPE, np.int16), SPACING, tilt=0.4)


def located(measure: Measure, image: Volume, *segments: Segment) -> list[tuple[Location, NDArray[np.float64]]]:
    """The points that a measure makes, and their places in the patient."""
    found = measured((measure,), image, (), Findings(segments=segments))
    assert (found.measurements, found.remarks) == ((), ())
    made = []
    for one in found.locations:
        assert isinstance(one.shape, PointInSpace)
        made.append((one, np.array([one.shape.x, one.shape.y, one.shape.z])))
    return made


def test_the_centroid_is_that_of_others_on_an_oblique_grid() -> None:
    """SciPy's by array indices, and SimpleITK's label shape filter by an image of the same place and direction."""
    mask, image = parts(), tilted()
    ((one, at),) = located(Centroid(segments=ONE), image, segment("a", mask))
    index = np.array(center_of_mass(mask))
    assert at == pytest.approx(image.affine[:3] @ [*index, 1])
    itk = sitk.GetImageFromArray(mask.astype(np.uint8))
    steps = image.affine[:3, [2, 1, 0]]
    itk.SetSpacing(np.linalg.norm(steps, axis=0).tolist())
    itk.SetDirection((steps / np.linalg.norm(steps, axis=0)).ravel().tolist())
    itk.SetOrigin(image.affine[:3, 3].tolist())
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(itk)
    assert at == pytest.approx(shapes.GetCentroid(1))
    assert (one.label, one.image) == ("centroid of a", round(index[0]))
    assert one.point is not None
    assert (one.point.segment, one.point.purpose.value) == ("a", "128138")


def test_of_slices_in_unequal_steps_each_counts_for_what_it_stands_for() -> None:
    """Three voxels at 0, 0.5 and 2 steps of 2 mm, which stand for 0.5, 1 and 1.5 steps: (0 + 0.5 + 3) / 3 steps from the first."""
    mask = np.zeros((3, 5, 5), np.bool_)
    mask[:, 2, 2] = True
    image = replace(volume(np.zeros(mask.shape, np.int16), (2.0, 1.0, 1.0)), steps=(0.0, 0.5, 2.0))
    ((one, at),) = located(Centroid(segments=ONE), image, segment("a", mask))
    assert at[2] - image.affine[2, 3] == pytest.approx(2.0 * 3.5 / 3)
    assert one.image == 1


def test_the_ends_in_space_are_the_farthest_vertices_of_a_mesh() -> None:
    """As far apart as scikit-image's farthest pair, each of them a vertex of its mesh, and as far as the diameter says."""
    mask, image = parts(), tilted()
    (_, one), (_, other) = located(DiameterEnds(segments=ONE), image, segment("a", mask))
    vertices, *_ = marching_cubes(mask.astype(np.float64), 0.5)
    mesh = image.to_patient(vertices.astype(np.float64))
    assert np.linalg.norm(one - other) == pytest.approx(cdist(mesh, mesh).max())
    assert cdist([one, other], mesh).min(axis=1) == pytest.approx([0, 0], abs=1e-6)
    (diameter,) = results(LongestDiameter(segments=ONE), image, segment("a", mask))
    assert np.linalg.norm(one - other) == pytest.approx(diameter.value)


def test_the_axial_ends_lie_on_the_slice_of_the_diameter() -> None:
    """A bar of 21 pixels of 1 mm on the seventh slice, and a shorter one on the third: from edge to edge, as the diameter says."""
    mask = np.zeros((9, 30, 40), np.bool_)
    mask[3, 4, 5:15] = mask[7, 20, 10:31] = True
    image = volume(np.zeros(mask.shape, np.int16), (3.0, 1.0, 1.0))
    made = located(AxialDiameterEnds(segments=ONE), image, segment("a", mask))
    assert [one.image for one, _ in made] == [7, 7]
    ends = sorted(image.to_indices(at).tolist() for _, at in made)
    assert ends == [pytest.approx([7, 20, 9.5]), pytest.approx([7, 20, 30.5])]
    long, _ = results(AxialDiameter(segments=ONE), image, segment("a", mask))
    assert np.linalg.norm(made[0][1] - made[1][1]) == pytest.approx(long.value) == pytest.approx(21)


def test_ends_at_the_border_stay_in_the_images() -> None:
    """A diagonal from corner to corner of pixels that are not square: its ends would lie beyond the last column."""
    mask = np.zeros((3, 12, 12), np.bool_)
    mask[1] = np.eye(12, dtype=np.bool_)
    image = volume(np.zeros(mask.shape, np.int16), (2.0, 0.5, 2.0))
    for _, at in located(AxialDiameterEnds(segments=ONE), image, segment("a", mask)):
        index = image.to_indices(at)[1:]
        assert (index >= -0.5 - 1e-9).all()
        assert (index <= 11.5 + 1e-9).all()


def test_coronal_slices_have_no_axial_ends() -> None:
    """The report says so, as of the diameter."""
    image = volume(np.zeros(SHAPE, np.int16), SPACING)
    coronal = replace(image, affine=image.affine[[0, 2, 1, 3]])
    told = "Not measured: the ends of the axial diameter, because the slices are not axial."
    assert refusal(AxialDiameterEnds(segments=ONE), coronal, segment("a", parts())) == told


def test_long_labels_of_points_fit_and_differ() -> None:
    """64 characters, as an element of text takes; two segments whose labels begin alike are told apart."""
    labels = ["structure " * 6 + letter for letter in "ab"]
    made = located(Centroid(segments=tuple(labels)), tilted(), *(segment(label, parts()) for label in labels))
    found = [one.label for one, _ in made]
    assert len(set(found)) == 2
    assert max(map(len, found)) <= 64
