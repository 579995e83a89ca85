"""The pages as a site, as `make docs` builds it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it, by the command of the Makefile: a link that leads nowhere and a page in no part of the navigation are errors."""
    folder = tmp_path_factory.mktemp("site")
    (line,) = (line for line in (ROOT / "Makefile").read_text().splitlines() if "-m sphinx" in line)
    words = [str(folder) if word == "build/site" else word for word in line.split()[1:]]
    built = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.slow
def test_every_page_is_there_and_nothing_of_others(site: Path) -> None:
    """The site asks no other host for anything, and begins at index.html."""
    made = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    assert {path.relative_to(ROOT).with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")} < made
    assert "url=README.html" in (site / "index.html").read_text()
    for page in site.rglob("*.html"):
        assert not re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="(?:https?:)?//[^"]*"', page.read_text()), page


@pytest.mark.slow
def test_a_code_is_found(site: Path) -> None:
    """HLM-2003 is one word of the index, and of what is typed; 2003 alone is no word, and HLM stands in most pages."""
    index = (site / "searchindex.js").read_text()
    assert '"hlm-2003":' in index
    assert r"HLM-\d{4}" in (site / "_static" / "language_data.js").read_text()
