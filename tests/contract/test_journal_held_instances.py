"""What is held, in the journal: whose a series is, what a person decides, and what retention and erasure make of it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from node.domain.instance import HeldFor, Instance, Sender, Standing
from node.domain.patient import Patient, mark_of
from node.domain.state import ArrivalState
from node.journal.errors import JournalRace
from node.journal.port import AcceptedInstance
from tests.unit.journal.story import Story

JANE, JOHN = Patient(patient_id="4711", issuer=""), Patient(patient_id="0815", issuer="")
WEEK = timedelta(days=7)


def _of(patient: Patient, number: int, **changes: object) -> dict[str, object]:
    return {"header": {"Modality": ("CT",), "PatientID": (patient.patient_id,), "InstanceNumber": (number,)}, **changes}


def _series(story: Story, *numbers: int) -> list[int]:
    """Slices of Jane's from ct1."""
    return [story.receive(number, **_of(JANE, number))[0] for number in numbers]


def _hold(story: Story, number: int, why: HeldFor = HeldFor.ADDED, patient: Patient = JANE, **changes: object) -> int:
    """A slice from the archive that waits for a person."""
    held = replace(
        story.instance(number, **_of(patient, number, peer="pacs", calling_ae="PACS", **changes)), standing=Standing.HELD, held_for=why
    )
    return story.journal.instances.record([story.new(held, opens=False)], story.now)[0]


def _accept(story: Story, *rows: int, **how: object) -> list[int]:
    accepted = [AcceptedInstance(**{"instance": row, "scope_series": False, "due_at": story.now, **how}) for row in rows]  # type: ignore[arg-type]
    return story.journal.held.accept(accepted, story.now)


def _row(story: Story, number: int) -> Instance:
    return story.journal.instances.by_uid(story.instance(number).sop_instance_uid)[-1]


def test_a_series_is_the_first_senders_and_its_patients(story: Story) -> None:
    """Whatever is held of it says nothing about it; nothing is known of another series."""
    _series(story, 1, 2)
    _hold(story, 3, HeldFor.IDENTITY, JOHN)
    first = story.instance(1)
    known = story.journal.held.series_known([first.series_instance_uid, "9.9"])
    assert set(known) == {first.series_instance_uid}
    assert known[first.series_instance_uid].first == Sender(peer="ct1", calling_ae=first.calling_ae, address=first.address)
    assert known[first.series_instance_uid].marks == {mark_of(first.study_instance_uid, JANE)}
    assert story.journal.held.patients_of([first.study_instance_uid, "9"]) == {first.study_instance_uid: {JANE}, "9": frozenset()}


def test_a_correction_changes_whose_a_series_is_and_not_who_sent_it(story: Story) -> None:
    (row,) = _series(story, 1)
    corrected = story.instance(1, **_of(JOHN, 1, blob="corrected", digest="corrected"))
    story.journal.instances.record([story.new(corrected, replaces=row)], story.now)
    (known,) = story.journal.held.series_known([corrected.series_instance_uid]).values()
    assert known.marks == {mark_of(corrected.study_instance_uid, JOHN)}
    assert known.first.peer == "ct1"
    assert story.journal.held.patients_of([corrected.study_instance_uid]) == {corrected.study_instance_uid: {JOHN}}


def test_what_is_held_is_in_no_arrival_and_no_study(story: Story) -> None:
    """It has its row, its reason and its event; it is listed by its study, and by the study of its series."""
    rows = _series(story, 1, 2)
    held = _hold(story, 3)
    elsewhere = _hold(story, 4, HeldFor.IDENTITY, study_instance_uid="8.8")
    study = story.instance(1).study_instance_uid
    assert [one.id for one in story.journal.instances.of_study(study)] == rows
    assert story.arrival().instances == 2
    assert [(one.id, one.standing, one.held_for) for one in story.journal.held.find(study=study)] == [
        (held, Standing.HELD, HeldFor.ADDED),
        (elsewhere, Standing.HELD, HeldFor.IDENTITY),
    ]
    assert [one.id for one in story.journal.held.find(study="8.8")] == [elsewhere]
    assert story.journal.held.find(study="7.7") == []
    assert [(one.study_instance_uid, one.sender.peer, one.instances) for one in story.journal.held.by_series()] == [
        (study, "pacs", 1),
        ("8.8", "pacs", 1),
    ]
    assert story.names("instance", held) == ["instance.held"]
    assert story.journal.census.take(story.now).instances_held == 2


def test_what_a_person_accepts_joins_the_first_senders_study(story: Story) -> None:
    """A revision of ct1's arrival opens, whose routes then look at all of it; a second word changes nothing."""
    _series(story, 1, 2)
    story.route()
    held = _hold(story, 3)
    assert _accept(story, held) == [held]
    revision = story.arrival()
    assert (revision.peer, revision.revision, revision.state, revision.instances) == ("ct1", 2, ArrivalState.RECEIVED, 3)
    accepted = _row(story, 3)
    assert (accepted.standing, accepted.held_for, accepted.peer) == (Standing.CURRENT, None, "pacs")
    assert story.names("instance", held) == ["instance.held", "instance.accepted"]
    assert _accept(story, held) == []
    assert story.journal.held.refuse([held], story.now) == []
    assert story.journal.held.by_series() == []


