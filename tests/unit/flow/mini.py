"""A node in miniature: the real journal and blobs, a clock that the tests turn, senders that put instances straight into the journal,
an application that needs no model, and an encoder that writes small DICOM objects."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, Comprehensive3DSRStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage, SegmentationStorage

from inference import codes
from inference.applications.port import Accepts, Application, Infer, MeasurementOutput, ModelRef, SegmentOutput, Tensors
from inference.engines.port import EngineHealth, Load, Urgency
from inference.findings import Findings, Measurement, Segment
from inference.imaging.volume import Volume
from inference.imaging.write_series import write_series
from node.blobs.folder import FolderBlobs
from node.dicom.header import read_header
from node.dicom.transfer_syntax import Context
from node.dicom.uid import derive_uid
from node.dimse.port import StoreStatus
from node.domain.arrival import Arrival
from node.domain.errors import DeliveryError
from node.domain.instance import Header, Instance, Standing
from node.domain.job import Delivery, Job, NewJob, Priority
from node.domain.profile import Kind
from node.domain.state import ArrivalState, JobState
from node.flow.route import RouteStage
from node.flow.settle import SettleStage, complete_now
from node.journal.journal import Journal
from node.journal.port import NewInstance
from node.results.port import Encoded, Encoding
from node.settings.config import Config
from node.settings.peers import Peer, Scope, Settle
from node.sinks.port import Parcel, Receipt

_MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
START = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
THRESHOLD_MODEL = ModelRef(name="threshold")


class FakeClock:
    """Now is what the test says."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


@dataclass(slots=True)
class ThresholdEngine:
    """An engine with one model: it tells which voxels are above 500. Tests take it away or let it fail."""

    ready: bool = True
    fails: Exception | None = None
    weights: str = "weights-1"
    asked: int = 0
    deadlines: list[float | None] = field(default_factory=list)

    def check(self, model: ModelRef) -> None:
        pass

    def load(self, model: ModelRef) -> Load:
        return Load()

    def runtime(self, model: ModelRef) -> str:
        return "threshold" if self.asked else ""

    def infer(
        self, model: ModelRef, inputs: Tensors, *, deadline_s: float | None = None, urgency: Urgency = Urgency.ROUTINE
    ) -> dict[str, NDArray[Any]]:
        self.asked += 1
        self.deadlines.append(deadline_s)
        if self.fails is not None:
            raise self.fails
        return {"mask": inputs["image"] > 500}

    def digest(self, model: ModelRef) -> str:
        return hashlib.sha256(self.weights.encode()).hexdigest()

    def health(self) -> EngineHealth:
        return EngineHealth(ready=self.ready, detail="ready" if self.ready else "gone fishing")

    def close(self) -> None:
        self.ready = False


def threshold(volume: Volume, infer: Infer) -> Findings:
    """Everything above 500 is brain."""
    mask = infer(THRESHOLD_MODEL, {"image": volume.voxels})["mask"]
    segment = Segment(label="brain", mask=mask, category=codes.ANATOMICAL_STRUCTURE, type=codes.BRAIN, rgb=(200, 100, 50))
    volume_cm3 = float(np.count_nonzero(mask)) * volume.voxel_volume_mm3 / 1000
    measured = Measurement(name=codes.VOLUME, value=volume_cm3, unit=codes.CUBIC_CENTIMETRE, segment="brain")
    return Findings(segments=(segment,), measurements=(measured,))


APPLICATION = Application(
    name="threshold",
    version="1.0.0",
    title="Threshold",
    accepts=Accepts(modality=("MR",), min_slices=3),
    models=(THRESHOLD_MODEL,),
    outputs=(SegmentOutput(label="brain", type=codes.BRAIN), MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE)),
    analyse=threshold,
)


def write_object(kind: Kind, class_uid: UID, text: str, seed: str, encoding: Encoding) -> Encoded:
    """A Part 10 object whose bytes depend on `encoding` alone."""
    series, instance = derive_uid(seed, kind, "series"), derive_uid(seed, kind)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = class_uid
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(instance)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.SeriesInstanceUID = class_uid, instance, series
    dataset.StudyInstanceUID = encoding.volume.study_instance_uid
    dataset.ContentDate, dataset.ContentTime = encoding.at.strftime("%Y%m%d"), encoding.at.strftime("%H%M%S.%f")
    dataset.SeriesDescription = f"{encoding.application.name} {encoding.application.version}"
    dataset.ImageComments = text
    dataset.save_as(out := BytesIO(), enforce_file_format=True)
    return Encoded(
        kind=kind, sop_instance_uid=instance, sop_class_uid=class_uid, series_instance_uid=series, description=kind, data=out.getvalue()
    )


