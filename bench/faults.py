"""A thousand studies through a whole node, every real series at least once, three of ten with a made fault: how many without one are
parked, and whether anything that has one ends in a result.

The headers are those of the real images. What is cut is the pictures: at most 20 neighbouring slices of a series, and of single images the
middle 96 × 96 pixels, their positions moved along; loops, enhanced images, mosaics and what is no image go as they were published. Three
applications that cost nothing take any volume, any images, any loop, so that hardly a series is out of reach; receiving, routing, gate,
assembling, judge, encoding, check and delivery are the node's own. A fault is only made in a series whose sound copy had a result.
"""

import contextlib
import io
import random
import re
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from bench.faults_made import FAULTS, Fault, position_along
from bench.gate import DATA, files_of, sources
from bench.rows import Row, say
from bench.running import CALLED, CALLING, serve
from node.domain.job import JobKind
from node.domain.state import ArrivalState, JobState
from node.journal.journal import Journal
from node.settings.peers import Peer

STUDIES = 1_000
FAULTY = 0.3
MOST_PARKED = 0.01
_SEED = 18
_MOST_SLICES, _SIDE = 20, 96
_HEAVY = 4_000_000
"""Bytes of a series that goes out once or twice, not in turn with the others."""
_AHEAD = 24
"""Studies that may be under way before the next is sent."""
_PATIENCE_S = 900.0
_LOOK_EVERY_S = 0.3
_RESTS_S = 5.0
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_CODE = re.compile("HLM-[0-9]{4}")
_NOT_CUT = ("MOSAIC", "VFRAME")
_ROUTES = {"volume": ("CT", "MR", "PT", "NM"), "images": ("CR", "DX", "MG", "RG"), "loop": ("US", "XA", "RF")}
"""Application, and the modalities that it is asked about."""

_CONFIG = """\
node: {{ae_title: HILUM, listen: "127.0.0.1:0"}}
peers: {{modality: {{ae_title: BENCHSCU, address: "127.0.0.1:104", may: [store, echo], settle: {{scope: study, quiet: 1s}}}}}}
store: {{journal: "sqlite:hilum.db", blobs: "file:blobs", min_free: 100MB}}
models: {{repository: models, applications: ["{applications}"]}}
sinks: {{results: {{kind: folder, path: results}}}}
routes:
{routes}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Real:
    """A series of the real images, cut: where it is from, and its files, sorted."""

    where: str
    files: Sequence[bytes]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(len(one) for one in self.files)

    def images(self, number: int = 0) -> list[Dataset]:
        """Its data sets, as another patient's under UIDs that come from the number; 0: as they are."""
        read: list[Dataset] = [pydicom.dcmread(io.BytesIO(one)) for one in self.files]
        for one in read if number else ():
            for keyword in _UIDS:
                if one.get(keyword):
                    setattr(one, keyword, generate_uid(entropy_srcs=[str(number), keyword, str(one[keyword].value)]))
            one.PatientID, one.PatientName = f"FAULTS-{number:04}", f"Fault^{number:04}"
        return read


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What became of one study that was sent; `fault` is None of a sound one.

    `results` counts its objects in the folder, by pydicom, without notes that there is no result. `told`: a report of them says first that
    instances are held, and all are of the first image's person and study. `held`: something waits for the rest of a series. `refused`: the
    code with which the node refused an image of it as it came, which told the sender; "" where it took all.
    """

    where: str
    fault: Fault | None
    jobs: Sequence[str]
    reason: str
    results: int
    told: bool
    held: bool
    refused: str = ""

    @property
    def parked(self) -> bool:
        """Whether a person has to look."""
        return any(state in (JobState.PARKED, JobState.FAILED, ArrivalState.PARKED) for state in self.jobs)

    @property
    def delivered(self) -> bool:
        """Whether a result went out: an analysis that is done, or an object of it in the folder."""
        return self.results > 0 or JobState.DONE in self.jobs

    @property
    def wrong(self) -> bool:
        """Whether one went out that must not: with a fault, unless of what came first alone, and saying so."""
        return self.fault is not None and self.delivered and not (self.fault.held and self.told)


@dataclass(slots=True)
class Trial:
    """So many studies, one after another; `came` is what became of each that has ended."""

    studies: int
    seed: int = _SEED
    faulty: float = FAULTY
    only: Sequence[str] = ()
    """Names of files and folders of the images; () are all."""
    came: list[Came] = field(default_factory=list)

    def run(self, folder: Path) -> list[Came]:
        """First every series as it is, then faults in those that had a result, and further sound ones in turn."""
        chance = random.Random(self.seed)
        real = [one for source in sources(DATA) if not self.only or source.name in self.only for one in series_of(source)]
        say(f"{len(real)} real series, {sum(one.size for one in real) // 1_000_000} MB when cut")
        with _Hospital(folder) as hospital:
            first = hospital.through([(one, None) for one in real])
            taken = [one for one, came in zip(real, first, strict=True) if came.delivered]
            light = [one for one in taken if one.size < _HEAVY]
            say(f"{len(taken)} of them have results, {len(light)} of these are light")
            faulty = [(one, fault) for one, fault in _faults(taken, light, round(self.faulty * self.studies), chance)]
            more = max(self.studies - len(real) - len(faulty), 0)
            sound = [one for one in real if one.size < _HEAVY]
            rest = [*faulty, *((sound[number % len(sound)], None) for number in range(more))]
            chance.shuffle(rest)
            self.came = [*first, *hospital.through(rest)]
        return self.came


def measure() -> list[Row]:
    """A thousand studies; what went wrong is printed by series and fault, with the node's sentence."""
    if not DATA.is_dir():
        say("the real images are not here (HILUM_DATA): nothing is sent")
        return []
    with tempfile.TemporaryDirectory(prefix="hilum-faults-") as folder:
        came = Trial(STUDIES).run(Path(folder))
    return rows_of(came)


