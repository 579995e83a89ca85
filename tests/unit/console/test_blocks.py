"""Peers and sinks edited at the console: by admins alone, shown without what may be secret, written whole, and told."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.assembly.compose import demand_takable
from node.assembly.configuration import load
from node.assembly.console import edited_routes, trials_of
from node.assembly.reload import KeptRevisions, Reloading
from node.console.editing import LiveBlock, Saved
from node.domain.account import Role
from node.store.in_force import InForce
from tests.lab.program import wait_until
from tests.unit.cli.conftest import CONFIG, Hospital
from tests.unit.console.conftest import Browser, Open
from tests.unit.console.test_routing import compared, lines_shown, token

PEERS = CONFIG[CONFIG.index("peers:") : CONFIG.index("sinks:")]
SINKS = CONFIG[CONFIG.index("sinks:") : CONFIG.index("routes:")]
RENAMED = PEERS.replace("ae_title: CT1", "ae_title: CT1B")
LOGIN = "ftp://ada:hunter2@nas.example/out"
WITH_LOGIN = SINKS + f'  nas: {{kind: folder, path: "{LOGIN}"}}   # https://eve:rosebud@old.example\n'


def digest(mine: Browser, block: str) -> str:
    """Of the file as it is."""
    told: str = mine.client.get(f"/api/config/{block}").json()["file_digest"]
    return told


def put(mine: Browser, block: str, text: str) -> str:
    """Check the text and save it, as the page does; the answer to saving."""
    fields = {"form_token": mine.form_token, "text": text, "digest": digest(mine, block), "compared": compared(text), "reason": "moved"}
    said: str = mine.client.post(f"/config/{block}/save", data=fields).text
    return said


@pytest.mark.parametrize("block", ["peers", "sinks"])
@pytest.mark.parametrize(("role", "name"), [(Role.VIEWER, "vera"), (Role.OPERATOR, "otto"), (Role.ADMIN, "ada")])
def test_admins_alone_see_and_save(browser: Open, hospital: Hospital, block: str, role: Role, name: str) -> None:
    """By the page and by the call; peers' addresses are shown to nobody else, nor is the way there."""
    mine, may, headers = browser(name), role is Role.ADMIN, token(hospital, role)
    text = PEERS if block == "peers" else SINKS
    assert (f"/config/{block}" in mine.client.get("/peers").text) is may
    for path in (f"/config/{block}", f"/api/config/{block}"):
        assert mine.client.get(path).status_code == (200 if may else 403)
    for verb in ("check", "save"):
        assert mine.post(f"/config/{block}/{verb}", text=text) == (200 if may else 403)
    assert mine.client.post(f"/api/config/{block}/check", content=text, headers=headers).status_code == (200 if may else 403)
    said = mine.client.put(f"/api/config/{block}?digest={'0' * 64}", content=text, headers=headers)
    assert said.status_code == (409 if may else 403)
    assert mine.client.get("/config/store").status_code == (422 if may else 403)
    assert Path("hilum.yaml").read_text() == CONFIG


def test_what_would_change_is_shown_first_then_written_and_told(browser: Open) -> None:
    """*Save* on a text whose differences nobody was shown, shows them; what is written then is that block, and nothing beside it."""
    mine = browser("ada")
    first = CONFIG[: CONFIG.index("peers:")].count("\n") + 1
    fields = {"form_token": mine.form_token, "text": RENAMED, "digest": digest(mine, "peers")}
    for verb in ("check", "save"):
        answer = mine.client.post(f"/config/peers/{verb}", data=fields).text
        assert [one[:2] for one in lines_shown(answer) if one[0] != "kept"] == [("taken", first + 2), ("added", first + 2)]
        assert "No mistakes: 2 peers" in answer
        assert Path("hilum.yaml").read_text() == CONFIG
    with capture_logs() as events:
        answer = put(mine, "peers", RENAMED)
    assert "it holds when one starts" in answer
    assert Path("hilum.yaml").read_text() == CONFIG.replace(PEERS, RENAMED)
    assert Path("hilum.yaml.before").read_text() == CONFIG
    (told,) = [one for one in events if one["event"] == "config.saved"]
    assert (told["block"], told["by"]) == ("peers", "ada")
    assert told["before"] != told["config_digest"]
    assert "CT1B" in mine.client.get("/config/peers").text


