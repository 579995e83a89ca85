"""`peers:` the DICOM application entities that the node knows: who they are, what they may do, when their studies are complete."""

from dataclasses import replace
from datetime import timedelta

from ruamel.yaml.nodes import Node

from node.domain.shortage import WhenShort
from node.settings.blocks import Block, Key, Named, Nodes, Values
from node.settings.config import Limits, May, Peer, Scope, Settle
from node.settings.errors import BadValue
from node.settings.kinds import ADDRESS, AE_TITLE, DURATION, SIZE, TEXT, Address, Choice, Schema, Several, whole
from node.settings.security import CertificateRule, PeerTls, User
from node.settings.source import Here, scalar_text, suggestion
from node.settings.tls import CERTIFICATE, OUTGOING, USER

_LEAST_RATE = 64 * 1024

SHORT = (
    "What is done with a series that is known to be short (the node refused instances of it, its sender lists more, slices are missing, "
    "the transfer broke off): `hold` (it waits `longest` for the rest, then its jobs are parked as incomplete), `remark` (it waits, then "
    "every result begins with INCOMPLETE) or `run` (at once, with no more than a remark). Without it: `remark` for urgent routes, else "
    "`hold`."
)
LONGEST = "How long a short series waits for its rest after its last instance. Without it: `2m` for urgent routes, else `30m`."


class TransferSyntax:
    """A transfer syntax by its UID, or by its keyword in PS3.6 table A-1."""

    wants = "a transfer syntax (`ExplicitVRLittleEndian`, or its UID)"

    def read(self, at: Node, here: Here) -> str:
        from pydicom.uid import AllTransferSyntaxes

        text = scalar_text(at, here, self.wants)
        known = {name: str(uid) for uid in AllTransferSyntaxes for name in (uid.keyword, str(uid))}
        if text not in known:
            raise here.refuse(BadValue, at, f'unknown transfer syntax "{text}"{suggestion(text, known)}')
        return known[text]

    def schema(self) -> Schema:
        return {"type": "string"}


def _peer(
    *,
    name: str,
    ae_title: str,
    address: Address,
    may: tuple[May, ...],
    settle: Settle,
    limits: Limits,
    tls: PeerTls | None,
    certificate: CertificateRule | None,
    user: User | None,
    login: User | None,
    archive: str | None,
) -> Peer:
    return Peer(
        name=name,
        ae_title=ae_title,
        host=address.host,
        port=address.port,
        may=frozenset(may),
        settle=settle,
        limits=limits,
        tls=tls and replace(tls, server_name=tls.server_name or address.host),
        certificate=certificate,
        user=user,
        login=login,
        archive=archive or "",
    )


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    for name in ("tls", "login"):
        if values[name] is not None and values["address"].port == 0:
            raise here.about(name).refuse(BadValue, nodes[name], "a peer with port 0 does not listen: the node never calls it")
    if values["certificate"] is not None and here.listener is None:
        raise here.about("certificate").refuse(BadValue, nodes["certificate"], "without `node: {tls: …}` nobody can show a certificate")


def _limits(
    *,
    associations: int,
    max_pdu: int,
    syntaxes: tuple[str, ...] | None,
    associations_per_minute: int | None,
    instances_per_second: int | None,
    bytes_per_second: int | None,
) -> Limits:
    return Limits(
        associations=associations,
        max_pdu=max_pdu,
        syntaxes=syntaxes,
        associations_per_minute=associations_per_minute,
        instances_per_second=instances_per_second,
        bytes_per_second=bytes_per_second,
    )


def _least_rate(values: Values, nodes: Nodes, here: Here) -> None:
    rate = values["bytes_per_second"]
    if rate is not None and rate < _LEAST_RATE:
        at = nodes["bytes_per_second"]
        raise here.about("bytes_per_second").refuse(BadValue, at, "less than 64KiB: a single image would outlast its sender's patience")


def _settle(
    *, scope: Scope, quiet: timedelta, counted: timedelta, growing: timedelta, short: WhenShort | None, longest: timedelta | None
) -> Settle:
    return Settle(scope=scope, quiet=quiet, counted=counted, growing=growing, short=short, longest=longest)


