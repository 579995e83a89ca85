"""A study of which an application gave no result: one note says so, and none stands beside a result."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID

from inference.applications.errors import UnknownApplication
from inference.applications.mr_brain.extraction import NoBrainOnT1
from inference.applications.port import Application, Infer
from inference.engines.errors import EngineAway
from inference.findings import Findings
from inference.imaging.subjects import subjects
from inference.imaging.volume import Volume
from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid
from node.domain.job import Job, JobKind, Priority
from node.domain.notes import NoResult, Why
from node.domain.profile import ARCHIVE, Language
from node.domain.route import Condition, ConditionOperator, Route
from node.domain.shortage import RefusedInstance, TornSeries, WhenShort
from node.domain.state import DeliveryState, JobState
from node.flow.engines import Engines
from node.flow.infer import Analyst
from node.flow.route import RouteStage
from node.flow.runner import Runner
from node.flow.settle import SettleStage
from node.journal.port import CameAgain
from node.results.identity import description_of
from node.results.port import Encoded, Encoding
from node.results.statement.make import encode_statement
from node.results.statement.wording import named, of_series
from node.results.withdrawal.make import encode_withdrawal
from node.settings.config import ApplicationSettings
from node.upkeep.archive_notes import StatementStage
from tests.unit.flow.line import Cut, PowerCut, run_line
from tests.unit.flow.mini import APPLICATION, CountingPeer, MiniNode, ThresholdEngine, encode, threshold

PHANTOM = 5
"""So many slices has what the application takes for no head."""


def judged(volume: Volume, infer: Infer) -> Findings:
    """What the images show decides, not their headers."""
    if volume.voxels.shape[0] == PHANTOM:
        raise NoBrainOnT1("the images show no head")
    return threshold(volume, infer)


HEADS = replace(APPLICATION, analyse=judged, noun="Brain volume")


def application_of(name: str) -> Application:
    if name == "absent":
        raise UnknownApplication('there is no application "absent"')
    return HEADS


def run(node: MiniNode, engine: ThresholdEngine | None = None, made: list[Encoding] | None = None) -> None:
    """Until nothing is left to do; `made` gets what was encoded."""

    def kept(encoding: Encoding) -> list[Encoded]:
        if made is not None:
            made.append(encoding)
        return encode(encoding)

    run_line(node, application_of, engine=engine, encode=kept)


def received(node: MiniNode, **series: int) -> MiniNode:
    """One study that is due: of each series so many slices."""
    for name, slices in series.items():
        node.receive_images("study", name, slices=slices)
    node.clock.advance(60)
    return node


def at(node: MiniNode, sink: str = "archive") -> list[Dataset]:
    """What the sink was sent, oldest job first."""
    objects = {one.sop_instance_uid: one.id for job in node.jobs() for one in node.journal.results.of_job(job.id)}
    found = [dcmread(path) for path in (node.folder / sink).rglob("*.dcm")]
    return sorted(found, key=lambda dataset: objects[dataset.SOPInstanceUID])


def statements(node: MiniNode) -> list[Job]:
    return [job for job in node.jobs() if job.kind is JobKind.STATEMENT]


def status(note: Dataset) -> str:
    """The value of (111065, DCM, "Summary of Analyses"), PS3.16 CID 6042."""
    (value,) = [item.ConceptCodeSequence[0].CodeValue for item in note.ContentSequence if _name(item) == "111065"]
    return str(value)


def texts(note: Dataset) -> list[str]:
    """Its conclusion, and its comments."""
    return [str(item.TextValue) for item in note.ContentSequence if _name(item) in ("121077", "121106")]


def _name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def test_a_declined_study_gets_one_note_that_stands_alone(node: MiniNode) -> None:
    """Enhanced SR: a sentence nobody can take for "nothing found", Not Attempted, why, and what was looked at; it measures nothing."""
    run(received(node, phantom=PHANTOM))
    (note,) = at(node)
    assert (note.SOPClassUID, note.Modality) == ("1.2.840.10008.5.1.4.1.1.88.22", "SR")
    assert note.SeriesDescription == "No result: Brain volume note, threshold 1.0.0"
    assert status(note) == "111225"
    said, why = texts(note)
    assert [_name(item) for item in note.ContentSequence][:3] == ["121077", "121106", "111065"], "viewers write items in their order"
    assert said == (
        "No result: Brain volume (threshold 1.0.0). The software gave none for this study. The images could not be used for this "
        "analysis. This does not mean that nothing was found."
    )
    assert why.endswith(": the images show no head [HLM-3150]")
    assert (note.PreliminaryFlag, note.VerificationFlag, note.ContentQualification) == ("PRELIMINARY", "UNVERIFIED", "RESEARCH")
    assert {item.ValueType for item in note.ContentSequence} == {"CODE", "TEXT", "UIDREF"}
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert study.StudyInstanceUID == note.StudyInstanceUID == derive_uid("study")
    sent = {str(one.SOPInstanceUID) for one in map(dcmread, (node.folder / "sent").rglob("*.dcm"))}
    assert {one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence} == sent
    (job,) = statements(node)
    assert (job.state, [one.state for one in node.deliveries(job.id)]) == (JobState.DONE, [DeliveryState.DELIVERED])


def test_readers_are_told_of_images_by_their_numbers(node: MiniNode) -> None:
    """A slice is missing between others: the note names its neighbours as viewers do, the operator's job has their UIDs."""
    node.configure(routes=tuple(replace(route, short=WhenShort.RUN) for route in node.config.routes))
    study, series = derive_uid("study"), derive_uid("study", "gap")
    affine = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
    files = write_series(
        np.zeros((12, 8, 8), dtype=np.int16), affine, node.folder / "sent", modality="MR", study_uid=study, series_uid=series
    )
    node.receive_files(study, series, [path for path in files if dcmread(path).InstanceNumber != 6])
    node.clock.advance(60)
    run(node)
    (note,) = at(node)
    (job,) = (one for one in node.jobs() if one.kind is JobKind.ANALYSIS)
    assert job.code == "HLM-3019"
    assert texts(note)[1].endswith(": 1 slice is missing at a spacing of 2.00 mm: between image 5 and image 7 (4.00 mm) [HLM-3019]")
    neighbours = {int(dcmread(path).InstanceNumber): str(dcmread(path).SOPInstanceUID) for path in files}
    assert job.reason is not None
    assert f"between {neighbours[5]} and {neighbours[7]}" in job.reason


