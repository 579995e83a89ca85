"""Routes that ask for an accepted application, over a whole line of stages with a real journal: what each sink gets, and what is told."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from structlog.testing import capture_logs

from inference.applications.acceptance import accept, keep_evaluation, why_not_accepted, withdraw
from inference.applications.port import Application
from inference.engines.errors import ModelMissing
from node.domain.job import Demand
from node.domain.route import PinnedVersion, Route
from node.domain.state import JobState
from node.flow.encode import replacing
from node.flow.engines import Engines
from node.flow.infer import digest_with
from node.journal.arrivals import revise
from node.journal.errors import JournalAway
from node.observe import metrics
from tests.unit.flow.line import Cut, PowerCut, runner
from tests.unit.flow.mini import APPLICATION, MiniNode, ThresholdEngine, live, reasons, settle_and_route

NAME, VERSION = APPLICATION.name, APPLICATION.version


class Hospital:
    """A node whose research gets whatever there is, and whose archive asks for what is accepted here."""

    def __init__(self, node: MiniNode, models: Path) -> None:
        (any_,) = node.config.routes
        self.node, self.engine, self.models = node, ThresholdEngine(), models
        self.version = VERSION
        self.research = replace(any_, name="research", send=("research",))
        self.archive = replace(any_, name="archive", send=("archive",), accepted=True)
        self.ask(self.research, self.archive)

    def ask(self, *routes: Route) -> None:
        self.node.configure(routes=routes, models=self.models)

    @property
    def digest(self) -> str:
        return digest_with(self.engine, APPLICATION, dict.fromkeys(APPLICATION.models))

    def application(self, name: str) -> Application:
        """As the assembly serves it: with whether it is accepted."""
        assert name == NAME
        unaccepted = why_not_accepted(self.models, NAME, self.version, self.digest)
        return replace(APPLICATION, version=self.version, models_digest=self.digest, unaccepted=unaccepted)

    def accept(self) -> None:
        """By somebody who tested what is served."""
        tested = {"application": NAME, "version": VERSION, "sha256": self.digest, "at": "2026-01-02T03:04:05+00:00"}
        keep_evaluation(self.models, tested)
        accept(self.models, NAME, VERSION, self.digest, by="Dr Ada", reason="good")

    def come(self) -> None:
        """A series comes."""
        self.node.receive_images("study", "t1")
        settle_and_route(self.node, applications=self.application)

    def come_again(self) -> None:
        """What came is routed again, as it is where another series of the study, or a prior, came."""
        (latest,) = self.node.journal.arrivals.find(newest=True, limit=1)
        with self.node.journal.database.writing() as connection:
            revise(connection, latest.id, "another series came", self.node.clock())
        settle_and_route(self.node, applications=self.application)

    def work(self) -> None:
        """Analyse until nothing waits."""
        engines = Engines(self.node.config, lambda _: self.engine, self.application)
        while runner(self.node, engines, self.application).step():
            pass

    def got(self) -> dict[str, set[str]]:
        """By sink, the digests of the models that made what goes there."""
        found: dict[str, set[str]] = {}
        for job in live(self.node):
            for delivery in self.node.deliveries(job.id):
                found.setdefault(delivery.sink, set()).add(job.model_digest or "")
        return found


@pytest.fixture
def hospital(node: MiniNode, tmp_path: Path) -> Hospital:
    models = tmp_path / "accepted"
    models.mkdir()
    return Hospital(node, models)


def test_who_asks_for_an_accepted_model_gets_nothing_of_another_and_is_told(hospital: Hospital) -> None:
    """Research gets the result of what is served. The archive's job is parked with what to do, and its decision says so; once somebody has
    accepted what made the result, the archive gets that very one, and nothing is analysed twice."""
    hospital.come()
    hospital.work()
    unaccepted = hospital.digest
    assert hospital.got() == {"research": {unaccepted}}
    (stuck,) = [job for job in live(hospital.node) if job.routes == ("archive",)]
    assert (stuck.state, stuck.code) == (JobState.PARKED, "HLM-4185")
    assert any("threshold is parked: route" in reason for reason in reasons(hospital.node, stuck.study_instance_uid).values())
    hospital.accept()
    hospital.come_again()
    hospital.work()
    assert hospital.got() == {"research": {unaccepted}, "archive": {unaccepted}}
    assert (hospital.engine.asked, {job.state for job in live(hospital.node)}) == (1, {JobState.ENCODED})


def test_another_model_is_accepted_meanwhile(hospital: Hospital) -> None:
    """The archive gets what the accepted one makes, research keeps what it got."""
    hospital.come()
    hospital.work()
    before = hospital.digest
    hospital.engine.weights = "weights-2"
    hospital.accept()
    hospital.come_again()
    hospital.work()
    assert hospital.got() == {"research": {before}, "archive": {hospital.digest}}


def test_a_route_that_is_renamed_is_held_to_what_it_asked(hospital: Hospital) -> None:
    """Accepted when it was routed, taken back before it was analysed: the job asks, whatever the route is called by now."""
    hospital.accept()
    hospital.ask(hospital.archive)
    hospital.come()
    withdraw(hospital.models, NAME, VERSION, hospital.digest, by="Dr Ada", reason="not so good")
    hospital.ask(replace(hospital.archive, name="renamed", accepted=False))
    hospital.work()
    (job,) = live(hospital.node)
    assert (job.state, job.code, hospital.engine.asked) == (JobState.PARKED, "HLM-4185", 0)
    assert (job.reason or "").startswith('route "archive": ')


def test_what_was_parked_for_want_of_acceptance_is_analysed_on_a_retry(hospital: Hospital) -> None:
    hospital.ask(hospital.archive)
    hospital.come()
    (job,) = live(hospital.node)
    assert (job.state, job.attempts) == (JobState.PARKED, 0)
    hospital.accept()
    hospital.node.journal.jobs.revive(job.id, hospital.node.clock())
    hospital.work()
    assert hospital.got() == {"archive": {hospital.digest}}


def test_a_route_that_begins_to_ask_has_what_it_got_replaced(hospital: Hospital) -> None:
    """The archive got the result of a model that nobody had accepted; asked for an accepted one, it gets another result, whose report names
    the first, and says that it was made of the same images."""
    node = hospital.node
    hospital.ask(replace(hospital.archive, accepted=False))
    hospital.come()
    hospital.work()
    delivery = node.journal.deliveries.claim("sink", node.clock(), timedelta(minutes=1))
    assert delivery is not None
    assert delivery.lease is not None
    for one in node.journal.deliveries.undelivered(delivery.id):
        node.journal.deliveries.receipt(delivery.id, delivery.lease, one.id, True, 0, "", node.clock())
    node.journal.deliveries.delivered(delivery.id, delivery.lease, node.clock())
    hospital.engine.weights = "weights-2"
    hospital.accept()
    hospital.ask(hospital.archive)
    hospital.come_again()
    hospital.work()
    before, after = node.jobs()
    assert (before.state, after.predecessor, after.model_digest) == (JobState.SUPERSEDED, before.id, hospital.digest)
    (caution,) = replacing(node.journal, after)
    assert "another version or other models made of the same images" in str(caution.sentence)


def test_a_route_that_begins_to_ask_stops_no_other_one(hospital: Hospital) -> None:
    """Both waited for one job. Research, which does not ask, gets its result; the archive has a job of its own, parked, and gets the result
    once what made it is accepted. Nothing is analysed twice, and a study that comes again changes nothing."""
    hospital.ask(hospital.research, replace(hospital.archive, accepted=False))
    hospital.come()
    hospital.ask(hospital.research, hospital.archive)
    hospital.work()
    for _ in ("at once", "when the study comes again"):
        assert hospital.got() == {"research": {hospital.digest}}
        assert {job.routes: (job.sinks, job.code) for job in live(hospital.node)} == {
            ("research",): (("research",), None),
            ("archive",): (("archive",), "HLM-4185"),
        }
        hospital.come_again()
        hospital.work()
    hospital.accept()
    hospital.come_again()
    hospital.work()
    assert (hospital.got(), hospital.engine.asked) == ({"research": {hospital.digest}, "archive": {hospital.digest}}, 1)


def test_a_sink_that_both_routes_send_to_gets_the_result_of_the_one_that_does_not_ask(hospital: Hospital) -> None:
    """A retry brings it a second one, which is accepted. One that no route sends to any more may be the archive's: it waits."""
    archive = replace(hospital.archive, accepted=False, send=("archive", "both", "old"))
    research = replace(hospital.research, send=("research", "both"))
    hospital.ask(research, archive)
    hospital.come()
    hospital.ask(research, replace(hospital.archive, send=("archive", "both")))
    hospital.work()
    assert hospital.got() == {"research": {hospital.digest}, "both": {hospital.digest}}
    (stuck,) = [job for job in live(hospital.node) if job.code]
    assert (stuck.sinks, stuck.demands["archive"].accepted) == (("both", "archive", "old"), True)
    hospital.accept()
    hospital.node.journal.jobs.revive(stuck.id, hospital.node.clock())
    hospital.work()
    assert hospital.got().keys() == {"research", "both", "archive", "old"}


