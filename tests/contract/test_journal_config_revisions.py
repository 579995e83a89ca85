"""Contract of the journal: configurations that came into force."""

from dataclasses import replace
from datetime import timedelta

import pytest

from node.domain.config_revision import ConfigRevision
from node.records.revisions import RunningProcess, revisions_apart, running
from tests.unit.journal.story import START, Story


def revision(text: str, author: str = "anna", minutes: int = 0) -> ConfigRevision:
    return ConfigRevision(
        at=START + timedelta(minutes=minutes),
        author=author,
        reason="thin slices alone",
        host="node1",
        path="/etc/hilum/hilum.yaml",
        digest=f"meaning of {text}",
        text=text,
    )


def living(story: Story) -> list[RunningProcess]:
    return running(story.journal, story.journal.processes.beats(), story.journal.now())


def test_revisions_are_numbered_and_the_same_text_again_is_none(story: Story) -> None:
    """A way back is a revision of its own; what is in force already is not."""
    kept = [story.journal.config_revisions.add(revision(text, minutes=at)) for at, text in enumerate(("one", "two", "two", "one"))]
    assert [one.number for one in kept] == [kept[0].number, kept[0].number + 1, kept[0].number + 1, kept[0].number + 2]
    assert story.journal.config_revisions.find() == [kept[3], kept[1], kept[0]]
    assert story.journal.config_revisions.find(limit=1) == [kept[3]]
    assert story.journal.config_revisions.get(kept[1].number) == replace(revision("two", minutes=1), number=kept[1].number)
    assert story.journal.config_revisions.get(99) is None


def test_what_a_process_goes_by_is_found_however_many_came_into_force_since(story: Story) -> None:
    """Of a text that was in force twice it is the newer one; of a text that nobody keeps none."""
    texts = ("one", "two", *(f"text {number}" for number in range(120)), "two")
    kept = [story.journal.config_revisions.add(revision(text)) for text in texts]
    digests = {one.text_digest for one in kept[:2]} | {revision("nowhere").text_digest}
    found = story.journal.config_revisions.newest_of(digests)
    assert found == {kept[0].text_digest: kept[0], kept[1].text_digest: kept[-1]}
    story.journal.processes.beat("flow lags-1a2b3c:11", kept[0].text_digest, story.journal.now())
    assert [one.revision for one in living(story)] == [kept[0]]


ENGINES = [
    pytest.param("{fast: {threads: 4}}", "{fast: {threads: 16, memory: 64GiB}}", False, id="threads and memory"),
    pytest.param("{fast: {}}", "{fast: {memory: 8GiB}}", False, id="one with nothing"),
    pytest.param(
        "{gpu: {kind: triton, url: 'grpc://a:8001', shared_memory: on}}",
        "{gpu: {kind: triton, url: 'grpcs://b:8001', tls: {ca: /etc/ca.pem}}}",
        False,
        id="address, certificates and shared memory",
    ),
    pytest.param("{fast: {threads: 4}}", "{fast: {kind: triton, url: 'grpc://b:8001'}}", True, id="kind"),
    pytest.param("{fast: {allow_code: true}}", "{fast: {allow_code: false}}", True, id="models with programs"),
    pytest.param("{fast: {threads: 4}}", "{quick: {threads: 4}}", True, id="name"),
    pytest.param("{fast: {threads: 4}}", "{fast: {threads: 4}, second: {}}", True, id="one more"),
]


@pytest.mark.parametrize(("one", "other", "apart"), ENGINES)
def test_hosts_of_different_size_go_by_engines_of_different_size(one: str, other: str, apart: bool) -> None:
    """What differs is what changes whether a model is computed, and by which engine."""
    revisions = [replace(revision(f"engines: {engines}\n"), number=number) for number, engines in enumerate((one, other), start=1)]
    found = [RunningProcess(name=f"flow host{each.number}:7", revision=each) for each in revisions]
    said = revisions_apart(found, START + timedelta(hours=1))
    assert said.startswith("hosts go by configurations that differ in `engines:`: ") if apart else said == ""


ROUTES = "node: {{listen: {listen}}}\nroutes: [{{name: lungs, when: {{Modality: {modality}}}, run: [ct-lung], send: [out]}}]\n"


def goes_by(story: Story, process: str, one: ConfigRevision) -> None:
    """A process gives a sign of life, and says by what it goes."""
    story.journal.config_revisions.add(one)
    story.journal.processes.beat(process, one.text_digest, story.journal.now())


def test_hosts_that_go_by_different_configurations_are_told_apart_once_both_have_stood(story: Story) -> None:
    """What only one host can know (where it listens) is no difference, nor is a comment. In the minute after a reload nothing is said: the
    processes of a host take it up one by one. A process that is silent goes by nothing."""
    now = story.journal.now()
    before = replace(revision(ROUTES.format(listen=1, modality="CT")), at=now - timedelta(hours=2))
    alike = replace(revision("# the other host\n" + ROUTES.format(listen=2, modality="CT")), at=now - timedelta(hours=1))
    goes_by(story, "flow one-1a2b3c:11", before)
    goes_by(story, "work one-1a2b3c:12", before)
    goes_by(story, "flow two-4d5e6f:11", alike)
    story.journal.processes.beat("spool two-4d5e6f/spool", now.isoformat(), now)
    found = living(story)
    assert [(one.name, one.host, one.revision and one.revision.number) for one in found] == [
        ("flow one-1a2b3c:11", "one-1a2b3c", 1),
        ("flow two-4d5e6f:11", "two-4d5e6f", 2),
        ("work one-1a2b3c:12", "one-1a2b3c", 1),
    ]
    assert revisions_apart(found, now) == ""
    goes_by(story, "flow two-4d5e6f:11", replace(revision(ROUTES.format(listen=2, modality="MR")), at=now - timedelta(minutes=5)))
    found = living(story)
    assert revisions_apart(found, now - timedelta(minutes=4, seconds=30)) == ""
    assert revisions_apart(found, now) == (
        "hosts go by configurations that differ in `routes:`: one-1a2b3c by revision 1, two-4d5e6f by revision 3. "
        "Studies are decided by whichever of them leads"
    )
    story.journal.processes.beat("flow two-4d5e6f:11", alike.text_digest, now - timedelta(minutes=2))
    assert revisions_apart(living(story), now) == ""
