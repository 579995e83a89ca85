"""Numbers of applications in Series Numbers: their own where their manifests say them, else what is left; a clash is refused."""

import pytest

from inference.applications.catalog import load
from inference.applications.errors import BrokenApplication
from inference.applications.numbering import GREATEST_SERIES, numbered

BUILT_IN = (
    "bright-lesion",
    "cardiac-phase",
    "chest-xray",
    "ct-head-bleed",
    "ct-lung",
    "ct-register",
    "fundus-vessels",
    "hippocampus",
    "left-ventricle",
    "lung-nodule",
    "mr-brain",
    "mr-brain-structures",
    "mr-ct-register",
    "mr-deform",
    "mr-denoise",
    "mr-glioma",
    "mr-register",
    "mr-super-resolution",
)


def test_a_manifests_number_stays_and_the_others_get_the_highest_left() -> None:
    """In the order of names: every process of a node comes to the same."""
    assert numbered({"b": 0, "a": 0, "mr-brain": 1, "theirs": 98}) == {"a": 99, "b": 97, "mr-brain": 1, "theirs": 98}


def test_two_that_claim_one_number_are_refused() -> None:
    """Both are named."""
    with pytest.raises(BrokenApplication, match="a and b both have the number 7"):
        numbered({"b": 7, "a": 7, "c": 8})


def test_there_are_as_many_applications_as_numbers() -> None:
    """Each gets one; one more is refused."""
    stated = {f"application-{number:03}": 0 for number in range(GREATEST_SERIES)}
    assert sorted(numbered(stated).values()) == list(range(1, GREATEST_SERIES + 1))
    with pytest.raises(BrokenApplication, match="100 run here"):
        numbered({**stated, "one-more": 0})


def test_the_built_in_applications_have_numbers_of_their_own() -> None:
    """All of them may run in one node."""
    numbers = {name: load(name).series for name in BUILT_IN}
    assert 0 not in numbers.values()
    assert numbered(numbers) == numbers
