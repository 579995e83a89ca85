"""Reloading routes: what is taken up, what is refused, and who hears of it."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.assembly.compose import demand_takable, open_journal
from node.assembly.configuration import changed_blocks, load, waiting_keys
from node.assembly.reload import START, KeptRevisions, Reloading
from node.backup.manifest import begin_restore, end_restore
from node.domain.route import conditions_in
from node.settings.config import Config
from node.settings.console import Console
from node.store.in_force import ConfigInForce, InForce, ReloadAsked, Reloaded, serving

TEXT = """\
node: {ae_title: HILUM, listen: "127.0.0.1:0"}
peers: {ct1: {ae_title: CT1, address: "127.0.0.1:0"}}
store: {journal: "sqlite:hilum.db", blobs: "file:blobs"}
sinks: {out: {kind: folder, path: out}}
routes:
  - {name: lungs, when: {Modality: CT}, run: [ct-lung], send: [out]}
"""
OTHER = TEXT.replace("Modality: CT", "Modality: MR")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "hilum.yaml").write_text(TEXT)
    return load(tmp_path / "hilum.yaml")


@pytest.fixture
def in_force(config: Config) -> Iterator[InForce]:
    made = InForce(config)
    yield made
    made.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the supervisor's clock shows."""
    shows = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: shows[0])
    return shows


class Judge:
    """What goes by routes."""

    def __init__(self) -> None:
        self.adopted: list[Config] = []

    def adopt(self, config: Config) -> None:
        """Keep it."""
        self.adopted.append(config)


def test_edited_routes_come_into_force_whole_and_once(config: Config, in_force: InForce) -> None:
    """Who asked is answered with both digests; the processes adopt them at their next step, and not again at the one after."""
    judge, supervisor = Judge(), Judge()
    reloading, followed = (
        Reloading(config, in_force, demand_takable, [supervisor], KeptRevisions(config)),
        ConfigInForce(config, in_force.path, [judge], load=load),
    )
    followed.look()
    assert judge.adopted == []
    config.path.write_text(OTHER)
    followed.look()
    assert judge.adopted == []  # an editor's file is nothing that was accepted
    (node,) = serving(config)
    token = node.ask(ReloadAsked(by="anna", reason="thinner"))
    assert node.answered(token) is None
    with capture_logs() as events:
        reloading.turn()
    (told,) = [one for one in events if one["event"] == "config.reloaded"]
    assert (told["by"], told["blocks"], told["revision"]) == ("anna", ("routes",), 1)
    said = Reloaded.of(node.answered(token) or "")
    edited = load(config.path)
    assert (said.before, said.digest, said.routes, said.code) == (config.digest, edited.digest, 1, "")
    assert edited.digest != config.digest
    for _ in range(2):
        followed.look()
        reloading.turn()
    assert (judge.adopted, supervisor.adopted) == ([edited], [edited])
    assert judge.adopted[0].path == config.path
    with contextlib.closing(open_journal(config)) as journal:
        (kept,) = journal.config_revisions.find()
    assert (kept.author, kept.reason, kept.digest, kept.text) == ("anna", "thinner", edited.digest, OTHER)


def test_what_came_into_force_while_the_journal_was_away_is_kept_when_it_is_there_again(config: Config, clock: list[float]) -> None:
    """In the order in which it came, each with the time of then; the same text again is no other revision."""
    revisions = KeptRevisions(config)
    place = Path(config.store.journal.removeprefix("sqlite:"))
    place.mkdir()  # no journal can be opened there
    assert revisions.came(config, START) is None
    assert revisions.came(replace(config, text=OTHER.encode()), ReloadAsked(by="anna")) is None
    place.rmdir()
    clock[0] += 60
    revisions.turn()
    assert revisions.came(replace(config, text=OTHER.encode()), START) == 2
    with contextlib.closing(open_journal(config)) as journal:
        assert [(one.number, one.author, one.text) for one in journal.config_revisions.find()] == [(2, "anna", OTHER), (1, START.by, TEXT)]


def test_a_store_that_is_half_restored_ends_no_node_that_runs(config: Config, clock: list[float], tmp_path: Path) -> None:
    """It is told once at first and then ever more seldom; what came is kept when the restore is through."""
    revisions = KeptRevisions(config)
    config.store.spooled.mkdir()
    begin_restore(config, tmp_path)
    with capture_logs() as events:
        revisions.came(config, START)
        for _ in range(600):
            clock[0] += 1
            revisions.turn()
    told = [one for one in events if one["event"] == "config.not_kept"]
    assert {one["code"] for one in told} == {"HLM-2093"}
    assert [one["again_in_s"] for one in told[:6]] == [5, 10, 20, 40, 60, 60]
    assert len(told) == 13
    end_restore(config)
    clock[0] += 60
    revisions.turn()
    with contextlib.closing(open_journal(config)) as journal:
        assert [one.author for one in journal.config_revisions.find()] == [START.by]