def _window_within(values: Values, nodes: Nodes, here: Here) -> None:
    if values["growing"] <= values["quiet"]:
        at = nodes.get("growing") or next(iter(nodes.values()))
        raise here.about("growing").refuse(BadValue, at, "not longer than `quiet`: no arrival would be complete by its quiet window")


SETTLE = Block(
    build=_settle,
    check=_window_within,
    keys=(
        Key(
            name="scope",
            kind=Choice(of=Scope),
            default="study",
            says="What settles as one: the whole study, or each series by itself.",
        ),
        Key(name="quiet", kind=DURATION, default="10s", says="Complete when nothing new came for so long."),
        Key(
            name="counted",
            kind=DURATION,
            default="2s",
            says="The shorter window once the sender's own count (C-FIND) is reached; needs `find` in `may`.",
        ),
        Key(
            name="growing",
            kind=DURATION,
            default="2h",
            says="The longest that an arrival may go on growing, from its first instance on: then what came is complete (`complete by "
            "growing`), and what still comes opens a revision, as late instances do.",
        ),
        Key(name="short", kind=Choice(of=WhenShort), says=SHORT),
        Key(name="longest", kind=DURATION, says=LONGEST),
    ),
)

LIMITS = Block(
    build=_limits,
    check=_least_rate,
    keys=(
        Key(name="associations", kind=whole(1, 1000), default="10", says="Associations at once from this peer."),
        Key(name="max_pdu", kind=whole(4096, 1048576), default="131072", says="The largest PDU that the node offers to take, in bytes."),
        Key(
            name="syntaxes",
            kind=Several(of=TransferSyntax(), least=1),
            says="The only transfer syntaxes that are accepted. Without it: every standard one, those that can be decoded preferred.",
        ),
        Key(
            name="associations_per_minute",
            kind=whole(1, 100000),
            says="New associations within a minute; more are rejected for the moment (local limit exceeded). Without it: any number.",
        ),
        Key(
            name="instances_per_second",
            kind=whole(1, 100000),
            says="As fast as instances are taken; answers wait meanwhile, nothing is refused. Without it: as fast as they come.",
        ),
        Key(
            name="bytes_per_second",
            kind=SIZE,
            says="As fast as data sets are read, all associations of the peer together (`50MB`); the network holds the sender back "
            "meanwhile. Without it: as fast as they come.",
        ),
    ),
)

PEERS = Named(
    noun="peer",
    of=Block(
        build=_peer,
        check=_check,
        keys=(
            Key(name="ae_title", kind=AE_TITLE, required=True, says="The AE title under which it calls, and is called."),
            Key(
                name="address",
                kind=ADDRESS,
                required=True,
                says="Where it is. It is admitted from this host only; port 0 says that it calls but does not listen.",
            ),
            Key(
                name="may",
                kind=Several(of=Choice(of=May)),
                default="[store, echo]",
                says="What it may do here (store, echo; commit: have this node commit to what it stored; correct: add to and rewrite what "
                "other peers sent, which is held otherwise), and what the node may ask of it (find).",
            ),
            Key(name="settle", kind=SETTLE, default="{}", says="When what it sends is complete."),
            Key(name="limits", kind=LIMITS, default="{}", says="What it may take of the listener."),
            Key(
                name="tls",
                kind=OUTGOING,
                says="Call it with TLS; `{}` where everything is as in `node: {tls: …}`. Without it, without TLS.",
            ),
            Key(
                name="certificate",
                kind=CERTIFICATE,
                says="What its certificate must be when it calls: it is admitted over TLS alone then. All that is named must hold.",
            ),
            Key(
                name="user",
                kind=USER,
                says="The user that it must name when it calls (user identity, PS3.7 D.3.3.7), with its passcode if there is one.",
            ),
            Key(
                name="login",
                kind=USER,
                says="The user that the node names when it calls this peer. Without TLS the passcode can be overheard.",
            ),
            Key(
                name="archive",
                kind=TEXT,
                says="A name that you choose; peers that bear the same one are one sender (an archive with several AE titles): what one of "
                "them sent, the others may add to and rewrite. Without it, that is held until a person has looked.",
            ),
        ),
    ),
)
