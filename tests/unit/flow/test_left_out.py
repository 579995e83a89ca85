"""Priors that an application does not take: they are left out, with the reason where operators look, and never park today's study."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from structlog.testing import capture_logs

from inference import codes
from inference.applications.port import Accepts, Application, Takes
from inference.findings import Findings, Measurement
from inference.imaging.errors import UnfitPrior
from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid
from node.domain.route import Route
from node.domain.state import JobState
from node.flow.route import RouteStage
from node.journal.port import CameAgain
from node.routing.gate import exclusions
from node.routing.pairing import Pairing, Prior
from node.routing.priors import EarlierStudy, choose
from tests.unit.flow.mini import APPLICATION, CT1, MiniNode
from tests.unit.flow.test_pairs import NOW, THEN, reason, series_of, settle
from tests.unit.flow.test_runner import Work
from tests.unit.routing.test_priors import CURRENT, ROUTE, study, view

THIN = Accepts(modality=("MR",), takes=Takes.PAIR, max_thickness_mm=2.5)
LAST_YEAR = {**THEN, "StudyDate": "20240601"}
WHY = "slices are 5 mm thick, at most 2.5 mm are taken"


MEASURED = Findings(measurements=(Measurement(name=codes.VOLUME, value=1.0, unit=codes.CUBIC_CENTIMETRE),))
COMPARE = replace(APPLICATION, name="compare", accepts=THIN, models=(), analyse=lambda pair, infer: MEASURED)


def application_of(name: str) -> Application:
    return COMPARE if name == "compare" else replace(APPLICATION, name=name)


@pytest.fixture
def both(node: MiniNode) -> MiniNode:
    """A node that analyses every MR, and compares it with its prior."""
    node.configure(routes=(Route(name="follow-up", run=("threshold", "compare"), send=("archive",)),))
    return node


def route(node: MiniNode) -> None:
    """Settle, and route until nothing is left."""
    settle(node)
    stage = RouteStage(node.journal, node.config, node.clock, lambda name: "default", application_of)
    while stage.step():
        pass


def jobs(node: MiniNode, study: str) -> dict[str, tuple[JobState, set[str]]]:
    """Of a study: by application the state, and the series that are used."""
    return {job.application: (job.state, series_of(node, job)) for job in node.jobs() if job.study_instance_uid == study}


def test_the_next_prior_that_fits_is_taken(both: MiniNode, capsys: pytest.CaptureFixture[str]) -> None:
    """Last year's slices are too thick, those of the year before are not: today's is compared with these, and decision, history and events
    say why not with the others."""
    both.receive("0.1", "0.1.1", **LAST_YEAR, SliceThickness=2)
    both.receive("1.1", "1.1.1", **THEN, SliceThickness=5)
    route(both)
    both.receive("2.1", "2.1.1", **NOW, SliceThickness=2)
    route(both)
    assert jobs(both, "2.1") == {"threshold": (JobState.QUEUED, {"2.1.1"}), "compare": (JobState.QUEUED, {"2.1.1", "0.1.1"})}
    said = f"compare: compared with series 0.1.1 of 2024-06-01 (T1); passed over: series 1.1.1 of 2025-06-01: {WHY}"
    assert reason(both, "2.1").endswith(said)
    (arrival,) = both.journal.arrivals.find(study="2.1")
    history = {line.name: line.detail for line in both.journal.events.of("arrival", arrival.id)}
    assert history["arrival.prior_left_out"] == f"compare is not given series 1.1.1: {WHY}"
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "arrival.prior_left_out" in line]
    assert all(words in line for words in (f"arrival={arrival.id}", "application=compare", "series=1.1.1", WHY))


def test_without_a_prior_that_fits_the_study_is_analysed_alone(both: MiniNode) -> None:
    """No comparison, and why; nothing is parked. A prior that fits and comes later makes the pair."""
    both.receive("1.1", "1.1.1", **THEN, SliceThickness=5)
    route(both)
    both.receive("2.1", "2.1.1", **NOW, SliceThickness=2)
    route(both)
    assert jobs(both, "2.1") == {"threshold": (JobState.QUEUED, {"2.1.1"})}
    assert reason(both, "2.1").endswith(f"compare: no prior: series 1.1.1 of 2025-06-01: {WHY}")
    both.receive("0.1", "0.1.1", **LAST_YEAR, SliceThickness=2)
    route(both)
    assert jobs(both, "2.1")["compare"] == (JobState.QUEUED, {"2.1.1", "0.1.1"})


def test_todays_series_that_does_not_fit_is_not_applicable(both: MiniNode) -> None:
    """Whatever the prior is: headers exclude it, and nobody need look."""
    both.receive("1.1", "1.1.1", **THEN, SliceThickness=2)
    both.receive("2.1", "2.1.1", **NOW, SliceThickness=5)
    route(both)
    assert jobs(both, "2.1")["compare"][0] is JobState.NOT_APPLICABLE


def test_another_series_of_the_same_visit_is_taken() -> None:
    """The thick one has more in common with today's; the thin one of that visit is taken, and the reason names the other."""
    views = (view("1.1", "20250601", SliceThickness=(5.0,)), view("1.2", "20250601", "T1 MPRAGE thin", SliceThickness=(1.0,)))
    unfit = exclusions(replace(COMPARE, accepts=THIN), views)
    assert unfit == {"1.1": WHY}
    choice = choose(CURRENT, [EarlierStudy(study_instance_uid="1", series=views, unfit=unfit)], ROUTE)
    assert choice.reason == f"compared with series 2 of 2025-06-01 (T1 MPRAGE thin); passed over: series 1 of 2025-06-01: {WHY}"
    assert choice.left_out == (("1.1", WHY),)
    assert choose(CURRENT, [study(*views)], ROUTE).series_instance_uid == "1.1"


