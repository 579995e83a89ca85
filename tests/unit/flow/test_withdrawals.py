"""A superseded result is withdrawn from an archive that takes such notes, after the successor was accepted there; elsewhere nothing is."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset

from node.assembly.configuration import load
from node.dimse.requestor.peer import PeerRequestor
from node.domain.job import Job, JobKind
from node.domain.profile import SHIPPED, VIEWER, Kind
from node.domain.route import Route
from node.domain.state import JobState
from node.settings.peers import Peer
from node.sinks.dimse import Dimse, DimseSink
from node.sinks.port import Sink
from tests.lab.howto import HowTo
from tests.lab.iocm import IocmArchive, iocm_archive
from tests.unit.flow.line import Cut, PowerCut, run_line
from tests.unit.flow.mini import MiniNode
from tests.unit.flow.test_statements import PHANTOM, application_of, at, mixed, received, status

TAKES = replace(VIEWER, name="takes withdrawals", kinds=VIEWER.kinds | {Kind.WITHDRAWAL})

ROUTE = Route(name="all", run=("threshold",), send=("archive",))


def taking(node: MiniNode) -> MiniNode:
    """The archive takes notes that withdraw; the second sink, which gets the same results, does not."""
    sinks = node.config.sinks
    node.configure(
        sinks={"archive": replace(sinks["archive"], profile=TAKES), "second": sinks["second"]},
        routes=(replace(ROUTE, send=("archive", "second")),),
    )
    return node


def run(node: MiniNode, archive: Sink | None = None) -> None:
    """Until nothing is left to do."""
    run_line(node, application_of, archive=archive)


def withdrawals(node: MiniNode) -> list[Job]:
    return [job for job in node.jobs() if job.kind is JobKind.WITHDRAWAL]


def references(note: Dataset) -> set[str]:
    """What a note names, in its content."""
    return {str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for item in note.ContentSequence if "ReferencedSOPSequence" in item}


def test_no_shipped_profile_withdraws() -> None:
    """An archive that does not follow the profile would show one more entry."""
    assert [name for name, profile in SHIPPED.items() if Kind.WITHDRAWAL in profile.kinds] == []


def test_late_slices_withdraw_the_result_without_them(node: MiniNode) -> None:
    """One note, behind the successor, in the archive that takes it alone: for safety reasons, of exactly the three objects."""
    run(taking(received(node, head=4)))
    first = {str(one.SOPInstanceUID) for one in at(node)}
    assert withdrawals(node) == []
    run(received(node, head=6))
    run(node)
    objects = at(node)
    assert len(objects) == 7
    note = objects[-1]
    assert (note.SOPClassUID, note.Modality) == ("1.2.840.10008.5.1.4.1.1.88.59", "KO")
    title = note.ConceptNameCodeSequence[0]
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113037", "DCM")
    assert references(note) == first
    assert note.SeriesDescription.startswith("Withdrawn: Brain volume note")
    assert len(at(node, "second")) == 6
    (job,) = withdrawals(node)
    assert (job.state, job.sinks) == (JobState.DONE, ("archive",))


def test_the_profile_of_the_page_withdraws(node: MiniNode, tmp_path: Path) -> None:
    """docs/howto/withdraw-results.md: its profile and its sink, as the node reads them."""
    (block,) = HowTo("withdraw-results.md").blocks("yaml")
    config = tmp_path / "page.yaml"
    config.write_text(f'{block}peers: {{pacs: {{ae_title: PACS, address: "10.0.0.5:104"}}}}\n', encoding="utf-8")
    told = load(config).sinks["archive"].profile
    node.configure(sinks={"archive": replace(node.config.sinks["archive"], profile=told)}, routes=(ROUTE,))
    run(received(node, head=4))
    first = {str(one.SOPInstanceUID) for one in at(node)}
    run(received(node, head=6))
    run(node)
    (note,) = (one for one in at(node) if one.get("Modality") == "KO")
    assert references(note) == first


def test_notes_of_several_patients_are_withdrawn_apart(node: MiniNode) -> None:
    """A note of rejection stands with the patient whose object it names, and names no other's."""
    run(taking(mixed(node)))
    told = {str(one.PatientID): str(one.SOPInstanceUID) for one in at(node)}
    assert {"Doe", "Roe"} <= told.keys()
    before = set(told.values())
    run(received(node, head=6))
    rejected = {str(one.PatientID): references(one) for one in at(node) if one.get("Modality") == "KO"}
    assert {patient: named & before for patient, named in rejected.items()} == {patient: {uid} for patient, uid in told.items()}


