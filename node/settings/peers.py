"""`peers:` the DICOM application entities that the node knows: who they are, what they may do, when their studies are complete."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any

from ruamel.yaml.nodes import Node

from node.domain.arrival import WindowBounds
from node.domain.shortage import WhenShort
from node.settings.blocks import Key, Named, Nodes, Values, block, declared, needed, setting
from node.settings.kinds import ADDRESS, AE_TITLE, DURATION, SIZE, SWITCH, TEXT, Choice, Reference, Schema, Several, whole
from node.settings.source import BadValue, Here, scalar_text, suggestion
from node.settings.tls import CERTIFICATE, OUTGOING, USER, CertificateRule, PeerTls, User

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


class Scope(StrEnum):
    """What settles as one."""

    STUDY = "study"
    SERIES = "series"


class May(StrEnum):
    """What a peer may do here (store, echo, commit; correct what other peers sent), and what the node may ask of it (find)."""

    STORE = "store"
    ECHO = "echo"
    FIND = "find"
    COMMIT = "commit"
    CORRECT = "correct"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowLearning:
    """Whether the learned window is used in place of the configured one, and between which it lies; None: what `Settle.bounds` says."""

    use: bool = setting(
        SWITCH,
        default="false",
        says="Use the learned window. Without it, `hilum peers` and the console's page Peers show what it would be, and what it would have "
        "done: look at that for a week.",
    )
    least: timedelta | None = setting(
        DURATION, says="The shortest window that may be learned. Without it: `2s`, or `most` where that is shorter."
    )
    most: timedelta | None = setting(
        DURATION,
        says="The longest window that may be learned, `quiet` at least. What comes after a longer pause is an addition: it opens a "
        "revision, and nothing is learned from it. Without it: `quiet`, so that learning only shortens.",
    )


LEARNED = block(WindowLearning, build=WindowLearning)
_LEAST = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """When an arrival is complete: `quiet` without a new instance; `counted` once the sender's own count is reached (peers with
    find); after `growing` whatever still comes.

    `short` and `longest` say what is done with a series that is known to be short; None: what the priority of the route asks for.
    """

    scope: Scope = setting(Choice(of=Scope), default="study", says="What settles as one: the whole study, or each series by itself.")
    quiet: timedelta = setting(DURATION, default="10s", says="Complete when nothing new came for so long.")
    learned: WindowLearning = setting(
        LEARNED,
        default="{}",
        says="The window that the sender's own pauses teach: one and a half times the largest gap between two instances of any of its last "
        "studies (1000 at most); the configured one until 300 are known.",
    )
    counted: timedelta = setting(
        DURATION, default="2s", says="The shorter window once the sender's own count (C-FIND) is reached; needs `find` in `may`."
    )
    count_at: str | None = setting(
        Reference(to="peers", noun="peer"),
        says="A peer with `find` that gets the same studies (the archive), asked where the sender itself cannot be. `counted` holds once "
        "what it lists has not changed for a whole quiet window and is exactly what came, in each series; not while it has more, such as "
        "results, or less. Nothing waits for its answer.",
    )
    growing: timedelta = setting(
        DURATION,
        default="2h",
        says="The longest that an arrival may go on growing, from its first instance on: then what came is complete (`complete by "
        "growing`), and what still comes opens a revision, as late instances do.",
    )
    short: WhenShort | None = setting(Choice(of=WhenShort), says=SHORT)
    longest: timedelta | None = setting(DURATION, says=LONGEST)

    @property
    def bounds(self) -> WindowBounds:
        """Between which windows the learned one lies."""
        most = self.learned.most or self.quiet
        return WindowBounds(quiet=self.quiet, least=self.learned.least or min(_LEAST, most), most=most)


def _window_within(values: Values, nodes: Nodes, here: Here) -> None:
    quiet, learned = values["quiet"], values["learned"]
    most = learned.most or quiet
    if values["growing"] <= max(quiet, most):
        at = nodes.get("growing") or next(iter(nodes.values()))
        longer = "`quiet`" if values["growing"] <= quiet else "`most` of `learned`"
        raise here.about("growing").refuse(BadValue, at, f"not longer than {longer}: no arrival would be complete by its quiet window")
    if most < quiet:
        why = "shorter than `quiet`: pauses that the configured window bridges would be taken for additions"
        raise here.about("learned").about("most").refuse(BadValue, nodes["learned"], why)
    if learned.least is not None and learned.least > most:
        why = f"longer than the longest window (`{'quiet' if learned.most is None else 'most'}`)"
        raise here.about("learned").about("least").refuse(BadValue, nodes["learned"], why)


SETTLE = block(Settle, build=Settle, check=_window_within)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one peer may take of the listener. `syntaxes` None accepts every standard transfer syntax (UIDs otherwise).

    Rates that are None are not limited. Associations above theirs are rejected for the moment; what comes faster than the others waits.
    """

    associations: int = setting(whole(1, 1000), default="10", says="Associations at once from this peer.")
    max_pdu: int = setting(whole(4096, 1048576), default="131072", says="The largest PDU that the node offers to take, in bytes.")
    syntaxes: tuple[str, ...] | None = setting(
        Several(of=TransferSyntax(), least=1),
        says="The only transfer syntaxes that are accepted. Without it: every standard one, those that can be decoded preferred.",
    )
    associations_per_minute: int | None = setting(
        whole(1, 100000),
        says="New associations within a minute; more are rejected for the moment (local limit exceeded). Without it: any number.",
    )
    instances_per_second: int | None = setting(
        whole(1, 100000),
        says="As fast as instances are taken; answers wait meanwhile, nothing is refused. Without it: as fast as they come.",
    )
    bytes_per_second: int | None = setting(
        SIZE,
        says="As fast as data sets are read, all associations of the peer together (`50MB`); the network holds the sender back "
        "meanwhile. Without it: as fast as they come.",
    )


