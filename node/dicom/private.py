"""Values of private data elements (PS3.5 7.8.1): of a data set those alone are read that somebody names by their creator."""

from collections.abc import Iterable, Sequence

from node.dicom.elements import Element
from node.dicom.values import LONGEST, decoded, number_or_text, plain
from node.dicom.vr import REPRESENTATIONS, Content
from node.domain.instance import Value
from node.domain.private_name import PrivateName, may_count


class PrivateReader:
    """Reads the named elements of one data set, of which it is shown those of its `groups`, one by one.

    Parameters
    ----------
    order
        Of binary numbers' bytes: "<" or ">".
    """

    def __init__(self, names: Iterable[PrivateName], order: str) -> None:
        self._names = {(one.group, one.creator, one.element): one.text for one in names}
        self.groups = frozenset(group for group, _, _ in self._names)
        self._order = order
        self._creators: dict[tuple[int, int], str] = {}
        self._found: dict[str, tuple[Value, ...]] = {}

    def see(self, element: Element, raw: bytes, character_set: Sequence[str]) -> None:
        """One element; `raw` is its value, or what of it is no longer than is read."""
        group, number = element.tag >> 16, element.tag & 0xFFFF
        if 0x10 <= number <= 0xFF:
            self._creators[group, number] = decoded(raw, character_set).strip(" \0")
            return
        creator = self._creators.get((group, number >> 8), "")
        name = self._names.get((group, creator, number & 0xFF))
        if name is not None:
            said = _values(element, creator, raw, self._order, character_set)
            self._found[name] = (*self._found.get(name, ()), *said)

    @property
    def header(self) -> dict[str, tuple[Value, ...]]:
        """What was found; () of a named element that is not there, so that it is told apart from one that nobody looked for."""
        return {name: self._found.get(name, ()) for name in self._names.values()}


def _values(element: Element, creator: str, raw: bytes, order: str, character_set: Sequence[str]) -> tuple[Value, ...]:
    """Numbers where they read as such: senders write one element under several value representations, and implicitly under none."""
    size = element.end - element.start
    if not size:
        return ()
    unread = (f"{size} bytes",)
    if size > LONGEST:
        return unread
    vr = element.vr if element.vr not in (b"", b"UN") else _dictionary(creator, element.tag)
    if vr:
        said = plain(vr, raw, order, character_set)
        if said is None:
            return unread
        text = REPRESENTATIONS[vr].content in (Content.TEXT, Content.ENCODED_TEXT)
        return tuple(number_or_text(one) if text and isinstance(one, str) and may_count(one) else one for one in said)
    # one NUL may be padding; of two bytes, and where there are more, it is half of a binary number: 49 is "1" and a NUL
    text_of = decoded(raw[:-1] if size > 2 and raw.endswith(b"\0") else raw, character_set).rstrip(" ")
    if not text_of.isprintable():
        return unread
    return tuple(number_or_text(one) if may_count(one) else one for one in (part.strip(" ") for part in text_of.split("\\")))


def _dictionary(creator: str, tag: int) -> bytes:
    """The value representation that the creator's elements are known to have; b"" where it is not known."""
    from pydicom.datadict import private_dictionary_VR

    try:
        vr: bytes = private_dictionary_VR(tag, creator).encode("ascii")
    except KeyError:
        return b""
    return vr if vr in REPRESENTATIONS and vr != b"UN" else b""
