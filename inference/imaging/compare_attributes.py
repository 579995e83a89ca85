"""Whether two data sets say the same in every attribute, whatever their transfer syntaxes; their pixels are `compare.same_image`'s."""

from collections.abc import Set
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from inference.imaging import tags
from inference.imaging.deflated import refuse_bomb
from inference.imaging.errors import NotDicom
from inference.imaging.header import PARSE_ERRORS

_HELD_BYTES = 1 << 20
_PACKING = frozenset({*tags.PIXELS, 0x00082111, 0x00280004, 0x00280006, 0x7FE00001, 0x7FE00002, 0xFFFCFFFC})
"""At the outer level: pixel data, Derivation Description (where encoders tell how they compressed), Photometric Interpretation and Planar
Configuration (which `same_image` judges by what they decode to), offset tables, padding."""


def same_attributes(a: Path, b: Path) -> bool:
    """Every attribute of two Part 10 files is equal but for the packing of their pixels: one may be the other in another transfer syntax.

    File meta information and group lengths do not count. Where equality cannot be shown (binary values of a big-endian data set, private
    sequences of unknown value representation), the answer is False.

    Raises
    ------
    InputError
        A file cannot be parsed.
    """
    try:
        return _alike(_read(a), _read(b), but=_PACKING)
    except PARSE_ERRORS as broken:
        raise NotDicom(f"{a.name} and {b.name} cannot be compared: {type(broken).__name__}") from broken


def _read(path: Path) -> Dataset:
    with path.open("rb") as file:
        refuse_bomb(file, path.name)
    dataset = dcmread(path, defer_size=_HELD_BYTES)
    # what is deferred is read from its place in the file, which a deflated one has not
    return dcmread(path) if dataset.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian else dataset


def _alike(one: Dataset, other: Dataset, *, but: Set[int] = frozenset()) -> bool:
    ours, theirs = ({tag for tag in dataset.keys() if tag not in but and tag.element != 0} for dataset in (one, other))  # noqa: SIM118  (data sets iterate over elements)
    return ours == theirs and all(_same_element(one, other, tag) for tag in ours)


def _same_element(one: Dataset, other: Dataset, tag: BaseTag) -> bool:
    stored = one.get_item(tag), other.get_item(tag)
    if _bytes(stored[0]) is not None and _bytes(stored[0]) == _bytes(stored[1]):
        return True
    first, second = one[tag], other[tag]
    if first.is_empty and second.is_empty:
        return True
    if first.VR != second.VR:
        first, second = _as(stored[0], first, second.VR, one), _as(stored[1], second, first.VR, other)
    if first.VR != "SQ" or second.VR != "SQ":
        return first.VR == second.VR and bool(first.value == second.value)
    return len(first.value) == len(second.value) and all(map(_alike, first.value, second.value))


def _bytes(stored: DataElement | RawDataElement | None) -> bytes | None:
    """What a little-endian file holds, where it is at hand: equal bytes are equal values then, whichever syntax tells their VR."""
    return stored.value if isinstance(stored, RawDataElement) and stored.is_little_endian else None


def _as(stored: DataElement | RawDataElement | None, element: DataElement, vr: str, dataset: Dataset) -> DataElement:
    """An element of unknown VR as one of the VR that the other file tells: its bytes are in implicit VR (PS3.5 6.2.2 note 2)."""
    if element.VR != "UN" or not isinstance(stored, RawDataElement) or stored.value is None:
        return element
    return convert_raw_data_element(stored._replace(VR=vr, is_implicit_VR=True), encoding=dataset.original_character_set, ds=dataset)
