"""What was decoded ahead is used in place of decoding, and only where it is whole; a memory that is full, damaged or died over harms
nothing."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from inference.errors import InputError
from inference.imaging import header, stored
from inference.imaging.assemble import assemble
from inference.imaging.decode_ahead import decode_ahead
from inference.imaging.frame_cache import FrameCache
from inference.imaging.header import Instance, ReadAhead
from inference.imaging.kept_headers import KeptHeaders
from inference.imaging.write_series import write_series

VOXELS = np.random.default_rng(1).integers(-1000, 1000, (3, 16, 16)).astype(np.int16)
AFFINE = np.array([[0.0, 0, 1, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]])


@pytest.fixture
def series(tmp_path: Path) -> list[Path]:
    """Three slices in RLE."""
    files = write_series(VOXELS, AFFINE, tmp_path / "series", modality="CT")
    for path in files:
        image = dcmread(path)
        image.compress(RLELossless, generate_instance_uid=False)
        image.save_as(path)
    return files


def _into(folder: Path, *, most_bytes: int = 1 << 20, min_free_bytes: int = 0, headers: KeptHeaders[Instance] | None = None) -> ReadAhead:
    return ReadAhead(FrameCache(folder, most_bytes=most_bytes, min_free_bytes=min_free_bytes), headers)


@pytest.fixture
def ahead(tmp_path: Path) -> ReadAhead:
    """What is read ahead in one test."""
    return _into(tmp_path / "ahead")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each frame that is given to a codec: by its length."""
    frames: list[int] = []

    def counting(encoded: list[bytes], **how: Any) -> bytes:
        frames.extend(len(one) for one in encoded)
        return encapsulate(encoded, **how)

    monkeypatch.setattr(stored, "encapsulate", counting)
    return frames


def _ahead(files: list[Path], ahead: ReadAhead) -> int:
    return sum(sum(decode_ahead(path, ahead)) for path in files)


def test_a_series_decoded_ahead_is_only_put_together(series: list[Path], ahead: ReadAhead, decoded: list[int]) -> None:
    """Each frame is decoded once, before it is asked for; the voxels are those that were written."""
    assert _ahead(series, ahead) == 3
    assert len(decoded) == 3
    assert np.array_equal(assemble(series, ahead=ahead).voxels, VOXELS)
    assert len(decoded) == 3
    assert _ahead(series, ahead) == 0  # nothing is new


def test_a_damaged_frame_is_decoded_again(series: list[Path], ahead: ReadAhead, decoded: list[int], tmp_path: Path) -> None:
    """One bit of one frame turned over, one frame cut off: both are noticed and gone."""
    _ahead(series, ahead)
    first, second, _ = sorted((tmp_path / "ahead").iterdir())
    content = bytearray(first.read_bytes())
    content[-1] ^= 1
    first.write_bytes(content)
    second.write_bytes(second.read_bytes()[:100])
    assert np.array_equal(assemble(series, ahead=ahead).voxels, VOXELS)
    assert len(decoded) == 5
    assert not first.exists()


def test_a_full_memory_is_no_error(series: list[Path], decoded: list[int], tmp_path: Path) -> None:
    """Nothing is decoded that could not be kept; the series is read all the same."""
    small = _into(tmp_path / "small", most_bytes=1200)
    assert _ahead(series, small) == 1
    assert np.array_equal(assemble(series, ahead=small).voxels, VOXELS)
    assert len(decoded) == 3
    assert sum(path.stat().st_size for path in (tmp_path / "small").iterdir()) <= 1200


def test_a_disk_that_is_needed_otherwise_is_left_alone(series: list[Path], tmp_path: Path) -> None:
    """With less free than asked for, nothing is kept."""
    pressed = _into(tmp_path / "pressed", min_free_bytes=1 << 60)
    assert _ahead(series, pressed) == 0
    assert list((tmp_path / "pressed").iterdir()) == []


def test_a_file_that_a_process_died_over_is_left_to_the_job(series: list[Path], ahead: ReadAhead) -> None:
    """A codec that takes its process along is not asked again and again by those who are started in its place."""
    dying = decode_ahead(series[0], ahead)
    next(dying)  # and never comes back
    assert _ahead(series, ahead) == 2


