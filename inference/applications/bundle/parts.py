"""Parts of application.json: what a series has to be, statements, numbers and measures, each of what JSON holds."""

from typing import Any

from inference.applications.bundle.answering import AnswerChannel, NumberChannel
from inference.applications.bundle.expecting import tupled
from inference.applications.bundle.nouns import made_of
from inference.applications.port import Accepts, Takes
from inference.codes import Code
from inference.imaging.measures.measure import Measure
from inference.imaging.measures.measuring import MEASURES


def accepts_from(said: Any) -> Accepts:
    """What a series has to be, of what JSON holds; KeyError, TypeError or ValueError where it is none."""
    given = {name: tupled(value) for name, value in dict(said).items()}
    if given.get("takes") == Takes.PHASES:
        raise ValueError("an application without code takes no phases")
    return Accepts(**{**given, **({"takes": Takes(given["takes"])} if "takes" in given else {})})


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