def test_of_two_who_save_at_once_the_second_is_told_and_keeps_the_edit(browser: Open) -> None:
    """Whichever block either of them edited: one file."""
    mine = browser("ada")
    old = digest(mine, "sinks")
    assert "it holds when one starts" in put(mine, "peers", RENAMED)
    text = SINKS.replace("path: out", "path: elsewhere")
    fields = {"form_token": mine.form_token, "text": text, "digest": old, "compared": compared(text)}
    answer = mine.client.post("/config/sinks/save", data=fields).text
    assert "HLM-2104" in answer
    assert "path: elsewhere" in answer
    assert Path("hilum.yaml").read_text() == CONFIG.replace(PEERS, RENAMED)


def test_a_login_is_shown_to_nobody_and_stays(browser: Open, hospital: Hospital) -> None:
    """Neither on the page, nor in differences, nor by the call; left as it is shown, it stays in the file; under another name there is
    none, and the file stays as it was."""
    path = Path("hilum.yaml")
    path.write_text(CONFIG.replace(SINKS, WITH_LOGIN))
    mine = browser("ada")
    shown = mine.client.get("/api/config/sinks", headers=token(hospital, Role.ADMIN)).json()["text"]
    edited = shown.replace("path: out", "path: elsewhere")
    answers = [
        shown,
        mine.client.get("/config/sinks").text,
        mine.client.post("/config/sinks/check", data={"form_token": mine.form_token, "text": edited}).text,
        put(mine, "sinks", edited),
    ]
    assert not any(secret in answer for answer in answers for secret in ("hunter2", "rosebud"))
    assert shown.count("(not kept)") == 2
    assert load(path.resolve()).sinks.keys() == {"archive", "copies", "nas"}
    assert LOGIN in path.read_text()
    assert "path: elsewhere" in path.read_text()
    before = path.read_text()
    assert "HLM-2108" in put(mine, "sinks", edited.replace("  nas:", "  other:"))
    moved = edited.replace("  nas:", '  thief: {kind: dimse, peer: &x "(not kept)"}\n  nas:').replace('path: "(not kept)"', "path: *x")
    answer = mine.client.post("/config/sinks/check", data={"form_token": mine.form_token, "text": moved}).text
    assert ("HLM-2108" in answer, "hunter2" in answer) == (True, False)
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("before", "since"),
    [
        ("login: {name: hilum", "login: {name: node"),
        ("may: [store]", "may: [store, echo]"),
        ("  safe:", "  # its archive\n  vault:"),
        ("127.0.0.1:106", "127.0.0.2:106"),
        ("127.0.0.1:106", "127.0.0.1:107"),
        ("one.passcode", "other.passcode"),
        ("passcode_file: one.passcode", "passcode_variable: PATH"),
        ("  safe:", '  thief: {ae_title: THIEF, address: "127.0.0.9:104", login: {name: a, passcode_file: one.passcode}}\n  safe:'),
    ],
)
def test_a_passcode_goes_nowhere_else_by_an_edit_at_the_console(browser: Open, before: str, since: str) -> None:
    """To another address, or another one to where one goes: refused with its line. All else of that peer is edited."""
    for name in ("one.passcode", "other.passcode"):
        Path(name).write_text("hunter2")
        Path(name).chmod(0o600)
    safe = '  safe: {ae_title: SAFE, address: "127.0.0.1:106", may: [store], login: {name: hilum, passcode_file: one.passcode}}\n'
    Path("hilum.yaml").write_text(CONFIG.replace(PEERS, PEERS + safe))
    answer = put(browser("ada"), "peers", (PEERS + safe).replace(before, since))
    taken = before.startswith(("login", "may")) or "vault" in since
    assert ("it holds when one starts" in answer, "HLM-2115" in answer, "data-line" in answer) == (taken, not taken, not taken)
    assert (since in Path("hilum.yaml").read_text()) is taken


