"""Each kind of result object before each validator: no fault beyond the known false alarms, and the reference says so word for word.

The objects are the recorded ones, byte for byte.
"""

from collections.abc import Iterator

import pytest

from node.domain.profile import Kind
from tests.lab.allowlist import FalseAlarm
from tests.results import matrix, recorded
from tests.results.kinds import ROWS, Encodings, Row

pytestmark = [pytest.mark.peers, pytest.mark.slow]

Said = dict[str, tuple[list[str], list[FalseAlarm]]]


@pytest.fixture(scope="module")
def encodings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encodings]:
    """The objects, made once, as they are recorded: clock, node name, versions and Series Number are pinned."""
    with recorded.pinned():
        yield Encodings(tmp_path_factory.mktemp("kinds"))


@pytest.fixture(scope="module")
def said() -> Said:
    """What the cells of each row said, as the tests go along."""
    return {}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_no_validator_finds_a_fault(row: Row, encodings: Encodings, said: Said) -> None:
    """Every column of one row."""
    one = matrix.look(row, encodings.of(row.case))
    cells = [(column, *matrix.cell(column, one)) for column in matrix.COLUMNS]
    faults = [f"{matrix.title(column)}: {fault}" for column, _, found, _ in cells for fault in found]
    assert faults == []
    said[row.name] = ([text for _, text, _, _ in cells], [alarm for *_, alarms in cells for alarm in alarms])


def test_the_reference_says_what_this_run_says(said: Said) -> None:
    """docs/reference/validators.md, word for word: versions, cells, and the reasons of the false alarms that were raised."""
    if len(said) < len(ROWS):
        pytest.skip("a row above was not looked at, or has a fault")
    page = matrix.page([(row.name, said[row.name][0]) for row in ROWS], [alarm for _, alarms in said.values() for alarm in alarms])
    written = matrix.PAGE.read_text(encoding="utf-8") if matrix.PAGE.exists() else ""
    assert written == page, f"docs/reference/validators.md is not what this run says: `{matrix.RENEW}` writes it"


def test_every_object_has_the_recorded_bytes(encodings: Encodings) -> None:
    """Whoever means to change an object writes the record anew, and sees which did."""
    assert recorded.lines(encodings) == recorded.FILE.read_text(encoding="utf-8").splitlines()


def test_every_kind_is_recorded() -> None:
    """Otherwise a kind could change unseen."""
    assert {line.split()[1] for line in recorded.FILE.read_text(encoding="utf-8").splitlines()} == {kind.value for kind in Kind}
