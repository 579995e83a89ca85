"""A setting is declared at one field: what is read from a file, what a class has without one, and what editors are told come from there."""

from dataclasses import dataclass, field, fields
from datetime import timedelta
from operator import attrgetter
from pathlib import Path

import pytest

from node.settings.audit import Audit, AuditTls
from node.settings.blocks import Key, block, declared, keys_of, needed, part, setting
from node.settings.config import Models
from node.settings.console import Console
from node.settings.kinds import ADDRESS, DURATION, TEXT
from node.settings.node import Node
from node.settings.notify import MailTo, Notify, WebhookTo
from node.settings.peers import Limits, Peer, Settle
from node.settings.schedule import Schedule
from node.settings.source import Here, Refused, snippet
from node.settings.store import Bucket, Encryption, Store
from node.settings.tls import CertificateRule, PeerTls, TlsListener, User

_AT = Key(name="at", kind=ADDRESS, required=True, says="Where it is.")
_ELSE = Key(name="else", kind=ADDRESS, default="127.0.0.1:104", says="Where else.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One field of each sort."""

    name: str
    title: str = field(metadata=needed(TEXT, says="What it is called."))
    host: str = field(metadata=declared(_AT, attrgetter("host")))
    port: int = field(metadata=declared(_AT, attrgetter("port")))
    second: int = part(_ELSE, attrgetter("port"))
    wait_s: float = setting(DURATION, name="wait", default="2m", of=timedelta.total_seconds, says="How long.")
    note: str | None = setting(TEXT, says="Whatever.")


MADE = block(Made, build=Made)


def _read(text: str) -> Made:
    return MADE.read(snippet(text), Here(file="x.yaml", folder=Path("/x")), name="one")


def test_a_file_and_the_class_give_the_same() -> None:
    """Defaults are those of the declaration, whoever makes the noun; a key of several fields fills them all."""
    assert _read("{title: a, at: 'b:5'}") == Made(name="one", title="a", host="b", port=5)
    assert Made(name="one", title="a", host="b", port=5).wait_s == 120.0
    said = _read("{title: a, at: 'b:5', else: 'c:6', wait: 3s, note: d}")
    assert (said.second, said.wait_s, said.note) == (6, 3.0, "d")


def test_what_is_needed_is_asked_for() -> None:
    """Without it there is no noun, and the schema says so."""
    with pytest.raises(Refused):
        _read("{title: a}")
    assert MADE.schema()["required"] == ["title", "at"]
    assert [(key.name, key.default) for key in keys_of(Made)] == [
        ("title", None),
        ("at", None),
        ("else", "127.0.0.1:104"),
        ("wait", "2m"),
        ("note", None),
    ]


@pytest.mark.parametrize(
    "noun",
    [
        *(Audit, AuditTls, Bucket, CertificateRule, Console, Encryption, Limits, MailTo, Models, Node, Notify, Peer, PeerTls, Schedule),
        *(Settle, Store, TlsListener, User, WebhookTo),
    ],
)
def test_no_field_is_without_a_key(noun: type) -> None:
    """What nobody can set is no setting; the name of a peer is its key in the mapping."""
    undeclared = {one.name for one in fields(noun) if not one.metadata}
    assert undeclared == ({"name"} if noun is Peer else set())


@pytest.mark.parametrize("said", ["73001d", "999999d", "999999999999999d", f"{'9' * 400}d", f"{'9' * 400}.5ms"])
def test_a_duration_that_is_longer_than_two_centuries_is_two_centuries(said: str) -> None:
    """However long: "for good" is no mistake, and no number of digits makes it one."""
    assert DURATION.parse(said) == timedelta(days=73_000)
    assert DURATION.parse("72999d") == timedelta(days=72_999)
