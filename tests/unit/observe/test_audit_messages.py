"""Audit messages: each kind by the schema of PS3.15 A.5.1.1, whatever senders write into names."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.observe.audit import codes
from node.observe.audit.message import (
    Action,
    AlertSubject,
    EventOutcome,
    Message,
    Object,
    Participant,
    Person,
    QueryObject,
    Source,
    StudyObject,
    xml,
)
from tests.lab.audit import valid

AT = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=1)))
SOURCE = Source(name="HILUM@node1", site="St. Elsewhere")
NODE = Participant(user_id="flow node1:17", ae_titles=("HILUM", "HILUM_STAT"), requestor=True, roles=(codes.SOURCE,))
STUDY = StudyObject(study_instance_uid="1.2.3", sop_classes={"1.2.840.10008.5.1.4.1.1.2": 40}, accession_numbers=("A1",))


@pytest.mark.parametrize(
    ("event", "objects"),
    [
        (codes.APPLICATION_ACTIVITY, ()),
        (codes.INSTANCES_TRANSFERRED, (STUDY, Person(patient_id="P1", issuer="H", name="Doe^Jane"))),
        (codes.STUDY_DELETED, (StudyObject(study_instance_uid="1.2.3", erased=True), Person(patient_id=""))),
        (codes.QUERY, (QueryObject(sop_class_uid="1.2", identifier=b"\x08\0\x52\0\0\xff", transfer_syntax_uid="1.2.840.10008.1.2"),)),
        (codes.SECURITY_ALERT, (AlertSubject(subject="10.0.0.9", description="rejected"),)),
        (codes.SECURITY_ALERT, (AlertSubject(subject="file:///etc/hilum.yaml", description="changed", is_node=False),)),
    ],
)
def test_every_kind_of_message_is_valid(event: codes.Code, objects: tuple[Object, ...]) -> None:
    """The standard's own schema accepts it; the time is UTC, and the outcome and codes are where readers look for them."""
    message = Message(
        event=event,
        action=Action.EXECUTE,
        at=AT,
        kinds=(codes.NODE_AUTHENTICATION,),
        outcome=EventOutcome.MINOR,
        description="why",
        participants=(NODE, Participant(user_id="PACS", roles=(codes.DESTINATION_MEDIA,), address="10.0.0.5", media=codes.MEDIA_URI)),
        objects=objects,
    )
    root = valid(xml(message, SOURCE))
    identified = root.find("EventIdentification")
    assert identified is not None
    assert identified.get("EventDateTime") == "2026-03-01T11:00:00.000005Z"
    assert identified.get("EventOutcomeIndicator") == "4"
    assert [one.get("AlternativeUserID") for one in root.iter("ActiveParticipant")] == ["AETITLES=HILUM;HILUM_STAT", None]
    assert len(list(root.iter("ParticipantObjectIdentification"))) == len(objects)


@pytest.mark.parametrize(("address", "kind"), [("10.0.0.5", "2"), ("2001:db8::5", "2"), ("pacs.hospital.example", "1")])
def test_a_network_access_point_says_of_which_type_it_is(address: str, kind: str) -> None:
    """1 is a machine's name, 2 an IP address (A.5.1.2.3)."""
    told = Message(event=codes.EXPORT, action=Action.READ, at=AT, participants=(Participant(user_id="PACS", address=address),))
    (one,) = valid(xml(told, SOURCE)).iter("ActiveParticipant")
    assert (one.get("NetworkAccessPointID"), one.get("NetworkAccessPointTypeCode")) == (address, kind)


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_no_text_of_a_sender_breaks_a_message(patient_id: str, name: str, title: str) -> None:
    """Control characters, half surrogates, markup and line breaks: still one line, still valid."""
    message = Message(
        event=codes.INSTANCES_TRANSFERRED,
        action=Action.CREATE,
        at=datetime.now(UTC),
        participants=(Participant(user_id=title, ae_titles=(title,), address="::1"),),
        objects=(
            Person(patient_id=patient_id, issuer=title, name=name),
            StudyObject(study_instance_uid=name),
            AlertSubject(subject=title, description=name),
        ),
    )
    line = xml(message, SOURCE)
    assert b"\n" not in line
    assert b"\r" not in line
    valid(line)


def test_the_schema_refuses_what_is_wrong() -> None:
    """The check can fail: an outcome that there is not, a message without participants."""
    good = xml(Message(event=codes.EXPORT, action=Action.READ, at=AT, participants=(NODE,)), SOURCE)
    valid(good)
    for old, new in ((b'EventOutcomeIndicator="0"', b'EventOutcomeIndicator="3"'), (b"<ActiveParticipant", b"<PassiveParticipant")):
        with pytest.raises(AssertionError):
            valid(
                good.replace(old, new).replace(
                    b"</ActiveParticipant", b"</PassiveParticipant" if b"Passive" in new else b"</ActiveParticipant"
                )
            )
