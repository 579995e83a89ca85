"""docs/howto/which-check-when.md: each check of its table is run in a new node's folder, and touches what the table says."""

import re
import shutil
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from tests.unit.cli.conftest import Run, run

from .test_links import ROOT

__all__ = ["run"]
PAGE = ROOT / "docs/howto/which-check-when.md"
_ENDS = {"hilum health": 1, "hilum notify": 1}
"""Of a node that does not run, and tells nobody; all others end well."""
_WHOLE_WAY = ("hilum demo", "hilum send")
"""Run by tests of their own."""


def _rows() -> list[tuple[str, str]]:
    """Command, and what it touches."""
    table = re.findall(r"^\| ([^|]*\?) \| ([^|]*) \| [^|]* \| ([^|]*) \|$", PAGE.read_text(), re.MULTILINE)
    return [(code[1], touches) for _, command, touches in table if (code := re.match(r"`([^`]+)`", command)) is not None]


def _tree(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_each_check_runs_and_touches_what_the_page_says(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a node's folder as `hilum init` leaves it, with a journal and the one model that comes with hilum; the study is a folder."""
    assert run("init", str(tmp_path / "node")).code == 0
    monkeypatch.chdir(tmp_path / "node")
    assert run("studies", "list").code == 0
    config = Path("hilum.yaml").read_text().replace("mr-brain", "hippocampus").replace("ct-lung", "hippocampus")
    Path("hilum.yaml").write_text(config)
    cases = Path("routes.test.yaml").read_text().replace("mr-brain", "hippocampus").replace("ct-lung", "hippocampus")
    Path("routes.test.yaml").write_text(cases)
    assert run("models", "import", "hippocampus").code == 0
    (tmp_path / "STUDY").mkdir()
    shutil.copy(str(get_testdata_file("MR_small.dcm")), tmp_path / "STUDY")
    rows = _rows()
    assert len(rows) > 8
    for command, touches in rows:
        if command.startswith(_WHOLE_WAY):
            continue
        before = _tree(Path())
        words = [str(tmp_path / "STUDY") if word == "STUDY" else word for word in command.split()[1:]]
        said = run(*words)
        assert said.code == _ENDS.get(command, 0), (command, said)
        if touches == "nothing":
            assert _tree(Path()) == before, command
