"""Peers and engines are asked behind the page's back; models are shown with their cards, whoever wrote them."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.console.health import Health, SharedLook
from node.domain.health import FRESH_S, Answer, Dependency, DependencyKind
from node.journal.port import Pausable
from tests.lab.program import wait_until
from tests.unit.cli.conftest import Hospital
from tests.unit.console.conftest import Open, browsers
from tests.unit.journal.paused import paused

PEOPLE = ("vera", "otto", "ada")
HOSTILE = """# spine, version 2

<script>alert(1)</script> [click](javascript:alert(1)) ![far](//elsewhere.example/x.png) <img src=x onerror=alert(1)>

| test | Dice |
|---|---|
| held out | 0.91 |
"""


def _subject(ask: Callable[[], Answer] | None) -> Dependency:
    return Dependency(kind=DependencyKind.PEER, name="pacs", where="10.0.0.5:104", words="PACS", fix="Is it on?", ask=ask)


def test_nobody_waits_for_a_slow_peer() -> None:
    """The peer answers only after the page was made; then the page knows it. Looked at meanwhile, it is not asked a second time."""
    gate, asked = threading.Event(), []

    def slow() -> Answer:
        asked.append(1)
        gate.wait()
        return Answer(ready=True, detail="answered at last")

    health = Health([_subject(slow)])
    (first,) = health.look()
    assert (first.answer, first.age_s, first.asking) == (None, None, True)
    health.look()
    gate.set()
    wait_until(lambda: health.look()[0].answer is not None, 30, "the answer is known")
    (line,) = health.look()
    assert (line.answer, line.asking, len(asked)) == (Answer(ready=True, detail="answered at last"), False, 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_answers_grow_old_and_a_failed_question_is_an_answer() -> None:
    """After half a minute it is asked again, and not before; a question that breaks leaves no subject asked for ever."""
    now, asked = [0.0], []

    def ask() -> Answer:
        asked.append(now[0])
        if len(asked) > 1:
            raise RuntimeError("broken")
        return Answer(ready=True, detail="well")

    health = Health([_subject(ask), _subject(None)], clock=lambda: now[0])
    wait_until(lambda: health.look()[0].answer is not None, 30, "the first answer")
    now[0] = FRESH_S - 1
    assert health.look()[0].age_s == FRESH_S - 1
    assert (len(asked), health.look()[0].asking) == (1, False)
    now[0] = FRESH_S
    health.look()
    wait_until(lambda: not health.look()[0].asking, 30, "the second answer")
    line, mute = health.look()
    assert line.answer is not None
    assert (line.answer.ready, "could not be asked" in line.answer.detail) == (False, True)
    assert (mute.answer, mute.asking) == (None, False)


def test_who_refused_the_node_is_left_alone_unless_a_person_asks() -> None:
    """An answer that lasts longer is not asked for again each half minute."""
    now, asked = [0.0], list[float]()

    def ask() -> Answer:
        asked.append(now[0])
        return Answer(ready=False, detail="the password is an old one", lasts_s=900.0)

    health = Health([_subject(ask)], clock=lambda: now[0])
    wait_until(lambda: health.look()[0].answer is not None, 30, "the first answer")
    now[0] = 899.0
    assert not health.look()[0].asking
    assert health.forget(DependencyKind.PEER, "pacs")
    wait_until(lambda: health.look()[0].age_s == 0.0, 30, "the answer to a person")
    now[0] = 899.0 + 900.0
    wait_until(lambda: health.look()[0].age_s == 0.0, 30, "the answer after a quarter of an hour")
    assert asked == [0.0, 899.0, 1799.0]
    health.adopt([_subject(lambda: Answer(ready=True, detail="well")), *(line.subject for line in health.look())])
    now[0] += 899.0
    assert not health.look()[1].asking, "a configuration that comes into force is no reason to ask"


def test_what_many_look_at_is_read_a_few_times_a_minute() -> None:
    """Senders of the journal, callers of the association log: as they were within a quarter of a minute."""
    now, read = [0.0], list[float]()

    def look() -> int:
        read.append(now[0])
        return len(read)

    shared, told = SharedLook(look, clock=lambda: now[0]), []
    for moment in (0.0, 14.9, 15.0, 16.0, 31.0):
        now[0] = moment
        told.append(shared.told())
    assert (told, read) == ([1, 1, 2, 2, 3], [0.0, 15.0, 31.0])


@pytest.mark.parametrize("name", PEOPLE)
def test_the_page_of_peers_tells_who_is_away(browser: Open, name: str) -> None:
    """Nothing listens at the archive's port: in the end it is away, with a code, and the folder is well; a scanner only calls."""
    mine = browser(name)
    wait_until(lambda: not mine.client.get("/api/health").json()["asking"], 60, "everybody has answered")
    told = {(one["kind"], one["name"]): one for one in mine.client.get("/api/health").json()["subjects"]}
    assert told["peer", "pacs"]["state"] == "away"
    assert "[HLM-6" in told["peer", "pacs"]["detail"]
    assert told["peer", "ct1"]["state"] == "only calls"
    assert told["engine", "default"]["words"] == "runs ct-lung, mr-brain"
    page = mine.client.get("/peers").text
    part = mine.client.get("/peers", headers={"HX-Request": "true"}).text
    assert ("<html" in page, "<html" in part) == (True, False)
    for said in ("PACS, plain", "only calls", "in the work processes"):
        assert said in page, said
        assert said in part, said


@pytest.mark.parametrize("name", PEOPLE)
def test_the_page_of_peers_tells_their_quiet_windows(hospital: Hospital, browser: Open, name: str) -> None:
    """What was learned, from what, what it would have done, and the study of the largest gap; of the other peer that nothing came yet."""
    paused(hospital.journal, "ct1", [1.0] * 320 + [3.0], hospital.journal.now())
    mine = browser(name)
    told = {one["name"]: one for one in mine.client.get("/api/health").json()["windows"]}
    assert (told["ct1"]["window_s"], told["ct1"]["learned_s"], told["ct1"]["uses_learned"]) == (10, 4.5, False)
    page = mine.client.get("/peers").text
    studies = told["ct1"]["studies"]  # those of the morning that the hospital has besides
    assert studies >= 321
    assert f"The largest gap inside {studies} studies is 3 s" in page
    assert 'href="/studies/9.3.321"' in page
    assert f"Of the last {studies - 300} studies it closes 1 early (the configured one 0), and waits 2 s instead of 10 s (median)." in page
    assert "not used" in page


def test_a_paused_sink_is_not_called_ready(hospital: Hospital, browser: Open) -> None:
    """It would take results, and gets none; one that is away is away, paused or not."""
    mine = browser("otto")
    for name in ("copies", "archive"):
        hospital.journal.pauses.add(Pausable.SINK, name, hospital.now)
    wait_until(lambda: not mine.client.get("/api/health").json()["asking"], 60, "everybody has answered")
    told = {(one["kind"], one["name"]): one["state"] for one in mine.client.get("/api/health").json()["subjects"]}
    assert (told["sink", "copies"], told["sink", "archive"], told["engine", "default"]) == ("paused", "away", "ready")


def _spine(empty: Hospital) -> None:
    folder = Path(empty.config.models) / "spine"
    (folder / "2").mkdir(parents=True)
    (folder / "2" / "model.onnx").write_bytes(b"weights")
    (folder / "config.pbtxt").write_text('name: "spine"\nbackend: "onnxruntime"\nmax_batch_size: 1\n')
    (folder / "README.md").write_text(HOSTILE)


@pytest.fixture
def with_models(empty: Hospital) -> Iterator[Open]:
    """Browsers at a console whose repository holds one model, entered by hand."""
    _spine(empty)
    yield from browsers(empty)


ONES_OWN = """
from inference import codes
from inference.applications.port import Accepts, Application, Infer, Licences, MeasurementOutput, ModelRef
from inference.findings import Findings
from inference.imaging.volume import Volume


def analyse(volume: Volume, infer: Infer) -> Findings:
    return Findings()


APPLICATION = Application(
    name="mr-mine",
    version="1.0.0",
    title="Mine",
    accepts=Accepts(modality=("MR",)),
    models=(ModelRef(name="spine", version=2),),
    outputs=(MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),),
    licences=Licences(code="MIT", weights="CC-BY-NC-4.0", commercial="no"),
    grade="demonstration",
    analyse=analyse,
)
"""


def test_the_page_of_models_knows_ones_own_applications(empty: Hospital, tmp_path: Path) -> None:
    """Those of `models: {applications: […]}` say of the models that they call what they are good for, and that they may not be sold."""
    _spine(empty)
    (tmp_path / "mine" / "mr_mine").mkdir(parents=True)
    (tmp_path / "mine" / "mr_mine" / "__init__.py").write_text(ONES_OWN)
    config = replace(empty.config, application_folders=(tmp_path / "mine", empty.config.models))
    for browser in browsers(replace(empty, config=config)):
        (told,) = browser("otto").client.get("/api/models").json()["models"]
        assert (told["grade"], told["licences"]["weights"], told["licences"]["commercial"]) == ("demonstration", "CC-BY-NC-4.0", "no")


@pytest.mark.parametrize("name", PEOPLE)
def test_a_card_is_read_and_never_run(with_models: Open, name: str) -> None:
    """Its tables are tables, and its HTML, its scripts and its pictures from elsewhere are text; who wrote it needs no trust."""
    mine = with_models(name)
    (told,) = mine.client.get("/api/models").json()["models"]
    assert (told["model"], told["version"], told["licence"]) == ("spine", 2, None)
    assert (told["grade"], told["licences"]) == (None, {"code": "", "weights": "", "data": "", "commercial": "unknown"})
    assert 'href="/models/spine"' in mine.client.get("/models").text
    page = mine.client.get("/models/spine").text
    assert "<td>0.91</td>" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert 'href="javascript' not in page
    assert "<img src=x" not in page
    assert 'src="//' not in page
    for absent in ("nothing", "%2e%2e"):
        assert mine.client.get(f"/models/{absent}").status_code == 404, absent
    assert with_models().client.get("/models/spine").headers["location"] == "/login"


@pytest.mark.parametrize("name", PEOPLE)
def test_an_evaluations_page_may_do_nothing(with_models: Open, empty: Hospital, name: str) -> None:
    """As it was written, in a sandbox that runs and fetches nothing, to those who are logged in; only of versions that are there."""
    page = Path(empty.config.models) / "spine" / "2" / "card.html"
    mine = with_models(name)
    assert "/models/spine/2/card" not in mine.client.get("/models/spine").text
    assert mine.client.get("/models/spine/2/card").status_code == 404
    page.write_text("<h1>Spine</h1><script>alert(1)</script>")
    assert 'href="/models/spine/2/card"' in mine.client.get("/models/spine").text
    answer = mine.client.get("/models/spine/2/card")
    assert answer.text == page.read_text()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    told = {part.strip() for part in answer.headers["content-security-policy"].split(";")}
    assert {"sandbox", "default-src 'none'", "img-src data:", "form-action 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= told
    assert not [part for part in told if part.startswith("script-src") or "allow-" in part]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "script-src 'self'" in mine.client.get("/models").headers["content-security-policy"]
    for absent in ("spine/1", "spine/x", "other/2", "%2e%2e/2"):
        assert mine.client.get(f"/models/{absent}/card").status_code in (404, 422), absent
    assert with_models().client.get("/models/spine/2/card").headers["location"] == "/login"
