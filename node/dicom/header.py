"""Reads the identity of an instance and its routing header from a Part 10 file, in bounded time and memory whatever the file holds."""

import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag

from inference.errors import InputError, quoted
from inference.imaging.errors import MissingAttribute, NotDicom
from node.dicom.elements import Coding, Data, Element, Inflated, items, walk
from node.dicom.part10 import Part10, mapped, take_apart
from node.dicom.private import PrivateReader
from node.dicom.uid import DERIVED_ROOT, IMPLEMENTATION_CLASS_UID, derive_uid
from node.dicom.values import LONGEST, LONGEST_CODED, REQUESTED, TAGS, codes_in, encodings, plain
from node.domain.instance import Header, Value
from node.domain.private_name import PrivateName

_CHARACTER_SET = 0x00080005
_CONTRIBUTING_EQUIPMENT = 0x0018A001
_REFERENCED_SERIES, _SERIES_INSTANCE_UID = 0x00081115, 0x0020000E
_EVIDENCE = frozenset({0x0040A375, 0x0040A385, 0x00089154})
"""Current and pertinent other evidence of a report, and the evidence of source images: sequences of studies with referenced series."""
_PIXEL_REPRESENTATION = 0x00280103
_SHARED_GROUPS = 0x52009229
_PER_FRAME_GROUPS = 0x52009230
"""The header ends here, or at the overlays, waveforms or pixels behind: of what comes later only where each frame lies is looked at, and
private elements that are named."""
_PIXELS = 0x7FE00000
_ENERGIES = 0x00189364
"""Multi-energy CT Characteristics Sequence: a functional group, and of single images an attribute (PS3.3 C.8.2.2.3)."""
_LIFTED = {
    0x00289110: (0x00180050, 0x00180088, 0x00280030),
    0x00209116: (0x00200037,),
    0x00209113: (0x00200032,),
    0x00189114: (0x00189082,),
    0x00189115: (0x00189079,),
    0x00189118: (0x00209241,),
    0x00209253: (0x00209245,),
    0x00289145: (0x00281054,),
    0x00209111: (0x00209128,),
    _ENERGIES: (0x0018937C,),
}
"""Sequence of the functional groups → what is lifted: thickness, spacing between slices and of pixels; image orientation; image position;
effective echo time; inversion times; nominal percentage of the cardiac and of the respiratory phase; type of rescale; index of the temporal
position; energy that images of one energy are computed for."""
_IMAGE_POSITION = "ImagePositionPatient"
_OF_ONE_FRAME = frozenset({"EffectiveEchoTime", "InversionTimes"})
"""Of frames that differ the first one's is told."""
_ENERGY = "MonoenergeticEnergyEquivalent"
"""Of frames that differ each value is told: one of them decides."""
MOST_FRAMES = 2048
"""Of a larger multi-frame instance nothing is lifted from the functional groups of its frames."""
_MOST_ELEMENTS = 20_000
_MOST_CONTRIBUTORS = 50
_MOST_REFERENCED = 1000
_OF_UIDS = frozenset("0123456789.")
_PATIENT_ID = b"\x10\x00\x20\x00"  # (0010,0020), little endian
_ORIENTATION = "ImageOrientationPatient"
_MOST_ORIENTATIONS = 50
_COUNT = "NumberOfSeriesRelatedInstances"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Identity of an instance: its UIDs, and how it was received.

    Attributes
    ----------
    study_instance_uid, series_instance_uid
        Derived where the data set has it empty, so that it is seen and routed; no result refers to such a UID (node.results.sources).
    calling_ae, called_ae, address
        From the file meta information (Source or Sending, and Receiving Application Entity Title; Source or Sending Presentation
        Address); empty in a file that no listener wrote.
    peer
        The name of the peer that the sender was admitted as, from the Private Information that this node's listener writes there; empty
        for a stranger.
    dataset_offset
        Where the data set's bytes begin in the file.
    made_by_hilum
        Whether its Contributing Equipment names hilum as processing equipment (109102, DCM): a result, not an input.
    referenced_series
        Of what hilum made: the SeriesInstanceUIDs that it refers to. Empty for all else.
    """

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    calling_ae: str
    called_ae: str
    address: str
    peer: str
    dataset_offset: int
    made_by_hilum: bool
    referenced_series: frozenset[str] = frozenset()


def read_header(source: Path | BinaryIO | bytes, private: Collection[PrivateName] = ()) -> tuple[Identity, Header]:
    """Identity and routing header of one Part 10 file, up to the pixels.

    Text is decoded by the data set's own character set; invalid numbers stay text; values over 1 KiB and sequences are left out, but
    for what is lifted from the functional groups: what all frames share, or say alike, and ImagePositionPatient of one after another; and
    for the codes of a few sequences (node.dicom.values). Of private elements those are read that are named (node.dicom.private).

    Raises
    ------
    NotDicom
        It is no Part 10 file, is cut off before its pixels, or is nested too deep.
    UnsupportedSyntax
        It is deflated, and would have to be inflated further than is safe to find its pixels.
    MissingAttribute
        It has no SOP Instance or SOP Class UID, or one of its UIDs is no UID.
    """
    if not isinstance(source, Path):
        return parse(take_apart(source if isinstance(source, bytes) else source.read()), private)
    with mapped(source) as (content, _):
        return parse(take_apart(content), private)


def parse(file: Part10, private: Collection[PrivateName] = ()) -> tuple[Identity, Header]:
    """What `read_header` says of a file that is taken apart already."""
    header, made_by_hilum, referenced = _header(file, private)
    # a data set without its own still goes by the one it was sent under
    instance = _uid(header, "SOPInstanceUID", lambda: _meta_text(file, 0x00020003))
    study = _uid(header, "StudyInstanceUID", lambda: _derived_study(header, instance))
    return (
        Identity(
            sop_instance_uid=instance,
            sop_class_uid=_uid(header, "SOPClassUID", lambda: _meta_text(file, 0x00020002)),
            study_instance_uid=study,
            series_instance_uid=_uid(header, "SeriesInstanceUID", lambda: _derived_series(header, study)),
            transfer_syntax_uid=_meta_text(file, 0x00020010),
            **sender(file),
            dataset_offset=file.offset,
            made_by_hilum=made_by_hilum,
            referenced_series=frozenset(_series_in(file, referenced)) if made_by_hilum else frozenset(),
        ),
        header,
    )


def told(file: Part10) -> Header:
    """What can be read of a file that is no instance, to say whose it is; {} where nothing can."""
    try:
        return _header(file)[0]
    except (InputError, ValueError, LookupError, ArithmeticError, TypeError):  # that is why it is set aside
        return {}


def names_no_study(study: str, series: str, instance: str, header: Header) -> bool:
    """Whether an instance goes by a study or series UID of the node's own, because it names none."""
    if study.startswith(DERIVED_ROOT) and study == _derived_study(header, instance):
        return True
    return series.startswith(DERIVED_ROOT) and series == _derived_series(header, study)


