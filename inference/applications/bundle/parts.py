"""Parts of application.json: what a series has to be, statements, numbers and measures, each of what JSON holds."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from inference.applications.bundle.answering import AnswerChannel, NumberChannel
from inference.applications.bundle.expecting import tupled
from inference.applications.bundle.nnunet.cascade import Coarser
from inference.applications.bundle.nouns import made_of, named
from inference.applications.port import Accepts, ModelRef, Takes
from inference.codes import Code
from inference.imaging.measures.measure import Measure
from inference.imaging.measures.measuring import MEASURES


def accepts_from(said: Any) -> Accepts:
    """What a series has to be, of what JSON holds; KeyError, TypeError or ValueError where it is none."""
    given = {name: tupled(value) for name, value in dict(said).items()}
    if given.get("takes") == Takes.PHASES:
        raise ValueError("an application without code takes no phases")
    return Accepts(**{**given, **({"takes": Takes(given["takes"])} if "takes" in given else {})})


def before_said(before: Coarser) -> dict[str, Any]:
    """The network before another one, as JSON holds it."""
    steps = {"prepare": [named(step) for step in before.prepare], "inferer": named(before.inferer)}
    return {"model": asdict(before.model), **steps, "order": before.order, "order_apart": before.order_apart, "apart": before.apart}


def before_from(said: Any, steps: Mapping[str, Callable[..., Any]], inferers: Mapping[str, Callable[..., Any]]) -> Coarser | None:
    """The network before another one, of what JSON holds and of steps and inferers by name; KeyError or TypeError where it is none."""
    if said is None:
        return None
    given = dict(said)
    prepare = tuple(made_of(steps, each) for each in given.pop("prepare"))
    return Coarser(model=ModelRef(**given.pop("model")), prepare=prepare, inferer=made_of(inferers, given.pop("inferer")), **given)


def answer_from(said: Any) -> AnswerChannel:
    """A statement of what JSON holds; KeyError or TypeError where it is none."""
    given = dict(said)
    site = given.pop("site", None)
    return AnswerChannel(finding=Code(**given.pop("finding")), site=None if site is None else Code(**site), **given)


def number_from(said: Any) -> NumberChannel:
    """A number that is estimated of what JSON holds; KeyError or TypeError where it is none."""
    given = dict(said)
    return NumberChannel(name=Code(**given.pop("name")), unit=Code(**given.pop("unit")), **given)


def measure_from(said: Any) -> Measure:
    """A measure of what JSON holds; KeyError, TypeError or ValueError where it is none."""
    made: Measure = made_of(MEASURES, said)
    return made
