"""Objects without images go in over DIMSE, beside images and alone: the images are analysed and the reader told, the rest is listed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from tests.lab.node import QUIET, Node, configuration, hilum

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_APPLICATIONS = Path(__file__).parent / "applications"
_PATIENCE_S = 120


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = configuration(
        tmp_path,
        port=0,
        repository=tmp_path / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(tmp_path / "results")}},
        routes=[
            {"name": "another", "when": {"Modality": "CT"}, "run": ["mr-above-zero"], "send": ["results"]},
            {"name": "all", "when": {"Modality": "MR"}, "run": ["mr-above-zero"], "send": ["results"]},
        ],
    )
    settings = {**made, "models": {"repository": str(tmp_path / "models"), "applications": [str(_APPLICATIONS)]}}
    with Node(settings, tmp_path / "node") as started:
        yield started


def test_raw_data_are_set_aside_and_alone_they_make_no_job(node: Node, real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """Two studies of a scanner that writes one Raw Data object beside each enhanced image. Of the first both objects come: one job, done,
    whose report says that one of two was no image. Of the second only the raw data come, whose Modality is MR as well: no job, no alarm,
    and the list, the passport and the explanation say why."""
    files = [*real("dicom/hard/mr_enhanced_with_raw_data_1.zip"), *real("dicom/hard/mr_enhanced_with_raw_data_2.zip")]
    both, (other, _) = files[:2], files[2:]
    without = dcmread(other)
    assert (without.SOPClassUID.name, without.Modality) == ("Raw Data Storage", "MR")
    # both came of one examination: this one is of another
    without.StudyInstanceUID += ".1"
    alone = tmp_path / "alone.dcm"
    without.save_as(alone)
    said = hilum("send", *both, alone, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER", "--json")
    assert said.code == 0, said.out + said.err

    (job,) = node.wait_for_jobs(lambda jobs: len(jobs) == 1 and jobs[0]["state"] == "done", _PATIENCE_S, "the images are analysed")
    assert job["study_uid"] == dcmread(both[0], stop_before_pixels=True).StudyInstanceUID
    (report,) = [one for path in (tmp_path / "results").rglob("*.dcm") if (one := dcmread(path)).Modality == "SR"]
    told = [element.value for element in report.iterall() if element.keyword == "TextValue"]
    assert "1 of 2 instances is no image and was not looked at (Raw Data Storage)." in told

    why = "the series holds no images (Raw Data Storage)"
    (listed,) = [one for one in node.studies() if one["study_uid"] == without.StudyInstanceUID]
    assert (listed["state"], listed["application"], listed["jobs"]) == ("routed", None, [])
    assert why in listed["reason"]
    shown = node.hilum("studies", "show", without.StudyInstanceUID, "--json")
    assert why in shown.out
    assert why in node.hilum("routes", "explain", without.StudyInstanceUID).out.replace("\n", " ")
    assert [event for event in node.events() if event["event"] in ("job.parked", "arrival.unmatched", "instance.set_aside")] == []
    assert len(node.jobs()) == 1


def _screenshot(of: Dataset, path: Path) -> None:
    """A dose report in the series of an image, as scanners add one: in colour, without a place."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "PatientID", "PatientName", "StudyDate", "Modality"):
        setattr(made, keyword, of.get(keyword))
    made.SOPClassUID, made.SOPInstanceUID, made.ConversionType = SecondaryCaptureImageStorage, f"{of.SOPInstanceUID}.9", "WSD"
    made.Rows = made.Columns = 4
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.PixelData = bytes(48)
    made.save_as(path, enforce_file_format=True)


def test_a_screenshot_among_slices_is_set_aside_and_hides_no_gap(node: Node, real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """Two studies of a real series of 32 slices and a screenshot. The whole one is analysed, and the reader told; the one that lacks one
    is held as 32 of 33, though 32 instances came of a series of 32 slices; the slice comes, and it is analysed."""
    files = real("dicom/mr_hippocrop_Study1.zip")
    whole, short = tmp_path / "whole", tmp_path / "short"
    for folder, suffix in ((whole, ".1"), (short, ".2")):
        folder.mkdir()
        for number, path in enumerate(files):
            one = dcmread(path)
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
                setattr(one, keyword, f"{one[keyword].value}"[:60] + suffix)
            one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
            one.save_as(folder / f"{number}.dcm")
        _screenshot(one, folder / "screen.dcm")
    by_place = sorted(short.glob("[0-9]*.dcm"), key=lambda path: float(dcmread(path, stop_before_pixels=True).ImagePositionPatient[2]))
    missing = by_place[15].rename(tmp_path / "missing.dcm")
    to = ("--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER")
    assert hilum("send", whole, short, *to).code == 0
    study = str(dcmread(missing, stop_before_pixels=True).StudyInstanceUID)

    (job,) = node.wait_for_jobs(lambda jobs: len(jobs) == 1 and jobs[0]["state"] == "done", _PATIENCE_S, "the whole one is analysed")
    assert job["study_uid"] != study
    (report,) = [one for path in (tmp_path / "results").rglob("*.dcm") if (one := dcmread(path)).Modality == "SR"]
    told = [element.value for element in report.iterall() if element.keyword == "TextValue"]
    assert "1 of 33 instances is a screen capture, no slice, and was not looked at." in told
    (held,) = next(one for one in node.studies() if one["study_uid"] == study)["incomplete"]
    assert (held["why"], held["came"], held["expected"]) == ("gap", 32, 33)
    assert hilum("send", missing, *to).code == 0
    node.wait_for_jobs(
        lambda jobs: [job["state"] for job in jobs if job["study_uid"] == study] == ["done"], _PATIENCE_S, "the rest is analysed"
    )
