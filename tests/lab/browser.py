"""Chromium without a window, as the tests look at pages with it: its engine without the browser around it, whose own pages, extensions and
services take twice as much to start as the engine.

It is started once for all files that look at pages, which run one after another (tests/lab/turns.py), and ended after the last of them.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from tests.lab.needs import absent, program

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

_FLAGS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    # WebGL on the processor: there is no graphics card
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    # the page itself is painted and put together without it, which takes a fourth of the time
    "--disable-gpu-rasterization",
    "--disable-gpu-compositing",
)
_Made = TypeVar("_Made")
_running: "list[Browser]" = []
_made: "dict[Callable[[Browser], AbstractContextManager[Any]], Any]" = {}
_staying: "list[BrowserContext]" = []
_ends = ExitStack()


@contextmanager
def chromium() -> Iterator["Browser"]:
    """The browser; what profiles are opened in it meanwhile are closed at the end."""
    browser = _browser()
    before = list(browser.contexts)
    try:
        yield browser
    finally:
        for profile in browser.contexts:
            if profile not in before and profile not in _staying:
                profile.close()


def lasting(make: "Callable[[Browser], AbstractContextManager[_Made]]") -> _Made:
    """What `make` gives, made once for all who ask, with a profile of its own; it ends with the browser, and before it."""
    browser = _browser()
    if make not in _made:
        before = list(browser.contexts)
        _made[make] = _ends.enter_context(make(browser))
        _staying.extend(profile for profile in browser.contexts if profile not in before)
    made: _Made = _made[make]
    return made


def end() -> None:
    """End the browser if there is one; whoever asks next gets another."""
    for kept in (_running, _made, _staying):
        kept.clear()
    _ends.close()


def _browser() -> "Browser":
    if _running and not _running[0].is_connected():
        end()
    if not _running:
        executable = program("chromium-headless-shell", "chromium-headless-shell")
        try:
            from playwright.sync_api import sync_playwright
        except ImportError:
            absent("playwright", "pip install -e '.[dev]'")
        playwright = _ends.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=executable, args=_FLAGS, headless=True)
        _ends.callback(browser.close)
        _running.append(browser)
    return _running[0]
