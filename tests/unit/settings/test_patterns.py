"""Which regular expressions a route may not have."""

import re
import time

import pytest

from node.settings.patterns import may_run_away

ENDLESS = [
    "(a+)+b",
    "(a*)*b",
    "((a+b?)+c?)*d",
    "(?:x|y+)*z",
    "(a+?)+?b",
    "(?P<n>(a|b)*)+c",
    "(?=(a+)+b)c",
    "([a-z]{2,}){3,}!",
    "(a{1,3})+b",
    "(aa?)*b",
    "(a+){1,30}b",
]
SOUND = ["(?i)t1|mprage", "^T1.*SAG.*$", "(T1|T2)+", "(a{3})+b", "(a+){1,3}b", "(a++)+b", "((?>a+)b)+c", "a+b+c*", "[+*]+", r"(\d{4}-)*x"]


@pytest.mark.parametrize("pattern", ENDLESS)
def test_a_repetition_inside_a_repetition_may_run_away(pattern: str) -> None:
    """Whatever stands between the two: groups, alternatives, lookaheads, lazy or counted from below."""
    assert may_run_away(pattern)


@pytest.mark.parametrize("pattern", SOUND)
def test_what_cannot_explode_is_taken(pattern: str) -> None:
    """One repetition after another, a bounded one, a possessive one: a text of 64 characters, which LO allows, is done at once."""
    assert not may_run_away(pattern)
    began = time.thread_time()
    for text in ("a" * 64, "T1" * 32, "1234-" * 13):
        re.search(pattern, text)
    assert time.thread_time() - began < 1
