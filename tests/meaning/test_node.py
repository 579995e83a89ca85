"""The matrix of meaning through a real node: cells of additions in which any two things meet in any two ways, and which meet every row of
the hand's table; and every row of rewrites but the other encoding, as peers send them. One node, one start; each cell is a patient of its
own.

Counted are the reports that were delivered: which instances each refers to, whose these are, what it measured, and how often it came.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pydicom import Dataset, dcmread

from node.domain.instance import Standing
from node.domain.state import ArrivalState, DeliveryState, JobState
from node.flow.settle import complete_now
from node.journal.journal import Journal
from node.routing.series import contents
from tests.lab.node import Node, configuration, hilum
from tests.lab.program import Late, wait_until
from tests.meaning.scenes import WHO, Scene, Sent, addition, rewrite, sum_cm3
from tests.meaning.table import every_row_and_pair, rewrites

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_APPLICATIONS = Path(__file__).parent / "applications"
_PATIENCE_S = 400
_ACTIVE = (JobState.QUEUED, JobState.INFERRED, JobState.ENCODED)
_ENDED_WITHOUT = {JobState.PARKED, JobState.FAILED, JobState.CANCELLED, JobState.NOT_APPLICABLE}


def _settings(folder: Path) -> dict[str, object]:
    # longer than a wave takes to send on any machine: what is not late comes before anything settles, which a person's word does then
    settle = {"quiet": "1h"}
    peers: dict[str, dict[str, object]] = {
        "ct1": {"ae_title": "CT1", "archive": "scanners"},
        "ct1b": {"ae_title": "CT1B", "archive": "scanners"},
        "pacs": {"ae_title": "PACS"},
        "master": {"ae_title": "MASTER", "may": ["store", "echo", "correct"]},
    }
    made = configuration(
        folder,
        port=0,
        repository=folder / "models",
        peers={name: {**peer, "address": "127.0.0.1:0", "settle": settle} for name, peer in peers.items()},
        sinks={"results": {"kind": "folder", "path": str(folder / "results"), "profile": "reports"}},
        # what is held of a series may leave a gap in it: nobody is to wait half an hour for that
        routes=[{"name": "all", "when": {"Modality": "CT"}, "run": ["meaning-sum"], "each": True, "send": ["results"], "short": "run"}],
        profiles={"reports": {"like": "viewer", "masks": "none", "summary": False}},
    )
    listener = {"ae_title": "HILUM", "listen": "127.0.0.1:0", "strangers": True}
    return {**made, "node": listener, "models": {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}}


def _scenes() -> list[Scene]:
    additions = [addition(cell, f"{number}") for number, cell in enumerate(every_row_and_pair(), start=1)]
    # what another encoding is, test_rewrites.py asks
    again = [(who, what, end) for who, what, end in rewrites() if what != "encoding"]
    return additions + [rewrite(who, what, end, f"{500 + number}") for number, (who, what, end) in enumerate(again)]


def _send(node: Node, sent: Sequence[Sent]) -> None:
    """One association a sender and turn: what comes first is acknowledged before the rest is sent. Of a stranger both halves come
    one behind the other: it settles by the default, sooner than the peers do."""
    callers = [*(calling for calling in WHO.values() if calling != "WHO"), "WHO"]
    for turn in sorted({one.turn for one in sent}):
        for calling in callers if turn < 2 else reversed(callers):
            mine = [one for one in sent if (one.turn, one.calling) == (turn, calling)]
            if mine:
                _store(node, calling, mine)


def _store(node: Node, calling: str, sent: Sequence[Sent]) -> None:
    with TemporaryDirectory() as folder:
        for number, one in enumerate(sent):
            one.dataset.save_as(Path(folder) / f"{number:04d}.dcm", enforce_file_format=True)
        said = hilum("send", folder, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", calling, "--json")
    assert said.code == 0, said.out[-2000:] + said.err


def _wait(node: Node, journal: Journal, folder: Path) -> None:
    """Until everything is in the journal, complete, routed, analysed and delivered, or has ended otherwise."""

    def idle() -> bool:
        if any(one.suffix == ".dcm" for one in (folder / "blobs" / "inbox").iterdir()):
            return False
        for arrival in journal.arrivals.find(states=(ArrivalState.RECEIVED,), limit=1000):
            complete_now(journal.arrivals, arrival, journal.now())
        return not (
            journal.arrivals.find(states=(ArrivalState.RECEIVED, ArrivalState.COMPLETE), limit=1)
            or journal.jobs.find(states=_ACTIVE, limit=1)
            # the node asks for these every few seconds, whether or not anything else is under way
            or journal.statements.insert(["results"], journal.now())
            or journal.deliveries.find(states=(DeliveryState.WAITING,), limit=1)
        )

    try:
        wait_until(idle, _PATIENCE_S, "everything has ended", every_s=0.5)
    except Late as late:
        raise AssertionError(f"{late}; the end of the events:\n{node.log.read_text()[-3000:]}") from late


def _named(item: Dataset, keyword: str) -> Iterator[str]:
    """Every value of a keyword at any depth."""
    for element in item.iterall():
        if element.keyword == keyword:
            yield str(element.value)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Scene], list[Dataset], dict[str, set[str]]]:
    """All scenes, the reports, and by SOP Instance UID what became of each: "held", "conflict", the states of the jobs on its series."""
    folder = tmp_path_factory.mktemp("meaning")
    scenes = _scenes()
    sent = [one for scene in scenes for one in scene.sent]
    with Node(_settings(folder), folder) as node:
        journal = Journal.open(f"sqlite:{folder / 'hilum.db'}")
        for wave in (0, 1):
            _send(node, [one for one in sent if one.wave == wave])
            _wait(node, journal, folder)
        became: dict[str, set[str]] = defaultdict(set)
        uids = {one.uid for one in sent}
        for row in journal.instances.by_uid(*uids):
            if row.standing in (Standing.HELD, Standing.CONFLICT):
                became[row.sop_instance_uid].add(row.standing.value)
        for study in {row.study_instance_uid for row in journal.instances.by_uid(*uids)}:
            states = defaultdict(set)
            for job in journal.jobs.find(study=study):
                states[job.series_instance_uid].add("none" if job.state in _ENDED_WITHOUT else job.state.value)
            for content in contents(journal.instances.of_study(study)):
                for one in content.current:
                    became[one.sop_instance_uid] |= states[content.series_instance_uid]
        journal.close()
    return scenes, [dcmread(path) for path in (folder / "results").rglob("*.dcm")], became


def test_no_object_refers_to_an_instance_of_another_patient(
    played: tuple[list[Scene], list[Dataset], dict[str, set[str]]],
) -> None:
    """By the Patient ID that the instance was sent with, and by that of the object itself."""
    scenes, reports, _ = played
    patients: dict[str, set[str]] = defaultdict(set)
    for scene in scenes:
        for one in scene.sent:
            patients[one.uid].add(str(one.dataset.PatientID))
    assert len(reports) > len(scenes)
    wrong = []
    for report in reports:
        referred = {uid for uid in _named(report, "ReferencedSOPInstanceUID") if uid in patients}
        assert referred, "it says which images it is about"
        wrong += [uid for uid in referred if str(report.PatientID) not in patients[uid]]
    assert not wrong, f"{len(wrong)} references to another patient's instances"


def test_each_patient_of_a_mixed_series_is_told_of_its_own_slices(
    played: tuple[list[Scene], list[Dataset], dict[str, set[str]]],
) -> None:
    """Half of a series was given to another patient: both have a note that there is no result, and neither refers to the other's slices."""
    scenes, reports, _ = played
    notes = [one for one in reports if {"111224", "111225"} & set(_named(one, "CodeValue"))]
    halves = [one for one in scenes if "sends half again" in one.name and one.parked]
    assert len(halves) == 3, "of the sender itself, of one that may correct, and of one of the same archive"
    for scene in halves:
        now = {one.uid: str(one.dataset.PatientID) for one in scene.sent}
        told = {}
        for note in notes:
            if referred := {uid for uid in _named(note, "ReferencedSOPInstanceUID") if uid in now}:
                told[str(note.PatientID)] = {(now[uid], numbers_of(scene)[uid]) for uid in referred}
        key = scene.name.split(":")[0]
        assert told == {f"A-{key}": {(f"A-{key}", 0), (f"A-{key}", 1)}, f"B-{key}": {(f"B-{key}", 2), (f"B-{key}", 3)}}, scene.name


