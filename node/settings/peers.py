"""`peers:` the DICOM application entities that the node knows: who they are, what they may do, when their studies are complete."""

from datetime import timedelta

from ruamel.yaml.nodes import Node

from node.settings.blocks import Block, Key, Named
from node.settings.config import Limits, May, Peer, Scope, Settle
from node.settings.errors import BadValue
from node.settings.kinds import ADDRESS, AE_TITLE, DURATION, Address, Choice, Schema, Several, whole
from node.settings.source import Here, scalar_text, suggestion


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


def _peer(*, name: str, ae_title: str, address: Address, may: tuple[May, ...], settle: Settle, limits: Limits) -> Peer:
    return Peer(name=name, ae_title=ae_title, host=address.host, port=address.port, may=frozenset(may), settle=settle, limits=limits)


def _limits(*, associations: int, max_pdu: int, syntaxes: tuple[str, ...] | None) -> Limits:
    return Limits(associations=associations, max_pdu=max_pdu, syntaxes=syntaxes)


def _settle(*, scope: Scope, quiet: timedelta, counted: timedelta) -> Settle:
    return Settle(scope=scope, quiet=quiet, counted=counted)


SETTLE = Block(
    build=_settle,
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
    ),
)

LIMITS = Block(
    build=_limits,
    keys=(
        Key(name="associations", kind=whole(1, 1000), default="10", says="Associations at once from this peer."),
        Key(name="max_pdu", kind=whole(4096, 1048576), default="131072", says="The largest PDU that the node offers to take, in bytes."),
        Key(
            name="syntaxes",
            kind=Several(of=TransferSyntax(), least=1),
            says="The only transfer syntaxes that are accepted. Without it: every standard one, those that can be decoded preferred.",
        ),
    ),
)

PEERS = Named(
    noun="peer",
    of=Block(
        build=_peer,
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
                says="What it may do here (store, echo; commit: have this node commit to what it stored), and what the node may ask of "
                "it (find).",
            ),
            Key(name="settle", kind=SETTLE, default="{}", says="When what it sends is complete."),
            Key(name="limits", kind=LIMITS, default="{}", says="What it may take of the listener."),
        ),
    ),
)