def test_series_are_called_as_people_know_them() -> None:
    """By number or description; where there is neither, a UID says no more to a reader than that it is a series."""
    images, series = {"1.2.3.1": "12"}, {"1.2.3": "4", "1.2.4": ""}
    assert named("what was marked in series 1.2.3 is no brain, from 1.2.3.1 frame 2 on", images, series) == (
        "what was marked in series 4 is no brain, from image 12 frame 2 on"
    )
    assert (
        named("it does not take series 1.2.4: 7.33 mm, and 1.2.3.9", images, series) == "it does not take the series: 7.33 mm, and 1.2.3.9"
    )
    cut = NoResult(job=1, series_instance_uid="1.2.4", why=Why.DECLINED, code="HLM-3101", reason="it is cut")
    assert of_series("", cut, Language.ENGLISH) == "A series without number: it is cut [HLM-3101]"
    assert of_series("", cut, Language.CHINESE) == "未编号的序列：序列不属于此项分析的适用范围[HLM-3101]"


def test_two_declined_series_get_one_note(node: MiniNode) -> None:
    """Both are named in it, and a second sweep, or a restart, makes no other."""
    node.configure(routes=(replace(node.config.routes[0], each=True),))
    run(received(node, one=PHANTOM, two=PHANTOM))
    run(node)
    (note,) = at(node)
    assert len(note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence) == 2
    assert "Series 1: the images show no head [HLM-3150]" in texts(note)


def mixed(node: MiniNode) -> MiniNode:
    """One series of which the first two slices are Doe's, two are Roe's, and one is nobody's."""
    node.receive_images("study", "head", slices=PHANTOM)
    files = sorted((node.folder / "sent").rglob("*.dcm"))
    return rewritten(node, files, ("Doe", "Doe", "Roe", "Roe", ""))


