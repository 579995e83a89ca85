"""What is fuzzed: each target takes any bytes, may refuse them with its parser's own error, and checks what must hold of those it takes.

`check` raises AssertionError where something holds not, and lets every other exception out that is not the parser's own.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset
from structlog.testing import capture_logs

from inference.errors import InputError
from inference.imaging.errors import MissingAttribute, NotDicom, Truncated, UndecodablePixels, UnsupportedSyntax
from inference.imaging.jpeg_extended import decode_extended
from inference.imaging.subject import Parts, Takes
from inference.imaging.subjects import subjects
from inference.imaging.volume import Volume
from node.dicom.header import parse, sender
from node.dicom.part10 import take_apart
from node.dicom.peek import NotADataset, OtherInstance, Peek
from node.dicom.transfer_syntax import Context
from node.dimse.acceptor.accepted import AcceptedAssociation
from node.dimse.acceptor.association import AcceptorAssociation, AcceptorDeadlines
from node.dimse.association_policy import Admitted
from node.dimse.port import NoShortfalls
from node.dimse.requestor.association import Association, AssociationEnded
from node.dimse.requestor.opening import Timeouts
from node.dimse.requestor.outgoing import meta_texts
from node.dimse.requestor.queries import FIND, count_instances, count_series, finding, holds_instance
from node.dimse.requestor_identity import RequestorIdentity
from node.dimse.services.commitment import KIND as COMMITMENT
from node.dimse.services.commitment import CommitmentProvider
from node.dimse.services.kinds import KINDS, Services
from node.dimse.services.port import ListenerParts
from node.dimse.shared_limits import Seat
from node.dimse.ul import command, negotiation, pdu
from node.dimse.ul.command import MessageReader
from node.dimse.ul.connection import PduConnection
from node.dimse.ul.negotiation import Agreed, accepted
from node.dimse.ul.pdu import Malformed
from node.domain.commitment import PUSH_MODEL, Commitment, Report, Request
from node.domain.instance import Reception
from node.settings.config import Config, SinkSettings
from node.settings.node import Node
from node.settings.peers import Limits, May, Peer
from node.settings.store import Store
from node.sinks.dimse import Dimse
from tests.fuzz.bounds import MOST_BYTES

CORPUS: Final = Path(__file__).with_name("corpus")
CONTEXTS: Final = tuple(
    Context(sop_class_uid=sop_class, transfer_syntax_uid=syntax)
    for sop_class in ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.1.1")
    for syntax in ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
)
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
SYNTAXES: Final = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.2",
    DEFLATED,
    "1.2.840.10008.1.2.4.70",
)
SOP_CLASS, SOP_INSTANCE = "1.2.840.10008.5.1.4.1.1.4", "1.2.3.4"


def pdus(data: bytes) -> None:
    """A stream of PDUs: heads, and what each holds; a P-DATA-TF that is taken can be packed again to the same bytes."""
    with suppress(Malformed):
        at = 0
        while at < len(data):
            kind, length = pdu.head(data, at)
            body = data[at + pdu.HEAD_BYTES : at + pdu.HEAD_BYTES + length]
            at += pdu.HEAD_BYTES + length
            if kind == pdu.PduType.P_DATA:
                _packed_again(body)
            elif kind == pdu.PduType.ABORT:
                pdu.abort(body)
            elif kind == pdu.PduType.ASSOCIATE_RJ:
                pdu.reject(body)


def _packed_again(body: bytes) -> None:
    packed = b""
    for one in pdu.pdvs(body):
        again = pdu.pack_data(one.context_id, one.fragment, command=one.is_command, last=one.is_last)
        # of the message control header two bits mean something (PS3.8 E.2)
        control = body[len(packed) + 5]
        packed += again[pdu.HEAD_BYTES : pdu.HEAD_BYTES + 5] + bytes((control,)) + again[pdu.HEAD_BYTES + 6 :]
        assert control & 3 == again[pdu.HEAD_BYTES + 5], "the two bits come out as they went in"
    assert packed == body, "the presentation data values fill their PDU exactly"


def commands(data: bytes) -> None:
    """A command set; a C-STORE-RQ or -RSP that is taken, packed and read again, says the same."""
    with suppress(Malformed):
        one = command.decode(data)
        uids: dict[str, Any] = {"sop_class_uid": one.sop_class_uid[:64], "sop_instance_uid": one.sop_instance_uid[:64]}
        if one.field == command.Field.C_STORE_RQ and one.message_id is not None:
            again = command.decode(command.store_request(one.message_id, **uids, priority=one.priority or 0))
            assert (again.field, again.message_id, again.data_set_follows) == (one.field, one.message_id, True), "the request is the same"
        elif one.field == command.Field.C_STORE_RSP and one.responded_to is not None and one.status is not None:
            again = command.decode(command.store_response(one.responded_to, **uids, status=one.status, comment=one.comment))
            assert (again.responded_to, again.status) == (one.responded_to, one.status), "the answer is the same"
            assert len(again.comment) <= 64, "an LO has 64 characters at most"


def messages(data: bytes) -> None:
    """The P-DATA-TFs of one message, put together; what is taken is bounded."""
    incoming = MessageReader()
    with suppress(Malformed):
        for body in _bodies(data):
            whole = incoming.take(body)
            if whole is not None:
                assert len(whole[1]) <= len(data), "no byte comes from nowhere"
                incoming = MessageReader()


def _bodies(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + pdu.HEAD_BYTES <= len(data):
        _, length = pdu.head(data, at)
        yield data[at + pdu.HEAD_BYTES : at + pdu.HEAD_BYTES + length]
        at += pdu.HEAD_BYTES + length


def accepts(data: bytes) -> None:
    """An A-ASSOCIATE-AC; only what was requested is ever accepted, under the number that it was requested under."""
    with suppress(Malformed):
        agreed = accepted(data, CONTEXTS)
        assert all(CONTEXTS[number // 2] == context and number % 2 for context, number in agreed.contexts.items()), "as requested"
        assert 512 <= agreed.most_bytes <= 1 << 20, "a length that data sets can be sent in"


class _Slips:
    """Keeps requests and reports of storage commitment, in place of a folder."""

    def __init__(self) -> None:
        self.kept: list[Request | Report] = []

    def keep(self, one: Request | Report) -> None:
        """It is there."""
        self.kept.append(one)


_PEER: Final = Peer(name="pacs", ae_title="PACS", host="127.0.0.1", port=0, may=frozenset(May))
_CONFIG: Final = Config(
    path=CORPUS,
    digest="",
    node=Node(port=0),
    store=Store(journal="", blobs=CORPUS),
    models=CORPUS,
    peers={"pacs": _PEER},
    sinks={"archive": SinkSettings(name="archive", destination=Dimse(peer="pacs"), commitment=Commitment.WANTED)},
)


def _commitment(commitments: _Slips) -> CommitmentProvider:
    """For a peer that may ask this node to commit, and is asked to itself."""
    return CommitmentProvider(_CONFIG, commitments, flush=lambda _: True, on_kept=lambda: None)


_ADMITTED: Final = Admitted(peer=_PEER, seat=Seat(at=0), may=frozenset(May), limits=Limits())


def _services(intake: "_Associations", commitment: CommitmentProvider) -> Services:
    parts = ListenerParts(config=_CONFIG, intake=intake, commitments=None, on_commitment=lambda: None)
    return Services(parts, [replace(kind, open=lambda _: commitment) if kind is COMMITMENT else kind for kind in KINDS])


def requests(data: bytes) -> None:
    """An A-ASSOCIATE-RQ, as the node decodes it; what is taken can be answered, and accepts nothing that was not proposed."""
    with suppress(Malformed):
        asked = negotiation.read_request(data)
        if not asked.titled:
            return  # it is rejected, and never answered by a codec
        answer = negotiation.accept(
            asked,
            _services(_Associations(), _commitment(_Slips())).contexts(_ADMITTED),
            most_bytes=131072,
            confirms_user=asked.identity is not None,
        )
        proposed = {(context.context_id, str(context.abstract_syntax)) for context in asked.contexts}
        assert {(number, context.abstract_syntax) for number, context in answer.contexts.items()} <= proposed, "as proposed"
        assert pdu.head(answer.pdu) == (pdu.PduType.ASSOCIATE_AC, len(answer.pdu) - pdu.HEAD_BYTES), "a whole A-ASSOCIATE-AC"


class _Script:
    """A peer that says what it says, whatever it is told, in the portions that it likes; in place of a socket."""

    def __init__(self, said: bytes, portion: int) -> None:
        self._said = said
        self._portion = max(portion, 1)
        self.told = b""
        self.address = "127.0.0.1"
        self.secure = False

    def recv(self, most: int) -> bytes:
        """The next portion; nothing at the end: the connection is closed."""
        most = min(most, self._portion)
        portion, self._said = self._said[:most], self._said[most:]
        return portion

    def recv_into(self, room: memoryview, *_: int) -> int:
        """The next portion, into the room that there is."""
        came = self.recv(min(self._portion, len(room)))
        room[: len(came)] = came
        return len(came)

    def sendmsg(self, pieces: list[bytes], *_: object) -> int:
        """Takes all, and remembers it."""
        told = b"".join(pieces)
        self.told += told
        return len(told)

    def admitted(self) -> None:
        """Is somebody from now on."""

    def lingers(self) -> bool:
        """Stays until the end."""
        return True

    def settimeout(self, _: float) -> None:
        """Never waits."""

    def setsockopt(self, *_: object) -> None:
        """Has no options."""

    def close(self) -> None:
        """Has nothing to close."""


def dialogues(data: bytes) -> None:
    """Everything that a peer may say once an association stands, to this node as requestor; it ends, one way or the other."""
    connection = PduConnection(_Script(data[1:], data[0] if data else 1))  # type: ignore[arg-type]
    association = Association(
        connection, CONTEXTS, Agreed(contexts={CONTEXTS[4]: 9}, most_bytes=16384), Timeouts(connect_s=1, acse_s=1, dimse_s=1)
    )
    try:
        for _ in range(3):
            association.echo(9)
        association.find(9, "1.2.840.10008.5.1.4.1.2.2.1", b"")
        association.stands()
    except AssociationEnded:
        assert not association.open, "who is told that it ended finds it ended"
    association.release()
    assert not association.open, "released is ended"


class _Kept:
    """One instance on its way, in place of a file; exactly one of `keep` and `abandon` is to end it."""

    def __init__(self) -> None:
        self.size = 0
        self.kept = 0
        self.abandoned = 0

    def write(self, *fragments: bytes | memoryview) -> None:
        """Fragments, after the end of no instance."""
        assert self.kept + self.abandoned == 0, "nothing follows an instance that has ended"
        self.size += sum(map(len, fragments))

    def keep(self) -> None:
        """It is there."""
        self.kept += 1

    def abandon(self) -> None:
        """It is not."""
        self.abandoned += 1


class _Associations:
    """Who lets the association in, and keeps what it stores; in place of an admission and an inbox."""

    def __init__(self) -> None:
        self.intake = self
        self.shortfalls = NoShortfalls()
        self.instances: list[_Kept] = []
        self.flushed = self.left = 0

    def crowded(self) -> str | None:
        """There is room."""
        return None

    def begin(self, reception: Reception) -> _Kept:
        """Room for everybody who has a UID."""
        assert set(reception.sop_instance_uid) <= set("0123456789."), "a UID, or no instance"
        self.instances.append(_Kept())
        return self.instances[-1]

    def expect(self, association: str) -> None:
        """Nothing is made ahead."""

    def ended(self, _: str) -> bool:
        """The association is over."""
        self.flushed += 1
        return True

    def leave(self, _: Admitted) -> None:
        """So it is."""
        self.left += 1


class _Established(AcceptorAssociation):
    """An association that stands already, in whatever presentation context its peer likes."""

    def _associate(self) -> AcceptedAssociation:
        requestor = RequestorIdentity(called="HILUM", calling="PACS", address="127.0.0.1")
        self._contexts = _ANY_CONTEXT
        self._most_bytes = MOST_BYTES
        self._fragment_bytes = 64
        return AcceptedAssociation(self._associations, _ADMITTED, requestor)


_ANY_CONTEXT: Final = {
    number: negotiation.AcceptedContext(SOP_CLASS if number < 128 else PUSH_MODEL, SYNTAXES[number // 2 % 3]) for number in range(1, 256, 2)
}
_DEADLINES: Final = AcceptorDeadlines(acse_s=1, dimse_s=1, idle_s=1)


def associations(data: bytes) -> None:
    """Everything that a sender may say once an association stands; what is answered 0x0000 is kept, and nothing else."""
    peer, seen, commitments = _Script(data[1:], data[0] if data else 1), _Associations(), _Slips()
    commitment = _commitment(commitments)
    with capture_logs() as events:
        services = _services(seen, commitment)
        association = _Established(peer, seen, services, _DEADLINES, caller=peer, certificate=None)  # type: ignore[arg-type]
        association.serve()
    failed = [one for one in events if one["event"] in ("instance.failed", "commitment.failed")]
    assert not failed, failed
    assert all(one.kept + one.abandoned == 1 for one in seen.instances), "each instance is kept or abandoned, once"
    assert (seen.flushed, seen.left) == (1, 1), "the association is left once"
    assert sum(one.kept for one in seen.instances) == _successes(peer.told, command.Field.C_STORE_RSP), "0x0000 for each that is kept"
    taken = _successes(peer.told, command.Field.N_ACTION_RSP, command.Field.N_EVENT_REPORT_RSP)
    assert len(commitments.kept) == taken, "0x0000 for each request and report that is kept"
    assert commitment.budget.size_bytes == 0, "what it held is given back"


def _successes(told: bytes, *fields: command.Field) -> int:
    """How many responses of these kinds say 0x0000, of what a peer was told in fragments of any length."""
    found, at, fragments = 0, 0, b""
    while at < len(told):
        kind, length = pdu.head(told, at)
        body = told[at + pdu.HEAD_BYTES : at + pdu.HEAD_BYTES + length]
        assert len(body) == length, "whole PDUs alone are sent"
        at += pdu.HEAD_BYTES + length
        for one in pdu.pdvs(body) if kind == pdu.PduType.P_DATA else ():
            fragments += bytes(one.fragment)
            if one.is_last:
                answer = command.decode(fragments)
                found += answer.field in fields and answer.status == 0x0000
                fragments = b""
    return found


def peeks(data: bytes) -> None:
    """A data set as it comes in: in one piece and in many it is judged alike, but for a deflated one that is damaged behind what is looked
    at: of a piece that holds both nothing can be inflated."""
    if not data:
        return
    syntax, data = SYNTAXES[data[0] % len(SYNTAXES)], data[1:]
    whole = _peeked([data], syntax)
    step = len(data) % 7 + 1
    pieces = _peeked([data[at : at + step] for at in range(0, len(data), step)], syntax)
    assert whole == pieces or (syntax == DEFLATED and whole == NotADataset.__name__), "in pieces as in one"


def _peeked(fragments: list[bytes], syntax: str) -> str:
    peek = Peek(syntax=syntax, sop_class=SOP_CLASS, sop_instance=SOP_INSTANCE)
    try:
        for fragment in fragments:
            peek.feed(fragment)
        peek.end()
    except (NotADataset, OtherInstance) as refused:
        return type(refused).__name__
    return ""


def headers(data: bytes) -> None:
    """A Part 10 file: what the index reads of it. An identity that comes out is one that the journal can keep.

    The first byte is the transfer syntax of a data set that is put into a file, or says that a whole file follows.
    """
    if not data:
        return
    data = part10(data[1:], SYNTAXES[data[0]]) if data[0] < len(SYNTAXES) else data[1:]
    try:
        file = take_apart(data)
        sender(file)
        identity, header = parse(file)
    except (NotDicom, MissingAttribute, UnsupportedSyntax):
        return
    for uid in (identity.sop_instance_uid, identity.sop_class_uid, identity.study_instance_uid, identity.series_instance_uid):
        assert 0 < len(uid) <= 64, "a UID has 64 characters at most"
        assert set(uid) <= set("0123456789."), "a UID names no file outside of its folder"
    assert identity.dataset_offset <= len(data), "the data set lies in the file"
    assert all("\0" not in str(value) for values in header.values() for value in values), "no database takes a NUL in a text"


_ASKED: Final[tuple[tuple[Takes, Parts], ...]] = (
    (Takes.VOLUME, "refuse"),
    (Takes.VOLUME, "each"),
    (Takes.VOLUME, "b0"),
    (Takes.IMAGES, "refuse"),
    (Takes.CINE, "refuse"),
    (Takes.PAIR, "refuse"),
)


def series(data: bytes) -> None:
    """The files of a job, as an application asks for them: whose they are, where they lie, which b-value, what is no image. What is taken
    is of one patient, and every voxel of it has a place.

    The first byte says what is asked for and in which transfer syntax; before each data set stands its length.
    """
    if not data:
        return
    takes, parts = _ASKED[data[0] % len(_ASKED)]
    with TemporaryDirectory(prefix="hilum-fuzz-") as folder:
        files = []
        for number, content in enumerate(_counted(data[1:])):
            files.append(Path(folder) / f"{number}.dcm")
            files[-1].write_bytes(part10(content, SYNTAXES[data[0] // len(_ASKED) % len(SYNTAXES)]))
        try:
            made = subjects(takes, parts, files, "1.2.3.4", threads=1)
        except InputError:
            return
    for one in made:
        assert one.headers, "what was looked at is named"
        written_in = {_raw(header, "SpecificCharacterSet") for header in one.headers}
        several = len(written_in) == 1 and len({_raw(header, "PatientID").strip(b" \0") for header in one.headers}) > 1
        assert not several, "one patient"
        if isinstance(one.subject, Volume):
            assert len(one.subject.sources) == len(one.subject.voxels), "each slice is some image's"
            assert np.isfinite(one.subject.affine).all(), "each voxel has a place"
            assert one.subject.voxel_volume_mm3 > 0, "and a size"


def _raw(header: Dataset, keyword: str) -> bytes:
    """A value as it was written, whatever its VR claims to be."""
    value = header.get_item(keyword).value if keyword in header else b""
    return value if isinstance(value, bytes) else str(value or "").encode()


def _counted(data: bytes) -> Iterator[bytes]:
    """Pieces, each behind its length."""
    at = 0
    while at + 2 <= len(data):
        (length,) = struct.unpack_from("<H", data, at)
        yield data[at + 2 : at + 2 + length]
        at += 2 + length


class _Matches:
    """An association over which every question finds the same identifiers."""

    contexts: Final = {FIND: 1}

    def __init__(self, answers: list[bytes]) -> None:
        self.open = True
        self._answers = answers

    def find(self, *_: object) -> list[bytes]:
        """What it always says."""
        return self._answers

    def abort(self) -> None:
        """It is over."""
        self.open = False


def matches(data: bytes) -> None:
    """What a peer answers to C-FIND: how many instances it has, and which. Either is a number above zero, or nothing."""
    find = finding(_Matches(list(_counted(data))))  # type: ignore[arg-type]
    for series_uid in (None, "1.2.3.4"):
        count = count_instances(find, "1.2.3", series_uid)
        assert count is None or count > 0, "a number of instances"
    assert all(count > 0 for count in count_series(find, "1.2.3", {"1.2.3.4"}).values()), "a number of instances"
    holds_instance(find, "1.2.3", "1.2.3.4", "1.2.3.4.0")


def metas(data: bytes) -> None:
    """File meta information before a file is sent; what is taken plainly are three UIDs."""
    found = meta_texts(data)
    assert found is None or all(text and set(text) <= set("0123456789.") for text in found), "UIDs, or nothing"


def jpegs(data: bytes) -> None:
    """One compressed frame of 12 bits a sample; what is taken has the size that the data set says."""
    with suppress(Truncated, UndecodablePixels):
        assert decode_extended(data, 24, 32, "frame").shape == (24, 32), "as many pixels as the data set says"


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "pdus": pdus,
    "commands": commands,
    "messages": messages,
    "accepts": accepts,
    "requests": requests,
    "dialogues": dialogues,
    "associations": associations,
    "peeks": peeks,
    "headers": headers,
    "series": series,
    "matches": matches,
    "metas": metas,
    "jpegs": jpegs,
}


def part10(dataset: bytes, syntax: str = "1.2.840.10008.1.2.1") -> bytes:
    """A file around a data set, as small as PS3.10 7.1 allows."""
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", len(uid)) + uid
    return b"\0" * 128 + b"DICM" + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(meta)) + meta + dataset
