"""The services of the acceptor: their records, and a service more, C-FIND as its provider, that is served without a change elsewhere."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import combinations

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.dsutils import decode, encode
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as StudyRootFind

from node.dimse import listener
from node.dimse.association_policy import Admitted
from node.dimse.contexts import contexts_of
from node.dimse.services.kinds import KINDS, Services
from node.dimse.services.port import MemoryBudget, ServiceKind, ServiceRequest, WholeDataSet
from node.dimse.ul import command
from node.dimse.ul.command import Field
from node.settings.config import Config
from node.settings.peers import May, Peer
from tests.dimse.conftest import PACS, Listen, offer
from tests.lab import dcmtk
from tests.lab.wire import Sender

_MATCHES = [f"1.2.3.{number}" for number in range(1, 41)]
_LONG = "https://a.url/that/makes/each/match/longer/than/one/pdu/of/four/kib/" * 100


class _Finding:
    """Answers every query with the same studies."""

    def __init__(self) -> None:
        self.budget = MemoryBudget()

    def contexts(self, admitted: Admitted) -> Sequence[PresentationContext]:
        return contexts_of([StudyRootFind], [ImplicitVRLittleEndian]) if May.FIND in admitted.may else ()

    def adopt(self, config: Config) -> None: ...

    def begin(self, request: ServiceRequest) -> "_Find":
        return _Find(request, self.budget)


class _Find:
    def __init__(self, request: ServiceRequest, budget: MemoryBudget) -> None:
        self._request = request
        self._query = WholeDataSet(budget, 65536)
        self.write = self._query.write
        self.abandon = self._query.give_back

    def replies(self) -> Iterator[tuple[bytes, bytes]]:
        level = decode(BytesIO(self._query.content), True, True).QueryRetrieveLevel
        self._query.give_back()
        for uid in _MATCHES:
            match = Dataset()
            match.QueryRetrieveLevel, match.StudyInstanceUID, match.RetrieveURL = level, uid, _LONG
            yield self._response(0xFF00, data_set_follows=True), encode(match, True, True) or b""
        yield self._response(0x0000), b""

    def _response(self, status: int, *, data_set_follows: bool = False) -> bytes:
        return command.response(
            Field.C_FIND_RSP,
            self._request.message_id,
            sop_class_uid=StudyRootFind,
            status=status,
            data_set_follows=data_set_follows,
        )

    def answered(self) -> None: ...


_FIND = ServiceKind(
    name="Query",
    says="C-FIND of the studies that there are.",
    may=May.FIND,
    sop_classes=lambda: (StudyRootFind,),
    operations=frozenset({Field.C_FIND_RQ}),
    open=lambda _: _Finding(),
)
_ASKS = Peer(name="asks", ae_title="ASKS", host="127.0.0.1", port=0, may=PACS.may | {May.FIND})


@pytest.fixture
def finding(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> int:
    """The port of a node that has the service more."""
    monkeypatch.setattr(listener, "Services", lambda parts: Services(parts, [*KINDS, _FIND]))
    return listen(peers=(PACS, _ASKS)).port


def _query() -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", ""
    return query


def test_a_service_more_is_negotiated_and_answers_as_often_as_it_likes(finding: int) -> None:
    """pynetdicom's SCU gets forty matches, each in several PDUs, and then success; images go over the node as before."""
    made = AE("ASKS")
    made.maximum_pdu_size = 4096
    made.add_requested_context(StudyRootFind, [ImplicitVRLittleEndian])
    association = made.associate("127.0.0.1", finding, ae_title="HILUM")
    assert association.is_established
    answers = list(association.send_c_find(_query(), StudyRootFind))
    association.release()
    assert [status.Status for status, _ in answers] == [0xFF00] * len(_MATCHES) + [0x0000]
    assert [match.StudyInstanceUID for _, match in answers[:-1]] == _MATCHES
    one = offer()
    with Sender(finding, [one], calling="ASKS") as sender:
        assert sender.store(one) == 0x0000


def test_who_may_not_ask_finds_no_context_for_it(finding: int) -> None:
    """The permission is the peer's: to another one the service is not there."""
    made = AE("PACS")
    made.add_requested_context(StudyRootFind)
    association = made.associate("127.0.0.1", finding, ae_title="HILUM")
    assert not association.accepted_contexts
    association.abort()


@pytest.mark.peers
def test_another_toolkit_understands_its_answers(finding: int) -> None:
    """DCMTK's findscu counts the same matches."""
    asked = dcmtk.findscu(finding, "QueryRetrieveLevel=STUDY", "StudyInstanceUID", calling="ASKS")
    assert asked.text.count("Find Response:") == len(_MATCHES)


def test_records_share_no_name_and_no_request() -> None:
    """A request belongs to one service: an operation in any context, or in the contexts of its SOP classes."""
    for one, other in combinations(KINDS, 2):
        assert one.name != other.name
        same = one.operations & other.operations
        assert not same or not (one.in_any_context or other.in_any_context or set(one.sop_classes()) & set(other.sop_classes()))
