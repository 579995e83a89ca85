"""Zips that verbs are given: one way in, bounded by what really comes out."""

import zipfile
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from node.cli.demo_needs import NoInput, demo_series
from node.cli.ending import NothingFound
from node.cli.routes import read
from node.dicom.archives import ArchiveTooLarge, Unpacked
from node.dimse.requestor.outgoing import collect


@pytest.fixture(name="bomb", scope="module")
def _bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 MB of zeros in some hundred kilobytes."""
    path = tmp_path_factory.mktemp("zips") / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("0.dcm", "w") as member:
        for _ in range(120):
            member.write(bytes(1_000_000))
    return path


def test_every_verb_that_opens_a_zip_refuses_a_bomb(bomb: Path, tmp_path: Path) -> None:
    """`routes explain PATH` and `demo --input`; of what came out no more than the bound lies on the disk."""
    with pytest.raises(ArchiveTooLarge, match="more than 100 MB"):
        read(bomb)
    with pytest.raises(ArchiveTooLarge, match="more than 100 MB"):
        demo_series(bomb, tmp_path / "input", None)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= 101_000_000


def test_a_member_that_leads_out_of_the_folder_stays_in_it(tmp_path: Path) -> None:
    """Members lie under names of ours; what they are called is for people."""
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.writestr("../../evil.dcm", "x")
        archive.writestr("/etc/evil.dcm", "y")
    found = dict(Unpacked(tmp_path / "in").members(tmp_path / "out.zip", "out.zip"))
    assert {path.parent for path in found.values()} == {tmp_path / "in"}
    assert sorted(found) == ["out.zip!../../evil.dcm", "out.zip!/etc/evil.dcm"]


def test_a_damaged_zip_ends_in_a_sentence(bomb: Path, tmp_path: Path) -> None:
    """A byte of the compressed data is another one."""
    path = tmp_path / "damaged.zip"
    content = bytearray(bomb.read_bytes())
    content[1000] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(NothingFound, match="a zip that cannot be read"):
        read(path)
    with pytest.raises(NoInput, match="a zip that cannot be read"):
        demo_series(path, tmp_path / "input", None)


def test_a_damaged_zip_in_a_zip_holds_up_nothing_else(tmp_path: Path) -> None:
    """It is a file that is no image, and what stands behind it comes out."""
    with zipfile.ZipFile(tmp_path / "inner.zip", "w", zipfile.ZIP_DEFLATED) as inner:
        inner.writestr("a", "a" * 5000)
    content = bytearray((tmp_path / "inner.zip").read_bytes())
    content[33] ^= 0xFF
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.writestr("inner.zip", bytes(content))
        outer.writestr("b.dcm", "b")
    found = dict(Unpacked(tmp_path / "in").members(tmp_path / "outer.zip", "outer.zip"))
    assert sorted(found) == ["outer.zip!b.dcm", "outer.zip!inner.zip"]


def test_a_dicom_file_with_the_end_of_a_zip_in_its_pixels_is_no_zip(tmp_path: Path) -> None:
    """The four bytes stand by chance near the end of about one compressed image in 65,000; and somebody may have put a whole zip there. It
    is the image that is sent and read."""
    image = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "chance.dcm").write_bytes(image[:-200] + b"PK\5\6" + image[-196:])
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as whole:
        whole.writestr("other.txt", "x")
    (tmp_path / "in" / "whole.dcm").write_bytes(image + (tmp_path / "whole.zip").read_bytes())
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as study:
        study.write(tmp_path / "in" / "whole.dcm", "whole.dcm")
    for given, names in ((tmp_path / "in", ["chance.dcm", "whole.dcm"]), (tmp_path / "study.zip", ["study.zip!whole.dcm"])):
        found = collect([given], tmp_path / "unpacked")
        assert ([Path(name).name for name, _ in found.files], found.unusable, found.skipped) == (names, [], [])
    assert len(read(tmp_path / "in" / "whole.dcm").series) == 1
    assert demo_series(tmp_path / "in" / "whole.dcm", tmp_path / "input", None) == [tmp_path / "in" / "whole.dcm"]
