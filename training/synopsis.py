"""Synopsis of a recipe: what `hilum train --list` says of it before anything is trained.

Task, application and what it sends are read from the recipe; `FullRun` holds what a recipe can only say of itself: which data it wants, how
long its full run took, and what that reached on cases that were held out.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from inference.applications.port import (
    Application,
    DeformationOutput,
    DerivedOutput,
    EvaluationOutput,
    ExplanationOutput,
    LocationOutput,
    MeasurementOutput,
    Output,
    RegistrationOutput,
    SaliencyOutput,
    SegmentOutput,
    UncertaintyOutput,
)

OBJECTS: dict[type[Output], tuple[str, ...]] = {
    SegmentOutput: ("Segmentation", "Measurement report"),
    LocationOutput: ("Detection report",),
    EvaluationOutput: ("Measurement report",),
    MeasurementOutput: ("Measurement report",),
    SaliencyOutput: ("Parametric map",),
    RegistrationOutput: ("Spatial registration",),
    DeformationOutput: ("Deformable registration",),
    DerivedOutput: ("Derived image",),
    ExplanationOutput: ("Explanation of an answer, drawn",),
    UncertaintyOutput: ("Map of uncertainty",),
}
"""The result objects in which an output is sent, by the titles of docs/reference/objects.md; the last two where a sink asks for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FullRun:
    """What a recipe says of its own full run.

    Attributes
    ----------
    wants
        The data that it reads, and how they are laid out.
    time
        How long the full run took, and on what.
    figure
        The watched figure on held-out cases with its 95 % interval, as the recipe's page has it.
    """

    wants: str
    time: str
    figure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Synopsis:
    """One recipe in the list of recipes.

    Attributes
    ----------
    application, grade
        What it becomes, and what that is good for; "" where the run names it.
    weights
        Whether hilum brings weights of it.
    objects
        What a sink is sent, by the titles of docs/reference/objects.md.
    """

    recipe: str
    task: str
    title: str
    application: str
    grade: str
    weights: bool
    run: FullRun
    objects: tuple[str, ...]


def synopsis(recipe: str, task: str, title: str, application: Application, run: FullRun) -> Synopsis:
    """Of a recipe whose application is known before any data are."""
    return Synopsis(
        recipe=recipe,
        task=task,
        title=title,
        application=application.name,
        grade=application.grade,
        weights=bool(application.sources),
        run=run,
        objects=objects(type(output) for output in application.outputs),
    )


def objects(outputs: Iterable[type[Output]]) -> tuple[str, ...]:
    """The objects in which outputs of these kinds are sent, each once, in the order of `OBJECTS`."""
    there = frozenset(outputs)
    return tuple(dict.fromkeys(title for output, titles in OBJECTS.items() if output in there for title in titles))


def lines(one: Synopsis) -> str:
    """A recipe in a few lines, for people."""
    becomes = f"application {one.application}, grade {one.grade}" if one.application else f"an application of your own, grade {one.grade}"
    if not one.objects:
        becomes = "figures and a card; nothing is served"
    weights = "hilum brings some" if one.weights else "none come with hilum"
    told = {"for": one.title, "data": one.run.wants, "time": one.run.time, "figure": one.run.figure}
    told |= {"becomes": becomes, "sends": "; ".join(one.objects) or "nothing", "weights": weights}
    return f"{one.recipe}: {one.task}\n" + "".join(f"  {name:<9}{value}\n" for name, value in told.items())
