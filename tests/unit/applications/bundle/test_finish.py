"""Decisions, clean-up and codes of a bundle, by hand and against what others have written down."""

from typing import Any

import numpy as np
import pytest

from inference import codes
from inference.applications.bundle.anatomy import STRUCTURES, UNPAIRED
from inference.applications.bundle.errors import UncodedStructure
from inference.applications.bundle.finish import Activation, Decision, KeepLargest, Regions, Return, finished, order_problem, voxelwise
from inference.applications.bundle.names import is_background, known, structures
from inference.applications.bundle.steps import source_image
from inference.codes import Code
from tests.unit.applications.bundle.images import volume

# the example in MONAI's documentation of KeepLargestConnectedComponent, as one slice
PLANE = np.array([[0, 0, 1, 0, 0], [0, 2, 1, 1, 1], [1, 2, 1, 0, 0], [1, 2, 0, 1, 0], [2, 2, 0, 0, 2]])
INDEPENDENT = np.array([[0, 0, 1, 0, 0], [0, 2, 1, 1, 1], [0, 2, 1, 0, 0], [0, 2, 0, 0, 0], [2, 2, 0, 0, 0]])
TOGETHER = np.array([[0, 0, 1, 0, 0], [0, 2, 1, 1, 1], [1, 2, 1, 0, 0], [1, 2, 0, 0, 0], [2, 2, 0, 0, 0]])
DIAGONAL = np.array([[0, 0, 1, 0, 0], [0, 2, 1, 1, 1], [1, 2, 1, 0, 0], [1, 2, 0, 1, 0], [2, 2, 0, 0, 2]])


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (KeepLargest(applied_labels=(1, 2), independent=True, connectivity=1), INDEPENDENT),
        (KeepLargest(applied_labels=(1, 2), independent=False, connectivity=1), TOGETHER),
        (KeepLargest(applied_labels=(1, 2), independent=False, connectivity=2), DIAGONAL),
        (KeepLargest(independent=True, connectivity=1), INDEPENDENT),
    ],
)
def test_the_largest_part_as_monai_documents_it(keep: KeepLargest, expected: np.ndarray) -> None:
    """Labels one by one or together, neighbours by faces or by edges too."""
    image = source_image(volume(PLANE[None].astype(np.int16), (1.0, 1.0, 1.0)))
    np.testing.assert_array_equal(finished(PLANE[None].astype(np.uint16), [keep], image)[0], expected)


def test_masks_lose_their_smaller_parts() -> None:
    """A single mask is an image of the labels 0 and 1; of several channels the first is left as it is, as MONAI leaves it."""
    image = source_image(volume(np.zeros((1, 5, 5), np.int16), (1.0, 1.0, 1.0)))
    ones = (PLANE == 1)[None]
    (one,) = finished(ones[None], [KeepLargest(connectivity=1)], image)
    np.testing.assert_array_equal(one[0], INDEPENDENT == 1)
    both = finished(np.stack([ones, ones]), [KeepLargest(connectivity=1)], image)
    np.testing.assert_array_equal(both[0], ones)
    np.testing.assert_array_equal(both[1][0], INDEPENDENT == 1)


def test_activations_by_hand() -> None:
    """Softmax of equal logits is even; the logistic function of ±100 neither overflows nor warns."""
    even = voxelwise(np.zeros((4, 1, 1, 1), np.float32), [Activation(softmax=True)])
    np.testing.assert_allclose(even, 0.25)
    values = np.array([-100, 0, 100], np.float32).reshape(3, 1, 1, 1)
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_allclose(voxelwise(values, [Activation(sigmoid=True)]).ravel(), [0, 0.5, 1], atol=1e-7)
    np.testing.assert_array_equal(voxelwise(values, [Decision(threshold=0.0)]).ravel(), [False, True, True])
    assert voxelwise(values, [Decision()]).item() == 2


REGIONS = Regions(order=(1,), members=((1,),))


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ([Activation(softmax=True), Return(), Decision()], ""),
        ([Decision(), KeepLargest(), Return()], ""),
        ([Decision(), Activation(softmax=True), Return()], "an activation after"),
        ([Return(), Activation(softmax=True), Decision()], "an activation after"),
        ([Return(), KeepLargest(), Decision()], "before there is a decision"),
        ([Decision(), Decision(), Return()], "2 decisions"),
        ([Decision()], "0 ways back"),
        ([Return(), REGIONS], ""),
        ([REGIONS, Return()], "before the way back"),
    ],
)
def test_orders_of_finishings(order: list[Activation | Decision | Regions | Return | KeepLargest], said: str) -> None:
    """Those that make sense, and what is wrong with the others."""
    problem = order_problem(order)
    assert said in problem
    assert bool(problem) == bool(said)


