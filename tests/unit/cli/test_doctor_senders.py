"""`hilum doctor` and `hilum config check` about who may send."""

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

from node.assembly.doctor.peers import look_at_senders
from node.settings.config import Config
from node.settings.kinds import TrustedProxies
from node.settings.node import Node
from node.settings.peers import Peer
from node.settings.store import Store
from node.settings.tls import CertificateRule, User

from .conftest import Run

CT1 = Peer(name="ct1", ae_title="CT1", host="10.0.0.21", port=0)
PROVED = replace(CT1, name="ct2", ae_title="CT2", certificate=CertificateRule(names=("DNS:ct2",)))
NAMED = replace(CT1, name="mr1", ae_title="MR1", user=User(name="mr1"))


def _said(*peers: Peer, node: Node) -> list[tuple[str, str]]:
    store = Store(journal="", blobs=Path())
    named = {peer.name: peer for peer in peers}
    config = Config(path=Path(), digest="", node=node, store=store, models=Path(), peers=named)
    findings = list(look_at_senders(config))
    assert all(bool(one.fix) == (one.level != "good") for one in findings), "what is to be done stands where something is"
    return [(one.level, one.detail.split(" (")[0]) for one in findings]


def test_strangers_are_warned_of_where_the_network_reaches_the_node() -> None:
    """On loopback they are this machine's own."""
    open_to_all = Node(strangers=True, host="0.0.0.0")
    assert _said(CT1, node=open_to_all) == [("warning", "anyone who reaches the node may send, under any AE title")]
    assert _said(CT1, node=replace(open_to_all, host="127.0.0.1")) == [("good", "anyone on this machine may send")]


def test_a_node_that_nobody_may_send_to_is_told() -> None:
    """No peers, and strangers refused: it starts, and takes nothing."""
    assert _said(node=Node()) == [("warning", "no peers: nobody may send anything")]
    ((level, _),) = _said(CT1, node=Node())
    assert level == "good"


def test_peers_that_only_their_title_tells_behind_a_proxy_are_named() -> None:
    """Not who proves itself otherwise, and nobody where the proxy says who is there."""
    node = Node(trusted_proxies=TrustedProxies(networks=(ip_network("172.18.0.1"), ip_network("10.4.0.0/24"))))
    (_, (level, detail)) = _said(CT1, PROVED, NAMED, node=node)
    assert (level, detail) == ("warning", "whoever comes through 172.18.0.1, 10.4.0.0/24 and claims their AE title is taken for: ct1")
    assert len(_said(PROVED, NAMED, node=node)) == 1
    assert len(_said(CT1, node=replace(node, proxy_protocol=True))) == 1


def test_config_check_says_it_too(place: Path, run: Run) -> None:
    """In words, and for scripts; it is no mistake."""
    (place / "open.yaml").write_text('node: {strangers: true, listen: "0.0.0.0:104"}\n')
    assert "anyone who reaches the node may send" in run("config", "check", "open.yaml").out.replace("\n", " ")
    answer = run("config", "check", "open.yaml", "--json")
    assert (answer.code, len(answer.json["remarks"])) == (0, 1)
    assert not [one for one in run("config", "check", "--json").json["remarks"] if "HLM-4101" not in one], "but for models"