def rewritten(node: MiniNode, files: Sequence[Path], patients: Sequence[str]) -> MiniNode:
    """The same series once more, each slice under the ID of one of `patients`."""
    now = []
    for number, (path, patient) in enumerate(zip(files, patients, strict=True)):
        dataset = dcmread(path)
        dataset.PatientID = patient
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(derive_uid("mixed", str(number), *patients))
        now.append(node.folder / f"mixed-{number}-{len(set(patients))}.dcm")
        dataset.save_as(now[-1])
    series = derive_uid("study", "mixed", *patients)
    node.receive_files(derive_uid("study"), series, now)
    node.clock.advance(60)
    return node


def test_every_patient_of_a_mixed_series_is_told_and_none_of_the_others_images(node: MiniNode) -> None:
    """One note a patient, nobody's too, in the study: under its ID, referring to its own slices alone, saying that others are concerned."""
    run(mixed(node))
    of_mixed = {str(one.SOPInstanceUID): str(one.PatientID) for one in map(dcmread, node.folder.glob("mixed-*.dcm"))}
    notes = [one for one in at(node) if one.SeriesDescription.startswith("No result")]
    told: dict[str, set[str]] = {}
    for note in notes:
        (study,) = note.CurrentRequestedProcedureEvidenceSequence
        named = {str(one.ReferencedSOPInstanceUID) for series in study.ReferencedSeriesSequence for one in series.ReferencedSOPSequence}
        told[str(note.PatientID)] = {of_mixed[uid] for uid in named if uid in of_mixed}
        said = texts(note)
        assert "The images name more than one patient, or some of them name none: this note stands with each" in said[0]
        assert not [uid for uid in of_mixed if any(uid in one for one in said)], "the words name no instance: it may be another's"
    assert {one: whose for one, whose in told.items() if one in ("Doe", "Roe", "")} == {"Doe": {"Doe"}, "Roe": {"Roe"}, "": {""}}
    assert all(whose <= {patient} for patient, whose in told.items())


def test_a_result_of_another_series_is_an_answer(node: MiniNode) -> None:
    """One series good, one declined: no note."""
    node.configure(routes=(replace(node.config.routes[0], each=True),))
    run(received(node, head=4, phantom=PHANTOM))
    assert statements(node) == []
    assert len(at(node)) == 3


def test_what_is_not_applicable_gets_no_note(node: MiniNode) -> None:
    """Headers exclude it: nobody asked that of such a series."""
    run(received(node, scout=2))
    assert [job.state for job in node.jobs()] == [JobState.NOT_APPLICABLE]
    assert at(node) == []


def test_a_failed_analysis_is_called_failed(node: MiniNode) -> None:
    """An engine that breaks uses the attempts up."""
    node.configure(applications={"threshold": ApplicationSettings(name="threshold", attempts=1)})
    run(received(node, head=4), ThresholdEngine(fails=RuntimeError("broken")))
    (note,) = at(node)
    assert status(note) == "111224"
    assert "The analysis failed. This does not mean that nothing was found." in texts(note)[0]


def test_what_is_under_way_is_waited_for_until_its_deadline(node: MiniNode) -> None:
    """An engine that is away: nothing is said before the deadline, then that it is late; the result, when it comes, supersedes the note."""
    node.configure(routes=(replace(node.config.routes[0], deadline=timedelta(minutes=10)),))
    away = ThresholdEngine(fails=EngineAway("nobody answers"))
    received(node, head=4)
    run(node, away)
    assert statements(node) == []
    node.clock.advance(601)
    run(node, away)
    (note,) = at(node)
    assert status(note) == "111225"
    assert "did not end in the time that was set for it" in texts(note)[0]
    node.clock.advance(60)
    made: list[Encoding] = []
    run(node, made=made)
    (job,) = statements(node)
    assert job.state is JobState.SUPERSEDED
    assert len(at(node)) == 4
    caution = made[0].findings.cautions[0]
    assert (caution.sentence, caution.mark) == ("This result replaces the note of 2026-03-10 12:11 UTC that there was none.", "")


