"""An operator's night on a telephone: what is amiss is found from the start page in two clicks, and mended with a button.

The console answers a browser of 400 px in this process, over a journal in which a day has passed; the archive is a DICOM peer that is
started while the page is open.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from node.domain.instance import Standing
from tests.lab.loopback import free_port
from tests.unit.cli.conftest import CONFIG, HEAD, Hospital, hospital
from tests.unit.console.conftest import PASSWORD, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["hospital"]
pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(900)]
_PATIENT_MS = 120_000


@pytest.fixture
def port() -> int:
    """Where the archive will listen."""
    return free_port()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int) -> Path:
    """A configuration whose archive may be started here."""
    (tmp_path / "hilum.yaml").write_text(CONFIG.replace("127.0.0.1:104", f"127.0.0.1:{port}"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def _archive(title: str, port: int) -> Iterator[None]:
    """A peer that answers C-ECHO to whoever calls it by its title."""
    ae = AE(ae_title=title)
    ae.require_called_aet = True
    ae.add_supported_context(Verification)
    server = ae.start_server(("127.0.0.1", port), block=False)
    try:
        yield
    finally:
        server.shutdown()


@contextmanager
def _telephone(browser: "Browser", hospital: Hospital) -> Iterator["Page"]:
    """The start page, behind the login of an admin."""
    from playwright.sync_api import expect

    with served(hospital) as address, browser.new_context(viewport={"width": 400, "height": 800}) as context:
        expect.set_options(timeout=_PATIENT_MS)
        page = context.new_page()
        page.set_default_timeout(_PATIENT_MS)
        page.goto(f"{address}/login")
        page.fill("[name=name]", "ada")
        page.fill("[name=password]", PASSWORD)
        page.click("button.main")
        yield page


def test_an_archive_that_is_down_and_then_has_another_name(browser: "Browser", hospital: Hospital, port: int) -> None:
    """Connection refused; then it runs under another AE title and says so; then it is well: each a press of *Ask again*, and the tab and
    the title count down."""
    from playwright.sync_api import expect

    with _telephone(browser, hospital) as page:
        card = page.locator("article", has_text="Peer pacs")
        expect(card).to_contain_text("Connection refused")
        expect(card).to_contain_text("does it know the node's AE title")
        with _archive("ARCHIVE", port):
            card.get_by_role("button", name="Ask again").click()
            expect(card).to_contain_text("called")
        with _archive("PACS", port):
            card.get_by_role("button", name="Ask again").click()
            expect(card).to_have_count(0)
            page.get_by_role("button", name="Menu").click()
            page.locator("nav >> text=Peers").click()
            expect(page.locator("tr", has_text="answered C-ECHO")).to_have_count(1)


def test_a_full_disk_and_a_silent_scanner(browser: "Browser", hospital: Hospital) -> None:
    """The disk is red, *Make room* deletes the pixels that nothing needs after it has asked; the scanner that has been silent since noon is
    named with how long, and its studies are one press away."""
    from playwright.sync_api import expect

    hospital.config.store.blobs.mkdir(parents=True, exist_ok=True)
    object.__setattr__(hospital.config.store, "min_free_bytes", 10**18)
    now = hospital.journal.now()
    for number in range(37):  # five days, every three hours, and nothing for thirteen
        hospital.now = now - timedelta(days=5) + timedelta(hours=3 * number)
        if hospital.now <= now - timedelta(hours=13):
            hospital.receive(f"1.2.{number}", "ct1", "HILUM", (1, {"Modality": ("CT",), "PatientID": ("4713",)}))
    with _telephone(browser, hospital) as page:
        disk = page.locator("article", has_text="min_free")
        expect(disk).to_contain_text("0xA700")
        disk.get_by_role("button", name="Make room").click()
        with page.expect_response("**/room"):
            page.locator("#confirm").get_by_role("button", name="Yes").click()
        assert {one.standing for one in hospital.journal.instances.of_study(HEAD)} == {Standing.PURGED}
        silent = page.locator("article", has_text="Sender ct1")
        expect(silent).to_contain_text("nothing came for 1", ignore_case=True)
        silent.get_by_role("link", name="Its studies").click()
        expect(page.locator("#studies tbody tr").first).to_contain_text("ct1")
