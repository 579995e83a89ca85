"""The page and the calls of routes: who may do what, what is shown of the file and what never is, and what is refused."""

import hashlib
import html
import re
from datetime import timedelta
from pathlib import Path

import pytest

from node.console.accounts import digest_of
from node.console.context import TRIES, TRIES_WINDOW_S, RateLimit
from node.console.editing import MOST_TEXT, Problem
from node.console.rendering import rendered
from node.domain.account import AccessKey, KeyKind, Role
from tests.lab.program import wait_until
from tests.unit.cli.conftest import CONFIG, HEAD, REFUSED, TILTED, Hospital
from tests.unit.console.conftest import Browser, Open

ROUTES = CONFIG[CONFIG.index("routes:") :]
THINNER = ROUTES.replace("SliceThickness: {max: 5}", "SliceThickness: {max: 1}")
READING = ("/routes", "/routes/studies", "/api/routes")
TRYING = ("check", "explain", "replay")
_PATIENCE_S = 120


def token(hospital: Hospital, role: Role) -> dict[str, str]:
    """The header of a program of this role."""
    now, secret = hospital.journal.now(), f"secret {role}"
    name = {Role.VIEWER: "vera", Role.OPERATOR: "otto", Role.ADMIN: "ada"}[role]
    kept = {"account": name, "role": role, "kind": KeyKind.TOKEN, "label": "test", "created_at": now, "ends_at": now + timedelta(days=1)}
    hospital.journal.accounts.open_key(AccessKey(digest=digest_of(secret), **kept))  # type: ignore[arg-type]
    return {"Authorization": f"Bearer {secret}"}


def compared(text: str) -> str:
    """What an answer to *Check* says that it compared (SHA-256): saving names it."""
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(mine: Browser) -> str:
    """Of the file as it is."""
    told: str = mine.client.get("/api/routes").json()["file_digest"]
    return told


@pytest.mark.parametrize(("name", "may"), [("vera", False), ("otto", True), ("ada", True)])
def test_who_may_look_and_try(browser: Open, name: str, may: bool) -> None:
    """Operators and admins; a viewer is not shown the way, and is refused, whatever is asked about. What is tried changes nothing."""
    mine = browser(name)
    before = Path("hilum.yaml").read_bytes()
    assert ("/routes" in mine.client.get("/studies").text) is may
    for path in READING:
        assert mine.client.get(path).status_code == (200 if may else 403), path
    for verb, status in (("check", 200), ("explain", 404), ("replay", 422), ("replays/1/stop", 404)):
        assert mine.post(f"/routes/{verb}", text=THINNER, study="1.2.3", since="lately") == (status if may else 403), verb
    assert mine.client.get("/routes/replays/1").status_code == (404 if may else 403)
    assert Path("hilum.yaml").read_bytes() == before


@pytest.mark.parametrize(("role", "may"), [(Role.VIEWER, False), (Role.OPERATOR, True), (Role.ADMIN, True)])
def test_what_programs_may_do(browser: Open, hospital: Hospital, role: Role, may: bool) -> None:
    """The same by tokens; only an admin's saves."""
    client = browser().client
    headers = token(hospital, role)
    told = client.get("/api/routes", headers=headers)
    assert told.status_code == (200 if may else 403)
    for path, status in (("check", 200), ("explain?study=1.2.3", 404), ("replays?since=lately", 422), ("replays/1/stop", 404)):
        answer = client.post(f"/api/routes/{path}", content=THINNER, headers=headers)
        assert answer.status_code == (status if may else 403), path
    assert client.get("/api/routes/replays/1", headers=headers).status_code == (404 if may else 403)
    digest = told.json().get("file_digest", "0" * 64)
    saved = client.put(f"/api/routes?digest={digest}", content=THINNER, headers=headers)
    assert saved.status_code == (200 if role is Role.ADMIN else 403)
    assert Path("hilum.yaml").read_text() == (CONFIG.replace(ROUTES, THINNER) if role is Role.ADMIN else CONFIG)


