"""Every page of the console by day and by night, from 320 to 2,560 px: axe-core finds nothing against WCAG 2.2 AA, and what axe has no rule
for is measured in the browser (borders, targets, focus, reflow)."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from node.assembly.configuration import load
from node.blobs.folder import FolderBlobs
from node.console.accounts import digest_of
from node.domain.account import AccessKey, Account, AccountOrigin, KeyKind, Role
from node.domain.config_revision import ConfigRevision
from node.journal.port import Pausable
from node.settings.console import Console
from tests.lab.axe import script
from tests.lab.loopback import free_port
from tests.unit.cli.conftest import CONFIG, HEAD, REFUSED, Hospital, empty, hospital, place
from tests.unit.console import imaged
from tests.unit.console.conftest import PASSWORD, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["empty", "hospital", "place"]
pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(900)]
_PATIENT_MS = 120_000
_RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_VIOLATIONS = "async (rules) => (await axe.run(document, {runOnly: rules, resultTypes: ['violations']})).violations"
"""What passes, most of what axe would tell, is not told."""
_DRAWN = ("color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size")
"""The rules about how a page is drawn. What else axe looks at is between what it is in the widest and the narrowest: at 700 px
console.css hides and shows, and nowhere else."""
_PAGES = (
    "/",
    "/queue",
    "/jobs",
    "/jobs?state=failed",
    f"/studies/{HEAD}",
    f"/studies/{REFUSED}",
    "/studies",
    "/studies?q=nobody",
    "/studies/1.2.3.4",
    "/parked",
    "/pace",
    "/routes",
    "/routes/revisions",
    "/routes/revisions/2",
    "/routes/revisions/1?with=file",
    "/peers",
    "/config/peers",
    "/config/sinks",
    "/models",
    "/events?since=2025-03-01",
    "/associations",
    "/users",
    "/upload",
)
_LAB = Path(__file__).parents[1] / "lab"
_LOOKS: Sequence[tuple[int, Literal["light", "dark"]]] = ((2560, "light"), (1280, "dark"), (400, "dark"), (320, "light"))
"""Widths and colours. The last is that in which pages are loaded and pressed."""


@pytest.fixture
def address(hospital: Hospital, tmp_path: Path) -> Iterator[str]:
    """A console over the hospital's day and a study with pixels; the sink is paused."""
    blobs = FolderBlobs(hospital.config.store.blobs)
    study = imaged.receive(hospital, blobs, tmp_path / "in")
    hospital.journal.pauses.add(Pausable.SINK, "archive", hospital.now)
    for text, by, reason in (
        (CONFIG, "hilum serve", "the node was started"),
        (CONFIG.replace("max: 5", "max: 1"), "anna", "thin slices alone"),
    ):
        one = ConfigRevision(
            at=hospital.now, author=by, reason=reason, host="node1", path="hilum.yaml", digest=hospital.config.digest, text=text
        )
        hospital.journal.config_revisions.add(one)
    for name, origin, role in (("gina", AccountOrigin.OIDC, Role.OPERATOR), ("vic", AccountOrigin.LDAP, Role.VIEWER)):
        hospital.journal.accounts.open(
            Account(name=name, role=role, password=None, created_at=hospital.now, origin=origin, subject=f"number {name}")
        )
        session = AccessKey(
            digest=digest_of(name),
            account=name,
            role=role,
            kind=KeyKind.SESSION,
            label="10.0.3.17",
            created_at=hospital.journal.now(),
            ends_at=hospital.journal.now() + timedelta(hours=8),
        )
        assert hospital.journal.accounts.open_key(session)
    with served(hospital, blobs, _with_a_provider(tmp_path)) as address:
        yield f"{address} /studies/{study.study} /studies/{study.study}/series/{study.series}"


