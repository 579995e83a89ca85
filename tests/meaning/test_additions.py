"""Every cell of the matrix of additions through the pure check: what the headers of first and added slices come to, without a node.

The right ends are the hand's (additions.txt). What this file adds is only how a cell is made: which header, which sender.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from itertools import combinations

import pytest

from inference.imaging.assemble import one_frame_of_reference
from inference.imaging.errors import MixedFrameOfReference, MixedIdentity
from inference.imaging.identity import Identity, one_identity
from node.domain.instance import Header, HeldFor, Sender
from node.domain.patient import Patient, patient_of
from node.flow.held_instances import SenderTrust, held_when_added, incoming_instance
from node.journal.port import SeriesKnown
from node.settings.peers import Peer
from tests.meaning.table import THINGS, Cell, End, Group, How, every_cell, every_pair, every_row_and_pair, row_of, rows

PEERS = {name: Peer(name=name, ae_title=name.upper(), host=f"10.0.0.{number}", port=0) for number, name in enumerate(("ct1", "pacs"), 1)}
SENDERS = {
    How.SAME: Sender(peer="ct1", calling_ae="CT1", address="dicom://10.0.0.1:5001"),
    How.OTHER: Sender(peer="pacs", calling_ae="PACS", address="dicom://10.0.0.2:5002"),
    How.ABSENT: Sender(peer=None, calling_ae="WHO", address="dicom://10.0.0.3:5003"),
}
SAID = {
    "patient": {How.SAME: "4711", How.OTHER: "0815", How.ABSENT: ""},
    "study": {How.SAME: "1.2", How.OTHER: "1.3"},
    "series": {How.SAME: "1.2.1", How.OTHER: "1.2.2"},
    "accession": {How.SAME: "A1", How.OTHER: "A2", How.ABSENT: ""},
    "frame": {How.SAME: "1.2.9", How.OTHER: "1.2.8", How.ABSENT: ""},
}
FIRST = Group((How.SAME,) * len(THINGS))


@dataclass
class Intake:
    """What was received of one cell: the slices that count, by study and series, and those that are held."""

    counts: dict[tuple[str, str], list[Group]]
    held: list[Group]

    def __init__(self) -> None:
        self.counts, self.held = defaultdict(list), []
        self._trust = SenderTrust(PEERS)
        self._series: dict[str, SeriesKnown] = {}
        self._patients: dict[str, set[Patient]] = defaultdict(set)

    def receive(self, group: Group) -> None:
        """One slice."""
        study, series = _place(group, len(self.held) + sum(map(len, self.counts.values())))
        header: Header = {"PatientID": (patient,) if (patient := SAID["patient"][group["patient"]]) else ()}
        one = incoming_instance(SENDERS[group["peer"]], study, header)
        known = self._series.get(series)
        if held_when_added(one, self._trust, known, self._patients[study]) is not None:
            self.held.append(group)
            return
        marks = frozenset({one.mark}) | (known.marks if known else frozenset())
        self._series[series] = replace(known, marks=marks) if known else SeriesKnown(first=one.sender, marks=marks)
        if (patient_ := patient_of(header)) is not None:
            self._patients[study].add(patient_)
        self.counts[study, series].append(group)


def _place(group: Group, number: int) -> tuple[str, str]:
    """Study and series of a slice. Where it has none the node derives them: a study from its frame of reference or from itself, a series
    from its study (node.dicom.header)."""
    study = SAID["study"].get(group["study"]) or f"2.25.1.{SAID['frame'][group['frame']] or number}"
    return study, SAID["series"].get(group["series"]) or f"2.25.2.{study}"


def _volume(slices: list[Group]) -> End:
    """What is made of slices that are analysed as one: a result, a result with a remark, or none."""
    if any(group["study"] is How.ABSENT or group["series"] is How.ABSENT for group in slices):
        return End.APART  # no result refers to a UID that the node made up (tests/results)
    named = [(str(number), _identity(group)) for number, group in enumerate(slices)]
    try:
        remarks = one_identity(named)
        one_frame_of_reference([(str(number), SAID["frame"][group["frame"]]) for number, group in enumerate(slices)])
    except (MixedIdentity, MixedFrameOfReference):
        return End.NONE
    return End.REMARK if remarks else End.JOINS


def _identity(group: Group) -> Identity:
    study, patient, accession = (SAID[thing].get(group[thing], "") for thing in ("study", "patient", "accession"))
    return Identity(patient_id=patient, study_instance_uid=study, accession=accession)


def _ends(cell: Cell) -> list[End]:
    """What became of each half of what was added."""
    intake = Intake()
    for group in (FIRST, FIRST, *(half for half in cell.groups for _ in range(2))):
        intake.receive(group)
    firsts = intake.counts[SAID["study"][How.SAME], SAID["series"][How.SAME]]
    assert FIRST in firsts
    assert _volume([FIRST, FIRST]) is End.JOINS
    found = []
    for half in cell.groups:
        if half in intake.held:
            found.append(End.HELD)
            continue
        where, slices = next((key, members) for key, members in intake.counts.items() if half in members)
        end = _volume(slices)
        is_first = where == (SAID["study"][How.SAME], SAID["series"][How.SAME])
        found.append(end if is_first or end is End.APART else End.OWN if end is End.JOINS else end)
    return found


def _right(cell: Cell) -> list[End]:
    """What the hand says of each half."""
    first, second = cell.groups
    ends = [row_of(first).end, row_of(second).end]
    if ends[0] is End.OWN and cell.halves_share_a_series:
        beside = row_of(cell.second_beside_first).end
        ends[1] = End.OWN if beside is End.JOINS else beside
    # who shares a volume shares what becomes of it
    shared = next((end for end in (End.NONE, End.REMARK) if end in ends and _one_volume(cell)), None)
    return [shared if shared is not None and end in (End.JOINS, End.OWN, End.REMARK) else end for end in ends]


def _one_volume(cell: Cell) -> bool:
    return cell.ways[THINGS.index("series")] is not How.HALFWAY


def _is_right(found: list[End], right: list[End]) -> bool:
    """What has no result may be held as well: either way it is said."""
    return all(one is other or (other is End.APART and one is End.HELD) for one, other in zip(found, right, strict=True))


@pytest.mark.slow
def test_every_cell_comes_to_its_right_end() -> None:
    """15,625 cells; those that do not are listed."""
    wrong = [f"{cell}: {found}, right is {right}" for cell in every_cell() if not _is_right(found := _ends(cell), right := _right(cell))]
    assert not wrong, f"{len(wrong)} of 15,625: " + "; ".join(wrong[:10])


def test_the_table_is_whole_and_has_no_row_too_many() -> None:
    """Every group has a row, every row is the first for some; the last one is for what is all the same."""
    used = Counter(row_of(half) for cell in every_cell() for half in cell.groups)
    assert set(used) == set(rows())
    assert row_of(FIRST).end is End.JOINS
    assert sum(used.values()) == 2 * 5**6


def test_the_array_has_every_pair_once() -> None:
    """Which is what makes 25 cells enough to play any two things against each other; with a few more they meet every row of the table."""
    cells = every_pair()
    for first, second in combinations(range(len(THINGS)), 2):
        assert len({(cell.ways[first], cell.ways[second]) for cell in cells}) == 25 == len(cells)
    assert {row_of(half) for cell in every_row_and_pair() for half in cell.groups} == set(rows())


@pytest.mark.parametrize("patient", [How.OTHER, How.ABSENT])
def test_slices_of_two_patients_are_held_whoever_sends_them(patient: How) -> None:
    """Also by the very sender of the first, and where they begin half-way."""
    group = Group((How.SAME, patient, How.SAME, How.SAME, How.SAME, How.SAME))
    known = SeriesKnown(
        first=SENDERS[How.SAME], marks=frozenset({incoming_instance(SENDERS[How.SAME], "1.2", {"PatientID": ("4711",)}).mark})
    )
    header: Header = {"PatientID": (said,) if (said := SAID["patient"][group["patient"]]) else ()}
    assert held_when_added(incoming_instance(SENDERS[How.SAME], "1.2", header), SenderTrust(PEERS), known, ()) is HeldFor.IDENTITY
