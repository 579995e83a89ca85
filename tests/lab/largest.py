"""The largest studies, made while they are sent, a node that takes them, and the most that each of its processes holds meanwhile."""

import contextlib
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage

from tests.lab.node import Node, configuration
from tests.soak.modality import CALLING, Association
from tests.soak.studies import Kind, Study

_LOOK_EVERY_S = 0.05
_APPLICATIONS = Path(__file__).parents[1] / "soak" / "applications"


@dataclass(slots=True)
class Enhanced(Study):
    """One multi-frame instance with as many frames as a study has slices."""

    def instance(self, index: int) -> tuple[bytes | memoryview, ...]:
        """All before the pixels, and the pixels frame by frame."""
        slices = self.kind.frames
        one = Study(self.number, Kind(name="CT", sop_class_uid=CTImageStorage, instances=1, rows=512, columns=512, share=1))
        made = one.header(0)
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

    def begin(self, *, settles_s: float) -> None:
        """What is held in a while is what was held before."""
        self._over.wait(settles_s)
        self._began = True

    def grown(self, stage: str) -> float:
        """How many MiB more than before a stage held at the most."""
        return self.most[stage] - self.first[stage]

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
def node(folder: Path, *, quiet: str = "3s", durability: str = "each") -> Iterator[Node]:
    """A node that analyses every CT and keeps the results in a folder."""
    (folder / "models").mkdir(parents=True)
    settings: dict[str, Any] = configuration(
        folder / "store",
        port=0,
        repository=folder / "models",
        peers={"modality": {"ae_title": CALLING, "address": "127.0.0.1:0", "settle": {"quiet": quiet}}},
        sinks={"results": {"kind": "folder", "path": str(folder / "results")}},
        routes=[{"name": "CT", "when": {"Modality": "CT"}, "run": ["soak-volume"], "send": ["results"]}],
    )
    settings["models"] = {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}
    settings["store"]["durability"] = durability
    with Node(settings, folder / "node", interpreter=True) as running:
        yield running


def send(running: Node, study: Study) -> None:
    """Every instance of a study, in one association.

    Raises
    ------
    RuntimeError
        One was not answered 0x0000.
    """
    with Association(running.port, study.kind.sop_class_uid) as association:
        for index in range(study.kind.instances):
            status = association.store(study.kind.sop_class_uid, study.instance_uid(index), study.instance(index))
            if status != 0:
                raise RuntimeError(f"instance {index} was answered {status:04X}")


def slices_of(count: int, *, side: int = 512) -> Study:
    """A CT of so many slices of `side` by `side`."""
    return Study(1, Kind(name="CT", sop_class_uid=CTImageStorage, instances=count, rows=side, columns=side, share=1))


def frames_of(count: int) -> Enhanced:
    """An enhanced CT of so many frames of 512 by 512: half a MiB each."""
    return Enhanced(2, Kind(name="CT", sop_class_uid=EnhancedCTImageStorage, instances=1, rows=512, columns=512, frames=count, share=1))