@pytest.mark.parametrize(("name", "may"), [("vera", False), ("otto", False), ("ada", True)])
def test_who_may_save(browser: Open, name: str, may: bool) -> None:
    """An operator has no button, and what he sends all the same changes nothing."""
    mine = browser(name)
    digest = file_digest(browser("ada"))
    assert ("/routes/save" in mine.client.post("/routes/check", data={"form_token": mine.form_token, "text": THINNER}).text) is may
    assert mine.post("/routes/save", text=THINNER, digest=digest, compared=compared(THINNER)) == (200 if may else 403)
    assert ("max: 1}" in Path("hilum.yaml").read_text()) is may
    assert Path("hilum.yaml.before").exists() is may


def test_nobody_and_other_sites_are_refused(browser: Open) -> None:
    """Without a login everything leads to it; without this session's token, or from elsewhere, nothing is tried or saved."""
    stranger, mine = browser().client, browser("ada")
    assert stranger.get("/routes").headers["location"] == "/login"
    assert stranger.get("/api/routes").status_code == 401
    assert stranger.put(f"/api/routes?digest={'0' * 64}", content=THINNER).status_code == 401
    digest = file_digest(mine)
    for path in ("/routes/check", "/routes/explain", "/routes/replay", "/routes/replays/1/stop", "/routes/save"):
        fields = {"text": THINNER, "digest": digest, "study": HEAD, "since": "30d"}
        assert stranger.post(path, data=fields).headers["location"] == "/login"
        assert mine.client.post(path, data={**fields, "form_token": "0" * 64}).status_code == 403
        elsewhere = {"Origin": "http://evil.example"}
        assert mine.client.post(path, data={**fields, "form_token": mine.form_token}, headers=elsewhere).status_code == 403
    for path in ("check", f"explain?study={HEAD}", "replays?since=30d", "replays/1/stop"):
        assert mine.client.post(f"/api/routes/{path}", content=THINNER).status_code == 403, "the cookie alone is not enough"
    assert mine.client.put(f"/api/routes?digest={digest}", content=THINNER).status_code == 403
    assert Path("hilum.yaml").read_text() == CONFIG


def lines_shown(answer: str) -> list[tuple[str, int, str]]:
    """What became of which line, as an answer to *Check* lists it."""
    found = re.findall(r'<li class="(\w+)"><span class="at">(\d+)</span>.*?<code>(.*?)</code></li>', answer)
    return [(sign, int(line), text) for sign, line, text in found]


def test_what_would_change_is_shown_before_it_is_written(browser: Open) -> None:
    """Line by line, each said in words too; *Save* on a text that nobody was shown the differences of, shows them and writes nothing."""
    mine = browser("ada")
    first = CONFIG[: CONFIG.index("routes:")].count("\n") + 1
    fields = {"form_token": mine.form_token, "text": THINNER.replace("\n", "\r\n"), "digest": file_digest(mine)}
    changed = next(at for at, line in enumerate(ROUTES.splitlines()) if "max: 5" in line)
    for path in ("/routes/check", "/routes/save"):
        answer = mine.client.post(path, data=fields).text
        shown = lines_shown(answer)
        assert [one for one in shown if one[0] != "kept"] == [
            ("taken", first + changed, ROUTES.splitlines()[changed]),
            ("added", first + changed, THINNER.splitlines()[changed]),
        ]
        assert [line for sign, line, _ in shown if sign == "kept"] == [first + changed + by for by in (-3, -2, -1, 1, 2, 3)]
        assert (" taken out " in answer, " added " in answer) == (True, True)
        assert "Somebody else changed" not in answer
        assert Path("hilum.yaml").read_text() == CONFIG
    (told,) = re.findall('name="compared" value="([0-9a-f]+)"', answer)
    saved = mine.client.post("/routes/save", data={**fields, "compared": told}).text
    assert "Saved" in saved
    assert Path("hilum.yaml").read_text() == CONFIG.replace(ROUTES, THINNER)
    again = mine.client.post("/routes/check", data=fields).text
    assert "has these routes already" in again
    assert "Somebody else changed the file" in again, "it is not the one that the form names"
    assert lines_shown(again) == []