def test_a_note_that_there_was_none_is_withdrawn_by_the_result(node: MiniNode) -> None:
    """For quality reasons, with a reason of CID 7011, as the title asks for."""
    run(taking(received(node, head=PHANTOM)))
    (statement,) = at(node)
    assert status(statement) == "111225"
    run(received(node, head=6))
    note = at(node)[-1]
    assert note.ConceptNameCodeSequence[0].CodeValue == "113001"
    modifiers = [item for item in note.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "113011"]
    assert [item.ConceptCodeSequence[0].CodeValue for item in modifiers] == ["111220"]
    assert references(note) == {statement.SOPInstanceUID}


@pytest.mark.parametrize("slices", [(4, 6)])
def test_an_archive_that_follows_iocm_shows_the_successor_alone(node: MiniNode, slices: tuple[int, int]) -> None:
    """Over a real association: before late slices it shows the first result, afterwards the second, and nothing is ever hidden before."""
    taking(node)
    with iocm_archive() as archive:
        peer = Peer(name="archive", ae_title="IOCM", host="127.0.0.1", port=archive.port)
        node.configure(sinks={**node.config.sinks, "archive": replace(node.config.sinks["archive"], destination=Dimse(peer="archive"))})
        shown = []
        for count in slices:
            run(received(node, head=count), DimseSink("archive", "archive", PeerRequestor(peer, calling_ae="HILUM")))
            shown.append(set(archive.shown()))
        results = [job for job in node.jobs() if job.kind is JobKind.ANALYSIS]
        assert shown == [{one.sop_instance_uid for one in node.journal.results.of_job(job.id)} for job in results]
        assert set(archive.rejected.values()) == {"113037"}
        _never_hidden_early(archive, shown[1])


def _never_hidden_early(archive: IocmArchive, successor: set[str]) -> None:
    """When the note came, all of the successor had come."""
    classes = [str(one.SOPClassUID) for one in archive.came]
    before = {str(one.SOPInstanceUID) for one in archive.came[: classes.index("1.2.840.10008.5.1.4.1.1.88.59")]}
    assert successor <= before


@pytest.mark.slow
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_kill_at_every_write_leaves_one_note(tmp_path: Path, make_node: Callable[[Path], MiniNode], side: str) -> None:
    """Killed before or after each write of the journal from the late slices on, and begun again: the same bytes, once."""

    prepared = taking(make_node(tmp_path / "prepared"))
    run(received(prepared, head=4))
    received(prepared, head=6)
    prepared.journal.close()

    def superseding(name: str) -> tuple[MiniNode, Cut]:
        # to the line it is the same node: what came before the late slices is copied
        shutil.copytree(prepared.folder, tmp_path / name)
        node = taking(make_node(tmp_path / name))
        node.config = replace(node.config, digest=prepared.config.digest)
        node.clock.now = prepared.clock.now
        return node, Cut(node)

    undisturbed, cut = superseding("undisturbed")
    run(undisturbed)
    meant = at(undisturbed)[-1]
    for write in range(1, cut.writes + 1):
        node, killed = superseding(str(write))
        killed.at = (write, side)
        try:
            run(node)
        except PowerCut:
            killed.at = None
            run(node)
        assert at(node)[-1].SOPInstanceUID == meant.SOPInstanceUID
        assert len(withdrawals(node)) == 1
