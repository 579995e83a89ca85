"""What `hilum train --list` says of every recipe: figures of the pages, objects that the node makes; and the page of tasks."""

import json
import re
from pathlib import Path

import pytest

from inference.applications import catalog
from node.results.kinds import KINDS
from training import cli, recipes
from training.errors import UnknownRecipe
from training.synopsis import OBJECTS

ROOT = Path(__file__).parents[2]
_NUMBER = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.]*\w)")


def pages() -> str:
    return "".join(path.read_text("utf-8") for path in sorted((ROOT / "docs" / "howto").glob("*.md")))


def test_every_recipe_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """For people and as JSON: task, data, time, figure, and what a sink is sent."""
    assert cli.train(listed=True, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["recipe"] for each in told] == list(recipes.names())
    assert cli.train(listed=True) == 0
    said = capsys.readouterr().out
    for each in told:
        lines = (f"{each['recipe']}: {each['task']}", each["title"], each["run"]["wants"], each["run"]["time"], each["run"]["figure"])
        assert all(line and line in said for line in lines), each
        assert "; ".join(each["objects"]) in said
    assert {each["recipe"]: each["weights"] for each in told if each["weights"]} == {"hippocampus": True, "lidc-rating": True}
    assert {each["recipe"]: each["grade"] for each in told if each["grade"] == "demonstration"} == {
        "breast-ultrasound": "demonstration",
        "cardiac-phase": "demonstration",
        "chest-xray": "demonstration",
    }
    assert {each["grade"] for each in told} == {"research", "demonstration"}


def test_its_figures_are_those_of_the_pages() -> None:
    """Every number with a decimal point that the list quotes is one that a page has, rounded: the list does not go its own way."""
    known = [float(number) for number in _NUMBER.findall(pages())]
    quoted = {one.recipe: _NUMBER.findall(one.run.figure) for one in recipes.synopses()}
    assert sum(map(len, quoted.values())) >= 14
    for recipe, numbers in quoted.items():
        for number in numbers:
            digits = len(number.partition(".")[2])
            assert any(f"{each:.{digits}f}" == number for each in known), (recipe, number)


def test_objects_are_those_that_the_node_makes_of_such_outputs() -> None:
    """The titles are those of the node's own records, and each output has the object that needs it; nothing of the list is invented."""
    titles = {kind.title for kind in KINDS}
    assert {title for of_output in OBJECTS.values() for title in of_output} <= titles
    first: dict[str | None, str] = {}
    for kind in KINDS:
        first.setdefault(kind.needs, kind.title)
    assert {output.__name__: titles[0] for output, titles in OBJECTS.items() if output.__name__ in first} == {
        needs: title for needs, title in first.items() if needs
    }


def test_without_a_known_name_it_says_which_there_are() -> None:
    """A near name, a far one, none: all are told what there is."""
    for name in ("hipocampus", "zzz", None):
        with pytest.raises(UnknownRecipe) as unknown:
            cli.train(name) if name is None else recipes.load(name)
        assert all(known in str(unknown.value) for known in recipes.names()), name
        assert ('did you mean "hippocampus"?' in str(unknown.value)) == (name == "hipocampus")


def test_the_page_of_tasks_names_every_recipe_and_every_application() -> None:
    """docs/reference/tasks.md: what is built stands in its first table with the objects of the list; what is not has its door and why."""
    page = (ROOT / "docs" / "reference" / "tasks.md").read_text("utf-8")
    built, _, rest = page.partition("## Not built")
    rows = [line for line in built.splitlines() if line.startswith("| ")]
    for one in recipes.synopses():
        own = "".join(line for line in rows if f"| `{one.recipe}` |" in line)
        assert all(title.partition(",")[0] in own for title in one.objects), one.recipe
        assert one.application in own, one.recipe
    assert all(f"`{name}`" in built for name in catalog.names())
    left, _, refused = rest.partition("## Refused")
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in left.splitlines() if line.startswith("| ")][1:]
    assert all(len(each) == 3 and all(each) for each in cells)
    for task in ("mammography", "fracture", "retinopathy", "bone", "valves", "consolidation"):
        assert any(task in each[0] for each in cells), task
    for what in ("Enhancement", "Synthesis as training images", "Reinforcement learning"):
        assert f"**{what}" in refused, what