def patient_ids_in(content: bytes) -> set[bytes]:
    """Every value that looks like a PatientID in bytes that no reader understands, explicit or implicit, little endian."""
    found: set[bytes] = set()
    at = content.find(_PATIENT_ID)
    while at >= 0:
        explicit = content[at + 4 : at + 6] == b"LO"
        length = int.from_bytes(content[at + 6 : at + 8] if explicit else content[at + 4 : at + 8], "little")
        value = content[at + 8 : at + 8 + length]
        if 0 < length <= 64 and len(value) == length:
            found.add(value.strip(b" \0"))
        at = content.find(_PATIENT_ID, at + 4)
    return found


def merge(headers: Iterable[Header]) -> Header:
    """The header of a series: the first instance's values of each keyword, then the distinct ones that others add, in order; of their
    orientations each distinct one whole.

    Adds NumberOfSeriesRelatedInstances.
    """
    headers = list(headers)
    if len(headers) == 1:
        return {**headers[0], _COUNT: (1,)}
    merged: dict[str, tuple[Value, ...]] = {}
    more: dict[str, dict[Value, None]] = {}
    orientations: dict[tuple[Value, ...], None] = {}
    for header in headers:
        for keyword, values in header.items():
            if keyword not in merged:
                merged[keyword] = values
            elif merged[keyword] == values:
                continue
            elif keyword == _ORIENTATION:
                if len(orientations) < _MOST_ORIENTATIONS:
                    orientations[values] = None
            else:
                more.setdefault(keyword, dict.fromkeys(merged[keyword])).update(dict.fromkeys(values))
    for keyword, distinct in more.items():
        # the first one's values stay whole: a spacing has one number twice
        first = merged[keyword]
        merged[keyword] = first + tuple(distinct)[len(dict.fromkeys(first)) :]
    if orientations:
        merged[_ORIENTATION] = sum(orientations, merged[_ORIENTATION])
    merged[_COUNT] = (len(headers),)
    return merged


