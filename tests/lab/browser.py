"""Chromium without a window, as the tests look at pages with it: its engine without the browser around it, whose own pages, extensions and
services take twice as much to start as the engine."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.lab.needs import absent, program

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_FLAGS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
)


@contextmanager
def chromium(graphics: Sequence[str] = ()) -> Iterator["Browser"]:
    """A browser; `graphics` are the flags that say how it draws."""
    executable = program("chromium-headless-shell", "chromium-headless-shell")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        absent("playwright", "pip install -e '.[dev]'")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=[*_FLAGS, *graphics], headless=True)
        try:
            yield browser
        finally:
            browser.close()
