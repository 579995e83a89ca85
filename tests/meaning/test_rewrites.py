"""Every row of rewrites.txt through the index stage, on its real inbox, blobs and journal: what is sent again, by whom, what counts then.

The right ends are the hand's. Whether what counts is one volume is asked of the pure identity check.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from inference.imaging.errors import MixedIdentity
from inference.imaging.identity import Identity, one_identity
from node.domain.arrival import Completeness
from node.domain.instance import HeldFor, Instance, Standing
from node.journal.held_instances import HeldInstances
from node.journal.journal import Journal
from node.journal.port import NewInstance, SeriesKnown
from node.routing.series import contents
from node.settings.config import Config
from node.settings.node import Node
from node.settings.peers import May, Peer
from node.settings.store import Store
from tests.meaning.table import End, rewrites
from tests.unit.flow.files import slice_of
from tests.unit.flow.test_index import Receiver

SLICES = range(1, 5)
CALLING = {"own": "CT1", "other": "PACS", "stranger": "WHO", "correct": "MASTER", "archive": "CT1B"}
STUDY, SERIES = "1.2.3", "1.2.3.4"


def _config(folder: Path) -> Config:
    peers = (
        Peer(name="ct1", ae_title="CT1", host="127.0.0.1", port=0, archive="scanners"),
        Peer(name="ct1b", ae_title="CT1B", host="127.0.0.1", port=0, archive="scanners"),
        Peer(name="pacs", ae_title="PACS", host="127.0.0.1", port=0),
        Peer(name="master", ae_title="MASTER", host="127.0.0.1", port=0, may=frozenset({May.STORE, May.CORRECT})),
    )
    store = Store(journal=f"sqlite:{folder}/hilum.db", blobs=folder / "blobs")
    return Config(path=folder / "hilum.yaml", digest="c", node=Node(), store=store, models=folder, peers={one.name: one for one in peers})


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Receiver]:
    """A receiver that has four slices of patient 4711 from ct1, settled and routed."""
    receiver = Receiver(tmp_path)
    receiver.config = _config(tmp_path)
    for number in SLICES:
        receiver.send(slice_of(number))
    receiver.index()
    receiver.complete_and_route()
    receiver.now += timedelta(minutes=5)
    yield receiver
    receiver.journal.close()


def _again(node: Receiver, who: str, what: str, numbers: range = SLICES) -> None:
    """Send the slices once more, and index them."""
    for number in numbers:
        changed = {"name": {"PatientName": "Roe^Jane"}, "patient": {"PatientID": "0815"}}.get(what, {})
        if what == "half" and number > 2:
            changed = {"PatientID": "0815"}
        slice_: Dataset = slice_of(number, pixel=7 if what == "pixels" else 0, **changed)
        node.send(slice_, calling=CALLING[who], syntax=ImplicitVRLittleEndian if what == "encoding" else ExplicitVRLittleEndian)
    node.index()


def _counting(node: Receiver) -> list[Instance]:
    """What a job would use now."""
    return [one for content in contents(node.journal.instances.of_study(STUDY)) for one in content.current]


def _end(node: Receiver, before: list[Instance]) -> End:
    """What became of it, from the journal alone."""
    held = node.journal.held.find(study=STUDY)
    opened = [arrival.revision for arrival in node.journal.arrivals.find() if arrival.peer == "ct1"] != [1]
    now = _counting(node)
    if held:
        assert (now, opened) == (before, False), "what the first sender sent goes on"
        return End.HELD
    if node.journal.instances.conflicts(study=STUDY):
        return End.CONFLICT
    if now == before:
        return End.DUPLICATE
    named = [(one.sop_instance_uid, Identity(patient_id=str(one.header["PatientID"][0]))) for one in now]
    try:
        one_identity(named)
    except MixedIdentity:
        return End.NONE
    return End.CORRECTION


@pytest.mark.parametrize(("who", "what", "right"), rewrites(), ids=lambda value: str(value))
def test_what_is_sent_again_comes_to_its_right_end(who: str, what: str, right: End, node: Receiver) -> None:
    """Four slices of 4711 are known and routed; they come again."""
    before = _counting(node)
    assert len(before) == len(SLICES)
    _again(node, who, what)
    assert _end(node, before) is right


def test_the_table_has_every_row_once() -> None:
    """Five senders, six ways."""
    assert len({(who, what) for who, what, _ in rewrites()}) == len(rewrites()) == 5 * 6
    assert {who for who, _, _ in rewrites()} == set(CALLING)


# ---- the three cases that were seen


def test_slices_of_two_patients_in_one_series_are_never_one(node: Receiver) -> None:
    """Slices 1 to 4 are one patient's, 5 to 8 come from the same scanner under another PatientID: they wait, and 1 to 4 stand alone."""
    for number in range(5, 9):
        node.send(slice_of(number, PatientID="0815"))
    node.index()
    assert [one.header["PatientID"] for one in _counting(node)] == [("4711",)] * 4
    held = node.journal.held.find(study=STUDY)
    assert [(one.standing, one.held_for, one.peer) for one in held] == [(Standing.HELD, HeldFor.IDENTITY, "ct1")] * 4
    assert [one.revision for one in node.journal.arrivals.find()] == [1], "no revision opens"