def test_an_accepted_rewriting_takes_the_place_of_what_it_rewrites(story: Story) -> None:
    (row,) = _series(story, 1)
    held = _hold(story, 1, HeldFor.REWRITTEN, blob="rewritten", digest="rewritten")
    _accept(story, held)
    standings = {one.id: one.standing for one in story.journal.instances.by_uid(story.instance(1).sop_instance_uid)}
    assert standings == {row: Standing.REPLACED, held: Standing.CURRENT}
    assert [one.id for one in story.journal.instances.of_arrival(story.arrival().id)] == [held]


def test_what_its_first_sender_sends_too_becomes_its_own(story: Story) -> None:
    """The row says from then on who sent it; other pixels than the current ones become a conflict instead."""
    _series(story, 1)
    added, other = _hold(story, 2), _hold(story, 1, HeldFor.REWRITTEN, blob="other", digest="other")
    first = story.instance(1)
    sender = Sender(peer="ct1", calling_ae=first.calling_ae, address=first.address)
    assert _accept(story, added, sender=sender, called_ae="HILUM") == [added]
    assert _accept(story, other, sender=sender, called_ae="HILUM", standing=Standing.CONFLICT) == [other]
    assert (_row(story, 2).standing, _row(story, 2).peer) == (Standing.CURRENT, "ct1")
    assert [one.id for one in story.journal.instances.conflicts()] == [other]
    assert story.arrival().instances == 2


def test_what_a_person_refuses_is_not_counted_again(story: Story) -> None:
    """It keeps its reason, and may still be accepted, by somebody who knows better."""
    _series(story, 1)
    held = _hold(story, 2)
    assert story.journal.held.refuse([held], story.now) == [held]
    assert (_row(story, 2).standing, _row(story, 2).held_for) == (Standing.REFUSED, HeldFor.ADDED)
    assert story.journal.held.find() == []
    assert story.journal.census.take(story.now).instances_held == 0
    assert story.names("instance", held) == ["instance.held", "instance.held_refused"]
    assert _accept(story, held) == [held]


def test_retention_takes_what_is_held_in_its_time(story: Story) -> None:
    """It is as old as any other, and then waits for nobody; a backup wants its bytes until then, and no full disk takes them."""
    _series(story, 1)
    held = _hold(story, 2)
    blob = _row(story, 2).blob
    assert story.journal.retention.kept_blobs([blob]) == {blob: True}
    later = story.now + timedelta(days=30)
    assert held not in [one.id for one in story.journal.retention.purgeable(later)]
    story.journal.retention.tombstone([held], later)
    assert _row(story, 2).standing is Standing.HELD
    assert held in [one.id for one in story.journal.retention.purgeable(later, parked=True)]
    story.journal.retention.tombstone([held], later, parked=True)
    assert _row(story, 2).standing is Standing.PURGED
    assert story.journal.held.find() == []
    assert _accept(story, held) == []


def test_a_series_of_which_only_what_was_held_came_before_is_begun_all_the_same(story: Story) -> None:
    """Retention took what was held; the series then comes under the right patient: nobody has begun it, and the intake goes on."""
    held = _hold(story, 1, HeldFor.IDENTITY, JOHN)
    story.now += timedelta(days=30)
    story.journal.retention.tombstone([held], story.now, parked=True)
    first = story.instance(2, **_of(JANE, 2))
    assert story.journal.held.series_known([first.series_instance_uid]) == {}
    begun = replace(story.new(first), begins=True)
    assert story.journal.instances.record([begun], story.now)
    assert set(story.journal.held.series_known([first.series_instance_uid])) == {first.series_instance_uid}
    later = story.instance(3, **_of(JANE, 3))
    with pytest.raises(JournalRace):
        story.journal.instances.record([replace(story.new(later), begins=True)], story.now)


def test_erasing_a_patient_finds_what_is_held_under_that_id(story: Story) -> None:
    """John's slices wait in a series of Jane's: erasing John takes these alone, erasing Jane what is left."""
    rows = _series(story, 1, 2)
    held = _hold(story, 3, HeldFor.IDENTITY, JOHN)
    of_john = story.journal.erasure.find(JOHN)
    assert of_john.instances == (held,)
    assert of_john.blobs == (story.instance(3).blob,)
    story.journal.erasure.erase(of_john, [], [], story.now + WEEK, story.now)
    assert story.journal.instances.by_uid(story.instance(3).sop_instance_uid) == []
    assert story.journal.erasure.issuers(JOHN.patient_id) == []
    of_jane = story.journal.erasure.find(JANE)
    assert of_jane.instances == tuple(rows)
    story.journal.erasure.erase(of_jane, [], [], story.now + WEEK, story.now)
    assert story.journal.erasure.find(JANE).empty


def test_erasing_a_study_takes_what_is_held_of_it(story: Story) -> None:
    rows = _series(story, 1)
    held = _hold(story, 2)
    found = story.journal.erasure.find(None, [story.instance(1).study_instance_uid])
    assert found.instances == (*rows, held)


def test_what_is_held_changes_nothing_about_who_has_priors(story: Story) -> None:
    """A copy of Jane's series under another study, which is held, moves the series to no other study."""
    _series(story, 1)
    _hold(story, 2, HeldFor.IDENTITY, JANE, study_instance_uid="8.8")
    assert story.journal.held.patients_of([story.instance(1).study_instance_uid, "8.8"]) == {
        story.instance(1).study_instance_uid: {JANE},
        "8.8": frozenset(),
    }