class Visits:
    """A node that compares every MR with its prior, and visits of one patient with their images."""

    def __init__(self, node: MiniNode) -> None:
        self.node = node
        node.configure(routes=(Route(name="follow-up", run=("compare",), send=("archive",)),))
        self.work = Work(node)
        self.work.application = replace(COMPARE, accepts=replace(THIN, min_slices=4))

    def comes(self, year: int, *, slices: int = 5, without: int | None = None) -> str:
        """The visit of a year, of so many slices, and without one of them; its study."""
        uids = derive_uid(f"{year}"), derive_uid(f"{year}", "T1")
        affine = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
        files = write_series(
            np.full((slices, 8, 8), year, dtype=np.int16),
            affine,
            self.node.folder / "sent" / f"{year}-{slices}",
            modality="MR",
            study_uid=uids[0],
            series_uid=uids[1],
            series_description="T1",
            extra={"StudyDate": f"{year}0601", "SeriesNumber": year},
        )
        self.node.receive_files(*uids, [file for number, file in enumerate(files) if number != without])
        return uids[0]

    def happens(self) -> None:
        """Settle, route and work until nothing is left."""
        while True:
            route(self.node)
            if not self.work.step():
                return

    def compared(self, study: str) -> list[tuple[JobState, set[str]]]:
        """The jobs of a study, with the series that each compares it with."""
        own = {one.series_instance_uid for one in self.node.journal.instances.of_study(study)}
        return [(job.state, series_of(self.node, job) - own) for job in self.node.jobs() if job.study_instance_uid == study]


def t1(year: int) -> str:
    return derive_uid(f"{year}", "T1")


@pytest.fixture
def visits(node: MiniNode) -> Visits:
    return Visits(node)


def test_a_prior_that_only_its_images_show_to_be_unfit_is_left_out_then(visits: Visits) -> None:
    """2025 lacks a slice in the middle, 2024 has too few of them, 2023 fits: two jobs are cancelled with the reason, the third compares;
    what was refused is not tried again, and nobody has to decide anything."""
    for year, how in ((2023, {}), (2024, {"slices": 3}), (2025, {"without": 2})):
        visits.comes(year, **how)
    today = visits.comes(2026)
    with capture_logs() as told:
        visits.happens()
    assert visits.compared(today) == [
        (JobState.CANCELLED, {t1(2025)}),
        (JobState.CANCELLED, {t1(2024)}),
        (JobState.ENCODED, {t1(2023)}),
    ]
    first, second, third = [job for job in visits.node.jobs() if job.study_instance_uid == today]
    assert (first.code, second.code, third.predecessor) == (UnfitPrior.code, UnfitPrior.code, second.id)
    assert (first.reason or "").startswith("the prior: ")
    assert second.reason == "the prior: 3 slices, at least 4 are needed"
    ended = [(line["job"], line["code"]) for line in told if line["event"] == "job.cancelled"]
    assert ended == [(first.id, UnfitPrior.code), (second.id, UnfitPrior.code)]
    said = reason(visits.node, today)
    assert f"compared with series 2023 of 2023-06-01 (T1); passed over: series 2025 of 2025-06-01: {first.reason}" in said
    assert f"series 2024 of 2024-06-01: {second.reason}" in said
    left_out = [line["reason"] for line in told if line["event"] == "arrival.prior_left_out" and line["series"] in (t1(2024), t1(2025))]
    assert set(left_out) >= {first.reason, second.reason}


