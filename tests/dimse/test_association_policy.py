"""Who may associate, and who is told what."""

from dataclasses import replace

import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification

from node.dimse.association_policy import Admitted, AssociationPolicy, AssociationRejection, Refusal
from node.dimse.requestor_identity import RequestorIdentity
from node.settings.config import Config
from node.settings.node import Node
from node.settings.peers import Limits, May, Peer
from node.settings.store import Store
from tests.dimse.conftest import PACS, Listen, Listening, instance, offer
from tests.lab.program import wait_until
from tests.lab.rejection import associate, rejection
from tests.lab.wire import Sender


def _associate(port: int, *, calling: str = "PACS", called: str = "HILUM") -> Association:
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = 60
    contexts = [build_context(Verification), build_context(MRImageStorage, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])]
    return associate(entity, port, called=called, contexts=contexts)


def test_an_echo_is_answered_under_each_of_several_ae_titles(listen: Listen) -> None:
    """C-ECHO → 0000, whichever of the node's AE titles is called."""
    running = listen(node=Node(ae_titles=("HILUM", "HILUM_STAT"), port=0))
    for called in ("HILUM", "HILUM_STAT"):
        association = _associate(running.port, called=called)
        assert association.send_c_echo().Status == 0x0000
        association.release()


@pytest.mark.parametrize(
    ("calling", "called", "expected"),
    [("PACS", "OTHER", (1, 1, 7)), ("STRANGER", "HILUM", (1, 1, 3)), ("STRANGER", "OTHER", (1, 1, 7))],
)
def test_unknown_titles_are_rejected_for_good(listen: Listen, calling: str, called: str, expected: tuple[int, int, int]) -> None:
    """Network case 2: PS3.8 table 9-21: reason 7 for an unknown called AE title, reason 3 for an unknown calling one; nothing is stored."""
    running = listen()
    assert rejection(_associate(running.port, calling=calling, called=called)) == expected
    assert running.left() == []
    assert len(running.said("association.rejected")) == 1


def test_a_peers_title_from_another_address_is_rejected(listen: Listen) -> None:
    """Network case 2: Reason 3, also where strangers are admitted: who calls under a peer's title from elsewhere is not that peer."""
    running = listen(node=Node(port=0, strangers=True), peers=(replace(PACS, host="192.0.2.7"),))
    assert rejection(_associate(running.port)) == (1, 1, 3)


def test_a_host_name_is_an_address_too(listen: Listen) -> None:
    """A peer may be configured by name."""
    association = _associate(listen(peers=(replace(PACS, host="localhost"),)).port)
    assert association.is_established
    association.release()


def test_strangers_are_admitted_where_the_configuration_says_so(listen: Listen) -> None:
    """`strangers: true` lets an unknown AE title store."""
    running = listen(node=Node(port=0, strangers=True), peers=())
    one = offer()
    with Sender(running.port, [one], calling="STRANGER") as sender:
        assert sender.store(one) == 0x0000
    assert len(running.kept()) == 1


def test_a_peer_that_may_only_echo_gets_no_storage_context(listen: Listen) -> None:
    """What a peer may not do is not negotiated: abstract syntax not supported (result 3)."""
    association = _associate(listen(peers=(replace(PACS, may=frozenset({May.ECHO})),)).port)
    assert [context.abstract_syntax for context in association.accepted_contexts] == [Verification]
    assert [context.result for context in association.rejected_contexts] == [3]
    association.release()


def _until_ended(running: Listening, count: int) -> None:
    wait_until(lambda: len(running.said("association.ended")) == count, 10, "associations end", every_s=0.005)


def test_a_peer_gets_no_more_associations_than_its_limit(listen: Listen) -> None:
    """Transient, local limit exceeded (2, 3, 2); once one has ended there is room again."""
    running = listen(peers=(replace(PACS, limits=Limits(associations=2)),))
    first, second = _associate(running.port), _associate(running.port)
    assert rejection(_associate(running.port)) == (2, 3, 2)
    first.release()
    _until_ended(running, 1)
    third = _associate(running.port)
    assert third.is_established
    second.release()
    third.abort()
    _until_ended(running, 3)
    assert sorted(str(one["how"]) for one in running.said("association.ended")) == ["aborted", "released", "released"]


def test_the_node_takes_no_more_associations_than_its_limit(listen: Listen) -> None:
    """The whole limit counts over all peers."""
    running = listen(node=Node(port=0, max_associations=1), peers=(PACS, replace(PACS, name="ct", ae_title="CT")))
    shared = _associate(running.port)
    assert rejection(_associate(running.port, calling="CT")) == (2, 3, 2)
    shared.release()


def test_the_peers_own_pdu_limit_is_announced(listen: Listen) -> None:
    """PS3.8 D.1: the maximum length that the acceptor announces is the peer's limit."""
    association = _associate(listen(peers=(replace(PACS, limits=Limits(max_pdu=32768)),)).port)
    assert association.acceptor.maximum_length == 32768
    association.release()


def _config(*peers: Peer, **node: object) -> Config:
    from pathlib import Path

    return Config(
        path=Path(),
        digest="",
        node=Node(**node),  # type: ignore[arg-type]
        store=Store(journal="", blobs=Path()),
        models=Path(),
        peers={peer.name: peer for peer in peers},
    )


def test_two_peers_with_one_title_are_told_apart_by_address() -> None:
    """Modalities are delivered with the same AE title; the address says which one it is."""
    policy = AssociationPolicy(_config(replace(PACS, name="east", host="192.0.2.1"), replace(PACS, name="west", host="192.0.2.2")))
    admitted = policy.enter(RequestorIdentity(called="HILUM", calling="PACS", address="192.0.2.2"))
    assert isinstance(admitted, Admitted)
    assert admitted.peer is not None
    assert admitted.peer.name == "west"


def test_an_ipv4_peer_is_recognised_on_a_socket_for_both_families() -> None:
    """RFC 4291 2.5.5.2: ::ffff:192.0.2.1 is 192.0.2.1."""
    policy = AssociationPolicy(_config(replace(PACS, host="192.0.2.1")))
    assert isinstance(policy.enter(RequestorIdentity(called="HILUM", calling="PACS", address="::ffff:192.0.2.1")), Admitted)


def test_a_host_name_that_cannot_be_resolved_admits_nobody() -> None:
    """RFC 2606: .invalid never resolves."""
    refused = AssociationPolicy(_config(replace(PACS, host="pacs.invalid"))).enter(
        RequestorIdentity(called="HILUM", calling="PACS", address="127.0.0.1")
    )
    assert isinstance(refused, Refusal)
    assert refused.rejection is AssociationRejection.CALLING


def test_rejections_name_no_patient(listen: Listen) -> None:
    """Events of a whole association carry titles, addresses and numbers, never what the data sets say."""
    running = listen()
    one = offer(instance())
    with Sender(running.port, [one]) as sender:
        sender.store(one)
    _until_ended(running, 1)
    assert "Wire" not in repr(running.events)
    assert running.said("association.ended")[0]["kept"] == 1