def _with_a_provider(folder: Path) -> Console:
    """Settings with a provider that is away."""
    config = folder / "hospital.yaml"
    roles = "{admin: hilum-admins, operator: PACS, viewer: radiology}"
    oidc = f'{{issuer: "http://localhost:{free_port()}", client_id: hilum, roles: {roles}}}'
    config.write_text(f'{CONFIG}console: {{listen: "127.0.0.1:0", oidc: {oidc}}}\n', encoding="utf-8")
    console = load(config).console
    assert console is not None
    return console


@contextmanager
def _desk(browser: "Browser", address: str, width: int, scheme: Literal["light", "dark"]) -> Iterator["Page"]:
    """The page of the login, in a profile of its own."""
    from playwright.sync_api import expect

    expect.set_options(timeout=_PATIENT_MS)
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
        page = context.new_page()
        page.set_default_timeout(_PATIENT_MS)
        page.goto(f"{address}/login")
        yield page


def _log_in(page: "Page") -> None:
    page.fill("[name=name]", "ada")
    page.fill("[name=password]", PASSWORD)
    page.click("form.login button")
    page.locator(".me", has_text="ada").wait_for(state="attached")
    page.wait_for_load_state()


def _wait_until_renewed(page: "Page", part: str) -> None:
    """Until another element of this name stands in the place of the one that is there now."""
    from playwright.sync_api import expect

    page.evaluate("(part) => document.getElementById(part).dataset.before = 'yes'", part)
    expect(page.locator(f"#{part}:not([data-before])")).to_have_count(1)


def test_no_page_keeps_anybody_out(browser: "Browser", address: str) -> None:
    """axe-core finds nothing, in light and dark, wide and narrow; borders of what is pressed or filled in are 3:1, targets 24 px, no page
    is wider than its window, which is 320 px at the least (WCAG 1.4.10: 1,280 at 400 %). Where HILUM_PICTURES names a folder, a picture of
    each is left there, for people to look at."""
    where, *with_pixels = address.split()
    check, measured = script(), (_LAB / "measured.js").read_text(encoding="utf-8")
    found: list[str] = []
    with _desk(browser, where, *_LOOKS[-1]) as page:

        def look(path: str) -> None:
            page.wait_for_timeout(400)
            page.evaluate(check)
            for width, scheme in _LOOKS:
                page.set_viewport_size({"width": width, "height": 800})
                page.emulate_media(color_scheme=scheme)
                at = f"{path} {width} {scheme}"
                if pictures := os.environ.get("HILUM_PICTURES"):
                    name = re.sub(r"[^a-z0-9]+", "-", at.removeprefix(where)).strip("-")
                    page.screenshot(path=Path(pictures) / f"{name}.png", full_page=True)
                for one in page.evaluate(_VIOLATIONS, list(_RULES if (width, scheme) in (_LOOKS[0], _LOOKS[-1]) else _DRAWN)):
                    found.extend(f"{at}: {one['id']}: {node['html'][:150]}" for node in one["nodes"][:4])
                found.extend(f"{at}: {one}" for one in page.evaluate(measured))

        look("/login")
        page.fill("[name=name]", "nobody")
        page.fill("[name=password]", "a wrong one")
        page.click("form.login button")
        page.locator(".said").wait_for()
        look("/login, refused")
        page.click("text=Log in with the hospital's account")
        page.locator(".said", has_text="HLM-2145").wait_for()
        look("/login, the provider is away")
        _log_in(page)
        page.locator(".trouble-now", has_text="HLM-2145").wait_for()
        for path in (*_PAGES, *with_pixels):
            page.goto(f"{where}{path}")
            look(path)
        page.goto(f"{where}/routes")
        page.fill("textarea", page.input_value("textarea").replace("max: 5", "max: 1"))
        page.get_by_role("button", name="Check").click()
        page.locator(".diff li.added").wait_for()
        page.locator("summary", has_text="A new route").click()
        look("/routes, checked")
        page.goto(f"{where}/config/peers")
        page.fill("textarea", page.input_value("textarea").replace("PACS", "ARCHIVE"))
        page.get_by_role("button", name="Check").click()
        page.locator(".diff li.added").wait_for()
        look("/config/peers, checked")
        page.goto(f"{where}/")
        page.keyboard.press("?")
        look("the sheet of keys")
    assert found == []


