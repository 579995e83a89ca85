"""What draws the pictures of how-to guides does so with any model of the application."""

from pathlib import Path

import pytest
from PIL import Image

from docs.network_pictures import PLANTED, nodules
from tests.lab.chest import stored


@pytest.mark.slow
def test_the_page_of_nodules_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A network that knows ground glass by its density marks planted nodules, which are told from what else it marks."""
    stored(tmp_path / "models")
    nodules(tmp_path / "models", tmp_path / "page.png")
    found = capsys.readouterr().out.removeprefix("planted:").split()
    assert 1 <= len(found) <= PLANTED
    with Image.open(tmp_path / "page.png") as page:
        assert page.size == (1600, 1200)
        assert len(page.getcolors(1 << 24) or ()) > 256
