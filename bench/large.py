"""The largest studies: a CT of 4,000 slices and an enhanced multi-frame CT of 2 GB through the whole node, and what each process holds."""

import contextlib
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage

from bench.rows import Row, say
from tests.lab.node import Node, configuration
from tests.soak.modality import CALLING, Association
from tests.soak.studies import Kind, Study

SLICES = 4000
_PATIENCE_S = 1800.0
_LOOK_EVERY_S = 0.05
_SETTLES_S = 5.0
_MIB = 1 << 20
_APPLICATIONS = Path(__file__).parents[1] / "tests" / "soak" / "applications"


@dataclass(slots=True)
class Enhanced(Study):
    """One multi-frame instance with as many frames as a study has slices."""

    def instance(self, index: int) -> tuple[bytes | memoryview, ...]:
        """All before the pixels, and the pixels frame by frame."""
        slices = self.kind.frames
        one = Study(self.number, Kind(name="CT", sop_class_uid=CTImageStorage, instances=1, rows=512, columns=512, share=1))
        made = one._header(0)
        made.SOPClassUID, made.NumberOfFrames = EnhancedCTImageStorage, slices
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
            del made[keyword]
        del made["RescaleSlope"], made["RescaleIntercept"]
        made.SharedFunctionalGroupsSequence = Sequence([_shared()])
        made.PerFrameFunctionalGroupsSequence = Sequence([_frame(number) for number in range(slices)])
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_dataset(buffer, made)
        head = buffer.getvalue() + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, self.kind.pixel_bytes)
        pixels = [one.instance(number)[1] for number in range(min(slices, 64))]
        return (head, *(pixels[number % len(pixels)] for number in range(slices)))


def _shared() -> Dataset:
    shared, measures, orientation, values = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.5], 1
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    values.RescaleIntercept, values.RescaleSlope, values.RescaleType = -1024, 1, "HU"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([orientation])
    shared.PixelValueTransformationSequence = Sequence([values])
    return shared


def _frame(number: int) -> Dataset:
    frame, place, content = Dataset(), Dataset(), Dataset()
    place.ImagePositionPatient = [-100, -100, float(number)]
    content.DimensionIndexValues = [1, number + 1]
    frame.PlanePositionSequence, frame.FrameContentSequence = Sequence([place]), Sequence([content])
    return frame


class Peaks:
    """The most that each process of a node ever held of its own, in MiB, by stage; watched in a thread."""

    def __init__(self, supervisor: int) -> None:
        self.most: dict[str, float] = {}
        self.first: dict[str, float] = {}
        self._supervisor = psutil.Process(supervisor)
        self._began = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            for child in self._supervisor.children():
                with contextlib.suppress(psutil.Error, OSError, StopIteration):
                    stage = next(word for word in child.cmdline() if word in ("receive", "flow", "work"))
                    held = _own_mib(child.pid)
                    if not self._began:
                        self.first[stage] = held
                    self.most[stage] = max(self.most.get(stage, 0.0), held)

    def begin(self) -> None:
        """What is held now is what was held before."""
        time.sleep(_SETTLES_S)
        self._began = True

    def close(self) -> None:
        """Watch no more."""
        self._over.set()
        self._thread.join()


def _own_mib(pid: int) -> float:
    """Memory that nothing but this process gives back: what is mapped from files is the system's cache."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"process {pid} says nothing of its memory")


@contextlib.contextmanager
def node(folder: Path) -> Iterator[Node]:
    """A node that analyses every CT and keeps the results in a folder."""
    (folder / "models").mkdir(parents=True)
    settings = configuration(
        folder / "store",
        port=0,
        repository=folder / "models",
        peers={"modality": {"ae_title": CALLING, "address": "127.0.0.1:0", "settle": {"quiet": "3s"}}},
        sinks={"results": {"kind": "folder", "path": str(folder / "results")}},
        routes=[{"name": "CT", "when": {"Modality": "CT"}, "run": ["soak-volume"], "send": ["results"]}],
    )
    settings["models"] = {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}
    with Node(settings, folder / "node") as running:
        yield running


def through(folder: Path, study: Study) -> list[Row]:
    """One study through a node of its own: how long, and what the processes held at most beside what they held before."""
    with node(folder) as running:
        peaks = Peaks(running.pid)
        try:
            peaks.begin()
            began = time.monotonic()
            with Association(running.port, study.kind.sop_class_uid) as association:
                for index in range(study.kind.instances):
                    status = association.store(study.kind.sop_class_uid, study.instance_uid(index), study.instance(index))
                    if status != 0:
                        raise RuntimeError(f"instance {index} was answered {status:04X}")
            sent_s = time.monotonic() - began
            while len(list((folder / "results").rglob("*.dcm"))) < 2:
                if time.monotonic() - began > _PATIENCE_S:
                    raise RuntimeError(f"no results: {running.jobs()}")
                time.sleep(0.2)
            took_s = time.monotonic() - began
        finally:
            peaks.close()
    what = f"{study.kind.instances} slices" if study.kind.instances > 1 else f"{study.kind.frames} frames in one instance"
    what = f"{what}, {study.kind.instances * study.kind.pixel_bytes / 1e9:.1f} GB"
    return [
        Row(name=f"large: {what}: sent", value=sent_s, unit="s"),
        Row(name=f"large: {what}: results", value=took_s, unit="s"),
        *(
            Row(name=f"large: {what}: memory of {stage}", value=most, unit="MiB", baseline=peaks.first[stage])
            for stage, most in sorted(peaks.most.items())
        ),
    ]


def studies_of(slices: int) -> list[Study]:
    """The same slices as instances, and as frames of one."""
    each = Kind(name="CT", sop_class_uid=CTImageStorage, instances=slices, rows=512, columns=512, share=1)
    one = Kind(name="CT", sop_class_uid=EnhancedCTImageStorage, instances=1, rows=512, columns=512, frames=slices, share=1)
    return [Study(1, each), Enhanced(2, one)]


def measure(slices: int = SLICES) -> list[Row]:
    """Both, each through a node of its own."""
    rows = []
    for study in studies_of(slices):
        say(f"{study.kind.instances} instances of {study.kind.pixel_bytes / 1e6:.0f} MB")
        with tempfile.TemporaryDirectory(prefix="hilum-bench-", ignore_cleanup_errors=True) as made:
            rows += through(Path(made) / "node", study)
    return rows