def test_a_mistake_that_quotes_a_login_does_not_show_it(browser: Open) -> None:
    """One that stands in the file already, told with its line when the page is opened."""
    Path("hilum.yaml").write_text(CONFIG.replace("peer: pacs}", f'peer: "{LOGIN}"}}'))
    page = browser("ada").client.get("/config/sinks").text
    assert ("HLM-2008" in page, "ftp://(not kept)@nas.example" in page, "hunter2" in page) == (True, True, False)


def test_what_is_left_as_it_is_shown_is_not_written(browser: Open) -> None:
    """Neither is a login in a comment lost by it."""
    path = Path("hilum.yaml")
    path.write_text(CONFIG.replace(SINKS, WITH_LOGIN))
    mine = browser("ada")
    put(mine, "sinks", mine.client.get("/api/config/sinks").json()["text"])
    assert path.read_text() == CONFIG.replace(SINKS, WITH_LOGIN)
    assert not Path("hilum.yaml.before").exists()


def test_a_block_that_leans_on_another_one_is_not_edited_here(browser: Open) -> None:
    """It is good, and the page says what it is: an anchor of another block."""
    leaning = CONFIG.replace("ae_title: CT1", "ae_title: &one CT1").replace("path: out", "path: *one")
    Path("hilum.yaml").write_text(leaning)
    load(Path("hilum.yaml").resolve())
    page = browser("ada").client.get("/config/sinks").text
    assert ("HLM-2021" in page, "HLM-2002" in page, "uses an anchor that stands in another block" in page) == (True, False, True)


@pytest.mark.parametrize(
    ("block", "text", "code"),
    [
        ("peers", PEERS.replace("ae_title: CT1", "ae_titel: CT1"), "HLM-2003"),
        ("peers", "peers:\n  pacs: [", "HLM-2002"),
        ("sinks", SINKS.replace("  copies: {kind: folder, path: out}\n", ""), "HLM-2008"),
        ("sinks", SINKS + "routes: []\n", "HLM-2021"),
    ],
)
def test_what_is_no_good_is_told_at_its_line_and_not_written(browser: Open, block: str, text: str, code: str) -> None:
    """An unknown key, no YAML, a sink that a route sends to (a mistake outside of the block), and another block beside it."""
    answer = put(browser("ada"), block, text)
    assert code in answer
    assert Path("hilum.yaml").read_text() == CONFIG


def test_the_node_takes_up_what_was_saved(hospital: Hospital) -> None:
    """With the reason and who asked; the page sees by which peers the node goes, before and after."""
    config = hospital.config
    with closing(InForce(config)) as in_force, closing(trials_of(config)) as trials, ThreadPoolExecutor(1) as thread:
        peers = edited_routes(config, in_force.path, trials).of(LiveBlock.PEERS)
        reloading = Reloading(config, in_force, demand_takable, [], KeptRevisions(config))
        digest_before = hashlib.sha256(config.path.read_bytes()).hexdigest()
        saving = thread.submit(peers.saved, RENAMED, digest_before, "ada", "", "the new console of CT 1")

        def saved() -> bool:
            reloading.turn()
            return saving.done()

        wait_until(saved, 60, "the peers are saved")
        told: Saved = saving.result()
        assert [(one.code, one.reason) for one in told.reloads] == [("", "")]
        assert b"CT1B" in in_force.path.read_bytes()
        assert peers.shown().in_force == peers.shown().revision == told.revision
        newest = hospital.journal.config_revisions.find()[0]
        assert (newest.author, newest.reason) == ("ada", "the new console of CT 1")
        config.path.write_text(CONFIG)
        assert peers.shown().in_force == told.revision != peers.shown().revision
