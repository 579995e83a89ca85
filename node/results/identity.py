"""Identity of a result object: series and its description, equipment, dates and times; all from the encoding, nothing from a clock.

Its UIDs follow from its bytes (`node.results.part10`).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from inference.codes import Code
from node.dicom.uid import RELEASE, derive_uid
from node.domain.profile import Kind, Language
from node.results.kinds import record_of
from node.results.narrative.nouns_chinese import NOUNS
from node.results.narrative.terms_chinese import LABELS, in_chinese
from node.results.normalise import CHARACTER_SET, text
from node.results.part10 import INSTANCE_TO_COME, SERIES_TO_COME, named
from node.results.pixels import Pixels
from node.results.port import Encoded, Encoding
from node.results.sources import Sources, item

LONGEST_LO = 64
"""Characters of an LO element (PS3.5 6.2)."""
_NOTE = "说明"
_SHORTEST_NOUN = 16
"""So much of what it is stays readable, as long as marks and the kind of object leave it room."""


def description_of(encoding: Encoding, what: str) -> str:
    """ "Brain volume SEG, mr-brain 1.0.0 [echo 1]", behind the marks of what a reader must know first.

    Of what is too long, application and version are cut first, which stand in the equipment of every object too, then the noun; never
    what kind of object it is, nor a mark, nor, while those leave room, the part.

    Parameters
    ----------
    what
        What kind of object it is, to people.
    """
    application, part = encoding.application, encoding.part
    marks = [one.mark for one in encoding.findings.cautions if one.mark]
    if encoding.language is Language.CHINESE:
        marks = [in_chinese(mark) or mark for mark in marks]
        noun = NOUNS.get(application.name, application.noun or application.title)
        return _described(
            "".join(f"{mark}：" for mark in marks), noun, what, f"，{application.name} {application.version}", _in_brackets(part)
        )
    noun, software = application.noun or application.title, f", {application.name} {application.version}"
    return _described("".join(f"{mark}: " for mark in marks), noun, f" {what}", software, _in_brackets(part))


def _in_brackets(part: str) -> str:
    return f" [{part}]" if part else ""


def _described(marks: str, noun: str, what: str, software: str, part: str) -> str:
    """Marks, noun, kind of object, software and part, as much of it as has room."""
    free = max(LONGEST_LO - len(marks) - len(what), 0)
    noun = _words(noun, min(max(free - len(part) - len(software), _SHORTEST_NOUN), free))
    lead = f"{marks}{noun}{what}" if noun else f"{marks}{what.lstrip()}"
    room = LONGEST_LO - len(lead) - len(part)
    # the name without its version before nothing of it, and half a name never
    said = next((one for one in (software, software.rpartition(" ")[0]) if len(one) <= room), "")
    return f"{lead}{said}{part}"[:LONGEST_LO].rstrip()


def _words(text: str, most: int) -> str:
    """The text, cut behind its last whole word that fits."""
    if len(text) <= most:
        return text
    kept = text[: most + 1].rpartition(" ")[0]
    return (kept or text[:most]).rstrip(" ,;:(")


MANUFACTURER = "hilum"
"""The index stage knows the node's own results by it, beside the purpose (109102, DCM) of the contributing equipment."""

PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")

_GREATEST_IS = 2**31 - 1
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultIdentity:
    """What people tell one result object by, and what holds the places of its UIDs, which follow from its bytes (`encoded`).

    One object makes one series: viewers show the last of several only.
    """

    series_number: int
    description: str
    part: str
    label: str = ""
    sop_instance_uid: str = INSTANCE_TO_COME
    series_instance_uid: str = SERIES_TO_COME


def identify(encoding: Encoding, sources: Sources, kind: Kind, noun: str, *, label: str = "", number: int = 0) -> ResultIdentity:
    """Describe one object, which has no UIDs yet.

    Parameters
    ----------
    noun
        What kind of object it is to people; stands in the series description behind what it is about.
    label
        Of a map or a derived image: which of the findings it shows.
    number
        Which of the kind's numbers in Series Numbers it has.
    """
    if encoding.language is Language.CHINESE:
        noun = _NOTE if kind in (Kind.STATEMENT, Kind.WITHDRAWAL) else record_of(kind).chinese
        noun += f"：{LABELS.get(label, label)}" if label else ""
    return ResultIdentity(
        series_number=series_number(sources, encoding.application.series, record_of(kind).series[number]),
        description=description_of(encoding, noun),
        part=encoding.part,
        label=label,
    )


def tracking(encoding: Encoding, what: str) -> tuple[str, str]:
    """Tracking Identifier and Tracking Unique Identifier of a finding; the same in every object that speaks of it."""
    return f"{encoding.application.name} {what}", derive_uid("tracking", *_inputs(encoding), what)


def uid_within(encoding: Encoding, *what: str) -> str:
    """A UID of something inside an object (a dimension organization, a frame of reference), from the inputs alone."""
    return derive_uid(*what, *_inputs(encoding))


