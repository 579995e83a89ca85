"""What edited routes would change: no line is lost, and what is told of them can be done again."""

import random
import time

import pytest

from node.console.file_differences import Sign, differences


def lines(text: str) -> list[str]:
    """As an editor counts them."""
    return text.split("\n") if text else []


def carried_out(before: str, after: str, first: int) -> list[str]:
    """`before` with what is told done to it, each line taken from where it is said to stand."""
    told = [one for place in differences(before, after, first) for one in place]
    taken = {one.line: one.text for one in told if one.sign is Sign.TAKEN}
    assert all(lines(before)[at - first] == text for at, text in taken.items())
    left = [text for at, text in enumerate(lines(before), first) if at not in taken]
    for one in told:
        if one.sign is Sign.ADDED:
            left.insert(one.line - first, one.text)
        elif one.sign is Sign.KEPT:
            assert left[one.line - first] == one.text
    return left


@pytest.mark.parametrize("seed", range(40))
def test_what_is_told_is_what_it_takes(seed: int) -> None:
    """Lines of few words, so that many are alike, put in, taken out and changed anywhere."""
    chance = random.Random(seed)
    before = [chance.choice("abcde") for _ in range(chance.randrange(40))]
    after = list(before)
    for _ in range(chance.randrange(6)):
        at = chance.randrange(len(after) + 1)
        after[at : at + chance.randrange(3)] = [chance.choice("xyabc") for _ in range(chance.randrange(3))]
    assert carried_out("\n".join(before), "\n".join(after), 17) == after


def test_how_lines_end_is_no_change() -> None:
    """A browser sends CR LF, and a file may end with more than one."""
    assert differences("a\nb\n", "a\r\nb", 1) == ()
    assert differences("", "\n", 1) == ()


def test_changes_far_from_each_other_are_places_of_their_own() -> None:
    """Three lines around each; what is between them is left out."""
    before = [str(at) for at in range(40)]
    places = differences("\n".join(before), "\n".join(["new", *before[:-1]]), 1)
    assert [[one.line for one in place] for place in places] == [[1, 2, 3, 4], [38, 39, 40, 40]]


def test_whatever_is_sent_takes_no_long() -> None:
    """As many lines as the text may have characters: in seconds of the processor, whatever they are like."""
    chance, began = random.Random(1), time.process_time()
    for alike in (1, 100, 160):
        before, after = ("\n".join(str(chance.randrange(alike)) for _ in range(10_000)) for _ in range(2))
        assert differences(before, after + "\nend", 1)
    before, after = ("\n".join(str(chance.randrange(40)) for _ in range(3_900)) for _ in range(2))
    assert differences(before, after, 1)
    assert time.process_time() - began < 10
