"""Peers, sinks and notices change while a node runs: the next association, delivery and message go by them, and what had begun ends as it
began."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association

from node.dicom.uid import derive_uid
from tests.lab.messages import webhook_server
from tests.lab.node import QUIET, Node, hilum
from tests.lab.program import wait_until
from tests.node.test_reload import settings, told
from tests.results.images import radiograph

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_DX = "1.2.840.10008.5.1.4.1.1.1.1"
_PATIENCE_S = 120
_OTHER = {"ae_title": "OTHER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[tuple[Node, dict[str, Any]]]:
    """A node with one sender and one sink, and what its file says."""
    says: dict[str, Any] = settings(tmp_path, "all")
    says["node"]["idle_timeout"] = "10m"  # an association stands while commands run
    with Node(says, tmp_path) as node:
        yield node, says


def taken(node: Node, says: dict[str, Any], *changed: str) -> None:
    """Write the file, and have the node take it up: these blocks differ."""
    node.config.write_text(json.dumps(says))
    (answer,) = node.hilum("config", "reload", "--json").json
    assert (answer["accepted"], answer["changed"]) == (True, list(changed)), answer


def image(folder: Path, name: str) -> Path:
    """A radiograph of its own study."""
    uids = {key: derive_uid(key, name) for key in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    radiograph(folder / name, 1, 1, **uids)
    return folder / name


def sent(node: Node, path: Path, calling: str) -> bool:
    """Whether the node took it from this AE title."""
    return hilum("send", path, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", calling, "--json").code == 0


def associated(node: Node, calling: str) -> Association:
    entity = ApplicationEntity(calling)
    entity.network_timeout = 600
    entity.add_requested_context(_DX)
    return entity.associate("127.0.0.1", node.port, ae_title="HILUM")


def reports(folder: Path) -> list[str]:
    """Of which studies reports lie there."""
    return sorted(str(one.StudyInstanceUID) for path in folder.rglob("*.dcm") if (one := dcmread(path)).Modality == "SR")


def test_an_association_ends_as_it_was_admitted_and_the_next_is_admitted_by_the_new_peers(
    begun: tuple[Node, dict[str, Any]], tmp_path: Path
) -> None:
    """A sender that was unknown is let in without a restart. One that was struck out goes on with the association that stands, which stores
    an instance behind the edit, and gets no other."""
    node, says = begun
    assert not sent(node, image(tmp_path, "early"), "OTHER")
    stands = associated(node, "SCANNER")
    assert stands.is_established
    taken(node, {**says, "peers": {"other": _OTHER}}, "peers")
    wait_until(lambda: told(node, "config.adopted", process="receive"), _PATIENCE_S, "the receive process goes by the new peers")
    assert sent(node, image(tmp_path, "late"), "OTHER")
    assert not sent(node, image(tmp_path, "late"), "SCANNER")
    (file,) = image(tmp_path, "amid").rglob("*.dcm")
    assert stands.send_c_store(dcmread(file)).Status == 0x0000
    stands.release()
    node.wait_for_jobs(lambda jobs: [one["state"] for one in jobs] == ["done"] * 2, _PATIENCE_S, "both studies are done")
    assert len(reports(tmp_path / "results")) == 2


def test_results_go_to_the_sinks_of_now_and_those_of_a_sink_that_is_gone_are_parked(
    begun: tuple[Node, dict[str, Any]], tmp_path: Path
) -> None:
    """A sink that was edited in gets the next study, and nobody answers there: what waits goes when its address is mended. What waits for
    one that was struck out is parked with a sentence, which a webhook that was edited in too tells; it goes when the sink is back. Nothing
    is lost, and nothing comes twice."""
    node, says = begun
    (route,) = says["routes"]
    results, mended = says["sinks"]["results"], {"kind": "folder", "path": str(tmp_path / "new")}
    nobody = {"ae_title": "NOBODY", "address": "127.0.0.1:9", "may": []}
    away = {"kind": "dimse", "peer": "nobody", "retry": {"first": "1s", "most": "2s"}}
    peers = {**says["peers"], "nobody": nobody}
    both = {**says, "peers": peers, "routes": [{**route, "send": ["results", "new"]}]}
    with webhook_server() as posts:
        notify = {"webhook": {"url": f"http://127.0.0.1:{posts.port}/in"}, "every": "1s"}
        taken(node, {**both, "sinks": {"results": results, "new": away}, "notify": notify}, "peers", "sinks", "routes", "notify")
        first, second = (derive_uid("StudyInstanceUID", name) for name in ("first", "second"))
        assert sent(node, image(tmp_path, "first"), "SCANNER")
        wait_until(lambda: told(node, "delivery.retry", sink="new"), _PATIENCE_S, "nobody takes the results at the new sink")
        taken(node, {**both, "sinks": {"results": results, "new": mended}, "notify": notify}, "sinks")
        wait_until(lambda: reports(tmp_path / "new") == [first], _PATIENCE_S, "what waited goes to the mended address")

        before = len(told(node, "delivery.retry", sink="new"))
        taken(node, {**both, "sinks": {"results": results, "new": away}, "notify": notify}, "sinks")
        assert sent(node, image(tmp_path, "second"), "SCANNER")
        wait_until(lambda: len(told(node, "delivery.retry", sink="new")) > before, _PATIENCE_S, "the second study waits for the sink")
        taken(node, {**says, "notify": notify}, "peers", "sinks", "routes")
        wait_until(lambda: told(node, "delivery.parked", sink="new", code="HLM-6180"), _PATIENCE_S, "what waited for it is parked")
        wait_until(lambda: any("HLM-6180" in str(one) for one in posts.content), _PATIENCE_S, "a person is told")
    taken(node, {**both, "sinks": {"results": results, "new": mended}}, "peers", "sinks", "routes", "notify")
    (job,) = [one["id"] for one in node.jobs() if one["study_uid"] == second]
    assert node.hilum("jobs", "resend", str(job), "--to", "new").code == 0
    wait_until(lambda: reports(tmp_path / "new") == sorted([first, second]), _PATIENCE_S, "the sink that is back has what it lacked")
    assert reports(tmp_path / "results") == sorted([first, second])
