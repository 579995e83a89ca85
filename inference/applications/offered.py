"""Which degradations a restorer is offered for: those at which its network was ahead of a tuned classical method on held-out images, as the
model's entry in the repository says (`Tiles.within`)."""

from typing import Any

from inference.engines.calling import call_of
from inference.engines.port import ModelRef
from inference.errors import InputError


class LevelNotOffered(InputError):
    """On images of so strong or so weak a degradation, the network was not ahead of a classical method."""

    code = "HLM-3202"
    remedy = "Cancel the job, and narrow the route: the model's card says at which levels the network was ahead on held-out images."


def refuse_not_offered(infer: Any, model: ModelRef, level: float, what: str) -> None:
    """Refuse an image whose degradation the model's entry leaves out; an entry that says nothing leaves none out.

    Parameters
    ----------
    level
        In the unit that the application counts its degradation by.
    what
        The series and its level, for people.

    Raises
    ------
    LevelNotOffered
    """
    call = call_of(infer, model)
    if call is not None and call.within is not None and not any(least <= level <= most for least, most in call.within):
        raise LevelNotOffered(
            f'{what}: at this level the network "{model.name}" was not ahead of a tuned classical method on held-out images'
        )
