"""The trial: studies go into Orthanc, from there to the node, and what comes back into Orthanc is read by nothing of the node's."""

import io
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom

from tests.hundred.cases import CASES, Case, Made
from tests.hundred.ends import End, Object, ends_of, wrong_volumes, wrongs_of
from tests.hundred.truth import above_zero, volume_cm3, wrong_pixels
from tests.lab.loopback import free_port
from tests.lab.node import Node, configuration
from tests.lab.orthanc import Orthanc, Study

_APPLICATIONS = Path(__file__).parents[2] / "bench" / "applications"
_RESTS_S = 6.0
"""For so long nothing changes any more before the studies are taken as ended."""
_PATIENCE_S = 1800.0
_VOLUME = "118565006"
_SUMMARY_OF_ANALYSES = "111065"
_LESION_WITHIN = 0.03
"""Error of a stated volume: three significant figures, and the noise at a lesion's rim."""
_CT_WITHIN = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """One study: what it was, and what became of it."""

    number: int
    case: Case
    ends: frozenset[End]
    wrongs: Sequence[str]
    said: str

    @property
    def right(self) -> bool:
        """Exactly one end, one of those that are right, and nothing untrue in the archive."""
        return len(self.ends) == 1 and self.ends <= self.case.ends and not self.wrongs


@dataclass(slots=True)
class Trial:
    """So many studies, the kinds in turn; `run` gives how each ended."""

    folder: Path
    cases: Sequence[Case] = CASES
    studies: int = 100
    made: list[tuple[str, Made]] = field(default_factory=list)
    sources: list[frozenset[str]] = field(default_factory=list)
    """The SOP Instance UIDs of each study before the node saw it: what else stands in the archive afterwards is the node's."""
    strays: list[str] = field(default_factory=list)
    """Studies in the archive that nobody put there."""

    def run(self) -> list[Ended]:
        """Send them all, wait until nothing changes any more, and look."""
        port = free_port()
        pacs = Orthanc(self.folder / "pacs", node_port=port)
        peer = {
            "ae_title": pacs.aet,
            "address": f"127.0.0.1:{pacs.dicom_port}",
            "may": ["store", "echo", "find"],
            "settle": {"scope": "study", "quiet": "3s"},
        }
        settings = configuration(
            self.folder / "node",
            port=port,
            repository=self.folder / "models",
            peers={"pacs": peer},
            sinks={"archive": {"kind": "dimse", "peer": "pacs"}},
            routes=[
                {"name": "FLAIR", "when": {"Modality": "MR"}, "run": ["bright-lesion"], "send": ["archive"]},
                {"name": "CT", "when": {"Modality": "CT"}, "run": ["bench-threshold"], "send": ["archive"]},
            ],
        )
        settings["models"] = {"repository": str(self.folder / "models"), "applications": [str(_APPLICATIONS)]}
        with pacs, Node(settings, self.folder / "node") as node:
            for number in range(self.studies):
                self._send(pacs, number)
            self._wait(node)
            listed = {one["study_uid"]: one for one in node.studies() if one["study_uid"]}
            archived = pacs.studies()
            self.strays = sorted({study.uid for study in archived} - {uid for uid, _ in self.made})
            return [self._ended(pacs, archived, number, listed) for number in range(self.studies)]

    def _send(self, pacs: Orthanc, number: int) -> None:
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            made = self.cases[number % len(self.cases)].make(Path(folder), number)
            forwarded = set(made.forwarded)
            headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in made.files]
            uid = str(headers[0].StudyInstanceUID)
            self.sources.append(frozenset(str(one.SOPInstanceUID) for one in headers))
            stored = {path: pacs.post_instance(path.read_bytes()) for path in made.files}
            self.made.append((uid, made))
            pacs.send(*(identifier for path, identifier in stored.items() if path in forwarded))

    def _wait(self, node: Node) -> None:
        """Until every arrival is routed or waits, no job is under way, and that stays so."""
        deadline, since, last = time.monotonic() + _PATIENCE_S, time.monotonic(), ""
        while time.monotonic() - since < _RESTS_S or last == "busy":
            if time.monotonic() > deadline:
                raise AssertionError(f"the studies did not end in {_PATIENCE_S:g} s: {node.log.read_text(errors='replace')[-2000:]}")
            time.sleep(2)
            listed = node.studies()
            jobs = node.jobs(statements=True)
            busy = any(job["state"] in ("queued", "inferred", "encoded") for job in jobs)
            busy |= any(one["state"] in ("received", "complete") for one in listed)
            now = "busy" if busy else repr([(one["study_uid"], one["state"]) for one in listed])
            if now != last:
                last, since = now, time.monotonic()

    def _ended(self, pacs: Orthanc, archived: Sequence[Study], number: int, listed: dict[str, dict[str, Any]]) -> Ended:
        uid, made = self.made[number]
        case, record = self.cases[number % len(self.cases)], listed.get(uid)
        theirs = [pydicom.dcmread(io.BytesIO(pacs.file(one))) for study in archived if study.uid == uid for one in _instances(study)]
        made_here = [one for one in theirs if str(one.SOPInstanceUID) not in self.sources[number]]
        objects = [_object(one) for one in made_here]
        ends = ends_of(record, objects)
        sources = [one for one in theirs if str(one.SOPInstanceUID) in self.sources[number]]
        named = {str(one.PatientID) for one in sources}
        own = {whose: {str(one.SOPInstanceUID) for one in theirs if str(one.PatientID) == whose} for whose in named}
        wrongs = wrongs_of(objects, own)
        if ends == {End.RESULT}:
            wrongs += _untrue(made, [one for one in sources if "PixelData" in one], made_here, objects)
        said = (
            "not listed" if record is None else f"{record['state']}, held {record['held']}: {record['code'] or ''} {record['reason'] or ''}"
        )
        jobs = [] if record is None else [f"{job['application']}: {job['state']}" for job in record["jobs"]]
        return Ended(number=number, case=case, ends=ends, wrongs=wrongs, said=f"{said} {jobs} {[one.modality for one in objects]}")