def test_what_nobody_asks_for_goes(series: list[Path], ahead: ReadAhead, tmp_path: Path) -> None:
    """After a quarter of an hour, half-written files and marks of the dead included; what was used goes sooner."""
    _ahead(series, ahead)
    folder = tmp_path / "ahead"
    (folder / "half.1.part").write_bytes(b"half")
    (folder / "dead.trying").touch()
    long_ago = time.time() - 1000
    for path in folder.iterdir():
        os.utime(path, (long_ago, long_ago))
    again = FrameCache(folder, most_bytes=1 << 20, min_free_bytes=0)
    assert again.room_for(1)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("off_s", [-1000, 1000])
def test_what_nobody_asks_for_goes_although_nothing_more_is_decoded(
    series: list[Path], ahead: ReadAhead, tmp_path: Path, off_s: float
) -> None:
    """The pixels of a study do not stay on the disk behind it because it was the last; nor because the clock went back."""
    _ahead(series, ahead)
    ahead.frames.sweep()
    assert len(list((tmp_path / "ahead").iterdir())) == 3
    for path in (tmp_path / "ahead").iterdir():
        os.utime(path, (time.time() + off_s,) * 2)
    ahead.frames.sweep()
    assert list((tmp_path / "ahead").iterdir()) == []


def test_what_was_used_makes_room(series: list[Path], tmp_path: Path) -> None:
    """A memory that is full of used frames takes new ones."""
    small = _into(tmp_path / "small", most_bytes=1200)
    assert _ahead(series[:1], small) == 1
    assert _ahead(series[1:], small) == 0
    assemble(series, ahead=small)
    assert _ahead(series[1:], small) == 1


def test_what_cannot_be_decoded_gives_nothing(series: list[Path], ahead: ReadAhead, tmp_path: Path) -> None:
    """No DICOM, no pixels, no file, uncompressed: whoever analyses it is told, not who looks ahead."""
    (text := tmp_path / "text.dcm").write_bytes(b"no DICOM")
    plain = write_series(VOXELS, AFFINE, tmp_path / "plain", modality="CT")[0]
    assert dcmread(plain).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    cut = series[0]
    cut.write_bytes(cut.read_bytes()[:-20])
    assert [list(decode_ahead(path, ahead)) for path in (text, plain, cut, tmp_path / "absent.dcm")] == [[], [], [], []]
    with pytest.raises(InputError):
        assemble(series, ahead=ahead)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with each header that is parsed."""
    names: list[str] = []

    def counting(file: Any, **how: Any) -> FileDataset:
        names.append(Path(file.name).name)
        return dcmread(file, **how)

    monkeypatch.setattr(header, "dcmread", counting)
    return names


def test_a_header_read_ahead_is_given_out_once(series: list[Path], ahead: ReadAhead, parsed: list[str]) -> None:
    """Compressed or not: the first job finds it read, the second reads it itself, because the first may have changed what it was given."""
    plain = write_series(VOXELS, AFFINE, series[0].parents[1] / "plain", modality="CT")
    for files in (series, plain):
        _ahead(files, ahead)
        assert len(parsed) == 3
        first = assemble(files, ahead=ahead)
        assert len(parsed) == 3
        second = assemble(files, ahead=ahead)
        assert len(parsed) == 6
        assert np.array_equal(first.voxels, VOXELS)
        assert (first.sources, first.study_instance_uid) == (second.sources, second.study_instance_uid)
        parsed.clear()


def test_the_header_of_a_file_that_was_replaced_is_read_again(series: list[Path], ahead: ReadAhead, parsed: list[str]) -> None:
    """Another file under the same name, of the same length."""
    _ahead(series, ahead)
    image = dcmread(series[0])
    image.PatientID = "".join(reversed(image.PatientID))
    other = series[0].with_suffix(".new")
    image.save_as(other)
    other.rename(series[0])
    assert header.read_instance(series[0], ahead).header.PatientID == image.PatientID
    assert parsed[3:] == [series[0].name]
    assert header.read_instance(series[1], ahead).path == series[1]
    assert len(parsed) == 4


def test_headers_read_ahead_are_bounded(series: list[Path], parsed: list[str], tmp_path: Path) -> None:
    """The oldest go first, and all that are old; a header of thousands of frames is not kept."""
    one = header.read_instance(series[0]).pixels.offset
    two_of_three = _into(tmp_path / "two", headers=KeptHeaders(most_bytes=2 * one + one // 2))
    _ahead(series, two_of_three)
    parsed.clear()
    assemble(series, ahead=two_of_three)
    assert parsed == [series[0].name]
    for none in (KeptHeaders[Instance](old_s=-1.0), KeptHeaders[Instance](large_bytes=one - 1)):
        ahead = _into(tmp_path / "none", headers=none)
        _ahead(series, ahead)
        assert [ahead.take(path) for path in series] == [None, None, None]
