"""Two applications with one number in Series Numbers keep a node from starting, and `hilum config check` from saying that all is well."""

import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from inference.applications import asking
from inference.engines.errors import UnreadableModel
from node.assembly.compose import application, demand_own_series_numbers, served
from node.assembly.configuration import load
from node.assembly.console import edited_routes, trials_of
from node.assembly.reload import checked
from node.cli.config import check
from node.console.editing import EditRefused
from node.settings.source import SeriesNumbersClash

_MANIFEST = """
from dataclasses import replace
from inference.applications.catalog import load

APPLICATION = replace(load("mr-brain"), name="{name}", series={series})
"""
_CONFIG = """
node: {ae_title: HILUM, listen: "127.0.0.1:11112"}
models: {applications: [applications]}
peers: {ct: {ae_title: CT, address: "127.0.0.1:104", may: [store]}}
sinks: {out: {kind: folder, path: results}}
routes:
  - {name: all, from: [ct], run: [mr-brain, theirs, without], send: [out]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration that runs a built-in application, another one, and one without a number."""
    (tmp_path / "hilum.yaml").write_text(_CONFIG)
    for name, series in (("theirs", 40), ("without", 0)):
        (tmp_path / "applications" / name).mkdir(parents=True)
        (tmp_path / "applications" / name / "__init__.py").write_text(_MANIFEST.format(name=name, series=series))
    return tmp_path


def test_each_application_runs_with_its_number(folder: Path) -> None:
    """That of its manifest, or the highest that is left."""
    config = load(folder / "hilum.yaml")
    demand_own_series_numbers(config)
    assert [application(config, name).series for name in ("mr-brain", "theirs", "without")] == [1, 40, 99]


def test_applications_are_numbered_by_the_routes_of_a_configuration(folder: Path) -> None:
    """An application that a reload brought shifts those behind it: else two would have one number."""
    config = load(folder / "hilum.yaml")
    (folder / "applications" / "later").mkdir()
    (folder / "applications" / "later" / "__init__.py").write_text(_MANIFEST.format(name="later", series=0))
    (folder / "hilum.yaml").write_text(_CONFIG.replace("theirs, without", "later, without"))
    assert application(config, "without").series == 99
    fresh = checked(config, demand_own_series_numbers)
    assert [application(fresh, name).series for name in ("later", "without")] == [99, 98]
    assert served(config, "without").series == 0


def test_a_model_that_cannot_be_read_takes_no_numbers_away(folder: Path) -> None:
    """Its jobs say what is wrong with it; the node starts, and the others have their numbers."""
    model = folder / "models" / "damaged"
    (model / "1").mkdir(parents=True)
    (model / "1" / "application.json").write_text("{}")
    (model / "config.pbtxt").write_text('name: "damaged"')
    (model / "hilum.json").write_text("{")
    (folder / "hilum.yaml").write_text(_CONFIG.replace("mr-brain, ", "mr-brain, damaged, "))
    config = load(folder / "hilum.yaml")
    demand_own_series_numbers(config)
    assert [application(config, name).series for name in ("mr-brain", "theirs", "without")] == [1, 40, 98]
    with pytest.raises(UnreadableModel):
        application(config, "damaged")


def test_routes_with_a_clash_are_neither_reloaded_nor_saved(folder: Path) -> None:
    """The next start would refuse them, on some day when nobody thinks of it."""
    before = load(folder / "hilum.yaml")
    (folder / "applications" / "second").mkdir()
    (folder / "applications" / "second" / "__init__.py").write_text(_MANIFEST.format(name="second", series=40))
    clashing = _CONFIG.replace("theirs, without", "theirs, second")
    with pytest.raises(EditRefused) as refused, closing(trials_of(before)) as trials:
        edited_routes(before, None, trials).saved(clashing[clashing.index("routes:") :], sha256(_CONFIG.encode()).hexdigest(), "ada")
    assert [one.code for one in refused.value.problems] == ["HLM-2012"]
    assert before.path.read_text() == _CONFIG
    before.path.write_text(clashing)
    with pytest.raises(SeriesNumbersClash, match="second and theirs both have the number 40"):
        checked(before, demand_own_series_numbers)


def test_a_clash_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything starts: with both names, and in what `config check --json` says."""
    (folder / "applications" / "theirs" / "__init__.py").write_text(_MANIFEST.format(name="theirs", series=1))
    with pytest.raises(SeriesNumbersClash, match="mr-brain and theirs both have the number 1"):
        demand_own_series_numbers(load(folder / "hilum.yaml"))
    assert check(folder / "hilum.yaml", as_json=True) == 1
    assert "HLM-2012" in capsys.readouterr().out


@pytest.mark.parametrize("body", ["import time\ntime.sleep(60)", "import os\nos._exit(0)", "raise SystemExit", "print('1')\nimport gone"])
def test_an_application_that_cannot_be_asked_keeps_no_node_from_starting(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Its code runs in a process of its own, for a bounded time."""
    monkeypatch.setattr(asking, "LONGEST_S", 3.0)
    (folder / "applications" / "theirs" / "__init__.py").write_text(body)
    demand_own_series_numbers(load(folder / "hilum.yaml"))


@pytest.mark.parametrize(("run", "asked"), [("[theirs, without]", True), ("[theirs]", False)])
def test_one_application_alone_is_not_asked_for_its_number(folder: Path, run: str, asked: bool) -> None:
    """There is no other to be told apart from: a node of one model starts without a second interpreter that imports it."""
    there = folder / "applications" / "theirs" / "__init__.py"
    there.write_text(there.read_text() + f"\nopen({str(folder / 'asked')!r}, 'w').close()\n")
    (folder / "hilum.yaml").write_text(_CONFIG.replace("[mr-brain, theirs, without]", run))
    demand_own_series_numbers(load(folder / "hilum.yaml"))
    assert (folder / "asked").exists() == asked


def test_hilums_own_applications_are_asked_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever edits a route waits for no interpreter; one of the same name that is somebody else's is asked, and is not taken for it."""
    config = _CONFIG.replace("[mr-brain, theirs, without]", "[mr-brain, ct-lung]")
    (folder / "hilum.yaml").write_text(config)
    demand_own_series_numbers(load(folder / "hilum.yaml"))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert asking.stated_numbers((), ["mr-brain", "ct-lung"]) == {"mr-brain": 1, "ct-lung": 3}
    (folder / "applications" / "theirs").rename(folder / "applications" / "mr_brain")
    assert asking.stated_numbers([folder / "applications"], ["mr-brain"]) == {"mr-brain": 0}