def sender(file: Part10) -> dict[str, str]:
    """Who sent a file to whom, from its meta information: `calling_ae`, `called_ae`, `address` and `peer` of an `Identity`."""
    return {
        "calling_ae": _meta_text(file, 0x00020017) or _meta_text(file, 0x00020016),
        "called_ae": _meta_text(file, 0x00020018),
        "address": _meta_text(file, 0x00020027) or _meta_text(file, 0x00020026),
        "peer": _meta_text(file, 0x00020102) if _meta_text(file, 0x00020100) == IMPLEMENTATION_CLASS_UID else "",
    }


def _header(file: Part10, private: Collection[PrivateName] = ()) -> tuple[dict[str, tuple[Value, ...]], bool, list[Element]]:
    """Its values, whether hilum made it, and the sequences in which it refers to series."""
    header: dict[str, tuple[Value, ...]] = {}
    referenced: list[Element] = []
    coded: list[tuple[str, tuple[Value, ...]]] = []
    made_by_hilum = False
    character_set = encodings(b"")
    signed = False
    dataset, order = file.dataset, file.coding.order
    named = PrivateReader(private, order)
    behind = file.start
    for number, element in enumerate(walk(dataset, file.start, file.end, file.coding, until=_PER_FRAME_GROUPS)):
        if number >= _MOST_ELEMENTS:
            raise NotDicom(f"more than {_MOST_ELEMENTS} elements before the pixels")
        behind = element.end
        if element.tag == _CHARACTER_SET:
            character_set = encodings(bytes(dataset[element.start : min(element.end, element.start + LONGEST)]))
        elif element.tag == _CONTRIBUTING_EQUIPMENT:
            made_by_hilum = _names_hilum(file, element)
        elif element.tag == _REFERENCED_SERIES or element.tag in _EVIDENCE:
            referenced.append(element)
        elif element.tag == _SHARED_GROUPS:
            header |= next(_lifted(file, element, most=1), {})
        elif element.tag == _ENERGIES:
            header |= _lifted_of(file, element)
        elif element.tag in TAGS and element.end - element.start <= LONGEST_CODED:
            raw = bytes(dataset[element.start : element.end])
            coded += codes_in(element.tag, element.vr, raw, file.coding, character_set)
        tag, vr, start, end = element
        if tag >> 16 in named.groups:
            named.see(element, bytes(dataset[start : min(end, start + LONGEST)]), character_set)
        if end - start > LONGEST:
            continue
        read = _read(tag, vr, dataset[start:end], order, character_set, signed)
        if read is not None:
            keyword, values = read
            header[keyword] = values
            if tag == _PIXEL_REPRESENTATION:
                signed = values == (1,)
    for keyword, said in coded:
        # what the data set says itself comes before what its requests say
        if keyword in REQUESTED:
            header[keyword] = header.get(keyword) or said
        else:
            header[keyword] = (*header.get(keyword, ()), *(code for code in said if code not in header.get(keyword, ())))
    _see_behind(file, behind, named, character_set)
    return header | named.header | _of_frames(file, behind, header), made_by_hilum, referenced