def rows_of(came: Sequence[Came]) -> list[Row]:
    """The figures, and what went wrong, printed."""
    sound, faulty = [one for one in came if one.fault is None], [one for one in came if one.fault is not None]
    for (where, reason), count in Counter((one.where, one.reason) for one in sound if one.parked).items():
        say(f"parked without a made fault, {count} ×: {where}: {reason}")
    delivered = [one for one in faulty if one.wrong]
    for (name, where), count in Counter((one.fault.name, one.where) for one in delivered if one.fault).items():
        say(f"delivered with a fault, {count} ×: {name}: {where}")
    by_fault: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in faulty:
        by_fault[one.fault.name if one.fault else ""][code_of(one)] += 1
    for name, codes in by_fault.items():
        say(f"{name}: {sum(codes.values())} ({', '.join(f'{code} {count}' for code, count in codes.most_common())})")
    counted = [one for one in sound if one.where not in ODD]
    parked = sum(one.parked for one in counted)
    share = parked / len(counted) if counted else 0.0
    return [
        Row(name="studies without a fault", value=len(counted), unit="studies"),
        Row(name="parked of them", value=share, unit="", goal=f"at most {MOST_PARKED:g}", met=share <= MOST_PARKED),
        Row(name="with results of them", value=sum(one.delivered for one in counted), unit="studies"),
        Row(name="faulty as published, not counted", value=len(sound) - len(counted), unit="studies"),
        Row(name="studies with a made fault", value=len(faulty), unit="studies"),
        Row(name="the first person's part, which says so", value=sum(one.delivered and not one.wrong for one in faulty), unit="studies"),
        Row(name="delivered with a made fault", value=len(delivered), unit="studies", goal="0", met=not delivered),
    ]


def code_of(came: Came) -> str:
    """In a word, what was said of it: the code at the end of the sentence, or that nothing was."""
    if came.delivered:
        return "DELIVERED" if came.wrong else "the first part, told" if came.fault else "delivered"
    if came.reason:
        return came.reason.rpartition("[")[2].rstrip("]")
    if came.refused:
        return f"{came.refused} to the sender"
    return "waits for the rest" if came.held else "no job"


ODD: Mapping[str, str] = {
    "sliceincrement_001.zip": "a slice is missing",
    "sliceorientation_001.zip": "two orientations in one series",
    "jpeg_extended_12_bit.zip series 2": "a single image of a loop",
    "mr_uih_mosaic.zip": "mosaics of a private kind",
    "xa_nm_pt_mr_misc series 6": "an MR without any place",
    "xa_nm_pt_mr_misc series 7": "an NM without any place",
}
"""Series that are faulty as they were published, and why; found by a person beforehand or by the first run, and looked at."""


def series_of(source: Path) -> Iterator[Real]:
    """The series of a zip or a folder, cut."""
    found: defaultdict[str, list[Dataset]] = defaultdict(list)
    for content in files_of(source):
        with contextlib.suppress(pydicom.errors.InvalidDicomError, EOFError):
            one = pydicom.dcmread(io.BytesIO(content))
            if one.get("SOPInstanceUID") and one.get("SeriesInstanceUID"):
                found[str(one.SeriesInstanceUID)].append(one)
    for number, images in enumerate(found.values()):
        where = f"{source.name}{f' series {number + 1}' if len(found) > 1 else ''}"
        yield Real(where=where, files=[_written(one) for one in _cut(images)])