def test_a_sink_that_both_routes_sent_to_is_not_lost_where_the_one_that_asks_has_another_name_by_now(hospital: Hospital) -> None:
    """Which sinks were its own nobody knows: what is parked waits with all of them."""
    hospital.accept()
    research, archive = replace(hospital.research, send=("research", "both")), replace(hospital.archive, send=("archive", "both"))
    hospital.ask(research, archive)
    hospital.come()
    withdraw(hospital.models, NAME, VERSION, hospital.digest, by="Dr Ada", reason="not so good")
    hospital.ask(research, replace(archive, name="renamed"))
    hospital.work()
    assert {job.routes: (set(job.sinks), job.code) for job in live(hospital.node)} == {
        ("research",): ({"research", "both"}, None),
        ("archive",): ({"research", "both", "archive"}, "HLM-4185"),
    }
    hospital.accept()
    (stuck,) = [job for job in live(hospital.node) if job.code]
    hospital.node.journal.jobs.revive(stuck.id, hospital.node.clock())
    hospital.work()
    assert {one.sink for one in hospital.node.deliveries(stuck.id)} == {"research", "both", "archive"}


def test_a_job_that_is_cancelled_before_its_routes_are_parted_stays_so(hospital: Hospital) -> None:
    """The worker goes on with the next job."""
    hospital.ask(hospital.research, replace(hospital.archive, accepted=False))
    hospital.come()
    hospital.ask(hospital.research, hospital.archive)
    node, (job,) = hospital.node, live(hospital.node)

    def cancelled_meanwhile(name: str) -> Application:
        node.journal.jobs.end(job.id, None, JobState.CANCELLED, "", "by the operator", node.clock())
        return hospital.application(name)

    engines = Engines(node.config, lambda _: hospital.engine, hospital.application)
    assert runner(node, engines, hospital.application, analysed_by=cancelled_meanwhile).step() == 1
    assert [(one.id, one.state) for one in node.jobs()] == [(job.id, JobState.CANCELLED)]


