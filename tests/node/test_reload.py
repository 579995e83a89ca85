"""Routes are edited while a node runs and studies come in: taken up whole or refused, and every study judged once, by one set of them."""

import json
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from node.assembly.configuration import load
from node.dicom.uid import derive_uid
from tests.lab.node import Node, configuration, hilum
from tests.lab.program import wait_until
from tests.results.images import radiograph

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_APPLICATIONS = Path(__file__).parent / "applications"
_PATIENCE_S = 120
_STUDIES = 2
"""In each of the three waves."""


def settings(folder: Path, *names: str) -> dict[str, object]:
    """Routes of these names; the first asks for what is there, the others for what is not."""
    routes = [
        {"name": name, "when": {"Modality": "DX" if number == 0 else "XA"}, "run": ["all-views"], "send": ["results"]}
        for number, name in enumerate(names)
    ]
    made = configuration(
        folder,
        port=0,
        repository=folder / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": "2s"}}},
        sinks={"results": {"kind": "folder", "path": str(folder / "results")}},
        routes=routes,
    )
    return {**made, "models": {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}}


def edit(node: Node, content: Mapping[str, object]) -> str:
    """Write the file as an editor does; the digest of what it says."""
    node.config.write_text(json.dumps(content, indent=1))
    return load(node.config).digest


def send(node: Node, folder: Path, wave: str) -> list[str]:
    """A wave of studies; their UIDs."""
    studies = [derive_uid("study of", wave, str(number)) for number in range(_STUDIES)]
    for study in studies:
        uids = {"SOPInstanceUID": derive_uid("image", study), "SeriesInstanceUID": derive_uid("series", study)}
        radiograph(folder / wave / study, 1, 1, StudyInstanceUID=study, **uids)
    said = hilum("send", folder / wave, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER", "--json")
    assert said.code == 0, said.out + said.err
    return studies


def told(node: Node, name: str, **facts: Any) -> list[dict[str, Any]]:
    """Events of this name with these facts."""
    return [one for one in node.events() if one["event"] == name and facts.items() <= one.items()]


def wait_until_adopted(node: Node, digest: str) -> None:
    """Until those who judge go by these routes: the flow process's stages, and its index."""
    wait_until(
        lambda: len(told(node, "config.adopted", config_digest=digest, process="flow")) >= 2,
        _PATIENCE_S,
        "the flow process has adopted the routes",
    )


def passports(node: Node, studies: list[str]) -> Iterator[dict[str, Any]]:
    for study in studies:
        said = node.hilum("studies", "show", study, "--json")
        assert said.code == 0, said.out + said.err
        yield said.json


def test_routes_change_while_studies_settle_and_each_is_judged_once_by_one_set_of_them(tmp_path: Path) -> None:
    """Three waves of studies: before an edit, in the middle of it, behind it. Every study is routed in one revision, its decisions name
    all routes of one set and none of the other, the digest is that set's, and one job with one set of results comes of it. Then what
    needs a restart, and what is no configuration, is refused, and the routes stay; also for a process that dies and is started again."""
    with Node(settings(tmp_path, "first", "gone"), tmp_path) as node:
        before = load(node.config).digest
        early = send(node, tmp_path, "early")
        node.wait_for_jobs(lambda jobs: [job["state"] for job in jobs] == ["done"] * _STUDIES, _PATIENCE_S, "the first wave is done")

        amid = send(node, tmp_path, "amid")
        behind = edit(node, settings(tmp_path, "second", "new", "newer"))
        (answer,) = node.hilum("config", "reload", "--json").json
        assert (answer["accepted"], answer["before"], answer["digest"], answer["routes"]) == (True, before, behind, 3)
        assert answer["pid"] == node.pid
        wait_until_adopted(node, behind)
        late = send(node, tmp_path, "late")
        done = ["done"] * (3 * _STUDIES)
        node.wait_for_jobs(lambda jobs: [job["state"] for job in jobs] == done, _PATIENCE_S, "all waves are done")

        sets = {before: ["first", "gone"], behind: ["second", "new", "newer"]}
        digests = []
        for passport in passports(node, early + amid + late):
            (arrival,) = passport["arrivals"]
            digests.append(arrival["config_digest"])
            assert [one["route"] for one in arrival["decisions"]] == sets[digests[-1]]
            (job,) = passport["jobs"]
            assert job["routes"] == sets[digests[-1]][:1]
        assert digests[:_STUDIES] == [before] * _STUDIES
        assert digests[-_STUDIES:] == [behind] * _STUDIES
        reports = [one for path in (tmp_path / "results").rglob("*.dcm") if (one := dcmread(path)).Modality == "SR"]
        assert sorted(str(one.StudyInstanceUID) for one in reports) == sorted(early + amid + late)
        assert before[:12] in node.hilum("studies", "show", early[0]).out
        explained = node.hilum("routes", "explain", early[0], "--json").json
        assert (explained["recorded_digests"], explained["config_digest"]) == ([before], behind)

        kept = settings(tmp_path, "third")
        edit(node, {**kept, "store": {**dict(kept["store"]), "keep": "3d"}})  # type: ignore[call-overload]
        refused = node.hilum("config", "reload")
        assert (refused.code, "`store.keep` changed" in refused.out, "HLM-2100" in refused.out) == (1, True, True)
        node.config.write_text("routes: [{name: fourth}]")
        os.kill(node.pid, signal.SIGHUP)
        wait_until(lambda: told(node, "config.refused", code="HLM-2020"), _PATIENCE_S, "what is no configuration is refused")
        assert told(node, "config.refused", code="HLM-2100", config_digest=behind)

        (flow,) = [one["pid"] for one in told(node, "process.started", stage="flow")]
        os.kill(flow, signal.SIGKILL)
        wait_until(lambda: len(told(node, "process.started", stage="flow")) == 2, _PATIENCE_S, "the flow process is started again")
        edit(node, settings(tmp_path, "second", "new", "newer"))  # what the commands below read
        (last,) = send(node, tmp_path, "last")[:1]
        done = ["done"] * (4 * _STUDIES)
        node.wait_for_jobs(lambda jobs: [job["state"] for job in jobs] == done, _PATIENCE_S, "the last wave is done")
        (passport,) = passports(node, [last])
        assert [one["config_digest"] for one in passport["arrivals"]] == [behind]

        again = edit(node, settings(tmp_path, "fifth"))
        os.kill(node.pid, signal.SIGHUP)
        wait_until_adopted(node, again)
    gone = node.hilum("config", "reload")
    assert (gone.code, "HLM-2066" in gone.err) == (1, True)
    assert not list(tmp_path.glob("*.run/supervisor.*"))