@lru_cache(maxsize=4096)
def _read(
    tag: int, vr: bytes, raw: bytes, order: str, character_set: tuple[str, ...], signed: bool
) -> tuple[str, tuple[Value, ...]] | None:
    """Keyword and values of one element; None for what has no keyword or no plain values.

    Remembered, because the instances of a series have nearly all of their elements in common.
    """
    known = _keyword_and_vr(tag, vr, signed)
    values = None if known is None else plain(known[1], raw, order, character_set)
    return None if known is None or values is None else (known[0], values)


def _keyword_and_vr(tag: int, written: bytes, signed: bool) -> tuple[str, bytes] | None:
    known = _dictionary(tag)
    if known is None:
        return None
    keyword, vr = known
    if written not in (b"", b"UN"):
        return keyword, written
    return keyword, (b"SS" if signed else b"US") if vr == b"US or SS" else vr


@lru_cache(maxsize=8192)
def _dictionary(tag: int) -> tuple[str, bytes] | None:
    """Keyword and VR of a public element that is no repeating group."""
    if tag >> 16 & 1 or tag & 0xFFFF == 0 or not dictionary_has_tag(tag):
        return None
    keyword = keyword_for_tag(tag)
    return (keyword, dictionary_VR(tag).encode("ascii")) if keyword else None


def _see_behind(file: Part10, behind: int, named: PrivateReader, character_set: tuple[str, ...]) -> None:
    """The named private elements between the header and the pixels; of what is damaged there, those in front of it."""
    if not any(group << 16 > _PER_FRAME_GROUPS for group in named.groups):
        return
    with suppress(InputError, ValueError, LookupError, struct.error):
        for element in islice(walk(file.dataset, behind, file.end, file.coding, until=_PIXELS), _MOST_ELEMENTS):
            if element.tag >> 16 in named.groups:
                raw = file.dataset[element.start : min(element.end, element.start + LONGEST)]
                named.see(element, bytes(raw), character_set)


def _of_frames(file: Part10, behind: int, header: Header) -> dict[str, tuple[Value, ...]]:
    """What the per-frame functional groups, which begin `behind`, say of all frames; nothing where they are damaged, or deflated: whoever
    reads the images finds out."""
    frames = next((value for value in header.get("NumberOfFrames", ()) if isinstance(value, int)), 0)
    if isinstance(file.dataset, Inflated) or not 1 <= frames <= MOST_FRAMES:
        return {}
    try:
        groups = next(walk(file.dataset, behind, file.end, file.coding, until=_PER_FRAME_GROUPS + 1), None)
        found = list(_lifted(file, groups, most=frames)) if groups is not None and groups.tag == _PER_FRAME_GROUPS else []
    except (InputError, ValueError, LookupError, struct.error):
        return {}
    if len(found) != frames:
        return {}
    said: dict[str, tuple[Value, ...]] = {}
    for keyword in found[0]:
        each = [one.get(keyword) for one in found]
        if keyword == _IMAGE_POSITION:
            said[keyword] = tuple(value for values in each for value in values or ())
        elif keyword in _OF_ONE_FRAME or all(values == each[0] for values in each):
            said[keyword] = each[0] or ()
    if energies := dict.fromkeys(value for one in found for value in one.get(_ENERGY, ())):
        said[_ENERGY] = tuple(energies)
    return said


def _lifted(file: Part10, groups: Element, *, most: int) -> Iterator[dict[str, tuple[Value, ...]]]:
    """What is lifted from each item of the functional groups."""
    for start, end in items(file.dataset, groups, file.coding, most=most):
        lifted: dict[str, tuple[Value, ...]] = {}
        for group in walk(file.dataset, start, end, file.coding):
            lifted |= _lifted_of(file, group)
        yield lifted