def encode(encoding: Encoding) -> list[Encoded]:
    """A segmentation, a report and a page, in the manner of node.results.encode."""
    seed = "|".join([encoding.input_digest, encoding.model_digest, encoding.findings_digest, encoding.parameters])
    value = encoding.findings.measurements[0].value
    text = f"{value} {[one.sop_instance_uid for one in encoding.predecessors]} {len(encoding.sources)} {encoding.device_uid}"
    classes = {Kind.SEG: SegmentationStorage, Kind.SR: Comprehensive3DSRStorage, Kind.SC: SecondaryCaptureImageStorage}
    return [write_object(kind, class_uid, text, seed, encoding) for kind, class_uid in classes.items()]


class ListSink:
    """A sink that remembers every object and answers what the test says: away, a status for a kind, or no SOP class or syntax in
    `takes_no`."""

    def __init__(self) -> None:
        self.away = False
        self.answers: dict[str, tuple[bool, bool, int | None]] = {}
        self.sent: list[tuple[str, str]] = []
        self.has: dict[str, bytes] = {}
        self.asked: list[frozenset[Context]] = []
        self.takes_no: set[str] = set()

    def accepts(self, contexts: Collection[Context]) -> frozenset[Context]:
        if self.away:
            raise DeliveryError("nobody answers")
        self.asked.append(frozenset(contexts))
        return frozenset(one for one in contexts if one.sop_class_uid not in self.takes_no and one.transfer_syntax_uid not in self.takes_no)

    def send(self, parcels: Sequence[Parcel]) -> list[Receipt]:
        if self.away:
            raise DeliveryError("nobody answers")
        receipts = []
        for parcel in parcels:
            self.sent.append((parcel.kind, parcel.sop_instance_uid))
            accepted, refused, status = self.answers.get(parcel.kind, (True, False, 0x0000))
            if accepted:
                self.has[parcel.sop_instance_uid] = parcel.path.read_bytes()
            receipts.append(Receipt(sop_instance_uid=parcel.sop_instance_uid, accepted=accepted, refused=refused, status=status))
        return receipts

    def health(self) -> tuple[bool, str]:
        return not self.away, "a list"


class CountingPeer:
    """A requestor of which only the count is asked; None: the query is not answered."""

    def __init__(self) -> None:
        self.counts: int | None = 0
        self.series: dict[str, int] = {}
        self.fails: Exception | None = None
        self.asked: list[tuple[str, str | None]] = []

    def echo(self) -> float:
        return 0.0

    def accepts(self, contexts: Collection[Context]) -> frozenset[Context]:
        raise NotImplementedError

    def store(self, files: Sequence[str]) -> list[StoreStatus]:
        raise NotImplementedError

    def count(self, study_instance_uid: str, series_instance_uid: str | None) -> int | None:
        self.asked.append((study_instance_uid, series_instance_uid))
        if self.fails is not None:
            raise self.fails
        return self.counts

    def count_series(self, study_instance_uid: str, wanted: Collection[str]) -> dict[str, int]:
        return {series: self.series[series] for series in wanted if series in self.series}

    def holds(self, files: Sequence[str]) -> frozenset[str]:
        raise NotImplementedError


