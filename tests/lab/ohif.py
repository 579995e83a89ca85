"""A real viewer: OHIF in headless Chromium, on the same origin as the archive's DICOMweb, looked at as a reader would.

OHIF comes ready-built in the npm package `@ohif/app`; it is fetched once into `.peers/` of the repository.
"""

import base64
import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.lab.browser import chromium
from tests.lab.cache import alone_in
from tests.lab.npm import unpacked
from tests.lab.ohif_server import EMPTY, served
from tests.lab.program import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

VERSION = "3.13.2"
SMALL = (800, 520)
"""A window in which all that is drawn takes a quarter of the pixels, and so of the processor's time, of what a reader's window has."""
WITH_PANEL = (1120, 520)
"""The same beside the panel of measurements, which opens at the right."""
_NOTHING = "/notfoundstudy"
"""The viewer's own page without a study."""
_GO = "(path) => { history.pushState({}, '', path); dispatchEvent(new PopStateEvent('popstate', {state: {}})); }"
"""As its own links lead from page to page: its scripts are not loaded and run anew, which takes more than all pictures of a study."""
_PATIENCE_S = 180
"""For one step: it draws on the processors that other tests' nodes compute with."""
_GRAPHICS = [
    # WebGL on the processor: there is no graphics card
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    # the page itself is painted and put together without it, which takes a fourth of the time
    "--disable-gpu-rasterization",
    "--disable-gpu-compositing",
]


def dist() -> Path:
    """The viewer's files, fetched from npm when they are not in the cache."""
    with alone_in(f"ohif-{VERSION}") as folder:
        files = folder / "dist"
        if not files.exists():
            with unpacked(f"@ohif/app@{VERSION}", folder) as package:
                # source maps are most of it, and nobody asks for them
                for path in (package / "dist").rglob("*.map"):
                    path.unlink()
                (package / "dist").rename(files)
    return files


class Viewer:
    """OHIF beside an archive, as a context manager. `said` collects what the browser's console complained about."""

    def __init__(self, archive: str, *, size: tuple[int, int] = (1400, 900)) -> None:
        self._root = dist().resolve()
        self._archive = archive
        self._size = size
        self._known: set[str] = set()
        self.said: list[str] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._server = stack.enter_context(served(self._root, self._archive))
            # one for all studies: who opens one behind the other in it compiles the viewer's scripts once
            context = stack.enter_context(chromium(_GRAPHICS)).new_context()
            page = self._page = context.new_page()
            page.set_default_timeout(1000 * _PATIENCE_S)
            page.on("console", lambda message: self.said.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: self.said.append(str(error)))
            page.add_init_script("localStorage.clear(); localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']))")
            self._opened = Opened(page, f"{self._server}{EMPTY}")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def open(self, study_uid: str, *, size: tuple[int, int] | None = None, timeout_s: float = _PATIENCE_S) -> "Opened":
        """Open a study, in place of the one before, in a window of the viewer's size or another; wait until its first image is drawn.

        Of a study that it had before the viewer keeps what the archive held then: it is loaded anew for that.
        """
        width, height = size or self._size
        self._page.set_viewport_size({"width": width, "height": height})
        path = f"/viewer?StudyInstanceUIDs={study_uid}"
        if self._page.url == f"{self._server}{_NOTHING}" and study_uid not in self._known:
            self._page.evaluate(_GO, path)
        else:
            self._known.clear()
            self._page.goto(f"{self._server}{path}", wait_until="domcontentloaded")
        self._known.add(study_uid)
        self._opened.wait_for_image(timeout_s)
        return self._opened