def test_a_page_is_gone_through_by_keyboard(browser: "Browser", address: str) -> None:
    """The first Tab leads past the navigation; what has the focus is outlined, and not under the bar at the top; G P leads to what is
    parked, unless somebody has turned such keys off."""
    from playwright.sync_api import expect

    where, focus = address.split()[0], (_LAB / "focus.js").read_text(encoding="utf-8")
    with _desk(browser, where, 1280, "light") as page:
        _log_in(page)
        page.goto(f"{where}/parked")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.querySelector('main').contains(document.activeElement)")
        page.goto(f"{where}/queue")
        for _ in range(40):
            page.keyboard.press("Tab")
            told = page.evaluate(focus)
            if told is None:
                break
            assert told["outlined"], told
            assert not told["hidden"], told
        page.goto(f"{where}/queue")
        page.keyboard.type("gp")
        expect(page).to_have_url(f"{where}/parked")
        page.wait_for_load_state()  # the address is there before the page's keys are
        page.keyboard.press("?")
        page.locator("#keys-on").uncheck()
        page.keyboard.press("Escape")
        page.keyboard.type("gq")
        page.wait_for_timeout(300)
        expect(page).to_have_url(f"{where}/parked")


def test_a_telephone_has_the_pages_behind_a_button(browser: "Browser", address: str) -> None:
    """One line instead of a third of the screen, with how much there is to look at; by keyboard, too, and Esc leads back, but not out of
    what the page itself has; who stands on one of the pages stays there when they are renewed; axe-core finds nothing in what it opens. A
    wide window has no such button, and neither has one without scripts, where the pages stand there."""
    from playwright.sync_api import expect

    where = address.split()[0]
    with _desk(browser, where, 360, "dark") as page:
        _log_in(page)
        menu, pages = page.locator("#menu"), page.locator("nav")
        expect(menu).to_have_attribute("aria-expanded", "false")
        expect(menu.locator(".badge")).to_have_text(re.compile(r"^[1-9]\d*$"))
        expect(pages).to_be_hidden()
        top = page.locator("header").bounding_box()
        assert top is not None
        assert top["height"] < 80
        menu.focus()
        page.keyboard.press("Enter")
        expect(menu).to_have_attribute("aria-expanded", "true")
        page.keyboard.press("Tab")
        expect(pages.locator("a").first).to_be_focused()
        page.evaluate(script())
        assert page.evaluate(_VIOLATIONS, list(_RULES)) == []
        _wait_until_renewed(page, "tabs")
        expect(pages.locator("a").first).to_be_focused()
        page.keyboard.press("Escape")
        expect(menu).to_be_focused()
        expect(pages).to_be_hidden()
        menu.click()
        page.locator("#content").focus()
        page.keyboard.press("Escape")
        expect(pages).to_be_hidden()
        expect(page.locator("#content")).to_be_focused()
        page.set_viewport_size({"width": 1280, "height": 800})
        expect(menu).to_be_hidden()
        expect(pages).to_be_visible()
        page.set_viewport_size({"width": 360, "height": 800})
        page.route("**/console.js", lambda route: route.abort())
        page.goto(f"{where}/parked")
        expect(menu).to_be_hidden()
        expect(pages).to_be_visible()