def test_two_patients_in_one_batch_are_told_apart_too(tmp_path: Path) -> None:
    """Nothing of the series is in the journal yet when both come."""
    receiver = Receiver(tmp_path)
    for number in range(1, 9):
        receiver.send(slice_of(number, PatientID="4711" if number < 5 else "0815"))
    receiver.index()
    assert [one.header["PatientID"] for one in _counting(receiver)] == [("4711",)] * 4
    assert len(receiver.journal.held.find()) == 4
    receiver.journal.close()


def test_another_peer_adds_nothing_to_a_series(node: Receiver) -> None:
    """Four slices of its own, of the same patient, under the first one's Series UID; a series of its own in that study is ordinary."""
    for number in range(5, 9):
        node.send(slice_of(number), calling="PACS")
    node.index()
    assert len(_counting(node)) == 4
    assert [one.held_for for one in node.journal.held.find()] == [HeldFor.ADDED] * 4
    node.send(slice_of(9, SeriesInstanceUID="1.2.3.5"), calling="PACS")
    node.index()
    assert len(_counting(node)) == 5


def test_pixels_under_another_patients_id_from_another_peer_change_nothing(node: Receiver) -> None:
    """Neither do they where half of them come: the first sender's headers stand."""
    _again(node, "other", "patient")
    assert {one.header["PatientID"] for one in _counting(node)} == {("4711",)}
    assert [one.held_for for one in node.journal.held.find()] == [HeldFor.REWRITTEN] * 4


# ---- what follows


def test_what_is_held_counts_when_the_first_sender_sends_it_too(node: Receiver) -> None:
    """An archive was quicker with slices 5 to 8: they are held; the scanner's own, the same bytes, count, and open a revision."""
    for calling in ("PACS", "CT1"):
        for number in range(5, 9):
            node.send(slice_of(number), calling=calling)
        node.index()
    assert len(_counting(node)) == 8
    assert node.journal.held.find() == []
    assert {one.peer for one in _counting(node)} == {"ct1"}
    assert [(one.revision, one.instances) for one in node.journal.arrivals.find() if one.peer == "ct1"] == [(1, 4), (2, 8)]