def test_codes_are_about_what_their_names_say() -> None:
    """Where pydicom's dictionary of SNOMED CT has the code (most organs), its meaning has a word of the name, or of another name of it."""
    from pydicom.sr._concepts_dict import concepts

    terms: Any = concepts["SCT"]
    meanings: dict[str, str] = {}
    for entries in terms.values():
        for value, said in entries.items():
            meanings[value] = f"{meanings.get(value, '')} {said[0].lower()}"
    other = {
        "neoplasm": "tumor",
        "hemorrhage": "bleeding",
        "bowel": "intestin",
        "skull": "cranium",
        "kidney": "renal",
        "heart": "cardiac",
        "vertebra": "spine",
        "tarsal": "tarsus",
    }
    seen = 0
    for name, row in STRUCTURES.items():
        meaning = meanings.get(row.of.type.value)
        if meaning is None or name in ("vertebra c1", "vertebra c2"):  # atlas and axis
            continue
        words = [*name.split(), *(row.of.type.meaning.lower().split())]
        stems = {word[:5] for word in words} | {other[word] for word in words if word in other}
        assert any(stem in meaning for stem in stems), (name, meaning)
        seen += 1
    assert seen > 80


@pytest.mark.parametrize("name", ["left kidney", "kidney_left", "Kidney-L", "LT kidney"])
def test_one_structure_by_many_names(name: str) -> None:
    """Side and structure, however they are written."""
    found = known(name)
    assert found is not None
    assert (found.type.value, found.laterality) == ("64033007", codes.LEFT)


@pytest.mark.parametrize(
    ("name", "value", "side", "site"),
    [
        ("vertebrae_L5", "49668003", None, None),
        ("L5 vertebra", "49668003", None, None),
        ("rib_left_4", "25523003", codes.LEFT, None),
        ("heart_atrium_left", "82471001", None, None),
        ("Left Atrium", "82471001", None, None),
        ("lung_middle_lobe_right", "72481006", None, None),
        ("lung_upper_lobe_right", "45653009", codes.RIGHT, None),
        ("kidney_cyst_right", "367643001", codes.RIGHT, "Kidney"),
        ("liver_tumor", "108369006", None, "Liver"),
        ("hip_implant", "40388003", None, "Hip joint"),
        ("Left-Cerebral-White-Matter", "68523003", codes.LEFT, None),
        ("Right-Inf-Lat-Vent", "53118009", codes.RIGHT, None),
        ("Left-Thalamus-Proper", "42695009", codes.LEFT, None),
        ("Right-VentralDC", "110700", codes.RIGHT, None),
        ("3rd-Ventricle", "49841001", None, None),
        ("Brain-Stem", "119238007", None, None),
        ("WM-hypointensities", "110701", None, "Brain"),
        ("CSF", "65216001", None, None),
        ("tumor core", "108369006", None, None),
        ("GD-enhancing tumor", "C113842", None, None),
        ("peritumoral edema", "79654002", None, None),
        ("necrotic tumor core", "6574001", None, None),
        ("portal_vein", "32764006", None, None),
        ("internal_carotid_artery_left", "86117002", codes.LEFT, None),
        ("hepatic_vessel", "59820001", None, "Liver"),
        ("Left-Cerebellum-Cortex", "25991003", codes.LEFT, None),
        ("left fibula", "87342007", codes.LEFT, None),
        ("renal_artery_right", "2841007", codes.RIGHT, None),
        ("left pulmonary artery", "50408007", None, None),
        ("left lung", "39607008", codes.LEFT, None),
        ("right lung vessels", "59820001", codes.RIGHT, "Lung"),
    ],
)
def test_names_of_published_models(name: str, value: str, side: Code | None, site: str | None) -> None:
    """Level, side and place belong to the name; of one side alone is what has a code of its own."""
    found = known(name)
    assert found is not None
    assert (found.type.value, found.laterality, found.site.meaning if found.site else None) == (value, side, site)


@pytest.mark.parametrize(
    "name",
    [
        "kidney tumor",
        "spleen or liver",
        "left right kidney",
        "organ 4",
        "",
        "aorta vessel",
        "kidneys",
        "vertebra l5 disc",
        "rib 13",
        "S1",
        "T2",
        "whole tumor",
        "Whole-Tumour",
        "left brain stem",
        "Left-3rd-Ventricle",
        "aorta_left",
        "right heart",
        "heart myocardium left",
        "left portal vein",
        "hepatic_vein_right",
        "left liver",
        "liver tumor left",
        "thyroid_left",
        "left L5 vertebra",
        "L5 right",
        "Left-vessel portal",
        "CC_Posterior",
        "non-WM-hypointensities",
        "Left-choroid-plexus",
        "ctx-lh-precuneus",
        "core",
        "ET",
    ],
)
def test_what_is_not_known_whole_is_not_known(name: str) -> None:
    """A part of a name is another structure's code; so is a side of what there is once, a branch or a half of it."""
    assert known(name) is None
    with pytest.raises(UncodedStructure):
        structures({1: name}, {})


def test_what_there_is_once_is_a_structure() -> None:
    """Each of them is known, without a side."""
    assert set(STRUCTURES) >= UNPAIRED
    assert [name for name in sorted(UNPAIRED) if known(name) is None] == []


def test_background_is_no_structure() -> None:
    """By the names that bundles give it."""
    assert is_background(" Background ")
    assert not is_background("back muscles")
