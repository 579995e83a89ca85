"""Routes that choose one series together, that ask when a study came, and that take what is left: at the console as at the terminal."""

import html
import re
from pathlib import Path

import pytest

from tests.lab.program import wait_until
from tests.unit.cli.conftest import CONFIG, HEAD, REFUSED, TILTED, Run, run
from tests.unit.console.conftest import Browser, Open

__all__ = ["run"]
_PATIENCE_S = 120
APPLICATIONS = Path(__file__).resolve().parents[2] / "node/applications"
WORDS = {"T1": "(?i)t1|mprage", "T1c": "(?i)gd", "T2": "(?i)t2", "FLAIR": "(?i)flair"}
ROUTES = """\
routes:
  - name: chest CT
    when: {Modality: CT, BodyPartExamined: {in: [CHEST, THORAX]}}
    hours: {between: ["06:00", "20:00"]}
    choose: chest
    run: [ct-lung]
    send: [archive]
  - name: thin slices
    when: {Modality: CT, SliceThickness: {max: 2}}
    choose: chest
    run: [ct-lung]
    send: [copies]
  - name: what is left
    else: true
    when: {Modality: {in: [CT, MR]}}
    run: [mr-brain]
    send: [copies]
"""
AT_NIGHT = ROUTES.replace('["06:00", "20:00"]', '["20:00", "06:00"]')


@pytest.fixture
def mine(browser: Open) -> Browser:
    """An admin's browser; the clock of hours is in the file, above the routes."""
    path = Path("hilum.yaml")
    path.write_text(CONFIG.replace("routes:\n", "schedule: {timezone: Europe/Berlin}\nroutes:\n"))
    return browser("ada")


def explained(mine: Browser, text: str, study: str) -> str:
    """What the page says, without its markup."""
    answer = mine.client.post("/routes/explain", data={"form_token": mine.form_token, "text": text, "study": study}).text
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", answer)).split())


def test_the_page_explains_who_takes_a_series_of_whom(mine: Browser) -> None:
    """The study came at nine in the morning of Berlin: of two routes with one `choose` the first takes the series, and nothing is left."""
    said = explained(mine, ROUTES, TILTED)
    assert "hours from 06:00 until 20:00" in said
    assert "thin slices fits, not run: chest CT takes it, which stands before this one; one route of chest does" in said
    assert "else taken by no other route found taken by chest CT" in said


def test_the_page_explains_what_is_left(mine: Browser) -> None:
    """At night alone, so that the other route of the choice takes it; an MR, which neither takes, is left for the fallback."""
    said = explained(mine, AT_NIGHT, TILTED)
    assert "else taken by no other route found taken by thin slices" in said
    assert "else taken by no other route found taken by none" in explained(mine, AT_NIGHT, HEAD)


def test_a_replay_at_the_console_tells_what_is_left(mine: Browser) -> None:
    """Each difference of each route, as the same replay at a terminal says it."""
    fields = {"form_token": mine.form_token, "text": AT_NIGHT, "since": "2025-03-04"}
    mine.client.post("/routes/replay", data=fields)
    wait_until(lambda: mine.client.get("/api/routes/replays/1").json()["state"] == "done", _PATIENCE_S, "the replay is done")
    told = {(one["study_uid"], one["route"]) for one in mine.client.get("/api/routes/replays/1").json()["differences"]}
    assert {(TILTED, "thin slices"), (REFUSED, "thin slices"), (HEAD, "what is left")} <= told


def test_mistakes_are_told_at_their_lines_and_what_is_good_is_saved(mine: Browser, run: Run) -> None:
    """A choice that one route alone has; then the routes are written, and the page has them."""
    first, _, rest = ROUTES.partition("max: 2}}\n    choose: chest\n")
    bad = f"{first}max: 2}}}}\n    choose: chests\n{rest}"
    first = mine.client.get("/api/routes").json()["line"]
    told = html.unescape(mine.client.post("/routes/check", data={"form_token": mine.form_token, "text": bad}).text)
    assert re.findall('data-line="([0-9]+)"', told) == [f"{first + 4}", f"{first + 9}"]
    assert "no other route says `choose: chest`" in told.replace("<code>", "`").replace("</code>", "`")
    compared = mine.client.post("/routes/check", data={"form_token": mine.form_token, "text": ROUTES}).text
    assert "No mistakes: 3 routes" in compared
    digest = mine.client.get("/api/routes").json()["file_digest"]
    form = {"form_token": mine.form_token, "text": ROUTES, "digest": digest}
    (shown,) = re.findall('name="compared" value="([0-9a-f]+)"', mine.client.post("/routes/save", data=form).text)
    assert "Saved" in mine.client.post("/routes/save", data={**form, "compared": shown}).text
    assert Path("hilum.yaml").read_text().endswith(ROUTES)
    assert mine.client.get("/api/routes").json()["text"] == ROUTES
    assert "choose: chest" in html.unescape(mine.client.get("/routes").text)
    assert run("config", "check").code == 0


def test_the_page_explains_which_series_fills_which_role(mine: Browser, run: Run) -> None:
    """Of an application of four roles, and which of them nothing fills: the job is parked, and nobody is told that it runs."""
    path = Path("hilum.yaml")
    path.write_text(f"models: {{applications: [{APPLICATIONS}]}}\n{path.read_text()}")
    roles = "".join(f'      {name}: {{SeriesDescription: {{matches: "{word}"}}}}\n' for name, word in WORDS.items())
    text = f"routes:\n  - name: contrasts\n    when: {{Modality: MR}}\n    run: four-contrasts\n    roles:\n{roles}    send: [copies]\n"
    said = explained(mine, text, HEAD)
    assert "role T1 SeriesDescription a match of (?i)t1|mprage found series 1" in said
    assert "role T2 SeriesDescription a match of (?i)t2 found none fits" in said
    assert "✗ contrasts parked: " in said
    assert "four-contrasts is parked: no series for T1c (none fits), T2 (none fits)" in said
    path.write_text(path.read_text().partition("routes:\n")[0] + text)
    told = run("routes", "explain", HEAD)
    assert "✗ contrasts  parked\n" in told.out
    assert "✓ contrasts" not in told.out
    one = run("routes", "explain", HEAD, "--json").json["routes"][0]["series"][0]
    assert (one["chosen"], one["withheld"]) == (True, "parked")
