"""A series of several volumes through the runner, with the real encoder: each part analysed, kept, encoded and told apart."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from inference import findings_parts
from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid
from node.domain.errors import JournalError
from node.domain.state import JobState
from node.results.encode import encode
from node.results.port import Encoded, Encoding
from tests.unit.flow.mini import APPLICATION, MiniNode
from tests.unit.flow.test_runner import Work, settle_and_route

EACH = replace(APPLICATION, accepts=replace(APPLICATION.accepts, parts="each"))
STUDY, SERIES = derive_uid("echoes"), derive_uid("echoes", "t2")


def echoes(folder: Path) -> list[Path]:
    """Two echoes of one place: a bright block of 8 voxels in the first, of 27 in the second; a voxel is 2 mm³."""
    files = []
    affine = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
    for number, side in ((1, 2), (2, 3)):
        voxels = np.zeros((5, 8, 8), dtype=np.int16)
        voxels[1 : 1 + side, 2 : 2 + side, 2 : 2 + side] = 1000
        # other UIDs for other echoes
        made = write_series(
            voxels, affine, folder / str(number), modality="MR", study_uid=STUDY, series_uid=derive_uid("echo", str(number))
        )
        for path in made:
            dataset = dcmread(path)
            dataset.SeriesInstanceUID, dataset.EchoTime = SERIES, 20 * number
            dataset.FrameOfReferenceUID = derive_uid("echoes", "frame")
            dataset.save_as(path)
            files.append(path)
    return files


@pytest.fixture
def work(node: MiniNode, tmp_path: Path) -> Work:
    """One job waits: a series of two echoes, for an application that takes each."""
    return waiting(node, tmp_path)


def waiting(node: MiniNode, folder: Path) -> Work:
    """The node with the job."""
    node.receive_files(STUDY, SERIES, echoes(folder / "sent"))
    settle_and_route(node)
    made = Work(node)
    made.application, made.encode = EACH, encode
    return made


def objects(work: Work) -> list[tuple[str, Dataset]]:
    """Kind and data set of each result."""
    return [
        (one.kind, dcmread(BytesIO(work.node.blobs.path(one.blob).read_bytes()))) for one in work.node.journal.results.of_job(work.job.id)
    ]


def test_each_part_has_results_of_its_own(work: Work) -> None:
    """Two segmentations of 8 and 27 voxels, each about the images of its echo alone, each series named after its part; no UID twice."""
    work.step()
    assert work.job.state is JobState.ENCODED
    made = objects(work)
    assert [kind for kind, _ in made] == ["seg", "sr", "sc"] * 2
    segmentations = [dataset for kind, dataset in made if kind == "seg"]
    assert [int(np.count_nonzero(dataset.pixel_array)) for dataset in segmentations] == [8, 27]
    sent = {dataset.SOPInstanceUID: float(dataset.EchoTime) for dataset in map(dcmread, (work.node.folder / "sent").rglob("*.dcm"))}
    for dataset, (part, echo_ms) in zip(segmentations, (("echo 1 (TE 20 ms)", 20), ("echo 2 (TE 40 ms)", 40)), strict=True):
        assert dataset.SeriesDescription == f"Threshold SEG, threshold 1.0.0 [{part}]"
        (series,) = dataset.ReferencedSeriesSequence
        assert {sent[item.ReferencedSOPInstanceUID] for item in series.ReferencedInstanceSequence} == {echo_ms}
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert len({dataset[keyword].value for _, dataset in made}) == len(made)
    trackers = [dataset.SegmentSequence[0].TrackingUID for dataset in segmentations]
    assert trackers[0] != trackers[1]
    (blob,) = {work.job.findings_blob}
    assert blob is not None
    kept = findings_parts.loads(work.node.blobs.path(blob).read_bytes())
    assert [part for part, _ in kept] == ["echo 1 (TE 20 ms)", "echo 2 (TE 40 ms)"]
    assert [findings.measurements[0].value for _, findings in kept] == pytest.approx([8 * 2 / 1000, 27 * 2 / 1000])


@pytest.mark.slow
def test_a_job_that_was_interrupted_gives_the_same_bytes(work: Work, make_node: Callable[[Path], MiniNode], tmp_path: Path) -> None:
    """The encoder fails at the second part; the next attempt begins at the findings of both, and no byte differs."""
    encoded: list[str] = []

    def fails_once(encoding: Encoding) -> list[Encoded]:
        encoded.append(encoding.part)
        if len(encoded) == 2:
            raise JournalError("the disk is full")
        return encode(encoding)

    work.encode = fails_once
    work.step()
    assert work.job.state is JobState.INFERRED
    asked = work.engine.asked
    work.step()
    assert (work.job.state, work.engine.asked) == (JobState.ENCODED, asked)
    assert encoded == ["echo 1 (TE 20 ms)", "echo 2 (TE 40 ms)"] * 2
    undisturbed = waiting(make_node(tmp_path / "undisturbed"), tmp_path / "undisturbed")
    undisturbed.step()
    assert [dataset.SOPInstanceUID for _, dataset in objects(undisturbed)] == [dataset.SOPInstanceUID for _, dataset in objects(work)]
    assert [_bytes(undisturbed, n) for n in range(6)] == [_bytes(work, n) for n in range(6)]


def _bytes(work: Work, number: int) -> bytes:
    return work.node.blobs.path(work.node.journal.results.of_job(work.job.id)[number].blob).read_bytes()


def test_an_application_that_takes_one_volume_is_told_the_attribute(work: Work) -> None:
    """Parked with the reason; nothing is exported."""
    work.application = APPLICATION
    work.step()
    assert (work.job.state, work.job.code) == (JobState.PARKED, "HLM-3016")
    assert "2 echo times (EchoTime)" in str(work.job.reason)
    assert work.node.journal.results.of_job(work.job.id) == []


@pytest.mark.slow
def test_findings_of_other_parts_are_not_encoded(work: Work) -> None:
    """The findings were kept in parts; what now reads the series as one whole refuses to encode them, and says what to do."""
    work.encode = lambda encoding: (_ for _ in ()).throw(JournalError("not now"))
    work.step()
    assert work.job.state is JobState.INFERRED
    blob = str(work.job.findings_blob)
    kept = findings_parts.loads(work.node.blobs.path(blob).read_bytes())
    work.node.blobs.delete(blob)
    work.node.blobs.put(blob, findings_parts.written(kept[:1]).data)
    work.encode = encode
    work.step()
    assert (work.job.state, work.job.code) == (JobState.PARKED, "HLM-4182")