def test_a_revision_says_what_it_replaces(node: MiniNode) -> None:
    """Late slices make another result: its Series Descriptions begin with that, since the earlier one stays where it is."""
    made: list[Encoding] = []
    run(received(node, head=4), made=made)
    for revision, slices in ((2, 6), (3, 7)):
        run(received(node, head=slices), made=made)
        caution = made[-1].findings.cautions[0]
        assert caution.mark == f"Revision {revision}"
        before = f"it replaces the result of 2026-03-10 12:0{revision - 1} UTC, which"
        assert caution.sentence.startswith(f"This is revision {revision}: {before}")
    assert not any(one.mark.startswith("Revision") for one in made[0].findings.cautions)


def test_a_revision_of_the_same_images_does_not_say_that_they_are_others(node: MiniNode) -> None:
    """A transfer that broke off is made again and brings nothing new: there is a result without the remark now, and it says why."""
    node.configure(routes=(replace(node.config.routes[0], short=WhenShort.RUN),))
    ids = node.receive_images("study", "head", slices=4)
    uids = {"series_instance_uid": derive_uid("study", "head"), "study_instance_uid": derive_uid("study")}
    node.journal.shortage.owe([], [TornSeries(association="a1", peer="ct1", at=node.clock(), **uids)])
    node.clock.advance(60)
    made: list[Encoding] = []
    run(node, made=made)
    assert any(one.startswith("The series may be incomplete") for one in made[-1].findings.remarks)
    node.clock.advance(60)
    again = [CameAgain(instance=one, peer="ct1", called_ae="HILUM", scope_series=False, due_at=node.clock()) for one in ids]
    node.journal.instances.came_again(again, node.config.digest, node.clock())
    node.clock.advance(60)
    run(node, made=made)
    first, second = node.jobs()
    assert first.input_digest == second.input_digest
    (caution,) = made[-1].findings.cautions
    assert caution.sentence == (
        f"This is revision 2: it replaces the result of {first.inferred_at:%Y-%m-%d %H:%M} UTC, which said of the "
        "same images that some may be missing."
    )
    assert not any(one.startswith("The series may be incomplete") for one in made[-1].findings.remarks)


def test_of_an_incomplete_revision_it_is_said_first_that_it_is_incomplete(node: MiniNode) -> None:
    """Then what it replaces, and the note that it replaces last; the Series Description says both, in the same order."""
    node.configure(routes=(replace(node.config.routes[0], priority=Priority.URGENT),))
    run(received(node, head=PHANTOM))
    made: list[Encoding] = []
    for slices in (6, 7):
        node.receive_images("study", "head", slices=slices)
        if slices == 7:
            uids = {"series_instance_uid": derive_uid("study", "head"), "study_instance_uid": derive_uid("study")}
            refused = RefusedInstance(sop_instance_uid="1.2.3", peer="ct1", status=0xA700, at=node.clock(), **uids)
            node.journal.shortage.owe([refused], [])
        for _ in range(2):
            node.clock.advance(121)
            run(node, made=made)
    cautions = made[-1].findings.cautions
    assert [one.mark for one in cautions] == ["INCOMPLETE 7 of 8", "Revision 2", ""]
    assert cautions[2].sentence.startswith("This result replaces the note")
    said = description_of(made[-1], "SEG")
    assert said.startswith("INCOMPLETE 7 of 8: Revision 2: Brain volume SEG")
    assert len(said) <= 64


def test_of_an_incomplete_series_that_is_declined_it_is_said_first_that_it_is_incomplete(node: MiniNode) -> None:
    """What was looked at was not all of it: who reads why there is no result knows that before the rest, in Chinese too."""
    archive = node.config.sinks["archive"]
    both = replace(archive.profile, name="both", languages=(Language.ENGLISH, Language.CHINESE))
    node.configure(
        routes=(replace(node.config.routes[0], priority=Priority.URGENT),),
        sinks={**node.config.sinks, "archive": replace(archive, profile=both)},
    )
    received(node, head=PHANTOM)
    uids = {"series_instance_uid": derive_uid("study", "head"), "study_instance_uid": derive_uid("study")}
    node.journal.shortage.owe([RefusedInstance(sop_instance_uid="1.2.3", peer="ct1", status=0xA700, at=node.clock(), **uids)], [])
    for _ in range(2):
        node.clock.advance(121)
        run(node)
    assert {texts(note)[1] for note in at(node)} == {
        "Series 1: INCOMPLETE 5 of 6: the images show no head [HLM-3150]",
        "序列1：不完整（6中的5）：图像中未见头部，或对比不是T1加权[HLM-3150]",
    }