class Opened:
    """The study in the viewer; as a context manager, the viewer leaves it at the end, for its page without a study (for `nothing` where
    something went wrong), and asks the archive no more."""

    def __init__(self, page: "Page", nothing: str) -> None:
        self.page, self._nothing = page, nothing
        self._asked = page.context.new_cdp_session(page)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            # in whatever state it is
            self.page.goto(self._nothing)
            return
        from playwright.sync_api import TimeoutError as StillThere

        self.page.evaluate(_GO, _NOTHING)
        try:
            self.page.wait_for_selector(".cornerstone-canvas", state="detached", timeout=20_000)
        except StillThere:
            # on a busy machine a canvas stays at times: the viewer is loaded anew
            self.page.goto(self._nothing)

    def wait_for_image(self, timeout_s: float) -> None:
        """Wait until the viewport shows more than one shade."""
        self.page.wait_for_selector(".cornerstone-canvas", timeout=timeout_s * 1000)
        self._until(lambda: len(np.unique(self.viewport()[..., 0])) > 30, timeout_s, "the viewer shows an image")

    def viewport(self) -> NDArray[np.uint8]:
        """What the first viewport shows: (rows, columns, RGB); black while the viewer builds it anew."""
        found = self.page.query_selector(".cornerstone-canvas")
        box = found.bounding_box() if found else None
        if box is None:
            return np.zeros((8, 8, 3), dtype=np.uint8)
        # packed in half the time that playwright's own picture takes: there are dozens of each study
        clip = {"x": box["x"], "y": box["y"], "width": box["width"], "height": box["height"], "scale": 1}
        taken = self._asked.send("Page.captureScreenshot", {"format": "png", "optimizeForSpeed": True, "clip": clip})
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(taken["data"]))).convert("RGB"))

    def coloured(self) -> int:
        """How many pixels inside the viewport have a colour: images are grey, so these are overlay."""
        shown = self.viewport().astype(np.int16)
        # the middle: the corners carry the viewer's own coloured marks
        rows, columns = shown.shape[:2]
        middle = shown[rows // 8 : -rows // 8, columns // 8 : -columns // 8]
        return int(((middle.max(axis=2) - middle.min(axis=2)) > 24).sum())

    def show_series(self, words: str, *, timeout_s: float = _PATIENCE_S) -> None:
        """Double-click a series in the list at the left, as a reader does to see a segmentation or report.

        `words` stand in its entry: the modality, or a part of the series description.
        """
        thumbnail = self.page.locator("[data-cy^='study-browser-thumbnail']").filter(has_text=words).first
        thumbnail.wait_for(timeout=timeout_s * 1000)
        thumbnail.dblclick()

    def wait_for_series(self, uid: str, timeout_s: float = _PATIENCE_S) -> None:
        """Wait until the viewport has a series of images in place of the one before, whose picture looks as still."""
        self.page.wait_for_function(
            "(uid) => cornerstone.getEnabledElements()[0]?.viewport.getCurrentImageId()?.includes(uid)", arg=uid, timeout=timeout_s * 1000
        )

    def scroll_to(self, fraction: float) -> None:
        """Scroll to a slice, as the wheel would: 0 is the first, 0.5 the middle, 1 the last."""
        self.page.evaluate(
            """async (fraction) => {
                const { viewport } = cornerstone.getEnabledElements()[0];
                const imageIndex = Math.round(fraction * (viewport.getNumberOfSlices() - 1));
                await cornerstone.utilities.jumpToSlice(viewport.element, { imageIndex });
            }""",
            fraction,
        )

    def slice(self, index: int) -> NDArray[np.uint8]:
        """Scroll to slice `index`, counted from 0, and give what the viewport shows then."""
        self.page.evaluate(
            """async (imageIndex) => {
                const { viewport } = cornerstone.getEnabledElements()[0];
                await cornerstone.utilities.jumpToSlice(viewport.element, { imageIndex });
            }""",
            index,
        )
        return self.still()

    def still(self, timeout_s: float = _PATIENCE_S) -> NDArray[np.uint8]:
        """What the viewport shows once it shows the same thing, which is not nothing, for a moment."""
        shown = [self.viewport()]

        def unchanged() -> bool:
            shown.append(self.viewport())
            return (
                len(shown) > 2 and bool(shown[-1].any()) and np.array_equal(shown[-1], shown[-2]) and np.array_equal(shown[-2], shown[-3])
            )

        self._until(unchanged, timeout_s, "the viewer stands still")
        return shown[-1]

    def measurements(self, least: int, *, timeout_s: float = _PATIENCE_S) -> list[str]:
        """The rows of the panel of measurements, which is opened: each with its label and values, as text. Waits for `least` of them."""
        rows = self.page.locator("[data-cy^='measurement-table-row']")
        if not rows.count():
            self.page.locator("[data-cy='trackedMeasurements-btn']").click()
        self._until(lambda: rows.count() >= least, timeout_s, f"{least} measurements in the panel")
        return [row.inner_text() for row in rows.all()]

    def wait_for_measurement(self, words: str, timeout_s: float = _PATIENCE_S) -> None:
        """Wait until a row of the panel of measurements says these words: values appear when their slice is shown."""
        self._until(lambda: any(words in row for row in self.measurements(1)), timeout_s, f"a measurement says {words!r}")

    def go_to_measurement(self, index: int) -> None:
        """Click a row of the panel of measurements: its slice comes into the viewport, not at once."""
        self.page.locator("[data-cy='data-row']").nth(index).click()

    def text(self) -> str:
        """All words in the viewport: a report's, when it shows one."""
        return self.page.locator("[data-cy='viewport-grid']").inner_text()

    def wait_for_text(self, words: str, timeout_s: float = _PATIENCE_S) -> str:
        """Wait until the viewport says these words; all that it says."""
        self._until(lambda: words in self.text(), timeout_s, f"the viewport says {words!r}")
        return self.text()

    def wait_for_overlay(self, least: int, timeout_s: float = _PATIENCE_S) -> int:
        """Wait until more than `least` pixels of the viewport are coloured; how many there are."""
        self._until(lambda: self.coloured() > least, timeout_s, f"an overlay of more than {least} pixels")
        return self.coloured()

    def screenshot(self, path: Path) -> Path:
        """Write what the reader sees as PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)
        return path

    def _until(self, holds: Callable[[], object], timeout_s: float, what: str) -> None:
        def look() -> object:
            # the driver's events run only while it is asked something
            self.page.wait_for_timeout(200)
            return holds()

        wait_until(look, timeout_s, what)
