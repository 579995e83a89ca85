"""Audit messages as PS3.15 A.5 has them: nouns here, XML by the schema of A.5.1.1 out; which event says what stands in `messages`.

Patient identifiers belong in them by design of the standard; nothing here ever goes into the log.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from ipaddress import ip_address
from xml.etree.ElementTree import Element, SubElement, tostring

from node.observe.audit import codes
from node.observe.audit.codes import Code

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPACE = re.compile(r"[\t\r\n]+")
_MACHINE, _IP = "1", "2"
"""NetworkAccessPointTypeCode (A.5.1.2.3): a machine's name, and an IP address."""
_APPLICATION_SERVER = "4"  # A.5.1.2.1


class Action(StrEnum):
    """EventActionCode."""

    CREATE = "C"
    READ = "R"
    UPDATE = "U"
    DELETE = "D"
    EXECUTE = "E"


class EventOutcome(IntEnum):
    """EventOutcomeIndicator."""

    SUCCESS = 0
    MINOR = 4
    SERIOUS = 8
    MAJOR = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """Who took part. `user_id` is the AE title of a remote application, a process of this node, or a person of this machine;
    `media` is of a destination only (A.5.3.4)."""

    user_id: str
    ae_titles: tuple[str, ...] = ()
    requestor: bool = False
    roles: tuple[Code, ...] = ()
    address: str = ""
    media: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A patient, by PatientID (0010,0020); of the same ID from different issuers `issuer` says which."""

    patient_id: str
    issuer: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyObject:
    """A study, and how many instances of which SOP class the event is about."""

    study_instance_uid: str
    sop_classes: Mapping[str, int] = field(default_factory=dict)
    accession_numbers: tuple[str, ...] = ()
    erased: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryObject:
    """What was asked for: the SOP class, and the identifier as it went over the wire."""

    sop_class_uid: str
    identifier: bytes
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSubject:
    """What a security alert is about: a node (an address) or a resource (a URI), and the nature of the alert."""

    subject: str
    description: str
    is_node: bool = True


Object = Person | StudyObject | QueryObject | AlertSubject


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One event worth auditing. `at` is aware; `kinds` refine the event (EventTypeCode)."""

    event: Code
    action: Action
    at: datetime
    participants: tuple[Participant, ...]
    objects: tuple[Object, ...] = ()
    kinds: tuple[Code, ...] = ()
    outcome: EventOutcome = EventOutcome.SUCCESS
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """AuditSourceIdentification: which system says it, and of which site."""

    name: str
    site: str = ""


def xml(message: Message, source: Source) -> bytes:
    """The message as one line of UTF-8, without an XML declaration."""
    root = Element("AuditMessage")
    identified = SubElement(
        root,
        "EventIdentification",
        EventActionCode=message.action.value,
        EventDateTime=message.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        EventOutcomeIndicator=str(message.outcome.value),
    )
    _coded(identified, "EventID", message.event)
    for kind in message.kinds:
        _coded(identified, "EventTypeCode", kind)
    if message.description:
        SubElement(identified, "EventOutcomeDescription").text = _fit(message.description)
    for participant in message.participants:
        _participant(root, participant)
    said = {"AuditSourceID": _fit(source.name)}
    if source.site:
        said = {"AuditEnterpriseSiteID": _fit(source.site), **said}
    whole = SubElement(root, "AuditSourceIdentification", said)
    SubElement(whole, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})
    for one in message.objects:
        _object(root, one)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=False))


def _participant(root: Element, participant: Participant) -> None:
    said = {"UserID": _fit(participant.user_id) or "unknown"}
    if participant.ae_titles:
        said["AlternativeUserID"] = _fit(f"AETITLES={';'.join(participant.ae_titles)}")  # A.5.2.2
    said["UserIsRequestor"] = "true" if participant.requestor else "false"
    if participant.address:
        said |= {"NetworkAccessPointID": _fit(participant.address), "NetworkAccessPointTypeCode": _type_of(participant.address)}
    made = SubElement(root, "ActiveParticipant", said)
    for role in participant.roles:
        _coded(made, "RoleIDCode", role)
    if participant.media is not None:
        _coded(SubElement(made, "MediaIdentifier"), "MediaType", participant.media)


def _type_of(address: str) -> str:
    try:
        ip_address(address)
    except ValueError:
        return _MACHINE  # a peer that the configuration calls by name
    return _IP


def _object(root: Element, one: Object) -> None:
    match one:
        case Person():
            # the standard has no place for the issuer: it is the detail that keeps two patients apart
            made = _identified(root, "1", "1", codes.PATIENT_NUMBER, one.patient_id, name=one.name)
            if one.issuer:
                _detail(made, "IssuerOfPatientID", one.issuer)
        case StudyObject():
            made = _identified(root, "2", "3", codes.STUDY_INSTANCE_UID, one.study_instance_uid, cycle="15" if one.erased else "")
            described = SubElement(made, "ParticipantObjectDescription")
            for number in one.accession_numbers:
                SubElement(described, "Accession", Number=_fit(number))
            for uid, count in sorted(one.sop_classes.items()):
                SubElement(described, "SOPClass", UID=uid, NumberOfInstances=str(count))
            if len(described) == 0:
                made.remove(described)
        case QueryObject():
            made = _identified(root, "2", "3", codes.SOP_CLASS_UID, one.sop_class_uid, query=one.identifier)
            _detail(made, "TransferSyntax", one.transfer_syntax_uid)
        case AlertSubject():
            code = codes.NODE_ID if one.is_node else codes.URI
            made = _identified(root, "2", "" if one.is_node else "13", code, one.subject)
            _detail(made, "Alert Description", one.description)


def _identified(
    root: Element, kind: str, role: str, code: Code, identifier: str, *, name: str = "", query: bytes | None = None, cycle: str = ""
) -> Element:
    said = {"ParticipantObjectID": _fit(identifier), "ParticipantObjectTypeCode": kind}
    if role:
        said["ParticipantObjectTypeCodeRole"] = role
    if cycle:
        said["ParticipantObjectDataLifeCycle"] = cycle
    made = SubElement(root, "ParticipantObjectIdentification", said)
    _coded(made, "ParticipantObjectIDTypeCode", code)
    if query is None:
        # mandatory by the schema, and empty where there is nothing to say
        SubElement(made, "ParticipantObjectName").text = _fit(name)
    else:
        SubElement(made, "ParticipantObjectQuery").text = base64.b64encode(query).decode("ascii")
    return made


def _detail(made: Element, kind: str, value: str) -> None:
    SubElement(made, "ParticipantObjectDetail", type=kind, value=base64.b64encode(value.encode("utf-8", "replace")).decode("ascii"))


def _coded(parent: Element, name: str, code: Code) -> None:
    SubElement(parent, name, {"csd-code": code.value, "codeSystemName": code.scheme, "originalText": code.meaning})


def _fit(text: str) -> str:
    """What an XML 1.0 document on one line may hold: senders write control characters into names."""
    return _SPACE.sub(" ", _NOT_XML.sub("\ufffd", text))
