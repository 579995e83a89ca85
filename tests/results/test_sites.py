"""Which anatomic sites are told apart, and that each code is what its row says."""

import pytest
from pydicom.sr._concepts_dict import concepts

from inference import codes
from inference.applications.bundle.anatomy import STRUCTURES
from inference.codes import Code
from node.results.reports.sites import SITES, apart

_OWN = {(one.of.type.value, one.of.type.meaning) for one in STRUCTURES.values()}
_OWN |= {(one.of.site.value, one.of.site.meaning) for one in STRUCTURES.values() if one.of.site}
_OWN |= {(one.value, one.meaning) for one in vars(codes).values() if isinstance(one, Code)}


def _of_dicom(value: str) -> set[str]:
    """The meanings that PS3.16 has for a code of SNOMED CT, as pydicom keeps them."""
    return {meaning for rows in concepts["SCT"].values() for one, (meaning, _) in rows.items() if one == value}


def test_each_code_is_dicoms_or_one_that_results_have() -> None:
    """No code is another's, none stands twice, and what a site lies in is there."""
    meanings = [one.meaning for one in SITES]
    assert len(set(meanings)) == len(meanings) == len({one.value for one in SITES})
    assert {whole for one in SITES for whole in one.within} <= set(meanings)
    for one in SITES:
        words = {meaning.lower().removesuffix(" (body structure)") for meaning in _of_dicom(one.value)}
        assert one.meaning.lower() in words or (one.value, one.meaning) in _OWN, one


def _site(meaning: str) -> Code:
    (value,) = [one.value for one in SITES if one.meaning == meaning]
    return Code(value, "SCT", meaning)


@pytest.mark.parametrize(
    ("one", "other", "are"),
    [
        ("Lung", "Lung", False),
        ("Anterior segment of left upper lobe", "Chest", False),
        ("Both lungs", "Upper lobe of lung", False),
        ("Chest", "Thoracic structure", False),
        ("Heart", "Thoracic structure", False),
        ("Pleural cavity", "Lung", False),
        ("Couinaud hepatic segment IV", "Liver", False),
        ("Inferior horn of lateral ventricle", "Brain", False),
        ("Meninges", "Head", False),
        ("Cerebral cortex", "Frontal lobe", False),
        ("Colon", "Pelvis", False),
        ("Pleural cavity", "Pericardial cavity", True),
        ("Couinaud hepatic segment IV", "Couinaud hepatic segment V", True),
        ("Liver", "Kidney", True),
        ("Meninges", "Brain ventricle", True),
        ("Lumbar spine", "Thoracic spine", True),
        ("Left atrium", "Left ventricle", True),
    ],
)
def test_only_what_has_nothing_in_common_is_apart(one: str, other: str, are: bool) -> None:
    """Pairs by hand, from the atlas; whichever is asked first."""
    assert apart(_site(one), _site(other)) is are
    assert apart(_site(other), _site(one)) is are


def test_what_is_not_known_is_apart_from_nothing() -> None:
    """Another scheme's code of the same value is another site."""
    for unknown in (Code("X1", "99OURS", "Somewhere"), Code("10200004", "99OURS", "Liver")):
        assert not apart(unknown, codes.LUNG)
        assert not apart(codes.LUNG, unknown)
