"""The words of the messages between server and sites: what a step asks for, and where in nvflare's message it stands."""

from enum import StrEnum

from nvflare.apis.fl_constant import FLMetaKey

SAID, HELD = "hilum", "hilum_held"
"""In the meta of a message: the step, or a site's answer as JSON; what was asked, agreed and found so far, as JSON."""
CASES = FLMetaKey.NUM_STEPS_CURRENT_ROUND
"""What nvflare weighs a site's weights by."""


class Step(StrEnum):
    """What every site is asked for."""

    PLAN = "plan"
    TRAIN = "train"
    JUDGE = "judge"
    END = "end"
