"""Events and callers as pages: as the commands tell them, without what they quote of patients for those who may not see these."""

from node.observe.association_log import AssociationLog
from node.observe.security import AssociationRejected, UnknownAddress
from node.store.hosts import association_folder
from tests.lab.program import wait_until
from tests.unit.cli.conftest import REFUSED, TILTED, Hospital
from tests.unit.console.conftest import Open


def test_events_are_told_in_words(browser: Open) -> None:
    """The newest first, of a study, a peer or a code; with what to do."""
    client = browser("vera").client
    told = client.get(f"/api/events?since=2025-03-01&study={REFUSED}").json()["events"]
    assert {one["study_uid"] for one in told} == {REFUSED}
    assert told == sorted(told, key=lambda one: -one["number"])
    assert any(one["words"].startswith("refused: a person decides") for one in told)
    assert {one["study_uid"] for one in client.get("/api/events?since=2025-03-01&code=hlm-3017").json()["events"]} == {TILTED}
    text = client.get("/events?since=2025-03-01&code=HLM-6100").text
    assert "to archive, job" in text
    assert "Look back further" in client.get("/events?since=2025-03-01&code=HLM-9999").text
    assert client.get("/events?since=yesterday").status_code == 422
    assert client.get("/events?study=1%27").status_code == 422


def test_who_was_turned_away_stands_on_the_first_page(browser: Open, hospital: Hospital) -> None:
    """With why and what to do; the page of callers is one press away, and its tab counts."""
    folder = association_folder(hospital.config)
    folder.mkdir(parents=True)
    log = AssociationLog(folder, 0)
    said = {"calling_ae": "CT7", "called_ae": "HILUMM", "address": "10.0.0.7", "rejection": "called", "reason": "no such AE title"}
    for _ in range(3):
        log.hear(AssociationRejected(**said))
    log.hear(UnknownAddress(address="10.0.0.9"))
    log.close()
    mine = browser("vera")
    wait_until(lambda: not mine.client.get("/api/status").json()["asking"], 60, "everybody has answered")
    troubles = {one["subject"]: one for one in mine.client.get("/api/status").json()["troubles"] if one["area"] == "refused"}
    assert troubles.keys() == {"CT7@10.0.0.7", "10.0.0.9"}
    assert troubles["CT7@10.0.0.7"]["detail"] == "turned away 3 times within the last hour: no such AE title"
    assert "own AE title" in troubles["CT7@10.0.0.7"]["fix"]
    assert 'href="/associations?refused=true"' in mine.client.get("/").text
    assert 'aria-label="2 to look at"' in mine.client.get("/tabs").text.partition('href="/associations"')[2]
    page = mine.client.get("/associations?refused=true").text
    for words in ("CT7, HILUMM", "10.0.0.9", "turned away: no such AE title"):
        assert words in page, words
    assert len(mine.client.get("/api/associations").json()["associations"]) == 4
    assert mine.client.get("/associations?since=later").status_code == 422