def test_what_a_drag_does_buttons_do_too(browser: "Browser", address: str) -> None:
    """WCAG 2.5.7: the viewer's images are enlarged, moved and brightened by a drag, and each of it by a button; what the pixel under the
    pointer is worth is said."""
    from playwright.sync_api import expect

    where, _, series = address.split()
    with _desk(browser, where, 1280, "light") as page:
        _log_in(page)
        page.goto(f"{where}{series}")
        page.wait_for_function("() => document.querySelector('.layers .base')?.naturalWidth > 0")
        viewer, middle = page.locator(".viewer"), page.locator(".stage").bounding_box()
        assert middle is not None
        x, y = middle["x"] + middle["width"] / 2, middle["y"] + middle["height"] / 2

        def drag(tool: str, right: int, down: int) -> None:
            page.get_by_role("button", name=tool, exact=True).click()
            page.mouse.move(x, y)
            page.mouse.down()
            page.mouse.move(x + right, y + down, steps=5)
            page.mouse.up()

        def window() -> tuple[float, float]:
            centre, width = (page.locator(f"[name={name}]").input_value() for name in ("centre", "width"))
            return float(centre), float(width)

        drag("Zoom", 0, -150)
        expect(viewer).to_have_attribute("data-zoom", "2.00")
        drag("Move", 40, 30)
        expect(viewer).to_have_attribute("data-pan", "40,30")
        drag("Window", 60, 0)
        expect(viewer).to_have_attribute("data-window", re.compile("."))
        dragged = window()
        assert dragged != (500, 1000)
        page.get_by_role("button", name="Fit").click()
        expect(viewer).to_have_attribute("data-pan", "0,0")
        for button, name, value in (
            ("Zoom in", "zoom", "1.25"),
            ("Move right", "pan", r"[1-9]\d*,0"),
            ("Move down", "pan", r"[1-9]\d*,[1-9]\d*"),
        ):
            page.get_by_role("button", name=button).click()
            expect(viewer).to_have_attribute(f"data-{name}", re.compile(f"^{value}$"))
        page.get_by_role("button", name="As the images say").click()
        expect(page.locator("[name=width]")).to_have_value("1000")
        page.get_by_role("button", name="Brighter").click()
        page.get_by_role("button", name="More contrast").click()
        expect(page.locator("[name=width]")).not_to_have_value("1000")
        centre, width = window()
        assert (centre < 500, width < 1000) == (True, True)
        page.mouse.move(x + 5, y + 5)
        expect(viewer).to_contain_text(re.compile(r"-?\d+ at column \d+, row \d+"))


def test_a_password_need_be_neither_remembered_nor_typed(browser: "Browser", address: str) -> None:
    """WCAG 3.3.8: what keeps passwords may fill them in and may be pasted from, at the login and where passwords are chosen."""
    where = address.split()[0]
    taken = "(field) => field.dispatchEvent(new ClipboardEvent('paste', {bubbles: true, cancelable: true}))"
    with _desk(browser, where, 1280, "light") as page:

        def fields() -> list[tuple[str | None, bool]]:
            found = page.locator("input[name=name], input[type=password]").all()
            return [(one.get_attribute("autocomplete"), bool(one.evaluate(taken))) for one in found]

        assert fields() == [("username", True), ("current-password", True)]
        _log_in(page)
        page.goto(f"{where}/users")
        passwords = [(complete, pasted) for complete, pasted in fields() if complete != "off"]
        assert passwords
        assert set(passwords) == {("new-password", True)}


def test_what_changes_something_asks_before(browser: "Browser", address: str, hospital: Hospital) -> None:
    """No leaves it as it is, Yes does it, though the page has renewed itself meanwhile."""
    from playwright.sync_api import expect

    where = address.split()[0]
    with _desk(browser, where, 400, "light") as page:
        _log_in(page)
        page.goto(f"{where}/")
        resume = page.get_by_role("button", name="Resume")
        resume.click()
        dialog = page.locator("#confirm")
        expect(dialog).to_contain_text("Let the sink archive go on?")
        dialog.get_by_role("button", name="No").click()
        assert len(hospital.journal.pauses.find()) == 1
        resume.click()
        _wait_until_renewed(page, "now")
        dialog.get_by_role("button", name="Yes").click()
        expect(page.get_by_role("button", name="Resume")).to_have_count(0)
        assert hospital.journal.pauses.find() == []