def _untrue(made: Made, images: Sequence[pydicom.Dataset], results: Sequence[pydicom.Dataset], objects: Sequence[Object]) -> list[str]:
    """What is not true of what was found: volumes against what was planted; on CT every pixel of the mask against the images, too."""
    if images[0].Modality != "CT":
        assert made.volumes_cm3 is not None, "of heads that are made it is known what is in them"
        return wrong_volumes(objects, made.volumes_cm3, within=_LESION_WITHIN)
    masks = above_zero(images)
    segmentations = [one for one in results if one.Modality == "SEG"]
    marked = any(mask.any() for mask in masks.values())
    wrongs = (
        [] if len(segmentations) == marked else [f"{len(segmentations)} segmentations, and {'some' if marked else 'no'} pixels above 0"]
    )
    wrongs += [f"{wrong} pixels are marked otherwise than is right" for one in segmentations if (wrong := wrong_pixels(one, masks))]
    for volumes in ((volume_cm3(images, masks),), made.volumes_cm3):
        wrongs += [] if volumes is None else wrong_volumes(objects, volumes, within=_CT_WITHIN)
    return wrongs


def _instances(study: Study) -> Iterator[str]:
    for series in study.series:
        yield from series.instances


def _object(one: pydicom.Dataset) -> Object:
    """What a result says: every SOP Instance UID that it refers to, every volume in its content tree."""
    refers, volumes, texts, status = set(), [], [], ""
    for element in one.iterall():
        if element.keyword == "ReferencedSOPInstanceUID":
            refers.add(str(element.value))
    for item in _items(one):
        name = item.ConceptNameCodeSequence[0].CodeValue if item.get("ConceptNameCodeSequence") else ""
        if item.get("ValueType") == "NUM" and name == _VOLUME and item.get("MeasuredValueSequence"):
            volumes.append(float(item.MeasuredValueSequence[0].NumericValue))
        elif item.get("ValueType") == "CODE" and name == _SUMMARY_OF_ANALYSES:
            status = str(item.ConceptCodeSequence[0].CodeValue)
        elif item.get("ValueType") == "TEXT":
            texts.append(str(item.TextValue))
    return Object(
        modality=str(one.Modality),
        patient=str(one.PatientID),
        refers_to=frozenset(refers),
        volumes=tuple(volumes),
        status=status,
        text="\n".join(texts),
    )


def _items(item: pydicom.Dataset) -> Iterator[pydicom.Dataset]:
    yield item
    for child in item.get("ContentSequence", ()):
        yield from _items(child)