def test_what_a_definition_says_is_taken_up_with_the_routes(config: Config, in_force: InForce) -> None:
    """A file whose definitions alone differ says other routes, and needs no restart."""
    judge, supervisor = Judge(), Judge()
    reloading, followed = (
        Reloading(config, in_force, demand_takable, [supervisor], KeptRevisions(config)),
        ConfigInForce(config, in_force.path, [judge], load=load),
    )
    asking = TEXT.replace("Modality: CT", "is: lungs")
    for modality in ("CT", "MR"):
        config.path.write_text(f"{asking}define: {{lungs: {{Modality: {modality}}}}}\n")
        assert reloading.reload(ReloadAsked(by="somebody")).code == ""
    followed.look()
    assert judge.adopted[-1].routes == supervisor.adopted[-1].routes
    assert [one.expected for one in conditions_in(judge.adopted[-1].routes[0].asked)] == [("MR",)]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (OTHER.replace("127.0.0.1:0", "127.0.0.1:11113", 1), "HLM-2100", "`node.listen` changed, which needs a restart"),
        (OTHER.replace("file:blobs", "file:others"), "HLM-2100", "`store.blobs` changed, which needs a restart"),
        (OTHER.replace("ct-lung", "ct-lungs"), "HLM-2008", 'did you mean "ct-lung"?'),
        (OTHER.replace("Modality", "Modalty"), "HLM-2003", 'did you mean "Modality"?'),
        ("", "HLM-2002", "the file holds no configuration"),
    ],
)
def test_what_needs_a_restart_or_is_wrong_is_refused_with_the_reason(
    config: Config, in_force: InForce, text: str, code: str, words: str
) -> None:
    """What was in force still is, for everybody; the next good file is taken."""
    judge = Judge()
    reloading, followed = (
        Reloading(config, in_force, demand_takable, [judge], KeptRevisions(config)),
        ConfigInForce(config, in_force.path, [judge], load=load),
    )
    config.path.write_text(text)
    reloading.tell()
    with capture_logs() as events:
        reloading.turn()
        followed.look()
    assert [(one["event"], one["code"], one["config_digest"]) for one in events] == [("config.refused", code, config.digest)]
    assert words in events[0]["reason"]
    assert judge.adopted == []
    config.path.write_text(OTHER)
    assert reloading.reload().code == ""


def test_a_disk_that_does_not_take_the_routes_leaves_those_before(config: Config, in_force: InForce) -> None:
    """The supervisor goes on, and says what to look at; who reads there goes on too, and tells it once."""
    judge = Judge()
    reloading, followed = (
        Reloading(config, in_force, demand_takable, [judge], KeptRevisions(config)),
        ConfigInForce(config, in_force.path, [judge], load=load),
    )
    config.path.write_text(OTHER)
    shutil.rmtree(in_force.path.parent)
    assert reloading.reload().code == "HLM-2101"
    with capture_logs() as events:
        followed.look()
        followed.look()
    assert [one["event"] for one in events] == ["config.not_adopted"]
    assert judge.adopted == []
    assert load(config.path, text=in_force.provided().read_bytes()) == config  # for a process that is started again


def test_a_family_that_died_is_not_asked_and_leaves_nothing(config: Config) -> None:
    """Its folder has no lock any more: the next supervisor to start takes it away."""
    first = InForce(config)
    abandoned = first.path.parent.rename(first.path.parent.with_name("supervisor.1.abcdef"))
    shutil.copytree(abandoned, first.path.parent)  # as left by a kill: the same files, and nobody's lock
    first.close()
    shutil.copytree(abandoned, abandoned.with_name("supervisor.2.abcdef"))
    assert serving(config) == []
    second = InForce(config)
    assert [one.serves for one in serving(config)] == [True]
    second.close()
    assert list(second.path.parent.parent.glob("supervisor.*")) == []


def test_keys_that_wait_for_a_restart_are_told_by_their_names(config: Config) -> None:
    """As they stand in the file; what a reload takes up is none of them, and is told by its block."""
    live = replace(config, routes=(), digest="another", sinks={}, peers={})
    assert waiting_keys(config, live) == []
    assert changed_blocks(config, live) == ("peers", "sinks", "routes")
    other = replace(config, application_folders=(), node=replace(config.node, workers=2, port=7), console=Console(host="127.0.0.1", port=1))
    assert waiting_keys(config, other) == ["node.listen", "node.workers", "models.applications", "console"]
    assert changed_blocks(config, other) == ()
