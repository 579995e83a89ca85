"""Tables of outcomes: what is read, and a sentence for each that cannot be learned from."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.errors import UnfitData
from training.tabled.outcomes import read_outcomes

from .made_outcomes import write_outcomes

pytestmark = pytest.mark.slow

Rows = list[dict[str, str]]


def rewritten(file: Path, change: Callable[[Rows], object]) -> Path:
    """The table with its lines changed; columns are those of the first."""
    with file.open() as old:
        rows = list(csv.DictReader(old))
    change(rows)
    with file.open("w", newline="") as new:
        table = csv.DictWriter(new, [*rows[0]])
        table.writeheader()
        table.writerows(rows)
    return file


def every(column: str, value: Callable[[int, dict[str, str]], object]) -> Callable[[Rows], object]:
    """Sets a column in every line."""

    def change(rows: Rows) -> None:
        for at, row in enumerate(rows):
            row[column] = str(value(at, row))

    return change


def renamed(old: str, new: str) -> Callable[[Rows], object]:
    def change(rows: Rows) -> None:
        for row in rows:
            row[new] = row.pop(old)

    return change


def test_numbers_categories_and_what_is_missing(tmp_path: Path) -> None:
    """Columns by kind, the most frequent level first; a constant, an empty, a date and a name column are left out, each with a sentence;
    a line without a time is left out and counted."""
    file = write_outcomes(tmp_path / "o.csv")
    rewritten(file, every("Ward", lambda *_: "A"))
    rewritten(file, every("Seen", lambda at, _: f"2024-01-{at % 28 + 1:02}"))
    rewritten(file, every("Name", lambda at, _: f"Doe {at}"))
    rewritten(file, every("Score", lambda at, _: "NA" if at % 3 else at))
    rewritten(file, every("Smoker", lambda at, _: "" if at == 4 else "yes" if at % 2 else "no"))
    rewritten(file, lambda rows: rows[7].update({"time (mo)": ""}))
    found = read_outcomes(file)
    assert (len(found.patients), found.unit) == (159, "mo")
    assert [one.name for one in found.columns] == ["Age (a)", "TP53", "Volume (cm3)", "Grade", "Smoker"]
    by_name = {one.name: one for one in found.columns}
    assert sorted(by_name["Grade"].levels) == ["high", "low", "middle"]
    assert np.flatnonzero(np.isnan(by_name["Smoker"].cells)).tolist() == [4]
    said = " ".join(found.notes)
    for part in (
        "1 lines without",
        "line 9",
        '"Ward" is the same',
        '"Seen" holds dates',
        '"Name" has 159 different',
        '"Score" is empty in 105',
    ):
        assert part in said, part


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows[3].update({"time (mo)": "-2"}), 'line 5: column "time (mo)" is -2: no event comes before'),
        (lambda rows: rows[3].update({"time (mo)": "2021-04-05"}), "has the date 2021-04-05: write how long it took"),
        (lambda rows: rows[3].update({"time (mo)": "long"}), 'line 5: column "time (mo)" is no number'),
        (lambda rows: rows[3].update({"event": "2"}), 'column "event" is "2": 1 where the event came'),
        (lambda rows: rows[3].update({"PatientID": "P001"}), 'lines 3 and 5 are both of patient "P001"'),
        (every("event", lambda at, _: int(at < 19)), "19 events in 160 patients: with fewer than 20"),
        (every("time (mo)", lambda *_: 12), "has the same time in every line"),
        (renamed("time (mo)", "time"), 'column "time" has no unit'),
        (renamed("time (mo)", "time (mm)"), "is in mm, which is no unit of time"),
        (renamed("time (mo)", "Survival"), 'no column is "time"'),
        (renamed("event", "Dead"), 'no column is "event"'),
        (renamed("PatientID", "Case"), 'no column is "PatientID"'),
        (every("Status", lambda _, row: "dead" if row["event"] == "1" else "alive"), 'column "Status" says the event itself'),
        (every("Alive", lambda _, row: "no" if row["event"] == "1" else "yes"), 'column "Alive" says the event itself'),
        (
            every("Cause", lambda at, row: ("tumour", "heart")[at % 2] if row["event"] == "1" else ""),
            "something of those who had the event alone",
        ),
        (every("Last visit (d)", lambda _, row: round(float(row["time (mo)"]) * 30.4)), 'column "Last visit (d)" says the time'),
        (
            every("Until relapse", lambda at, row: float(row["time (mo)"]) - 1 if row["event"] == "1" else at),
            "says the time of those who had the event",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_refused_with_a_sentence(tmp_path: Path, change: Callable[[Rows], object], says: str) -> None:
    """Each names the line or the column, and says what to do."""
    file = rewritten(write_outcomes(tmp_path / "o.csv"), change)
    with pytest.raises(UnfitData) as refused:
        read_outcomes(file)
    assert says in str(refused.value)


def test_honest_columns_are_no_leak(tmp_path: Path) -> None:
    """A strong predictor, a rare category and a column with missing cells pass: what is refused is what nobody knows before."""
    file = write_outcomes(tmp_path / "o.csv", 400)
    draw = np.random.default_rng(2)
    rewritten(file, every("Marker", lambda _, row: round(float(np.log(float(row["time (mo)"]) + 1) + draw.normal(0, 0.8)), 2)))
    rewritten(file, every("Rare", lambda at, _: "1" if at % 50 == 0 else "0"))
    rewritten(file, every("Gene", lambda *_: "" if draw.random() < 0.3 else round(float(draw.normal()), 3)))
    assert {"Marker", "Rare", "Gene"} <= {one.name for one in read_outcomes(file).columns}


@pytest.mark.parametrize("events", [lambda at: at > 2, lambda at: True, lambda at: at % 50 == 0])
def test_where_nearly_everybody_or_nearly_nobody_has_the_event_no_column_is_a_leak(tmp_path: Path, events: Callable[[int], bool]) -> None:
    """Of a disease that few survive, and of an event that one in fifty has, a complete column agrees with the event, or its opposite, by
    itself; a mutation that one in fifty has does, too. What says the event is found all the same."""
    file = write_outcomes(tmp_path / "o.csv", 1200)
    rewritten(file, every("event", lambda at, _: int(events(at))))
    rewritten(file, every("Rare", lambda at, _: int(at % 50 == 7)))
    assert [one.name for one in read_outcomes(file).columns] == ["Age (a)", "TP53", "Volume (cm3)", "Grade", "Rare"]
    if events(0) == events(1):
        return
    rewritten(file, every("Died", lambda _, row: "yes" if row["event"] == "1" else "no"))
    with pytest.raises(UnfitData, match='"Died" says the event itself'):
        read_outcomes(file)


def test_a_numbering_of_lines_or_patients_is_no_number(tmp_path: Path) -> None:
    """A running number, with gaps, in any order and from anywhere, is left out, and said."""
    file = write_outcomes(tmp_path / "o.csv")
    rewritten(file, every("Study no", lambda at, _: 4000 + (at * 37) % 160 + at % 2 * 60))
    found = read_outcomes(file)
    assert "Study no" not in {one.name for one in found.columns}
    assert '"Study no" numbers the lines' in " ".join(found.notes)


def test_a_number_with_a_word_among_its_cells_is_no_category(tmp_path: Path) -> None:
    """Whole numbers of many patients are not sixty categories because one cell is a word: the column is left out, and the cell is told; a
    point, as SAS and Stata write what is missing, is no word."""
    file = write_outcomes(tmp_path / "o.csv", 900)
    rewritten(file, every("Age (a)", lambda at, row: "unknown" if at == 3 else round(float(row["Age (a)"]))))
    rewritten(file, every("Volume (cm3)", lambda at, row: "." if at == 5 else row["Volume (cm3)"]))
    found = read_outcomes(file)
    assert [one.name for one in found.columns] == ["TP53", "Volume (cm3)", "Grade"]
    assert np.flatnonzero(np.isnan(found.columns[1].cells)).tolist() == [5]
    assert 'column "Age (a)" holds numbers, and in 1 of 900 lines words ("unknown"): left out' in " ".join(found.notes)
