"""What a person presses at the console counts, and is asked about, however slow the machine: before the scripts are there, without them,
and while the page renews itself."""

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from node.domain.job import Job
from node.domain.state import JobState
from node.journal.port import Pausable
from tests.unit.cli.conftest import HEAD, REFUSED, TILTED, Hospital, empty, hospital, place
from tests.unit.console.conftest import PASSWORD, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Route

__all__ = ["empty", "hospital", "place"]
pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(900)]
_PATIENT_MS = 120_000
_AS_THEY_WERE = [JobState.PARKED, JobState.ENCODED]
_AT_ONCE = """
new MutationObserver((changes, observer) => {
  const button = document.querySelector("article.job form button");
  if (!button || sessionStorage.getItem("pressed")) return;
  sessionStorage.setItem("pressed", "yes");
  button.click();
}).observe(document, {childList: true, subtree: true});
"""
"""Presses the first button of a job once, as soon as it stands in the page: nobody is faster."""


@pytest.fixture
def page(browser: "Browser", hospital: Hospital) -> Iterator["Page"]:
    """The start page, behind the login of an admin; the sink is paused. The browser has no complaint at the end."""
    from playwright.sync_api import expect

    hospital.journal.pauses.add(Pausable.SINK, "archive", hospital.now)
    expect.set_options(timeout=_PATIENT_MS)
    with served(hospital) as address, browser.new_context(base_url=address) as context:
        page = context.new_page()
        page.set_default_timeout(_PATIENT_MS)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto("/login")
        page.fill("[name=name]", "ada")
        page.fill("[name=password]", PASSWORD)
        page.click("form.login button")
        expect(page.locator(".me")).to_contain_text("ada")
        expect(page.get_by_role("button", name="Resume")).to_be_visible()  # the page has looked at the node by now
        yield page
        assert wrong == []


def _stuck(hospital: Hospital) -> list[Job]:
    """The job that is parked, and the one whose delivery is."""
    return [one for study in (TILTED, REFUSED) for one in hospital.journal.jobs.find(study=study)]


def _down(page: "Page", on: "Locator") -> None:
    """Press the mouse's button on it, and hold it."""
    on.hover()
    page.mouse.down()


def _stand_on_resume(page: "Page") -> None:
    """Give it the focus, and mark the part that is renewed: at one stroke, for it may be renewed between two."""
    page.evaluate("""() => {
        [...document.querySelectorAll("#now button")].find((one) => one.textContent === "Resume").focus();
        document.getElementById("now").dataset.before = "yes";
    }""")


def _await_answer(page: "Page", part: str) -> None:
    """Until the next answer with which this part is renewed has come; whether it is shown is another question."""
    page.locator(part).evaluate("""(one) => {
        window.answered = false;
        one.dataset.before = "yes";
        one.addEventListener("htmx:xhr:loadend", () => { window.answered = true; });
        one.addEventListener("htmx:sseBeforeMessage", () => { window.answered = true; });
    }""")
    page.wait_for_function("() => window.answered")


def test_who_presses_before_the_script_is_there_is_asked(page: "Page", hospital: Hospital) -> None:
    """The script comes late, and the button is pressed the moment it stands there: nothing goes before *Yes*."""
    from playwright.sync_api import expect

    held: list[Route] = []
    page.add_init_script(_AT_ONCE)
    page.route("**/console.js", lambda route: held.append(route), times=1)
    page.goto("/parked", wait_until="commit")
    while not held:
        page.wait_for_timeout(50)
    held[0].continue_()
    expect(page.locator("#confirm")).to_contain_text("again?")
    assert [one.state for one in _stuck(hospital)] == _AS_THEY_WERE
    page.click("#confirm-yes")
    expect(page.locator("article.job")).to_have_count(1)


def test_where_the_script_does_not_come_nothing_is_done_unasked(page: "Page", hospital: Hospital) -> None:
    """A press does nothing then, on a job or on several that are ticked."""
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.route("**/console.js", lambda route: route.abort())
    page.goto("/parked")
    page.get_by_role("button", name="Retry").first.click()
    page.goto("/jobs?state=parked")
    page.locator("[name=job]").first.check()
    page.get_by_role("button", name="Cancel").click()
    page.goto("/users")
    page.get_by_role("button", name="End").first.click()
    page.goto("/")
    assert sent == []
    assert [one.state for one in _stuck(hospital)] == _AS_THEY_WERE


@pytest.mark.parametrize("by", ["mouse", "space"])
def test_a_press_counts_though_the_page_is_renewed_under_it(page: "Page", by: str) -> None:
    """The answer that comes between press and release is shown after it, by the mouse as by the keyboard."""
    from playwright.sync_api import expect

    if by == "mouse":
        _down(page, page.get_by_role("button", name="Resume"))
    else:
        _stand_on_resume(page)
        page.keyboard.down("Space")
    _await_answer(page, "#now")
    if by == "mouse":
        page.mouse.up()
    else:
        page.keyboard.up("Space")
    expect(page.locator("#confirm")).to_contain_text("Let the sink archive go on?")
    expect(page.locator("#now:not([data-before])")).to_have_count(1)


def test_a_link_leads_on_though_the_queue_changes_under_it(page: "Page", hospital: Hospital) -> None:
    from playwright.sync_api import expect

    page.goto("/queue")
    _down(page, page.locator(f"table.jobs a[href='/studies/{HEAD}']").first)
    hospital.journal.jobs.revive(_stuck(hospital)[0].id, hospital.journal.now())
    _await_answer(page, "[sse-swap]")
    page.mouse.up()
    expect(page.locator("main")).to_contain_text("What happened")
    assert urlsplit(page.url).path == f"/studies/{HEAD}"


def test_what_came_while_something_was_pressed_is_shown_afterwards(page: "Page", hospital: Hospital) -> None:
    """The newest of it, in the end."""
    from playwright.sync_api import expect

    page.goto("/queue")
    person = page.locator(".tiles div").last.locator("dd")
    expect(person).to_have_text("2")
    _down(page, page.locator("h1"))
    for job in _stuck(hospital):
        hospital.journal.jobs.revive(job.id, hospital.journal.now())
        _await_answer(page, "[sse-swap]")
        assert person.text_content() == "2"
    page.mouse.up()
    expect(person).to_have_text("0")


def test_who_stands_on_a_button_stays_there_when_the_page_is_renewed(page: "Page") -> None:
    from playwright.sync_api import expect

    resume = page.get_by_role("button", name="Resume")
    _stand_on_resume(page)
    expect(page.locator("#now:not([data-before])")).to_have_count(1)
    expect(resume).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#confirm")).to_contain_text("Let the sink archive go on?")
