"""Routes edited by two at once, a file that somebody broke, and the way back, in a browser over a node that serves."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from node.domain.account import Role
from tests.lab.axe import script
from tests.lab.browser import chromium
from tests.lab.console import PASSWORD, console_port, let_in
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import wait_until
from tests.peers.test_operators_day import chest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.peers]
_PATIENT_MS = 120_000
_MEASURED = (Path(__file__).parents[1] / "lab" / "measured.js").read_text(encoding="utf-8")
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_PEERS = {"ct1": {"ae_title": "CT1", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}}
_ROUTES = """\
routes:
  - name: thin CT   # of the chest
    when: {Modality: CT, SliceThickness: {max: 1}}
    run: [ct-lung]
    send: [copies]
"""


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[Node, str]]:
    """A node with routes as people write them, which has received a CT of 2 mm; its console's address."""
    told = configuration(
        folder, port=0, repository=folder / "models", peers=_PEERS, sinks={"copies": {"kind": "folder", "path": "out"}}, routes=[]
    )
    told["console"] = {"listen": "127.0.0.1:0"}
    del told["routes"]
    node = Node(told, folder)
    blocks = "\n".join(f"{name}: {json.dumps(block)}" for name, block in told.items())
    node.config.write_text(f"{blocks}\n{_ROUTES}")
    with node:
        for name in ("ada", "ben"):
            let_in(node, name, Role.ADMIN)
        assert hilum("send", folder / "in", "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "CT1").code == 0
        wait_until(lambda: '"arrival.unmatched"' in node.log.read_text(), _PATIENT_MS / 1000, "it is decided about")
        yield node, f"http://127.0.0.1:{console_port(node)}"


def _desk(browser: "Browser", where: str, name: str) -> "Page":
    page = browser.new_context(viewport={"width": 400, "height": 800}).new_page()
    page.set_default_timeout(_PATIENT_MS)
    page.goto(f"{where}/login")
    page.fill("[name=name]", name)
    page.fill("[name=password]", PASSWORD)
    page.click("button.main")
    page.locator(".me", has_text=name).wait_for(state="attached")
    return page


def _edit(page: "Page", before: str, after: str) -> None:
    page.fill("textarea", page.input_value("textarea").replace(before, after))
    page.get_by_role("button", name="Check").click()
    page.locator(".diff li.added").first.wait_for()


def test_two_edit_at_once_one_breaks_the_file_and_a_revision_comes_back(tmp_path: Path) -> None:
    """What the edit would have done is shown before it is saved, with a reason; who saves second is told, and keeps the edit; the file that
    an editor broke is put back by the page of revisions, whose differences are shown by day and by night without a fault."""
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)
    chest(tmp_path / "in", "Ito", 2.0)
    with _serving(tmp_path) as (node, where), chromium() as browser:
        ada, ben = _desk(browser, where, "ada"), _desk(browser, where, "ben")
        for page in (ada, ben):
            page.goto(f"{where}/routes")
        _edit(ada, "max: 1", "max: 5")
        expect(ada.locator("#checked .replay.done")).to_contain_text("1 study would be routed otherwise")
        ada.fill("#checked [name=reason]", "thick slices too")
        _edit(ben, "thin CT", "CT of ben")
        ada.get_by_role("button", name="Save").click()
        expect(ada.locator("#checked")).to_contain_text("in force from the next study on")
        ben.get_by_role("button", name="Save").click()
        expect(ben.locator("#checked")).to_contain_text("HLM-2104")
        assert "CT of ben" in ben.input_value("textarea"), "the edit is kept"
        ben.goto(f"{where}/routes")
        assert "CT of ben" in ben.input_value("textarea"), "also where the page is left"
        node.config.write_text(node.config.read_text().replace("routes:", "routes: [", 1))
        ada.goto(f"{where}/routes")
        expect(ada.locator("main")).to_contain_text("HLM-2002")
        ada.click("main >> text=Revisions")
        expect(ada.locator("main tbody tr").first).to_contain_text("thick slices too")
        ada.click("main tbody tr:nth-child(2) a")
        ada.select_option("[name=with]", "file")
        ada.click("text=Compare >> nth=-1")
        ada.locator("[name=with] option[selected][value=file]").wait_for(state="attached")
        ada.evaluate(script())
        for width, scheme in ((400, "light"), (400, "dark"), (1280, "light"), (1280, "dark")):
            ada.set_viewport_size({"width": width, "height": 800})
            ada.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            ada.wait_for_timeout(400)
            found = ada.evaluate("(rules) => axe.run(document, {runOnly: rules})", _RULES)["violations"]
            assert [one["id"] for one in found] == []
            assert ada.evaluate(_MEASURED) == []
            ada.screenshot(path=tmp_path / f"revision-{width}-{scheme}.png", full_page=True)
        ada.fill("[name=reason]", "too many")
        ada.click("text=Roll back")
        ada.click("#confirm-yes")
        expect(ada.locator("main")).to_contain_text("in force from the next study on")
        assert node.config.read_text().endswith(_ROUTES)
        told = hilum("config", "history", "--config", node.config, "--json").json
        assert [(one["author"], one["reason"]) for one in told] == [
            ("ada", "back to revision 1: too many"),
            ("ada", "thick slices too"),
            ("hilum serve", "the node was started"),
        ]
