"""Source headers made safe to build on: Unicode text, absent Type 2 attributes there but empty, malformed values mended or left out.

Geometry is not looked at here (planes.py). Identifiers and names are never shortened: an archive matches on them. Other words are, where
they are far longer than their VR allows.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import PersonName, format_number_as_ds

from node.dicom.uid import is_uid
from node.dicom.values import DEFAULT_REPERTOIRE, decoded, encodings

CHARACTER_SET = "ISO_IR 192"

TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
"""Of the Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1): present in every object, empty when nobody knows."""

KEPT = (
    *TYPE_2,
    # Patient (PS3.3 C.7.1.1)
    *("IssuerOfPatientID", "TypeOfPatientID", "IssuerOfPatientIDQualifiersSequence", "PatientBirthTime", "QualityControlSubject"),
    *("OtherPatientIDsSequence", "OtherPatientNames", "EthnicGroupCodeSequence", "PatientComments", "PatientSpeciesDescription"),
    *("PatientSpeciesCodeSequence", "PatientBreedDescription", "PatientBreedCodeSequence", "BreedRegistrationSequence"),
    *("StrainDescription", "StrainNomenclature", "ResponsiblePerson", "ResponsiblePersonRole", "ResponsibleOrganization"),
    *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    # Clinical Trial Subject and Study (PS3.3 C.7.1.3, C.7.2.3)
    *("ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID"),
    *("ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID", "ClinicalTrialTimePointID"),
    "ClinicalTrialTimePointDescription",
    # General Study (PS3.3 C.7.2.1)
    *("StudyInstanceUID", "IssuerOfAccessionNumberSequence", "StudyDescription", "ProcedureCodeSequence", "PhysiciansOfRecord"),
    *("ConsultingPhysicianName", "NameOfPhysiciansReadingStudy", "ReferencedStudySequence", "RequestingService"),
    *("RequestingServiceCodeSequence", "ReasonForPerformedProcedureCodeSequence", "ReferringPhysicianIdentificationSequence"),
    # Patient Study (PS3.3 C.7.2.2)
    *("AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence", "PatientAge", "PatientSize", "PatientWeight"),
    *("PatientBodyMassIndex", "MedicalAlerts", "Allergies", "Occupation", "SmokingStatus", "AdditionalPatientHistory"),
    *("PregnancyStatus", "LastMenstrualDate", "PatientSexNeutered", "ReasonForVisit", "AdmissionID", "ServiceEpisodeID"),
    *("ServiceEpisodeDescription", "PatientState"),
)
"""What a result takes over from its source: the Patient and Study entities (PS3.3 A.1.4: equal in all instances of a study)."""

_UNREADABLE = (
    *(ValueError, TypeError, KeyError, AttributeError, NotImplementedError, ArithmeticError, LookupError, EOFError, RecursionError),
    OSError,  # "no tag to read", where a sequence was expected
)
"""What pydicom's conversion of a malformed element can raise."""

