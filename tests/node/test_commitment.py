"""Storage commitment through `hilum serve`, with pynetdicom peers: results that an archive commits to, and studies that a modality asks
this node to commit to; both killed in between."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.lab.committing import Asked, CommittingPeer, action_information, event_information
from tests.lab.loopback import free_port
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import suspend, wait_until
from tests.node.test_whole_way import _block, _process

pytestmark = [pytest.mark.slow]

_APPLICATIONS = Path(__file__).parents[2] / "bench" / "applications"
_PATIENCE_S = 120


def settings_for(folder: Path, port: int, peers: dict[str, Any], sinks: dict[str, Any]) -> dict[str, object]:
    settings = configuration(
        folder,
        port=port,
        repository=folder / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}} | peers,
        sinks=sinks,
        routes=[{"name": "all CT", "when": {"Modality": "CT"}, "run": ["bench-threshold"], "send": list(sinks)}] if sinks else [],
    )
    settings["models"] = {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}
    return settings


def _sink(peer: str, **more: Any) -> dict[str, Any]:
    return {"kind": "dimse", "peer": peer, "retry": {"first": "1s", "most": "2s", "give_up": "1h"}, "commitment": "required"} | more


def _peer(one: CommittingPeer, **more: Any) -> dict[str, Any]:
    return _peer_of(one.aet, one.port, **more)


def _peer_of(ae_title: str, port: int, **more: Any) -> dict[str, Any]:
    return {"ae_title": ae_title, "address": f"127.0.0.1:{port}", "may": ["store", "echo"], "settle": {"quiet": QUIET}} | more


def _send(node: Node, files: list[Path]) -> None:
    said = hilum("send", files[0].parent, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER", "--json")
    assert said.code == 0, said.out + said.err


def _done(node: Node) -> None:
    wait_until(lambda: [job["state"] for job in node.jobs()] == ["done"], _PATIENCE_S, "the job is done", every_s=1)


def _delivery(node: Node, sink: str = "archive") -> Any:
    page = node.hilum("jobs", "show", "1", "--json").json
    return next(delivery for delivery in page["deliveries"] if delivery["sink"] == sink)


def _waits_for(node: Node, name: str, count: int = 1, **values: object) -> list[dict[str, Any]]:
    """Events of this name with these values, once there are so many."""

    def found() -> list[dict[str, Any]]:
        return [one for one in node.events() if one["event"] == name and all(one.get(key) == value for key, value in values.items())]

    wait_until(lambda: len(found()) >= count, _PATIENCE_S, f"{name} {values}")
    return found()


def _all(asked: Asked, failed: dict[str, int] | None = None) -> Dataset:
    return event_information(asked.transaction_uid, asked.references, failed or {})


def _report_later(archive: CommittingPeer, node: Node) -> Callable[[Asked], int]:
    """Take the request, and report success on an association of its own."""

    def taken(asked: Asked) -> int:
        threading.Thread(target=archive.report, args=(node.port, _all(asked)), daemon=True).start()
        return 0x0000

    return taken


def test_results_are_done_when_the_archive_has_committed_to_them(tmp_path: Path) -> None:
    """The report is waited for; nothing that is unknown, another peer's or malformed ends the wait; without a report the archive is asked
    again under a new transaction, and the late report on the first ends it; a second one changes nothing."""
    with CommittingPeer("ARCHIVE") as archive, CommittingPeer("OTHER") as other:
        peers = {"pacs": _peer(archive), "other": _peer(other)}
        sinks = {"archive": _sink("pacs", commitment_wait="1s")}
        settings = settings_for(tmp_path, 0, peers, sinks)
        settings["sinks"] = {**sinks, "elsewhere": _sink("other")}  # no route goes there: a peer that may report, of nothing
        with Node(settings, tmp_path) as node:
            _send(node, _block(tmp_path / "in"))
            archive.wait(lambda: len(archive.asked) >= 2, "asked again")
            first, second = archive.asked[:2]
            assert first.transaction_uid != second.transaction_uid
            assert sorted(first.uids) == sorted(archive.stored) == sorted(second.uids)
            assert len(first.uids) == 3
            # ---- answered, and changes nothing
            assert archive.report(node.port, event_information("2.25.404", first.references, {})) == 0x0000
            assert other.report(node.port, _all(first)) == 0x0000
            assert archive.report(node.port, _all(first), event_type=3) == 0x0113
            assert archive.report(node.port, event_information("", first.references, {})) == 0x0115
            assert archive.report(node.port, _all(first), calling="NOBODY") is None
            assert CommittingPeer("SCANNER").report(node.port, _all(first)) is None
            _waits_for(node, "commitment.reported", outcome="unknown")
            _waits_for(node, "commitment.reported", outcome="stranger")
            assert [job["state"] for job in node.jobs()] == ["encoded"]
            delivery = _delivery(node)
            assert delivery["state"] == "delivered"
            assert delivery["commitment"][0]["state"] == "accepted"
            assert "waits for" in node.hilum("jobs", "show", "1").out
            # ----
            assert archive.report(node.port, _all(first)) == 0x0000
            _done(node)
            assert archive.report(node.port, _all(first)) == 0x0000
            assert archive.report(node.port, _all(second, dict.fromkeys(second.uids, 0x0112))) == 0x0000
            _waits_for(node, "commitment.reported", outcome="duplicate")
            _waits_for(node, "commitment.reported", outcome="late")
            assert [job["state"] for job in node.jobs()] == ["done"]
            assert _delivery(node)["commitment"][0]["committed"] == 3
            assert len(archive.stored) == 3


def test_what_the_archive_lost_is_sent_again_whoever_is_killed(tmp_path: Path) -> None:
    """The first report comes at once, on the association of its request, and says that one object is lost: that one is sent again. The
    second comes while flow stands still, and is acknowledged; then the whole node is killed: after the restart it counts."""
    port = free_port()
    lost: list[str] = []

    def at_once(asked: Asked) -> Dataset | None:
        if lost:
            return None
        lost.append(asked.uids[-1])
        return _all(asked, {asked.uids[-1]: 0x0112})

    with CommittingPeer("ARCHIVE", report_at_once=at_once) as archive:
        node = Node(settings_for(tmp_path, port, {"pacs": _peer(archive)}, {"archive": _sink("pacs")}), tmp_path)
        with node:
            _send(node, _block(tmp_path / "in"))
            archive.wait(lambda: len(archive.asked) >= 2, "asked for what was sent again")
            assert archive.statuses == [0x0000]
            assert archive.asked[1].uids == (lost[0],)
            assert sorted(archive.stored) == sorted([*archive.asked[0].uids, lost[0]])
            _waits_for(node, "commitment.asked", 2)
            suspend(_process(node, "flow"))
            assert archive.report(node.port, _all(archive.asked[1])) == 0x0000
            node.kill()
            assert [job["state"] for job in node.jobs()] == ["encoded"]
            node.start()
            _done(node)
            assert len(archive.stored) == 4
            assert len(archive.asked) == 2


def test_a_kill_between_the_request_and_its_answer_loses_nothing(tmp_path: Path) -> None:
    """The archive has the request, the node dies before it hears so: its transaction is in the journal, and the report on it counts."""
    port = free_port()
    hold, came = threading.Event(), threading.Event()

    def held(asked: Asked) -> int:
        came.set()
        hold.wait(_PATIENCE_S)
        return 0x0000

    with CommittingPeer("ARCHIVE", on_ask=held) as archive:
        node = Node(settings_for(tmp_path, port, {"pacs": _peer(archive)}, {"archive": _sink("pacs")}), tmp_path)
        with node:
            _send(node, _block(tmp_path / "in"))
            assert came.wait(_PATIENCE_S)
            node.kill()
            hold.set()
            archive.wait(lambda: archive.asked, "the request")
            node.start()
            assert archive.report(node.port, _all(archive.asked[0])) == 0x0000
            _done(node)
            assert len(archive.asked) == 1


def test_an_archive_that_does_not_commit(tmp_path: Path) -> None:
    """Parked with what to do where commitment is required, over where it is wanted; `hilum doctor` says so beforehand."""
    with CommittingPeer("ARCHIVE", commits=False) as archive:
        sinks = {"archive": _sink("pacs"), "viewer": _sink("pacs", commitment="wanted")}
        with Node(settings_for(tmp_path, 0, {"pacs": _peer(archive)}, sinks), tmp_path) as node:
            found = {one["subject"]: one for one in node.doctor()["findings"] if "commitment" in one["detail"]}
            assert {name: one["level"] for name, one in found.items()} == {"sink archive": "bad", "sink viewer": "warning"}
            _send(node, _block(tmp_path / "in"))

            def ended() -> bool:
                shown = node.hilum("jobs", "show", "1", "--json")
                # a job is there before its deliveries are
                states = {one["sink"]: one["state"] for one in shown.json["deliveries"]} if shown.code == 0 else {}
                return [states.get(name) for name in sinks] == ["parked", "delivered"]

            wait_until(ended, _PATIENCE_S, "one delivery is parked, one over", every_s=1)
            parked = _delivery(node)
            assert parked["code"] == "HLM-6151"
            assert "Storage Commitment Push Model" in parked["remedy"]
            # the administrator allows it
            archive.stop()
            archive.commits = True
            archive.on_ask = _report_later(archive, node)
            archive.start()
            assert all(one["level"] == "good" for one in node.doctor()["findings"] if "commitment" in one["detail"])
            assert node.hilum("jobs", "resend", "1", "--to", "archive").code == 0
            _done(node)


def test_the_node_commits_to_what_it_was_sent(tmp_path: Path) -> None:
    """Asked on the association of the images, before anything is indexed: all of them, on an association of its own. What it never got,
    got as another class, or was asked for by somebody who may not, it does not commit to. What is asked while the modality does not
    listen, and the node is killed, is reported when both are back."""
    port = free_port()
    with CommittingPeer("CT1") as modality:
        peers = {"ct1": _peer(modality, may=["store", "echo", "commit"])}
        node = Node(settings_for(tmp_path, port, peers, {}), tmp_path)
        with node:
            files = _block(tmp_path / "in")
            references = [(str(one.SOPClassUID), str(one.SOPInstanceUID)) for one in map(dcmread, files)]
            assert modality.ask(node.port, action_information("2.25.1", references), files=files) == 0x0000
            modality.wait(lambda: modality.told, "the report")
            assert (modality.told[0].event_type, modality.told[0].transaction_uid) == (1, "2.25.1")
            assert sorted(modality.told[0].committed) == sorted(uid for _, uid in references)
            # ---- what is not so
            (held_class, held), (_, second) = references[:2]
            wrong = [(held_class, held), ("1.2.840.10008.5.1.4.1.1.4", second), (held_class, "2.25.404")]
            assert modality.ask(node.port, action_information("2.25.2", wrong)) == 0x0000
            modality.wait(lambda: len(modality.told) == 2, "the second report")
            assert modality.told[1].event_type == 2
            assert modality.told[1].committed == (held,)
            assert modality.told[1].failed == {second: 0x0119, "2.25.404": 0x0112}
            assert modality.ask(node.port, action_information("2.25.3", references), action_type=2) == 0x0123
            assert modality.ask(node.port, action_information("2.25.3", [])) == 0x0115
            assert modality.ask(node.port, action_information("", references)) == 0x0115
            assert CommittingPeer("SCANNER").ask(node.port, action_information("2.25.3", references)) is None
            # ---- a transaction that is used already
            assert modality.ask(node.port, action_information("2.25.1", references[:1])) == 0x0000
            modality.wait(lambda: len(modality.told) == 3, "the third report")
            assert modality.told[2].failed == {held: 0x0131}
            # ---- nobody listens, and the node dies
            modality.stop()
            suspend(_process(node, "flow"))
            assert modality.ask(node.port, action_information("2.25.4", references)) == 0x0000
            node.kill()
            node.start()
            _waits_for(node, "commitment.report_retry", transaction_uid="2.25.4")
            modality.start()
            modality.wait(lambda: len(modality.told) == 4, "the report after the restarts")
            assert sorted(modality.told[3].committed) == sorted(uid for _, uid in references)
            assert [path.name for path in (tmp_path / "blobs" / "slips").iterdir() if path.is_file()] == []