def _least_rate(values: Values, nodes: Nodes, here: Here) -> None:
    rate = values["bytes_per_second"]
    if rate is not None and rate < _LEAST_RATE:
        at = nodes["bytes_per_second"]
        raise here.about("bytes_per_second").refuse(BadValue, at, "less than 64KiB: a single image would outlast its sender's patience")


LIMITS = block(Limits, build=Limits, check=_least_rate)

_ADDRESS = Key(
    name="address",
    kind=ADDRESS,
    required=True,
    says="Where it is. It is admitted from this host only; port 0 says that it calls but does not listen.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A DICOM application entity that the node knows. `host` is checked at admission; `port` 0 means it does not listen.

    `certificate` and `user` are what it must show when it calls; `tls` is how the node calls it, and `login` what the node tells it then.
    Peers with one `archive` are one sender: what one of them sent, the others may add to and rewrite.
    """

    name: str
    ae_title: str = field(metadata=needed(AE_TITLE, says="The AE title under which it calls, and is called."))
    host: str = field(metadata=declared(_ADDRESS, attrgetter("host")))
    port: int = field(metadata=declared(_ADDRESS, attrgetter("port")))
    may: frozenset[May] = setting(
        Several(of=Choice(of=May)),
        default="[store, echo]",
        of=frozenset,
        says="What it may do here (store, echo; commit: have this node commit to what it stored; correct: add to and rewrite what "
        "other peers sent, which is held otherwise), and what the node may ask of it (find).",
    )
    settle: Settle = setting(SETTLE, default="{}", says="When what it sends is complete.")
    limits: Limits = setting(LIMITS, default="{}", says="What it may take of the listener.")
    tls: PeerTls | None = setting(
        OUTGOING, says="Call it with TLS; `{}` where everything is as in `node: {tls: …}`. Without it, without TLS."
    )
    certificate: CertificateRule | None = setting(
        CERTIFICATE,
        says="What its certificate must be when it calls: it is admitted over TLS alone then. All that is named must hold.",
    )
    user: User | None = setting(
        USER, says="The user that it must name when it calls (user identity, PS3.7 D.3.3.7), with its passcode if there is one."
    )
    login: User | None = setting(
        USER, says="The user that the node names when it calls this peer. Without TLS the passcode can be overheard."
    )
    archive: str = setting(
        TEXT,
        of=lambda name: name or "",
        says="A name that you choose; peers that bear the same one are one sender (an archive with several AE titles): what one of "
        "them sent, the others may add to and rewrite. Without it, that is held until a person has looked.",
    )

    @property
    def counts(self) -> bool:
        """Whether it can be asked how much of a study it has."""
        return May.FIND in self.may and self.port != 0


def _peer(**said: Any) -> Peer:
    """A certificate bears the host's name where `server_name` says no other."""
    tls = said.pop("tls")
    return Peer(**said, tls=tls and replace(tls, server_name=tls.server_name or said["host"]))


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    for name in ("tls", "login"):
        if values[name] is not None and values["address"].port == 0:
            raise here.about(name).refuse(BadValue, nodes[name], "a peer with port 0 does not listen: the node never calls it")
    if values["certificate"] is not None and here.listener is None:
        raise here.about("certificate").refuse(BadValue, nodes["certificate"], "without `node: {tls: …}` nobody can show a certificate")


PEERS = Named(noun="peer", of=block(Peer, build=_peer, check=_check))