def test_while_the_study_comes_in_nothing_is_said(node: MiniNode) -> None:
    """A series that was declined says nothing of the next one, which another peer still sends; its result is the answer."""
    received(node, phantom=PHANTOM)
    node.receive_images("study", "head", peer="other")
    run(node)
    assert statements(node) == []
    node.clock.advance(60)
    run(node)
    assert (statements(node), len(at(node))) == ([], 3)


def test_a_retry_that_gives_a_result_supersedes_a_note_that_has_not_left(node: MiniNode) -> None:
    """The note waits for its sink when the result comes: it never leaves."""
    node.configure(applications={"threshold": ApplicationSettings(name="threshold", attempts=1)})
    run(received(node, head=4), ThresholdEngine(fails=RuntimeError("broken")))
    (note,) = statements(node)
    node.journal.deliveries.resend(note.id, "second", node.clock())
    (failed,) = [job for job in node.jobs() if job.kind is JobKind.ANALYSIS]
    node.journal.jobs.revive(failed.id, node.clock())
    engines = Engines(node.config, lambda _: ThresholdEngine(), application_of)
    analyst = Analyst(node.config, application_of, engines.of)
    runner = Runner(
        *(node.journal, node.blobs, node.config, node.clock, "work", analyst, encode),
        assemble=subjects,
        encode_statement=encode_statement,
        encode_withdrawal=encode_withdrawal,
        application_of=application_of,
        away=engines.away,
    )
    assert runner.step() == 1
    assert node.journal.jobs.get(note.id).state is JobState.SUPERSEDED
    assert [one.state for one in node.deliveries(note.id)] == [DeliveryState.DELIVERED, DeliveryState.CANCELLED]


def test_a_note_that_nobody_needs_any_more_is_not_tried_for_ever(node: MiniNode) -> None:
    """The operator cancels the analysis before its note is made: there is nothing to say. What fails afterwards has a note of its own."""
    node.configure(applications={"threshold": ApplicationSettings(name="threshold", attempts=1)})
    received(node, head=4)
    SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()).step()
    RouteStage(node.journal, node.config, node.clock, lambda _: "default", application_of).step()
    (analysis,) = node.jobs()
    node.journal.jobs.end(analysis.id, None, JobState.PARKED, "HLM-3150", "no head", node.clock(), declined=True)
    assert StatementStage(node.journal, node.config, node.clock).step() == 1
    node.journal.jobs.end(analysis.id, None, JobState.CANCELLED, "", "by the operator", node.clock())
    run(node)
    (note,) = statements(node)
    assert (note.state, at(node)) == (JobState.SUPERSEDED, [])
    node.journal.jobs.revive(analysis.id, node.clock())
    run(node, ThresholdEngine(fails=RuntimeError("broken")))
    assert len(statements(node)) == 2
    assert [status(one) for one in at(node)] == ["111224"]


def test_an_application_that_cannot_be_loaded_is_told_of_too(node: MiniNode) -> None:
    """Its job is parked for a person; the reader reads its name, and that there is no result."""
    node.configure(routes=(Route(name="all", run=("absent",), send=("archive",)),))
    run(received(node, head=4))
    (note,) = at(node)
    assert note.SeriesDescription.startswith("No result: absent note")
    assert (status(note), "The analysis failed." in texts(note)[0]) == ("111224", True)


