"""A result that was made while instances of its series are held says so first; what is not of its series is not its matter."""

from dataclasses import replace

import pytest

from node.dicom.uid import derive_uid
from node.domain.instance import HeldFor, Standing
from node.domain.job import JobKind
from node.domain.state import JobState
from node.flow.held_instances import Part, accept, held_of, refuse
from node.journal.port import NewInstance
from node.results.port import Encoded, Encoding
from tests.unit.flow.line import run_line
from tests.unit.flow.mini import MiniNode, encode


def hold(node: MiniNode, count: int, *, series: str = "head", why: HeldFor = HeldFor.ADDED) -> None:
    """Another peer's instances of a series, beside those of the first sender."""
    first = node.journal.instances.by_uid(*[str(one) for one in uids(node)])[0]
    for number in range(count):
        one = replace(
            first,
            id=0,
            sop_instance_uid=derive_uid("held", series, f"{number}"),
            series_instance_uid=derive_uid("study", series),
            blob=f"held {series} {number}.dcm",
            digest=f"{series} {number}",
            peer="pacs",
            calling_ae="PACS",
            standing=Standing.HELD,
            held_for=why,
        )
        node.journal.instances.record([NewInstance(instance=one, opens=False, scope_series=False, due_at=node.clock())], node.clock())


def uids(node: MiniNode) -> list[str]:
    return [one.sop_instance_uid for one in node.journal.instances.of_study(derive_uid("study"))]


def said(node: MiniNode) -> list[str]:
    """The cautions of what is encoded when nothing is left to do."""
    made: list[Encoding] = []

    def kept(encoding: Encoding) -> list[Encoded]:
        made.append(encoding)
        return encode(encoding)

    node.clock.advance(60)
    run_line(node, encode=kept)
    return [caution.sentence for encoding in made for caution in encoding.findings.cautions]


def test_a_report_says_how_many_instances_are_held_and_from_whom(node: MiniNode) -> None:
    """Before anything else it says; so does the result of a retry."""
    node.receive_images("study", "head")
    hold(node, 2)
    assert said(node) == ["2 instances of this series that came from pacs are held and were not analysed."]


def test_what_is_held_is_said_before_what_the_images_show(node: MiniNode) -> None:
    """The block lies on the border of the three slices that came: that its volume is more stands behind what is held of the series."""
    node.receive_images("study", "head", slices=3)
    hold(node, 1)
    first, second = said(node)
    assert first == "1 instance of this series that came from pacs is held and was not analysed."
    assert "border" in second


def test_of_another_series_nothing_is_said(node: MiniNode) -> None:
    """It is told in lists and on the study's page."""
    node.receive_images("study", "head")
    hold(node, 1, series="other")
    assert said(node) == []


def test_what_a_person_decided_about_is_held_no_more(node: MiniNode) -> None:
    """Of one sender and reason at a time: the rest waits. The history says by whom."""
    node.receive_images("study", "head")
    hold(node, 1)
    hold(node, 1, series="other", why=HeldFor.IDENTITY)
    study, clock = derive_uid("study"), node.clock
    added = held_of(
        node.journal.held, study, Part(sender=f"PACS@{held_of(node.journal.held, study, Part())[0].address}", held_for=HeldFor.ADDED)
    )
    assert refuse(node.journal.held, added, clock, by="otto") == 1
    assert [line.detail for line in node.journal.events.of("instance", added[0].id)][-1] == "by otto"
    (rest,) = held_of(node.journal.held, study, Part())
    assert rest.held_for is HeldFor.IDENTITY
    assert accept(node.journal.held, [rest], {}, clock, by="otto") == 1
    assert rest.sop_instance_uid in uids(node)
    assert said(node) == []


@pytest.mark.parametrize(("why", "state"), [("held", JobState.PARKED), ("", JobState.NOT_APPLICABLE)])
def test_what_is_held_of_a_series_is_no_header_that_excludes_it(node: MiniNode, why: str, state: JobState) -> None:
    """Two slices where three are needed, and a third that waits for a person: somebody has to be told, and the reader that there is no
    result. Of two that are all there are, nobody need be."""
    node.receive_images("study", "t1", slices=2)
    if why:
        hold(node, 1, series="t1")
    node.clock.advance(60)
    run_line(node)
    (job,) = [one for one in node.jobs() if one.kind is JobKind.ANALYSIS]
    assert (job.state, job.code) == (state, "HLM-3101")
    assert [one.state for one in node.jobs() if one.kind is JobKind.STATEMENT] == [JobState.DONE] * bool(why)
