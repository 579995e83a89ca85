"""What conditions remember of their hash stays in the process that computed it."""

import pickle
import subprocess
import sys

from node.domain.route import Condition, ConditionBlock, ConditionOperator, Junction

_ASK = """\
import pickle, sys
from node.domain.route import Condition, ConditionBlock, ConditionOperator, Junction
modality = Condition(keyword="Modality", operator=ConditionOperator.EQUALS, expected=("CT",))
own = [modality, ConditionBlock(junction=Junction.ANY, entries=((modality,),))]
print([one in {mine: 1} for one, mine in zip(pickle.load(sys.stdin.buffer), own)])
"""


def test_a_condition_that_comes_from_another_process_is_found_among_those_of_this_one() -> None:
    """A text has another hash in each process: one that was kept along would make equal conditions different ones."""
    modality = Condition(keyword="Modality", operator=ConditionOperator.EQUALS, expected=("CT",))
    block = ConditionBlock(junction=Junction.ANY, entries=((modality,),))
    assert len({modality, block}) == 2  # both know theirs by now
    sent = pickle.dumps([modality, block])
    for seed in ("1", "2"):
        ask = [sys.executable, "-c", _ASK]
        asked = subprocess.run(ask, input=sent, capture_output=True, check=True, env={"PYTHONHASHSEED": seed})
        assert asked.stdout.decode().strip() == "[True, True]"
