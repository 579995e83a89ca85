"""What is absent is never passed over in silence: skipped with what to install, or failed where everything is required."""

from pathlib import Path

import pytest

from tests.lab import needs


def test_an_absent_program_is_skipped_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the program and the command that installs it."""
    monkeypatch.delenv("HILUM_PEERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"nonesuch is absent: apt-get install .* nonesuch-utils"):
        needs.program("nonesuch", "nonesuch-utils")


def test_where_peers_are_required_absence_is_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Continuous integration cannot pass by testing less: programs and images alike."""
    monkeypatch.setenv("HILUM_PEERS", "required")
    with pytest.raises(pytest.fail.Exception, match="nonesuch is absent"):
        needs.program("nonesuch", "nonesuch-utils")
    monkeypatch.setenv("HILUM_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(pytest.fail.Exception, match="set HILUM_DATA"):
        needs.data("dicom")


def test_programs_are_debians_not_the_virtual_environments() -> None:
    """pynetdicom brings an echoscu of its own: the one that is called must be DCMTK's."""
    assert needs.program("echoscu", "dcmtk") == Path("/usr/bin/echoscu")
