"""An operator sends a test study in a browser: chosen, confirmed, told what did not go, and led to the study."""

from pathlib import Path

import pytest

from node.domain.account import Role
from tests.lab.axe import script
from tests.lab.browser import chromium
from tests.lab.console import PASSWORD, console_port, let_in
from tests.lab.node import QUIET, Node
from tests.node.test_upload import associations, series, settings, zipped

pytestmark = [pytest.mark.slow, pytest.mark.peers]
_PATIENT_MS = 120_000
_MEASURED = (Path(__file__).parents[1] / "lab" / "measured.js").read_text(encoding="utf-8")
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_HERE = {"ae_title": "HILUM-SEND", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}


def test_an_operator_sends_a_zip_and_a_text_and_opens_the_study(tmp_path: Path) -> None:
    """From the page of studies; nothing goes before it was confirmed; the browser has no complaint."""
    from playwright.sync_api import expect

    files = series(tmp_path / "in")
    (tmp_path / "study.zip").write_bytes(zipped(files[:5]))
    (tmp_path / "notes.txt").write_text("words")
    with Node(settings(tmp_path, send=_HERE), tmp_path) as node, chromium() as browser:
        let_in(node, "otto", Role.OPERATOR)
        page = browser.new_page()
        page.set_default_timeout(_PATIENT_MS)
        expect.set_options(timeout=_PATIENT_MS)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"http://127.0.0.1:{console_port(node)}/login")
        page.fill("[name=name]", "otto")
        page.fill("[name=password]", PASSWORD)
        page.click("button.main")
        page.click("nav >> text=Studies")
        page.click("text=Send a test study")
        expect(page.locator("#upload button")).to_be_enabled()
        page.evaluate(script())
        for width, scheme in ((1280, "light"), (400, "dark"), (400, "light"), (1280, "dark")):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            found = page.evaluate("(rules) => axe.run(document, {runOnly: rules})", list(RULES))["violations"]
            assert [one["id"] for one in found] == []
            assert page.evaluate(_MEASURED) == []
        page.set_input_files("#files", [tmp_path / "study.zip", files[5], tmp_path / "notes.txt"])
        page.click("#upload button")
        assert page.inner_text("#upload-now") == "", "it was not confirmed yet"
        page.click("#confirm-yes")
        expect(page.locator("#upload-now")).to_have_text("6 instances were accepted by this node.")
        expect(page.locator("#upload-left")).to_have_text("notes.txt: not a DICOM file")
        assert associations(node) == 1, "a file each, and one association"
        page.locator("#upload-studies a").click()
        expect(page.locator("main")).to_contain_text("HILUM-SEND@127.0.0.1")
    assert complaints == []
