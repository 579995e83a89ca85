"""Header check: recognises series of test objects and animals by what their headers say."""

import re
from collections.abc import Iterator, Mapping, Sequence

from pydicom.dataset import Dataset

from inference.errors import quoted
from inference.imaging import tags
from inference.imaging.errors import MissingAttribute

_DESCRIBED = {
    "PatientName": 0x00100010,
    "PatientID": 0x00100020,
    "StudyDescription": 0x00081030,
    "SeriesDescription": 0x0008103E,
    "ProtocolName": 0x00181030,
    "BodyPartExamined": tags.BODY_PART_EXAMINED,
}
"""Names and descriptions. Comments are prose: "for quality control", "phantom pain since 2019"."""
QUALITY_CONTROL_IMAGE = 0x00280300
"""YES: "this image is a quality control or phantom image" (PS3.3 C.7.6.1)."""
SPECIES_DESCRIPTION, SPECIES_CODE = 0x00102201, 0x00102202
_SAID = {**_DESCRIBED, "QualityControlImage": QUALITY_CONTROL_IMAGE, "PatientSpeciesDescription": SPECIES_DESCRIPTION}
SAID = frozenset(_SAID)
"""The keywords that are looked at."""
_PERSON = frozenset({"337915000", "L-85B00"})
"""Homo sapiens in SNOMED CT, and as SNOMED was written before."""
_PEOPLE = re.compile(r"sapiens|homo|hum[aá]n|humain|uman[oa]|mensch|person|patient|unknown|unspecified|none|n/?a$|[^ -~]", re.IGNORECASE)
"""A person, or nothing said; what is not in Latin letters cannot be told here."""
_TEST_OBJECT = re.compile(
    r"(?<![^\W_])(?:phantom|phantoms|phantome|fantom|fantoma|fantome|fantôme|fantasma|catphan|testobjekt|test[ _-]object|prüfkörper|"
    r"quality[ _-](?:assurance|control)|qualitätssicherung|konstanzprüfung)(?![^\W_])",
    re.IGNORECASE,
)
"""Words of test objects, in the languages of scanners and of those who scan; part of a longer word ("Phantomas") is none."""
_OF_PEOPLE = re.compile(
    r"phantom[ _-]+(?:limb|pain|sensation|arm|hand|leg|foot|breast|tooth|tumou?r|vision|schmerz|glied)\w*|"
    r"(?:douleur|membre|jambe|bras)\w*[ _-]+fant\S+|(?:dolor|miembro|dolore|arto|dor|membro)\w*[ _-]+fantasma",
    re.IGNORECASE,
)
"""What living people have: pain in a lost leg, fluid in a fissure that passes for a tumour."""
_READ = 1024
"""Characters of a value that are looked at: sixteen times what LO may hold (PS3.5 6.2)."""
_NAMES = frozenset({"PatientName"})
_SURNAMES = re.compile(
    r"(?:\w+-|(?:van|von|de|del|di|da|la|le)\s+)*(?:fantom|fantoma|fantome|fantôme|phantom)(?:-\w+)?\s*\^\s*[^\W\d_]", re.IGNORECASE
)
"""Followed by a given name, it may be the name of somebody, alone or as a part of one; followed by nothing or a number it is none."""


def no_patient(headers: Sequence[Dataset]) -> str:
    """What one of the headers says against a patient, for people; "" where none does."""
    return next(
        (reason for header in headers for reason in _reasons({name: tags.words(header, tag) for name, tag in _SAID.items()})), ""
    ) or (next((reason for header in headers if (reason := _by_code(header))), ""))


def no_patient_by(said: Mapping[str, str]) -> str:
    """The same of values by their keywords."""
    return next(_reasons(said), "")


def _reasons(said: Mapping[str, str]) -> Iterator[str]:
    if said.get("QualityControlImage") == "YES":
        yield "QualityControlImage is YES: a test object was imaged"
    species = said.get("PatientSpeciesDescription", "")
    if species and not _PEOPLE.search(species):
        yield f"PatientSpeciesDescription is {quoted(species)}: an animal was imaged"
    for keyword in _DESCRIBED:
        words = said.get(keyword, "")[:_READ]
        if _TEST_OBJECT.search(_OF_PEOPLE.sub("", words)) and not (keyword in _NAMES and _SURNAMES.match(words)):
            yield f"{keyword} is {quoted(words)}: a test object was imaged"


def _by_code(header: Dataset) -> str:
    return (
        "PatientSpeciesCodeSequence does not say a person: an animal was imaged"
        if any(code not in _PERSON for code in codes_of(header, SPECIES_CODE))
        else ""
    )


def codes_of(header: Dataset, tag: int) -> list[str]:
    """The code values of a sequence; none of one that cannot be parsed."""
    try:
        values = [tags.text(item, tags.CODE_VALUE) for item in tags.items(header, tag, "")]
    except MissingAttribute:
        return []
    return [value for value in values if value]
