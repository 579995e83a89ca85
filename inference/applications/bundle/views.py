"""Views of an examination that a network sees together: which image shows which role, by what headers say of side and projection; and
which shows nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from inference.imaging.errors import EvenRole, RoleUnfilled
from inference.imaging.subject import Image, Images
from inference.translatable import Translatable, say

_SIDES = frozenset({"l", "r"})


def together(
    roles: Sequence[str], optional: Sequence[str], images: Images
) -> tuple[tuple[Mapping[str, int], ...], tuple[Translatable, ...]]:
    """The images that are looked at together, each by its place, in the roles that they show ("CC", "L MLO", "PA"); and what a reader
    has to know of others.

    An image shows a role whose words all stand in its `view`. Where no role says a side, the views of each side are looked at by
    themselves; images that say none are of the one side that the others say (of a chest a lateral view often says one, the frontal none).

    Raises
    ------
    RoleUnfilled
        Of no side every role that has to be there is shown, each by one image.
    """
    sided = any(_words(role) & _SIDES for role in roles)
    sides = {image.laterality for image in images.images if image.laterality}
    unsaid = sides.pop() if len(sides) == 1 else ""
    groups: dict[str, list[int]] = {}
    for place, image in enumerate(images.images):
        groups.setdefault("" if sided else image.laterality or unsaid, []).append(place)
    found: list[Mapping[str, int]] = []
    said: list[Translatable] = []
    unfit: list[str] = []
    for side, places in sorted(groups.items()):
        shown = {role: [place for place in places if shows(images.images[place], role)] for role in roles}
        called = {role: f"{side} {role}".strip() for role in roles}
        why = [f"{len(those)} images show {called[role]}" for role, those in shown.items() if len(those) > 1]
        why += [f"none shows {called[role]}" for role, those in shown.items() if not those and role not in optional]
        if why:
            unfit.append(" and ".join(why))
            continue
        found.append({role: those[0] for role, those in shown.items() if those})
        known = {place for those in shown.values() for place in those}
        if others := len(places) - len(known):
            # of several sides each is counted by itself: an image of the other side shows none of these, and is looked at there
            number = {"number": str(others), "of": str(len(places)), "roles": ", ".join(called.values())}
            if side and len(groups) > 1:
                said.append(say("{number} of {of} images of side {side} show none of {roles} and were not looked at.", side=side, **number))
            else:
                said.append(say("{number} of {of} images show none of {roles} and were not looked at.", **number))
        if absent := [called[role] for role, those in shown.items() if not those]:
            said.append(say("Analysed without {roles}: there was no such image.", roles=", ".join(absent)))
    if not found:
        raise RoleUnfilled(f"of {len(images.images)} images " + "; ".join(unfit or ["none shows anything"]))
    if unfit:
        said.append(say("Some of the images were not looked at: {why}.", why="; ".join(unfit)))
    return tuple(found), tuple(said)


def in_roles(places: Mapping[str, int], images: Images) -> Mapping[str, Image]:
    """The images by their roles."""
    return {role: images.images[place] for role, place in places.items()}


def refuse_even(values: Mapping[str, NDArray[Any]]) -> None:
    """Refuse a role whose values are one throughout: a network that is given 0 for a missing role would take it for missing.

    Raises
    ------
    EvenRole
    """
    if even := [role for role, seen in values.items() if seen.min() == seen.max()]:
        raise EvenRole(f"{' and '.join(even)}: every value is the same, as if there were no such image")


def shows(image: Image, role: str) -> bool:
    """Whether all words of a role stand in what the header says of an image's side and projection."""
    return _words(role) <= _words(image.view)


def _words(said: str) -> frozenset[str]:
    return frozenset(said.casefold().split())
