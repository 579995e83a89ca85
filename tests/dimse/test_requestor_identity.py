"""Who is who: a peer is its title, its address, and, where the configuration says so, its certificate and its user. No network here."""

import os
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from node.dimse.addresses import Whose
from node.dimse.association_policy import Admitted, AssociationPolicy, AssociationRejection, Refusal
from node.dimse.requestor_identity import Certificate, RequestorIdentity, UserIdentity
from node.settings.config import Config
from node.settings.kinds import TrustedProxies
from node.settings.node import Node
from node.settings.peers import Limits, May, Peer
from node.settings.store import Store
from node.settings.tls import CertificateRule, User

SHOWN = Certificate(
    subject="CN=ct1,O=Hospital",
    alternative_names=("DNS:ct1.hospital.example", "IP:10.0.0.21"),
    issuer="CN=Hospital CA",
    fingerprint="ab" * 32,
)
CT1 = Peer(name="ct1", ae_title="CT1", host="10.0.0.21", port=0)
CLAIM = RequestorIdentity(called="HILUM", calling="CT1", address="10.0.0.21", certificate=SHOWN)


def _policy(*peers: Peer, **more: Any) -> AssociationPolicy:
    crowded = more.pop("crowded", lambda: None)
    node, folder = Node(**more), Path()
    config = Config(
        path=folder, digest="", node=node, store=Store(journal="", blobs=folder), models=folder, peers={p.name: p for p in peers}
    )
    return AssociationPolicy(config, crowded=crowded)


def _refused(policy: AssociationPolicy, requestor: RequestorIdentity) -> Refusal:
    decided = policy.enter(requestor)
    assert isinstance(decided, Refusal)
    return decided


@pytest.mark.parametrize(
    "rule",
    [
        CertificateRule(fingerprints=("cd" * 32, "ab" * 32)),
        CertificateRule(names=("DNS:ct1.hospital.example",)),
        CertificateRule(names=("DNS:ct2.hospital.example", "IP:10.0.0.21")),
        CertificateRule(subjects=("CN=ct1,O=Hospital",)),
        CertificateRule(fingerprints=("ab" * 32,), names=("IP:10.0.0.21",), subjects=("CN=ct1,O=Hospital",)),
    ],
)
def test_a_certificate_that_is_all_that_is_asked_for_admits(rule: CertificateRule) -> None:
    """Of several values of one kind one is enough (a renewal has two fingerprints for a while); every kind that is named must hold."""
    assert isinstance(_policy(replace(CT1, certificate=rule)).enter(CLAIM), Admitted)


@pytest.mark.parametrize(
    "rule",
    [
        CertificateRule(fingerprints=("cd" * 32,)),
        CertificateRule(names=("DNS:ct2.hospital.example",)),
        CertificateRule(names=("DNS:10.0.0.21",)),
        CertificateRule(subjects=("CN=ct1",)),
        CertificateRule(fingerprints=("ab" * 32,), names=("DNS:ct2.hospital.example",)),
    ],
)
def test_another_certificate_is_rejected_and_the_operator_is_told_whose_it_was(rule: CertificateRule) -> None:
    """(1, 1, 3), as for any title that is not recognised; the reason says what was shown, for whoever mends the configuration."""
    refused = _refused(_policy(replace(CT1, certificate=rule)), CLAIM)
    assert refused.rejection is AssociationRejection.CALLING
    assert refused.label == "ct1"
    assert "CN=ct1,O=Hospital" in refused.why
    assert "ab" * 32 in refused.why


def test_the_certificate_of_another_peer_admits_nobody_and_is_recognised() -> None:
    """One scanner cannot come as another, even from its address; the operator reads whose certificate it was."""
    other = Peer(name="ct2", ae_title="CT2", host="10.0.0.22", port=0, certificate=CertificateRule(fingerprints=("ab" * 32,)))
    refused = _refused(_policy(replace(CT1, certificate=CertificateRule(fingerprints=("cd" * 32,))), other), CLAIM)
    assert refused.rejection is AssociationRejection.CALLING
    assert 'which is peer "ct2"\'s' in refused.why


def test_without_tls_a_peer_with_a_certificate_is_not_itself() -> None:
    """Its title from its address without TLS: anybody on the network could send that."""
    refused = _refused(_policy(replace(CT1, certificate=CertificateRule(names=("IP:10.0.0.21",)))), replace(CLAIM, certificate=None))
    assert (refused.rejection, "none was shown" in refused.why) == (AssociationRejection.CALLING, True)


