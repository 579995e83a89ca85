"""The route that `hilum demo` writes for an application of several series, and what `hilum config check` says of roles that are none."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from inference.applications.catalog import load as load_application
from node.assembly.configuration import load
from node.cli.demo import DemoFailed, in_roles
from node.domain.instance import Header
from node.routing.decisions import SeriesView, seen
from node.routing.roles import roles_filled
from tests.unit.cli.conftest import CONFIG, Run, place, run
from tests.unit.flow.mini import START

__all__ = ["place", "run"]
_FOLDER = Path(__file__).parents[2] / "node" / "applications"
_MODELS = f"models: {{applications: [{_FOLDER}]}}\n"
_ROUTE = """\
  - name: together
    run: [four-contrasts]
{roles}    send: [archive]
"""


def views(**described: int) -> list[SeriesView]:
    """Series by their descriptions, each with its number."""
    found: list[SeriesView] = []
    for name, number in described.items():
        header: Header = {"Modality": ("MR",), "SeriesDescription": (name.replace("_", " "),), "SeriesNumber": (number,)}
        found.append(seen(f"1.{number}", [("1.2.840.10008.5.1.4.1.1.4", header)]))
    return found


def written(place: Path, roles: str) -> None:
    text = CONFIG.partition("routes:\n")[0] + _MODELS + "routes:\n" + _ROUTE.format(roles=roles)
    (place / "hilum.yaml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "filled"),
    [
        ((), {"T1": "1.3", "T1c": "1.4", "T2": "1.5", "FLAIR": "1.6"}),
        (("T2=9",), {"T1": "1.3", "T1c": "1.4", "T2": "1.9", "FLAIR": "1.6"}),
    ],
)
def test_the_demo_finds_series_by_what_they_are_called_or_by_their_numbers(
    place: Path, given: tuple[str, ...], filled: Mapping[str, str]
) -> None:
    application = load_application("four-contrasts", (_FOLDER,))
    written(place, in_roles(application, given))
    (route,) = load(place / "hilum.yaml").routes
    study = views(Ax_T1=3, Ax_T1c=4, ax_t2=5, Sag_FLAIR=6, scout=9)
    assert roles_filled(route, application, study, START).series == filled


def test_a_role_that_is_none_is_refused() -> None:
    application = load_application("four-contrasts", (_FOLDER,))
    with pytest.raises(DemoFailed, match=r"--role T3=4: write ROLE=SERIES NUMBER; of four-contrasts its roles are T1, T1c, T2, FLAIR"):
        in_roles(application, ["T3=4"])


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        (
            "    roles: {T1: {SeriesNumber: 1}, T1c: {SeriesNumber: 2}, T2: {SeriesNumber: 3}, FLAIRE: {SeriesNumber: 4}}\n",
            'hilum.yaml:{line}:83: route "together": roles: FLAIRE: four-contrasts has no such role; did you mean "FLAIR"?',
        ),
        (
            "    roles: {T1: {SeriesNumber: 1}, T2: {SeriesNumber: 3}}\n",
            'hilum.yaml:{line}:13: route "together": roles: T1: four-contrasts needs T1c too, which the route does not say',
        ),
        ("", 'route "together": four-contrasts takes series in roles; say in `roles` which fills T1, T1c, T2'),
    ],
)
def test_config_check_says_which_roles_there_are(place: Path, run: Run, roles: str, said: str) -> None:
    """With line, column, and what was meant."""
    written(place, roles)
    checked = run("config", "check", "--json")
    line = (place / "hilum.yaml").read_text().splitlines().index("  - name: together") + 3
    assert checked.code == 1
    (problem,) = checked.json["problems"]
    assert problem["code"] == "HLM-2014"
    assert problem["message"].endswith(said.replace("{line}", str(line)))
