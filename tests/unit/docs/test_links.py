"""Links of the pages that people read: each leads to a file, and to a heading, that is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_AWAY = ("http://", "https://", "mailto:")
_LINK = re.compile(r"\]\(([^)\s]+)(?:\s\"[^\"]*\")?\)|(?:src|href)=\"([^\"]+)\"")
_FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_SOURCE = re.compile(r"(?<![\w./-])(?:node|inference|training|tests|bench|docs)/[\w./-]*\.py\b")
TO_COME = "node/results/presentation_state/"
"""What docs/howto/extend.md adds as its example."""


def pages() -> list[Path]:
    """What a reader of the repository meets: at its top, under docs, and beside the code."""
    return sorted(
        path
        for top in (".", "docs", "config", "docker", "inference", "node", "training")
        for path in ((ROOT / top).glob("*.md") if top == "." else (ROOT / top).rglob("*.md"))
    )


def links(page: Path) -> list[str]:
    """Where a page leads within the repository; code is no link."""
    found = _LINK.findall(re.sub(r"`[^`\n]*`", "", _FENCED.sub("", page.read_text("utf-8"))))
    return [link for pair in found if (link := pair[0] or pair[1]) and not link.startswith(_AWAY)]


def anchors(page: Path) -> set[str]:
    """The headings of a page, as they are linked to."""
    headings = re.findall(r"^#{1,6} +(.*?) *$", _FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """A file that is there; behind `#`, one of its headings."""
    dead = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_source_file_that_a_page_names_is_there(page: Path) -> None:
    """Also of decisions that were made long ago: they say where it stands now. Listings of what an addition came to are fenced."""
    named = set(_SOURCE.findall(_FENCED.sub("", page.read_text("utf-8"))))
    assert [name for name in sorted(named) if not (ROOT / name).exists() and not name.startswith(TO_COME)] == []


def test_source_files_are_found() -> None:
    """The test above would pass over pages in which it saw none."""
    named = _SOURCE.findall((ROOT / "docs" / "glossary.md").read_text("utf-8"))
    assert "node/domain/state.py" in named
    assert len(named) > 50


def test_links_are_found() -> None:
    """The test above would pass over pages in which it saw none."""
    assert len(links(ROOT / "README.md")) >= 5
    assert any("#" in link for page in pages() for link in links(page))


def test_every_picture_is_shown_somewhere() -> None:
    """None lies in docs/images that no page shows."""
    shown = {(page.parent / link).resolve() for page in pages() for link in links(page)}
    assert [path.name for path in sorted((ROOT / "docs" / "images").iterdir()) if path.resolve() not in shown] == []