def test_a_good_certificate_does_not_replace_title_or_address() -> None:
    """All that a peer configures must hold."""
    policy = _policy(replace(CT1, certificate=CertificateRule(fingerprints=("ab" * 32,))))
    assert _refused(policy, replace(CLAIM, address="10.0.0.99")).rejection is AssociationRejection.CALLING
    assert _refused(policy, replace(CLAIM, calling="CT2")).rejection is AssociationRejection.CALLING
    assert _refused(policy, replace(CLAIM, called="OTHER")).rejection is AssociationRejection.CALLED


@pytest.mark.parametrize("turned", [False, True])
def test_peers_of_one_title_and_address_are_told_apart_by_what_they_prove(turned: bool) -> None:
    """Two devices behind one gateway, with a certificate each: each is itself, in whatever order they are configured; who shows a third
    certificate is neither; and one that need prove nothing is never taken for one that proved something."""
    first = replace(CT1, certificate=CertificateRule(fingerprints=("ab" * 32,)))
    second = replace(CT1, name="ct1b", certificate=CertificateRule(fingerprints=("cd" * 32,)))
    peers = [second, first] if turned else [first, second]
    others = replace(SHOWN, fingerprint="cd" * 32)
    for shown, name in ((SHOWN, "ct1"), (others, "ct1b")):
        decided = _policy(*peers).enter(replace(CLAIM, certificate=shown))
        assert isinstance(decided, Admitted)
        assert decided.label == name
    third = replace(CLAIM, certificate=replace(SHOWN, fingerprint="ef" * 32))
    assert _refused(_policy(*peers), third).rejection is AssociationRejection.CALLING
    open_to_all = replace(CT1, name="anybody")
    for some in ([open_to_all, *peers], [*peers, open_to_all]):
        for requestor, name in ((CLAIM, "ct1"), (replace(CLAIM, certificate=others), "ct1b"), (third, "anybody")):
            decided = _policy(*some).enter(requestor)
            assert isinstance(decided, Admitted)
            assert decided.label == name


def test_a_stranger_is_no_peer_whatever_it_shows() -> None:
    """`strangers: true` admits unknown titles, not unknown owners of a known one."""
    policy = _policy(replace(CT1, certificate=CertificateRule(fingerprints=("cd" * 32,))), strangers=True)
    assert _refused(policy, CLAIM).rejection is AssociationRejection.CALLING
    stranger = policy.enter(replace(CLAIM, calling="SOMEBODY"))
    assert isinstance(stranger, Admitted)
    assert stranger.peer is None


def _item(kind: int, name: bytes, passcode: bytes = b"", *, wants: bool = False) -> UserIdentityNegotiation:
    item = UserIdentityNegotiation()
    item.user_identity_type, item.primary_field, item.positive_response_requested = kind, name, wants
    if kind == 2:
        item.secondary_field = passcode
    return item


@pytest.fixture
def passcode(tmp_path: Path) -> Path:
    path = tmp_path / "ct1.passcode"
    path.write_bytes("grün und geheim\n".encode())
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("item", "admitted"),
    [
        (_item(2, b"ct1", "grün und geheim".encode()), True),
        (_item(2, b"ct1", b"grau und geheim"), False),
        (_item(2, b"ct1", "grün und geheim\n".encode()), False),
        (_item(2, b"ct2", "grün und geheim".encode()), False),
        (_item(1, b"ct1"), False),
        (_item(3, b"ct1"), False),
        (_item(4, b"ct1"), False),
        (_item(5, b"ct1"), False),
        (None, False),
    ],
)
def test_a_user_with_a_passcode_is_checked(passcode: Path, item: UserIdentityNegotiation | None, admitted: bool) -> None:
    """PS3.7 D.3.3.7: username and passcode (kind 2) admit; a wrong one, none, and every other kind are rejected, permanently, by the
    service provider (ACSE), no reason given; nothing that was given is in the reason."""
    policy = _policy(replace(CT1, user=User(name="ct1", passcode_file=passcode)))
    decided = policy.enter(replace(CLAIM, identity=UserIdentity.of(item)))
    if admitted:
        assert isinstance(decided, Admitted)
        return
    assert isinstance(decided, Refusal)
    assert decided.rejection.value == (1, 2, 1)
    assert "geheim" not in decided.why
    assert "ct2" not in decided.why