def test_a_route_to_begin_with_is_good_as_it_stands(browser: Open) -> None:
    """Of the file's own names: put at the end of the routes it has no mistakes, and is all that would change."""
    mine = browser("otto")
    example = mine.client.get("/api/routes").json()["example"]
    assert example in html.unescape(mine.client.get("/routes").text)
    told = mine.client.post("/routes/check", data={"form_token": mine.form_token, "text": f"{ROUTES}\n{example}"}).text
    assert "No mistakes: 3 routes" in told
    assert [html.unescape(text) for sign, _, text in lines_shown(told) if sign != "kept"] == ["", *example.splitlines()]
    assert "/routes/save" not in told


def test_only_the_routes_of_the_file_are_shown(hospital: Hospital, browser: Open) -> None:
    """The block with its first line and its revision; nothing of peers, sinks or anything else, whose secrets are no browser's business."""
    told = browser("otto").client.get("/api/routes").json()
    assert (told["text"], told["line"]) == (ROUTES, CONFIG[: CONFIG.index("routes:")].count("\n") + 1)
    assert told["revision"] == told["in_force"] == hospital.config.digest
    page = browser("otto").client.get("/routes").text
    assert "head MR" in page
    assert "127.0.0.1:104" not in page + str(told)


def test_mistakes_are_told_at_their_lines_and_others_are_not_quoted(browser: Open) -> None:
    """Of a mistake in another block only its line is told: a password may stand there."""
    mine = browser("otto")
    path = Path("hilum.yaml")
    first = mine.client.get("/api/routes").json()["line"]
    path.write_text(CONFIG.replace("kind: folder", "kind: hunter2"))
    said = mine.client.post(
        "/routes/check",
        data={"form_token": mine.form_token, "text": ROUTES.replace("ct-lung", "ct-lungs").replace("Modality: MR", "Modalty: MR")},
    ).text
    assert f'data-line="{first + 2}"' in said
    assert "did you mean &#34;Modality&#34;?" in said
    assert f'data-line="{first + 9}"' in said
    assert "HLM-2008" in said
    assert said.count("What to do") == 3
    assert "outside of the routes" in said
    assert "hunter2" not in said + mine.client.get("/routes").text + mine.client.get("/api/routes").text
    digest = file_digest(browser("ada"))
    saved = browser("ada")
    answer = saved.client.post(
        "/routes/save", data={"form_token": saved.form_token, "text": THINNER, "digest": digest, "compared": compared(THINNER)}
    )
    assert "outside of the routes" in answer.text
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("padding", ["", "\n" * 200])
def test_a_secret_behind_the_routes_is_not_quoted(browser: Open, padding: str) -> None:
    """Whatever is sent to make the block seem longer than it is put there."""
    mine = browser("otto")
    path = Path("hilum.yaml")
    path.write_text(CONFIG.replace(ROUTES, "") + ROUTES + "store: hunter2\n")
    fields = {"form_token": mine.form_token, "text": ROUTES + padding}
    assert "hunter2" not in mine.client.get("/api/routes").text
    said = mine.client.post("/routes/check", data=fields).text
    assert "outside of the routes" in said
    assert "hunter2" not in said


def test_blank_lines_in_front_do_not_move_a_mistake(browser: Open) -> None:
    """It is told at the line on which somebody typed it."""
    mine = browser("otto")
    first = mine.client.get("/api/routes").json()["line"]
    fields = {"form_token": mine.form_token, "text": "\n\n\n" + ROUTES.replace("Modality: MR", "Modalty: MR")}
    assert f'data-line="{first + 5}"' in mine.client.post("/routes/check", data=fields).text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("routes: []\npeers: {}", "stand twice"),
        ("", "is gone"),
        ("routes: !!python/object/apply:os.system [id]", "means nothing here"),
        ("routes: &a [*a]", "more than 100000 values"),
        ('routes: [{name: a, when: {Modality: {matches: "a{99999999999}"}}, run: [ct-lung], send: [archive]}]', "can hold"),
        ('routes: [{name: a, when: {Modality: {matches: "(a{100}){100}"}}, run: [ct-lung], send: [archive]}]', "can hold"),
        ("routes: ['\x00']", "special characters are not allowed"),
        ("routes: [{name: <script>alert(1)</script>, run: [ct-lung], send: [nowhere]}]", "HLM-2008"),
    ],
)
def test_hostile_text_is_refused_by_the_loader_everywhere(browser: Open, text: str, words: str) -> None:
    """More than one block, nothing, tags, bombs, control characters, markup: each is told, none is written, none is run."""
    mine = browser("ada")
    digest = file_digest(mine)
    for verb in (*TRYING, "save"):
        fields = {"form_token": mine.form_token, "text": text, "study": HEAD, "since": "30d", "digest": digest, "compared": compared(text)}
        answer = mine.client.post(f"/routes/{verb}", data=fields)
        assert answer.status_code == 200
        assert words in answer.text, verb
        assert "<script>alert" not in answer.text
    assert Path("hilum.yaml").read_text() == CONFIG


