"""An operator's day at the console of a node that runs: from a job that is parked to its result, by a mended route."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import pytest

from inference.imaging.write_series import write_series
from node.assembly.configuration import load
from node.domain.account import Role
from tests.lab.browser import chromium
from tests.lab.console import PASSWORD, console_port, let_in
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(900)]

_APPLICATIONS = Path(__file__).parents[2] / "bench" / "applications"
_PATIENCE_S = 120
ROUTES = """\
routes:
  # thick slices tell nothing of small things
  - name: chest CT
    when: {Modality: CT, SliceThickness: {max: 2}}
    needs:
      series: {lung kernel: {SeriesDescription: {matches: "LUNG"}}}
      within: 1s
    run: [bench-threshold]
    send: [results]
"""
MISTAKEN = ROUTES.replace("SliceThickness: {max: 2}", "SliceThicknes: {max: 3}")
MENDED = """\
routes:
  # thick slices tell nothing of small things; the new scanner has one kernel
  - name: chest CT
    when: {Modality: CT, SliceThickness: {max: 3}}
    run: [bench-threshold]
    send: [results]
"""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node with a console and an audit trail, whose file a person wrote."""
    settings = configuration(
        tmp_path,
        port=0,
        repository=tmp_path / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(tmp_path / "results")}},
        routes=[],
        console={"listen": "127.0.0.1:0"},
        audit={"folder": str(tmp_path / "audit")},
    )
    settings["models"] = {"repository": str(tmp_path / "models"), "applications": [str(_APPLICATIONS)]}
    made = Node(settings, tmp_path)
    around = "".join(f"{name}: {json.dumps(settings[name])}\n" for name in settings if name != "routes")
    made.config.write_text(f"# ours\n{around}\n{ROUTES}\n# the end\n", encoding="utf-8")
    with made:
        yield made


def chest(folder: Path, patient: str, thickness_mm: float) -> str:
    """A body with two lungs, in slices of this thickness; the study's UID."""
    z, y, x = np.mgrid[0:24, 0:128, 0:128].astype(float)
    body = ((x - 64) / 56) ** 2 + ((y - 64) / 40) ** 2 < 1
    lungs = (((abs(x - 64) - 26) / 18) ** 2 + ((y - 62) / 26) ** 2 + ((z - 12) / 14) ** 2) < 1
    voxels = np.where(lungs, -820, np.where(body, 40, -1000)) + np.where(body, 12 * np.sin(x / 3) * np.cos(y / 4), 0)
    affine = np.array([[0.0, 0, 2.5, -160], [0, 2.5, 0, -160], [thickness_mm, 0, 0, 0], [0, 0, 0, 1]])
    extra = {"BodyPartExamined": "CHEST", "StudyDescription": "Chest", "StudyDate": "20261121"}
    name = f"{patient}^Kim"
    files = write_series(
        voxels, affine, folder, modality="CT", patient_name=name, patient_id=patient, series_description="Br40", extra=extra
    )
    from pydicom import dcmread

    return str(dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)


def received(node: Node, folder: Path) -> tuple[str, str]:
    """Two studies came: of one the job is parked, the other no route took."""
    parked, untaken = chest(folder / "a", "Ito", 2.0), chest(folder / "b", "Olsen", 2.5)
    said = hilum("send", folder, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER", "--json")
    assert said.code == 0, said.out + said.err
    node.wait_for_jobs(lambda jobs: [job["state"] for job in jobs] == ["parked"], _PATIENCE_S, "a job is parked")
    wait_until(lambda: any(one["event"] == "arrival.unmatched" for one in node.events()), _PATIENCE_S, "the other one is decided about")
    return parked, untaken


def told(folder: Path) -> list[str]:
    """The audit messages that were written so far."""
    return [line for path in sorted(folder.rglob("*")) if path.is_file() for line in path.read_text(errors="replace").splitlines()]


class Desk:
    """One person's browser: what it fetched and complained of, and pictures of what it shows."""

    def __init__(self, browser: "Browser", address: str, pictures: Path) -> None:
        self._address = address
        self._pictures = pictures
        self.fetched: list[str] = []
        self.said: list[str] = []
        self.context = browser.new_context(viewport={"width": 1600, "height": 1000})
        self.context.set_default_timeout(_PATIENCE_S * 1000)

    def page(self, path: str = "/") -> "Page":
        """Another tab."""
        page = self.context.new_page()
        page.on("request", lambda request: self.fetched.append(request.url))
        page.on("console", lambda line: self.said.append(f"{page.url}: {line.text}"))
        page.on("pageerror", lambda error: self.said.append(f"{page.url}: {error}"))
        page.goto(f"{self._address}{path}")
        return page

    def picture(self, page: "Page", name: str) -> None:
        """As it looks by day and by night."""
        self._pictures.mkdir(exist_ok=True)
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=self._pictures / f"{name}-{scheme}.png", caret="initial")  # hiding it wants a style of its own