def test_what_is_held_and_comes_again_is_held_once(node: Receiver) -> None:
    """However often, and in another encoding; it stays held, and nothing is opened."""
    for syntax in (ExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        node.send(slice_of(5), calling="PACS", syntax=syntax)
        node.index()
    assert len(_counting(node)) == 4
    assert len(node.journal.arrivals.find()) == 1


def test_a_correction_in_progress_goes_on(node: Receiver) -> None:
    """The scanner corrects two slices, and later two more: then all are one patient's again, and a late slice of that patient is no
    stranger, one of the wrong patient is."""
    _again(node, "own", "patient", range(1, 3))
    with pytest.raises(MixedIdentity):
        one_identity([(one.sop_instance_uid, Identity(patient_id=str(one.header["PatientID"][0]))) for one in _counting(node)])
    _again(node, "own", "patient", range(3, 5))
    assert {one.header["PatientID"] for one in _counting(node)} == {("0815",)}
    node.send(slice_of(5, PatientID="0815"))
    node.send(slice_of(6, PatientID="4711"))
    node.index()
    assert len(_counting(node)) == 5
    assert [one.sop_instance_uid for one in node.journal.held.find()] == ["1.2.3.4.6"]


def test_two_patients_in_one_study_wait(node: Receiver) -> None:
    """A new series of another patient under this study's UID; one whose issuer is not said is no contradiction."""
    node.send(slice_of(11, SeriesInstanceUID="1.2.3.5", PatientID="0815"), calling="PACS")
    node.send(slice_of(12, SeriesInstanceUID="1.2.3.6", IssuerOfPatientID="HOSPITAL"), calling="PACS")
    node.index()
    assert [one.series_instance_uid for one in node.journal.held.find()] == ["1.2.3.5"]
    assert len(_counting(node)) == 5


def test_a_renamed_peer_is_still_the_same_sender(node: Receiver) -> None:
    """It has another name in the configuration now, and the same AE title and address."""
    old = node.config.peers["ct1"]
    peers = {name: peer for name, peer in node.config.peers.items() if name != "ct1"}
    node.config = replace(node.config, peers={**peers, "ct-one": replace(old, name="ct-one", archive="")})
    node.send(slice_of(5))
    node.index()
    assert node.journal.held.find() == []
    assert len(_counting(node)) == 5


def test_strangers_are_told_apart_by_title_and_address(tmp_path: Path) -> None:
    """Where strangers are let in at all: the same one goes on with its series, another one's additions wait."""
    receiver = Receiver(tmp_path)
    for number, calling in ((1, "WHO"), (2, "WHO"), (3, "ELSE"), (4, "CT1")):
        receiver.send(slice_of(number), calling=calling)
        receiver.index()
    assert len(_counting(receiver)) == 2
    assert [(one.calling_ae, one.held_for) for one in receiver.journal.held.find()] == [
        ("ELSE", HeldFor.ADDED),
        ("CT1", HeldFor.ADDED),
    ]
    receiver.journal.close()


def test_a_settled_arrival_of_the_owner_is_not_touched_by_what_is_held(node: Receiver) -> None:
    """Its completeness, revision and manifest are as they were; at a look by hand nothing waits."""
    (before,) = node.journal.arrivals.find()
    for number in range(5, 9):
        node.send(slice_of(number), calling="PACS")
    node.index()
    assert node.journal.arrivals.find() == [before]
    assert before.completed_by is Completeness.QUIET
    assert before.opened_at == datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def test_two_nodes_that_begin_a_series_at_once_do_not_share_it(tmp_path: Path) -> None:
    """Another host journals the first slice of the series, from the scanner, between this one's look at the journal and its commit: what
    the archive sent is judged anew, and waits."""
    here, there = Receiver(tmp_path), Receiver(tmp_path)
    here.config = there.config = _config(tmp_path)
    here.send(slice_of(2), calling="PACS")

    quicker = [there]

    class Between(HeldInstances):
        """The other host is quicker, once."""

        def series_known(self, series: Collection[str]) -> dict[str, SeriesKnown]:
            known = super().series_known(series)
            if quicker:
                scanner = quicker.pop()
                instance = replace(_first(scanner), id=0)
                scanner.journal.instances.record(
                    [NewInstance(instance=instance, opens=True, scope_series=False, due_at=scanner.now)], scanner.now
                )
            return known

    journal = Journal.open(f"sqlite:{tmp_path}/hilum.db")
    journal.held = Between(journal.database)
    assert here.index(journal) == 1
    assert quicker == []
    assert [(one.peer, one.standing) for one in here.rows(2)] == [("pacs", Standing.HELD)]
    assert [(one.peer, one.standing) for one in here.rows(1)] == [("ct1", Standing.CURRENT)]
    journal.close()
    for receiver in (here, there):
        receiver.journal.close()


def _first(scanner: Receiver) -> Instance:
    """A slice as the scanner's host journals it."""
    return Instance(
        sop_instance_uid="1.2.3.4.1",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        study_instance_uid=STUDY,
        series_instance_uid=SERIES,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        blob="instances/elsewhere.dcm",
        size=1,
        digest="elsewhere",
        calling_ae="CT1",
        called_ae="HILUM",
        address="dicom://127.0.0.1",
        peer="ct1",
        received_at=scanner.now,
        header={"PatientID": ("4711",)},
    )
