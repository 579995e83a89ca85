"""Configurations that were in force, at the console: listed, compared, put back; what is shown to whom."""

import html
import re
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.domain.account import Role
from node.domain.config_revision import ConfigRevision
from tests.unit.cli.conftest import CONFIG, Hospital
from tests.unit.console.conftest import Browser, Open
from tests.unit.console.test_routing import ROUTES, THINNER, compared, file_digest, token

THIN = CONFIG.replace(ROUTES, THINNER)
SECRET = CONFIG + 'notify: {webhook: {url: "(not kept)"}}\n'


@pytest.fixture
def kept(hospital: Hospital) -> Hospital:
    """Two of them: what the file has, and thinner slices before."""
    for number, (text, by, reason) in enumerate(((THIN, "anna", "thin slices alone"), (CONFIG, "hilum serve", "the node was started"))):
        digest = hospital.config.digest if number else "0" * 64
        hospital.journal.config_revisions.add(
            ConfigRevision(at=hospital.now, author=by, reason=reason, host="node1", path="hilum.yaml", digest=digest, text=text)
        )
    return hospital


def lines(page: str) -> list[tuple[str, str]]:
    """The differences of a page: what becomes of each line that is not the same."""
    found = re.findall(r'<li class="(added|taken)">.*?<code>(.*?)</code>', page)
    return [(sign, html.unescape(text).strip()[-8:]) for sign, text in found]


def test_who_changed_what_is_listed_and_compared(kept: Hospital, browser: Open) -> None:
    """Operators see who and why; what stands in one is an admin's to see: against the one before, another one, and the file as it is."""
    mine, operator = browser("ada"), browser("otto")
    for each in (mine, operator):
        listed = each.client.get("/routes/revisions").text
        assert all(words in listed for words in ("thin slices alone", "anna", "the node was started"))
    assert (
        "/routes/revisions/1" in operator.client.get("/routes/revisions").text,
        operator.client.get("/routes/revisions/1").status_code,
    ) == (
        False,
        403,
    )
    assert lines(mine.client.get("/routes/revisions/2").text) == [("taken", "max: 1}}"), ("added", "max: 5}}")]
    assert lines(mine.client.get("/routes/revisions/1?with=2").text) == [("taken", "max: 5}}"), ("added", "max: 1}}")]
    assert lines(mine.client.get("/routes/revisions/1?with=file").text) == [("taken", "max: 1}}"), ("added", "max: 5}}")]
    assert "They are the same." in mine.client.get("/routes/revisions/2?with=file").text
    assert html.escape(THIN.splitlines()[0], quote=False) in html.unescape(mine.client.get("/routes/revisions/1").text)
    assert mine.client.get("/routes/revisions/7").status_code == 404
    headers = token(kept, Role.ADMIN)
    program = browser().client
    assert [one["author"] for one in program.get("/api/routes/revisions", headers=headers).json()] == ["hilum serve", "anna"]
    told = program.get("/api/routes/revisions/2", headers=headers).json()["differences"]
    assert [line["sign"] for place in told for line in place if line["sign"] != " "] == ["-", "+"]


@pytest.mark.parametrize("now", [CONFIG, CONFIG.replace("routes:", "routes: [", 1)], ids=["good", "broken"])
def test_one_is_put_back_and_told(kept: Hospital, browser: Open, now: str) -> None:
    """Also where the file is broken, which the page of routes leads here from; the file before is kept, and it is told who did it."""
    path = kept.config.path
    path.write_text(now)
    mine = browser("ada")
    if now != CONFIG:
        assert "/routes/revisions" in mine.client.get("/routes").text
        assert ("taken", "routes:") in lines(mine.client.get("/routes/revisions/2?with=file").text)
    with capture_logs() as events:
        answer = mine.client.post("/routes/revisions/1/rollback", data={"form_token": mine.form_token, "reason": "too thick"})
    assert (answer.status_code, "No node of this host runs" in answer.text) == (200, True)
    assert (path.read_text(), Path(f"{path}.before").read_text()) == (THIN, now)
    (told,) = [one for one in events if one["event"] == "config.saved"]
    assert (told["by"], told["before"]) == ("ada", kept.config.digest if now == CONFIG else "")


def test_what_cannot_come_back_leaves_the_file_and_the_reason_that_was_written(kept: Hospital, browser: Open) -> None:
    """A sentence with what to do; nobody but an admin is asked."""
    kept.journal.config_revisions.add(
        ConfigRevision(at=kept.now, author="x", reason="", host="node1", path="hilum.yaml", digest="1" * 64, text=SECRET)
    )
    mine = browser("ada")
    answer = mine.client.post("/routes/revisions/3/rollback", data={"form_token": mine.form_token, "reason": "because"})
    assert ("HLM-2108" in answer.text, 'value="because"' in answer.text) == (True, True)
    other = mine.client.post("/api/routes/revisions/3/rollback", headers=token(kept, Role.ADMIN))
    assert (other.status_code, "HLM-2108" in other.text) == (409, True)
    assert browser("otto").post("/routes/revisions/1/rollback") == 403
    assert kept.config.path.read_text() == CONFIG


def test_a_reason_goes_with_what_is_saved(kept: Hospital, browser: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the field below the differences, through a second look at them, to the node that takes the routes up."""
    asked: list[str] = []

    def noted(_: object, asking: object) -> object:
        asked.append(getattr(asking, "reason", ""))
        raise OSError(2, "gone")

    monkeypatch.setattr("node.console.edited_block.serving", lambda _: [type("Node", (), {"pid": 1, "ask": noted})()])
    mine: Browser = browser("ada")
    fields = {"form_token": mine.form_token, "text": THINNER, "digest": file_digest(mine), "reason": " thin alone "}
    assert 'value=" thin alone "' in mine.client.post("/routes/check", data=fields).text
    mine.client.post("/routes/save", data={**fields, "compared": compared(THINNER)})
    assert asked == ["thin alone"]