def test_an_operators_day(node: Node, tmp_path: Path) -> None:
    """Log in, see a parked job, read why, mend the route where the check says so, see what it would decide and what it would have decided,
    save, retry, watch the result go out, and scroll through it. Nothing outside the routes changes, and the audit trail has who."""
    from playwright.sync_api import expect

    let_in(node, "ada", Role.ADMIN)
    parked, untaken = received(node, tmp_path / "in")
    file = node.config.read_text(encoding="utf-8")
    before = load(node.config).digest
    address = f"http://127.0.0.1:{console_port(node)}"
    with chromium() as browser:
        expect.set_options(timeout=_PATIENCE_S * 1000)
        desk = Desk(browser, address, tmp_path / "pictures")

        page = desk.page()
        # whoever types before the browser has gone to the field itself is told by it that it did not
        expect(page.locator("[name=name]")).to_be_focused()
        page.fill("[name=name]", "ada")
        page.fill("[name=password]", PASSWORD)
        page.click("button.main")
        page.click("nav >> text=Queue")
        expect(page.locator(".tiles .bad dd")).to_have_text("1")
        page.click("nav >> text=Parked")
        expect(page.locator("article.job .trouble")).to_contain_text("HLM-3085")
        expect(page.locator("article.job .trouble")).to_contain_text("lung kernel")
        desk.picture(page, "parked")

        page.click("nav >> text=Routes")
        editor, checked = page.get_by_label("The routes, as YAML"), page.locator("#checked")
        expect(editor).to_have_value(ROUTES)
        first = file[: file.index("routes:")].count("\n") + 1
        editor.fill(MISTAKEN)
        page.get_by_role("button", name="Check").click()
        expect(checked).to_contain_text('did you mean "SliceThickness"?')
        expect(checked.locator(f"[data-line='{first + 3}']")).to_have_count(1)
        expect(page.locator(".lines .bad")).to_have_text(str(first + 3))
        desk.picture(page, "mistake")
        expect(page.get_by_role("button", name="Save")).to_have_count(0)
        page.reload()
        expect(editor).to_have_value(MISTAKEN)  # an edit that was not saved is kept
        expect(page.locator("#kept")).to_be_visible()
        page.get_by_role("button", name="Take the file's").click()
        expect(editor).to_have_value(ROUTES)
        page.locator("summary", has_text="A new route").click()
        page.get_by_role("button", name="Put it at the end").click()
        page.get_by_role("button", name="Check").click()
        expect(checked).to_contain_text("No mistakes: 2 routes")
        assert checked.locator("li.taken").count() == 0
        assert "  - name: new route" in checked.locator("li.added code").all_text_contents()
        assert page.locator(".sheet pre").text_content() == editor.input_value(), "what is coloured is what is typed"
        assert node.config.read_text(encoding="utf-8") == file

        editor.fill(MENDED)
        page.get_by_role("button", name="Check").click()
        expect(checked).to_contain_text("No mistakes: 1 route")
        expect(page.locator(".lines .bad")).to_have_count(0)
        page.get_by_label("Search a study").fill("ito")
        page.locator("#found button").click()
        explained = page.locator("#explained")
        expect(explained).to_contain_text("at most 3")
        expect(explained.locator("summary")).to_contain_text("bench-threshold → results")
        page.get_by_role("button", name="Replay").click()
        replayed = page.locator("#replayed")
        expect(replayed.locator(".replay.done")).to_be_visible()
        expect(replayed).to_contain_text("2 studies would be routed otherwise")
        expect(replayed).to_contain_text("parked: bench-threshold → results becomes run bench-threshold → results")
        expect(replayed.locator(f".difference a[href='/studies/{untaken}']")).to_be_visible()
        expect(replayed).to_contain_text("at most 2, found 2.5: does not hold")
        desk.picture(page, "routes")

        page.get_by_role("button", name="Save").click()
        expect(checked).to_contain_text("Saved and in force")
        expect(page.locator("#kept")).to_be_hidden()
        after = load(node.config).digest
        assert after != before
        expect(page.locator("#file")).to_contain_text(f"in force {after[:12]}")
        assert node.config.read_text(encoding="utf-8") == file.replace(ROUTES, MENDED)
        assert node.config.with_name("hilum.yaml.before").read_text(encoding="utf-8") == file
        desk.picture(page, "saved")

        watched = desk.page("/queue")
        expect(watched.locator(".tiles .bad dd")).to_have_text("1")
        page.click("nav >> text=Parked")
        page.locator("article.job").get_by_role("button", name="Retry").click()
        page.locator("#confirm").get_by_role("button", name="Yes").click()
        expect(page.locator("main")).to_contain_text("Nothing is parked")
        # the note that there is no result stands there, too, until the result takes its place
        done = watched.locator("section", has_text="Done last").locator("tbody tr").filter(has_not_text="no result")
        expect(done).to_contain_text("bench-threshold")  # nobody loaded that page again
        desk.picture(watched, "delivered")
        done.locator("a").click()
        expect(watched.locator("main")).to_contain_text("To results")
        assert watched.url.endswith(parked)
        picture = watched.locator(".pictures img").first
        watched.wait_for_function("() => document.querySelector('.pictures img').naturalWidth > 0")
        picture.click()
        viewer = watched.locator(".viewer")
        expect(watched.locator(".layers .mask")).to_have_count(1)
        shown = int(viewer.get_attribute("data-shown") or 0)
        watched.keyboard.press("ArrowDown")
        expect(viewer).to_have_attribute("data-shown", str(shown + 1))
        expect(watched.locator(".layers .mask")).to_have_count(1)
        watched.wait_for_load_state("networkidle")
        desk.picture(watched, "overlay")
    assert {urlsplit(url).netloc for url in desk.fetched} == {urlsplit(address).netloc}
    assert desk.said == [], "\n".join(desk.said)
    alerts = [one for one in told(tmp_path / "audit") if "Security Alert" in one]
    assert all('UserID="ada"' in one for one in alerts)
    assert len(alerts) == 3
    assert sum(node.config.as_uri() in one for one in alerts) == 2, "what was written, and what came into force"
    assert sum("Use of Restricted Function" in one for one in alerts) == 1, "the job that was retried"
