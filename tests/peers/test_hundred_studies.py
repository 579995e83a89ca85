"""Studies of every kind through Orthanc, of which half are short, wrong, tilted or mixed: each comes to one end, and to the right one.
`python -m tests.hundred` sends a hundred."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.hundred.cases import CASES
from tests.hundred.ends import End
from tests.hundred.trial import Trial

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(900)]

STUDIES = len(CASES) + 1
"""One of each kind; the first kind with one lesion, and with three."""
TABLE = {End.RESULT: 10, End.DECLINED: 4, End.HELD: 5, End.NOT_APPLICABLE: 8}
"""As docs/crash-matrix.md has it: an end that a study changes to another right one for is looked at by a person."""


def test_studies_end_as_is_right_for_each(tmp_path: Path) -> None:
    """Exactly one of result, declined, held, not applicable, as it was written down by hand; none silent, no result untrue, nothing of the
    node's in the archive that is nobody's."""
    trial = Trial(tmp_path, studies=STUDIES)
    ended = trial.run()
    assert [(one.number, one.case.name, sorted(one.ends), one.wrongs, one.said) for one in ended if not one.right] == []
    assert trial.strays == []
    assert Counter(end for one in ended for end in one.ends) == TABLE


def test_the_table_is_the_one_that_people_read() -> None:
    """Its rows stand in the documentation."""
    text = (Path(__file__).parents[2] / "docs" / "crash-matrix.md").read_text(encoding="utf-8")
    assert [end for end, count in TABLE.items() if not re.search(rf"\| {end.value} \| \d+ \| {count} \|", text)] == []
    assert f"the {STUDIES} of `make test`" in text