def test_a_text_of_any_characters_may_be_as_long_as_is_said(browser: Open) -> None:
    """In a form, in which each of the four bytes of a character becomes three."""
    assert browser("otto").post("/routes/check", text="#" + "\U0001f600" * (MOST_TEXT - 1)) == 200


def test_a_long_text_and_many_tries_are_refused(browser: Open, hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """413 above the bound, before the loader sees it or the body is read to its end; 429 with when to come again."""
    now = [0.0]
    tries = RateLimit(lambda: now[0], most=TRIES, window_s=TRIES_WINDOW_S)
    monkeypatch.setattr(browser().client.app.state, "context", with_others(browser(), tries=tries))  # type: ignore[attr-defined]
    mine, client = browser("otto"), browser().client
    headers = token(hospital, Role.OPERATOR)
    assert mine.post("/routes/check", text="#" * (MOST_TEXT + 1)) == 413
    assert client.post("/api/routes/check", content=b"#" * (MOST_TEXT + 1), headers=headers).status_code == 413
    assert client.post("/api/routes/check", content=b"#" * 10_000_000, headers=headers).status_code == 413
    assert client.post("/api/routes/check", content=b"\xff", headers=headers).status_code == 422
    for _ in range(TRIES):
        assert mine.post("/routes/check", text="") == 200
    answer = mine.client.post("/routes/check", data={"form_token": mine.form_token, "text": ""})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert browser("ada").post("/routes/check", text="") == 200, "others may go on"
    now[0] += TRIES_WINDOW_S
    assert mine.post("/routes/check", text="") == 200


def test_a_study_is_explained_by_the_edited_routes(browser: Open) -> None:
    """Condition by condition, by the node's own functions; a study that nobody sent is not found."""
    mine = browser("otto")
    fields = {"form_token": mine.form_token, "text": THINNER, "study": TILTED}
    said = " ".join(mine.client.post("/routes/explain", data=fields).text.split())
    assert '<td class="key">SliceThickness</td><td>at most 1</td><td class="wide">found 1.25</td>' in said
    found = mine.client.get(f"/routes/studies?q={TILTED[-9:]}").text
    assert found.count("hx-post") == 1
    assert TILTED in found
    assert mine.client.post("/routes/explain", data={**fields, "study": "1.2.3"}).status_code == 404


def test_a_replay_tells_exactly_what_would_be_otherwise(browser: Open) -> None:
    """Both thin chests and nothing else, with the conditions; only whoever began it sees it."""
    mine = browser("otto")
    fields = {"form_token": mine.form_token, "text": THINNER, "since": "2025-03-04"}
    assert "/routes/replays/1" in mine.client.post("/routes/replay", data=fields).text
    wait_until(lambda: mine.client.get("/api/routes/replays/1").json()["state"] == "done", _PATIENCE_S, "the replay is done")
    told = mine.client.get("/api/routes/replays/1").json()
    assert [(one["study_uid"], one["route"]) for one in told["differences"]] == [(TILTED, "chest CT"), (REFUSED, "chest CT")]
    assert (told["arrivals"], told["found"], told["studies"], told["routes"]) == (4, 2, 2, {"chest CT": 2})
    part = mine.client.get("/routes/replays/1").text
    assert "2 studies would be routed otherwise" in part
    assert "hx-get" not in part, "nothing is asked for again"
    assert browser("ada").client.get("/api/routes/replays/1").status_code == 404
    assert mine.client.post("/routes/replay", data={**fields, "since": "lately"}).status_code == 422
    assert "/routes/replays/2" in mine.client.post("/routes/replay", data={**fields, "since": ""}).text
    wait_until(lambda: mine.client.get("/api/routes/replays/2").json()["state"] == "done", _PATIENCE_S, "the last studies are replayed")
    assert mine.client.get("/api/routes/replays/2").json()["differences"] == told["differences"]


def test_a_replay_tells_what_no_study_shows(browser: Open) -> None:
    """A version that nothing here has, and a route of which nothing can run: at its line, on the page and to programs; nothing of what is
    good."""
    mine = browser("ada")
    pinned = ROUTES.replace("run: [ct-lung]", "run: [ct-lung@9.1]", 1).replace("Modality: MR", "Modality: CT", 1)
    fields = {"form_token": mine.form_token, "text": pinned, "since": ""}
    assert "/routes/replays/1" in mine.client.post("/routes/replay", data=fields).text
    wait_until(lambda: mine.client.get("/api/routes/replays/1").json()["state"] == "done", _PATIENCE_S, "the replay is done")
    unserved, unreachable = mine.client.get("/api/routes/replays/1").json()["remarks"]
    assert re.match(r"[0-9]+:[0-9]+: .*ct-lung is version .* here, and the route asks for 9.1: its jobs would be parked$", unserved)
    assert "can run nothing" in unreachable
    part = html.unescape(mine.client.get("/routes/replays/1").text)
    assert unserved in part
    assert unreachable in part
    assert "/routes/replays/2" in mine.client.post("/routes/replay", data={**fields, "text": THINNER}).text
    wait_until(lambda: mine.client.get("/api/routes/replays/2").json()["state"] == "done", _PATIENCE_S, "the other is done")
    assert mine.client.get("/api/routes/replays/2").json()["remarks"] == []


def with_others(mine: Browser, **others: object) -> object:
    """Its console's context, with something else in it."""
    from dataclasses import replace

    return replace(mine.client.app.state.context, **others)  # type: ignore[attr-defined]


def test_a_file_that_changed_meanwhile_is_not_overwritten(browser: Open) -> None:
    """What somebody wrote there by hand stays, and the answer says so; nothing lies beside it."""
    mine = browser("ada")
    digest = file_digest(mine)
    Path("hilum.yaml").write_text("# mine\n" + CONFIG)
    fields = {"form_token": mine.form_token, "text": THINNER, "digest": digest, "compared": compared(THINNER)}
    answer = mine.client.post("/routes/save", data=fields)
    assert "HLM-2104" in answer.text
    assert "max: 1}" in answer.text, "the text to copy"
    assert Path("hilum.yaml").read_text() == "# mine\n" + CONFIG
    assert not Path("hilum.yaml.before").exists()


def test_the_description_lists_the_calls_of_routes(browser: Open) -> None:
    """With what they take."""
    paths = browser("vera").client.get("/api/openapi.json").json()["paths"]
    mine = {path: sorted(verbs) for path, verbs in paths.items() if path.startswith("/api/routes")}
    assert mine == {
        "/api/routes": ["get", "put"],
        "/api/routes/check": ["post"],
        "/api/routes/explain": ["post"],
        "/api/routes/replays": ["post"],
        "/api/routes/replays/{number}": ["get"],
        "/api/routes/replays/{number}/stop": ["post"],
        "/api/routes/revisions": ["get"],
        "/api/routes/revisions/{number}": ["get"],
        "/api/routes/revisions/{number}/rollback": ["post"],
    }
    assert paths["/api/routes"]["put"]["requestBody"]["content"]["application/yaml"]["schema"]["maxLength"] == MOST_TEXT


def test_a_remedy_s_commands_are_code_and_all_of_it_is_escaped() -> None:
    """Backticks are how hilum writes a command in a sentence; one alone is a character like others, and nothing is markup."""
    remedy = "Run `hilum jobs retry <1>`, then `a` & look; a ` alone <b>stays</b>."
    shown = rendered("routes_problems.html", None, problems=[Problem(line=0, column=0, code="HLM-1", words="w", remedy=remedy)])
    assert "<code>hilum jobs retry &lt;1&gt;</code>, then <code>a</code> &amp; look; a ` alone &lt;b&gt;stays&lt;/b&gt;." in shown