def test_a_username_alone_is_enough_where_no_passcode_is_configured() -> None:
    """Kind 1, and kind 2 whatever its passcode."""
    policy = _policy(replace(CT1, user=User(name="ct1")))
    for item in (_item(1, b"ct1"), _item(2, b"ct1", b"anything")):
        assert isinstance(policy.enter(replace(CLAIM, identity=UserIdentity.of(item))), Admitted)
    assert _refused(policy, replace(CLAIM, identity=UserIdentity.of(_item(1, b"ct10")))).rejection is AssociationRejection.IDENTITY


def test_a_recognised_user_is_confirmed_where_that_is_asked_for() -> None:
    """PS3.7 D.3.3.7.2: a response only if one was requested; a user that nobody configured is not confirmed, nor refused."""
    asked, unasked = (replace(CLAIM, identity=UserIdentity.of(_item(1, b"ct1", wants=wants))) for wants in (True, False))
    known, unknown = _policy(replace(CT1, user=User(name="ct1"))), _policy(CT1)
    told = [policy.enter(requestor) for policy in (known, unknown) for requestor in (asked, unasked)]
    assert [one.confirms_user for one in told if isinstance(one, Admitted)] == [True, False, False, False]


@pytest.mark.parametrize("spoil", ["gone", "empty", "open to others", "a folder"])
def test_a_passcode_that_cannot_be_read_admits_nobody(passcode: Path, spoil: str) -> None:
    """An empty file is no passcode that an empty one would match; the operator reads which file it is."""
    policy = _policy(replace(CT1, user=User(name="ct1", passcode_file=passcode)))
    if spoil == "open to others":
        passcode.chmod(0o644)
    else:
        passcode.unlink()
        if spoil == "empty":
            passcode.write_bytes(b"\n")
            passcode.chmod(0o600)
        elif spoil == "a folder":
            passcode.mkdir(mode=0o700)
    refused = _refused(policy, replace(CLAIM, identity=UserIdentity.of(_item(2, b"ct1", b""))))
    assert refused.rejection is AssociationRejection.IDENTITY
    assert str(passcode) in refused.why


def test_a_passcode_may_be_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the variable is not set, nobody is the user."""
    policy = _policy(replace(CT1, user=User(name="ct1", passcode_variable="CT1_PASSCODE")))
    requestor = replace(CLAIM, identity=UserIdentity.of(_item(2, b"ct1", b"geheim")))
    assert _refused(policy, requestor).rejection is AssociationRejection.IDENTITY
    monkeypatch.setitem(os.environ, "CT1_PASSCODE", "geheim")
    assert isinstance(policy.enter(requestor), Admitted)


def test_a_passcode_is_in_no_text_that_is_made_of_a_claim() -> None:
    """A claim may find its way into a message or a traceback; its passcode does not."""
    requestor = replace(CLAIM, identity=UserIdentity.of(_item(2, b"ct1", b"geheim")))
    assert "geheim" not in f"{requestor} {requestor!r} {requestor.identity} {requestor.identity!r}"


def test_what_is_no_utf8_is_no_name_and_no_crash() -> None:
    """PS3.7 table D.3-14: the username is UTF-8; bytes that are none are somebody else's."""
    policy = _policy(replace(CT1, user=User(name="ct1")))
    assert _refused(policy, replace(CLAIM, identity=UserIdentity.of(_item(1, b"\xff\xfe")))).rejection is AssociationRejection.IDENTITY


def test_no_association_to_store_begins_while_there_is_no_room() -> None:
    """Transient, temporary congestion (2, 3, 1), for those who may store; who may only echo is answered still."""
    why: list[str | None] = ["the disk is fuller than its high-water mark"]
    ops = Peer(name="ops", ae_title="OPS", host="10.0.0.9", port=0, may=frozenset({May.ECHO}))
    policy = _policy(CT1, ops, crowded=lambda: why[0])
    refused = _refused(policy, CLAIM)
    assert (refused.rejection.value, refused.why) == ((2, 3, 1), why[0])
    assert isinstance(policy.enter(RequestorIdentity(called="HILUM", calling="OPS", address="10.0.0.9")), Admitted)
    why[0] = None
    assert isinstance(policy.enter(CLAIM), Admitted), "it recovers by itself"