def test_sinks_choose(node: MiniNode) -> None:
    """A research archive gets none; a viewer in Chinese gets one in Chinese."""
    sinks = node.config.sinks
    chinese = replace(sinks["second"].profile, name="zh", languages=(Language.CHINESE,))
    node.configure(
        sinks={"archive": replace(sinks["archive"], profile=ARCHIVE), "second": replace(sinks["second"], profile=chinese)},
        routes=(Route(name="all", run=("threshold",), send=("archive", "second")),),
    )
    run(received(node, phantom=PHANTOM))
    assert at(node) == []
    (note,) = at(node, "second")
    assert texts(note)[0].endswith("这并不表示未发现异常。")
    assert note.SeriesDescription.startswith("无结果")


def test_without_a_sink_that_wants_it_no_note_is_made(node: MiniNode) -> None:
    """Nor is the study looked at again and again."""
    node.configure(sinks={name: replace(sink, profile=ARCHIVE) for name, sink in node.config.sinks.items()})
    run(received(node, phantom=PHANTOM))
    assert statements(node) == []


@pytest.mark.slow
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_kill_at_every_write_leaves_one_note(tmp_path: Path, make_node: Callable[[Path], MiniNode], side: str) -> None:
    """Killed before or after each write of the journal and begun again: the same bytes, once."""
    undisturbed = received(make_node(tmp_path / "undisturbed"), phantom=PHANTOM)
    cut = Cut(undisturbed)
    run(undisturbed)
    (meant,) = at(undisturbed)
    for write in range(1, cut.writes + 1):
        node = received(make_node(tmp_path / str(write)), phantom=PHANTOM)
        killed = Cut(node)
        killed.at = (write, side)
        try:
            run(node)
        except PowerCut:
            killed.at = None
            run(node)
        (note,) = at(node)
        assert note.SOPInstanceUID == meant.SOPInstanceUID
        assert len(statements(node)) == 1


CT = Condition(keyword="Modality", operator=ConditionOperator.EQUALS, expected=("CT",))
MR = replace(CT, expected=("MR",))
EXPECTS = Route(name="chest CT", when=(CT,), run=("threshold",), send=("archive",), expect=True)
ACCEPTS_CT = replace(HEADS, accepts=replace(HEADS.accepts, modality=("CT",)))


def test_a_study_of_which_a_route_expects_a_series_in_vain_gets_one_note(node: MiniNode) -> None:
    """One for all of its series, with the one that came nearest and what kept it out; nobody is alarmed, and no job waits for a person."""
    node.configure(routes=(EXPECTS,))
    run(received(node, localizer=3, volume=4))
    (note,) = at(node)
    said, why = texts(note)
    assert said == (
        "No result: Brain volume (threshold 1.0.0). The software gave none for this study. The study holds no series that this analysis is "
        "for. This does not mean that nothing was found."
    )
    assert why.endswith("Modality is MR, expected CT [HLM-3094]")
    assert 'no series is what the route "chest CT" asks for' in why
    assert status(note) == "111225"
    assert [job.state for job in node.jobs() if job.kind is JobKind.ANALYSIS] == [JobState.NOT_APPLICABLE]
    run(node)
    assert len(at(node)) == 1


def test_what_a_route_expects_of_the_person_is_quoted_and_of_the_image_is_not(node: MiniNode) -> None:
    """The log and whoever may not know the patient leave out what is quoted; a modality is told as it is."""
    asked = replace(CT, keyword="PatientName", expected=("DOE^JOHN",))
    node.configure(routes=(replace(EXPECTS, when=(asked, CT)),))
    run(received(node, localizer=3, volume=4))
    (job,) = [job for job in node.jobs() if job.kind is JobKind.ANALYSIS]
    assert job.reason is not None
    assert re.search("PatientName is «[^»]+», expected DOE.JOHN; Modality is MR, expected CT", job.reason), job.reason


def test_a_series_that_the_application_excludes_is_told_of_where_one_is_expected(node: MiniNode) -> None:
    """The route took it, the manifest did not; without `expect` nobody hears of it."""
    expects = replace(EXPECTS, when=(MR,))
    node.configure(routes=(replace(expects, expect=False),))
    run_line(received(node, volume=4), lambda _: ACCEPTS_CT)
    assert at(node) == []
    node.configure(routes=(expects,))
    node.receive_images("another", "volume")
    node.clock.advance(60)
    run_line(node, lambda _: ACCEPTS_CT)
    (note,) = at(node)
    assert texts(note)[1].endswith("modality is MR, not CT [HLM-3101]")