def _written(image: Dataset) -> bytes:
    for tag in [tag for tag in image.keys() if tag.group == 0xFFFE]:  # noqa: SIM118 a data set iterates over elements, and these have no VR
        del image[tag]
    file = io.BytesIO()
    image.save_as(file)
    return file.getvalue()


def _cut(images: Sequence[Dataset]) -> list[Dataset]:
    """Neighbouring slices, the middle of each."""
    if any(int(one.get("NumberOfFrames") or 1) > 1 or "PixelData" not in one for one in images):
        return list(images)
    along = [position_along(one) for one in images]
    if None in along:
        return [_middle(one) for one in images[:_MOST_SLICES]]
    ordered = sorted(images, key=lambda one: (round(position_along(one) or 0.0, 3), int(one.get("InstanceNumber") or 0)))
    places = sorted({round(place or 0.0, 3) for place in along})
    begin = max(len(places) - _MOST_SLICES, 0) // 2
    kept = set(places[begin : begin + _MOST_SLICES])
    return [_middle(one) for one in ordered if round(position_along(one) or 0.0, 3) in kept]


def _middle(image: Dataset) -> Dataset:
    """The middle of a picture, uncompressed; of what is coloured, a mosaic, or read by none of pydicom's decoders all."""
    if image.SamplesPerPixel != 1 or set(image.get("ImageType") or ()) & set(_NOT_CUT):
        return image
    if image.file_meta.TransferSyntaxUID.is_compressed:
        try:
            image.decompress()
        except RuntimeError:
            return image
    pixels = image.pixel_array
    top, left = (max(side - _SIDE, 0) // 2 for side in pixels.shape)
    pixels = np.ascontiguousarray(pixels[top : top + _SIDE, left : left + _SIDE])
    image.Rows, image.Columns = pixels.shape
    image.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    image["PixelData"].VR = "OW"
    for tag in [element.tag for element in image if 0x6000 <= element.tag.group <= 0x60FF]:
        del image[tag]
    if position_along(image) is not None and image.get("PixelSpacing"):
        row, column = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
        down, across = (float(value) for value in image.PixelSpacing)
        moved = np.array(image.ImagePositionPatient, float) + left * across * row + top * down * column
        image.ImagePositionPatient = [f"{value:.6f}"[:16] for value in moved]
    return image


def _faults(taken: Sequence[Real], light: Sequence[Real], count: int, chance: random.Random) -> Iterator[tuple[Real, Fault]]:
    """Each fault as often as any other that suits something; the series of each in turn, heavy ones where nothing else suits."""
    suiting = {}
    for fault in FAULTS:
        found = [one for one in light if fault.suits(one.images())] or [one for one in taken if fault.suits(one.images())]
        if found:
            chance.shuffle(found)
            suiting[fault.name] = (fault, found)
    for number in range(count):
        fault, found = list(suiting.values())[number % len(suiting)]
        yield found[number // len(suiting) % len(found)], fault


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """The Study Instance UIDs that a study was sent under, the Patient ID and Study Instance UID of its first image, and the code with
    which an image was refused."""

    studies: tuple[str, ...]
    patient: str
    study: str
    refused: str


class _Hospital:
    """A node, a modality that sends to it, and its journal."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self._number = 0

    def __enter__(self) -> "_Hospital":
        from node.assembly.compose import open_journal
        from node.assembly.configuration import load

        (self._folder / "models").mkdir(parents=True)
        path = self._folder / "hilum.yaml"
        routes = "\n".join(
            f"  - {{name: {kind}, when: {{Modality: {{in: [{', '.join(codes)}]}}}}, run: [bench-{kind}], each: true, send: [results]}}"
            for kind, codes in _ROUTES.items()
        )
        path.write_text(_CONFIG.format(applications=Path(__file__).with_name("applications"), routes=routes), encoding="utf-8")
        self._running = self._stack.enter_context(serve(path))
        self._journal: Journal = self._stack.enter_context(contextlib.closing(open_journal(load(path))))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def through(self, studies: Sequence[tuple[Real, Fault | None]]) -> list[Came]:
        """Send them, a few ahead of what has ended, and look when nothing is under way."""
        sent = list[_Sent]()
        for number, (real, fault) in enumerate(studies):
            sent.append(self._send(real, fault))
            if number % 50 == 49:
                say(f"{number + 1} of {len(studies)} sent")
            self._wait(_AHEAD)
        self._wait(0)
        objects = self._objects()
        return [self._came(real, fault, one, objects) for (real, fault), one in zip(studies, sent, strict=True)]

    def _send(self, real: Real, fault: Fault | None) -> _Sent:
        """Under UIDs and as a patient of its own."""
        from node.dimse.requestor.peer import PeerRequestor

        self._number += 1
        images = real.images(self._number)
        if fault is not None:
            images = fault.make(images)
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            files = []
            for number, one in enumerate(images):
                one.file_meta.MediaStorageSOPClassUID, one.file_meta.MediaStorageSOPInstanceUID = one.SOPClassUID, one.SOPInstanceUID
                files.append(str(Path(name) / f"{number:04}.dcm"))
                one.save_as(files[-1], enforce_file_format=True)
            peer = Peer(name="node", ae_title=CALLED, host="127.0.0.1", port=self._running.port)
            statuses = PeerRequestor(peer, calling_ae=CALLING).store(files)
            refused = [one for one in statuses if not one.accepted]
            assert fault is not None or not refused, (real.where, refused)
        return _Sent(
            studies=tuple(sorted({str(one.StudyInstanceUID) for one in images})),
            patient=str(images[0].PatientID),
            study=str(images[0].StudyInstanceUID),
            refused=next((found[0] for one in refused if (found := _CODE.search(one.detail))), "refused") if refused else "",
        )

    def _wait(self, most: int) -> None:
        """Until at most so many studies are under way; none: and that stays so, for what was sent last may not be indexed yet."""
        deadline, since = time.monotonic() + _PATIENCE_S, time.monotonic()
        while True:
            open_now = self._journal.arrivals.find(states=(ArrivalState.RECEIVED, ArrivalState.COMPLETE))
            under_way = sum(not one.waits for one in open_now)  # what is short waits for hours for the rest
            under_way += len(self._journal.jobs.find(states=(JobState.QUEUED, JobState.INFERRED, JobState.ENCODED)))
            if under_way > most:
                since = time.monotonic()
            elif most or time.monotonic() - since > _RESTS_S:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{under_way} studies do not end")
            time.sleep(_LOOK_EVERY_S)

    def _objects(self) -> dict[str, list[Dataset]]:
        """The results of each study, by what they say of themselves: a note that there is no result is none."""
        found: defaultdict[str, list[Dataset]] = defaultdict(list)
        for path in (self._folder / "results").rglob("*.dcm"):
            one = pydicom.dcmread(path, stop_before_pixels=True)
            if not _is_note(one):
                found[str(one.StudyInstanceUID)].append(one)
        return found

    def _came(self, real: Real, fault: Fault | None, sent: _Sent, objects: Mapping[str, Sequence[Dataset]]) -> Came:
        jobs = [job for uid in sent.studies for job in self._journal.jobs.find(study=uid) if job.kind is JobKind.ANALYSIS]
        said = [f"{job.reason} [{job.code}]" for job in jobs if job.reason and job.code]
        results = [one for uid in sent.studies for one in objects.get(uid, ())]
        return Came(
            where=real.where,
            fault=fault,
            jobs=[job.state for job in jobs],
            reason="; ".join(said),
            results=len(results),
            told=of_first_alone(results, patient=sent.patient, study=sent.study),
            held=any(one.waits for uid in sent.studies for one in self._journal.arrivals.find(study=uid)),
            refused=sent.refused,
        )


def of_first_alone(results: Sequence[Dataset], *, patient: str, study: str) -> bool:
    """Whether all results are of this patient and study, and a report of them says that something of its series was not analysed."""
    whose = {(str(one.PatientID), str(one.StudyInstanceUID)) for one in results}
    return whose == {(patient, study)} and any(map(_says_held, results))


def _says_held(result: Dataset) -> bool:
    """Whether a report says that something of its series was not analysed."""
    return any("are held and were not analysed" in str(item.TextValue) for item in _items(result) if item.get("ValueType") == "TEXT")


def _is_note(result: Dataset) -> bool:
    """Whether it only says that there is no result: its Summary of Analyses (DCM 111065) is Failed or Not Attempted (CID 6042)."""
    return any(
        item.ConceptNameCodeSequence[0].CodeValue == "111065" and item.ConceptCodeSequence[0].CodeValue in ("111224", "111225")
        for item in _items(result)
        if item.get("ValueType") == "CODE" and item.get("ConceptNameCodeSequence")
    )


def _items(item: Dataset) -> Iterator[Dataset]:
    yield item
    for child in item.get("ContentSequence", ()):
        yield from _items(child)
