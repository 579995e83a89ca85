"""Routes that the page on changing routes shows with their cases: tried by `hilum routes test` as they stand there, and no wider than the
page promises."""

import re
from pathlib import Path

import pytest

from tests.unit.cli.conftest import CONFIG, Run, place, run

from .test_links import ROOT

__all__ = ["place", "run"]
_PAGE = (ROOT / "docs/howto/change-routes.md").read_text("utf-8")
_YAML = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^## (.+)\n", re.MULTILINE)


def _examples() -> dict[str, tuple[str, str, str]]:
    """Of each section that has both: its routes, its cases, and its definitions."""
    _, *parts = _HEADING.split(_PAGE)
    found = {}
    for title, text in zip(parts[::2], parts[1::2], strict=True):
        blocks = _YAML.findall(text)
        routes, cases = ([one for one in blocks if word in one] for word in ("run:", "headers:"))
        if routes and cases:
            found[title] = ("".join(routes), "".join(cases), "".join(one for one in blocks if one.startswith("define:")))
    return found


def test_there_are_such_examples() -> None:
    """Or the test below has nothing to try."""
    assert _examples().keys() >= {
        "Say several conditions together",
        "Call conditions by a name",
        "Give the series of a study their roles",
        "Lay an earlier MR on a CT",
    }
    assert _examples()["Call conditions by a name"][2]


@pytest.mark.parametrize("title", _examples())
def test_the_cases_of_an_example_hold(place: Path, run: Run, title: str) -> None:
    """Each as the page has it, under peers and sinks of a hospital; a line is short enough to be read."""
    routes, cases, definitions = _examples()[title]
    set_in = "".join(f"  {line}" for line in routes.splitlines(keepends=True))
    clock = "schedule: {timezone: Europe/Berlin}\n" if "hours:" in routes else ""
    models = "models: {applications: [" + str(ROOT / "tests/node/applications") + "]}\n" if "change-since" in routes else ""
    (place / "hilum.yaml").write_text(
        CONFIG.partition("routes:\n")[0] + models + clock + definitions + "routes:\n" + set_in, encoding="utf-8"
    )
    (place / "routes.test.yaml").write_text(cases, encoding="utf-8")
    said = run("routes", "test", "--json")
    assert (said.code, said.err) == (0, ""), said
    assert len(said.json) == cases.count("- name:")
    assert max(map(len, (definitions + routes).splitlines())) <= 100