@pytest.mark.parametrize(
    "changes",
    [{"peers": ("another",)}, {"called": ("ANOTHER",)}, {"any_series": (CT,)}, {"all_series": (CT,)}, {"expect": False}],
    ids=["sender", "called", "any", "all", "unexpected"],
)
def test_nothing_is_expected_of_other_studies(node: MiniNode, changes: dict[str, Any]) -> None:
    """Who sends it, and what is asked of the study as a whole, say of which studies the route expects a series."""
    node.configure(routes=(replace(EXPECTS, **changes),))
    run(received(node, volume=4))
    assert (at(node), node.jobs()) == ([], [])


def test_what_another_route_of_the_application_takes_is_a_result(node: MiniNode) -> None:
    """Of the application, not of the route, a result is expected."""
    node.configure(routes=(EXPECTS, Route(name="head MR", when=(MR,), run=("threshold",), send=("archive",))))
    run(received(node, volume=4))
    assert statements(node) == []
    assert [job.state for job in node.jobs()] == [JobState.DONE]


def test_a_series_that_comes_late_takes_the_place_of_the_note(node: MiniNode) -> None:
    """The result supersedes it, and goes to the sinks that somebody asked for."""
    node.configure(routes=(replace(EXPECTS, when=(replace(MR, keyword="SeriesNumber", expected=(2,)),)),))
    run(received(node, volume=4))
    (note,) = statements(node)
    assert note.state is JobState.DONE
    node.configure(routes=(replace(EXPECTS, when=(MR,)),))
    run(received(node, late=4))
    assert [job.state for job in statements(node)] == [JobState.SUPERSEDED]
    assert JobState.DONE in [job.state for job in node.jobs() if job.kind is JobKind.ANALYSIS]


def test_what_is_expected_in_vain_gives_no_result_to_a_sink_that_did_not_ask_for_it(node: MiniNode) -> None:
    """Another sender's images of the series were analysed before: the route that takes none of them gets nothing of it."""
    head = Route(name="head MR", peers=("ct1",), when=(MR,), run=("threshold",), send=("archive",))
    node.configure(
        routes=(head, replace(EXPECTS, peers=("ct2",), send=("second",))), peers={**node.config.peers, "ct2": node.config.peers["ct1"]}
    )
    run(received(node, volume=4))
    node.receive_images("study", "volume", slices=4, peer="ct2")
    node.receive_images("study", "more", slices=4, peer="ct2")
    node.clock.advance(60)
    run(node)
    assert (len(at(node)), at(node, "second")) == (3, [])


@pytest.mark.parametrize("excluded", ["by routing", "by the files"])
def test_a_route_that_asks_for_it_has_what_is_not_applicable_parked(node: MiniNode, excluded: str) -> None:
    """Whoever finds it out, routing or whoever reads the files: with its reason, and told to the reader as what is parked is."""
    node.configure(routes=(replace(EXPECTS, when=(MR,), expect=False, parks_excluded=True),))
    received(node, volume=4)
    if excluded == "by routing":
        run_line(node, lambda _: ACCEPTS_CT)
    else:
        SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()).step()
        RouteStage(node.journal, node.config, node.clock, lambda _: "default", application_of).step()
        run_line(node, lambda _: ACCEPTS_CT)
    (job,) = [job for job in node.jobs() if job.kind is JobKind.ANALYSIS]
    assert (job.state, job.code) == (JobState.PARKED, "HLM-3101")
    assert job.declined
    (note,) = at(node)
    assert texts(note)[1].endswith("modality is MR, not CT [HLM-3101]")


def test_what_is_expected_in_vain_is_parked_where_the_route_asks_for_that(node: MiniNode) -> None:
    """Both words on one route: a person decides, and the reader is told as well."""
    node.configure(routes=(replace(EXPECTS, parks_excluded=True),))
    run(received(node, volume=4))
    (job,) = [job for job in node.jobs() if job.kind is JobKind.ANALYSIS]
    assert (job.state, job.code) == (JobState.PARKED, "HLM-3094")
    assert len(at(node)) == 1
