"""No whole series is taken for one with a gap: every series of the real images, by its headers as the index reads them."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inference.errors import InputError
from node.dicom.header import read_header
from node.domain.instance import Header
from node.routing.decisions import is_image
from node.routing.shortage import missing_between
from tests.lab.needs import data
from tests.lab.orthanc import parts_of

_BROKEN = "sliceincrement_001.zip"
"""The one of which a slice was taken away (`bad_geometry` of data/README.md)."""


def _parts(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix not in (".md", ".txt", ".json", ".csv"):
            try:
                for part in parts_of(path):
                    yield str(path.relative_to(root)), part
            except (OSError, ValueError, RuntimeError):
                continue


@pytest.mark.slow
def test_no_whole_series_is_held_for_a_gap(capsys: pytest.CaptureFixture[str]) -> None:
    """False holds: 0, over every folder of the real images. The one real series that lacks a slice is found among them."""
    series: dict[tuple[str, str], list[Header]] = defaultdict(list)
    for where, part in _parts(data()):
        try:
            identity, header = read_header(part)
        except InputError:
            continue
        if is_image(identity.sop_class_uid, header):
            series[where if where.endswith(".zip") else str(Path(where).parent), identity.series_instance_uid].append(header)
    found = {key: missing for key, headers in series.items() if (missing := missing_between(headers))}
    short = {key[0]: missing for key, missing in found.items() if key[0].endswith(_BROKEN)}
    false = {key: missing for key, missing in found.items() if not key[0].endswith(_BROKEN)}
    with capsys.disabled():
        print(f"\nfalse holds: {len(false)} of {len(series) - len(short)} series")
    assert short == {f"dicom/bad_geometry/{_BROKEN}": 1}
    assert false == {}


def test_a_slice_taken_from_the_real_tilted_head_is_missed(real: Callable[[str], list[Path]]) -> None:
    """14 slices of 4 mm, 14 of 7 mm above, tilted: each is taken away in turn. Nobody can miss the first and the last, nor the uppermost of
    the 4 mm ones, whose tissue the slices beside it hold: they overlap by what it was thick."""
    headers = [read_header(path)[1] for path in real("dicom/ct_head_GE_gantrytilt.zip")]
    headers.sort(key=lambda header: float(header["ImagePositionPatient"][2]))
    missed = [missing_between(headers[:index] + headers[index + 1 :]) for index in range(28)]
    assert [index for index, missing in enumerate(missed) if missing != 1] == [0, 13, 27]
    assert (missed[0], missed[13], missed[27]) == (0, 0, 0)