def test_a_peer_that_calls_too_often_is_put_off_and_holds_no_seat() -> None:
    """Transient, local limit exceeded; what was refused does not count as an association that stands."""
    policy = _policy(replace(CT1, limits=Limits(associations=1, associations_per_minute=2)))
    for _ in range(2):
        admitted = policy.enter(CLAIM)
        assert isinstance(admitted, Admitted)
        policy.leave(admitted)
    for _ in range(3):
        refused = _refused(policy, CLAIM)
        assert refused.rejection.value == (2, 3, 2)
        assert "within a minute" in refused.why


def test_only_a_peer_with_rates_is_slowed_down() -> None:
    """Nobody else pays for looking at the clock."""
    plain, slow = _policy(CT1).enter(CLAIM), _policy(replace(CT1, limits=Limits(bytes_per_second=10**6))).enter(CLAIM)
    assert isinstance(plain, Admitted)
    assert isinstance(slow, Admitted)
    assert plain.rate is None
    assert slow.rate is not None


def test_one_address_cannot_take_all_connections() -> None:
    """Half-open connections are counted by address, IPv4 the same on a socket for both families; admitted ones are the peer's."""
    policy = _policy(CT1, connections_per_address=2, strangers=True)
    came = ("10.0.0.66", "::ffff:10.0.0.66", "10.0.0.66", "10.0.0.20")
    seats = [policy.connect(number, address, Whose.STRANGER) for number, address in enumerate(came)]
    assert [seat is not None for seat in seats] == [True, True, False, True]
    policy.disconnect(0)
    assert policy.connect(4, "10.0.0.66", Whose.STRANGER) is not None


def _proxied(*peers: Peer, **more: Any) -> AssociationPolicy:
    return _policy(*peers, trusted_proxies=TrustedProxies(networks=(ip_network("172.18.0.0/24"),)), **more)


BEHIND = replace(CLAIM, address="172.18.0.1", behind_proxy=True)


def test_behind_a_trusted_proxy_a_peer_is_its_title_certificate_and_user() -> None:
    """The address that is seen is the proxy's; what else the entry names must hold all the same, and strangers are no peers."""
    assert isinstance(_proxied(CT1).enter(BEHIND), Admitted)
    assert _refused(_proxied(CT1), replace(BEHIND, behind_proxy=False)).rejection is AssociationRejection.CALLING
    other = replace(CT1, certificate=CertificateRule(fingerprints=("cd" * 32,)))
    assert "proved by its certificate" in _refused(_proxied(other), BEHIND).why
    assert _refused(_proxied(CT1), replace(BEHIND, calling="SOMEBODY")).rejection is AssociationRejection.CALLING


def test_two_peers_of_one_title_behind_a_trusted_proxy_are_told_apart_by_what_they_prove_or_not_at_all() -> None:
    """Modalities come with the same AE title, and their addresses are not seen: neither is taken for the other."""
    other = replace(CT1, name="ct2", host="10.0.0.22")
    refused = _refused(_proxied(CT1, other), BEHIND)
    assert refused.rejection is AssociationRejection.CALLING
    assert refused.why == 'peers "ct1" and "ct2" cannot be told apart behind the trusted proxy 172.18.0.1'
    proved = replace(other, certificate=CertificateRule(fingerprints=("ab" * 32,)))
    admitted = _proxied(CT1, proved).enter(BEHIND)
    assert isinstance(admitted, Admitted)
    assert admitted.peer == proved
    entered = replace(other, host="172.18.0.1")
    admitted = _proxied(CT1, entered).enter(BEHIND)
    assert isinstance(admitted, Admitted)
    assert admitted.peer == entered, "the proxy's address stands in its entry"


def test_strangers_leave_half_of_the_seats_to_peers() -> None:
    """Forty associations under as many titles: twenty are admitted, the rest is put off, and a peer finds a seat."""
    policy = _policy(CT1, strangers=True)
    decided = [policy.enter(replace(CLAIM, calling=f"NOBODY{number}")) for number in range(40)]
    assert sum(isinstance(one, Admitted) for one in decided) == 20
    assert isinstance(decided[-1], Refusal)
    assert decided[-1].rejection is AssociationRejection.BUSY
    assert decided[-1].why == "20 associations of strangers stand already, and the other seats are kept for peers"
    assert isinstance(policy.enter(CLAIM), Admitted)


def test_without_peers_every_seat_is_a_strangers() -> None:
    """A laboratory's node, and the archive of the demo."""
    policy = _policy(strangers=True, max_associations=4)
    decided = [policy.enter(replace(CLAIM, calling=f"NOBODY{number}")) for number in range(5)]
    assert [isinstance(one, Admitted) for one in decided] == [True] * 4 + [False]