def test_a_journal_that_is_away_when_routes_are_parted_costs_no_attempt(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    hospital.ask(hospital.research, replace(hospital.archive, accepted=False))
    hospital.come()
    hospital.ask(hospital.research, hospital.archive)
    with monkeypatch.context() as away:
        away.setattr(hospital.node.journal.jobs, "part", Mock(side_effect=JournalAway("the server restarts")))
        hospital.work()
    (job,) = live(hospital.node)
    assert (job.state, job.attempts, job.lease, job.code) == (JobState.QUEUED, 0, None, JournalAway.code)
    hospital.node.clock.advance(60)
    hospital.work()
    assert hospital.got() == {"research": {hospital.digest}}


def test_a_job_is_parked_for_all_where_no_route_that_goes_on_has_its_name_any_more(hospital: Hospital) -> None:
    """Whose its sinks are nobody knows: analysed without them it would be done, and its readers told nothing. When the study comes again,
    the route is there under its new name."""
    hospital.ask(hospital.research, replace(hospital.archive, accepted=False))
    hospital.come()
    hospital.ask(replace(hospital.research, name="science"), hospital.archive)
    hospital.work()
    (job,) = live(hospital.node)
    assert (job.state, job.code, job.sinks) == (JobState.PARKED, "HLM-4185", ("research", "archive"))
    hospital.come_again()
    hospital.work()
    assert hospital.got() == {"research": {hospital.digest}}
    assert {job.routes: job.code for job in live(hospital.node)} == {("research", "science"): None, ("archive",): "HLM-4185"}


def test_what_a_worker_parks_for_a_route_is_told_as_what_routing_parks_is(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own number, as a warning, and in the count of what ended so."""
    hospital.ask(hospital.research, replace(hospital.archive, accepted=False))
    hospital.come()
    hospital.ask(hospital.research, hospital.archive)
    monkeypatch.setattr(metrics, "JOBS_ENDED", ended := Mock())
    with capture_logs() as told:
        hospital.work()
    (stuck,) = [job for job in live(hospital.node) if job.code]
    assert [one["log_level"] for one in told if one["event"] == "job.parked" and one["job"] == stuck.id] == ["warning"]
    assert [one.kwargs for one in ended.add.mock_calls] == [{"application": NAME, "state": "parked", "code": "HLM-4185"}]


def test_what_routing_parked_while_a_worker_found_the_same_is_told_once(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study comes again while the job of both routes is at work: the worker parts the archive's from it, which waits already."""
    hospital.ask(hospital.research, replace(hospital.archive, accepted=False))
    hospital.come()
    hospital.ask(hospital.research, hospital.archive)
    monkeypatch.setattr(metrics, "JOBS_ENDED", ended := Mock())

    def came_meanwhile(name: str) -> Application:
        hospital.come_again()
        return hospital.application(name)

    engines = Engines(hospital.node.config, lambda _: hospital.engine, hospital.application)
    with capture_logs() as told:
        assert runner(hospital.node, engines, hospital.application, analysed_by=came_meanwhile).step() == 1
    assert {job.routes: job.code or "" for job in live(hospital.node)} == {("research",): "", ("archive",): "HLM-4185"}
    assert [one["event"] for one in told if one["event"] in ("job.parked", "job.parted")] == ["job.parked", "job.parted"]
    assert [one.kwargs for one in ended.add.mock_calls] == [{"application": NAME, "state": "parked", "code": "HLM-4185"}]


def test_a_decision_says_that_a_result_stands_where_it_does(hospital: Hospital) -> None:
    """Accepted, analysed, and taken back: when another series comes nothing is parked, and nothing says so."""
    hospital.accept()
    hospital.ask(hospital.archive)
    hospital.come()
    hospital.work()
    (job,) = live(hospital.node)
    withdraw(hospital.models, NAME, VERSION, hospital.digest, by="Dr Ada", reason="not so good")
    hospital.come_again()
    assert [one.id for one in live(hospital.node)] == [job.id]
    (latest,) = hospital.node.journal.arrivals.find(newest=True, limit=1)
    (decision,) = hospital.node.journal.routing.decisions(latest.id)
    assert (decision.withheld, decision.chosen) == (None, True)
    assert f"threshold is not run anew: the route has job {job.id}, which is encoded" in decision.reason
    assert "parked" not in decision.reason


def test_each_job_that_routes_part_into_is_told_of(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """Research has its result; the application cannot be loaded any more when the archive asks for an accepted one: that job is parked, by
    its own number, once however often the study comes."""
    hospital.ask(hospital.research)
    hospital.come()
    hospital.work()
    hospital.ask(hospital.research, hospital.archive)

    def gone(_: str) -> Application:
        raise ModelMissing("its model is gone")

    monkeypatch.setattr(hospital, "application", gone)
    monkeypatch.setattr(metrics, "JOBS_ENDED", ended := Mock())
    with capture_logs() as told:
        hospital.come_again()
        hospital.come_again()
    (stuck,) = [job for job in live(hospital.node) if job.code]
    assert (stuck.state, stuck.routes) == (JobState.PARKED, ("archive",))
    assert [one["job"] for one in told if one["event"] == "job.parked"] == [stuck.id]
    assert [one.kwargs for one in ended.add.mock_calls] == [{"application": NAME, "state": "parked", "code": ModelMissing.code}]


def test_a_job_that_is_parted_has_waited_once(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is claimed again for the routes that go on: the wait of one job is measured once."""
    hospital.ask(hospital.research, replace(hospital.archive, accepted=False))
    hospital.come()
    hospital.ask(hospital.research, hospital.archive)
    monkeypatch.setattr(metrics, "QUEUE_WAIT", waited := Mock())
    hospital.work()
    assert hospital.got() == {"research": {hospital.digest}}
    assert len(waited.observe.mock_calls) == 1


def pinned(route: Route, version: str) -> Route:
    return replace(route, accepted=False, pinned=(PinnedVersion(application=NAME, version=version),))


@pytest.mark.parametrize("before", [True, False], ids=["before it is analysed", "after it was parked"])
def test_an_upgrade_that_its_route_goes_along_with_leaves_no_job_behind(before: bool, hospital: Hospital) -> None:
    """Queued for 1.0, which is gone: the route asks for 1.1, which is here. It is analysed once, says so, and is on record as answered by
    that; a route that asks for 1.0 still gets nothing of it."""
    hospital.ask(pinned(hospital.archive, "1.0"), pinned(hospital.research, "1.0"))
    hospital.come()
    node, (job,) = hospital.node, live(hospital.node)
    hospital.version = "1.1.0"
    if not before:
        hospital.work()
        assert (node.journal.jobs.get(job.id).state, node.journal.jobs.get(job.id).code) == (JobState.PARKED, "HLM-4184")
    hospital.ask(pinned(hospital.archive, "1.1"), pinned(hospital.research, "1.0"))
    if not before:
        node.journal.jobs.revive(job.id, node.clock())
    hospital.work()
    mine, stuck = live(node)
    assert (mine.id, mine.state, mine.routes, mine.findings_version) == (job.id, JobState.ENCODED, ("archive",), "1.1.0")
    assert (stuck.state, stuck.routes, stuck.demands) == (JobState.PARKED, ("research",), {"research": Demand(version="1.0")})
    assert mine.demands == {"archive": Demand(version="1.1")}
    told = [one.detail for one in node.journal.events.of("job", job.id) if one.name == "job.asked_otherwise"]
    assert told == ['route "archive" asks for version 1.1 (it had asked for version 1.0)']
    assert hospital.engine.asked == 1


@pytest.mark.parametrize("today", ["renamed", "any version"])
def test_a_version_that_is_asked_for_no_more_is_asked_of_what_waits(today: str, hospital: Hospital) -> None:
    """What comes from then on goes by today's route, and takes the place of what waited."""
    hospital.ask(pinned(hospital.archive, "1.0"))
    hospital.come()
    hospital.version = "1.1.0"
    other = replace(hospital.archive, accepted=False)
    hospital.ask(replace(pinned(other, "1.1"), name="renamed") if today == "renamed" else other)
    hospital.work()
    (job,) = live(hospital.node)
    assert (job.state, job.code, hospital.engine.asked) == (JobState.PARKED, "HLM-4184", 0)
    hospital.come_again()
    hospital.work()
    assert hospital.got() == {"archive": {hospital.digest}}


def test_what_is_parked_waits_for_what_its_route_asked_and_asks(hospital: Hospital) -> None:
    """Routed for a version; an accepted one is asked for since: neither takes the other's place, also when the route asks neither."""
    pinned = PinnedVersion(application=NAME, version=VERSION)
    hospital.ask(hospital.research, replace(hospital.archive, accepted=False, pinned=(pinned,)))
    hospital.come()
    hospital.ask(hospital.research, hospital.archive)
    hospital.work()
    (stuck,) = [job for job in live(hospital.node) if job.code]
    assert stuck.demands == {"archive": Demand(version=VERSION, accepted=True)}


@pytest.mark.slow
@pytest.mark.parametrize("side", ["before", "after"])
def test_wherever_the_power_is_cut_while_routes_part_each_gets_its_own(
    side: str, tmp_path: Path, make_node: Callable[[Path], MiniNode]
) -> None:
    """At the claim, where they part, and at the next claim: the process ends there, another begins. Research has one result, what the
    archive asks for waits by one parked job, and nothing goes to its sink."""

    def parts(name: str) -> tuple[Hospital, Cut]:
        node = make_node(tmp_path / name)
        (models := node.folder / "accepted").mkdir()
        hospital = Hospital(node, models)
        hospital.ask(hospital.research, replace(hospital.archive, accepted=False))
        hospital.come()
        hospital.ask(hospital.research, hospital.archive)
        return hospital, Cut(node)

    parted = []
    for at in (1, 2, 3):
        hospital, cut = parts(f"{side}-{at}")
        cut.at = (at, side)
        with pytest.raises(PowerCut):
            hospital.work()
        cut.at = None
        events = hospital.node.journal.events.of("job", live(hospital.node)[0].id)
        parted.append("job.parted" in [one.name for one in events])
        hospital.node.journal.processes.release("", hospital.node.clock())
        hospital.work()
        assert hospital.got() == {"research": {hospital.digest}}, f"cut {side} write {at}"
        found = {job.routes: (job.sinks, job.state, job.code) for job in live(hospital.node)}
        assert found == {
            ("research",): (("research",), JobState.ENCODED, None),
            ("archive",): (("archive",), JobState.PARKED, "HLM-4185"),
        }, f"cut {side} write {at}"
    assert parted == [False, side == "after", True]
