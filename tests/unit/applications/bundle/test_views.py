"""Which images of a study show which view: by what headers say of side and projection, each side by itself where no role says one."""

from collections.abc import Sequence

import numpy as np
import pytest

from inference.applications.bundle.views import in_roles, shows, together
from inference.imaging.errors import RoleUnfilled
from inference.imaging.subject import Image, Images
from inference.imaging.volume import SliceSource


def images(*views: str) -> Images:
    """A study with one image of each view; a side stands before the projection."""
    made = [
        Image(
            pixels=np.zeros((2, 2)),
            source=SliceSource(sop_instance_uid=f"1.2.{place}", sop_class_uid="1.2.840.10008.5.1.4.1.1.1.2", frame=None),
            series_instance_uid="1.2",
            inverted=False,
            spacing_mm=None,
            calibrated=False,
            view=view,
            laterality=view[:1] if view[:2] in ("L ", "R ") else "",
        )
        for place, view in enumerate(views)
    ]
    return Images(images=tuple(made), modality="MG", study_instance_uid="1", series_instance_uid="1.2")


def test_the_views_of_each_side_are_looked_at_together() -> None:
    """Whatever order they come in; no word of a role is part of another word."""
    study = images("R MLO", "L CC", "R CC", "L MLO")
    found, said = together(("CC", "MLO"), (), study)
    assert [dict(one) for one in found] == [{"CC": 1, "MLO": 3}, {"CC": 2, "MLO": 0}]
    assert said == ()
    assert {role: image.view for role, image in in_roles(found[1], study).items()} == {"CC": "R CC", "MLO": "R MLO"}
    assert shows(study.images[1], "cc")
    assert not shows(images("L XCCL").images[0], "CC")


def test_roles_that_say_a_side_are_of_both_together() -> None:
    found, _ = together(("L CC", "R CC"), (), images("R CC", "L CC"))
    assert [dict(one) for one in found] == [{"L CC": 1, "R CC": 0}]


def test_a_view_that_may_be_missing_is_told_and_a_side_that_lacks_another_is_left_out() -> None:
    found, said = together(("CC", "MLO"), ("MLO",), images("L CC", "R MLO"))
    assert [dict(one) for one in found] == [{"CC": 0}]
    assert [str(one) for one in said] == [
        "Analysed without L MLO: there was no such image.",
        "Some of the images were not looked at: none shows R CC.",
    ]


def test_images_that_show_no_role_are_counted() -> None:
    """A reader of a mammogram with a magnification beside the four views must know that nobody looked at it."""
    found, said = together(("CC", "MLO"), (), images("L CC", "L MLO", "L ML", "L"))
    assert [dict(one) for one in found] == [{"CC": 0, "MLO": 1}]
    assert [str(one) for one in said] == ["2 of 4 images show none of L CC, L MLO and were not looked at."]
    _, said = together(("CC", "MLO"), (), images("L CC", "L MLO", "L ML", "R CC", "R MLO"))
    assert [str(one) for one in said] == ["1 of 3 images of side L show none of L CC, L MLO and were not looked at."]


def test_images_that_say_no_side_are_of_the_one_that_the_others_say() -> None:
    """A chest's lateral view with a side beside a frontal one without are of one examination; beside two sides they are of neither."""
    found, said = together(("PA", "LL"), ("LL",), images("PA", "L LL"))
    assert [dict(one) for one in found] == [{"PA": 0, "LL": 1}]
    assert said == ()
    found, said = together(("CC", "MLO"), (), images("L CC", "R CC", "L MLO", "MLO"))
    assert [dict(one) for one in found] == [{"CC": 0, "MLO": 2}]
    assert [str(one) for one in said] == ["Some of the images were not looked at: none shows CC; none shows R MLO."]


@pytest.mark.parametrize(
    ("views", "said"),
    [
        (("L CC", "L CC", "L MLO"), "of 3 images 2 images show L CC"),
        (("PA",), "of 1 images none shows CC and none shows MLO"),
        (("L CC", "R CC"), "of 2 images none shows L MLO; none shows R MLO"),
    ],
)
def test_a_study_without_a_view_or_with_one_twice_is_refused(views: Sequence[str], said: str) -> None:
    with pytest.raises(RoleUnfilled) as refused:
        together(("CC", "MLO"), (), images(*views))
    assert str(refused.value).startswith(said)