@dataclass(slots=True)
class MiniNode:
    """What the stages share, and what senders do to it."""

    journal: Journal
    blobs: FolderBlobs
    config: Config
    clock: FakeClock
    folder: Path
    images: dict[tuple[str, str, int], list[Path]] = field(default_factory=dict)

    def configure(self, **changes: Any) -> None:
        """Another configuration, with another digest."""
        self.config = replace(self.config, **changes)
        self.config = replace(self.config, digest=hashlib.sha256(repr(self.config).encode()).hexdigest())

    def rule(self, peer: str | None) -> Settle:
        known = self.config.peers.get(peer or "")
        return known.settle if known else Settle()

    def receive(
        self,
        study: str,
        series: str,
        numbers: Sequence[int] = (1, 2, 3, 4),
        *,
        peer: str | None = "ct1",
        called: str = "HILUM",
        standing: Standing = Standing.CURRENT,
        replaces: int | None = None,
        changed: str = "",
        sop_class_uid: str = _MR_IMAGE,
        **header: Any,
    ) -> list[int]:
        """Instances (without pixels) of one series come from `peer`, one by one, as the index would journal them."""
        values: Header = {"Modality": ("MR",), **{key: value if isinstance(value, tuple) else (value,) for key, value in header.items()}}
        ids = []
        for number in numbers:
            uid = derive_uid(study, series, str(number))
            blob = f"instances/{hashlib.sha256(f'{uid}{changed}'.encode()).hexdigest()}.dcm"
            ids += self._record(
                uid, sop_class_uid, study, series, blob, hashlib.sha256(blob.encode()).hexdigest(), values, peer, called, standing, replaces
            )
        return ids

    def receive_images(self, study: str, series: str, *, slices: int = 4, peer: str | None = "ct1") -> list[int]:
        """A real MR series: a bright block (1000) of 2 x 4 x 4 voxels in the middle of slices 1 and 2, each voxel 1 mm wide, 2 mm thick."""
        voxels = np.zeros((slices, 8, 8), dtype=np.int16)
        voxels[1:3, 2:6, 2:6] = 1000
        affine = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
        study_uid, series_uid = derive_uid(study), derive_uid(study, series)
        folder = self.folder / "sent" / study / f"{series}-{slices}"
        files = write_series(voxels, affine, folder, modality="MR", study_uid=study_uid, series_uid=series_uid)
        return self.receive_files(study_uid, series_uid, files, peer=peer)

    def receive_files(self, study_uid: str, series_uid: str, files: Sequence[Path], *, peer: str | None = "ct1") -> list[int]:
        """The files of one series, with their pixels."""
        ids = []
        for path in files:
            _, header = read_header(path)
            data = path.read_bytes()
            uid = str(header["SOPInstanceUID"][0])
            blob = f"instances/{hashlib.sha256(data).hexdigest()}.dcm"
            self.blobs.put(blob, data)
            digest = hashlib.sha256(data).hexdigest()
            ids += self._record(uid, _MR_IMAGE, study_uid, series_uid, blob, digest, header, peer, "HILUM", Standing.CURRENT, None)
        return ids

    def _record(
        self,
        uid: str,
        sop_class_uid: str,
        study: str,
        series: str,
        blob: str,
        digest: str,
        header: Header,
        peer: str | None,
        called: str,
        standing: Standing,
        replaces: int | None,
    ) -> list[int]:
        rule = self.rule(peer)
        instance = Instance(
            sop_instance_uid=uid,
            sop_class_uid=sop_class_uid,
            study_instance_uid=study,
            series_instance_uid=series,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            blob=blob,
            size=1,
            digest=digest,
            calling_ae="CT1AE",
            called_ae=called,
            address="127.0.0.1",
            peer=peer,
            received_at=self.clock(),
            header=header,
            standing=standing,
        )
        news = NewInstance(
            instance=instance,
            opens=standing is not Standing.HELD,
            scope_series=rule.scope is Scope.SERIES,
            due_at=self.clock() + rule.quiet,
            replaces=replaces,
        )
        return self.journal.instances.record([news], self.clock())

    def inferred_job(self, study: str = "1.1", sinks: Sequence[str] = ("archive",)) -> tuple[int, str]:
        """A job with findings, for a test that makes the objects itself: its number and the lease that it is held under."""
        self.receive(study, f"{study}.1")
        (arrival,) = [one for one in self.arrivals() if one.study_instance_uid == study]
        complete_now(self.journal.arrivals, arrival, self.clock())
        new = NewJob(
            series_instance_uid=f"{study}.1",
            application="threshold",
            application_version="1.0.0",
            engine="default",
            routes=("all",),
            sinks=tuple(sinks),
            priority=Priority.ROUTINE,
            input_digest=study,
            instances=(),
        )
        (job,) = self.journal.routing.route(arrival.id, [], [new], self.config.digest, self.clock()).jobs
        claimed = self.journal.jobs.claim("test", self.clock(), timedelta(minutes=1))
        assert claimed is not None
        assert claimed.lease is not None
        self.journal.jobs.inferred(job, claimed.lease, "findings", "model", self.clock())
        return job, claimed.lease

    def arrivals(self, *states: ArrivalState) -> list[Arrival]:
        return self.journal.arrivals.find(states=states)

    def jobs(self) -> list[Job]:
        return self.journal.jobs.find()

    def deliveries(self, job: int | None = None) -> list[Delivery]:
        return self.journal.deliveries.find(job=job)


CT1 = Peer(name="ct1", ae_title="CT1AE", host="127.0.0.1", port=104)


def settle_and_route(node: MiniNode, seconds: float = 60, *, applications: Callable[[str], Application]) -> None:
    """Let that much time pass; settle, and route until nothing is left."""
    node.clock.advance(seconds)
    SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()).step()
    stage = RouteStage(node.journal, node.config, node.clock, lambda name: "default", applications)
    while stage.step():
        pass


def live(node: MiniNode) -> list[Job]:
    """The jobs whose place no other one took."""
    return [job for job in node.jobs() if job.state is not JobState.SUPERSEDED]


def reasons(node: MiniNode, study: str = "1.1") -> dict[str, str]:
    """What was decided last of each series of a study."""
    arrivals = sorted(node.journal.arrivals.find(study=study), key=lambda one: one.id)
    return {one.series_instance_uid: one.reason for each in arrivals for one in node.journal.routing.decisions(each.id)}
