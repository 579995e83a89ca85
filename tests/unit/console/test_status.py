"""The first page: what is wrong of what, what to do, and the button beside it; each button does what it says, once, and is told."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from node.assembly.console import trials_of
from node.console.access import Visitor
from node.console.actions import make_room
from node.console.health import Health
from node.console.status import status
from node.domain.account import Role
from node.domain.arrival import Completeness
from node.domain.health import Answer, Dependency, DependencyKind
from node.domain.instance import HeldFor, Standing
from node.journal.port import NewInstance, Pausable
from node.observe.audit.alerts import Alerts
from node.observe.audit.message import Message
from node.observe.security import ConsoleActed, UnknownAddress, listen, listen_no_more, tell
from tests.lab.program import wait_until
from tests.unit.cli.conftest import HEAD, OPEN, TILTED, Hospital
from tests.unit.console.conftest import Browser, Open, context_of


def _status(mine: Browser) -> SimpleNamespace:
    """What is told once everybody has answered."""
    wait_until(lambda: not mine.client.get("/api/status").json()["asking"], 60, "everybody has answered")
    return SimpleNamespace(**mine.client.get("/api/status").json())


def test_what_is_wrong_is_said_with_what_to_do(browser: Open) -> None:
    """The archive is away (peer and sink), a job is parked and a delivery refused; each with its sentence, remedy and way, on one page."""
    mine = browser("otto")
    told = _status(mine)
    assert not told.well
    by_area = {one["area"]: one for one in told.troubles}
    assert {"peers", "sinks", "parked", "processes"} <= by_area.keys()
    assert by_area["peers"]["level"] == "bad"
    assert "does it know the node's AE title" in by_area["peers"]["fix"]
    text = mine.client.get("/").text
    for said in ("Look at what is parked", "/ask/sink/archive", "/ask/peer/pacs", "not running on this store"):
        assert said in text, said


def test_good_is_said_of_what_is_good(browser: Open) -> None:
    """Every area has its line: disk and clock are well, whatever else is not."""
    areas = {one["area"]: one for one in _status(browser("vera")).areas}
    assert areas["disk"]["level"] == "good"
    assert "free of" in areas["disk"]["says"]
    assert areas["clock"] == {"area": "clock", "level": "good", "says": "in step with the database's"}
    assert areas["parked"]["level"] == "warning"


def test_a_node_to_which_nobody_sends_is_not_called_well_for_that(empty: Hospital) -> None:
    """It says that nothing came yet; of one trial study three weeks ago, which is no habit and so no silence, that nothing came lately."""

    def senders() -> tuple[str, str, dict[str, str]]:
        with closing(trials_of(empty.config)) as trials:
            told = status(context_of(empty, trials))
        (area,) = (one for one in told["areas"] if one["area"] == "senders")
        return area["level"], area["says"], {one["name"]: one["state"] for one in told["senders"]}

    assert senders() == ("unknown", "nobody has sent anything yet", {"pacs": "nothing yet", "ct1": "nothing yet"})
    empty.now = empty.journal.now() - timedelta(days=21)
    arrival = empty.receive("1.2.3", "ct1", "HILUM", (1, {"Modality": ("CT",)}))
    empty.journal.arrivals.complete(arrival, Completeness.QUIET, empty.now + timedelta(seconds=10))
    assert senders() == ("unknown", "ct1 sent 21 days ago, nobody since", {"pacs": "nothing yet", "ct1": "nothing lately"})


def test_all_is_well_when_everybody_has_answered_and_not_before(empty: Hospital) -> None:
    """Neither after a start nor while who was down is asked again: what it said last stands until it has answered."""
    gates = [threading.Event() for _ in range(3)]
    answers = [Answer(ready=False, detail="nobody there"), Answer(ready=False, detail="nobody there"), Answer(ready=True, detail="well")]
    asked: list[int] = []

    def ask() -> Answer:
        asked.append(1)
        gates[len(asked) - 1].wait(60)
        return answers[len(asked) - 1]

    health = Health([Dependency(kind=DependencyKind.PEER, name="pacs", where="10.0.0.5:104", words="PACS", fix="Is it on?", ask=ask)])
    with closing(trials_of(empty.config)) as trials:
        at = replace(context_of(empty, trials), health=health)
        wait_until(lambda: health.look_at_node().findings is not None, 60, "the node was looked at")
        seen = []
        for gate in gates:
            told = status(at)
            peers = next(one for one in told["areas"] if one["area"] == "peers")
            seen.append((told["well"], told["asking"], told["looked"], len(told["troubles"]), peers["level"]))
            gate.set()
            wait_until(lambda: not status(at)["asking"], 60, "it has answered")
            if gate is not gates[-1]:
                assert health.forget(DependencyKind.PEER, "pacs")
        assert seen == [(False, True, False, 0, "unknown"), (False, True, True, 1, "bad"), (False, True, True, 1, "bad")]
        assert (status(at)["well"], len(asked)) == (True, 3)


def test_the_title_and_the_tabs_count(browser: Open) -> None:
    """How much there is to look at stands in the title of every page, and on the tab that shows it."""
    mine = browser("vera")
    many = len(_status(mine).troubles)
    for path in ("/", "/models"):
        text = mine.client.get(path).text
        assert f"<title>({many}) " in text, path
    tabs = mine.client.get("/tabs?path=/models").text
    assert f'data-badge="{many}"' in tabs
    assert 'aria-label="2 to look at">2</span></a>' in tabs.partition('href="/parked"')[2]
    assert "<title>hilum" not in browser().client.get("/login").text
    assert "(" not in browser().client.get("/login").text.partition("</title>")[0].partition("<title>")[2]


def test_a_viewer_is_shown_no_buttons(browser: Open) -> None:
    """And what a viewer sends all the same changes nothing."""
    mine = browser("vera")
    _status(mine)
    assert "<form" not in mine.client.get("/").text.partition("<main")[2].partition("</main>")[0]
    assert mine.post("/pauses/sink/archive/pause") == 403
    assert mine.post("/ask/peer/pacs") == 403


def test_a_sink_is_paused_and_goes_on(browser: Open, hospital: Hospital) -> None:
    """It stands on the first page at once with the button that lets it go on; what is not of the configuration is not paused."""
    mine = browser("otto")
    _status(mine)
    assert mine.post("/pauses/sink/archive/pause", back="/queue") == 303
    assert [one[:2] for one in hospital.journal.pauses.find()] == [(Pausable.SINK, "archive")]
    told = _status(mine)
    assert [one["name"] for one in told.paused] == ["archive"]
    assert "paused" in {one["area"] for one in told.troubles}
    assert "/pauses/sink/archive/resume" in mine.client.get("/").text
    assert mine.post("/pauses/sink/archive/resume") == 303
    assert mine.post("/pauses/sink/archive/resume") == 409
    assert mine.post("/pauses/sink/arhcive/pause") == 404
    assert mine.post("/pauses/disk/archive/pause") == 422
    assert mine.client.post("/pauses/sink/archive/pause", data={"form_token": "0" * 64}).status_code == 403
    assert hospital.journal.pauses.find() == []


@pytest.mark.parametrize("written", ["CT/MR head", "CT%2FMR%20head"])
def test_a_route_is_paused_whatever_its_name_holds(browser: Open, hospital: Hospital, written: str) -> None:
    """A stroke in it is no border of the address: pages and programs pause it and let it go on."""
    first, *others = hospital.config.routes
    object.__setattr__(hospital.config, "routes", (replace(first, name="CT/MR head"), *others))
    mine = browser("otto")
    assert "/pauses/route/CT/MR%20head/pause" in mine.client.get("/peers").text
    assert mine.post(f"/pauses/route/{written}/pause") == 303
    assert [one[:2] for one in hospital.journal.pauses.find()] == [(Pausable.ROUTE, "CT/MR head")]
    assert mine.post(f"/api/pauses/route/{written}/resume") == 200
    assert hospital.journal.pauses.find() == []
    assert mine.post(f"/ask/peer/{written}") == 404


@pytest.mark.parametrize(
    ("back", "leads"),
    [
        ("/queue?state=parked", "/queue?state=parked"),
        ("/", "/"),
        ("//evil.example", "/peers"),
        ("https://evil.example", "/peers"),
        ("/logout", "/peers"),
        ("/\r\nSet-Cookie: x", "/peers"),
    ],
)
def test_an_action_leads_back_to_our_own_pages_alone(browser: Open, back: str, leads: str) -> None:
    """Whatever the form says."""
    mine = browser("otto")
    answer = mine.client.post("/ask/peer/pacs", data={"form_token": mine.form_token, "back": back})
    assert (answer.status_code, answer.headers["location"]) == (303, leads)


def test_who_is_asked_again_is_asked_now(browser: Open) -> None:
    """However lately; who only calls cannot be asked."""
    mine = browser("otto")
    _status(mine)
    assert mine.post("/ask/peer/pacs") == 303
    line = next(one for one in mine.client.get("/api/health").json()["subjects"] if (one["kind"], one["name"]) == ("peer", "pacs"))
    assert line["asking"] or line["age_s"] < 5
    assert mine.post("/ask/peer/ct1") == 404
    assert mine.post("/ask/peer/none") == 404


@pytest.fixture
def told() -> Iterator[list[Message]]:
    """What the audit trail hears."""
    heard: list[Message] = []
    listen(Alerts(tell=heard.append, process="console", ae_titles=("HILUM",)).hear)
    yield heard
    listen_no_more()


def test_the_audit_trail_hears_of_each(browser: Open, told: list[Message]) -> None:
    """Who, from where, and what: Use of Restricted Function. The same once more is counted, another is told."""
    mine = browser("otto")
    mine.post("/pauses/sink/archive/pause")
    mine.post("/pauses/sink/archive/resume")
    mine.post("/pauses/sink/archive/pause")
    acts = [one for one in told if one.kinds and one.kinds[0].value == "110132"]
    said = [getattr(one.objects[0], "description", "") for one in acts]
    assert said == ["done at the console: pause sink archive", "done at the console: resume sink archive"]
    assert [one.user_id for one in acts[0].participants if one.requestor] == ["otto"]
    assert acts[0].participants[-1].address == "testclient"


def test_senders_are_told_with_their_gap(browser: Open, hospital: Hospital) -> None:
    """Of those that are named; one that never sent has no last time."""
    told = {one["name"]: one for one in _status(browser("vera")).senders}
    assert told.keys() == set(hospital.config.peers)
    text = browser("vera").client.get("/").text
    assert "Usual gap" in text


def test_a_disk_below_its_mark_is_red(browser: Open, hospital: Hospital, tmp_path: Path) -> None:
    """With what senders are answered, and what to do."""
    hospital.config.store.blobs.mkdir(parents=True, exist_ok=True)
    object.__setattr__(hospital.config.store, "min_free_bytes", 10**18)
    areas = {one["area"]: one for one in _status(browser("vera")).areas}
    assert areas["disk"]["level"] == "bad"
    assert "0xA700" in browser("vera").client.get("/").text


def test_room_is_made_by_admins_of_what_nothing_needs(browser: Open, hospital: Hospital) -> None:
    """The pixels of the head that was delivered go; what is parked, held, or still comes, stays. Then there is nothing more to delete."""
    (of_head, *_) = hospital.journal.instances.of_study(HEAD)
    held = replace(
        of_head,
        sop_instance_uid=f"{HEAD}.9.9",
        blob="held.dcm",
        digest="held",
        received_at=hospital.now,
        standing=Standing.HELD,
        held_for=HeldFor.IDENTITY,
    )
    added = NewInstance(instance=held, opens=False, scope_series=False, due_at=hospital.now)
    (row,) = hospital.journal.instances.record([added], hospital.now)
    object.__setattr__(hospital.config.store, "min_free_bytes", 10**18)
    mine, other = browser("ada"), browser("otto")
    _status(mine)
    assert "Make room" in mine.client.get("/").text
    assert "Make room" not in other.client.get("/").text
    assert other.post("/room") == 403
    blobs = hospital.config.store.blobs
    blobs.rename(elsewhere := blobs.with_name("elsewhere"))
    assert mine.post("/room") == 409, "its disk is not mounted: nothing is deleted, and nothing called so"
    assert {one.standing for one in hospital.journal.instances.of_study(HEAD)} == {Standing.CURRENT}
    elsewhere.rename(blobs)
    assert mine.post("/room") == 303
    standings = {uid: {one.standing for one in hospital.journal.instances.of_study(uid)} for uid in (HEAD, TILTED, OPEN)}
    assert standings == {HEAD: {Standing.PURGED}, TILTED: {Standing.CURRENT}, OPEN: {Standing.CURRENT}}
    assert [one.id for one in hospital.journal.held.find()] == [row]
    assert mine.post("/room") == 409


def test_room_that_broke_off_is_told_to_the_audit_trail_too(hospital: Hospital, told: list[Message]) -> None:
    """Who had pixels deleted is known, however far it came."""

    def breaks() -> int:
        raise OSError(5, "Input/output error")

    with closing(trials_of(hospital.config)) as trials:
        at = replace(context_of(hospital, trials), make_room=breaks)
        with pytest.raises(OSError, match="Input/output"):
            make_room(at, Visitor(name="ada", role=Role.ADMIN, key="", token="", sees_patients=True, address="10.0.0.1"))
    (said,) = [getattr(one.objects[0], "description", "") for one in told]
    assert said == "done at the console: make room of instances, until it broke off"


def test_what_people_do_is_told_in_the_midst_of_a_flood(told: list[Message]) -> None:
    """A thousand addresses that nobody knows in one minute: beyond them alerts are counted without who it was, but for people."""
    for number in range(1001):
        tell(UnknownAddress(address=f"10.0.{number // 256}.{number % 256}"))
    tell(ConsoleActed(account="otto", address="10.1.0.1", verb="pause", subject="sink archive"))
    assert getattr(told[-1].objects[0], "description", "") == "done at the console: pause sink archive"
    assert [one.user_id for one in told[-1].participants if one.requestor] == ["otto"]


def test_times_are_told_so_that_the_browser_can_say_them_in_the_readers_zone(browser: Open, hospital: Hospital) -> None:
    """ISO 8601 with its offset beside the node's own words."""
    text = browser("vera").client.get("/parked").text
    (job,) = hospital.journal.jobs.find(study=TILTED)
    assert f'<time datetime="{job.created_at.isoformat()}">' in text
    assert timedelta(0) == job.created_at.utcoffset()