def stamp(dataset: Dataset, encoding: Encoding, sources: Sources, identity: ResultIdentity) -> None:
    """Write the attributes that every result has in common, over whatever the library put there."""
    at = encoding.at.astimezone(_zone(sources))
    date, time = at.strftime("%Y%m%d"), at.strftime("%H%M%S.%f")
    dataset.SpecificCharacterSet = CHARACTER_SET
    dataset.Manufacturer, dataset.ManufacturerModelName = MANUFACTURER, encoding.application.name
    dataset.SoftwareVersions, dataset.DeviceSerialNumber = software_versions(encoding), encoding.model_digest[:16]
    for keyword in ("InstanceCreation", "Series", "Content"):
        setattr(dataset, f"{keyword}Date", date)
        setattr(dataset, f"{keyword}Time", time)
    dataset.InstanceCreatorUID = encoding.device_uid
    dataset.SeriesDescription = identity.description
    dataset.ContentQualification = encoding.application.qualification
    dataset.ContributingEquipmentSequence = [_equipment(encoding, at)]
    # patient and study as the source has them: not every class of the library copies all of it
    dataset.update(sources.entities)
    if (offset := text(sources.first, "TimezoneOffsetFromUTC")) and _OFFSET.fullmatch(offset):
        dataset.TimezoneOffsetFromUTC = offset


def encoded(
    kind: Kind,
    dataset: Dataset,
    identity: ResultIdentity,
    form: str = "",
    *,
    pixels: Pixels | None = None,
    syntax: UID = ExplicitVRLittleEndian,
) -> Encoded:
    """A finished data set as a result object, named by its bytes. The makers of every kind give it back like this.

    `dataset` bears its UIDs from here on: what refers to it is made afterwards.
    """
    made = named(dataset, pixels, syntax)
    return Encoded(
        kind=kind,
        sop_instance_uid=made.sop_instance_uid,
        sop_class_uid=str(dataset.SOPClassUID),
        series_instance_uid=made.series_instance_uid,
        description=identity.description,
        data=made.data,
        form=form,
        part=identity.part,
        label=identity.label,
    )


def software_versions(encoding: Encoding) -> list[str]:
    """The application with its version, and the node's."""
    return [f"{encoding.application.name} {encoding.application.version}", f"hilum {RELEASE}"]


def model_names(encoding: Encoding) -> str:
    """The models that the application calls, with the beginning of their digest ("mr_brain v1 (sha256 0123456789ab)"), if any."""
    names = ", ".join(f"{model.name} v{model.version}" for model in encoding.application.models)
    return f"{names} (sha256 {encoding.model_digest[:12]})" if names else "no trained model"


def local_time(encoding: Encoding, sources: Sources) -> str:
    """When the findings were made, for people, with the zone."""
    at = encoding.at.astimezone(_zone(sources))
    offset = at.strftime("%z")
    return f"{at:%Y-%m-%d %H:%M} UTC{'' if offset == '+0000' else f'{offset[:3]}:{offset[3:]}'}"


def _inputs(encoding: Encoding) -> tuple[str, ...]:
    return (
        encoding.input_digest + (f" {encoding.part}" if encoding.part else ""),
        encoding.model_digest,
        encoding.application.name,
        encoding.application.version,
        encoding.parameters,
        encoding.findings_digest,
    )


def series_number(sources: Sources, application: int, kind: int) -> int:
    """Beside its source where people sort by number: of series 4, application 1 and kind 2 it is 40102.

    A source whose number would lead beyond what an IS holds (PS3.5 6.2) counts as one that has none.
    """
    stated = text(sources.first, "SeriesNumber")
    beside = int(stated) * 10_000 if re.fullmatch(r"\d{1,6}", stated) else 0
    own = application * 100 + kind
    return beside + own if beside + own <= _GREATEST_IS else own


def _zone(sources: Sources) -> tzinfo:
    """The zone in which DA and TM are written.

    TimezoneOffsetFromUTC (0008,0201) holds for every DA and TM of an object, those of the study too, which are the source's. So where
    the source states its offset, that one is taken over and the result's own times are written in it. Where it does not, none may be
    invented: the study's times stay as they are, the result's own are in UTC, and every DT carries its offset itself.
    """
    found = _OFFSET.fullmatch(text(sources.first, "TimezoneOffsetFromUTC"))
    if not found:
        return UTC
    sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if sign == "-" else offset) if offset < timedelta(hours=24) else UTC


def _equipment(encoding: Encoding, at: datetime) -> Dataset:
    """The item that IHE AIR asks for: who made this, with which model (a DeviceUID of its own for every one)."""
    equipment = Dataset()
    equipment.Manufacturer = MANUFACTURER
    equipment.ManufacturerModelName = encoding.application.name
    equipment.SoftwareVersions = software_versions(encoding)
    equipment.DeviceUID = encoding.device_uid
    equipment.DeviceSerialNumber = encoding.model_digest[:16]
    equipment.ContributionDateTime = at.strftime("%Y%m%d%H%M%S.%f%z")
    equipment.ContributionDescription = "Analysis of the source images; not verified by a person"
    equipment.PurposeOfReferenceCodeSequence = [item(PROCESSING_EQUIPMENT)]
    return equipment
