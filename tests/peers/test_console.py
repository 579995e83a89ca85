"""A browser at the console's own process: logging in, reading why a job is parked, retrying it, and what it fetches."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from pydicom import dcmread

from node.blobs.folder import FolderBlobs
from node.console.access import password_hash
from node.domain.account import Account, KeyKind, Role
from tests.unit.cli.conftest import CONFIG, HEAD, TILTED, Hospital, empty, hospital, place
from tests.unit.console import imaged
from tests.unit.console.imaged import DEPTH

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["empty", "hospital", "place"]
pytestmark = [pytest.mark.slow, pytest.mark.peers]
PASSWORD = "correct horse battery"
PATIENT_MS = 120_000


@pytest.fixture
def address(hospital: Hospital, place: Path) -> Iterator[str]:
    """The console as the family starts it."""
    hospital.journal.accounts.open(Account(name="otto", role=Role.OPERATOR, password=password_hash(PASSWORD), created_at=hospital.now))
    config = place / "console.yaml"
    config.write_text(CONFIG + 'console: {listen: "127.0.0.1:0"}\n', encoding="utf-8")
    command = [sys.executable, "-m", "node.assembly.process", str(config), "console"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
    finally:
        process.stdin.close()
        assert process.wait(120) == 0


@contextmanager
def _logged_in(browser: "Browser", address: str) -> Iterator[tuple["Page", list[str]]]:
    """A browser's page behind the login, and what the browser complains of; nothing may be fetched from another host."""
    from playwright.sync_api import expect

    with browser.new_context(viewport={"width": 1600, "height": 1000}) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENT_MS)
        expect.set_options(timeout=PATIENT_MS)
        fetched: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: fetched.append(request.url))
        page.on("console", lambda line: said.append(line.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        _log_in(page)
        yield page, said
    assert {urlsplit(url).netloc for url in fetched} == {urlsplit(address).netloc}


def _log_in(page: "Page") -> None:
    from playwright.sync_api import expect

    # whoever types before the browser has gone to the field itself is told by it that it did not
    expect(page.locator("[name=name]")).to_be_focused()
    page.fill("[name=name]", "otto")
    page.fill("[name=password]", PASSWORD)
    page.click("button.main")


def test_an_operator_reads_why_and_retries(browser: "Browser", address: str, hospital: Hospital) -> None:
    """The queue changes by itself when the journal does; nothing is fetched from another host, and the browser has no complaint."""
    from playwright.sync_api import expect

    with _logged_in(browser, address) as (page, said):
        page.click("nav >> text=Queue")
        person = page.locator(".tiles div").last.locator("dd")
        expect(person).to_have_text("2")
        (tilted,) = hospital.journal.jobs.find(study=TILTED)
        hospital.journal.jobs.revive(tilted.id, hospital.journal.now())
        expect(person).to_have_text("1")  # nobody loaded the page again
        page.click("nav >> text=Parked")
        card = page.locator("article.job")
        expect(card).to_contain_text("What to do")
        card.locator("text=Retry").click()
        page.click("#confirm-yes")
        expect(page.locator("main")).to_contain_text("Nothing is parked")
        page.click("nav >> text=Studies")
        page.fill("[name=q]", HEAD[-9:])
        expect(page.locator("#studies tbody tr")).to_have_count(1)
        page.locator("#studies tbody a").first.click()
        expect(page.locator(".timeline")).to_contain_text("delivered")
        # a picture that is asked for after the log-out would be refused, and said to be
        page.wait_for_function("() => document.querySelector('.pictures img').naturalWidth > 0")
        page.click("text=Log out")
        expect(page.locator("form.login")).to_be_visible()
    assert said == []


def test_who_types_before_the_page_listens_is_answered(browser: "Browser", address: str) -> None:
    """On a slow machine a name may be typed before the scripts are there."""
    from playwright.sync_api import Route, expect

    held: list[Route] = []
    with _logged_in(browser, address) as (page, said):
        expect(page.locator("nav >> text=Studies")).to_be_visible()
        page.wait_for_load_state()
        page.route("**/htmx.min.js", lambda route: held.append(route))
        page.goto(f"{address}/studies", wait_until="commit")
        page.fill("[name=q]", HEAD[-9:])
        expect(page.locator("#studies tbody tr")).to_have_count(5)
        while not held:
            page.wait_for_timeout(50)
        (script,) = held
        script.continue_()
        expect(page.locator("#studies tbody tr")).to_have_count(1)
    assert said == []


def test_a_session_that_ends_in_mid_edit_keeps_the_edit(browser: "Browser", address: str, hospital: Hospital, place: Path) -> None:
    """*Check* leads to the login then; whoever logs in again finds what was edited, and is told that it is not the file's, and that the
    file is another one by now."""
    from playwright.sync_api import expect

    accounts = hospital.journal.accounts
    with _logged_in(browser, address) as (page, said):
        page.click("nav >> text=Routes")
        editor, check = page.get_by_label("The routes, as YAML"), page.get_by_role("button", name="Check")
        expect(check).to_be_enabled()
        edited = f"{editor.input_value().rstrip()}\n  # of tonight\n"
        editor.fill(edited)
        # the tabs are renewed now and then, and would lead to the login before *Check* does
        page.route("**/tabs?*", lambda route: route.fulfill(status=204))
        (session,) = accounts.keys(KeyKind.SESSION, hospital.journal.now())
        assert accounts.close_key(session.digest)
        check.click()
        expect(page.locator("form.login")).to_be_visible()
        with (place / "console.yaml").open("a", encoding="utf-8") as file:
            file.write("# a colleague's\n")
        _log_in(page)
        page.click("nav >> text=Routes")
        expect(editor).to_have_value(edited)
        expect(page.locator("#kept")).to_be_visible()
        check.click()
        expect(page.locator("#checked")).to_contain_text("No mistakes")
        expect(page.locator("#checked")).to_contain_text("Somebody else changed the file since this page was made")
    # who types at once has the focus before the login page gives it to the name, and Chromium tells that
    assert [one for one in said if not one.startswith("Autofocus processing was blocked")] == []


def test_slices_are_scrolled_with_their_masks(browser: "Browser", address: str, hospital: Hospital, tmp_path: Path) -> None:
    """By keys, by the wheel and by the slider; a mask is shown with its own slice alone, as opaque as asked; what is broken says why."""
    from playwright.sync_api import expect

    blobs = FolderBlobs(hospital.config.store.blobs)
    study = imaged.receive(hospital, blobs, tmp_path / "in")
    highest = {one.sop_instance_uid: one.blob for one in hospital.journal.instances.of_study(study.study)}
    blobs.delete(highest[str(dcmread(study.files[-1]).SOPInstanceUID)])
    with _logged_in(browser, address) as (page, said):
        page.goto(f"{address}/studies/{study.study}")
        seen = page.locator(".pictures img").first
        page.wait_for_function("() => document.querySelector('.pictures img').naturalWidth > 0")
        seen.click()
        viewer, masks = page.locator(".viewer"), page.locator(".layers .mask")
        # z = 4, 3 and 2 of eight are marked: from the head they are the fourth to the sixth, and the middle one is shown first
        expect(viewer).to_have_attribute("data-shown", "5")
        expect(masks).to_have_count(1)
        page.keyboard.press("ArrowDown")
        expect(viewer).to_have_attribute("data-shown", "6")
        page.mouse.move(500, 500)
        page.mouse.wheel(0, 60)
        expect(viewer).to_have_attribute("data-shown", "7")
        expect(masks).to_have_count(0)
        page.keyboard.press("p")
        expect(viewer).to_have_attribute("data-shown", "6")
        expect(masks).to_have_css("opacity", "0.45")
        page.locator(".opacity").fill("80")
        expect(masks).to_have_css("opacity", "0.8")
        page.locator(".stage").focus()
        page.keyboard.press("m")
        expect(masks).to_have_css("opacity", "0")
        page.keyboard.press("End")
        expect(viewer).to_have_attribute("data-shown", str(DEPTH))
        expect(page.locator(".layers img")).to_have_count(1)
        page.locator(".slice").fill("1")
        expect(page.locator(".stage .trouble")).to_have_text("the pixels are not kept any more")
        expect(page.locator(".layers img")).to_have_count(0)
        page.keyboard.press("ArrowDown")
        expect(viewer).to_have_attribute("data-shown", "2")
        expect(page.locator(".stage .trouble")).to_be_hidden()
        expect(page.locator(".edge.at-left")).to_have_text("R")
        page.locator(".stage").focus()
        centre, width, pressed = page.locator("[name=centre]"), page.locator("[name=width]"), page.locator(".presets [aria-pressed=true]")
        expect(centre).to_have_value("500")
        expect(pressed).to_have_text("0 As the images say")
        centre.focus()
        page.keyboard.press("ArrowUp")
        expect(viewer).to_have_attribute("data-window", "501,1000")
        expect(viewer).to_have_attribute("data-shown", "2")
        width.fill("250")
        expect(viewer).to_have_attribute("data-window", "501,250")
        expect(page.locator(".layers .base")).to_have_attribute("src", re.compile(r"\?centre=501&width=250$"))
        page.reload()
        expect(width).to_have_value("250")
        expect(page.locator(".layers .base")).to_have_attribute("src", re.compile(r"\?centre=501&width=250$"))
        page.locator(".stage").focus()
        page.keyboard.press("0")
        expect(width).to_have_value("1000")
        expect(page.locator(".layers .base")).to_have_attribute("src", re.compile(r"\.png$"))
    # what the browser says of a picture that is not there
    assert [line for line in said if "410" not in line] == []