def _lifted_of(file: Part10, group: Element) -> dict[str, tuple[Value, ...]]:
    """What is lifted from the first item of a sequence."""
    lifted: dict[str, tuple[Value, ...]] = {}
    wanted = _LIFTED.get(group.tag, ())
    for first, last in items(file.dataset, group, file.coding, most=1 if wanted else 0):
        for element in walk(file.dataset, first, last, file.coding):
            known = _keyword_and_vr(element.tag, element.vr, signed=False) if element.tag in wanted else None
            if known is not None:
                lifted[known[0]] = plain(known[1], file.dataset[element.start : element.end], file.coding.order, ()) or ()
    return lifted


def _series_in(file: Part10, sequences: Iterable[Element], *, below_studies: bool = True) -> Iterator[str]:
    """SeriesInstanceUIDs of referenced series, those below a study among them; a series has none below it (PS3.3 C.12.1)."""
    for sequence in sequences:
        for start, end in items(file.dataset, sequence, file.coding, most=_MOST_REFERENCED):
            for element in walk(file.dataset, start, end, file.coding):
                if element.tag == _REFERENCED_SERIES and below_studies:
                    yield from _series_in(file, [element], below_studies=False)
                elif element.tag == _SERIES_INSTANCE_UID:
                    uid = bytes(file.dataset[element.start : min(element.end, element.start + 64)]).decode("ascii", "replace").rstrip("\0 ")
                    if uid and _OF_UIDS.issuperset(uid):
                        yield uid


def _names_hilum(file: Part10, equipment: Element) -> bool:
    for start, end in items(file.dataset, equipment, file.coding, most=_MOST_CONTRIBUTORS):
        values = dict(_values_of(file.dataset, start, end, file.coding))
        if values.get(0x00080070) == ("hilum",) and values.get(0x0040A170) == ("109102", "DCM"):
            return True
    return False


def _values_of(buffer: Data, start: int, end: int, coding: Coding) -> Iterator[tuple[int, tuple[Value, ...]]]:
    """Manufacturer, and code value and scheme of the Purpose of Reference Code Sequence, of one item."""
    for element in walk(buffer, start, end, coding):
        if element.tag == 0x00080070:
            yield (
                element.tag,
                plain(b"LO", buffer[element.start : min(element.end, element.start + LONGEST)], coding.order, ("iso8859",)) or (),
            )
        elif element.tag == 0x0040A170:
            for first, last in items(buffer, element, coding, most=1):
                code = {part.tag: part for part in walk(buffer, first, last, coding)}
                parts = [code[tag] for tag in (0x00080100, 0x00080102) if tag in code]
                yield element.tag, tuple(bytes(buffer[part.start : part.end]).decode("ascii", "replace").rstrip("\0 ") for part in parts)


def _uid(header: dict[str, tuple[Value, ...]], keyword: str, otherwise: Callable[[], str]) -> str:
    values = header.get(keyword) or (otherwise(),)
    uid = str(values[0])
    if not uid:
        raise MissingAttribute(f"{keyword} is absent")
    # leading zeros break PS3.5 9.1 but old devices write them, and nothing here minds
    if len(uid) > 64 or not _OF_UIDS.issuperset(uid) or len(values) > 1:
        raise MissingAttribute(f"{keyword} is no UID: {quoted(uid)}")
    return uid


def _derived_study(header: Header, instance: str) -> str:
    """For a data set whose study was blanked (de-identified in haste): what shares its frame of reference, which never spans patients.
    One that lacks the very element is damaged, or none at all."""
    if "StudyInstanceUID" not in header or "SeriesInstanceUID" not in header:
        return ""
    return derive_uid("study without a UID", *map(str, header.get("FrameOfReferenceUID") or (instance,)))


def _derived_series(header: Header, study: str) -> str:
    told_apart = ("Modality", "SeriesNumber", "SeriesDescription")
    return derive_uid("series without a UID", study, *("\\".join(map(str, header.get(keyword, ()))) for keyword in told_apart))


def _meta_text(file: Part10, tag: int) -> str:
    """An element of the file meta information, as text; empty when it is absent."""
    text = file.meta.get(tag, b"")[:LONGEST].decode("utf-8", "replace").rstrip("\0")
    if text.isprintable():
        return text.strip()
    return "".join(character for character in text if character.isprintable()).strip()