_TEXT = {"LO", "SH", "LT", "ST", "UT", "UC", "PN"}
_MOST_CHARACTERS = {"SH": 16, "LO": 64, "ST": 1024, "LT": 10240}
"""Of a value (PS3.5 6.2)."""
_MATCHED = re.compile(r"ID$|IDs|Accession|Issuer|Name|Identifier")
"""Keywords of what archives match on."""
_MOST_MATCHED = 256
"""What is longer is no identifier and no name: it is left out. Other words of the source are kept as they are up to here as well, as the
other instances of the study have them; longer ones are cut."""
_SEVERAL_LINES = {"LT", "ST", "UT"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_DATE = re.compile(r"(\d{4})[.\-/]?(0[1-9]|1[0-2])[.\-/]?(0[1-9]|[12]\d|3[01])")
_TIME = re.compile(r"([01]\d|2[0-3])(?::?([0-5]\d)(?::?([0-5]\d|60)(\.\d{1,6})?)?)?")
_AGE = re.compile(r"\d{3}[DWMY]")
_CODE_STRING = re.compile(r"[A-Z0-9_ ]{1,16}")
_WHOLE_CODE = (("CodeValue", "LongCodeValue", "URNCodeValue"), ("CodingSchemeDesignator", "URNCodeValue"), ("CodeMeaning",))
_NEEDED = {
    "ReferringPhysicianIdentificationSequence": (("PersonIdentificationCodeSequence",), ("InstitutionName", "InstitutionCodeSequence")),
    "OtherPatientIDsSequence": (("PatientID",),),
    "ReferencedStudySequence": (("ReferencedSOPClassUID",), ("ReferencedSOPInstanceUID",)),
}
"""Of each sequence what its items cannot do without, in alternatives (PS3.3 8.8, 10.1, 10.11, C.7.1.1)."""
_SEXES = ("M", "F", "O")


def patient_and_study(source: Dataset) -> Dataset:
    """The Patient and Study entities of a source, in Unicode, ready to be copied into a result.

    Every Type 2 attribute is present. What cannot be read, or has no place in DICOM (a date that is none), is left out, or empty
    where the attribute is Type 2.
    """
    header = Dataset()
    header.SpecificCharacterSet = CHARACTER_SET
    for keyword in KEPT:
        element = cleaned(source, keyword)
        if element is not None:
            header.add(element)
        elif keyword in TYPE_2:
            setattr(header, keyword, "")
    if header.PatientSex not in _SEXES:
        header.PatientSex = ""
    return header


_tag = cache(Tag)
"""Looking a keyword up takes longer than reading the element."""


def cleaned(source: Dataset, keyword: str) -> DataElement | None:
    """One attribute of a source as this node may write it; None when it is absent, empty, or beyond mending."""
    tag = _tag(keyword)
    if tag not in source:
        return None
    try:
        return _element(tag, dictionary_VR(tag), _sent(source, tag, _encodings(source)), _encodings(source))
    except _UNREADABLE:
        return None


def text(source: Dataset, keyword: str) -> str:
    """The value of one attribute as a line of text; "" when absent or unreadable."""
    element = cleaned(source, keyword)
    if element is None:
        return ""
    value = element.value
    return ", ".join(str(each) for each in value) if isinstance(value, MultiValue) else str(value)


def items_of(source: Dataset, keyword: str) -> Iterable[Dataset]:
    """The items of a sequence; none where it is absent, or cannot be parsed."""
    try:
        found = [*(source.get(keyword) or ())]
    except _UNREADABLE:
        return ()
    return found if all(isinstance(one, Dataset) for one in found) else ()


def decimal(value: Any) -> str:
    """A number as a decimal string of 16 characters at most (PS3.5 6.2), exactly as it was sent where that fits."""
    sent = str(getattr(value, "original_string", value)).strip()
    if len(sent) <= 16 and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", sent):
        return sent
    return format_number_as_ds(float(value))


def _encodings(source: Dataset, inherited: tuple[str, ...] = DEFAULT_REPERTOIRE) -> tuple[str, ...]:
    """The character sets of a data set or an item: its own, else those around it (PS3.3 C.12.1.1.2)."""
    if "SpecificCharacterSet" not in source:
        return inherited
    element = source.get_item("SpecificCharacterSet")
    value = element.value if element is not None else None
    if isinstance(value, bytes):
        return encodings(value)
    return encodings("\\".join(str(each) for each in _each(value)).encode("ascii", "replace"))


def _sent(source: Dataset, tag: BaseTag, declared: tuple[str, ...]) -> Any:
    """The value of an element; text from its bytes, as long as nobody else has converted it."""
    element: Any = source.get_item(tag)
    vr = dictionary_VR(tag)
    if vr in _TEXT and isinstance(element, RawDataElement) and isinstance(element.value, bytes):
        text = decoded(element.value, declared)
        # parted behind the decoding: in some character sets a backslash is half of a character
        return text.split("\\") if dictionary_VM(tag) != "1" or _is_matched(vr, tag) else text
    return source[tag].value


def _element(tag: BaseTag, vr: str, value: Any, declared: tuple[str, ...]) -> DataElement | None:
    if vr == "SQ":
        items = [_item(item, declared) for item in value or ()]
        whole = Sequence([item for item in items if len(item) and _is_whole(keyword_for_tag(tag), item)])
        return DataElement(tag, "SQ", whole) if len(whole) else None
    values = [_bounded(tag, vr, _value(vr, each)) for each in _each(value)]
    if len(values) > 1 and _is_matched(vr, tag):
        # whom or what a backslash names is not known here: an archive that has the source's bytes finds those, with what is empty between
        return DataElement(tag, vr, ["" if one is None else one for one in values]) if any(values) else None
    kept = [one for one in values if one is not None]
    if not kept:
        return None
    return DataElement(tag, vr, kept if len(kept) > 1 and dictionary_VM(tag) != "1" else kept[0])


def _is_matched(vr: str, tag: BaseTag) -> bool:
    """Whether it is an identifier or a name, which an archive matches on."""
    return vr == "PN" or (vr in ("LO", "SH") and _MATCHED.search(keyword_for_tag(tag)) is not None)


def _bounded(tag: BaseTag, vr: str, mended: Any) -> Any:
    """Text that is far longer than any cut at the length that its VR allows; identifiers and names whole, or not at all."""
    if vr not in _TEXT or mended is None or len(str(mended)) <= max(_MOST_MATCHED, _MOST_CHARACTERS.get(vr, 0)):
        return mended
    return None if _is_matched(vr, tag) else mended[: _MOST_CHARACTERS.get(vr)].rstrip(" ")


def _is_whole(sequence: str, item: Dataset) -> bool:
    """Whether an item has what its macro demands: half a code, or a person without an institution, would make the result invalid."""
    needed = _WHOLE_CODE if sequence.endswith("CodeSequence") else _NEEDED.get(sequence, ())
    return all(any(keyword in item for keyword in alternatives) for alternatives in needed)


def _item(item: Dataset, inherited: tuple[str, ...]) -> Dataset:
    """An item of a sequence; elements that no dictionary knows (private ones) stay behind."""
    mended = Dataset()
    declared = _encodings(item, inherited)
    for tag in sorted(item.keys()):
        try:
            found = None if tag.is_private else _element(tag, dictionary_VR(tag), _sent(item, tag, declared), declared)
        except _UNREADABLE:
            continue
        if found is not None:
            mended.add(found)
    return mended


def _each(value: Any) -> Iterable[Any]:
    if value is None:
        return ()
    return value if isinstance(value, (MultiValue, list, tuple)) else (value,)


def _value(vr: str, value: Any) -> Any:
    """One value of this VR, mended; None when nothing of it can be written."""
    if vr in _TEXT:
        return _text(vr, str(value))
    plain = _CONTROL.sub("", str(value)).strip() if not isinstance(value, (int, float)) else str(value)
    if vr == "DA":
        return "".join(found.groups()) if (found := _DATE.fullmatch(plain)) else None
    if vr == "TM":
        return "".join(part for part in found.groups() if part) if (found := _TIME.fullmatch(plain)) else None
    if vr in ("DS", "IS"):
        return _number(vr, value)
    if vr == "UI":
        return plain if is_uid(plain) else None
    if vr == "AS":
        return plain if _AGE.fullmatch(plain) else None
    if vr == "CS":
        return plain.upper() if _CODE_STRING.fullmatch(plain.upper()) else None
    return value if vr in ("US", "SS", "UL", "SL", "FL", "FD") else (plain or None)


def _text(vr: str, value: str) -> Any:
    stripped = (_CONTROL_BUT_LINES if vr in _SEVERAL_LINES else _CONTROL).sub("", value).strip(" ")
    if vr not in _SEVERAL_LINES and vr != "PN":
        # a backslash that decoding brought to light would part the value in two
        stripped = stripped.replace("\\", "/")
    if not stripped:
        return None
    # a fresh name: the one that was read keeps the bytes and the character set of its source
    return PersonName(stripped) if vr == "PN" else stripped


def _number(vr: str, value: Any) -> str | None:
    try:
        return decimal(value) if vr == "DS" else str(int(value))
    except (ValueError, TypeError, OverflowError):
        return None