def numbers_of(scene: Scene) -> dict[str, int]:
    """Which slice each instance is."""
    return {one.uid: one.number for one in scene.sent}


def test_every_cell_has_its_right_results_and_no_other(played: tuple[list[Scene], list[Dataset], dict[str, set[str]]]) -> None:
    """Of exactly the right slices, with their sum, as often as is right; a remark where the hand has one, and nowhere else."""
    scenes, reports, _ = played
    numbers = {one.uid: one.number for scene in scenes for one in scene.sent}
    scene_of = {one.uid: scene.name for scene in scenes for one in scene.sent}
    found: dict[str, Counter[tuple[int, ...]]] = defaultdict(Counter)
    remarked: dict[str, set[tuple[int, ...]]] = defaultdict(set)
    for report in reports:
        referred = {uid for uid in _named(report, "ReferencedSOPInstanceUID") if uid in numbers}
        (name,) = {scene_of[uid] for uid in referred}
        slices = tuple(sorted(numbers[uid] for uid in referred))
        measured = [float(value) for value in _named(report, "NumericValue")]
        if not measured:  # what says that there is no result: Analysis Failed, or Not Attempted
            assert {"111224", "111225"} & set(_named(report, "CodeValue")), name
            continue
        found[name][slices] += 1
        assert any(abs(value - sum_cm3(slices)) < 1e-6 for value in measured), (name, slices, measured)
        if any("do not agree in AccessionNumber" in text for text in _named(report, "TextValue")):
            remarked[name].add(slices)
    wrong = [f"{one.name}: {found[one.name]}, right is {one.results}" for one in scenes if found[one.name] != Counter(one.results)]
    assert not wrong, f"{len(wrong)} of {len(scenes)}:\n" + "\n".join(wrong[:20])
    said = {one.name: {one.remarked} if one.remarked else set() for one in scenes}
    assert {name: remarked[name] for name in said} == said


def test_what_has_no_result_is_held_or_parked(played: tuple[list[Scene], list[Dataset], dict[str, set[str]]]) -> None:
    """Nothing that was sent is silent: it is in a result, or a person finds it held, or parked with its reason."""
    scenes, _, became = played
    silent = []
    for scene in scenes:
        for one in scene.sent:
            if one.number in scene.held and "held" not in became[one.uid]:
                silent.append(f"{scene.name}: slice {one.number} is not held but {became[one.uid]}")
            if one.number in scene.parked and not became[one.uid] & {"held", "conflict", "none"}:
                silent.append(f"{scene.name}: slice {one.number} is neither held nor parked but {became[one.uid]}")
            if one.number not in scene.held | scene.parked and "held" in became[one.uid]:
                silent.append(f"{scene.name}: slice {one.number} is held")
    assert not silent, f"{len(silent)}:\n" + "\n".join(silent[:20])
