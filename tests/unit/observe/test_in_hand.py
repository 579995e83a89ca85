"""What names a poisonous instance or arrival from one process to its successor: a number in shared memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from node.flow.instance_verdict import number_of
from node.observe.pulse import InHand
from node.observe.shared_memory import SharedCells

_KEPT = 8
"""So many of those that processes died over are kept."""
_NUMBERS = st.integers(1, 2**53 - 1)
_STEPS = st.lists(st.tuples(st.sampled_from(["take", "put down", "die"]), _NUMBERS | st.integers(1, 4)), max_size=40)
_NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..")
)
_FOREIGN = st.binary(min_size=1, max_size=40).filter(lambda name: not set(name) & {0, 47} and name not in (b".", b"..")).map(os.fsdecode)


@settings(max_examples=300, deadline=None)
@given(steps=_STEPS)
def test_a_successor_knows_what_was_in_hand_and_how_often(steps: list[tuple[str, int]]) -> None:
    """Any order of taking, putting down and dying, each process over its own mapping of the memory: what a dictionary counts is counted, to
    the last bit of the number, as long as no more are known than are kept."""
    cells = SharedCells.make()
    process = InHand("entry", SharedCells.attach(cells.descriptor))
    other = InHand("arrival", SharedCells.attach(cells.descriptor))
    held, died = 0, dict[int, int]()
    for step, number in steps:
        if step == "take":
            if number not in died and len(died) == _KEPT:
                continue
            process.take(number)
            held = number
        elif step == "put down":
            process.put_down()
            held = 0
        else:
            process = InHand("entry", SharedCells.attach(cells.descriptor))
            assert process.number == held
            assert process.count_death() == held
            died.update({held: died.get(held, 0) + 1} if held else {})
            held = 0
        assert process.number == held
        assert {one: process.deaths(one) for one in died} == died
        assert (other.number, process.deaths(number)) == (0, died.get(number, 0))


@given(numbers=st.lists(_NUMBERS, min_size=_KEPT + 1, max_size=_KEPT + 4, unique=True))
def test_what_fewest_died_over_makes_room(numbers: list[int]) -> None:
    """More than are kept: the one that two died over stays known, and so does the last."""
    cells = SharedCells.alone()
    worst = numbers[0]
    for number in (worst, *numbers):
        process = InHand("entry", cells)
        process.take(number)
        process.count_death()
    assert InHand("entry", cells).deaths(worst) == 2
    assert InHand("entry", cells).deaths(numbers[-1]) == 1


@given(name=_NAMES | _FOREIGN)
def test_the_number_of_an_entry_is_one_that_is_kept_whole(name: str) -> None:
    """Also of a name that is no text; the folder is no part of it, since what was opened elsewhere is the same entry."""
    number = number_of(Path("inbox") / name)
    assert 0 < number < 2**53
    assert number == int(float(number)) == number_of(Path("/mnt/other") / name)


def test_every_process_gives_an_entry_the_same_number() -> None:
    """Python's own hash would differ from one process to the next."""
    names = ["1.dcm", "1.2.3.whole", "é.whole", "a b"]
    program = "import json, sys; from pathlib import Path; from node.flow.instance_verdict import number_of; "
    program += "print(json.dumps([number_of(Path(name)) for name in json.loads(sys.argv[1])]))"
    ran = [
        subprocess.run(
            [sys.executable, "-c", program, json.dumps(names)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[3])},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert [json.loads(one) for one in ran] == [[number_of(Path(name)) for name in names]] * 2
    assert len(set(json.loads(ran[0]))) == len(names)
