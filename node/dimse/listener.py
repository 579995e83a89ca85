"""The listener: C-ECHO and C-STORE over pynetdicom; bytes go to the intake as they came, and 0x0000 is answered once they are kept."""

import logging
import re
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association

from node.dimse.admission import Admission, Admitted, Refusal, Rejection
from node.dimse.claim import Claim, UserIdentity
from node.dimse.contexts import accepted_contexts, register_retired_classes
from node.dimse.errors import NotADataset, NotAUid, WrongContext
from node.dimse.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from node.dimse.peek import check
from node.dimse.port import Intake, Reception, keep_whole
from node.dimse.server import Handler, Server
from node.domain.errors import RefusedError
from node.observe import metrics
from node.observe.events import alarm, event, trace
from node.settings.config import Config, May

_PROCESSING_FAILURE = 0x0110
_PDU_SLACK_BYTES = 1024  # some senders count the header of a PDU out, some in
_HALF_OPEN = 64
# leading zeros in a component break PS3.5 9.1, but old devices write them and nothing here minds
_UID = re.compile(r"[0-9.]{1,64}")
_TO_DRAIN_S = 0.02
_TO_ABORT_S = 1.0


class Listener:
    """Listens under the AE titles of `config.node` and hands every instance to `intake`.

    `on_kept` is called after each instance that was kept, from the thread of its association.
    """

    def __init__(self, config: Config, intake: Intake, *, on_kept: Callable[[], None] = lambda: None) -> None:
        self._config = config
        self._intake = intake
        self._on_kept = on_kept
        self._admission = Admission(config)
        self._server: Server | None = None

    def start(self) -> None:
        """Bind and accept associations; returns at once. OSError when the port is taken."""
        _quieten()
        register_retired_classes()
        for peer in (*self._config.peers, metrics.STRANGER):
            for status in (0x0000, RefusedError.status, _PROCESSING_FAILURE):
                # a series that begins at 0 lets a rate see its first event
                metrics.INSTANCES.add(0, peer=peer, status=f"{status:04X}")
        node = self._config.node
        ae = AE(node.ae_titles[0])
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION
        ae.acse_timeout = node.acse_timeout.total_seconds()
        ae.dimse_timeout = node.dimse_timeout.total_seconds()
        ae.network_timeout = node.idle_timeout.total_seconds()
        ae.maximum_associations = node.max_associations + _HALF_OPEN  # admission counts those that matter
        # each association gets its own contexts once its peer is known
        ae.supported_contexts = list(accepted_contexts(store=False, echo=True, syntaxes=None))
        handlers = [
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_ESTABLISHED, _established),
            (evt.EVT_CONN_CLOSE, _closed),
            (evt.EVT_C_ECHO, lambda _: 0x0000),
            (evt.EVT_C_STORE, self._stored),
        ]
        address: Any = (node.host, node.port)
        self._server = ae.make_server(address, evt_handlers=handlers, server_class=Server, request_handler=Handler)
        self._server.on_end = self._ended
        ae._servers.append(self._server)  # where its shutdown takes it from
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="listener", daemon=True).start()

    @property
    def port(self) -> int:
        """The port that it listens on, also when the configuration leaves the choice to the system."""
        assert self._server is not None, "it was started"
        return int(self._server.server_address[1])

    def stop(self, drain_s: float) -> None:
        """Accept nothing new, let open associations end for `drain_s`, then abort them."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        deadline = time.monotonic() + drain_s
        while any(one.is_established for one in server.active_associations) and time.monotonic() < deadline:
            time.sleep(_TO_DRAIN_S)
        left = server.active_associations
        for association in left:
            if association.is_established:
                association.abort()
            else:
                association.dul.socket._shutdown_socket()
        for association in left:
            association.join(_TO_ABORT_S)

    # ---- what pynetdicom calls, each from the thread of its association
    def _requested(self, asked: evt.Event) -> None:
        association = asked.assoc
        request = association.requestor.primitive
        if not hasattr(request, "called_ae_title"):
            return  # it was aborted before it was asked for
        called, calling = request.called_ae_title.strip(), request.calling_ae_title.strip()
        address = association.requestor.address
        decided = self._admission.enter(
            Claim(called=called, calling=calling, address=address, identity=UserIdentity.of(association.requestor.user_identity))
        )
        if isinstance(decided, Refusal):
            event(
                "association.rejected",
                calling_ae=calling,
                called_ae=called,
                address=address,
                rejection=decided.rejection.name.lower(),
                reason=decided.why,
            )
            metrics.ASSOCIATIONS.add(peer=decided.label, outcome=decided.rejection.name.lower())
            _reject(association, decided.rejection)
            return
        association.visit = _Visit(admitted=decided, calling_ae=calling, called_ae=called, address=address)
        association.acceptor.maximum_length = decided.limits.max_pdu
        association.dul.socket.most_bytes = decided.limits.max_pdu + _PDU_SLACK_BYTES
        association.acceptor.supported_contexts = accepted_contexts(
            store=May.STORE in decided.may, echo=May.ECHO in decided.may, syntaxes=decided.limits.syntaxes
        )

    def _stored(self, asked: evt.Event) -> int | Dataset:
        visit: _Visit = asked.assoc.visit
        began = time.monotonic()
        try:
            self._keep(asked, visit)
        except RefusedError as refused:
            visit.refused += 1
            visit.tell(refused.status, began)
            event("instance.refused", association=visit.id, code=refused.code, status=f"{refused.status:04X}", reason=str(refused))
            return _answer(refused.status, f"{refused.code} {refused}")
        except Exception as broken:  # noqa: BLE001
            # whatever it is, the sender must learn that this instance stays with it; its words may quote the patient, its place does not
            visit.refused += 1
            visit.tell(_PROCESSING_FAILURE, began)
            alarm("instance.failed", association=visit.id, error=type(broken).__name__, trace=trace(broken))
            return _answer(_PROCESSING_FAILURE, "processing failure")
        visit.kept += 1
        visit.tell(0x0000, began)
        self._on_kept()
        return 0x0000

    def _keep(self, asked: evt.Event, visit: "_Visit") -> None:
        request = asked.request
        sop_class, sop_instance = str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)
        syntax = str(asked.context.transfer_syntax)
        if not _UID.fullmatch(sop_instance):
            raise NotAUid(f"{sop_instance[:64]!a} is no UID")
        if sop_class != str(asked.context.abstract_syntax):
            raise WrongContext(f"SOP class {sop_class} came in a context for {asked.context.abstract_syntax}")
        with request.DataSet.getbuffer() as dataset:
            if not dataset:
                raise NotADataset("the data set is empty")
            check(dataset, syntax=syntax, sop_class=sop_class, sop_instance=sop_instance)
            keep_whole(
                self._intake,
                Reception(
                    sop_instance_uid=sop_instance,
                    sop_class_uid=sop_class,
                    transfer_syntax_uid=syntax,
                    calling_ae=visit.calling_ae,
                    called_ae=visit.called_ae,
                    address=visit.address,
                    association=visit.id,
                    received_at=datetime.now(UTC),
                ),
                dataset,
            )
            metrics.RECEIVED_BYTES.add(len(dataset), peer=visit.admitted.label)

    def _ended(self, association: Association) -> None:
        visit: _Visit | None = association.visit
        if visit is None:
            return
        self._intake.ended(visit.id)
        self._admission.leave(visit.admitted)
        how = "released" if association.is_released else "aborted" if association.is_aborted else "lost"
        metrics.ASSOCIATIONS.add(peer=visit.admitted.label, outcome=how)
        event(
            "association.ended",
            association=visit.id,
            how=how,
            kept=visit.kept,
            refused=visit.refused,
            took_s=round(time.monotonic() - visit.began, 3),
        )


class _Visit:
    """What the listener knows of one association that it admitted."""

    def __init__(self, *, admitted: Admitted, calling_ae: str, called_ae: str, address: str) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.admitted = admitted
        self.calling_ae = calling_ae
        self.called_ae = called_ae
        self.address = address
        self.kept = 0
        self.refused = 0
        self.began = time.monotonic()

    def tell(self, status: int, began: float) -> None:
        """Count one C-STORE request by its answer."""
        peer = self.admitted.label
        metrics.RECEIVE.observe(time.monotonic() - began, peer=peer)
        metrics.INSTANCES.add(peer=peer, status=f"{status:04X}")


def _established(asked: evt.Event) -> None:
    association = asked.assoc
    association.dul.socket.pdu_timeout_s = association.dimse_timeout
    association.dimse.established.set()
    visit: _Visit = association.visit
    event(
        "association.accepted",
        association=visit.id,
        calling_ae=visit.calling_ae,
        called_ae=visit.called_ae,
        address=visit.address,
        peer=visit.admitted.peer and visit.admitted.peer.name,
        contexts=len(association.accepted_contexts),
        contexts_rejected=len(association.rejected_contexts),
    )


def _closed(asked: evt.Event) -> None:
    association = asked.assoc
    if association.requestor.primitive is None:
        # its thread would wait for a request until the ACSE time-out; nothing is how it learns of that time-out
        association.dul.to_user_queue.put(None)


def _reject(association: Association, rejection: Rejection) -> None:
    association.acse.send_reject(*rejection.value)
    association.is_rejected = True
    association.kill()


def _answer(status: int, comment: str) -> Dataset:
    """A status with an Error Comment (0000,0902), LO: 64 characters at most, of the default repertoire."""
    answer = Dataset()
    answer.Status = status
    answer.ErrorComment = comment.encode("ascii", "replace").decode("ascii").replace("\\", "/")[:64]
    return answer


def _quieten() -> None:
    """No logging of pynetdicom: it formats patient data, and every PDU, whether anybody reads it or not."""
    _config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
