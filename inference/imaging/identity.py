"""Identity check: the instances of one volume are of one patient and one study, and named by UIDs that results can repeat. Over headers
alone: no pixel, no file, no journal."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import Tag

from inference.errors import quoted
from inference.imaging import tags
from inference.imaging.errors import MixedIdentity, UnusableUid, naming
from inference.imaging.header import Instance
from inference.translatable import Translatable, listed, say

_REMARKED = {
    "patient_name": say("PatientName"),
    "birth_date": say("PatientBirthDate"),
    "sex": say("PatientSex"),
    "accession": say("AccessionNumber"),
}
_OF_THE_PERSON = ("birth_date", "sex")
"""What a patient keeps from one study to the next; a name may change, and an order is another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whom one instance names, as its header says it; "" where it says nothing.

    Attributes
    ----------
    patient_id, issuer
        PatientID (0010,0020) and IssuerOfPatientID (0010,0021).
    study_instance_uid
        StudyInstanceUID (0020,000D).
    patient_name, birth_date, sex, accession
        PatientName (0010,0010), PatientBirthDate (0010,0030), PatientSex (0010,0040), AccessionNumber (0008,0050).
    """

    patient_id: str = ""
    issuer: str = ""
    study_instance_uid: str = ""
    patient_name: str = ""
    birth_date: str = ""
    sex: str = ""
    accession: str = ""

    @property
    def patient(self) -> tuple[str, str]:
        """Equal IDs of different issuers are different patients, and so are those of which one has no issuer: nobody can say."""
        return self.patient_id, self.issuer


KEYWORDS: Mapping[str, str] = {
    "patient_id": "PatientID",
    "issuer": "IssuerOfPatientID",
    "study_instance_uid": "StudyInstanceUID",
    **_REMARKED,
}
"""DICOM keywords by the fields of an `Identity`."""
_TAGS = (tags.SPECIFIC_CHARACTER_SET, *(tag_for_keyword(keyword) or 0 for keyword in KEYWORDS.values()))


_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
_LONGEST_UID = 64
MOST_OF_AN_IDENTIFIER = 256


def refuse_unusable_uids(headers: Sequence[FileDataset], *, placed: bool) -> None:
    """Look at the UIDs that every result repeats, before anything is analysed.

    Parameters
    ----------
    placed
        Whether the images are looked at as a volume: results in space repeat FrameOfReferenceUID, which may be absent.

    Raises
    ------
    UnusableUid
        One is absent, or none by PS3.5 9.1.
    """
    wrong: dict[str, list[str]] = {}
    for header in headers:
        instance, sop_class = (
            tags.text(header, own) or tags.text(header.file_meta, meta)
            for own, meta in (
                (tags.SOP_INSTANCE_UID, tags.MEDIA_STORAGE_SOP_INSTANCE_UID),
                (tags.SOP_CLASS_UID, tags.MEDIA_STORAGE_SOP_CLASS_UID),
            )
        )
        stated = {
            "StudyInstanceUID": tags.text(header, tags.STUDY_INSTANCE_UID),
            "SeriesInstanceUID": tags.text(header, tags.SERIES_INSTANCE_UID),
            "SOPInstanceUID": instance,
            "SOPClassUID": sop_class,
        }
        if placed and (frame := tags.text(header, tags.FRAME_OF_REFERENCE_UID)):
            stated["FrameOfReferenceUID"] = frame
        for keyword, uid in stated.items():
            if len(uid) > _LONGEST_UID or not _UID.fullmatch(uid):
                wrong.setdefault(f"{keyword} {quoted(uid)} ({len(uid)} characters)" if uid else f"{keyword} (absent)", []).append(instance)
    if wrong:
        first = next(iter(wrong))
        more = f", and {len(wrong) - 1} more UIDs" if len(wrong) > 1 else ""
        raise UnusableUid(f"{first} is no UID{more}, in {naming(map(quoted, wrong[first]))}: no result could refer to the images")


def one_identity(named: Sequence[tuple[str, Identity]]) -> tuple[Translatable, ...]:
    """What a reader must know of a volume that is of one patient and one study; nothing where everything is equal.

    PatientID with its issuer, and StudyInstanceUID, are each the same in all: empty in all is one, empty in some is not.

    Parameters
    ----------
    named
        SOP Instance UID and identity of each instance.

    Raises
    ------
    UnusableUid
        A patient's identifier is longer than any; 64 characters are allowed (PS3.5 6.2), and more are repeated as they are.
    MixedIdentity
        Two patients, or two studies, are in it; the instances are named, the patients are not.
    """
    if endless := [uid for uid, one in named if max(map(len, one.patient)) > MOST_OF_AN_IDENTIFIER]:
        raise UnusableUid(f"PatientID or IssuerOfPatientID has more than {MOST_OF_AN_IDENTIFIER} characters in {naming(endless)}")
    _refuse_several(named, "PatientID with IssuerOfPatientID", lambda one: one.patient)
    _refuse_several(named, "StudyInstanceUID", lambda one: one.study_instance_uid)
    differ = [keyword for name, keyword in _REMARKED.items() if len({getattr(one, name) for _, one in named}) > 1]
    if not differ:
        return ()
    return (
        say("The images of this series do not agree in {attributes}: make sure that they are of one patient.", attributes=listed(differ)),
    )


def same_patient(current: Sequence[tuple[str, Identity]], prior: Sequence[tuple[str, Identity]]) -> tuple[Translatable, ...]:
    """What a reader must know of two studies of one patient that are compared: each of them is one by itself already.

    Raises
    ------
    MixedIdentity
        They are of two patients.
    """
    _refuse_several([*current[:1], *prior[:1]], "PatientID with IssuerOfPatientID", lambda one: one.patient)
    said = {name: {value for _, one in (*current, *prior) if (value := getattr(one, name))} for name in _OF_THE_PERSON}
    differ = [_REMARKED[name] for name, values in said.items() if len(values) > 1]
    if not differ:
        return ()
    return (
        say("This study and the prior do not agree in {attributes}: make sure that they are of one patient.", attributes=listed(differ)),
    )


def identities(instances: Sequence[Instance]) -> list[tuple[str, Identity]]:
    """SOP Instance UID and identity of images whose headers were read."""
    decoded: dict[tuple[str, ...], Identity] = {}
    found = []
    for each in instances:
        # most are equal byte for byte, and need be decoded once
        raw = tuple(_stored(each.header, tag) for tag in _TAGS)
        if raw not in decoded:
            decoded[raw] = identity_of(each.header)
        found.append((each.sop_instance_uid, decoded[raw]))
    return found


def _stored(header: Dataset, tag: int) -> str:
    """An element as it was read: its VR and its value; "" where it is absent."""
    if tag not in header:
        return ""
    element = header.get_item(tag)
    return f"{element.VR} {element.value!r}"


def identity_of(header: Dataset) -> Identity:
    """The identity that a data set names. The data set stays as it was read: results copy its bytes, in whatever characters they are."""
    named = Dataset({Tag(tag): header.get_item(tag) for tag in _TAGS if tag in header})
    implicit_vr, little_endian = header.original_encoding
    named.set_original_encoding(implicit_vr, little_endian, header.original_character_set)
    return Identity(**{one.name: _said(named, KEYWORDS[one.name]) for one in fields(Identity)})


def _said(header: Dataset, keyword: str) -> str:
    """The text, decoded by the data set's own character set, without what is only padding: spaces, and empty components of a name."""
    try:
        value: Any = header.get(keyword)
    except tags.UNPARSABLE:
        # something stands there, and nobody can read it: it is equal to nothing but itself
        return f"? {header.get_item(keyword).value!r}"
    return "" if value is None else str(value).strip(" \0").rstrip("^ ")


def _refuse_several(named: Sequence[tuple[str, Identity]], what: str, of: Callable[[Identity], object]) -> None:
    groups: dict[object, list[str]] = {}
    for uid, identity in named:
        groups.setdefault(of(identity), []).append(uid)
    if len(groups) > 1:
        smallest = min(groups.values(), key=len)
        raise MixedIdentity(f"{len(named)} images that are analysed as one have {len(groups)} values of {what}; apart: {naming(smallest)}")
