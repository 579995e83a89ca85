"""`hilum peers`: who may send, and how long what each sends waits, from a journal with real pauses in it."""

import json
from datetime import timedelta

from tests.unit.cli.conftest import Hospital, Run, empty, place
from tests.unit.journal.paused import paused

__all__ = ["empty", "place"]


def test_the_learned_window_and_what_it_rests_on(run: Run, empty: Hospital) -> None:
    """Of 320 studies the 5th paused for 4 s, and the 315th for 7: learned are 10 s, and used those of the configuration; six seconds would
    have been in force, and done for all behind the 300th but one."""
    paused(empty.journal, "ct1", [0.5] * 4 + [4.0] + [1.0] * 309 + [7.0] + [1.0] * 5, empty.journal.now())
    ran = run("peers", "--json")
    pacs, ct1 = json.loads(ran.out)
    assert (pacs["name"], pacs["window_s"], pacs["learned_s"], pacs["studies"], pacs["would_have"]) == ("pacs", 10, None, 0, None)
    assert (ct1["window_s"], ct1["uses_learned"], ct1["learned_s"], ct1["studies"]) == (10, False, 10, 320)
    assert (ct1["largest_gap_s"], ct1["largest_gap_study"], ct1["studies_with_additions"]) == (7, "9.3.315", 0)
    assert ct1["would_have"] == {"studies": 20, "closed_early": 1, "closed_early_configured": 0, "median_wait_s": 6}


def test_people_read_it_in_a_table_and_in_sentences(run: Run, empty: Hospital) -> None:
    """With the addition of another day told apart, and the peer of which nothing is known."""
    now = empty.journal.now()
    paused(empty.journal, "ct1", [2.0] * 310, now)
    paused(empty.journal, "pacs", [80_000.0], now - timedelta(days=2))
    said = run("peers").out
    assert "3 s, not used" in said
    assert "PACS" in said
    assert "ct1: the largest gap inside 310 studies is 2 s" in said
    assert "of the last 10 studies it closes 0 early (the configured one 0), and waits 3 s instead of 10 s (median)" in said
    assert "pacs: the largest gap inside 1 study is 0 s; 300 are needed to learn from" in said


def test_without_peers_it_says_where_they_are_named(run: Run, empty: Hospital) -> None:
    """And who can send then."""
    bare = [line for line in empty.config.path.read_text().splitlines() if line.startswith(("node:", "store:", "models:"))]
    empty.config.path.write_text("\n".join(bare) + "\n")
    ran = run("peers")
    assert (ran.code, "`peers:` of the configuration names them" in ran.out) == (0, True)