def test_when_no_prior_fits_none_is_compared_with_until_one_is_mended(visits: Visits) -> None:
    """The only prior lacks a slice: its job is cancelled, and the decision says that there is none. The slice comes late: now it fits."""
    visits.comes(2025, without=2)
    today = visits.comes(2026)
    visits.happens()
    assert visits.compared(today) == [(JobState.CANCELLED, {t1(2025)})]
    assert "compare: no prior: series 2025 of 2025-06-01: the prior: " in reason(visits.node, today)
    visits.comes(2025)
    visits.happens()
    assert visits.compared(today)[1:] == [(JobState.ENCODED, {t1(2025)})]


def test_a_prior_that_is_refused_while_its_study_is_routed_again(visits: Visits, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scout comes late; the router has chosen the prior as before when the worker finds the gap in it: the next prior is taken all the
    same."""
    visits.comes(2024)
    visits.comes(2025, without=2)
    today = visits.comes(2026)
    route(visits.node)
    visits.node.receive(today, "1.9", [1], **{**NOW, "SeriesDescription": "scout"})
    chosen = Pairing.prior_of

    def meanwhile(*given: Any) -> Prior:
        found = chosen(*given)
        while visits.work.step():
            pass
        return found

    with monkeypatch.context() as busy:
        busy.setattr(Pairing, "prior_of", meanwhile)
        settle(visits.node)
        RouteStage(visits.node.journal, visits.node.config, visits.node.clock, lambda name: "default", application_of).step()
    assert visits.compared(today) == [(JobState.CANCELLED, {t1(2025)})]
    visits.happens()
    assert visits.compared(today) == [(JobState.CANCELLED, {t1(2025)}), (JobState.ENCODED, {t1(2024)})]


def test_everybody_who_sent_the_study_gets_the_comparison_with_the_next_prior(visits: Visits) -> None:
    """Two peers sent it, and their routes name one sink each: they share the job that is refused, and the next one."""
    node = visits.node
    routes = [Route(name=to, run=("compare",), send=(to,), peers=(peer,)) for peer, to in (("ct1", "archive"), ("ct2", "second"))]
    node.configure(peers={"ct1": CT1, "ct2": replace(CT1, name="ct2", ae_title="CT2")}, routes=tuple(routes))
    visits.comes(2024)
    visits.comes(2025, without=2)
    visits.happens()
    today = visits.comes(2026)
    came = [
        CameAgain(instance=one.id, peer="ct2", called_ae="HILUM", scope_series=False, due_at=node.clock(), restored=False)
        for one in node.journal.instances.of_study(today)
    ]
    node.journal.instances.came_again(came, node.config.digest, node.clock())
    visits.happens()
    assert visits.compared(today) == [(JobState.CANCELLED, {t1(2025)}), (JobState.ENCODED, {t1(2024)})]
    assert set(node.journal.jobs.find(study=today)[-1].sinks) == {"archive", "second"}


@pytest.mark.parametrize("damage", ["bits", "cut", "no pixels", "not DICOM"])
def test_a_prior_of_which_a_file_cannot_be_read_is_left_out(visits: Visits, damage: str) -> None:
    """Before there are series to look at; the same of today's files is for a person."""
    visits.comes(2024)
    before = visits.comes(2025)
    visits.happens()
    damaged(visits.node, before, damage)
    today = visits.comes(2026)
    visits.happens()
    assert visits.compared(today) == [(JobState.CANCELLED, {t1(2025)}), (JobState.ENCODED, {t1(2024)})]
    (refused, _) = [job for job in visits.node.jobs() if job.study_instance_uid == today]
    assert refused.code == UnfitPrior.code
    tomorrow = visits.comes(2027)
    damaged(visits.node, tomorrow, damage)
    visits.happens()
    assert visits.compared(tomorrow) == [(JobState.PARKED, {t1(2026)})]


def damaged(node: MiniNode, study: str, how: str) -> None:
    """One stored file of a study is not what it was."""
    path = node.blobs.path(node.journal.instances.of_study(study)[0].blob)
    path.chmod(0o600)
    if how == "not DICOM":
        path.write_bytes(b"no such thing")
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        dataset = dcmread(path)
        if how == "bits":
            dataset.BitsStored = 99
        else:
            del dataset.PixelData
        dataset.save_as(path)


def test_todays_images_that_do_not_fit_end_the_job_as_not_applicable(visits: Visits) -> None:
    """Whatever the prior is."""
    visits.comes(2025, slices=3)
    today = visits.comes(2026, slices=3)
    visits.happens()
    assert visits.compared(today) == [(JobState.NOT_APPLICABLE, {t1(2025)})]
